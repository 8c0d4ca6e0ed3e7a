//! What every call passes on its way in, over gRPC and REST alike: a request id, a panic that ends one call alone, a
//! deadline, a key, a scope, an allowance, a size. No call is known by name here but in the table.

mod bodies;
mod cors;
mod forwarded;
mod guard;
mod linger;
mod rates;
mod refusals;
mod table;
#[cfg(test)]
mod tests;

pub use cors::Cors;
pub use guard::{Guard, Peer};
pub use refusals::Refusals;

use crate::Fault;
use crate::traces::{CallSpan, Traces};
use crate::transport::{rest, status};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use exposition::{TraceContext, trace_state};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceBuilder, ServiceExt};
use tracing::Instrument;

/// A call, its body included; of a call that streams, the time until its stream begins.
pub const CALL: Duration = Duration::from_secs(30);
/// Bytes of a body over REST; gRPC has its own limit for each message.
const BODY_BYTES: usize = 1024 * 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The API with everything around it.
pub type Stack = BoxCloneSyncService<Request, Response, Infallible>;

/// The id of the request under way.
#[derive(Clone)]
struct RequestId(Arc<str>);

/// Both halves of the API behind the whole stack, and the pages in front of them: a page makes its calls through the same
/// guard as everybody.
pub fn around(
    calls: Router,
    resources: Router,
    guard: Arc<Guard>,
    cors: Option<Cors>,
    files: Option<ui::LinkFiles>,
) -> (Stack, ui::Site) {
    let traces = guard.metrics.traces.clone();
    let halves = tower::service_fn(move |request: Request| {
        let half = if is_grpc(request.headers()) { &calls } else { &resources };
        half.clone().oneshot(request)
    });
    let behind = ServiceBuilder::new()
        .layer(from_fn_with_state(guard.clone(), guard::guarded))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .service(halves);
    let site = ui::Site::new(BoxCloneSyncService::new(behind.clone()), guard.key_rights(), files);
    let pages = site.clone();
    let both = tower::service_fn(move |mut request: Request| {
        let for_people = !is_grpc(request.headers()) && ui::Site::has(request.uri().path());
        let page = for_people.then(|| {
            let arrival = guard.arrival(&request);
            request.extensions_mut().insert(arrival);
            guard.find_client(&mut request); // calls that a page makes name no client of their own
            pages.clone()
        });
        let api = behind.clone();
        async move {
            match page {
                Some(page) => Ok(page.answer(request).await),
                None => api.oneshot(request).await,
            }
        }
    });
    let stack = match cors {
        None => outer(both, traces),
        Some(cors) => {
            let layers = ServiceBuilder::new().layer(from_fn_with_state(cors, cors::shared));
            BoxCloneSyncService::new(layers.service(outer(both, traces)))
        }
    };
    (stack, site)
}

/// What needs no knowledge of calls and keys. `traces`: where those of calls go.
pub fn outer<S>(inner: S, traces: Option<Traces>) -> Stack
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let named = from_fn_with_state(traces, named);
    let layers = ServiceBuilder::new().layer(named).layer(from_fn(whole)).layer(from_fn(in_time));
    BoxCloneSyncService::new(layers.service(inner))
}

/// Gives the request a name, which the answer and every line of the log carry, and its call a place in a trace.
async fn named(State(traces): State<Option<Traces>>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers().get(REQUEST_ID));
    let text: Arc<str> = Arc::from(id.to_str().unwrap_or_default());
    let context = trace_context(request.headers());
    let call = traces.map_or_else(CallSpan::default, |traces| traces.call(context, state(request.headers())));
    let trace = call.trace().or(context.map(|context| context.trace));
    let trace = trace.map(|trace| format!("{:032x}", u128::from_be_bytes(trace)));
    let span = tracing::error_span!("request", request_id = &*text, trace_id = trace);
    request.extensions_mut().insert(RequestId(text));
    let grpc = is_grpc(request.headers());
    let mut response = if let Err(fault) = unambiguous(&request) {
        refusal(grpc, &fault)
    } else if grpc && request.version() < Version::HTTP_2 {
        let mut response = Response::new(Body::from("gRPC needs HTTP/2\n"));
        *response.status_mut() = StatusCode::HTTP_VERSION_NOT_SUPPORTED;
        response
    } else {
        let answer = next.run(request.map(|body| linger::lingering(body, grpc)));
        call.around(answer).instrument(span).await
    };
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Refuses what could be read in two ways.
fn unambiguous(request: &Request) -> Result<(), Fault> {
    exposition::one_host(request).map_err(|why| Fault::invalid("host", why))?;
    let wrong = |(name, why): (Option<&str>, _)| Fault::invalid(name.unwrap_or("name").to_owned(), why);
    exposition::in_utf8(request.uri()).map_err(wrong)?;
    one_of_each(request.headers())
}

/// Of these a request has one, or none: which of two counts would be a guess.
fn one_of_each(headers: &HeaderMap) -> Result<(), Fault> {
    let single = [header::CONTENT_TYPE, header::CONTENT_ENCODING, REQUEST_ID];
    match single.iter().find(|name| headers.get_all(*name).iter().nth(1).is_some()) {
        Some(name) => Err(Fault::invalid(name.as_str().to_owned(), "is there twice")),
        None => Ok(()),
    }
}

/// A panic ends this call and no other: the connection may have a hundred more.
async fn whole(request: Request, next: Next) -> Response {
    let grpc = is_grpc(request.headers());
    let mut answer = std::pin::pin!(next.run(request));
    // What a panic leaves behind is dropped here and seen by nobody; locks of ours are taken poisoned or not.
    let caught = std::future::poll_fn(|cx| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(response)) => Poll::Ready(Some(response)),
            Err(_) => Poll::Ready(None),
        }
    });
    caught.await.unwrap_or_else(|| {
        tracing::error!(name: "call_panicked", "a call was ended by a panic and answered with 500: the line of the panic says where; please report it");
        refusal(grpc, &Fault::Internal)
    })
}

/// Ends a call at the caller's deadline or ours, whichever is sooner.
async fn in_time(request: Request, next: Next) -> Response {
    let grpc = is_grpc(request.headers());
    let given = request.headers().get("grpc-timeout").and_then(|text| timeout(text.to_str().ok()?));
    let most = given.filter(|_| grpc).map_or(CALL, |given| given.min(CALL));
    let answer = tokio::time::timeout(most, next.run(request)).await;
    answer.unwrap_or_else(|_| refusal(grpc, &Fault::Late))
}

/// A fault as the caller can read it.
fn refusal(grpc: bool, fault: &Fault) -> Response {
    if grpc { status(fault).into_http() } else { rest::problem(fault) }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// The caller's id if it is a legal one, else one of ours.
fn request_id(given: Option<&HeaderValue>) -> HeaderValue {
    let legal = |id: &&HeaderValue| {
        let good = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
        (1..=64).contains(&id.len()) && id.as_bytes().iter().all(good)
    };
    given.filter(legal).cloned().unwrap_or_else(|| {
        let own = format!("{:016x}", store::random::u64());
        HeaderValue::from_str(&own).unwrap_or_else(|_| HeaderValue::from_static("-"))
    })
}

/// The trace that a request belongs to, if it says so legally. Of two none is meant.
fn trace_context(headers: &HeaderMap) -> Option<TraceContext> {
    let mut all = headers.get_all("traceparent").iter();
    let first = all.next()?;
    TraceContext::parse(first.as_bytes()).filter(|_| all.next().is_none())
}

/// What goes along with the trace.
fn state(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all("tracestate").iter();
    let first = all.next()?;
    trace_state(first.as_bytes()).filter(|_| all.next().is_none())
}

/// `grpc-timeout`: at most 8 digits and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod own_tests {
    use super::*;
    use axum::routing::get;

    async fn answer(router: Router, headers: &[(&'static str, &'static str)]) -> Response {
        let mut request = Request::get("/x").version(Version::HTTP_2);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        outer(router, None).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error() {
        async fn panics() {
            panic!("as it was told to");
        }
        let router = Router::new().route("/x", get(panics));
        let over_rest = answer(router.clone(), &[("x-request-id", "mine")]).await;
        assert_eq!(over_rest.status(), 500);
        assert_eq!(over_rest.headers()[REQUEST_ID], "mine");
        assert_eq!(over_rest.headers()["content-type"], "application/problem+json");
        let over_grpc = answer(router, &[("content-type", "application/grpc")]).await;
        assert_eq!(over_grpc.headers()["grpc-status"], "13");
    }

    #[tokio::test(start_paused = true)]
    async fn the_sooner_deadline_counts() {
        let router = || Router::new().route("/x", get(std::future::pending::<()>));
        let elapsed = async |headers: &[_]| {
            let began = tokio::time::Instant::now();
            (answer(router(), headers).await, began.elapsed().as_secs())
        };
        let grpc = ("content-type", "application/grpc");
        assert_eq!(elapsed(&[]).await.1, 30);
        let (late, after) = elapsed(&[grpc, ("grpc-timeout", "2S")]).await;
        assert!(late.headers()["grpc-status"] == "4" && after == 2, "{late:?} after {after} s");
        assert_eq!(elapsed(&[grpc, ("grpc-timeout", "1H")]).await.1, 30);
        assert_eq!(elapsed(&[("grpc-timeout", "2S")]).await.0.status(), 504);
    }

    #[test]
    fn timeouts() {
        assert_eq!(timeout("100m"), Some(Duration::from_millis(100)));
        assert_eq!(timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        for wrong in ["", "S", "1", "1x", "123456789S", "-1S", "1\u{e9}"] {
            assert_eq!(timeout(wrong), None, "{wrong}");
        }
    }
}
