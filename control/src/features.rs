//! Which features of records are in use, and which edges follow that lack one: a write that needs a feature is refused
//! while such an edge follows, and such an edge is refused once one is in use.

use crate::Fault;
use record::Features;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Decides between writes and edges, each in its turn: whoever comes second is refused.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<GateState>,
    /// How far the links of the store were read for features that they need.
    pub walked: tokio::sync::Mutex<FeatureWalk>,
}

#[derive(Debug, Default)]
struct GateState {
    /// Those that a record is known to need, or that a write was let through for. None is taken out while control runs.
    used: Features,
    /// The edge of each stream that is up, and what it knows.
    streams: BTreeMap<u64, (String, Features)>,
    last: u64,
}

/// Links are read once, for the first edge that lacks a feature of theirs; what is written later is known.
#[derive(Debug, Default)]
pub struct FeatureWalk {
    /// The last key.
    pub after: Vec<u8>,
    /// Whether there are no more.
    pub whole: bool,
}

/// A stream that was let in. When this is dropped, nothing waits for its edge any more.
#[derive(Debug)]
pub struct GatePlace {
    gate: Arc<Gate>,
    number: u64,
}

impl Drop for GatePlace {
    fn drop(&mut self) {
        self.gate.lock().streams.remove(&self.number);
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every edge that follows knows these.
    ///
    /// # Errors
    /// [`Fault::EdgeTooOld`], of one that does not.
    pub fn check(&self, needed: Features) -> Result<(), Fault> {
        self.lock().lacking(needed)
    }

    /// The same for a write: from here on no edge is let in that lacks one of them.
    ///
    /// # Errors
    /// [`Fault::EdgeTooOld`]: they are not in use then.
    pub fn take(&self, needed: Features) -> Result<(), Fault> {
        let mut state = self.lock();
        state.lacking(needed)?;
        state.used |= needed;
        Ok(())
    }

    /// A record needs these.
    pub fn met(&self, needed: Features) {
        self.lock().used |= needed;
    }

    /// Lets a stream of this edge in.
    ///
    /// # Errors
    /// What is in use and not known to it.
    pub fn enter(self: &Arc<Self>, edge: &str, knows: Features) -> Result<GatePlace, Features> {
        let mut state = self.lock();
        let lacks = state.used & !knows;
        if lacks.any() {
            return Err(lacks);
        }
        state.last += 1;
        let number = state.last;
        state.streams.insert(number, (edge.to_owned(), knows));
        drop(state);
        Ok(GatePlace { gate: self.clone(), number })
    }
}

impl GateState {
    fn lacking(&self, needed: Features) -> Result<(), Fault> {
        let lacks = |(edge, knows): &(String, Features)| {
            let lacks = needed & !*knows;
            lacks.any().then(|| Fault::EdgeTooOld { edge: edge.clone(), lacks: lacks.names() })
        };
        self.streams.values().find_map(lacks).map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Features = Features::ROOT_TARGET;

    #[test]
    fn whoever_comes_second_is_refused() {
        let gate = Arc::new(Gate::default());
        let old = gate.enter("old", Features::default()).unwrap();
        let _new = gate.enter("new", Features::KNOWN).unwrap();
        let refused = gate.take(ROOT).unwrap_err();
        assert_eq!(refused, Fault::EdgeTooOld { edge: "old".into(), lacks: "root_target".into() });
        assert_eq!(gate.check(ROOT | Features::ROBOTS).unwrap_err().names().reason, "EDGE_TOO_OLD");
        assert!(gate.take(Features::default()).is_ok());
        let again = gate.enter("old", Features::default()).unwrap(); // what was refused is not in use
        drop(old);
        assert!(gate.check(ROOT).is_err(), "its other stream is up");
        drop(again);
        assert!(gate.check(ROOT).is_ok() && gate.enter("old", Features::default()).is_ok());
        assert!(gate.take(ROOT).is_ok());
        assert_eq!(gate.enter("old", Features::ROBOTS).unwrap_err(), ROOT);
        assert!(gate.enter("new", Features::KNOWN).is_ok());
        gate.met(Features::ROBOTS);
        assert_eq!(gate.enter("old", Features::default()).unwrap_err(), ROOT | Features::ROBOTS);
    }
}
