//! Places for calls that last: how many of each there are, and how many of them one caller may hold.

use crate::Fault;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Calls that last as long as their caller likes: all that may be under way, and those of one key or edge. An answer that
/// nobody takes lasts, too. One process of an edge never has more than 200 questions under way, which is what HTTP/2 gives it.
const LASTING: [(&str, usize, usize); 5] = [
    ("WatchLinks", 256, 32),
    ("ExportLinks", 64, 8),
    ("ImportLinks", 64, 8),
    ("Follow", 4_096, 16),
    ("Fetch", 16_384, 512),
];
/// Of one edge, those that are being answered, up to the last byte, at once: the others wait.
const TURNS: [(&str, usize); 1] = [("Fetch", 32)];

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
        Ok(Some(Place { places: self.clone(), held: (call, holder), turn: None }))
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
        // Edges that cannot be told apart would wait for each other.
        let (call, Holder::Edge(_)) = &self.held else { return };
        let Some((_, most)) = TURNS.iter().find(|(name, _)| name == call) else { return };
        let line = {
            let mut turns = self.places.turns();
            turns.entry(self.held.clone()).or_insert_with(|| Arc::new(Semaphore::new(*most))).clone()
        };
        self.turn = line.acquire_owned().await.ok(); // it is never closed
    }
}

impl Drop for Place {
    fn drop(&mut self) {
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

    /// What it gives without waiting.
    async fn futures_now<F: Future + Unpin>(wait: &mut F) -> Option<F::Output> {
        tokio::time::timeout(std::time::Duration::ZERO, wait).await.ok()
    }
}
