//! A body that is not read to its end. A stream of HTTP/2 that is reset behind its answer, or a connection of HTTP/1.1
//! that is closed, makes some clients that still send lose the answer (RFC 9113, section 8.1; RFC 9112, section 9.6): what
//! they send goes nowhere for a while instead.

use axum::Error;
use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_stream::StreamExt;

/// Bytes that are passed, and how long is waited for them.
const BYTES: usize = 8 * 1024 * 1024;
const REST: Duration = Duration::from_secs(2);
/// The message of a call that does not stream is here, or on its way; one that streams would have no end.
const GRPC: Duration = Duration::from_millis(100);

/// Bytes of bodies that have not ended, of all calls of a process; a body of a few is always taken.
const UNENDED: usize = 128 * 1024 * 1024;
const FEW: usize = 16 * 1024;
/// What a part of a body costs besides its bytes: 4 MiB in parts of one byte took 120 MB.
const PART: usize = 128;

static HELD: AtomicUsize = AtomicUsize::new(0);

/// The body of a request. One that streams is bounded by its messages and by how many stream.
pub fn lingering(body: Body, grpc: bool, streams: bool) -> (Body, Crowded) {
    among(&HELD, body, grpc, streams)
}

/// Whether a body was broken off since too much of others was there.
#[derive(Clone, Debug, Default)]
pub struct Crowded(Arc<AtomicBool>);

impl Crowded {
    pub fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn among(all: &'static AtomicUsize, body: Body, grpc: bool, streams: bool) -> (Body, Crowded) {
    let crowded = Crowded::default();
    if http_body::Body::is_end_stream(&body) {
        return (body, crowded);
    }
    let most = if grpc { GRPC } else { REST };
    (
        Body::new(Lingering { body, ended: false, most, streams, all, held: 0, crowded: crowded.clone() }),
        crowded,
    )
}

struct Lingering {
    body: Body,
    ended: bool,
    most: Duration,
    streams: bool,
    all: &'static AtomicUsize,
    held: usize,
    crowded: Crowded,
}

impl Lingering {
    /// Whether there is room for a part of so many bytes.
    fn holds(&mut self, bytes: usize) -> bool {
        if self.streams {
            return true;
        }
        let cost = bytes + PART;
        self.held += cost;
        let all = self.all.fetch_add(cost, Ordering::Relaxed) + cost;
        self.held <= FEW || all <= UNENDED
    }
}

impl http_body::Body for Lingering {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = http_body::Body::poll_frame(Pin::new(&mut self.body), cx);
        self.ended |= matches!(frame, Poll::Ready(None | Some(Err(_))));
        if let Poll::Ready(Some(Ok(part))) = &frame
            && !self.holds(part.data_ref().map_or(0, Bytes::len))
        {
            self.crowded.0.store(true, Ordering::Relaxed);
            return Poll::Ready(Some(Err(Error::new("too many bodies have not ended"))));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        self.all.fetch_sub(self.held, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by attack: 600 batches without their last bytes took 3 GB.
    #[tokio::test]
    async fn bodies_without_an_end_take_no_more_than_their_share() {
        static ALL: AtomicUsize = AtomicUsize::new(0);
        let endless = |part: usize, streams| {
            let parts = std::iter::repeat_with(move || Ok::<_, Error>(Bytes::from(vec![b'x'; part])));
            let (body, crowded) = among(&ALL, Body::from_stream(tokio_stream::iter(parts)), false, streams);
            (body.into_data_stream(), crowded)
        };
        for part in [1, 64 * 1024] {
            let (mut body, crowded) = endless(part, false);
            let mut taken = 0;
            while let Some(Ok(bytes)) = body.next().await {
                taken += bytes.len() + PART;
            }
            assert!(crowded.is_so() && taken > UNENDED - 2 * FEW * 8 && taken <= UNENDED, "{part}: {taken}");
            let (mut small, crowded) = endless(1, false);
            assert!(small.next().await.unwrap().is_ok() && !crowded.is_so());
            let (mut large, crowded) = endless(FEW, false);
            assert!(large.next().await.unwrap().is_err() && crowded.is_so());
            let (mut stream, crowded) = endless(FEW, true);
            assert!(stream.next().await.unwrap().is_ok() && !crowded.is_so());
            drop((body, small, large, stream));
            assert!(endless(FEW, false).0.next().await.unwrap().is_ok(), "given back");
        }
    }
}
