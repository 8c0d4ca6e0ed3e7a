//! Tells systemd of a server (`sd_notify`): that it is ready, how it stands, that it ends, and that it lives for as long
//! as its threads turn. Without a `NOTIFY_SOCKET` nobody is told anything.

use exposition::Health;
use sd_notify::NotifyState;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Between two looks at how a server stands, until it is ready and then.
const STARTING: Duration = Duration::from_millis(20);
const SERVING: Duration = Duration::from_millis(500);
/// The service manager is told that this process lives so often in the time that it waits for that.
const PINGS: u32 = 4;
/// Set in a process that takes over and is waited for: its standard input leads to the one that waits.
pub const WAITED_FOR: &str = "UPGRADE_WAITED_FOR";

/// This process is about to take the place of the one that runs.
pub fn hand_over_begins() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]), // a clock that is always there
    }
}

/// The process that was to take over has not: the one that runs is ready, as before.
pub fn nothing_changes() {
    tell(&[NotifyState::Ready]);
}

/// A signal asked this process to end.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells how the server stands until the runtime ends: ready once [`Health::ready`] is good for the first time, alive while
/// [`Health::live`] is.
pub fn supervise(health: Arc<dyn Health>) -> Supervision {
    let asked = std::env::var_os("NOTIFY_SOCKET").is_some();
    let run = || tokio::spawn(Supervised { health, ready: false, hangs: false, status: String::new() }.run());
    Supervision(asked.then(run))
}

/// The task that tells systemd how a server stands, until it is ended.
pub struct Supervision(Option<JoinHandle<()>>);

impl Supervision {
    /// Nothing is told any more.
    pub fn end(&self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

struct Supervised {
    health: Arc<dyn Health>,
    /// Its state as systemd was last told it.
    ready: bool,
    hangs: bool,
    status: String,
}

impl Supervised {
    async fn run(mut self) {
        let watchdog = sd_notify::watchdog_enabled();
        loop {
            self.tell_life(watchdog.is_some());
            self.tell_standing().await;
            let usual = if self.ready { SERVING } else { STARTING };
            tokio::time::sleep(watchdog.map_or(usual, |most| usual.min(most / PINGS))).await;
        }
    }

    fn tell_life(&mut self, watched: bool) {
        let live = self.health.live();
        if live.is_good() && watched {
            tell(&[NotifyState::Watchdog]);
        } else if let Some(why) = live.first().filter(|_| !self.hangs && !live.is_good()) {
            tracing::error!(name: "hangs", why, "the service manager is no more told that this process lives");
        }
        self.hangs = !live.is_good();
    }

    async fn tell_standing(&mut self) {
        let standing = self.health.ready(false).await;
        let status = standing.first().unwrap_or("serves").to_owned();
        if standing.is_good() && !self.ready {
            self.ready = true;
            taken_over();
            // The process number, too: it may have taken the place of another.
            tell(&[
                NotifyState::MainPid(std::process::id()),
                NotifyState::Ready,
                NotifyState::Status(&status),
            ]);
        } else if status != self.status {
            tell(&[NotifyState::Status(&status)]);
        }
        self.status = status;
    }
}

/// Tells the process that waits for this one, if any, that it serves.
fn taken_over() {
    if std::env::var_os(WAITED_FOR).is_some()
        && let Ok(told) = std::io::stdin().as_fd().try_clone_to_owned()
    {
        let _ = UnixStream::from(told).write_all(b"1"); // whoever waited may have been ended meanwhile
    }
}

fn tell(states: &[NotifyState<'_>]) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if let Err(fault) = sd_notify::notify(states)
        && !TOLD.swap(true, Ordering::Relaxed)
    {
        tracing::warn!(name: "service_manager_not_told", %fault, "what this process does cannot be told to NOTIFY_SOCKET");
    }
}
