//! A Feed service that forwards to the real one and drops, doubles or reorders single messages.

use proto::v1::feed_client::FeedClient;
use proto::v1::feed_server::{Feed, FeedServer};
use proto::v1::{AppendRequest, AppendResponse, FetchRequest, FetchResponse, FollowRequest, FollowResponse};
use services::Random;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::metadata::MetadataMap;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

/// What it does to messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mischief {
    /// Nothing.
    None = 0,
    /// Some never arrive.
    Drop = 1,
    /// Some arrive twice, the second time up to three messages later.
    Duplicate = 2,
    /// Some arrive up to three messages later.
    Reorder = 3,
}

/// Of a thousand messages.
const HIT: u32 = 20;
/// Messages between a session and its peer.
const UNDER_WAY: usize = 64;
/// As the edge takes them.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// A running proxy. It ends with the runtime.
#[derive(Clone)]
pub struct Meddler {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: String,
    mischief: AtomicU8,
    seed: u64,
    streams: AtomicU64,
    hits: AtomicU64,
}

impl Meddler {
    /// Starts one in front of a Feed.
    pub async fn start(to: String, seed: u64) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (mischief, streams, hits) = (AtomicU8::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let shared = Arc::new(Shared { to, mischief, seed, streams, hits });
        let service = FeedServer::new(Calls(shared.clone())).max_decoding_message_size(MAX_MESSAGE);
        let server = Server::builder().tcp_nodelay(true).add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(Self { address, shared })
    }

    /// From the next message on.
    pub fn set(&self, mischief: Mischief) {
        self.shared.mischief.store(mischief as u8, Ordering::Relaxed);
    }

    /// Messages that something was done to.
    pub fn hits(&self) -> u64 {
        self.shared.hits.load(Ordering::Relaxed)
    }
}

struct Calls(Arc<Shared>);

impl Calls {
    async fn upstream(&self) -> Result<FeedClient<tonic::transport::Channel>, Status> {
        let endpoint =
            Endpoint::from_shared(self.0.to.clone()).map_err(|e| Status::internal(e.to_string()))?;
        let channel = endpoint.tcp_nodelay(true).connect().await;
        let channel = channel.map_err(|_| Status::unavailable("there is nobody behind the proxy"))?;
        Ok(FeedClient::new(channel).max_decoding_message_size(MAX_MESSAGE))
    }

    fn meddle<T: Clone>(&self) -> StreamDirection<T> {
        let stream = self.0.streams.fetch_add(1, Ordering::Relaxed);
        let random = Random::of(self.0.seed, stream);
        StreamDirection { random, held: Vec::new(), shared: self.0.clone() }
    }
}

#[tonic::async_trait]
impl Feed for Calls {
    type FollowStream = ReceiverStream<Result<FollowResponse, Status>>;

    async fn follow(
        &self,
        call: Request<Streaming<FollowRequest>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let mut client = self.upstream().await?;
        let metadata = call.metadata().clone();
        let (say, said) = mpsc::channel(UNDER_WAY);
        let (tell, told) = mpsc::channel(UNDER_WAY);
        let (mut up, mut down) = (self.meddle(), self.meddle());
        let mut from_edge = call.into_inner();
        tokio::spawn(async move {
            let forward = async {
                while let Ok(Some(message)) = from_edge.message().await {
                    for message in up.pass(message) {
                        if say.send(message).await.is_err() {
                            return;
                        }
                    }
                }
            };
            let backward = async {
                let mut from_control = match client.follow(shown(&metadata, ReceiverStream::new(said))).await
                {
                    Ok(response) => response.into_inner(),
                    Err(status) => return drop(tell.send(Err(status)).await),
                };
                loop {
                    let message = match from_control.message().await {
                        Ok(Some(message)) => message,
                        Ok(None) => return,
                        Err(status) => return drop(tell.send(Err(status)).await),
                    };
                    for message in down.pass(message) {
                        if tell.send(Ok(message)).await.is_err() {
                            return;
                        }
                    }
                }
            };
            tokio::select! { () = forward => {}, () = backward => {} }
        });
        Ok(Response::new(ReceiverStream::new(told)))
    }

    async fn append(&self, call: Request<AppendRequest>) -> Result<Response<AppendResponse>, Status> {
        let (metadata, request) = (call.metadata().clone(), call.into_inner());
        self.upstream().await?.append(shown(&metadata, request)).await
    }

    async fn fetch(&self, call: Request<FetchRequest>) -> Result<Response<FetchResponse>, Status> {
        self.upstream().await?.fetch(shown(call.metadata(), call.get_ref().clone())).await
    }
}

/// With the key that the edge shows.
fn shown<T>(by: &MetadataMap, message: T) -> Request<T> {
    let mut call = Request::new(message);
    if let Some(key) = by.get("authorization") {
        call.metadata_mut().insert("authorization", key.clone());
    }
    call
}

/// One direction of one stream.
struct StreamDirection<T> {
    random: Random,
    /// Messages that come later, each with how many go before it.
    held: Vec<(u32, T)>,
    shared: Arc<Shared>,
}

impl<T: Clone> StreamDirection<T> {
    /// What goes out in place of the next message.
    fn pass(&mut self, message: T) -> Vec<T> {
        let mischief = self.shared.mischief.load(Ordering::Relaxed);
        let hit = mischief != Mischief::None as u8 && self.random.chance(HIT);
        self.shared.hits.fetch_add(u64::from(hit), Ordering::Relaxed);
        let later = 1 + self.random.below(3);
        let mut out = Vec::with_capacity(2);
        for (left, _) in &mut self.held {
            *left -= 1;
        }
        match (hit, mischief) {
            (true, 1) => {}
            (true, 2) => {
                out.push(message.clone());
                self.held.push((later, message));
            }
            (true, _) => self.held.push((later, message)),
            (false, _) => out.push(message),
        }
        let due = |held: &mut (u32, T)| held.0 == 0;
        out.extend(self.held.extract_if(.., due).map(|(_, message)| message));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(mischief: Mischief) -> (Vec<u32>, u64) {
        let counts = || (AtomicU8::new(mischief as u8), AtomicU64::new(0), AtomicU64::new(0));
        let (mischief, streams, hits) = counts();
        let shared = Arc::new(Shared { to: String::new(), mischief, seed: 7, streams, hits });
        let mut meddle = Calls(shared.clone()).meddle();
        let out = (0..10_000).flat_map(|message| meddle.pass(message)).collect();
        (out, shared.hits.load(Ordering::Relaxed))
    }

    #[test]
    fn each_mischief_is_what_it_says() {
        let all: Vec<u32> = (0..10_000).collect();
        assert_eq!(passed(Mischief::None), (all.clone(), 0));

        let (dropped, hits) = passed(Mischief::Drop);
        assert!((100..400).contains(&hits), "{hits}");
        assert_eq!(dropped.len() as u64, 10_000 - hits);

        let (mut doubled, hits) = passed(Mischief::Duplicate);
        assert!((9_990 + hits..=10_000 + hits).contains(&(doubled.len() as u64)));
        doubled.sort_unstable();
        doubled.dedup();
        assert_eq!(doubled, all);

        let (mut reordered, hits) = passed(Mischief::Reorder);
        assert!(hits > 0 && !reordered.is_sorted());
        assert!(reordered.len() >= 9_997, "only the last may still be held");
        reordered.sort_unstable();
        assert!(reordered.windows(2).all(|pair| pair[0] < pair[1]), "none twice");
    }
}
