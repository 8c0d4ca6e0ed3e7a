//! Why a call is refused, and the one table of what that is called on every transport. No I/O here.

use http::StatusCode;
use journal::Rejection;
use proto::bounds::{Excess, ExcessKind};
use std::borrow::Cow;
use std::time::Duration;
use store::model::StoreFault;
use store::wire;
use tonic::Code;

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The caller gave something that breaks a rule.
    Invalid {
        /// The field at fault, as a link or request names it.
        field: Cow<'static, str>,
        /// The rule, worded so that it follows the field's name.
        why: String,
    },
    /// No such link, or none that lives.
    NotFound(String),
    /// No such domain.
    DomainNotFound(String),
    /// The domain has links, or deleted ones that can still be undeleted.
    DomainInUse {
        /// Of the domain.
        name: String,
        /// So many links at least that are not deleted.
        live: usize,
        /// Until when, in Unix milliseconds, one that is deleted can be undeleted: until then at least.
        until: Option<i64>,
    },
    /// No link of the domain has the tag.
    TagNotFound {
        /// The tag.
        tag: String,
        /// The name of the domain.
        domain: String,
    },
    /// Links of the domain have the tag that another one would become.
    TagExists {
        /// The tag.
        tag: String,
        /// The name of the domain.
        domain: String,
    },
    /// No such key.
    KeyNotFound(String),
    /// No such edge.
    EdgeNotFound(String),
    /// The edge is not gone: it follows control.
    EdgeConnected(String),
    /// The edge may still call an answer fresh.
    EdgeFresh(String),
    /// The edge cannot be asked.
    EdgeUnreachable {
        /// Its name.
        edge: String,
        /// Why not, and the way out.
        why: &'static str,
    },
    /// An edge that follows control does not know what the write needs, and would answer as if it were not there.
    EdgeTooOld {
        /// Its name.
        edge: String,
        /// What it does not know.
        lacks: String,
    },
    /// No key was shown, or none that may be used; what is wrong.
    Unauthenticated(&'static str),
    /// The caller's key does not allow it; what.
    Forbidden(String),
    /// The code is taken.
    Exists(String),
    /// The code belongs to a deleted link.
    CodeDeleted {
        /// Of the link.
        name: String,
        /// Until when the code stays taken at least, in Unix milliseconds: for good if the link was ever clicked.
        until: i64,
    },
    /// Another link of the domain has the external id.
    ExternalIdTaken {
        /// The id.
        id: String,
        /// Of that link.
        name: String,
    },
    /// The link or domain would lead to a blocked host.
    TargetBlocked {
        /// The field that leads there.
        field: &'static str,
        /// The blocked host.
        host: String,
    },
    /// The host is not blocked.
    TargetNotBlocked(String),
    /// The link is no longer at the version that the caller named.
    EtagMismatch,
    /// The same request id came with another request before.
    IdempotencyMismatch,
    /// One of a batch is refused, and so are all.
    InBatch {
        /// Which, such as `requests[17]`.
        field: String,
        /// Why.
        #[source]
        fault: Box<Fault>,
    },
    /// More than a request may carry.
    TooLarge(&'static str),
    /// A part of a request goes beyond its bound.
    Beyond {
        /// Where.
        field: String,
        /// The bound, worded so that it follows the field's name.
        why: String,
    },
    /// More than the caller's key allows; how long it takes until there is room.
    RateLimited(Duration),
    /// The call's deadline passed.
    Late,
    /// A mistake in the program.
    Internal,
    /// More is under way than may be.
    Overloaded,
    /// As many calls of a kind are under way as may be.
    Full {
        /// The call, or what they have in common.
        what: &'static str,
        /// How many.
        most: usize,
        /// Whether they last as long as their callers like.
        last: bool,
    },
    /// The caller has as many calls of a kind under way as one may have.
    Share {
        /// The call, or what they have in common.
        what: &'static str,
        /// How many.
        share: usize,
        /// Whose they are.
        whose: String,
        /// Whether they last as long as their callers like.
        last: bool,
    },
    /// A watch cannot go on behind a revision; why.
    Resync(String),
    /// It cannot be done now, and the store is not to blame; why not.
    Unavailable(&'static str),
    /// The store failed.
    Store(#[from] StoreFault),
    /// REST: nothing is at this path.
    NoRoute,
    /// REST: something is at this path, but not with this method.
    NoMethod,
    /// REST: the body is not announced as JSON, or as JSON in another charset.
    NotJson,
    /// REST: the body is compressed, or otherwise coded.
    Encoded,
}

/// What a fault is called on each transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultNames {
    /// In gRPC.
    pub grpc: Code,
    /// In REST.
    pub http: StatusCode,
    /// For machines, on both.
    pub reason: &'static str,
    /// A few words for people that are the same for every occurrence.
    pub title: &'static str,
}

impl Fault {
    /// A broken rule of one field.
    #[allow(clippy::needless_pass_by_value)] // callers hand in what they have just made
    pub fn invalid(field: impl Into<Cow<'static, str>>, why: impl ToString) -> Self {
        Self::Invalid { field: field.into(), why: why.to_string() }
    }

    /// The table.
    pub fn names(&self) -> FaultNames {
        use StatusCode as S;
        let (grpc, http, reason, title) = match self {
            Self::InBatch { fault, .. } => return fault.names(),
            Self::Invalid { .. } => {
                (Code::InvalidArgument, S::BAD_REQUEST, "INVALID", "a field breaks a rule")
            }
            Self::NotFound(_) => (Code::NotFound, S::NOT_FOUND, "NOT_FOUND", "no such link"),
            Self::DomainNotFound(_) => (Code::NotFound, S::NOT_FOUND, "DOMAIN_NOT_FOUND", "no such domain"),
            Self::DomainInUse { .. } => {
                (Code::FailedPrecondition, S::CONFLICT, "DOMAIN_IN_USE", "the domain has links")
            }
            Self::TagNotFound { .. } => (Code::NotFound, S::NOT_FOUND, "TAG_NOT_FOUND", "no such tag"),
            Self::TagExists { .. } => {
                (Code::AlreadyExists, S::CONFLICT, "TAG_EXISTS", "links have the new tag already")
            }
            Self::KeyNotFound(_) => (Code::NotFound, S::NOT_FOUND, "KEY_NOT_FOUND", "no such key"),
            Self::EdgeNotFound(_) => (Code::NotFound, S::NOT_FOUND, "EDGE_NOT_FOUND", "no such edge"),
            Self::EdgeConnected(_) | Self::EdgeFresh(_) => {
                (Code::FailedPrecondition, S::CONFLICT, "EDGE_ALIVE", "the edge is not gone")
            }
            Self::EdgeUnreachable { .. } => {
                (Code::FailedPrecondition, S::CONFLICT, "EDGE_UNREACHABLE", "the edge cannot be asked")
            }
            Self::EdgeTooOld { .. } => {
                let title = "an edge does not know what the write needs";
                (Code::FailedPrecondition, S::PRECONDITION_FAILED, "EDGE_TOO_OLD", title)
            }
            Self::Unauthenticated(_) => {
                (Code::Unauthenticated, S::UNAUTHORIZED, "UNAUTHENTICATED", "a good key is asked for")
            }
            Self::RateLimited(_) => {
                let title = "the key's allowance is used up";
                (Code::ResourceExhausted, S::TOO_MANY_REQUESTS, "RATE_LIMITED", title)
            }
            Self::Late => {
                let title = "the call did not end in time";
                (Code::DeadlineExceeded, S::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED", title)
            }
            Self::Internal => {
                (Code::Internal, S::INTERNAL_SERVER_ERROR, "INTERNAL", "a mistake in the program")
            }
            Self::Forbidden(_) => {
                (Code::PermissionDenied, S::FORBIDDEN, "FORBIDDEN", "the key does not allow it")
            }
            Self::Exists(_) => (Code::AlreadyExists, S::CONFLICT, "EXISTS", "the code is taken"),
            Self::CodeDeleted { .. } => {
                (Code::AlreadyExists, S::CONFLICT, "CODE_DELETED", "the code belongs to a deleted link")
            }
            Self::ExternalIdTaken { .. } => {
                let title = "another link has the external id";
                (Code::AlreadyExists, S::CONFLICT, "EXTERNAL_ID_TAKEN", title)
            }
            Self::TargetBlocked { .. } => {
                (Code::FailedPrecondition, S::CONFLICT, "TARGET_BLOCKED", "the target's host is blocked")
            }
            Self::TargetNotBlocked(_) => {
                (Code::NotFound, S::NOT_FOUND, "TARGET_NOT_BLOCKED", "the host is not blocked")
            }
            Self::EtagMismatch => {
                // AIP-154: read it again, and then decide anew.
                let title = "the link has changed";
                (Code::Aborted, S::PRECONDITION_FAILED, "ETAG_MISMATCH", title)
            }
            Self::IdempotencyMismatch => {
                let title = "the request id was used for another request";
                (Code::InvalidArgument, S::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_MISMATCH", title)
            }
            // OutOfRange is what tonic itself answers to a message above its limit.
            Self::TooLarge(_) | Self::Beyond { .. } => {
                (Code::OutOfRange, S::PAYLOAD_TOO_LARGE, "TOO_LARGE", "the request is too large")
            }
            Self::Overloaded | Self::Full { .. } => {
                let title = "too much is under way";
                (Code::ResourceExhausted, S::TOO_MANY_REQUESTS, "OVERLOADED", title)
            }
            Self::Share { .. } => {
                let title = "too many such calls of one caller are under way";
                (Code::ResourceExhausted, S::TOO_MANY_REQUESTS, "SHARE_USED_UP", title)
            }
            Self::Resync(_) => {
                let title = "the log does not reach back to the revision";
                (Code::FailedPrecondition, S::GONE, "RESYNC", title)
            }
            Self::Unavailable(_) => {
                let title = "this control cannot do it now";
                (Code::Unavailable, S::SERVICE_UNAVAILABLE, "UNAVAILABLE", title)
            }
            Self::Store(StoreFault::Unavailable(_)) => {
                let title = "the store does not answer";
                (Code::Unavailable, S::SERVICE_UNAVAILABLE, "STORE_UNAVAILABLE", title)
            }
            Self::Store(StoreFault::Full) => {
                let title = "the disk of the store is full";
                (Code::ResourceExhausted, S::INSUFFICIENT_STORAGE, "DISK_FULL", title)
            }
            Self::Store(StoreFault::Corrupt(_)) => {
                let title = "the store holds what it should not";
                (Code::DataLoss, S::INTERNAL_SERVER_ERROR, "STORE_CORRUPT", title)
            }
            Self::NoRoute => {
                (Code::Unimplemented, S::NOT_FOUND, "NO_SUCH_RESOURCE", "nothing is at this path")
            }
            Self::NoMethod => {
                let title = "this path has no such method";
                (Code::Unimplemented, S::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", title)
            }
            Self::NotJson => {
                let title = "the body is not announced as JSON";
                (Code::InvalidArgument, S::UNSUPPORTED_MEDIA_TYPE, "NOT_JSON", title)
            }
            Self::Encoded => {
                let title = "the body has a content coding";
                (Code::InvalidArgument, S::UNSUPPORTED_MEDIA_TYPE, "ENCODED", title)
            }
        };
        FaultNames { grpc, http, reason, title }
    }

    /// After how long another try is worth it.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited(wait) => Some(*wait),
            Self::Overloaded
            | Self::Full { last: false, .. }
            | Self::Share { last: false, .. }
            | Self::Unavailable(_)
            | Self::Store(StoreFault::Unavailable(_)) => Some(Duration::from_secs(1)),
            Self::Full { last: true, .. } => Some(LASTING),
            _ => None,
        }
    }

    /// Its words, cut: what a caller gave stands in them, and the trailers of an answer have a bound.
    pub fn told(&self) -> String {
        cut(&self.to_string()).into_owned()
    }

    /// The field at fault, if one is.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid { field, .. } => Some(field),
            Self::Beyond { field, .. } => Some(field),
            Self::InBatch { field, .. } => Some(field),
            Self::ExternalIdTaken { .. } => Some("external_id"),
            Self::TagNotFound { .. } => Some("tag"),
            Self::TagExists { .. } => Some("new_tag"),
            Self::TargetBlocked { field, .. } => Some(field),
            _ => None,
        }
    }

    /// The same of the batch that it is about one of; `under` is where its fields are there. What is about the whole
    /// request stays as it is.
    pub fn in_batch(self, at: usize, under: &str) -> Self {
        match self {
            Self::Invalid { field, why } => {
                Self::Invalid { field: format!("requests[{at}].{under}{field}").into(), why }
            }
            whole @ (Self::IdempotencyMismatch
            | Self::TooLarge(_)
            | Self::Overloaded
            | Self::Unavailable(_)
            | Self::Store(_)) => whole,
            fault => Self::InBatch { field: format!("requests[{at}]"), fault: Box::new(fault) },
        }
    }
}

/// Until it is worth to look again whether a place is free that its holder keeps for as long as he likes.
const LASTING: Duration = Duration::from_secs(10);
/// Bytes of words to a caller, as gRPC writes them: percent-encoded, into a header.
const WORDS: usize = 1_500;

/// The beginning of a text that a caller may have made as long as he likes.
pub fn cut(text: &str) -> Cow<'_, str> {
    let mut left = WORDS;
    let mut fits = |c: char| {
        let bytes = if c.is_ascii_graphic() || c == ' ' { 1 } else { 3 * c.len_utf8() };
        left.checked_sub(bytes).inspect(|less| left = *less).is_some()
    };
    match text.find(|c| !fits(c)) {
        Some(at) => format!("{}…", &text[..at]).into(),
        None => text.into(),
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Invalid { field, why } => write!(f, "{field} {why}"),
            Self::Beyond { field, why } => write!(f, "{field} {why}"),
            Self::InBatch { field, fault } => write!(f, "{field}: {fault}"),
            Self::NotFound(name) => write!(f, "there is no link {name}"),
            Self::DomainNotFound(name) => write!(f, "there is no domain {name}"),
            Self::DomainInUse { name, live: 0, until } => {
                let until = wire::timestamp(until.unwrap_or_default());
                let domain = name.strip_prefix("domains/").unwrap_or(name);
                write!(
                    f,
                    "links of {name} were deleted and can be undeleted until {until}, or for good if they were clicked; for so \
                     long the domain stays: linkr domain delete {domain} --purge-deleted gives them up with it"
                )
            }
            Self::DomainInUse { name, live, .. } => {
                let domain = name.strip_prefix("domains/").unwrap_or(name);
                let links = if *live == 1 { "link" } else { "links" };
                write!(
                    f,
                    "{name} has at least {live} {links}, which would be lost: linkr link list --domain {domain} shows them; \
                     export or delete them first"
                )
            }
            Self::EdgeNotFound(name) => write!(f, "no edge {name} is known: linkr feed status lists them"),
            Self::EdgeConnected(name) => {
                write!(f, "edge {name} follows control: stop it first, and it is forgotten by itself")
            }
            Self::EdgeFresh(name) => {
                write!(
                    f,
                    "edge {name} was told the head less than 1.01 s ago and may call its answers fresh: try again"
                )
            }
            Self::EdgeUnreachable { edge, why } => write!(f, "edge {edge} {why}"),
            Self::EdgeTooOld { edge, lacks } => write!(
                f,
                "edge {edge} follows control and does not know {lacks}: start a newer linkr there, or stop that edge, and \
                 try again"
            ),
            Self::TagNotFound { tag, domain } => write!(f, "no link of {domain} has the tag {tag:?}"),
            Self::TagExists { tag, domain } => write!(
                f,
                "links of {domain} have the tag {tag:?} already, and which of them were renamed could not be told \
                 afterwards: to put both tags together say merge (linkr tag merge)"
            ),
            Self::KeyNotFound(name) => {
                write!(f, "there is no key {name}: linkr keys list names those there are")
            }
            Self::Unauthenticated(why) => f.write_str(why),
            Self::RateLimited(_) => write!(f, "more than this caller may ask for: try again later"),
            Self::Late => write!(f, "the call did not end in time; a write may still happen"),
            Self::Internal => write!(f, "the call failed by a mistake in the program, which its log tells"),
            Self::Forbidden(what) => write!(f, "this key does not allow {what}"),
            Self::Exists(name) => write!(f, "{name} exists already"),
            Self::CodeDeleted { name, until } => {
                let (until, link) = (wire::timestamp(*until), name.strip_prefix("domains/").unwrap_or(name));
                write!(f, "{name} is deleted, and its code stays taken until {until}: linkr link undelete ")?;
                match link.split_once("/links/") {
                    Some(("-", code)) => write!(f, "{code}"),
                    Some((domain, code)) => write!(f, "{code} --domain {domain}"),
                    None => write!(f, "CODE"),
                }?;
                let clicked = "A code that was clicked is never free again";
                write!(f, " brings it back (REST: POST /v1/{name}:undelete). {clicked}")
            }
            Self::ExternalIdTaken { id, name } => write!(f, "{name} has the external_id {id:?} already"),
            Self::TargetBlocked { field, host } => write!(
                f,
                "{field} leads to {host} or below it, which is blocked: choose another, or let an admin end the block with \
                 linkr target unblock {host}"
            ),
            Self::TargetNotBlocked(host) => {
                write!(f, "{host} itself is not blocked: linkr target list shows the hosts that are")
            }
            Self::EtagMismatch => write!(f, "the link has changed since the version that the etag names"),
            Self::IdempotencyMismatch => {
                write!(f, "the same request id came with another request in the last 48 hours")
            }
            Self::TooLarge(limit) => write!(f, "at most {limit}"),
            Self::Overloaded => write!(f, "too much is under way: try again in a moment"),
            Self::Full { what, most, last } => {
                let way =
                    if *last { "a place is free when one of them ends" } else { "try again in a moment" };
                write!(f, "{most} {what} are under way, and there may be no more: {way}")
            }
            Self::Share { what, share, whose, last } => {
                let way = if *last { "end one first" } else { "try again when one has ended" };
                write!(f, "{share} {what} of {whose} are under way, and there may be no more: {way}")
            }
            Self::Resync(why) => {
                write!(f, "nothing can be told behind this revision ({why}): list the links again")
            }
            Self::Unavailable(why) => f.write_str(why),
            Self::Store(fault) => fault.fmt(f),
            Self::NoRoute => write!(
                f,
                "nothing is at this path; links are at /v1/links, and a : that is part of a code is written %3A"
            ),
            Self::NoMethod => {
                write!(f, "this path does not know this method: the Allow header says which it knows")
            }
            Self::NotJson => write!(f, "send the body with Content-Type: application/json, in UTF-8"),
            Self::Encoded => write!(f, "send the body as it is, without Content-Encoding"),
        }
    }
}

impl From<Excess> for Fault {
    fn from(excess: Excess) -> Self {
        let (why, field) = (excess.why(), excess.field);
        match excess.of {
            ExcessKind::Elements(0) | ExcessKind::Twice => Self::invalid(field, why),
            _ => Self::Beyond { field, why },
        }
    }
}

impl From<Rejection> for Fault {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Invalid { field, why } => Self::invalid(field, why),
            Rejection::NotFound(name) => Self::NotFound(name),
            Rejection::DomainNotFound(name) => Self::DomainNotFound(name),
            Rejection::Exists(name) => Self::Exists(name),
            Rejection::CodeDeleted { name, until } => Self::CodeDeleted { name, until },
            Rejection::ExternalIdTaken { id, name } => Self::ExternalIdTaken { id, name },
            Rejection::TargetBlocked { field, host } => Self::TargetBlocked { field, host: host.to_string() },
            Rejection::TargetNotBlocked(host) => Self::TargetNotBlocked(host.to_string()),
            Rejection::EtagMismatch => Self::EtagMismatch,
            Rejection::IdempotencyMismatch => Self::IdempotencyMismatch,
            Rejection::TooManyDomains => Self::TooLarge("10,000 domains"),
            Rejection::DomainsTooLarge => Self::TooLarge(
                "12 MiB for all domains together, which every edge holds: make files of some smaller, or remove them",
            ),
            Rejection::DomainInUse { name, live, until } => Self::DomainInUse { name, live, until },
            Rejection::NumberTaken => Self::Overloaded,
        }
    }
}
