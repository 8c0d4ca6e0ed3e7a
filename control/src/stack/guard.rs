//! Who is let in: the rule of the call, the key or certificate, its scope and its allowance. What keys there are is not
//! known here.

use super::bodies::{BodyBounds, counted};
use super::table::{self, CallEntry};
use super::{Refusals, RequestId, forwarded, is_grpc, rates, refusal};
use crate::call::OngoingCall;
use crate::keys::{KeyEntry, Keys};
use crate::limits::{CallPlace, CallerBuckets, Holder, Limits, network};
use crate::metrics::Metrics;
use crate::places::ConnectionPlace;
use crate::traces::CallSpan;
use crate::{Caller, Fault};
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use exposition::Network;
use http::{HeaderMap, HeaderValue, header};
use http_body::{Frame, SizeHint};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use store::model::Scope;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// The edge that its certificate was made for, if it has shown one of ours.
    pub edge: Option<Arc<str>>,
    /// Whether it speaks TLS with this process.
    pub tls: bool,
    /// The place of its connection.
    pub seat: Arc<ConnectionPlace>,
}

/// What it takes to decide.
pub struct Guard {
    /// The keys; `None`: nobody is asked for one.
    pub keys: Option<Arc<Keys>>,
    /// The buckets.
    pub limits: Arc<Limits>,
    /// The numbers: refused calls never reach the service, which counts the others.
    pub metrics: Arc<Metrics>,
    /// Edges that are refused.
    pub refusals: Refusals,
    /// Proxies whose word about clients counts.
    pub trusted: Vec<Network>,
}

/// Bytes of an answer that are given out at once: no connection keeps many more that are not yet written.
const PIECE: usize = 16 * 1024;

/// Until an edge is told that it asks for too much: told at once, one that does not wait by itself asks again at once, and
/// to refuse costs more than what is refused.
const AGAIN: Duration = Duration::from_millis(100);

/// The caller and the key that a call was let in with.
struct CallAdmission {
    call: &'static CallEntry,
    caller: Caller,
    /// Who holds what the call takes.
    holder: Holder,
    known: Option<Arc<KeyEntry>>,
    place: Option<CallPlace>,
    /// Weight that its key may still ask for.
    left: Option<u32>,
}

/// The layer.
pub(super) async fn guarded(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    guard.find_client(&mut request);
    let grpc = is_grpc(request.headers());
    let path = request.uri().path();
    let call = if grpc { table::over_grpc(path) } else { table::over_rest(request.method().as_str(), path) };
    let method = call.as_ref().map_or("unknown", |call| call.name);
    let of_feed = call.as_ref().is_ok_and(|call| is_of_feed(call));
    match call.and_then(|call| guard.admit(call, &request)) {
        Ok(CallAdmission { call: rule, caller, holder, known, mut place, left }) => {
            if let Some(place) = &mut place {
                place.turn().await;
            }
            let seat = request.extensions().get::<Peer>().map(|peer| peer.seat.clone());
            let (call, began) = (OngoingCall::new(method, caller.principal.clone()), Instant::now());
            let of = BodyBounds {
                streams: grpc && rule.streams,
                most: if grpc { rule.most } else { usize::MAX },
                pace: caller.pace.clone(),
            };
            let (mut head, body) = request.into_parts();
            let (body, broken_off) = counted(&guard.limits.bodies, body, holder, &caller.bound, of);
            head.extensions.insert(caller);
            let mut response = call.run(next.run(Request::from_parts(head, body))).await;
            guard.metrics.took(method, began.elapsed());
            if let Some(fault) = broken_off.get() {
                guard.metrics.refused(fault.names().reason);
                response = refusal(grpc, fault);
            }
            if let Some(left) = left.filter(|_| !grpc) {
                rates::tell(response.headers_mut(), left);
            }
            if let Some((place, seat)) = place.as_mut().zip(seat) {
                place.offer(move || seat.give_up());
            }
            // RevokeKey may end the key that it was called with: its answer is not cut off for that.
            let known = known.filter(|_| method != "RevokeKey");
            match (&known, &place) {
                (None, None) => response,
                _ => response.map(|body| Body::new(KeyedBody::new(body, known, place, grpc))),
            }
        }
        Err(fault) => {
            let reason = fault.names().reason;
            guard.metrics.count(method, reason);
            let span = CallSpan::current();
            span.named(method);
            span.came_to(reason);
            guard.metrics.refused(reason);
            if let Some(peer) = request.extensions().get::<Peer>() {
                peer.seat.refused();
            }
            tracing::debug!(name: "refused", target: "calls", method, code = reason, why = %fault, "a call was refused");
            let allowed = (fault == Fault::NoMethod).then(|| table::allowed(request.uri().path()));
            if of_feed && matches!(fault, Fault::RateLimited(_)) {
                tokio::time::sleep(AGAIN).await;
            }
            let mut response = refusal(grpc, &fault);
            if let (Fault::RateLimited(wait), false) = (&fault, grpc) {
                rates::tell_wait(response.headers_mut(), *wait);
            }
            if let Some(Ok(allowed)) = allowed.map(|allowed| allowed.parse()) {
                response.headers_mut().insert(header::ALLOW, allowed);
            }
            response
        }
    }
}

fn is_of_feed(call: &CallEntry) -> bool {
    call.scope == Some(Scope::Feed)
}

impl Guard {
    /// A call that comes by way of a trusted proxy counts for the client's own address. Places of connections stay the
    /// proxy's, which shares each among its clients.
    pub(super) fn find_client(&self, request: &mut Request) {
        let Some(peer) = request.extensions().get::<Peer>().filter(|_| !self.trusted.is_empty()) else {
            return;
        };
        let address = forwarded::client(&self.trusted, peer.address, request.headers());
        let peer = Peer { address, ..peer.clone() };
        request.extensions_mut().insert(peer);
    }

    /// How a request of a browser arrived: with TLS here or at a trusted proxy, which says so in `X-Forwarded-Proto`.
    pub(super) fn arrival(&self, request: &Request) -> ui::Arrival {
        let Some(peer) = request.extensions().get::<Peer>() else { return ui::Arrival::default() };
        let proxy = self.trusted.iter().any(|network| network.contains(peer.address));
        let said = request.headers().get("x-forwarded-proto").filter(|_| proxy);
        let secure = peer.tls || said.is_some_and(|said| said.as_bytes().eq_ignore_ascii_case(b"https"));
        ui::Arrival { secure, vouched: peer.tls || proxy }
    }

    /// What the pages are told of a key; `None`: nobody is asked for one.
    pub(super) fn key_rights(&self) -> Option<ui::KeyRights> {
        let keys = self.keys.clone()?;
        Some(Arc::new(move |text| {
            let known = keys.find(text).ok()?;
            let scopes =
                Scope::ALL.into_iter().filter(|scope| known.allows(*scope)).map(Scope::name).collect();
            let domains = known.bound.domains().to_vec();
            let (key_id, client) = (known.principal.to_string(), known.client.to_string());
            Some(ui::Rights { key_id, client, scopes, domains })
        }))
    }

    /// Whether the call may be made.
    fn admit(&self, call: &'static CallEntry, request: &Request) -> Result<CallAdmission, Fault> {
        let admitted = self.enter(call, request);
        if is_of_feed(call) {
            self.tell_of_edge(request, admitted.as_ref());
        }
        admitted
    }

    fn tell_of_edge(&self, request: &Request, admitted: Result<&CallAdmission, &Fault>) {
        let peer = request.extensions().get::<Peer>();
        match admitted {
            Ok(CallAdmission { caller, .. }) => self.refusals.over(&who(caller.edge.as_deref(), peer)),
            Err(fault) => {
                let shown =
                    request.headers().get(header::AUTHORIZATION).and_then(|given| given.to_str().ok());
                let keys = self.keys.as_ref().zip(shown.and_then(|given| given.split_once(' ')));
                let edge = match (keys, peer) {
                    (Some((keys, (_, key))), _) => keys.edge_of(key.trim()),
                    (None, peer) => peer.and_then(|peer| peer.edge.clone()),
                };
                self.refusals.met(&who(edge.as_deref(), peer), fault);
            }
        }
    }

    fn enter(&self, call: &'static CallEntry, request: &Request) -> Result<CallAdmission, Fault> {
        let id = request.extensions().get::<RequestId>().map_or_else(|| Arc::from(""), |id| id.0.clone());
        let caller = Caller { request_id: id, ..Caller::anyone("") };
        let peer = request.extensions().get::<Peer>();
        if let (None, Some(peer)) = (&self.keys, peer) {
            peer.seat.let_in(None);
        }
        if let (None, 1.., Some(peer)) = (call.scope, call.weight, peer) {
            self.limits.stranger(peer.address)?;
        }
        let (Some(scope), Some(keys)) = (call.scope, &self.keys) else {
            let holder = match call.scope {
                Some(Scope::Feed) => Holder::Edges,
                _ => Holder::Address(peer.map_or(0, |peer| network(peer.address))),
            };
            let place = self.limits.places.take(call.name, holder.clone(), &caller.bound)?;
            return Ok(CallAdmission { call, caller, holder, known: None, place, left: None });
        };
        let found = found(keys, request.headers(), peer);
        let known = found.or_else(|fault| {
            let address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address);
            self.limits.refused(address).and(Err(fault))
        })?;
        if !known.allows(scope) {
            return Err(Fault::Forbidden(format!("this: it takes the scope {}", scope.name())));
        }
        if scope == Scope::Feed && known.bound.is_some() {
            return Err(Fault::Forbidden(
                "the feed: it is for some domains, and the feed is of every domain; make one for the edge (linkr keys \
                 create --scopes feed --edge NAME)"
                    .into(),
            ));
        }
        // An edge goes on as long as it can; whoever changes links waits until it is known that his key still holds.
        if scope != Scope::Feed && !keys.are_current() {
            return Err(Fault::Unavailable("the key cannot be checked now: try again in a moment"));
        }
        if let Some(peer) = peer {
            peer.seat.let_in(Some(&known));
        }
        let pace = CallerBuckets::of(&self.limits, &known.principal, &known.bound);
        let left = pace.take(call.weight)?;
        let holder = match &known.edge {
            Some(edge) if scope == Scope::Feed => Holder::Edge(edge.clone()),
            None if scope == Scope::Feed => Holder::Edges,
            _ => Holder::Key(known.principal.clone()),
        };
        let place = self.limits.places.take(call.name, holder.clone(), &known.bound)?;
        known.note_use();
        let (principal, bound) = (known.principal.clone(), known.bound.clone());
        let caller = Caller { principal, bound, edge: known.edge.clone(), pace: Some(pace), ..caller };
        Ok(CallAdmission { call, caller, holder, known: Some(known), place, left })
    }
}

/// What an edge is called in a line: by its name, or where it comes from.
fn who(edge: Option<&str>, peer: Option<&Peer>) -> String {
    match (edge, peer) {
        (Some(edge), _) => edge.to_owned(),
        (None, Some(peer)) => format!("one at {}", peer.address),
        (None, None) => "one".to_owned(),
    }
}

fn found(keys: &Keys, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Arc<KeyEntry>, Fault> {
    if headers.get_all(header::AUTHORIZATION).iter().nth(1).is_some() {
        return Err(Fault::Unauthenticated(
            "two Authorization headers were given: send the one that is meant",
        ));
    }
    match (headers.get(header::AUTHORIZATION), peer.and_then(|peer| peer.edge.as_ref())) {
        (Some(given), _) => {
            let (scheme, key) =
                given.to_str().ok().and_then(|given| given.split_once(' ')).unwrap_or_default();
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err(Fault::Unauthenticated("a key is given as Authorization: Bearer lk_…"));
            }
            keys.find(key.trim())
        }
        (None, Some(edge)) => keys.of_edge(edge),
        (None, None) => Err(Fault::Unauthenticated("a key is asked for: Authorization: Bearer lk_…")),
    }
}

/// An answer that ends when its key does, however long it streams, and holds its caller's place for so long.
struct KeyedBody {
    body: Body,
    known: Option<Arc<KeyEntry>>,
    place: Option<Arc<CallPlace>>,
    /// What the next pieces are cut from.
    rest: Bytes,
    grpc: bool,
    ended: bool,
}

/// Bytes of an answer, which hold its place until they are written: HTTP/2 and HTTP/1.1 keep some whose body has ended.
struct Piece {
    bytes: Bytes,
    _place: Arc<CallPlace>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl KeyedBody {
    fn new(body: Body, known: Option<Arc<KeyEntry>>, place: Option<CallPlace>, grpc: bool) -> Self {
        Self { body, known, place: place.map(Arc::new), rest: Bytes::new(), grpc, ended: false }
    }

    /// The next part of these. A few are left as they are: they cost no more than their stream.
    fn piece(&mut self, bytes: Bytes) -> Bytes {
        let Some(place) = self.place.as_ref().filter(|_| bytes.len() > PIECE) else {
            return bytes;
        };
        let mut bytes = Bytes::from_owner(Piece { bytes, _place: place.clone() });
        self.rest = bytes.split_off(PIECE);
        bytes
    }

    /// The next part of what is left.
    fn next_piece(&mut self) -> Option<Bytes> {
        let next = self.rest.len().min(PIECE);
        (next > 0).then(|| self.rest.split_to(next))
    }

    /// Over gRPC the end says why; over REST an answer that breaks off is all that can be said behind its status.
    fn end(&mut self, why: &'static str) -> Option<Result<Frame<Bytes>, axum::Error>> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        if let Some(known) = &self.known {
            known.tell(why);
        }
        if !self.grpc {
            return Some(Err(axum::Error::new(why)));
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", (tonic::Code::Unauthenticated as i32).into());
        trailers.insert("grpc-message", HeaderValue::from_static(why));
        Some(Ok(Frame::trailers(trailers)))
    }
}

impl http_body::Body for KeyedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(why) = self.known.as_ref().and_then(|known| known.ended()) {
            return Poll::Ready(self.end(why));
        }
        if let Some(next) = self.next_piece() {
            return Poll::Ready(Some(Ok(Frame::data(next))));
        }
        let frame = std::task::ready!(http_body::Body::poll_frame(Pin::new(&mut self.body), cx));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|bytes| self.piece(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || (self.rest.is_empty() && http_body::Body::is_end_stream(&self.body))
    }

    fn size_hint(&self) -> SizeHint {
        let (of_body, rest) = (http_body::Body::size_hint(&self.body), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower() + rest);
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use std::future::poll_fn;

    #[tokio::test]
    async fn a_call_whose_key_ends_meanwhile_is_told_so() {
        for grpc in [true, false] {
            let known = Arc::new(KeyEntry::revoked());
            let body = Body::from("an answer");
            let mut watched = KeyedBody::new(body, Some(known.clone()), None, grpc);
            let told = poll_fn(|cx| Pin::new(&mut watched).poll_frame(cx)).await.unwrap();
            assert_eq!(told.is_ok(), grpc);
            if let Ok(frame) = told {
                assert_eq!(frame.into_trailers().unwrap()["grpc-status"], "16");
            }
            assert!(poll_fn(|cx| Pin::new(&mut watched).poll_frame(cx)).await.is_none());
            assert!(
                known.was_told(),
                "a call that met the end of its key was all that showed it, and no log said so"
            );
        }
    }

    /// Found by attack: bytes that HTTP/2 kept for a window of nothing counted as sent.
    #[tokio::test]
    async fn an_answer_holds_its_place_until_its_last_byte_is_written() {
        let limits = Limits::default();
        let take =
            || limits.places.take("ListLinks", Holder::Key("a".into()), &crate::bound::Bound::default());
        let held: Vec<_> = (0..31).map(|_| take().unwrap()).collect();
        let text = vec![b'x'; PIECE * 5 / 2];
        let mut watched = KeyedBody::new(Body::from(text.clone()), None, take().unwrap(), false);
        assert_eq!(watched.size_hint().exact(), Some(text.len() as u64));
        let mut pieces = Vec::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut watched).poll_frame(cx)).await {
            pieces.push(frame.unwrap().into_data().unwrap());
            let left = text.len() - pieces.iter().map(Bytes::len).sum::<usize>();
            assert_eq!(watched.size_hint().exact(), Some(left as u64));
            assert_eq!(watched.is_end_stream(), left == 0);
        }
        assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [PIECE, PIECE, PIECE / 2]);
        assert_eq!(pieces.concat(), text);
        drop(watched);
        pieces.drain(..2);
        assert!(take().is_err(), "its last piece waits");
        pieces.clear();
        assert!(take().is_ok());
        drop(held);
    }
}
