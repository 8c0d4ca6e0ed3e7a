//! Asks control for single links: what workers miss, batched, one question for each key at a time.

use crate::records;
use crate::shared::{AcceptedReading, OriginQuestion, OriginReply, OriginTold, Shared};
use crate::snapshot::Group;
use crate::sys;
use crate::traces::TraceIds;
use exposition::{StartFault, TraceContext};
use futures_channel::{mpsc, oneshot};
use link::{Key, Seq};
use proto::client::{Access, ClientFault, KeyedChannel};
use proto::v1::feed_client::FeedClient;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_stream::StreamExt;
use tonic::transport::Endpoint;

/// A question that takes longer is answered with 503. Below B: whoever joins a question that is under way gets an
/// answer that may miss what was acknowledged since it was asked.
const DEADLINE: Duration = Duration::from_millis(900);
/// After a call that failed, so long nobody is asked: those who wait would only wait in vain. Then one call tries.
const PAUSE: Duration = Duration::from_millis(200);
/// Questions whose answers are awaited at once; one more is answered with 503.
const MAX_WAITING: usize = 4 * crate::shared::MAX_QUESTIONS;
/// Keys in one call.
pub const MAX_KEYS: usize = 256;
const TRACEPARENT: &str = "traceparent";
/// Snapshot pages are at most 1 MiB of records; this leaves room for the rest of a message.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// Whether these control instances can be reached for all that is known before a try.
pub fn check(urls: &[String], access: &Access) -> Result<(), StartFault> {
    if urls.is_empty() {
        return Err(StartFault::new("no control to follow: give --control http://host:port"));
    }
    urls.iter().try_for_each(|url| endpoint(url, access).map(drop).map_err(StartFault::new))?;
    access.credentials().map(drop).map_err(|why| StartFault::new(format!("{why}; see --control-key-file")))
}

fn endpoint(url: &str, access: &Access) -> Result<Endpoint, String> {
    let endpoint = access.endpoint(url)?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(2))
        .tcp_nodelay(true)
        // Without this a half-open stream would hang for ever.
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true))
}

/// The way to control: one connection for the stream and the questions, made anew when it fails.
#[derive(Clone)]
pub struct Origin(Arc<OriginState>);

struct OriginState {
    /// The control instances, in the order given.
    urls: Vec<String>,
    access: Access,
    current: AtomicUsize,
    way: Mutex<Option<KeyedChannel>>,
    paused_until: Mutex<Option<tokio::time::Instant>>,
    /// The next place of a question that goes alone.
    alone: AtomicU64,
    shared: Arc<Shared>,
}

/// By key and place, which is the token: an answer for somebody who has seen less is no answer.
type Waiters = HashMap<(Key, Seq), Vec<oneshot::Sender<OriginTold>>>;

impl Origin {
    pub fn new(urls: Vec<String>, access: Access, shared: Arc<Shared>) -> Self {
        let (current, way, paused_until) = (AtomicUsize::new(0), Mutex::new(None), Mutex::new(None));
        let alone = AtomicU64::new(Seq::MAX);
        Self(Arc::new(OriginState { urls, access, current, way, paused_until, alone, shared }))
    }

    /// Connects to the current instance, for the stream; the questions go the same way from now on.
    pub async fn connect(&self) -> Result<FeedClient<KeyedChannel>, ClientFault> {
        let access = &self.0.access;
        // Made anew from the files: a key or a certificate may have been replaced.
        let endpoint = endpoint(self.url(), access).map_err(ClientFault::Settings)?;
        let channel = endpoint.connect().await.map_err(|fault| ClientFault::of(&fault))?;
        let way = access.way(channel).map_err(ClientFault::Settings)?;
        *self.0.way.lock().unwrap_or_else(PoisonError::into_inner) = Some(way.clone());
        Ok(client(way))
    }

    /// The same way as the stream's, if there is one.
    pub fn client(&self) -> Option<FeedClient<KeyedChannel>> {
        self.0.way.lock().unwrap_or_else(PoisonError::into_inner).clone().map(client)
    }

    /// The current instance.
    pub fn url(&self) -> &str {
        let OriginState { urls, current, .. } = &*self.0;
        &urls[current.load(Ordering::Relaxed) % urls.len()]
    }

    fn paused(&self) -> Option<tokio::time::Instant> {
        *self.0.paused_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A question was not answered. While control cannot be followed, that is told already.
    fn unanswered(&self, why: &ClientFault) {
        let shared = &self.0.shared;
        if !shared.feed.connected.load(Ordering::Acquire) {
            tracing::debug!(name: "question_unanswered", %why, "control does not answer");
        } else if let Some(tell) = shared.troubles.unanswered.met(sys::boottime_ms(), why.kind()) {
            let (reason, untold) = (why.kind(), tell.untold);
            tracing::warn!(
                name: "origin_silent", reason, %why, untold,
                "control does not answer questions about links: what is not in memory is answered with 503"
            );
        }
    }

    /// The current instance is no good: the next one is tried.
    pub fn next(&self) {
        self.0.current.fetch_add(1, Ordering::Relaxed);
    }

    /// What control says of these keys (at most [`MAX_KEYS`]) at `token` or later, filled into the set; `Unavailable`
    /// when it says nothing in time. `trace`: under which span it is asked.
    pub async fn fetch(&self, keys: &[Key], token: Seq, trace: Option<TraceIds>) -> Vec<OriginReply> {
        let shared = &self.0.shared;
        let way = self.0.way.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(way) = way else { return vec![OriginReply::Unavailable; keys.len()] };
        if self.paused().is_some_and(|until| tokio::time::Instant::now() < until) {
            return vec![OriginReply::Unavailable; keys.len()];
        }
        let mut request = tonic::Request::new(proto::v1::FetchRequest {
            keys: keys.iter().map(|key| key.as_bytes().to_vec().into()).collect(),
            min_seq: keys.iter().map(|key| shared.set.min_seq(key.as_bytes())).fold(token, Seq::max),
        });
        if let Some(TraceIds { trace, span }) = trace {
            // Whether it will be kept is not known yet.
            let context = TraceContext { trace, span, sampled: false }.to_string();
            if let Ok(context) = context.parse() {
                request.metadata_mut().insert(TRACEPARENT, context);
            }
        }
        let response = match tokio::time::timeout(DEADLINE, client(way).fetch(request)).await {
            Ok(Ok(response)) => {
                if let Some(over) = shared.troubles.unanswered.over(sys::boottime_ms()) {
                    let lasted_ms = over.lasted_ms;
                    tracing::info!(name: "origin_answers", lasted_ms, "control answers questions about links again");
                }
                response.into_inner()
            }
            failed => {
                self.unanswered(&failed.map_or(ClientFault::TimedOut, |failed| {
                    failed.map_or_else(|status| ClientFault::of_status(&status), |_| ClientFault::Broken)
                }));
                *self.0.paused_until.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(tokio::time::Instant::now() + PAUSE);
                return vec![OriginReply::Unavailable; keys.len()];
            }
        };
        let in_order = response.entries.iter().map(|entry| &entry.key[..]).eq(keys.iter().map(Key::as_bytes));
        let Some(epoch) = proto::epoch_from_wire(response.epoch.as_ref()).ok().filter(|_| in_order) else {
            return vec![OriginReply::Unavailable; keys.len()];
        };
        let _under_way = shared.under_way(|| Group::of_keys(keys.iter().map(Key::as_bytes)));
        let proof = proto::proof_from_wire(response.proof.as_ref());
        // One of another history would push out that of what was relied on in this one.
        if shared.set.epoch() == Some(epoch) {
            shared.feed.keep_proof(proof);
            shared.set.rely_on(response.as_of);
            shared.domains.told(response.as_of, response.domains);
        }
        let tell = |(key, entry): (&Key, &proto::v1::Entry)| {
            let (as_of, record) = (response.as_of, &entry.record);
            let (value, version) = match record.is_empty() {
                true => (None, 0),
                false => match records::stored(shared, key.as_bytes(), record, as_of) {
                    Some((stored, version)) => (Some(stored), version),
                    None => return OriginReply::Unavailable,
                },
            };
            records::fill(shared, key, AcceptedReading { epoch, as_of, version, value })
        };
        let told = keys.iter().zip(&response.entries).map(tell).collect();
        if shared.set.epoch() == Some(epoch) {
            shared.feed.keep_proof(proof); // it may have entered that history only now
        }
        told
    }
}

fn client(way: KeyedChannel) -> FeedClient<KeyedChannel> {
    FeedClient::new(way).max_decoding_message_size(MAX_MESSAGE_BYTES)
}

/// Answers the workers' questions until they are gone: as many calls as it takes, none for a key that is asked for
/// already.
pub async fn answer(origin: Origin, mut questions: mpsc::Receiver<OriginQuestion>) {
    let waiting = Arc::new(Mutex::new(Waiters::new()));
    let mut next = questions.next().await;
    while let Some(question) = next {
        let (mut keys, trace) = (Vec::new(), question.trace);
        enlist(&origin, &waiting, question, &mut keys);
        // Whatever else waits now goes along.
        next = loop {
            match questions.try_recv() {
                Ok(question) if keys.len() < MAX_KEYS => enlist(&origin, &waiting, question, &mut keys),
                Ok(question) => break Some(question),
                Err(_) => break None,
            }
        };
        if !keys.is_empty() {
            let going = Going { keys, place: 0, token: 0, trace };
            tokio::spawn(ask(origin.clone(), Arc::clone(&waiting), going));
        }
        if next.is_none() {
            next = questions.next().await;
        }
    }
}

/// Notes who waits; the key is asked for only if nobody waited for it before. One with a token goes alone: control may
/// have to wait until its log reaches that far.
fn enlist(origin: &Origin, waiting: &Arc<Mutex<Waiters>>, question: OriginQuestion, keys: &mut Vec<Key>) {
    let mut all = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    if all.len() >= MAX_WAITING {
        let _ = question.answer.send(OriginReply::Unavailable.into()); // whoever gave up needs no answer
        return;
    }
    // One that goes alone has a place of its own; no real token is above 2⁴⁸.
    let place = if question.alone { origin.0.alone.fetch_sub(1, Ordering::Relaxed) } else { question.token };
    let own = all.entry((question.key.clone(), place)).or_default();
    own.push(question.answer);
    match (own.len(), place) {
        (1, 0) => keys.push(question.key),
        (1, _) => {
            let (keys, token, trace) = (vec![question.key], question.token, question.trace);
            tokio::spawn(ask(origin.clone(), Arc::clone(waiting), Going { keys, place, token, trace }));
        }
        _ => {}
    }
}

/// A call on its way: the questions of one place, asked in the trace of the first of them.
struct Going {
    keys: Vec<Key>,
    place: Seq,
    token: Seq,
    trace: Option<TraceIds>,
}

async fn ask(origin: Origin, waiting: Arc<Mutex<Waiters>>, going: Going) {
    let Going { keys, place, token, trace } = going;
    let told = origin.fetch(&keys, token, trace).await;
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    for (key, reply) in keys.into_iter().zip(told) {
        let told = OriginTold { reply, asked_in: trace };
        for answer in waiting.remove(&(key, place)).unwrap_or_default() {
            let _ = answer.send(told.clone()); // whoever gave up needs no answer
        }
    }
}
