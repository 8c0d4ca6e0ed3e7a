//! Places for the connections of one listener. Somebody new always gets one: when all are taken, a connection of the address
//! that holds most of them ends, the oldest of those whose calls were refused, else the oldest. So a thousand connections
//! that ask nothing keep nobody out.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The places of one listener.
#[derive(Debug)]
pub struct Places {
    most: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_address: HashMap<IpAddr, BTreeMap<Rank, Arc<Notify>>>,
    taken: usize,
    last: u64,
}

/// The order in which places of one address are given to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Refused(u64),
    Open(u64),
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    address: IpAddr,
    number: u64,
    end: Arc<Notify>,
}

impl Places {
    /// So many places, at least one.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), table: Mutex::default() })
    }

    /// Takes one for a connection from `address`, if need be from another connection.
    #[must_use]
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Place {
        let mut table = self.table();
        if table.taken >= self.most {
            table.end_one();
        }
        table.last += 1;
        table.taken += 1;
        let (number, end) = (table.last, Arc::new(Notify::new()));
        table.by_address.entry(address).or_default().insert(Rank::Open(number), end.clone());
        drop(table);
        Place { places: self.clone(), address, number, end }
    }

    /// Connections that hold one.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.table().taken
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn end_one(&mut self) {
        let crowd = self.by_address.iter().max_by_key(|(_, places)| places.len());
        let Some((&address, rank)) = crowd.and_then(|(at, places)| Some((at, *places.first_key_value()?.0)))
        else {
            return;
        };
        if let Some(end) = self.leave(address, rank) {
            end.notify_one();
        }
    }

    fn leave(&mut self, address: IpAddr, rank: Rank) -> Option<Arc<Notify>> {
        let places = self.by_address.get_mut(&address)?;
        let end = places.remove(&rank)?;
        self.taken -= 1;
        if places.is_empty() {
            self.by_address.remove(&address);
        }
        Some(end)
    }
}

impl Place {
    /// Returns when somebody else has this place.
    pub async fn lost(&self) {
        self.end.notified().await;
        self.end.notify_one(); // for whoever asks again
    }
}

impl Place {
    /// A call of this connection was refused: its place goes to somebody else before that of one who may still be let in.
    pub fn refused(&self) {
        let mut table = self.places.table();
        if let Some(places) = table.by_address.get_mut(&self.address)
            && let Some(end) = places.remove(&Rank::Open(self.number))
        {
            places.insert(Rank::Refused(self.number), end);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.table();
        for rank in [Rank::Open(self.number), Rank::Refused(self.number)] {
            table.leave(self.address, rank);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    async fn is_lost(place: &Place) -> bool {
        tokio::time::timeout(std::time::Duration::from_millis(1), place.lost()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_the_greatest_crowd_makes_room() {
        let places = Places::new(4);
        let quiet = places.take(address(1));
        let crowd: Vec<Place> = (0..3).map(|_| places.take(address(2))).collect();
        let new = places.take(address(3));
        assert!(is_lost(&crowd[0]).await && !is_lost(&crowd[1]).await);
        assert!(!is_lost(&quiet).await && !is_lost(&new).await);
        assert_eq!(places.taken(), 4);
        drop(crowd);
        assert_eq!(places.taken(), 2, "one that lost its place gives none back");
        drop((quiet, new));
        assert!(places.table().by_address.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_refused_goes_before_who_has_not_asked_yet() {
        let places = Places::new(3);
        let all: Vec<Place> = (0..3).map(|_| places.take(address(9))).collect();
        all[1].refused();
        all[1].refused();
        let _new = places.take(address(9));
        assert!(is_lost(&all[1]).await && !is_lost(&all[0]).await && !is_lost(&all[2]).await);
        all[1].refused();
        drop(all);
        assert_eq!(places.taken(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_alone_keeps_its_newest() {
        let places = Places::new(2);
        let all: Vec<Place> = (0..5).map(|_| places.take(address(9))).collect();
        for (at, place) in all.iter().enumerate() {
            assert_eq!(is_lost(place).await, at < 3, "{at}");
        }
    }
}
