//! The client half: asks a running linkr over gRPC, and says its refusals in one line.

mod clicks;
mod conform;
mod domains;
mod explain;
mod export;
mod feed;
mod fields;
mod import;
mod keys;
mod link_files;
mod links;
mod place;
mod show;
mod tags;
mod targets;
mod watch;
mod words;

pub use self::clicks::clicks;
pub use conform::conform;
pub use domains::domains;
pub use explain::explain;
pub use export::export;
pub use feed::{feed_forget, feed_status};
pub use import::import;
pub use keys::keys;
pub use link_files::link_files;
pub use links::links;
pub use tags::tags;
pub use targets::targets;

use crate::args::Api;
use crate::fault::CommandFault;
use crate::secret;
use proto::client::{ClientFault, KeySource, KeyedChannel};
use proto::v1::links_client::LinksClient;
use std::time::Duration;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

const CONNECT: Duration = Duration::from_secs(3);
/// Bytes of one answer: exports come in large parts.
const MAX_ANSWER: usize = 64 << 20;

type Client = LinksClient<KeyedChannel>;

/// Runs one client command to its end.
pub fn run(command: impl Future<Output = Result<(), CommandFault>>) -> Result<(), CommandFault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|fault| CommandFault::new(format_args!("cannot start: {fault}")))?;
    runtime.block_on(command)
}

async fn connect(api: &Api) -> Result<Client, CommandFault> {
    channel(api).await.map(links_of)
}

fn links_of(way: KeyedChannel) -> Client {
    LinksClient::new(way).max_decoding_message_size(MAX_ANSWER)
}

/// One call of a service: its answer, or its refusal as one line.
async fn call<C, A>(
    api: &Api,
    client: impl FnOnce(KeyedChannel) -> C,
    ask: impl AsyncFnOnce(&mut C) -> Result<Response<A>, Status>,
) -> Result<A, CommandFault> {
    let mut client = client(channel(api).await?);
    ask(&mut client).await.map(Response::into_inner).map_err(|status| refused(&status, api))
}

async fn channel(api: &Api) -> Result<KeyedChannel, CommandFault> {
    let url = &api.server;
    let access = api.credential.access(url);
    let endpoint = access.endpoint(url).map_err(|why| CommandFault::new(format_args!("--server: {why}")))?;
    let credentials =
        access.credentials().map_err(|why| CommandFault::new(format_args!("{why}; see --key-file")))?;
    let channel = endpoint.connect_timeout(CONNECT).tcp_nodelay(true).connect().await;
    let channel = channel.map_err(|fault| words::unreached(&ClientFault::of(&fault).looked_at(url), url))?;
    if let KeySource::File(file) = &access.key
        && let Ok(meta) = file.metadata()
    {
        secret::warn_of(file, &meta);
    }
    Ok(credentials.over(channel))
}

/// The refusal of a server as one line: what it says, and which field and rule it means.
fn refused(status: &Status, api: &Api) -> CommandFault {
    let url = &api.server;
    if let Some(fault) = words::unanswered(status, url) {
        return fault;
    }
    let details = status.get_error_details();
    let said = status.message();
    let mut text = match status.code() {
        // The store's own words say that it is the store.
        Code::Unavailable if details.error_info().is_some() => {
            format!("linkr at {url} is there, but {said}: try again when it is back")
        }
        Code::Unavailable => format!("the server at {url} goes away ({said}): try again"),
        Code::Unimplemented => {
            format!("{url} does not know this request: is it the API, and of no older linkr?")
        }
        Code::Unauthenticated => match api.credential.origin(url) {
            None => {
                let looked = api.credential.looked_for(url).map_or_else(String::new, |file| {
                    format!(
                        "no {} is found: set LINKR_DATA_DIR to the --data-dir of linkr up, or ",
                        file.display()
                    )
                });
                format!(
                    "{said}: {looked}give --key-file, LINKR_KEY or LINKR_KEY_FILE; where there is no key yet, linkr \
                     control mint-key makes one"
                )
            }
            Some(place) => format!(
                "{said} (the one of {place}): give another with --key-file; where there is none, linkr control mint-key \
                 makes one"
            ),
        },
        _ => said.to_owned(),
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
        CommandFault::new(text)
    } else {
        CommandFault::new(format_args!("{text} ({})", notes.join(", ")))
    }
}

fn parent(domain: &str) -> String {
    format!("domains/{domain}")
}

fn name(domain: &str, code: &str) -> String {
    format!("domains/{domain}/links/{}", spelled(code))
}

/// A code as it may be copied from a browser, which percent-encodes its letters.
fn spelled(code: &str) -> String {
    link::asked(code.as_bytes()).unwrap_or_else(|| code.to_owned())
}
