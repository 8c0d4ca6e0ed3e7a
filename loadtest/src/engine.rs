//! Sends what the plan says and measures what comes back: threads that share nothing while they run.

mod connection;
mod resp;
mod response;
mod schedule;
mod sender;
mod transport;

use crate::keys::{KeyStream, Keys};
use crate::measure::Measurement;
use crate::plan::Plan;
use schedule::Schedule;
use sender::Sender;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

pub use schedule::Clicks;

/// The phases of a run, of one thread or of all.
pub struct RunResult {
    /// The warm-up.
    pub cold: Measurement,
    /// The rest.
    pub warm: Measurement,
    /// How long the rest took.
    pub took: Duration,
}

/// Counts while a run is under way.
#[derive(Default)]
pub struct LiveCounts {
    /// Right answers.
    pub right: AtomicU64,
    /// Everything else.
    pub wrong: AtomicU64,
    /// Due and not sent yet.
    pub behind: AtomicU64,
}

/// Runs `plan`. `clicks`: the recorded times, with [`crate::plan::Pace::Recorded`]. `watch` is called ten times a
/// second, and at the moment when the warm-up ends.
///
/// # Errors
/// One line when the load cannot even begin: no connection, a bad certificate.
pub fn run(
    plan: &Plan,
    keys: &Arc<Keys>,
    clicks: Option<&Clicks>,
    seed: u64,
    mut watch: impl FnMut(&LiveCounts, Duration, RunMoment),
) -> Result<RunResult, String> {
    let threads = plan.threads.clamp(1, plan.connections.max(1));
    let (live, barrier) = (Arc::new(LiveCounts::default()), Arc::new(Barrier::new(threads + 1)));
    let tls = if plan.url.tls { Some(transport::config(plan)?) } else { None };
    let mut handles = Vec::new();
    for at in 0..threads {
        let connections = plan.connections / threads + usize::from(at < plan.connections % threads);
        let stream = KeyStream::new(Arc::clone(keys), seed, at, threads);
        let schedule = Schedule::new(plan, clicks, at, threads);
        let (plan, live, barrier, tls) = (plan.clone(), Arc::clone(&live), Arc::clone(&barrier), tls.clone());
        handles.push(std::thread::spawn(move || {
            if let Some(core) = plan.core {
                crate::sys::pin_to_core(core + at);
            }
            if plan.shares_core {
                services::go_first(); // where that may not be, the lateness says what it costs
            }
            let sender = Sender::new(plan, connections, stream, schedule, tls, live);
            let ready = sender.and_then(|mut sender| sender.connect().map(|()| sender));
            barrier.wait(); // connected
            barrier.wait(); // the server was read
            // Whoever is not ready lets the others begin all the same, and says so at the end.
            ready.and_then(Sender::run)
        }));
    }
    barrier.wait();
    let mut warm = plan.warmup.is_zero();
    watch(&live, Duration::ZERO, RunMoment::Begin);
    if warm {
        watch(&live, Duration::ZERO, RunMoment::Warm);
    }
    barrier.wait();
    let began = Instant::now();
    while !handles.iter().all(std::thread::JoinHandle::is_finished) {
        let next =
            if warm { Duration::from_millis(100) } else { plan.warmup.saturating_sub(began.elapsed()) };
        std::thread::sleep(next.clamp(Duration::from_millis(1), Duration::from_millis(100)));
        if !warm && began.elapsed() >= plan.warmup {
            warm = true;
            watch(&live, began.elapsed(), RunMoment::Warm);
        }
        watch(&live, began.elapsed(), RunMoment::Tick);
    }
    watch(&live, began.elapsed(), RunMoment::End);
    let mut done =
        RunResult { cold: Measurement::default(), warm: Measurement::default(), took: Duration::ZERO };
    for handle in handles {
        let own = handle.join().map_err(|_| "a sending thread panicked".to_owned())??;
        done.cold.add(&own.cold);
        done.warm.add(&own.warm);
        done.took = done.took.max(own.took);
    }
    Ok(done)
}

/// A moment at which [`run`] calls its watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunMoment {
    /// Connections are made, nothing is sent yet.
    Begin,
    /// The warm-up is over.
    Warm,
    /// A tenth of a second has passed.
    Tick,
    /// Everything has ended.
    End,
}
