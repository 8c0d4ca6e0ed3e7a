//! The client half: asks a running linkr over gRPC, and says its refusals in one line.

mod conform;
mod domains;
mod explain;
mod export;
mod feed;
mod fields;
mod import;
mod keys;
mod links;
mod show;
mod watch;

pub use conform::conform;
pub use domains::domains;
pub use explain::explain;
pub use export::export;
pub use feed::feed_status;
pub use import::import;
pub use keys::keys;
pub use links::links;

use crate::args::Api;
use crate::fault::Fault;
use proto::client::Way;
use proto::v1::links_client::LinksClient;
use std::error::Error;
use std::time::Duration;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

const CONNECT: Duration = Duration::from_secs(3);
/// Bytes of one answer: exports come in large parts.
const MAX_ANSWER: usize = 64 << 20;

/// What h2 says when something else than HTTP/2 comes back.
const NOT_HTTP2: &str = "h2 protocol error: http2 error";

type Client = LinksClient<Way>;

/// Runs one client command to its end.
pub fn run(command: impl Future<Output = Result<(), Fault>>) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|fault| Fault::new(format_args!("cannot start: {fault}")))?;
    runtime.block_on(command)
}

async fn connect(api: &Api) -> Result<Client, Fault> {
    channel(api).await.map(links_of)
}

fn links_of(way: Way) -> Client {
    LinksClient::new(way).max_decoding_message_size(MAX_ANSWER)
}

/// One call of a service: its answer, or its refusal as one line.
async fn call<C, A>(
    api: &Api,
    client: impl FnOnce(Way) -> C,
    ask: impl AsyncFnOnce(&mut C) -> Result<Response<A>, Status>,
) -> Result<A, Fault> {
    let mut client = client(channel(api).await?);
    ask(&mut client).await.map(Response::into_inner).map_err(|status| refused(&status, api))
}

async fn channel(api: &Api) -> Result<Way, Fault> {
    let url = &api.server;
    let access = api.credential.access(url);
    let endpoint = access.endpoint(url).map_err(|why| Fault::new(format_args!("--server: {why}")))?;
    let channel = endpoint.connect_timeout(CONNECT).tcp_nodelay(true).connect().await.map_err(|fault| {
        Fault::new(format_args!(
            "nothing answers at {url} ({}): start it with 'linkr up', or name another with --server",
            deepest(&fault)
        ))
    })?;
    access.way(channel).map_err(Fault::new)
}

/// The refusal of a server as one line: what it says, and which field and rule it means.
fn refused(status: &Status, api: &Api) -> Fault {
    let url = &api.server;
    if status.message() == NOT_HTTP2 {
        return Fault::new(format_args!("{url} is not a linkr API: is it the redirect port? See --server"));
    }
    let details = status.get_error_details();
    let mut text = match status.code() {
        Code::Unavailable => format!("the server went away ({}): try again", status.message()),
        Code::Unimplemented => {
            format!("{url} does not know this request: is it the API, and of no older linkr?")
        }
        Code::Unauthenticated => {
            format!("{}: give --key-file, LINKR_KEY or LINKR_KEY_FILE", status.message())
        }
        _ => status.message().to_owned(),
    };
    let fields = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
    for field in fields {
        if !text.contains(field.description.as_str()) {
            text = format!("{text}: {} {}", field.field, field.description);
        }
    }
    let mut notes: Vec<String> = fields
        .iter()
        .filter(|v| !text.contains(v.field.as_str()))
        .map(|v| format!("field {}", v.field))
        .collect();
    notes.extend(details.error_info().map(|info| info.reason.clone()).filter(|reason| !reason.is_empty()));
    if text.is_empty() {
        text = format!("refused: {}", status.code());
    }
    if notes.is_empty() {
        Fault::new(text)
    } else {
        Fault::new(format_args!("{text} ({})", notes.join(", ")))
    }
}

/// The last cause says most: "Connection refused", not "transport error".
fn deepest(fault: &dyn Error) -> String {
    let mut fault = fault;
    while let Some(cause) = fault.source() {
        fault = cause;
    }
    fault.to_string()
}

fn parent(domain: &str) -> String {
    format!("domains/{domain}")
}

fn name(domain: &str, code: &str) -> String {
    format!("domains/{domain}/links/{code}")
}
