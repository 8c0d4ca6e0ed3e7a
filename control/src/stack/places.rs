//! Places for calls that last: how many of each there are, and how many of them one caller may hold.

use crate::Fault;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Calls that last as long as their caller likes: all that may be under way, and those of one key or edge.
const LASTING: [(&str, usize, usize); 4] =
    [("WatchLinks", 256, 32), ("ExportLinks", 64, 8), ("ImportLinks", 64, 8), ("Follow", 4_096, 16)];

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

/// See the module.
#[derive(Debug, Default)]
pub struct Places(Mutex<HashMap<(&'static str, Holder), usize>>);

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    held: (&'static str, Holder),
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
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = held.iter().filter(|((name, _), _)| *name == call).map(|(_, count)| count).sum();
        let own = held.get(&(call, holder.clone())).copied().unwrap_or(0);
        if own >= share {
            return Err(Fault::Share(call, share));
        }
        if all >= most {
            return Err(Fault::Overloaded);
        }
        held.insert((call, holder.clone()), own + 1);
        Ok(Some(Place { places: self.clone(), held: (call, holder) }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.held) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.held);
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
        assert!(places.0.lock().unwrap().is_empty());
        let address =
            (0..).map_while(|_| places.take("WatchLinks", Holder::Address(1)).ok()).collect::<Vec<_>>();
        assert_eq!(address.len(), 128);
    }
}
