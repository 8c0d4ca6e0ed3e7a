//! Why a write is refused.

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
        /// When the code is free again, in Unix milliseconds.
        until: i64,
    },
    /// Another link of the domain has the external id.
    ExternalIdTaken {
        /// The id.
        id: String,
        /// Of that link.
        name: String,
    },
    /// It has changed since the version that the caller named.
    EtagMismatch,
    /// The request id came with another request.
    IdempotencyMismatch,
    /// There are as many domains as there may be.
    TooManyDomains,
    /// The number that was drawn for a domain is taken.
    NumberTaken,
}

impl Rejection {
    /// A broken rule of one field.
    #[allow(clippy::needless_pass_by_value)] // callers hand in what they have just made
    pub(crate) fn invalid(field: &'static str, why: impl ToString) -> Self {
        Self::Invalid { field, why: why.to_string() }
    }
}
