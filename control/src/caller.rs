//! Who asks, as every call of the service is told, and what he may touch. How that is found out is not here.

use crate::Fault;
use crate::bound::Bound;
use crate::limits::CallerBuckets;
use std::sync::Arc;
use store::model::Author;

/// One request and whoever sent it. The entrance makes it; transports pass it on.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The name of the key, or of the certificate; empty where none is asked for. Request ids and the audit belong to it.
    pub principal: Arc<str>,
    /// As in the answer's `X-Request-Id`.
    pub request_id: Arc<str>,
    /// What it may touch.
    pub bound: Bound,
    /// The only edge that it may speak for, as its key or certificate says; `None`: any.
    pub edge: Option<Arc<str>>,
    /// How much it may still ask for; `None`: nobody counts.
    pub pace: Option<CallerBuckets>,
}

impl Caller {
    /// Anybody, where no key is asked for.
    pub fn anyone(request_id: &str) -> Self {
        Self {
            principal: Arc::from(""),
            request_id: Arc::from(request_id),
            bound: Bound::default(),
            edge: None,
            pace: None,
        }
    }

    /// Who is counted as one with it: see [`Bound::counted_as`].
    pub fn counted_as(&self) -> &Arc<str> {
        self.bound.counted_as().unwrap_or(&self.principal)
    }

    /// Who is to be named for what this call writes.
    pub fn by(&self, method: &'static str) -> Author {
        Author { principal: self.principal.clone(), method, request_id: self.request_id.clone() }
    }

    /// Counts the rows of a batch or of a part of an import, and waits until they may be written.
    ///
    /// # Errors
    /// [`Fault::RateLimited`] when it would have to wait for longer than a call may take.
    pub async fn rows(&self, count: usize) -> Result<(), Fault> {
        match &self.pace {
            Some(pace) => pace.rows(count).await,
            None => Ok(()),
        }
    }
}
