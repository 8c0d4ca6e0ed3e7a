//! A row of `links` as every store keeps it, before it is understood.

use super::stored_info;
use crate::model::{DomainRow, Info, KeyRow, Row, Scopes, StoreFault};
use journal::blocks::{BlockRow, BlockState};
use journal::names;
use link::{DomainId, DomainRules, Endings, Key, LinkState, Seq, TargetHost};
use std::collections::HashMap;

/// The columns of a row of `links`.
pub(super) struct LinkColumns {
    pub(super) key: Vec<u8>,
    pub(super) record: Vec<u8>,
    pub(super) kept: Option<Vec<u8>>,
    pub(super) title: String,
    /// As JSON.
    pub(super) tags: String,
    pub(super) note: String,
    /// See [`stored_info`].
    pub(super) more: Vec<u8>,
    /// Made, changed, deleted.
    pub(super) times: (i64, i64, Option<i64>),
    pub(super) version: u64,
}

impl LinkColumns {
    pub(super) fn size(&self) -> usize {
        let texts = self.title.len() + self.tags.len() + self.note.len() + self.more.len();
        self.key.len() + self.record.len() + self.kept.as_ref().map_or(0, Vec::len) + texts
    }

    pub(super) fn parse(self) -> Result<Row, StoreFault> {
        let shown = String::from_utf8_lossy(self.key.get(4..).unwrap_or_default()).into_owned();
        let wrong = |what: &dyn std::fmt::Display| StoreFault::Corrupt(format!("link {shown}: {what}"));
        let versioned =
            record::decode(self.kept.as_deref().unwrap_or(&self.record)).map_err(|e| wrong(&e))?;
        let LinkState::Live(link) = versioned.state else { return Err(wrong(&"nothing is kept of it")) };
        let tags = serde_json::from_str(&self.tags).map_err(|e| wrong(&e))?;
        let known = Info { title: self.title, tags, note: self.note, ..Info::default() };
        let info = stored_info::with_more(known, &self.more).map_err(|e| wrong(&e))?;
        let (create_time, update_time, delete_time) = self.times;
        Ok(Row {
            key: Key::from_bytes(&self.key).map_err(|e| wrong(&e))?,
            version: self.version,
            uid: versioned.uid,
            link,
            info,
            create_time,
            update_time,
            delete_time,
        })
    }
}

/// The last live record of a deleted link.
pub(super) fn kept(row: &Row) -> Option<bytes::Bytes> {
    row.delete_time.map(|_| record::encode_as(row.identity(), &LinkState::Live(row.link.clone())))
}

/// The column by which a link is found that was changed since it was created: nothing where the version says it, so that
/// the column of a link of before is right.
pub(super) fn uid(row: &Row) -> Option<Seq> {
    Some(row.uid).filter(|uid| *uid != row.version)
}

/// The column by which a link is found: nothing where it has no external id.
pub(super) fn external_id(row: &Row) -> Option<&str> {
    Some(row.info.external_id.as_str()).filter(|id| !id.is_empty())
}

/// The column by which the links of a host are found: nothing where the target names none.
pub(super) fn host(row: &Row) -> Option<String> {
    row.link.parts().target.host().map(|host| host.turned().to_owned())
}

/// The host that a record leads to, turned round: where the column of a link from before is not written yet.
pub(super) fn host_in(record: &[u8]) -> Option<String> {
    // Of a record that nobody can read no link is served.
    let LinkState::Live(link) = record::decode(record).ok()?.state else { return None };
    link.parts().target.host().map(|host| host.turned().to_owned())
}

/// The column by which the links are found that a block keeps disabled.
pub(super) fn blocked_by(row: &Row) -> Option<&str> {
    row.info.blocked_by.as_ref().map(TargetHost::turned)
}

/// A row of `blocked_targets`.
pub(super) struct BlockColumns {
    pub(super) host: String,
    pub(super) state: u8,
    pub(super) round: u64,
    pub(super) note: String,
    pub(super) disabled: i64,
    pub(super) create_time: i64,
    pub(super) principal: String,
    pub(super) request_id: String,
}

impl BlockColumns {
    pub(super) fn parse(self) -> Result<BlockRow, StoreFault> {
        let wrong =
            || StoreFault::Corrupt(format!("the block of {}: it has no state {}", self.host, self.state));
        let state = BlockState::from_number(self.state).ok_or_else(wrong)?;
        Ok(BlockRow {
            host: TargetHost::stored(self.host),
            state,
            round: self.round,
            note: self.note,
            // A control of before counts nothing.
            disabled: u64::try_from(self.disabled).unwrap_or(0),
            create_time: self.create_time,
            principal: self.principal.into(),
            request_id: self.request_id.into(),
        })
    }
}

/// A row of `domains`: number, name, record, and when it was made and changed.
pub(super) type DomainColumns = (u32, String, Option<Vec<u8>>, (Option<i64>, Option<i64>));

/// The domain in it. Without a record it is the default one, and nobody has written it yet.
pub(super) fn domain(
    (id, name, record, (create_time, update_time)): DomainColumns,
) -> Result<DomainRow, StoreFault> {
    let wrong = |what: &dyn std::fmt::Display| StoreFault::Corrupt(format!("domain {name}: {what}"));
    let (version, rules) = match record {
        Some(record) => record::decode_domain(&record).map_err(|e| wrong(&e))?,
        None => (0, DomainRules::default()),
    };
    if rules.name.as_str() != name {
        return Err(wrong(&"its record is of another one"));
    }
    Ok(DomainRow { id: DomainId(id), version, rules, create_time, update_time })
}

/// Whether a domain that passes over punctuation would not find this code.
pub(super) fn ends_in_punctuation(code: &[u8]) -> bool {
    let endings = Endings { punctuation: true, ..Endings::default() };
    endings.strip(code).len() < code.len()
}

/// What a link of this domain is called.
pub(super) fn name_of(code: &[u8], row: &DomainRow) -> String {
    format!("{}/links/{}", names::domain(row.rules.name.as_str()), String::from_utf8_lossy(code))
}

/// Rows of a read that is no page: more than a table holds.
pub(super) const ALL: usize = i64::MAX as usize;

/// A row of `keys`, from its columns: made, expires, revoked, last used.
pub(super) fn key(
    id: String,
    hash: Vec<u8>,
    client: String,
    scopes: &str,
    domains: &str,
    edge: Option<String>,
    times: (i64, Option<i64>, Option<i64>, Option<i64>),
) -> Result<KeyRow, StoreFault> {
    let wrong = |what: &str| StoreFault::Corrupt(format!("key {id}: {what}"));
    let hash = hash.try_into().map_err(|_| wrong("its hash has another length"))?;
    let scopes = Scopes::parse(scopes.split_whitespace()).map_err(wrong)?;
    let domains = domains.split_whitespace().map(str::to_owned).collect();
    let (create_time, expire_time, revoke_time, last_use) = times;
    Ok(KeyRow { id, hash, client, scopes, domains, edge, create_time, expire_time, revoke_time, last_use })
}

/// Its scopes and domains as they are kept.
pub(super) fn key_words(row: &KeyRow) -> (String, String) {
    (row.scopes.names().collect::<Vec<_>>().join(" "), row.domains.join(" "))
}

/// The most keys that any of `domains` has; `kept` are the domains of each key, as they are kept.
pub(super) fn most_of(domains: &[String], kept: &[String]) -> usize {
    let mut counts: HashMap<&str, usize> = domains.iter().map(|domain| (domain.as_str(), 0)).collect();
    for domain in kept.iter().flat_map(|words| words.split_whitespace()) {
        if let Some(count) = counts.get_mut(domain) {
            *count += 1;
        }
    }
    counts.into_values().max().unwrap_or(0)
}
