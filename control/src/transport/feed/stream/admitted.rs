//! The state of a stream whose edge was let in: what was sent and not acknowledged, and what was asked of the edge.

use crate::asks::AskPlace;
use crate::features::GatePlace;
use crate::follow::EdgeQuotas;
use crate::sessions::Membership;
use ::feed::Session;
use link::{Epoch, Seq};
use proto::v1;
use record::Features;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

/// Questions to one edge whose answers are awaited.
const EXPLAINING: usize = 8;

/// Where the answer of an edge goes.
pub(super) type ExplainAnswer = oneshot::Sender<Option<v1::Explanation>>;
/// That of the edge, and that among all.
pub(super) type Permits = (OwnedSemaphorePermit, OwnedSemaphorePermit);
pub(super) type PermitFuture = Pin<Box<dyn Future<Output = Result<Permits, AcquireError>> + Send>>;

/// The state of a stream whose edge was let in.
pub(super) struct AdmittedStream {
    pub(super) id: u64,
    /// The name and the process that this stream speaks for.
    pub(super) who: (String, u64),
    /// What it understands, as bits.
    pub(super) epoch: Epoch,
    pub(super) session: Session,
    pub(super) walked: Vec<u8>,
    pub(super) membership: Membership,
    /// As long as the stream is up, no write needs a feature that its edge does not know.
    pub(super) _place: GatePlace,
    pub(super) knows: Features,
    /// Pings that wait until the edge is known on disk, and then for a reading of the head by number.
    pub(super) asked: Vec<(u64, Option<u64>)>,
    /// Questions to the edge that wait for its answer, by their numbers; the oldest is given up for a later one.
    pub(super) explaining: VecDeque<(u64, ExplainAnswer)>,
    /// Its place among those that take questions; `None`: it takes none.
    pub(super) asks: Option<AskPlace>,
    /// The number of the last question.
    pub(super) asked_ever: u64,
    /// The place in the line of those who want a part from the store. Kept while other things happen.
    pub(super) turn: Option<PermitFuture>,
    pub(super) share: Arc<EdgeQuotas>,
    /// Such parts that are not acknowledged.
    pub(super) parts: Vec<(SentPart, Permits)>,
    /// When the first of them was sent, or one was acknowledged.
    pub(super) progress: Instant,
}

/// A part that was sent, by what acknowledges it.
pub(super) enum SentPart {
    Changes(Seq),
    Page(u64),
}

impl AdmittedStream {
    /// The edge has applied this.
    pub(super) fn acknowledged(&mut self, applied: &v1::Applied) {
        let before = self.parts.len();
        self.parts.retain(|(part, _)| match part {
            SentPart::Changes(last) => *last > applied.seq,
            SentPart::Page(number) => *number > applied.page,
        });
        if self.parts.len() < before {
            self.progress = Instant::now();
        }
        self.membership.applied(applied.seq);
    }

    pub(super) fn under_way(&mut self, part: SentPart, turn: Option<Permits>) {
        if self.parts.is_empty() {
            self.progress = Instant::now();
        }
        self.parts.extend(turn.map(|turn| (part, turn)));
    }

    /// A question goes to the edge: under which number.
    pub(super) fn explains(&mut self, answer: ExplainAnswer) -> u64 {
        self.asked_ever += 1;
        if self.explaining.len() >= EXPLAINING {
            self.explaining.pop_front();
        }
        self.explaining.push_back((self.asked_ever, answer));
        self.asked_ever
    }

    /// The edge answers a question. Who it is says this control, not the edge.
    pub(super) fn explained(&mut self, told: v1::Explained) {
        let Some(at) = self.explaining.iter().position(|(id, _)| *id == told.id) else { return };
        let Some((_, answer)) = self.explaining.remove(at) else { return };
        let (edge, incarnation) = (self.who.0.clone(), format!("{:016x}", self.who.1));
        let named = |told| v1::Explanation { edge, incarnation, ..told };
        let _ = answer.send(told.explanation.map(named)); // whoever asked may have gone
    }
}
