//! Places for the connections of one listener. Somebody new always gets one: when all are taken, a connection of whoever
//! holds most of them ends, the oldest of those whose calls were refused, else the oldest. So a thousand connections
//! that ask nothing keep nobody out.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Connections that lost their places and are not closed yet, before somebody new has to wait for them.
const LEAVING: usize = 16;
/// For how long at most: a call that is under way may be answered first.
const LEAVE: Duration = Duration::from_millis(10);

/// Places by who holds them: a network, or a key.
#[derive(Debug)]
pub struct Places<K> {
    most: usize,
    table: Mutex<PlaceTable<K>>,
    left: Notify,
}

#[derive(Debug)]
struct PlaceTable<K> {
    by_holder: HashMap<K, BTreeMap<Rank, Arc<Notify>>>,
    taken: usize,
    /// Connections that lost their places and are not closed yet.
    leaving: usize,
    last: u64,
}

/// The order in which places of one holder are given to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Refused(u64),
    Open(u64),
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub struct Place<K: Clone + Eq + Hash> {
    places: Arc<Places<K>>,
    holder: K,
    number: u64,
    end: Arc<Notify>,
}

/// The network that an address belongs to, as one holder: whoever has an IPv6 address has all of its /64.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

impl<K: Clone + Eq + Hash> Places<K> {
    /// So many places, at least one.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        let table = PlaceTable { by_holder: HashMap::new(), taken: 0, leaving: 0, last: 0 };
        Arc::new(Self { most: most.max(1), table: Mutex::new(table), left: Notify::new() })
    }

    /// Takes one for a connection of `holder`, if need be from another connection: then whose it was, and how many that one
    /// had.
    #[must_use]
    pub fn take(self: &Arc<Self>, holder: K) -> (Place<K>, Option<(K, usize)>) {
        let mut table = self.table();
        let made_room = if table.taken >= self.most { table.end_one() } else { None };
        table.last += 1;
        table.taken += 1;
        let (number, end) = (table.last, Arc::new(Notify::new()));
        table.by_holder.entry(holder.clone()).or_default().insert(Rank::Open(number), end.clone());
        drop(table);
        (Place { places: self.clone(), holder, number, end }, made_room)
    }

    /// Waits for connections that lost their places to be closed, for a moment: whoever accepts faster than they are
    /// closed has the descriptors of all of them.
    pub async fn settled(&self) {
        let few_are_leaving = async {
            while self.table().leaving > LEAVING {
                self.left.notified().await;
            }
        };
        let _ = tokio::time::timeout(LEAVE, few_are_leaving).await;
    }

    /// Connections that hold one.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.table().taken
    }

    fn table(&self) -> MutexGuard<'_, PlaceTable<K>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> PlaceTable<K> {
    fn end_one(&mut self) -> Option<(K, usize)> {
        let (holder, places) = self.by_holder.iter().max_by_key(|(_, places)| places.len())?;
        let (holder, count, first) = (holder.clone(), places.len(), *places.first_key_value()?.0);
        self.leave(&holder, first)?.notify_one();
        self.leaving += 1;
        Some((holder, count))
    }

    fn leave(&mut self, holder: &K, rank: Rank) -> Option<Arc<Notify>> {
        let places = self.by_holder.get_mut(holder)?;
        let end = places.remove(&rank)?;
        let none_left = places.is_empty();
        self.taken -= 1;
        if none_left {
            self.by_holder.remove(holder);
        }
        Some(end)
    }
}

impl<K: Clone + Eq + Hash> Place<K> {
    /// Returns when somebody else has this place.
    pub async fn lost(&self) {
        self.end.notified().await;
        self.end.notify_one(); // for whoever asks again
    }
}

impl<K: Clone + Eq + Hash> Place<K> {
    /// A call of this connection was refused: its place goes to somebody else before that of one who may still be let in.
    pub fn refused(&self) {
        let mut table = self.places.table();
        if let Some(places) = table.by_holder.get_mut(&self.holder)
            && let Some(end) = places.remove(&Rank::Open(self.number))
        {
            places.insert(Rank::Refused(self.number), end);
        }
    }
}

impl<K: Clone + Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut table = self.places.table();
        let mut ranks = [Rank::Open(self.number), Rank::Refused(self.number)].into_iter();
        if !ranks.any(|rank| table.leave(&self.holder, rank).is_some()) {
            table.leaving -= 1;
            self.places.left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    async fn is_lost(place: &Place<IpAddr>) -> bool {
        tokio::time::timeout(std::time::Duration::from_millis(1), place.lost()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_the_greatest_crowd_makes_room() {
        let places = Places::new(4);
        let quiet = places.take(address(1)).0;
        let crowd: Vec<Place<IpAddr>> = (0..3).map(|_| places.take(address(2)).0).collect();
        let (new, made_room) = places.take(address(3));
        assert_eq!(made_room, Some((address(2), 3)));
        assert!(is_lost(&crowd[0]).await && !is_lost(&crowd[1]).await);
        assert!(!is_lost(&quiet).await && !is_lost(&new).await);
        assert_eq!(places.taken(), 4);
        drop(crowd);
        assert_eq!(places.taken(), 2, "one that lost its place gives none back");
        drop((quiet, new));
        assert!(places.table().by_holder.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_refused_goes_before_who_has_not_asked_yet() {
        let places = Places::new(3);
        let all: Vec<Place<IpAddr>> = (0..3).map(|_| places.take(address(9)).0).collect();
        all[1].refused();
        all[1].refused();
        let _new = places.take(address(9)).0;
        assert!(is_lost(&all[1]).await && !is_lost(&all[0]).await && !is_lost(&all[2]).await);
        all[1].refused();
        drop(all);
        assert_eq!(places.taken(), 1);
    }

    /// Found with 5,000 strangers: who lost their places had their descriptors still, and there was none for anybody.
    #[tokio::test(start_paused = true)]
    async fn somebody_new_waits_for_those_who_are_leaving() {
        let places = Places::new(1);
        let mut leaving: Vec<Place<IpAddr>> = (0..=LEAVING + 1).map(|_| places.take(address(9)).0).collect();
        let began = tokio::time::Instant::now();
        places.settled().await;
        let waited = began.elapsed();
        assert!((LEAVE..2 * LEAVE).contains(&waited), "not for ever: {waited:?}");
        tokio::join!(places.settled(), async { drop(leaving.remove(0)) });
        assert_eq!(began.elapsed(), waited, "no longer when one is gone");
        drop(leaving);
        let table = places.table();
        assert_eq!((table.taken, table.leaving), (0, 0));
    }

    #[test]
    fn an_ipv6_network_is_one_holder() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!((of("::ffff:192.0.2.1"), of("192.0.2.1")), ("192.0.2.1".into(), "192.0.2.1".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_alone_keeps_its_newest() {
        let places = Places::new(2);
        let all: Vec<Place<IpAddr>> = (0..5).map(|_| places.take(address(9)).0).collect();
        for (at, place) in all.iter().enumerate() {
            assert_eq!(is_lost(place).await, at < 3, "{at}");
        }
    }
}
