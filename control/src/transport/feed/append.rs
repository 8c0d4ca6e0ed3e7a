//! `Feed.Append`: clicks that an edge hands over. What becomes of them is decided behind `intake`.

use super::stream::is_name;
use crate::follow::Feeder;
use crate::intake::OfferedBatch;
use crate::{Caller, Fault};
use clicks::ledger::{Cursor, Offer};
use proto::v1;
use store::port::clicks::{AppendOutcome, BatchSender, TakenBehindHole};

/// Takes a batch in the name of the caller's edge.
///
/// # Errors
/// [`Fault::Forbidden`] of a batch of another edge, and those of the intake.
pub async fn append(
    feeder: &Feeder,
    caller: Option<&Caller>,
    request: v1::AppendRequest,
) -> Result<v1::AppendResponse, Fault> {
    let v1::AppendRequest { edge, spool, seq, first_no, last_no, first, batch } = request;
    if !is_name(&edge) {
        return Err(Fault::invalid("edge", "is not 1 to 255 bytes without control characters"));
    }
    let own = caller.and_then(|caller| caller.edge.as_deref());
    if let Some(own) = own.filter(|own| *own != edge) {
        return Err(Fault::Forbidden(format!(
            "clicks of another edge: it is that of edge {own}; start the edge with --name {own}, or give it one of its own"
        )));
    }
    let offer = Offer { seq, first_no, last_no, first };
    let key = caller.map_or_else(|| "".into(), |caller| caller.principal.clone());
    let sender = BatchSender { edge: edge.into(), key, bound: own.is_some() };
    let response = match feeder.intake.take(OfferedBatch { sender, spool, offer, bytes: batch }).await? {
        AppendOutcome::Taken(acked) | AppendOutcome::TakenBehindHole(TakenBehindHole { acked, .. }) => {
            v1::AppendResponse { acked, want: 0, last_no: 0 }
        }
        // One that was put back learns where to go on.
        AppendOutcome::Known(Cursor { seq: acked, last_no }) => {
            v1::AppendResponse { acked, want: 0, last_no: if acked == seq { 0 } else { last_no } }
        }
        AppendOutcome::Want(want) => v1::AppendResponse { acked: want.saturating_sub(1), want, last_no: 0 },
        AppendOutcome::Refused(why) => {
            return Err(Fault::invalid("batch", format!("is refused: {why}")));
        }
    };
    Ok(response)
}
