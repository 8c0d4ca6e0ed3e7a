//! The store, as the calls about keys reach it: within the bound of their caller, and in no other way. Keys of others are
//! as good as not there.

use crate::bound::Bound;
use crate::call::blocking;
use crate::lanes::Lanes;
use crate::page::PAGE_BYTES;
use crate::{Caller, Fault};
use prost::Message;
use proto::v1;
use std::sync::Arc;
use store::model::{Author, KeyRow, PoolCounts, StoreFault};
use store::port::{KeyMark, KeyRows, NotedAuthor, Repository, ResourceWrite};
use store::wire;

/// Keys of one client for the same domains that may be used at once: the one in use, and the one that takes its place.
pub const LIVE: usize = 2;
/// Rows that are read at once for a caller who may see few of them.
const PART: usize = 500;
/// Rows of the audit that one page looks at.
const LOOKED_AT: usize = 10_000;

/// Keys of one domain that callers who are bound to some domains may bring it to.
const MOST: usize = 1_000;
/// In milliseconds.
const DAY: i64 = 86_400_000;

/// Which keys a page of them holds.
pub struct KeyQuery {
    /// The id of the last key on the page before; empty: the first page.
    pub after: String,
    /// Keys on it.
    pub most: usize,
    /// Whether revoked ones are on it.
    pub revoked: bool,
}

pub struct StoredKeys {
    store: Arc<dyn Repository>,
    lanes: Lanes,
}

impl KeyQuery {
    /// Reads on until the page is full: how many keys are of others does not show.
    fn read(&self, keys: &dyn KeyRows, bound: &Bound) -> Result<v1::ListKeysResponse, StoreFault> {
        let (mut page, mut bytes, mut after) = (v1::ListKeysResponse::default(), 0, self.after.clone());
        loop {
            let part = keys.keys_behind(&after, PART)?;
            let is_last = part.len() < PART;
            for row in part {
                after.clone_from(&row.id);
                if !bound.covers(&row.domains) || row.revoke_time.is_some() && !self.revoked {
                    continue;
                }
                let key = wire::key(&row);
                bytes += key.encoded_len();
                if page.keys.len() == self.most || bytes > PAGE_BYTES {
                    let last = page.keys.last().and_then(|key| key.name.strip_prefix("keys/"));
                    page.next_page_token = last.unwrap_or_default().to_owned();
                    return Ok(page);
                }
                page.keys.push(key);
            }
            if is_last {
                return Ok(page);
            }
        }
    }
}

impl StoredKeys {
    pub fn new(store: Arc<dyn Repository>) -> Self {
        Self { store, lanes: Lanes::new(1) }
    }

    /// Reads of which one is done at a time.
    async fn long<T: Send + 'static>(
        &self,
        caller: &Caller,
        read: impl FnOnce(&dyn Repository) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, StoreFault> {
        let lane = self.lanes.enter(caller).await;
        let part = lane.part().await;
        let read = move |store: &dyn Repository| {
            let _part = part;
            read(store)
        };
        blocking(&self.store, read).await
    }

    /// The connections of the store, as they are now.
    pub fn pool(&self) -> PoolCounts {
        self.store.pool()
    }

    /// The keys that changed since `seen`, for the entrance alone, if any did.
    pub async fn changed(&self, seen: KeyMark) -> Result<Option<(KeyMark, Vec<KeyRow>)>, StoreFault> {
        let read = move |store: &dyn Repository| {
            let keys = store.key_rows();
            if keys.key_version()? == seen.version { Ok(None) } else { keys.keys_since(seen).map(Some) }
        };
        blocking(&self.store, read).await
    }

    /// When keys were last used.
    pub async fn used(&self, uses: Vec<(String, i64)>) -> Result<(), StoreFault> {
        blocking(&self.store, move |store| store.key_rows().use_keys(&uses)).await
    }

    /// A page of the keys that reach no further than the caller.
    pub async fn page(&self, caller: &Caller, asked: KeyQuery) -> Result<v1::ListKeysResponse, Fault> {
        if !asked.after.is_empty() {
            let place = self.named(&caller.bound, &format!("keys/{}", asked.after)).await;
            place.map_err(|fault| match fault {
                Fault::KeyNotFound(_) => Fault::invalid("page_token", "is none that this list gave out"),
                other => other,
            })?;
        }
        let bound = caller.bound.clone();
        Ok(self.long(caller, move |store| asked.read(store.key_rows(), &bound)).await?)
    }

    /// One of them.
    pub async fn named(&self, bound: &Bound, name: &str) -> Result<KeyRow, Fault> {
        let id = name.strip_prefix("keys/").ok_or_else(|| Fault::invalid("name", "is not keys/…"))?;
        let id = id.to_owned();
        let row = blocking(&self.store, move |store| store.key_rows().key(&id)).await?;
        row.filter(|row| bound.covers(&row.domains)).ok_or_else(|| Fault::KeyNotFound(name.to_owned()))
    }

    /// Keeps a new one. `false`: its client has as many as it may.
    pub async fn put(&self, caller: &Caller, row: &KeyRow, by: Author) -> Result<bool, Fault> {
        let bound = &caller.bound;
        bound.give(&row.domains, row.scopes, row.expire_time)?;
        let (kept, counted) = (row.clone(), bound.is_some());
        let put = move |store: &dyn Repository| {
            let keys = store.key_rows();
            // Each has an allowance of its own and is read by all controls.
            let (now, since) = (kept.create_time, kept.create_time - DAY);
            if counted && keys.most_keys(&kept.domains, now, since)? >= MOST {
                return Ok(None);
            }
            keys.put_key(&kept, LIVE, &by).map(Some)
        };
        // One at a time: two would count the same keys.
        let put =
            if bound.is_some() { self.long(caller, put).await? } else { blocking(&self.store, put).await? };
        put.ok_or_else(|| {
            Fault::invalid(
                "domains",
                format!(
                    "hold one that has {MOST} keys that may be used or were made in the last 24 hours: revoke those that \
                     nobody uses, or let somebody make it whose key is for every domain"
                ),
            )
        })
    }

    /// Ends one.
    pub async fn revoke(&self, bound: &Bound, row: &KeyRow, now: i64, by: Author) -> Result<(), Fault> {
        if !bound.covers(&row.domains) {
            return Err(Fault::KeyNotFound(format!("keys/{}", row.id)));
        }
        let read = row.clone();
        Ok(blocking(&self.store, move |store| store.key_rows().revoke_key(&read, now, &by)).await?)
    }

    /// A page of the audit below a number, and the number to go on below: only of what the caller may touch. Neither says
    /// how much there is of others.
    pub async fn audit(
        &self,
        caller: &Caller,
        name: String,
        below: i64,
        size: usize,
    ) -> Result<(Vec<v1::AuditEntry>, Option<i64>), Fault> {
        if let Some(domain) = name.strip_prefix("domains/") {
            caller.bound.touch(domain)?;
        }
        if name.starts_with("blocks/") {
            caller.bound.everywhere()?;
        }
        let bound = caller.bound.clone();
        let read = move |store: &dyn Repository| {
            let part = if bound.is_some() { PART } else { size + 1 };
            let (mut below, mut left) = (below, LOOKED_AT);
            let (mut entries, mut last) = (Vec::new(), None);
            loop {
                let noted = store.noted(&name, below, part)?;
                let more = noted.len() == part;
                for row in noted {
                    below = row.number;
                    let entry = entry(row)?;
                    if !is_shown(&bound, &entry) {
                        continue;
                    }
                    if entries.len() == size {
                        return Ok((entries, last));
                    }
                    last = Some(below);
                    entries.push(entry);
                }
                left = left.saturating_sub(part);
                if !more || left == 0 {
                    return Ok((entries, Some(below).filter(|_| more)));
                }
            }
        };
        Ok(self.long(caller, read).await?)
    }
}

fn is_shown(bound: &Bound, entry: &v1::AuditEntry) -> bool {
    match (&entry.key, &entry.domain) {
        (Some(key), _) => bound.covers(&key.domains),
        (None, domain) => match domain.as_ref().or(entry.domain_before.as_ref()) {
            Some(domain) => bound.touches(&domain.domain),
            None => !bound.is_some(), // a block is of every domain
        },
    }
}

fn entry(noted: ResourceWrite) -> Result<v1::AuditEntry, StoreFault> {
    let ResourceWrite { name, at, who: NotedAuthor { principal, method, request_id }, before, after, .. } =
        noted;
    let time = Some(wire::timestamp(at));
    let mut entry = v1::AuditEntry { name, time, principal, method, request_id, ..v1::AuditEntry::default() };
    match entry.name.split('/').next() {
        Some("keys") => (entry.key_before, entry.key) = states(before, &after)?,
        Some("blocks") => (entry.block_before, entry.block) = states(before, &after)?,
        _ => (entry.domain_before, entry.domain) = states(before, &after)?,
    }
    Ok(entry)
}

fn states<M: Message + Default>(
    before: Option<bytes::Bytes>,
    after: &[u8],
) -> Result<(Option<M>, Option<M>), StoreFault> {
    let wrong = |fault: prost::DecodeError| StoreFault::Corrupt(format!("a row of the audit: {fault}"));
    let before = before.map(M::decode).transpose().map_err(wrong)?;
    let after = (!after.is_empty()).then(|| M::decode(after)).transpose().map_err(wrong)?;
    Ok((before, after))
}
