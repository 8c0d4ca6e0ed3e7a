//! What is counted of a store.

use super::timings::Timings;
use exposition::Families;
use feed::Trouble;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::model::{PoolCounts, StoreFault};

const FAULTS: [&str; 3] = ["unavailable", "full", "corrupt"];

/// The numbers of one store, and whether it can be read and written.
#[derive(Debug, Default)]
pub struct StoreNumbers {
    calls: Mutex<BTreeMap<&'static str, Arc<Timings>>>,
    faults: [AtomicU64; FAULTS.len()],
    pool: Mutex<PoolCounts>,
    /// Why the last call of each kind failed that did: reads, writes.
    last: Mutex<[String; 2]>,
    /// Reads fail.
    pub unreadable: Trouble,
    /// Writes fail.
    pub unwritable: Trouble,
    /// What is counted of the store of clicks, which may be another file.
    pub clicks: ClickStoreNumbers,
}

/// Faults of a store of clicks.
#[derive(Debug, Default)]
pub struct ClickStoreNumbers {
    faults: [AtomicU64; FAULTS.len()],
    last: Mutex<String>,
    /// Reads fail.
    pub unreadable: Trouble,
    /// Writes fail.
    pub unwritable: Trouble,
}

impl ClickStoreNumbers {
    /// A call failed: the kind of its fault.
    pub fn failed(&self, fault: &StoreFault) -> &'static str {
        let at = kind(fault);
        self.faults[at].fetch_add(1, Relaxed);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = fault.to_string();
        FAULTS[at]
    }

    /// Whether the last read and the last write went well.
    ///
    /// # Errors
    /// Why not.
    pub fn good(&self) -> Result<(), String> {
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if self.unreadable.lasts() || self.unwritable.lasts() { Err(last()) } else { Ok(()) }
    }
}

/// Where a fault stands among [`FAULTS`].
fn kind(fault: &StoreFault) -> usize {
    match fault {
        StoreFault::Unavailable(_) => 0,
        StoreFault::Full => 1,
        StoreFault::Corrupt(_) => 2,
    }
}

impl StoreNumbers {
    /// A call of this kind took so long. The kind comes from the program.
    pub fn took(&self, kind: &'static str, took: Duration) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let timings = calls.entry(kind).or_default().clone();
        drop(calls);
        timings.record(took);
    }

    /// A call failed: the kind of its fault.
    pub fn failed(&self, writes: bool, fault: &StoreFault) -> &'static str {
        let at = kind(fault);
        self.faults[at].fetch_add(1, Relaxed);
        self.last.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(writes)] = fault.to_string();
        FAULTS[at]
    }

    /// Whether the last read, or write, went well.
    ///
    /// # Errors
    /// Why not.
    pub fn good(&self, writes: bool) -> Result<(), String> {
        let trouble = if writes { &self.unwritable } else { &self.unreadable };
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(writes)].clone();
        if trouble.lasts() { Err(last()) } else { Ok(()) }
    }

    /// The pool as it is now.
    pub fn set_pool(&self, pool: PoolCounts) {
        *self.pool.lock().unwrap_or_else(PoisonError::into_inner) = pool;
    }

    pub(super) fn encode(&self, families: &mut Families<'_>) -> fmt::Result {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        families.histograms(
            "linkr_store_request_duration_seconds",
            "Seconds that calls of the store took, their retries included.",
            |series| {
                calls
                    .iter()
                    .try_for_each(|(kind, timings)| series(&[("operation", *kind)], &timings.histogram()))
            },
        )?;
        for (name, help, faults) in [
            ("linkr_store_failures_total", "Calls of the store that failed, by reason.", &self.faults),
            (
                "linkr_store_clicks_failures_total",
                "Calls of the store of clicks that failed, by reason.",
                &self.clicks.faults,
            ),
        ] {
            families.counters(name, help, |series| {
                FAULTS
                    .iter()
                    .zip(faults)
                    .try_for_each(|(kind, count)| series(&[("reason", *kind)], count.load(Relaxed)))
            })?;
        }
        let pool = *self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let help = "Connections to the store for reads, of PostgreSQL for writes as well, by state.";
        families.gauges("linkr_store_connections", help, |series| {
            series(&[("state", "in_use")], pool.in_use as f64)?;
            series(&[("state", "idle")], pool.idle as f64)
        })?;
        families.gauge(
            "linkr_store_connections_most",
            "Connections to the store that there may be.",
            pool.most as f64,
        )?;
        families.gauge(
            "linkr_store_waiting",
            "Calls that wait for a connection to the store.",
            pool.waiting as f64,
        )?;
        for (name, help, trouble) in [
            ("linkr_store_readable", "1: the last read of the store went well.", &self.unreadable),
            ("linkr_store_writable", "1: the last write to the store went well.", &self.unwritable),
            (
                "linkr_store_clicks_readable",
                "1: the last read of the store of clicks went well.",
                &self.clicks.unreadable,
            ),
            (
                "linkr_store_clicks_writable",
                "1: the last write to the store of clicks went well.",
                &self.clicks.unwritable,
            ),
        ] {
            families.gauge(name, help, f64::from(!trouble.lasts()))?;
        }
        Ok(())
    }
}
