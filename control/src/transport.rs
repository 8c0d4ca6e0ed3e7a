//! How calls arrive: gRPC and REST on one port, and the feed of the edges. What they mean is in `service`.

use crate::Fault;
use crate::service::MessageSource;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

pub mod calls;
pub mod feed;
pub mod grpc;
mod reflection;
pub mod rest;
mod status;

pub use status::status;

/// Its messages: one waits while the next is made, and its source waits for whoever takes neither.
fn messages<S: MessageSource>(mut source: S) -> ReceiverStream<Result<S::Message, Fault>> {
    let (out, messages) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let next = tokio::select! {
                next = source.next() => next.transpose(),
                () = out.closed() => return,
            };
            let Some(next) = next else { return };
            let last = next.is_err();
            if out.send(next).await.is_err() || last {
                return;
            }
        }
    });
    ReceiverStream::new(messages)
}
