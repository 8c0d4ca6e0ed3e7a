//! Who made and ended keys, and who wrote domains: `ListAudit`. What is told here was noted with each write.

use super::Keys;
use crate::page::page_size;
use crate::{Caller, Fault};
use proto::v1;

const LARGEST_PAGE: i32 = 100;

impl Keys {
    /// See `ListAudit`.
    pub async fn audit(
        &self,
        caller: &Caller,
        request: &v1::ListAuditRequest,
    ) -> Result<v1::ListAuditResponse, Fault> {
        let name = request.name.clone();
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
        let (entries, next) = self.kept.audit(caller, name, below, size).await?;
        let next_page_token = next.map_or_else(String::new, |next| next.to_string());
        Ok(v1::ListAuditResponse { entries, next_page_token })
    }
}
