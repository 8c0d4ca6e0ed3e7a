//! A body that is not read to its end. A stream of HTTP/2 that is reset behind its answer, or a connection of HTTP/1.1
//! that is closed, makes some clients that still send lose the answer (RFC 9113, section 8.1; RFC 9112, section 9.6): what
//! they send goes nowhere for a while instead.

use axum::Error;
use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_stream::StreamExt;

/// Bytes that are passed, and how long is waited for them.
const BYTES: usize = 8 * 1024 * 1024;
const REST: Duration = Duration::from_secs(2);
/// The message of a call that does not stream is here, or on its way; one that streams would have no end.
const GRPC: Duration = Duration::from_millis(100);

/// The body of a request.
pub fn lingering(body: Body, grpc: bool) -> Body {
    if http_body::Body::is_end_stream(&body) {
        return body;
    }
    Body::new(LingeringBody { body, ended: false, most: if grpc { GRPC } else { REST } })
}

struct LingeringBody {
    body: Body,
    ended: bool,
    most: Duration,
}

impl http_body::Body for LingeringBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = http_body::Body::poll_frame(Pin::new(&mut self.body), cx);
        self.ended |= matches!(frame, Poll::Ready(None | Some(Err(_))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}

impl Drop for LingeringBody {
    fn drop(&mut self) {
        if self.ended || http_body::Body::is_end_stream(&self.body) {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (body, most) = (std::mem::take(&mut self.body), self.most);
            runtime.spawn(async move {
                let _ = tokio::time::timeout(most, pass(body)).await; // what is longer, or later, is reset
            });
        }
    }
}

async fn pass(body: Body) {
    let (mut frames, mut passed) = (body.into_data_stream(), 0);
    while let Some(Ok(bytes)) = frames.next().await {
        passed += bytes.len();
        if passed > BYTES {
            return;
        }
    }
}
