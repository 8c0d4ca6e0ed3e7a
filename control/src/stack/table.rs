//! The one table of calls: what each asks of a key, as the `.proto` says it. What is not in it is refused.

use crate::transport::calls::{APPEND_BYTES, LINKS_BYTES, REFLECTION, REFLECTION_BEFORE, SMALL_BYTES};
use crate::{Fault, routes};
use std::collections::HashMap;
use std::sync::LazyLock;
use store::model::Scope;

/// One call, however it arrives.
#[derive(Debug)]
pub struct CallEntry {
    /// The name of its method, as in the metrics.
    pub name: &'static str,
    /// The scope that it takes; `None`: no key is asked for.
    pub scope: Option<Scope>,
    /// What it costs of a key's allowance. Rows of batches and imports are counted when they are read.
    pub weight: u32,
    /// Over gRPC the caller may send messages for as long as he likes.
    pub streams: bool,
    /// Bytes over gRPC of the one message of a call that does not stream. REST has bounds of its own.
    pub most: usize,
}

/// Calls of services that are not ours, which nobody needs a key for, what they cost of what an address may ask for, and
/// whether they stream.
const OTHERS: [(&str, &str, u32, bool); 5] = [
    ("/grpc.health.v1.Health/Check", "Check", 0, false),
    ("/grpc.health.v1.Health/Watch", "Watch", 0, false),
    ("/grpc.health.v1.Health/List", "List", 0, false),
    (REFLECTION, "ServerReflectionInfo", 1, true),
    (REFLECTION_BEFORE, "ServerReflectionInfo", 1, true),
];

/// Bytes in front of a message over gRPC.
const HEAD: usize = 5;

/// The description of the API: it is at three paths of REST, and nobody needs a key for it.
static DESCRIPTION: CallEntry =
    CallEntry { name: "OpenApi", scope: None, weight: 0, streams: false, most: HEAD + SMALL_BYTES };

/// By their paths over gRPC. A call whose scope is none is not in it.
static CALLS: LazyLock<HashMap<&'static str, CallEntry>> = LazyLock::new(|| {
    let others = OTHERS.into_iter().map(|(path, name, weight, streams)| {
        (path, CallEntry { name, scope: None, weight, streams, most: HEAD + SMALL_BYTES })
    });
    let ours = proto::described::calls().iter().filter_map(|call| {
        let scope = Scope::ALL.into_iter().find(|scope| scope.name() == call.rule.scope)?;
        let (weight, streams) = (call.rule.weight, call.takes_stream);
        let most = HEAD
            + match &*call.rule.places {
                "batches" => LINKS_BYTES,
                "Append" => APPEND_BYTES,
                _ => SMALL_BYTES,
            };
        Some((call.path.as_str(), CallEntry { name: &call.name, scope: Some(scope), weight, streams, most }))
    });
    ours.chain(others).collect()
});

/// The rule of a call over gRPC.
///
/// # Errors
/// [`Fault::NoRoute`]
pub fn over_grpc(path: &str) -> Result<&'static CallEntry, Fault> {
    CALLS.get(path).ok_or(Fault::NoRoute)
}

/// The rule of a call over REST.
///
/// # Errors
/// [`Fault::NoRoute`], or [`Fault::NoMethod`] where the path is known with another method.
pub fn over_rest(method: &str, path: &str) -> Result<&'static CallEntry, Fault> {
    if describes(path) {
        return if matches!(method, "GET" | "HEAD") { Ok(&DESCRIPTION) } else { Err(Fault::NoMethod) };
    }
    over_grpc(&routes::find(method, path)?.route.call.path)
}

/// The methods that a path is known with, as `Allow` says them.
pub fn allowed(path: &str) -> String {
    if describes(path) { "GET,HEAD".to_owned() } else { routes::allowed(path) }
}

fn describes(path: &str) -> bool {
    ["/openapi.json", "/docs", "/docs.js"].contains(&path)
}
