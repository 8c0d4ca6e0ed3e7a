//! Places for calls that last: how many of each there are, and how many of them one caller may hold.

use crate::Fault;
use crate::places::Seat;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

/// Calls that last as long as their caller likes: all that may be under way, and those of one key or edge. An answer that
/// nobody takes lasts, too. One process of an edge never has more than 200 questions under way, which is what HTTP/2 gives it.
/// Pages and batches are large, in and out: a caller who neither ends what he sends nor reads what he is sent holds their memory.
const LASTING: [(&str, usize, usize); 14] = [
    ("WatchLinks", 256, 32),
    ("ExportLinks", 64, 8),
    ("ImportLinks", 64, 8),
    ("Follow", 4_096, 16),
    ("Fetch", 16_384, 512),
    ("ListLinks", 96, 32),
    ("ListLinkHistory", 96, 32),
    ("ListDomains", 96, 32),
    ("ListEdges", 96, 32),
    ("ListKeys", 96, 32),
    ("ListAudit", 96, 32),
    ("BatchCreateLinks", 96, 32),
    ("BatchUpdateLinks", 96, 32),
    ("BatchDeleteLinks", 96, 32),
];
/// Of one holder, those that are being answered, up to the last byte, at once: the others wait.
const FETCHES: usize = 32;
const PAGES: usize = 8;
/// For a page to be taken by whoever asked for it; then his connection ends.
const TAKEN: Duration = Duration::from_secs(30);

/// Who holds a place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Whoever shows this key.
    Key(Arc<str>),
    /// An edge, by its certificate or whichever key of its own.
    Edge(Arc<str>),
    /// Where no key is asked for, all behind an address, which may be a proxy: half of all places.
    Address(u64),
    /// Some edges with one key or none, which cannot be told apart: all places.
    Edges,
}

type Held = (&'static str, Holder);

/// See the module.
#[derive(Debug, Default)]
pub struct Places {
    held: Mutex<HashMap<Held, usize>>,
    turns: Mutex<HashMap<Held, Arc<Semaphore>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    held: Held,
    turn: Option<OwnedSemaphorePermit>,
    untaken: Option<AbortHandle>,
}

impl Places {
    /// A place for a call of this name; none is needed for one that ends by itself.
    ///
    /// # Errors
    /// [`Fault::Overloaded`], or [`Fault::Share`] when the holder has all that one may have.
    pub fn take(self: &Arc<Self>, call: &'static str, holder: Holder) -> Result<Option<Place>, Fault> {
        let Some(&(call, most, one)) = LASTING.iter().find(|(name, ..)| *name == call) else {
            return Ok(None);
        };
        let share = match holder {
            Holder::Key(_) | Holder::Edge(_) => one,
            Holder::Address(_) => most / 2,
            Holder::Edges => most,
        };
        let mut held = self.held();
        let all: usize = held.iter().filter(|((name, _), _)| *name == call).map(|(_, count)| count).sum();
        let own = held.get(&(call, holder.clone())).copied().unwrap_or(0);
        if own >= share {
            return Err(Fault::Share(call, share));
        }
        if all >= most {
            return Err(Fault::Overloaded);
        }
        held.insert((call, holder.clone()), own + 1);
        Ok(Some(Place { places: self.clone(), held: (call, holder), turn: None, untaken: None }))
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Held, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<Held, Arc<Semaphore>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until its holder has few enough of these calls under way, if there is a bound.
    pub async fn turn(&mut self) {
        let most = match &self.held {
            ("Fetch", Holder::Edge(_)) => FETCHES,
            // Edges that cannot be told apart would wait for each other.
            (_, Holder::Edge(_) | Holder::Edges) => return,
            (call, _) if is_page(call) => PAGES,
            _ => return,
        };
        let line = {
            let mut turns = self.places.turns();
            turns.entry(self.held.clone()).or_insert_with(|| Arc::new(Semaphore::new(most))).clone()
        };
        self.turn = line.acquire_owned().await.ok(); // it is never closed
    }

    /// From now on the page is there to be taken, by this connection.
    pub fn offer(&mut self, seat: Arc<Seat>) {
        if is_page(self.held.0) {
            let untaken = tokio::spawn(async move {
                tokio::time::sleep(TAKEN).await;
                seat.give_up();
            });
            self.untaken = Some(untaken.abort_handle());
        }
    }
}

fn is_page(call: &str) -> bool {
    call.starts_with("List") || call.starts_with("Batch")
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(untaken) = self.untaken.take() {
            untaken.abort();
        }
        self.turn = None;
        let mut held = self.places.held();
        if let Some(count) = held.get_mut(&self.held) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.held);
                self.places.turns().remove(&self.held);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_its_share_and_gives_it_back() {
        let places = Arc::<Places>::default();
        let take = |holder: &str| places.take("WatchLinks", Holder::Key(holder.into()));
        let mut held: Vec<_> = (0..32).map(|_| take("a").unwrap().unwrap()).collect();
        assert_eq!(take("a").unwrap_err(), Fault::Share("WatchLinks", 32));
        held.pop();
        held.push(take("a").unwrap().unwrap());
        for holder in ["b", "c", "d", "e", "f", "g", "h"] {
            held.extend((0..32).map(|_| take(holder).unwrap().unwrap()));
        }
        assert_eq!(take("i").unwrap_err(), Fault::Overloaded);
        assert!(places.take("ExportLinks", Holder::Key("a".into())).unwrap().is_some(), "of another kind");
        assert!(places.take("GetLink", Holder::Key("a".into())).unwrap().is_none());
        held.clear();
        assert!(places.held().is_empty());
        let address =
            (0..).map_while(|_| places.take("WatchLinks", Holder::Address(1)).ok()).collect::<Vec<_>>();
        assert_eq!(address.len(), 128);
    }

    #[tokio::test]
    async fn questions_of_one_edge_wait_for_each_other_and_for_those_of_no_other() {
        let places = Arc::<Places>::default();
        let take = |edge: &str| places.take("Fetch", Holder::Edge(edge.into())).unwrap().unwrap();
        let mut held: Vec<_> = (0..512).map(|_| take("a")).collect();
        let refused = places.take("Fetch", Holder::Edge("a".into())).unwrap_err();
        assert_eq!(refused, Fault::Share("Fetch", 512));
        for place in &mut held[..32] {
            place.turn().await;
        }
        let (first, rest) = held.split_at_mut(32);
        let mut waiting = Box::pin(rest[0].turn());
        assert!(futures_now(&mut waiting).await.is_none());
        let mut other = take("b");
        assert!(futures_now(&mut Box::pin(other.turn())).await.is_some());
        first[7].turn = None;
        assert!(futures_now(&mut waiting).await.is_some());
        drop(waiting);
        drop((held, other));
        assert!(places.held().is_empty() && places.turns().is_empty());
    }

    /// Found by attack: 800 pages of one key that nobody read took 4 GB.
    #[tokio::test]
    async fn pages_of_one_key_wait_for_each_other_and_for_those_of_no_other() {
        for call in ["ListLinks", "ListLinkHistory", "BatchCreateLinks"] {
            let places = Arc::<Places>::default();
            let take = |key: &str| places.take(call, Holder::Key(key.into())).unwrap().unwrap();
            let mut held: Vec<_> = (0..32).map(|_| take("a")).collect();
            let refused = places.take(call, Holder::Key("a".into())).unwrap_err();
            assert_eq!(refused, Fault::Share(call, 32));
            let (first, rest) = held.split_at_mut(8);
            for place in &mut *first {
                place.turn().await;
            }
            let mut waiting = Box::pin(rest[0].turn());
            assert!(futures_now(&mut waiting).await.is_none());
            let mut other = take("b");
            assert!(futures_now(&mut Box::pin(other.turn())).await.is_some());
            first[3].turn = None;
            assert!(futures_now(&mut waiting).await.is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_is_not_taken_costs_its_connection() {
        let floor = crate::places::Floor::new(1_024);
        let places = Arc::<Places>::default();
        for (call, taken_after, ends) in
            [("ListLinks", 29, false), ("ListLinks", 31, true), ("Follow", 99, false)]
        {
            let seat = floor.seat([127, 0, 0, 1].into());
            let mut place = places.take(call, Holder::Key("a".into())).unwrap().unwrap();
            place.offer(seat.clone());
            let lost = tokio::time::timeout(Duration::from_secs(taken_after), seat.lost()).await.is_ok();
            drop(place);
            let later = tokio::time::timeout(TAKEN * 2, seat.lost()).await.is_ok();
            assert_eq!((lost, later), (ends, false), "{call}, {taken_after} s");
        }
    }

    /// What it gives without waiting.
    async fn futures_now<F: Future + Unpin>(wait: &mut F) -> Option<F::Output> {
        tokio::time::timeout(std::time::Duration::ZERO, wait).await.ok()
    }
}
