//! What control promises about links: the calls of `linkr.v1.Links`, whatever they arrived by. No driver, no transport.

mod draft;
mod edges;
mod filter;
mod import;
mod list;
mod name;
mod watch;

pub use import::Chunk;
pub use watch::{Watch, Watches};

use crate::journal::{Intent, Item, Retry, Verdict, next_state};
use crate::metrics::Metrics;
use crate::port::{Repository, Row, StoreFault};
use crate::sessions::Sessions;
use crate::wire;
use crate::writer::{Writer, unix_ms};
use crate::{Caller, Fault};
use draft::Rules;
use link::{Epoch, Key, Position, Seq};
use prost::Message;
use proto::v1;
use std::sync::Arc;

/// Bytes of one request that is not an import.
const REQUEST_BYTES: usize = 1024 * 1024;
/// Codes drawn for one link. With 62⁷ of them even the second try is rare until billions are taken.
const DRAWS: usize = 8;

/// The service.
pub struct Service {
    store: Arc<dyn Repository>,
    writer: Arc<Writer>,
    metrics: Arc<Metrics>,
    rules: Arc<Rules>,
    sessions: Arc<Sessions>,
    watches: Watches,
}

impl Service {
    /// A service over a store and its writer.
    pub fn new(
        store: Arc<dyn Repository>,
        writer: Arc<Writer>,
        metrics: Arc<Metrics>,
        sessions: Arc<Sessions>,
        watches: Watches,
        more_schemes: Vec<String>,
        own_hosts: &[String],
    ) -> Self {
        Self {
            store,
            writer,
            metrics,
            sessions,
            watches,
            rules: Arc::new(Rules::new(more_schemes, own_hosts)),
        }
    }

    /// Counts a call and its outcome.
    pub fn counted<T>(&self, method: &'static str, answer: Result<T, Fault>) -> Result<T, Fault> {
        let code = answer.as_ref().map_or_else(|fault| fault.names().reason, |_| "OK");
        self.metrics.count(method, code);
        answer
    }

    /// See `CreateLink`.
    pub async fn create(&self, caller: &Caller, request: v1::CreateLinkRequest) -> Result<v1::Link, Fault> {
        self.counted("CreateLink", self.try_create(caller, &request).await)
    }

    async fn try_create(&self, caller: &Caller, request: &v1::CreateLinkRequest) -> Result<v1::Link, Fault> {
        let ack = ack(request.ack, request.validate_only)?;
        let retry = retry(caller, "CreateLink", &request.request_id, request)?;
        let domain = self.parent(caller, &request.parent).await?;
        let draft = self.rules.draft(request.link.as_ref().unwrap_or(&v1::Link::default()))?;
        let given = match request.link_id.as_str() {
            "" => None,
            code => Some(name::code(code, "code")?),
        };
        for _ in 0..DRAWS {
            let key = Key::new(domain, &given.clone().unwrap_or_else(draw));
            let item = Item { key, intent: Intent::Create(draft.clone()), retry: retry.clone() };
            match self.write(item, ack).await {
                Err(Fault::Exists(_) | Fault::CodeDeleted(_)) if given.is_none() => {}
                // A code that was drawn only to check is not kept for anybody.
                Ok(link) if given.is_none() && request.validate_only => {
                    return Ok(v1::Link { name: String::new(), code: String::new(), ..link });
                }
                answer => return answer,
            }
        }
        Err(Fault::Exists(format!("each of {DRAWS} drawn codes")))
    }

    /// See `GetLink`.
    pub async fn get(&self, caller: &Caller, request: v1::GetLinkRequest) -> Result<v1::Link, Fault> {
        self.counted("GetLink", self.try_get(caller, &request).await)
    }

    async fn try_get(&self, caller: &Caller, request: &v1::GetLinkRequest) -> Result<v1::Link, Fault> {
        let (epoch, row) = self.stored(self.key(caller, &request.name).await?).await?;
        row.map(|row| wire::link(&row, epoch)).ok_or_else(|| Fault::NotFound(request.name.clone()))
    }

    /// See `UpdateLink`.
    pub async fn update(&self, caller: &Caller, request: v1::UpdateLinkRequest) -> Result<v1::Link, Fault> {
        self.counted("UpdateLink", self.try_update(caller, &request).await)
    }

    async fn try_update(&self, caller: &Caller, request: &v1::UpdateLinkRequest) -> Result<v1::Link, Fault> {
        let ack = ack(request.ack, request.validate_only)?;
        let retry = retry(caller, "UpdateLink", &request.request_id, request)?;
        let link = request.link.as_ref().ok_or_else(|| Fault::invalid("link", "is missing"))?;
        let key = self.key(caller, &link.name).await?;
        let mask = request.update_mask.as_ref().map_or(&[][..], |mask| &mask.paths);
        let fields = self.rules.fields(link, mask)?;
        let intent = Intent::Update { fields, etag: etag(&link.etag) };
        self.write(Item { key, intent, retry }, ack).await
    }

    /// See `DeleteLink`.
    pub async fn delete(&self, caller: &Caller, request: v1::DeleteLinkRequest) -> Result<v1::Link, Fault> {
        self.counted("DeleteLink", self.try_delete(caller, &request).await)
    }

    async fn try_delete(&self, caller: &Caller, request: &v1::DeleteLinkRequest) -> Result<v1::Link, Fault> {
        let ack = ack(request.ack, request.validate_only)?;
        let retry = retry(caller, "DeleteLink", &request.request_id, request)?;
        let key = self.key(caller, &request.name).await?;
        let intent = Intent::Delete { etag: etag(&request.etag) };
        self.write(Item { key, intent, retry }, ack).await
    }

    async fn write(&self, item: Item, ack: Ack) -> Result<v1::Link, Fault> {
        if ack == Ack::OnlyCheck {
            return self.only_check(&item).await;
        }
        let done = self.writer.submit(vec![item], false)?.answer().await?;
        let (mut link, seq) = match done.verdicts.into_iter().next() {
            Some(Verdict::Created(row) | Verdict::Changed(row)) => {
                (wire::link(&row, done.epoch), row.version)
            }
            Some(Verdict::Before(bytes)) => before(bytes)?,
            Some(Verdict::Refused(fault)) => return Err(fault),
            Some(Verdict::Same) | None => unreachable!("only imports leave things as they are"),
        };
        if ack == Ack::Propagated {
            link.propagation = Some(self.sessions.propagated(done.epoch, seq).await);
        }
        Ok(link)
    }

    /// The answer that the write would get now, without what only a real one has.
    async fn only_check(&self, item: &Item) -> Result<v1::Link, Fault> {
        let (epoch, stored) = self.stored(item.key.clone()).await?;
        let version = stored.as_ref().map_or(0, |row| row.version);
        let row = next_state(item, stored.as_ref(), version, unix_ms())?.or(stored);
        let link = row.map(|row| wire::link(&row, epoch)).unwrap_or_default();
        Ok(v1::Link { revision: String::new(), etag: String::new(), ..link })
    }

    async fn stored(&self, key: Key) -> Result<(Epoch, Option<Row>), Fault> {
        Ok(blocking(&self.store, move |store| store.link(&key)).await?)
    }
}

/// Runs a blocking call of the store where blocking is allowed.
pub async fn blocking<T: Send + 'static>(
    store: &Arc<dyn Repository>,
    call: impl FnOnce(&dyn Repository) -> Result<T, StoreFault> + Send + 'static,
) -> Result<T, StoreFault> {
    let store = store.clone();
    let answer = tokio::task::spawn_blocking(move || call(&*store)).await;
    answer.unwrap_or_else(|e| Err(StoreFault::Unavailable(format!("a read did not end: {e}"))))
}

fn draw() -> link::Code {
    loop {
        if let Some(code) = link::generated(&crate::random::bytes::<16>()) {
            return code;
        }
    }
}

/// When a write is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ack {
    OnlyCheck,
    Durable,
    Propagated,
}

fn ack(ack: i32, only_check: bool) -> Result<Ack, Fault> {
    match v1::Ack::try_from(ack) {
        Err(_) => Err(Fault::invalid("ack", "is none that this server knows")),
        Ok(_) if only_check => Ok(Ack::OnlyCheck),
        Ok(v1::Ack::Unspecified | v1::Ack::Durable) => Ok(Ack::Durable),
        Ok(v1::Ack::Propagated) => Ok(Ack::Propagated),
    }
}

/// The stored answer, and the seq of the write that it answered.
fn before(bytes: bytes::Bytes) -> Result<(v1::Link, Seq), StoreFault> {
    let link = v1::Link::decode(bytes).map_err(|e| StoreFault::Corrupt(format!("a stored answer: {e}")))?;
    let wrong = || StoreFault::Corrupt(format!("a stored answer: revision {}", link.revision));
    let (_, seq) = Position::parse_revision(&link.revision).ok_or_else(wrong)?;
    Ok((link, seq))
}

/// The version an etag names; 0, which no link has, for one that we cannot have given out.
fn etag(text: &str) -> Option<Seq> {
    let version = |text: &str| text.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
    (!text.is_empty()).then(|| version(text).unwrap_or(0))
}

fn retry(
    caller: &Caller,
    method: &'static str,
    id: &str,
    request: &impl Message,
) -> Result<Option<Retry>, Fault> {
    if request.encoded_len() > REQUEST_BYTES {
        return Err(Fault::TooLarge("1 MiB in a request"));
    }
    if id.len() > 128 || !id.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Err(Fault::invalid("request_id", "is not at most 128 printable ASCII characters"));
    }
    let retry = || Retry {
        principal: caller.principal.to_string(),
        method,
        id: id.to_owned(),
        hash: fnv(&request.encode_to_vec()).to_be_bytes(),
    };
    Ok((!id.is_empty()).then(retry))
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

    #[test]
    fn etags() {
        assert_eq!(etag(""), None);
        assert_eq!(etag("\"17\""), Some(17));
        for foreign in ["17", "\"", "\"x\"", "W/\"17\"", "\"17\", \"18\""] {
            assert_eq!(etag(foreign), Some(0), "{foreign}");
        }
    }

    /// Test vectors of the FNV draft (draft-eastlake-fnv, appendix).
    #[test]
    fn fnv_vectors() {
        assert_eq!(fnv(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
