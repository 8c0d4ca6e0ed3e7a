//! `linkr.v1.Feed`: who is let in, and what the streams share. What goes over one stream is below.

mod append;
mod stream;

use crate::call::blocking;
use crate::follow::{Feeder, FollowRefusal};
use crate::transport::status::status;
use crate::{Caller, Fault};
use link::{Key, Seq};
use proto::v1::{self, feed_server::Feed};
use proto::{epoch_to_wire, proof_to_wire};
use std::sync::Arc;
use std::time::Duration;
use store::model::StoreFault;
use store::port::EntryBatch;
use stream::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

/// Keys of one fetch.
const FETCH_KEYS: usize = proto::bounds::FETCH;
/// How long a fetch waits for the log to reach what it asks for.
const FETCH_WAIT: Duration = Duration::from_millis(50);
/// Messages between a session and its connection; what is sent without acknowledgement is bounded by the session.
const UNDER_WAY: usize = 4;

#[derive(Clone)]
pub struct FeedCalls(pub Arc<Feeder>);

#[tonic::async_trait]
impl Feed for FeedCalls {
    type FollowStream = ReceiverStream<Result<v1::FollowResponse, Status>>;

    async fn follow(
        &self,
        call: Request<Streaming<v1::FollowRequest>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let (out, messages) = mpsc::channel(UNDER_WAY);
        let feeder = self.0.clone();
        let edge = call.extensions().get::<Caller>().and_then(|caller| caller.edge.clone());
        tokio::spawn(async move {
            let _guard = feeder.metrics.session();
            let mut stop = feeder.stop.clone();
            let mut stream = Stream::new(&feeder, edge, call.into_inner(), out.clone());
            let ended = tokio::select! {
                biased; // nobody is let in by a control that is stopping
                _ = stop.wait_for(|&stop| stop) => Err(Status::unavailable("control is stopping")),
                ended = stream.serve() => ended,
            };
            if let Err(status) = ended {
                let (why, edge) = (status.message(), stream.named());
                // Unknown is what h2 makes of a connection that ended, Cancelled what we make of a stream.
                if matches!(status.code(), Code::Unknown | Code::Cancelled) || *feeder.stop.borrow() {
                    tracing::debug!(name: "edge_gone", edge, why, "an edge has gone");
                } else if let Some(untold) = feeder.lines.tell() {
                    tracing::info!(
                        name: "stream_ended", edge, why, untold, "the stream of an edge ended; it says hello again"
                    );
                }
                let _ = out.try_send(Err(status)); // the edge may have gone
            }
        });
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    async fn fetch(&self, call: Request<v1::FetchRequest>) -> Result<Response<v1::FetchResponse>, Status> {
        let answer = fetch(&self.0, call.into_inner()).await;
        let code = answer.as_ref().map_or_else(|fault| fault.names().reason, |_| "OK");
        self.0.metrics.count("Fetch", code);
        answer.map(Response::new).map_err(|fault| status(&fault))
    }

    async fn append(&self, call: Request<v1::AppendRequest>) -> Result<Response<v1::AppendResponse>, Status> {
        let caller = call.extensions().get::<Caller>().cloned();
        let answer = append::append(&self.0, caller.as_ref(), call.into_inner()).await;
        let code = answer.as_ref().map_or_else(|fault| fault.names().reason, |_| "OK");
        self.0.metrics.count("Append", code);
        answer.map(Response::new).map_err(|fault| status(&fault))
    }
}

/// Of `Append`, for the router.
pub const APPEND: &str = "/linkr.v1.Feed/Append";

async fn fetch(feeder: &Feeder, request: v1::FetchRequest) -> Result<v1::FetchResponse, Fault> {
    if request.keys.len() > FETCH_KEYS {
        return Err(Fault::invalid("keys", format!("are more than {FETCH_KEYS}")));
    }
    if request.keys.iter().any(|key| key.len() > Key::MAX_LEN) {
        return Err(Fault::invalid("keys", format!("are not all of {} bytes at most", Key::MAX_LEN)));
    }
    let (keys, least) = (request.keys, request.min_seq);
    let mut fetched = records(feeder, keys.clone()).await?;
    if fetched.head.seq < least {
        let (mut committed, mut read) = (feeder.writer.head(), feeder.tail.head());
        let there = async {
            tokio::select! {
                there = committed.wait_for(|head| head.seq >= least) => there.is_ok(),
                there = read.wait_for(|head| head.seq >= least) => there.is_ok(),
            }
        };
        if let Ok(true) = tokio::time::timeout(FETCH_WAIT, there).await {
            fetched = records(feeder, keys).await?;
        }
    }
    let EntryBatch { head, entries, domains } = fetched;
    if head.seq < least {
        return Err(behind(least).into());
    }
    feeder.offers.make(head, &entries);
    let entries = entries.into_iter().map(stream::entry).collect();
    let proof = Some(proof_to_wire(&feeder.proof(head)));
    Ok(v1::FetchResponse { epoch: Some(epoch_to_wire(head.epoch)), as_of: head.seq, entries, domains, proof })
}

async fn records(feeder: &Feeder, keys: Vec<bytes::Bytes>) -> Result<EntryBatch, StoreFault> {
    let _turn = feeder.turns.fetches.acquire().await; // it is never closed
    blocking(&feeder.store, move |store| store.records(&keys)).await
}

/// A refusal over gRPC.
fn refused(refusal: &FollowRefusal) -> Status {
    match refusal {
        FollowRefusal::OtherHistory => Status::failed_precondition(refusal.to_string()),
        FollowRefusal::Failed(fault) => status(fault),
    }
}

fn behind(seq: Seq) -> StoreFault {
    StoreFault::Unavailable(format!("the log has not reached {seq}"))
}
