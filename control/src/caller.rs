//! Who asks, as every call of the service is told. How that is found out is not here.

use crate::Fault;
use crate::stack::Pace;
use std::sync::Arc;

/// One request and whoever sent it. The entrance makes it; transports pass it on.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The name of the key, or of the certificate; empty where none is asked for. Request ids and the audit belong to it.
    pub principal: Arc<str>,
    /// As in the answer's `X-Request-Id`.
    pub request_id: Arc<str>,
    /// The domains that it may touch; `None`: all.
    pub domains: Option<Arc<[String]>>,
    /// The only edge that it may speak for, as its certificate says; `None`: any.
    pub edge: Option<Arc<str>>,
    /// How much it may still ask for; `None`: nobody counts.
    pub pace: Option<Pace>,
}

impl Caller {
    /// Anybody, where no key is asked for.
    pub fn anyone(request_id: &str) -> Self {
        Self {
            principal: Arc::from(""),
            request_id: Arc::from(request_id),
            domains: None,
            edge: None,
            pace: None,
        }
    }

    /// Refuses a domain (`-` or a host name in its compared form) that the caller's key is not for.
    ///
    /// # Errors
    /// [`Fault::Forbidden`]
    pub fn may_touch(&self, domain: &str) -> Result<(), Fault> {
        let all = self.domains.as_ref();
        if all.is_none_or(|domains| domains.iter().any(|own| own == domain)) {
            return Ok(());
        }
        Err(Fault::Forbidden(format!("anything in domains/{domain}")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_caller_touches_its_own_domains_alone() {
        let bound = Caller { domains: Some(Arc::new(["a.example".to_owned()])), ..Caller::anyone("r") };
        assert_eq!(bound.may_touch("a.example"), Ok(()));
        assert_eq!(bound.may_touch("-").unwrap_err().names().reason, "FORBIDDEN");
        assert_eq!(Caller::anyone("r").may_touch("-"), Ok(()));
    }
}
