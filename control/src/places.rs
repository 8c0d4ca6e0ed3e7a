//! Places for the connections of the API: few for strangers, who make room for each other, and many for those whose calls
//! were let in. So whoever has a key is served, however many come without one.

use crate::Fault;
use exposition::{Place, Places};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections none of whose calls was let in, at once.
const STRANGERS: usize = 1_024;
/// Connections with a call that was let in, at once.
const KNOWN: usize = 3_072;
/// The share of the process's descriptors that the API may have: one in so many.
const SHARE: usize = 3;

/// Descriptors that the API may have in a process that may have `files`.
#[must_use]
pub fn descriptors(files: usize) -> usize {
    (STRANGERS + KNOWN).min(files / SHARE)
}

/// All places of the API.
#[derive(Debug)]
pub struct Floor {
    strangers: Arc<Places>,
    known: Mutex<Crowd>,
    most_known: usize,
}

/// Connections by whose they are: one number a key, or an address where no key is asked for.
#[derive(Debug, Default)]
struct Crowd {
    of_one: HashMap<u64, usize>,
    all: usize,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    floor: Arc<Floor>,
    standing: Mutex<Standing>,
}

#[derive(Debug)]
enum Standing {
    Stranger(Arc<Place>),
    Known(u64),
}

impl Floor {
    /// The places in a process that may have so many descriptors.
    #[must_use]
    pub fn new(files: usize) -> Arc<Self> {
        let all = descriptors(files);
        let strangers = (all / 4).max(1);
        let (strangers, most_known) = (Places::new(strangers), (all - strangers).max(1));
        Arc::new(Self { strangers, known: Mutex::default(), most_known })
    }

    /// A place for a new connection, if need be that of another stranger.
    #[must_use]
    pub fn seat(self: &Arc<Self>, address: IpAddr) -> Arc<Seat> {
        let place = Arc::new(self.strangers.take(address));
        Arc::new(Seat { floor: self.clone(), standing: Mutex::new(Standing::Stranger(place)) })
    }

    fn known(&self) -> MutexGuard<'_, Crowd> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// A call of this connection is let in, by the key or from the address of this number.
    ///
    /// # Errors
    /// [`Fault::Overloaded`]: whoever that is has as many connections as one may have, or all have.
    pub fn let_in(&self, who: u64) -> Result<(), Fault> {
        let mut standing = self.standing();
        if let Standing::Known(_) = *standing {
            return Ok(());
        }
        let mut known = self.floor.known();
        let most_of_one = (self.floor.most_known / 2).max(1);
        let own = known.of_one.get(&who).copied().unwrap_or_default();
        if known.all >= self.floor.most_known || own >= most_of_one {
            return Err(Fault::Overloaded);
        }
        *known.of_one.entry(who).or_default() += 1;
        known.all += 1;
        *standing = Standing::Known(who);
        Ok(())
    }

    /// A call of this connection was refused.
    pub fn refused(&self) {
        if let Standing::Stranger(place) = &*self.standing() {
            place.refused();
        }
    }

    /// Whether a call of this connection was let in.
    #[must_use]
    pub fn is_known(&self) -> bool {
        matches!(*self.standing(), Standing::Known(_))
    }

    /// Returns when another stranger has this place; never, once a call was let in.
    pub async fn lost(&self) {
        let place = match &*self.standing() {
            Standing::Stranger(place) => Some(place.clone()),
            Standing::Known(_) => None,
        };
        if let Some(place) = place {
            place.lost().await;
        }
        if self.is_known() {
            std::future::pending::<()>().await;
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Standing::Known(who) = *self.standing() else { return };
        let mut known = self.floor.known();
        known.all -= 1;
        if let Some(own) = known.of_one.get_mut(&who) {
            *own -= 1;
            if *own == 0 {
                known.of_one.remove(&who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANYWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[tokio::test(start_paused = true)]
    async fn strangers_make_room_for_each_other_and_never_end_who_was_let_in() {
        let floor = Floor::new(48); // 16 for the API: 4 of them for strangers
        let known = floor.seat(ANYWHERE);
        known.let_in(7).unwrap();
        let strangers: Vec<_> = (0..9).map(|_| floor.seat(ANYWHERE)).collect();
        let soon = std::time::Duration::from_millis(1);
        for (at, seat) in strangers.iter().enumerate() {
            assert_eq!(tokio::time::timeout(soon, seat.lost()).await.is_ok(), at < 5, "{at}");
        }
        assert!(tokio::time::timeout(soon, known.lost()).await.is_err());
        // One that was let in while it lost its place stays.
        strangers[0].let_in(8).unwrap();
        assert!(tokio::time::timeout(soon, strangers[0].lost()).await.is_err());
    }

    #[test]
    fn one_key_has_half_of_the_places_at_most() {
        let floor = Floor::new(48);
        let seats: Vec<_> = (0..13).map(|_| floor.seat(ANYWHERE)).collect();
        let taken =
            |who: u64| seats.iter().filter(|seat| !seat.is_known() && seat.let_in(who).is_ok()).count();
        assert_eq!((taken(1), taken(2), taken(3)), (6, 6, 0));
        assert_eq!(seats[0].let_in(3), Ok(()), "who is in stays in");
        drop(seats);
        let known = floor.known();
        assert_eq!((known.all, known.of_one.len()), (0, 0));
    }
}
