//! Edges whose calls are refused: who and why, and that one is let in again. Told ever more seldom while it lasts. Who is
//! refused is not decided here.

use crate::{Fault, clock};
use feed::Spell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Edges that are told apart; what more there are share one.
const MOST: usize = 64;
/// Milliseconds after which one that comes no more is forgotten.
const GONE: u64 = 60_000;
const OTHERS: &str = "others";

#[derive(Debug, Default)]
pub struct Refusals {
    /// Looked at without the lock: as a rule nobody is refused.
    any: AtomicBool,
    all: Mutex<HashMap<String, RefusalSpell>>,
}

#[derive(Debug, Default)]
struct RefusalSpell {
    spell: Spell,
    last: u64,
}

impl Refusals {
    /// A call of this edge, or from this address, was refused.
    pub fn met(&self, who: &str, fault: &Fault) {
        let (now, reason) = (clock::ms(), fault.names().reason);
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, refused| now.saturating_sub(refused.last) < GONE);
        let edge = if all.len() < MOST || all.contains_key(who) { who } else { OTHERS };
        let refused = all.entry(edge.to_owned()).or_default();
        refused.last = now;
        self.any.store(true, Relaxed);
        let Some(tell) = refused.spell.met(now, reason) else { return };
        let (lasts_ms, untold) = (tell.lasts_ms, tell.untold);
        tracing::warn!(
            name: "edge_refused", edge, reason, why = %fault, lasts_ms, untold,
            "an edge is refused: it learns of no change until it shows a key or certificate that is good"
        );
    }

    /// A call of this edge was let in.
    pub fn over(&self, who: &str) {
        if !self.any.load(Relaxed) {
            return;
        }
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        // It stays known for a while: one that comes and goes does not fill the log.
        let over = all.get_mut(who).and_then(|refused| refused.spell.over(clock::ms()));
        self.any.store(all.values().any(|refused| refused.spell.lasts()), Relaxed);
        if let Some(over) = over {
            tracing::info!(name: "edge_let_in", edge = who, lasted_ms = over.lasted_ms, "an edge is let in again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowds_take_no_more_room_than_this() {
        let refusals = Refusals::default();
        let fault = Fault::Unauthenticated("the key was revoked");
        for edge in 0..10 * MOST {
            refusals.met(&edge.to_string(), &fault);
        }
        assert_eq!(refusals.all.lock().unwrap().len(), MOST + 1);
        for edge in 0..MOST {
            refusals.over(&edge.to_string());
            assert!(refusals.any.load(Relaxed));
        }
        refusals.over(OTHERS);
        assert!(!refusals.any.load(Relaxed));
    }
}
