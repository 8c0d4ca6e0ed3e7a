//! Places for the connections of the API: few for strangers, and many for those whose calls were let in. Of each kind a new
//! connection always gets one, and whoever holds most makes room. So whoever has a key is served, however many come
//! without one or with many.

use crate::clock;
use crate::keys::KeyEntry;
use exposition::{Place, Places, network};
use feed::Spell;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Connections none of whose calls was let in, at once.
const STRANGERS: usize = 1_024;
/// Connections with a call that was let in, at once.
const KNOWN: usize = 3_072;
/// The share of the process's descriptors that the API may have: one in so many.
const SHARE: usize = 4;
/// Between two looks whether the key of a connection may still be used.
const LOOK: Duration = Duration::from_secs(1);

/// Descriptors that the API may have in a process that may have `files`.
#[must_use]
pub fn descriptors(files: usize) -> usize {
    (STRANGERS + KNOWN).min(files / SHARE)
}

/// All places of the API.
#[derive(Debug)]
pub struct ConnectionPlaces {
    strangers: Arc<Places<IpAddr>>,
    known: Arc<Places<Arc<str>>>,
    full: Mutex<Spell>,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub struct ConnectionPlace {
    floor: Arc<ConnectionPlaces>,
    address: IpAddr,
    standing: Mutex<Occupant>,
    given_up: Notify,
}

#[derive(Clone, Debug)]
enum Occupant {
    Stranger(Arc<Place<IpAddr>>),
    /// By this key, or from its address where none is asked for.
    Known(Arc<Place<Arc<str>>>, Option<Arc<KeyEntry>>),
}

impl ConnectionPlaces {
    /// The places in a process that may have so many descriptors.
    #[must_use]
    pub fn new(files: usize) -> Arc<Self> {
        let all = descriptors(files);
        let strangers = (all / 4).max(1);
        let (strangers, known) = (Places::new(strangers), Places::new(all.saturating_sub(strangers)));
        Arc::new(Self { strangers, known, full: Mutex::default() })
    }

    /// A place for a new connection, if need be that of another stranger.
    #[must_use]
    pub fn seat(self: &Arc<Self>, address: IpAddr) -> Arc<ConnectionPlace> {
        let place = Arc::new(self.strangers.take(network(address)).0);
        let standing = Mutex::new(Occupant::Stranger(place));
        Arc::new(ConnectionPlace { floor: self.clone(), address, standing, given_up: Notify::new() })
    }

    /// Waits for connections that lost their places to be closed, for a moment.
    pub async fn settled(&self) {
        self.strangers.settled().await;
        self.known.settled().await;
    }

    fn known(&self, holder: Arc<str>) -> Place<Arc<str>> {
        let (place, made_room) = self.known.take(holder);
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((holder, held)) = made_room else {
            return place;
        };
        if let Some(tell) = full.met(clock::ms(), "full") {
            let (lasts_ms, untold) = (tell.lasts_ms, tell.untold);
            tracing::warn!(
                name: "api_full",
                holder = &*holder,
                held,
                lasts_ms,
                untold,
                "every place for connections with a key is taken: whoever holds most, here this key, or all keys for this domain, loses one; let it keep fewer open"
            );
        }
        place
    }
}

impl ConnectionPlace {
    /// A call of this connection is let in, by this key or, where none is asked for, from its address.
    pub fn let_in(&self, key: Option<&Arc<KeyEntry>>) {
        let mut standing = self.standing();
        if let Occupant::Stranger(_) = *standing {
            let holder =
                key.map_or_else(|| network(self.address).to_string().into(), |key| key.counted_as().clone());
            *standing = Occupant::Known(Arc::new(self.floor.known(holder)), key.cloned());
        }
    }

    /// A call of this connection was refused.
    pub fn refused(&self) {
        if let Occupant::Stranger(place) = &*self.standing() {
            place.refused();
        }
    }

    /// Whether a call of this connection was let in.
    #[must_use]
    pub fn is_known(&self) -> bool {
        matches!(*self.standing(), Occupant::Known(..))
    }

    /// The connection does not take what it asked for: it is to end.
    pub fn give_up(&self) {
        self.given_up.notify_one();
    }

    /// Returns when another connection has this place, when the key that it was let in by may not be used any more, or
    /// when it was given up.
    pub async fn lost(&self) {
        tokio::select! {
            () = self.given_up.notified() => {
                tracing::debug!(name: "answer_untaken", peer = %self.address, "a connection does not take its answers: it is ended");
            }
            () = self.taken() => {}
        }
    }

    async fn taken(&self) {
        loop {
            let standing = self.standing().clone();
            match standing {
                Occupant::Stranger(place) => {
                    place.lost().await;
                    if !self.is_known() {
                        return;
                    }
                }
                Occupant::Known(_, Some(key)) if key.ended().is_some() => return,
                Occupant::Known(place, _) => {
                    if tokio::time::timeout(LOOK, place.lost()).await.is_ok() {
                        return;
                    }
                }
            }
        }
    }

    fn standing(&self) -> MutexGuard<'_, Occupant> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANYWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    async fn is_lost(seat: &ConnectionPlace) -> bool {
        tokio::time::timeout(Duration::from_millis(1), seat.lost()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_make_room_for_each_other_and_never_end_who_was_let_in() {
        let floor = ConnectionPlaces::new(64); // 16 for the API: 4 of them for strangers
        let known = floor.seat(ANYWHERE);
        known.let_in(None);
        let strangers: Vec<_> = (0..9).map(|_| floor.seat(ANYWHERE)).collect();
        for (at, seat) in strangers.iter().enumerate() {
            assert_eq!(is_lost(seat).await, at < 5, "{at}");
        }
        assert!(!is_lost(&known).await);
        // One that was let in while it lost its place stays.
        strangers[0].let_in(None);
        assert!(!is_lost(&strangers[0]).await);
    }

    /// Found by attack: two keys for one domain took every place, and the calls that would have revoked them were refused.
    #[tokio::test(start_paused = true)]
    async fn whoever_holds_most_makes_room_for_another_key() {
        let floor = ConnectionPlaces::new(64); // 12 for those who were let in
        let by = |key: &Arc<KeyEntry>| {
            let seat = floor.seat(ANYWHERE);
            seat.let_in(Some(key));
            seat
        };
        let keys = ["a", "b", "admin"].map(|name| Arc::new(KeyEntry::feed_for_test(name)));
        let a: Vec<_> = (0..7).map(|_| by(&keys[0])).collect();
        let b: Vec<_> = (0..5).map(|_| by(&keys[1])).collect();
        let admin = by(&keys[2]);
        assert!(is_lost(&a[0]).await && !is_lost(&a[1]).await && !is_lost(&b[0]).await);
        let more: Vec<_> = (0..20).map(|_| by(&keys[1])).collect();
        assert!(!is_lost(&admin).await && !is_lost(&more[19]).await);
    }

    /// Found by attack: many keys for one domain held a few connections each, and whoever had more with one key lost his.
    #[tokio::test(start_paused = true)]
    async fn many_keys_for_one_domain_hold_connections_as_one() {
        let floor = ConnectionPlaces::new(64); // 12 for those who were let in
        let by = |key: &Arc<KeyEntry>| {
            let seat = floor.seat(ANYWHERE);
            seat.let_in(Some(key));
            seat
        };
        let other = Arc::new(KeyEntry::feed_for_test("other"));
        let others: Vec<_> = (0..3).map(|_| by(&other)).collect();
        let many: Vec<_> = (0..20).map(|n| by(&Arc::new(KeyEntry::for_test(&n.to_string(), "a")))).collect();
        for seat in &others {
            assert!(!is_lost(seat).await);
        }
        assert!(is_lost(&many[0]).await && !is_lost(&many[19]).await);
    }

    /// Found by attack: the connections of a revoked key kept their places.
    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_with_the_key_that_it_was_let_in_by() {
        let seat = ConnectionPlaces::new(48).seat(ANYWHERE);
        seat.let_in(Some(&Arc::new(KeyEntry::revoked())));
        assert!(is_lost(&seat).await);
    }
}
