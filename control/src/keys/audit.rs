//! Who made and ended keys, and who wrote domains and blocks: `ListAudit`. What is told here was noted with each write.

use super::Keys;
use crate::page::page_size;
use crate::{Caller, Fault};
use journal::names;
use link::Domain;
use proto::v1;

const LARGEST_PAGE: i32 = 100;

impl Keys {
    /// See `ListAudit`.
    pub async fn audit(
        &self,
        caller: &Caller,
        request: &v1::ListAuditRequest,
    ) -> Result<v1::ListAuditResponse, Fault> {
        let name = match request.name.strip_prefix("domains/").map(Domain::given) {
            Some(Ok(domain)) => names::domain(domain.as_str()),
            _ => request.name.clone(),
        };
        let is_known =
            name.is_empty() || ["keys/", "domains/", "blocks/"].iter().any(|kind| name.starts_with(kind));
        if !is_known || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Fault::invalid("name", "is none of keys/…, domains/… and blocks/…"));
        }
        let size = page_size(request.page_size, LARGEST_PAGE)?;
        let below = match request.page_token.as_str() {
            "" => i64::MAX,
            token => {
                let below = token.parse().ok().filter(|below: &i64| *below > 0 && below.to_string() == token);
                below.ok_or_else(|| Fault::invalid("page_token", "is none that this list gave out"))?
            }
        };
        let (entries, next) = self.kept.audit(caller, name, below, size).await?;
        let next_page_token = next.map_or_else(String::new, |next| next.to_string());
        Ok(v1::ListAuditResponse { entries, next_page_token })
    }
}
