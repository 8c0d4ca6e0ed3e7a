//! What control promises about links: the calls of `linkr.v1.Links`, whatever they arrived by. No driver, no transport.

mod batch;
mod blocks;
mod claims;
mod clicks;
mod codes;
mod directory;
mod domains;
mod draft;
mod edge_report;
mod edges;
mod filter;
mod graph;
mod history;
mod import;
mod list;
mod name;
mod own;
mod qr;
mod reach;
mod short;
mod source;
mod tags;
mod texts;
mod token;
mod watch;
mod write;
mod write_request;

pub use clicks::ClickSources;
pub use draft::InstallationRules;
pub use edges::EdgeSources;
pub use import::Chunk;
pub use own::OwnListeners;
pub use short::BaseUrl;
pub use source::MessageSource;
pub use watch::Watches;

use crate::metrics::Metrics;
use crate::writer::Writer;
use crate::{Caller, Fault};
use codes::CodeGenerator;
use directory::Namespace;
use journal::{Draft, Field, Intent, Item};
use link::{Epoch, Key};
use proto::v1;
use reach::Reach;
use record::Features;
use std::sync::Arc;
use store::model::Row;
use store::port::Repository;
use store::wire;
use write::{NO_VERSION, WriteTerms, etag};

/// Codes drawn for one link. With 62⁷ of them even the second try is rare until billions are taken.
const DRAWS: usize = 8;

/// The service.
pub struct Service {
    reach: Reach,
    metrics: Arc<Metrics>,
    rules: Arc<InstallationRules>,
    edges: EdgeSources,
    watches: Watches,
    clicks: ClickSources,
}

/// A link that a create asks for.
struct NewLink {
    draft: Draft,
    /// Of the code that was given, if one was.
    given: Option<Key>,
    drawing: CodeGenerator,
}

impl Service {
    /// A service over a store and its writer.
    pub fn new(
        store: Arc<dyn Repository>,
        writer: Arc<Writer>,
        metrics: Arc<Metrics>,
        edges: EdgeSources,
        watches: Watches,
        clicks: ClickSources,
        rules: InstallationRules,
    ) -> Self {
        let rules = Arc::new(rules);
        Self { reach: Reach::new(store, writer), metrics, edges, watches, clicks, rules }
    }

    /// Reads what every call needs, so that a store that goes away right after the start is not needed for it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn prepare(&self) -> Result<(), Fault> {
        self.reach.prepare().await
    }

    /// Counts a call and its outcome.
    pub fn counted<T>(&self, method: &'static str, answer: Result<T, Fault>) -> Result<T, Fault> {
        let code = answer.as_ref().map_or_else(|fault| fault.names().reason, |_| "OK");
        self.metrics.count(method, code);
        answer
    }

    /// See `CreateLink`.
    pub async fn create(&self, caller: &Caller, request: &v1::CreateLinkRequest) -> Result<v1::Link, Fault> {
        let asked = WriteTerms::new(caller, request)?;
        let domain = self.parent(caller, &request.parent).await?;
        let wanted = self.wanted(&asked, &domain, request).await?;
        for _ in 0..DRAWS {
            let key = self.key_of(&domain, &wanted)?;
            let given = wanted.given.as_ref();
            match self.one(&asked, Item { key, intent: Intent::Create(wanted.draft.clone()) }).await {
                Err(Fault::Exists(_) | Fault::CodeDeleted { .. }) if given.is_none() => {}
                // A code that was drawn only to check is not kept for anybody.
                Ok(link) if given.is_none() && request.validate_only => return Ok(uncoded(link)),
                answer => return answer,
            }
        }
        Err(Fault::Exists(format!("each of {DRAWS} drawn codes")))
    }

    /// The link that a create asks for, and under which code.
    async fn wanted(
        &self,
        asked: &WriteTerms,
        domain: &Namespace,
        request: &v1::CreateLinkRequest,
    ) -> Result<NewLink, Fault> {
        let drawing = CodeGenerator::new(request, domain)?;
        let draft = self.rules.draft(request.link.as_ref().unwrap_or(&v1::Link::default()), domain.query)?;
        let given = match codes::given(request)? {
            "" => None,
            code => {
                let code = self.rules.code(code, domain.folds(), "code")?;
                Some(domain.key(&domain.takes(code, "code")?))
            }
        };
        self.leads_out(asked, draft.link.parts().expired_target.as_ref()).await?;
        let target = draft.link.parts().target.clone();
        let target = self.lead(asked, target, given.as_ref(), request.flatten).await?;
        Ok(NewLink { draft: Draft { link: draft.link.leading_to(target), ..draft }, given, drawing })
    }

    /// The given key, or one that is drawn.
    fn key_of(&self, domain: &Namespace, wanted: &NewLink) -> Result<Key, Fault> {
        if let Some(key) = &wanted.given {
            return Ok(key.clone());
        }
        for _ in 0..DRAWS {
            let code = wanted.drawing.draw()?;
            if !self.rules.is_reserved(code.as_str()) {
                return Ok(domain.key(&code));
            }
        }
        Err(Fault::Exists(format!("each of {DRAWS} drawn codes")))
    }

    /// See `GetLink`.
    pub async fn get(&self, caller: &Caller, request: &v1::GetLinkRequest) -> Result<v1::Link, Fault> {
        let (epoch, row) = self.reach.of(caller).link(&self.key(caller, &request.name).await?).await?;
        row.map(|row| self.shown(&row, epoch)).ok_or_else(|| Fault::NotFound(request.name.clone()))
    }

    /// See `UpdateLink`.
    pub async fn update(&self, caller: &Caller, request: &v1::UpdateLinkRequest) -> Result<v1::Link, Fault> {
        let asked = WriteTerms::new(caller, request)?;
        self.one(&asked, self.changed(caller, &asked, request).await?).await
    }

    async fn changed(
        &self,
        caller: &Caller,
        asked: &WriteTerms,
        request: &v1::UpdateLinkRequest,
    ) -> Result<Item, Fault> {
        let link = request.link.as_ref().ok_or_else(|| Fault::invalid("link", "is missing"))?;
        let (domain, key) = self.place(caller, &link.name).await?;
        stays(link)?;
        let mask = request.update_mask.as_ref().map_or(&[][..], |mask| &mask.paths);
        let mut fields = self.rules.fields(link, mask, domain.query)?;
        for field in &mut fields {
            match field {
                Field::Target(target) => {
                    *target = self.lead(asked, target.clone(), Some(&key), request.flatten).await?;
                }
                Field::ExpiredTarget(target) => self.leads_out(asked, target.as_ref()).await?,
                _ => {}
            }
        }
        Ok(Item { key, intent: Intent::Update { fields, etag: etag(&link.etag) } })
    }

    /// See `DeleteLink`.
    pub async fn delete(&self, caller: &Caller, request: &v1::DeleteLinkRequest) -> Result<v1::Link, Fault> {
        let asked = WriteTerms::new(caller, request)?;
        self.one(&asked, self.deleted(caller, request).await?).await
    }

    async fn deleted(&self, caller: &Caller, request: &v1::DeleteLinkRequest) -> Result<Item, Fault> {
        let key = self.key(caller, &request.name).await?;
        Ok(Item { key, intent: Intent::Delete { etag: etag(&request.etag) } })
    }

    /// See `UndeleteLink`.
    pub async fn undelete(
        &self,
        caller: &Caller,
        request: &v1::UndeleteLinkRequest,
    ) -> Result<v1::Link, Fault> {
        let asked = WriteTerms::new(caller, request)?;
        let key = self.key(caller, &request.name).await?;
        let (_, row) = self.reach.of(caller).link(&key).await?;
        let version = row.as_ref().map_or(NO_VERSION, |row| row.version);
        // What it leads to may have become ours while it was deleted.
        if let Some(row) = row.filter(|row| row.delete_time.is_some()) {
            let parts = row.link.parts();
            self.lead(&asked, parts.target.clone(), Some(&key), false).await?;
            self.leads_out(&asked, parts.expired_target.as_ref()).await?;
            self.known_everywhere(&asked, Features::of_link(&row.link.as_ref()))?;
        }
        // Nobody has looked where another version leads.
        let only =
            etag(&request.etag).map_or(version, |given| if given == version { given } else { NO_VERSION });
        self.one(&asked, Item { key, intent: Intent::Undelete { etag: Some(only) } }).await
    }

    /// A link of a domain that was asked about before.
    fn shown(&self, row: &Row, epoch: Epoch) -> v1::Link {
        self.with_address(wire::link(row, &self.reach.name(row.key.domain()), epoch))
    }

    /// The address is that of now, also in an answer that was stored for a retry.
    fn with_address(&self, link: v1::Link) -> v1::Link {
        v1::Link { short_url: self.rules.short_url(&link.domain, &link.code), ..link }
    }
}

/// A change moves no link: what it says of its place has to be so already.
fn stays(link: &v1::Link) -> Result<(), Fault> {
    let (domain, code) = name::split(&link.name)?;
    if !link.code.is_empty() && !name::bare(&link.code).eq_ignore_ascii_case(name::bare(code)) {
        return Err(Fault::invalid("code", "is of another link: it cannot change"));
    }
    if !link.domain.is_empty() && name::domain(&link.domain, "domain")? != domain {
        return Err(Fault::invalid("domain", "is another: it cannot change"));
    }
    Ok(())
}

/// A link that was only checked, without the code that was drawn for it.
fn uncoded(link: v1::Link) -> v1::Link {
    v1::Link { name: String::new(), code: String::new(), ..link }
}

/// FNV-1a of 128 bits: it tells a client's own requests apart, and is the same in every release, which a stored
/// hash has to be. It keeps nobody out.
fn fnv(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash: u128, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vectors of the FNV draft (draft-eastlake-fnv, appendix).
    #[test]
    fn fnv_vectors() {
        assert_eq!(fnv(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
