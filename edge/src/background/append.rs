//! Hands batches of clicks to control, one at a time. What becomes of them is known to the thread that gathers them.

use super::origin::Origin;
use crate::clicks::{ClickOffer, ControlAnswer};
use proto::v1::AppendRequest;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tonic::{Code, Status};

/// A batch that is not acknowledged by then is offered again, and counts once all the same.
const DEADLINE: Duration = Duration::from_secs(20);

/// Until the other end of `offers` is gone. `edge`: the name of this one.
pub async fn hand_over(origin: Origin, edge: String, mut offers: Receiver<ClickOffer>) {
    while let Some(ClickOffer { spool, seq, first_no, last_no, first, batch, answer }) = offers.recv().await {
        let edge = edge.clone();
        let request = AppendRequest { edge, spool, seq, first_no, last_no, first, batch };
        answer.send(append(&origin, request).await);
    }
}

async fn append(origin: &Origin, request: AppendRequest) -> ControlAnswer {
    let Some(mut client) = origin.client() else { return ControlAnswer::Unanswered };
    match tokio::time::timeout(DEADLINE, client.append(request)).await {
        Ok(Ok(response)) => {
            let said = response.into_inner();
            ControlAnswer::Told { acked: said.acked, want: said.want, last_no: said.last_no }
        }
        Ok(Err(status)) => refusal(&status),
        Err(_) => ControlAnswer::Unanswered,
    }
}

/// Whether the same batch would be refused again.
fn refusal(status: &Status) -> ControlAnswer {
    let why = match status.code() {
        Code::InvalidArgument | Code::PermissionDenied | Code::FailedPrecondition => {
            status.message().to_owned()
        }
        Code::Unimplemented => "this control counts no clicks: update it".to_owned(),
        _ => {
            tracing::debug!(name: "clicks_unanswered", code = %status.code(), "control did not take a batch of clicks");
            return ControlAnswer::Unanswered;
        }
    };
    ControlAnswer::Refused(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_be_refused_again_is_refused() {
        for code in [Code::InvalidArgument, Code::PermissionDenied, Code::Unimplemented] {
            assert!(matches!(refusal(&Status::new(code, "why")), ControlAnswer::Refused(_)), "{code:?}");
        }
        for code in [Code::Unavailable, Code::ResourceExhausted, Code::Unauthenticated, Code::Unknown] {
            assert_eq!(refusal(&Status::new(code, "why")), ControlAnswer::Unanswered, "{code:?}");
        }
    }
}
