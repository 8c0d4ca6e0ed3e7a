//! Bytes of bodies that have not ended: how many there are, and how many of one caller's.

use super::shares::{CallKind, Holder, HolderCounts};
use crate::Fault;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Of all calls, and of those of one key, in MiB.
static UNENDED: CallKind = CallKind::of_bytes("MiB of unfinished bodies", 128, 32);
const MIB: usize = 1024 * 1024;
/// Bodies of a few bytes are counted for themselves: neither they nor large ones keep the others out.
pub const FEW: usize = 16 * 1024;

/// The bytes by those who hold them, and whether they are of bodies of a few bytes.
#[derive(Debug, Default)]
pub struct Bodies(Mutex<HashMap<(Holder, bool), usize>>);

impl Bodies {
    /// By those who hold them, and whether they are few.
    pub(crate) fn held(&self) -> MutexGuard<'_, HashMap<(Holder, bool), usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many bytes for all of them, or for none. `few`: of a body of at most [`FEW`].
    ///
    /// # Errors
    /// [`Fault::Full`], or [`Fault::Share`] when a holder has all that one may have.
    pub fn take(&self, holders: &[Holder], cost: usize, few: bool) -> Result<(), Fault> {
        let mut all = self.held();
        let of = |holder: &Holder| all.get(&(holder.clone(), few)).copied().unwrap_or(0);
        for holder in holders {
            let share = UNENDED.share(holder, HolderCounts::of(holders, |holder| of(holder).div_ceil(MIB)));
            if of(holder) + cost > share * MIB {
                return Err(UNENDED.full(holder, share));
            }
        }
        for holder in holders {
            *all.entry((holder.clone(), few)).or_default() += cost;
        }
        Ok(())
    }

    /// What was taken.
    pub fn give_back(&self, holders: &[Holder], cost: usize, few: bool) {
        let mut all = self.held();
        for holder in holders {
            if let Entry::Occupied(mut held) = all.entry((holder.clone(), few)) {
                *held.get_mut() -= cost;
                if *held.get() == 0 {
                    held.remove();
                }
            }
        }
    }
}
