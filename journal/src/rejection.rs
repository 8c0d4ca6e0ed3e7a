//! Why a write is refused.

use link::TargetHost;

/// Why a write is refused. Names are resource names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// A value breaks a rule of its field.
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it, behind its name.
        why: String,
    },
    /// There is no such link.
    NotFound(String),
    /// There is no such domain.
    DomainNotFound(String),
    /// There is one already.
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
        /// The blocked host: that of the target, or one above it.
        host: TargetHost,
    },
    /// There is no block of this host.
    TargetNotBlocked(TargetHost),
    /// It has changed since the version that the caller named.
    EtagMismatch,
    /// The request id came with another request.
    IdempotencyMismatch,
    /// There are as many domains as there may be.
    TooManyDomains,
    /// All domains together have more bytes than an edge can be told.
    DomainsTooLarge,
    /// The number that was drawn for a domain is taken, or was once.
    NumberTaken,
    /// A domain is not deleted while there are links of it.
    DomainInUse {
        /// Of the domain.
        name: String,
        /// So many links at least that are not deleted.
        live: usize,
        /// Until when, in Unix milliseconds, one that is deleted can be undeleted: until then at least.
        until: Option<i64>,
    },
}

impl Rejection {
    /// A broken rule of one field.
    #[allow(clippy::needless_pass_by_value)] // callers hand in what they have just made
    pub(crate) fn invalid(field: &'static str, why: impl ToString) -> Self {
        Self::Invalid { field, why: why.to_string() }
    }
}
