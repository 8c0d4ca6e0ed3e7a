//! Bytes of bodies that have not ended: how many there are, and how many of one caller's.

use super::shares::{Holder, Kind};
use crate::Fault;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Of all calls, and of those of one key, in MiB.
static UNENDED: Kind = Kind::of_bytes("MiB of unfinished bodies", 128, 32);
const MIB: usize = 1024 * 1024;
/// A body of a few bytes is let in when large ones have taken all, up to as much again.
pub const FEW: usize = 16 * 1024;

/// The bytes by those who hold them.
#[derive(Debug, Default)]
pub struct Bodies(Mutex<HashMap<Holder, usize>>);

impl Bodies {
    /// By those who hold them.
    pub(crate) fn held(&self) -> MutexGuard<'_, HashMap<Holder, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many bytes for all of them, or for none. `few`: of a body of at most [`FEW`].
    ///
    /// # Errors
    /// [`Fault::Full`], or [`Fault::Share`] when a holder has all that one may have.
    pub fn take(&self, holders: &[Holder], cost: usize, few: bool) -> Result<(), Fault> {
        let mut all = self.held();
        for holder in holders {
            let share = UNENDED.share(holder);
            let most = if few { 2 * share * MIB } else { share * MIB };
            if all.get(holder).copied().unwrap_or(0) + cost > most {
                return Err(UNENDED.full(holder, share));
            }
        }
        for holder in holders {
            *all.entry(holder.clone()).or_default() += cost;
        }
        Ok(())
    }

    /// What was taken.
    pub fn give_back(&self, holders: &[Holder], cost: usize) {
        let mut all = self.held();
        for holder in holders {
            if let Some(held) = all.get_mut(holder) {
                *held -= cost;
                if *held == 0 {
                    all.remove(holder);
                }
            }
        }
    }
}
