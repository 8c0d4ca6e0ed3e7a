//! How one process goes on in the place of another: the newcomer's beginning, and the end of the one that ran.

use super::ending::{Signals, end};
use crate::args::DrainArgs;
use crate::fault::CommandFault;
use std::time::Duration;

/// Takes over from the edge that runs. A signal that asks for the end does not wait for that: then the edge that runs serves on.
pub async fn take_over(
    config: edge::Config,
    given: edge::GivenSockets,
    signals: &mut Signals,
) -> Result<edge::EdgeServer, CommandFault> {
    let taken = async {
        match tokio::task::spawn_blocking(move || edge::take_over(config, given, begins)).await {
            Ok(taken) => taken.map_err(CommandFault::new),
            Err(fault) => Err(CommandFault::new(format_args!("cannot start: {fault}"))),
        }
    };
    unless_asked_to_end(taken, signals).await
}

/// What `taken` is, unless a signal asks for the end before: then the process that runs serves on.
pub async fn unless_asked_to_end<T>(
    taken: impl Future<Output = Result<T, CommandFault>>,
    signals: &mut Signals,
) -> Result<T, CommandFault> {
    tokio::select! {
        taken = taken => taken,
        signal = signals.next() => Err(CommandFault::new(format_args!(
            "{signal} came before this process had taken over: the one that runs serves on"
        ))),
    }
}

/// A hand-over begins: the process that runs has agreed. The newcomer's announcement, the line `listening`, is its end.
pub fn begins() {
    super::supervisor::hand_over_begins();
    tracing::info!(name: "taking_over", "the process that runs hands over: this one loads its links");
}

/// The end of the process that has handed over: nobody has to be told to go elsewhere first.
pub async fn leave(edge: edge::EdgeServer, drain: DrainArgs, signals: &mut Signals) {
    let at_once = DrainArgs { drain_delay: Duration::ZERO, ..drain };
    end(Some(edge), None, at_once, signals).await;
}
