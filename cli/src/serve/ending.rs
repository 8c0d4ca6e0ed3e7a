//! How a server ends: the signals that ask for it, and the order in which its halves go.

use crate::args::DrainArgs;
use crate::fault::CommandFault;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What control has at least, however long the edge beside it took.
const LEAST: Duration = Duration::from_secs(1);

/// Signals, watched from the first moment. Each counts, also while a start or a halt is busy: they wait in a queue.
pub struct Signals(mpsc::UnboundedReceiver<&'static str>);

impl Signals {
    /// Those that mean nothing to linkr would end it otherwise: they are ignored with a line.
    pub fn new() -> Result<Self, CommandFault> {
        let others = [
            ("SIGHUP", watch(SignalKind::hangup())?),
            ("SIGUSR1", watch(SignalKind::user_defined1())?),
            ("SIGUSR2", watch(SignalKind::user_defined2())?),
        ];
        for (name, mut other) in others {
            tokio::spawn(async move {
                while other.recv().await.is_some() {
                    tracing::info!(
                        name: "ignored",
                        signal = name,
                        "a signal that changes nothing: certificates are read again by themselves, settings at a start"
                    );
                }
            });
        }
        let (send, queue) = mpsc::unbounded_channel();
        let ending = [("SIGTERM", SignalKind::terminate()), ("SIGINT", SignalKind::interrupt())];
        for (name, kind) in ending {
            let (mut signals, send) = (watch(kind)?, send.clone());
            tokio::spawn(async move { while signals.recv().await.is_some() && send.send(name).is_ok() {} });
        }
        Ok(Self(queue))
    }

    /// Waits until one asks for the end: its name. What follows is said then.
    pub async fn asked(&mut self, drain: DrainArgs) -> &'static str {
        let signal = self.next().await;
        super::supervisor::stopping();
        let (delay_ms, most_ms) =
            (drain.drain_delay.as_millis() as u64, drain.drain_timeout.as_millis() as u64);
        tracing::info!(
            name: "stopping", signal, drain_delay_ms = delay_ms, drain_timeout_ms = most_ms,
            "a signal asks for the end: connections are accepted for the drain delay, then what is under way has until \
             the drain timeout; a second signal ends it at once"
        );
        signal
    }

    /// The next one that asks for the end.
    pub async fn next(&mut self) -> &'static str {
        match self.0.recv().await {
            Some(name) => name,
            None => std::future::pending().await, // its senders live as long as the runtime
        }
    }
}

fn watch(kind: SignalKind) -> Result<Signal, CommandFault> {
    signal(kind).map_err(|fault| CommandFault::new(format_args!("cannot watch signals: {fault}")))
}

/// Drains and stops what runs; the edge first, which asks control up to its last answer. A second signal does not wait:
/// what was acknowledged is on disk either way.
pub async fn end(
    edge: Option<edge::EdgeServer>,
    control: Option<control::ControlServer>,
    drain: DrainArgs,
    signals: &mut Signals,
) {
    if let Some(edge) = &edge {
        edge.drain();
    }
    if let Some(control) = &control {
        control.drain();
    }
    let orderly = async {
        tokio::time::sleep(drain.drain_delay).await;
        let by = Instant::now() + drain.drain_timeout;
        tracing::info!(
            name: "closing",
            at_most_ms = drain.drain_timeout.as_millis() as u64,
            "no connection is accepted any more; those there are end with their next answer, or with a second signal"
        );
        if let Some(edge) = edge {
            // Blocks on what is under way, so it has a thread of its own.
            let _ = tokio::task::spawn_blocking(move || edge.stop(drain.drain_timeout)).await;
        }
        if let Some(control) = control {
            let left = by.saturating_duration_since(Instant::now());
            control.stop_within(left.max(LEAST)).await;
        }
    };
    tokio::select! {
        () = orderly => {}
        signal = signals.next() => {
            tracing::warn!(name: "cut", signal, "stopped at once: what was under way was cut");
        }
    }
}
