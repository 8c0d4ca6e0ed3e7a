//! What an edge says of its way to control: that it is lost and why, that it is found again; that it is blind, and that it
//! sees again.

use crate::shared::Shared;
use crate::sys;
use feed::{BOUND_MS, Spell};
use proto::client::ClientFault;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Between two looks whether this edge is blind.
const LOOK: Duration = Duration::from_millis(100);

/// The way to control.
#[derive(Default)]
pub struct Contact(Spell);

impl Contact {
    /// An attempt to follow came to nothing.
    pub fn lost(&mut self, control: &str, why: &ClientFault) {
        let Some(tell) = self.0.met(sys::boottime_ms(), why.kind()) else { return };
        tracing::warn!(
            name: "control_lost",
            control,
            reason = why.kind(),
            %why,
            lost_ms = tell.lasts_ms,
            untold = tell.untold,
            "control cannot be followed"
        );
    }

    /// Control has let this edge in at `at`, and stays.
    pub fn found(&mut self, control: &str, at: u64) {
        if let Some(over) = self.0.over(at) {
            let (lost_ms, tries) = (over.lasted_ms, over.times);
            tracing::info!(name: "control_found", control, lost_ms, tries, "control is followed again");
        }
    }
}

/// Says when this edge turns blind, and when it sees again, as long as it answers; and that this thread turns.
pub async fn watch_sight(shared: Arc<Shared>) {
    let (mut spell, began) = (Spell::default(), sys::boottime_ms());
    loop {
        tokio::time::sleep(LOOK).await;
        shared.pulses.background_turns();
        let now = sys::boottime_ms();
        let freshness = shared.set.freshness(now);
        if !freshness.is_blind() {
            if let Some(over) = spell.over(now) {
                tracing::info!(name: "sees_again", blind_ms = over.lasted_ms, "every answer is current again");
            }
            continue;
        }
        // One that only starts has not turned blind.
        let answers = shared.feed.loaded.load(Ordering::Acquire) && now >= began + BOUND_MS;
        if let Some(tell) = answers.then(|| spell.met(now, "blind")).flatten() {
            tracing::warn!(
                name: "blind",
                stale_ms = freshness.stale_ms(),
                blind_ms = tell.lasts_ms,
                "control was not heard for a second: strict links are refused unless it answers, others go on"
            );
        }
    }
}
