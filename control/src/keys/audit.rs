//! Who made and ended keys, and who wrote domains: `ListAudit`. What is told here was noted with each write.

use super::Keys;
use super::calls::within;
use crate::port::{Noted, StoreFault, Who};
use crate::service::{blocking, page_size};
use crate::{Caller, Fault, wire};
use prost::Message;
use proto::v1;

const LARGEST_PAGE: i32 = 100;

impl Keys {
    /// See `ListAudit`.
    pub async fn audit(
        &self,
        caller: &Caller,
        request: v1::ListAuditRequest,
    ) -> Result<v1::ListAuditResponse, Fault> {
        self.counted("ListAudit", self.try_audit(caller, request).await)
    }

    async fn try_audit(
        &self,
        caller: &Caller,
        request: v1::ListAuditRequest,
    ) -> Result<v1::ListAuditResponse, Fault> {
        let name = request.name;
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Fault::invalid("name", "is neither keys/… nor domains/…"));
        }
        let size = page_size(request.page_size, LARGEST_PAGE)?;
        let below = match request.page_token.as_str() {
            "" => i64::MAX,
            token => {
                token.parse().map_err(|_| Fault::invalid("page_token", "is none that this list gave out"))?
            }
        };
        let mut noted = blocking(&self.store, move |store| store.noted(&name, below, size + 1)).await?;
        let more = noted.len() > size;
        noted.truncate(size);
        let last = noted.last().filter(|_| more);
        let next_page_token = last.map_or_else(String::new, |last| last.number.to_string());
        let mut entries = noted.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        entries.retain(|entry| is_shown(caller, entry));
        Ok(v1::ListAuditResponse { entries, next_page_token })
    }
}

/// Whether a caller may have to do with what was written.
fn is_shown(caller: &Caller, entry: &v1::AuditEntry) -> bool {
    match (&entry.key, &entry.domain) {
        (Some(key), _) => within(caller, &key.domains).is_ok(),
        (None, domain) => domain.as_ref().is_some_and(|domain| caller.may_touch(&domain.domain).is_ok()),
    }
}

fn entry(noted: Noted) -> Result<v1::AuditEntry, StoreFault> {
    let Noted { name, at, who: Who { principal, method, request_id }, before, after, .. } = noted;
    let is_key = name.starts_with("keys/");
    let (key_before, key) = if is_key { states(before.clone(), &after)? } else { (None, None) };
    let (domain_before, domain) = if is_key { (None, None) } else { states(before, &after)? };
    let time = Some(wire::timestamp(at));
    Ok(v1::AuditEntry { name, time, principal, method, request_id, key_before, key, domain_before, domain })
}

fn states<M: Message + Default>(
    before: Option<bytes::Bytes>,
    after: &[u8],
) -> Result<(Option<M>, Option<M>), StoreFault> {
    let wrong = |fault: prost::DecodeError| StoreFault::Corrupt(format!("a row of the audit: {fault}"));
    let before = before.map(M::decode).transpose().map_err(wrong)?;
    Ok((before, Some(M::decode(after).map_err(wrong)?)))
}
