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

/// Bytes that are passed.
const BYTES: usize = 8 * 1024 * 1024;
/// The time that a client may be silent before its stream is reset. One that is slow to send has [`TURNS`] times as long in all.
const REST: Duration = Duration::from_secs(2);
/// The message of a call that does not stream is here, or on its way; one that streams would have no end.
const GRPC: Duration = Duration::from_millis(100);
const TURNS: u32 = 10;

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
                let _ = tokio::time::timeout(TURNS * most, pass(body, most)).await; // what is longer, or later, is reset
            });
        }
    }
}

/// Reads a body to its end, up to [`BYTES`], unless the client is silent for `most`.
async fn pass(body: Body, most: Duration) {
    let (mut frames, mut passed) = (body.into_data_stream(), 0);
    while let Ok(Some(Ok(bytes))) = tokio::time::timeout(most, frames.next()).await {
        passed += bytes.len();
        if passed > BYTES {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::{Instant, sleep};

    /// A body of `frames` bytes, one each `pause`; how many of them were read, and how long that went on.
    async fn passed(frames: usize, pause: Duration) -> (usize, Duration) {
        let (began, read) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
        let (one, counter) = (slow_stream(frames, pause), Arc::clone(&read));
        let counted = one.map(move |frame| {
            counter.fetch_add(1, Ordering::Relaxed);
            frame
        });
        drop(lingering(Body::from_stream(counted), false));
        while Arc::strong_count(&read) > 1 {
            sleep(Duration::from_millis(10)).await;
        }
        (read.load(Ordering::Relaxed), began.elapsed())
    }

    fn slow_stream(frames: usize, pause: Duration) -> impl tokio_stream::Stream<Item = Result<Bytes, Error>> {
        let (send, receive) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            for _ in 0..frames {
                sleep(pause).await;
                if send.send(Ok(Bytes::from_static(b"x"))).await.is_err() {
                    return;
                }
            }
        });
        tokio_stream::wrappers::ReceiverStream::new(receive)
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_slowly_sends_all() {
        assert_eq!(passed(9, REST * 3 / 4).await.0, 9);
    }

    #[tokio::test(start_paused = true)]
    async fn who_falls_silent_is_not_waited_for() {
        let (read, lasted) = passed(9, REST * 2).await;
        assert_eq!(read, 0);
        assert!(lasted < REST * 2, "{lasted:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_ends_is_left() {
        let (read, lasted) = passed(1_000, REST / 2).await;
        assert!((19..=20).contains(&read), "{read}");
        assert!(lasted < REST * (TURNS + 1), "{lasted:?}");
    }
}
