//! `Feed.Append`: clicks that an edge hands over. What becomes of them is decided behind `intake`.

use super::stream::is_name;
use crate::follow::Feeder;
use crate::intake::OfferedBatch;
use crate::{Caller, Fault};
use clicks::ledger::Offer;
use proto::v1;
use store::port::clicks::AppendOutcome;

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
    let offered = OfferedBatch { edge: edge.into(), bound: own.is_some(), spool, offer, bytes: batch };
    match feeder.intake.take(offered).await? {
        AppendOutcome::Taken(acked) | AppendOutcome::Known(acked) => {
            Ok(v1::AppendResponse { acked, want: 0 })
        }
        AppendOutcome::Want(want) => Ok(v1::AppendResponse { acked: want.saturating_sub(1), want }),
        AppendOutcome::Refused(why) => Err(Fault::invalid("batch", format!("is refused: {why}"))),
    }
}
