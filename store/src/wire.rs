//! How a stored link looks in `linkr.v1`. Nothing is decided here.

use crate::model::{DomainRow, KeyRow, Row};
use journal::blocks::{BlockRow, BlockState};
use journal::names;
use link::{Class, Epoch, File, LinkTerms, Position, QueryPolicy, Stats, Target};
use prost_types::Timestamp;
use proto::v1;

/// The version, quoted.
pub fn etag(row: &Row) -> String {
    format!("\"{}\"", row.version)
}

/// As an answer carries it. `domain` is the name of its domain.
pub fn link(row: &Row, domain: &str, epoch: Epoch) -> v1::Link {
    let (parts, info) = (row.link.parts(), row.info.clone());
    let LinkTerms { status, query, class, disabled, max_age, not_before, expire } = parts.terms;
    v1::Link {
        name: names::link(&row.key, domain),
        code: names::code(&row.key),
        domain: domain.into(),
        target: parts.target.as_str().into(),
        status: status.code().into(),
        max_age,
        not_before: not_before.map(timestamp),
        expire_time: expire.map(timestamp),
        expired_target: url(parts.expired_target.as_ref()),
        query: query_on_wire(query).into(),
        class: class_on_wire(class).into(),
        disabled,
        title: info.title,
        tags: info.tags,
        note: info.note,
        create_time: Some(timestamp(row.create_time)),
        update_time: Some(timestamp(row.update_time)),
        delete_time: row.delete_time.map(timestamp),
        revision: Position::revision(epoch, row.version),
        etag: etag(row),
        propagation: None,
        external_id: info.external_id,
        imported_clicks: info.imported_clicks,
        blocked_by: info.blocked_by.map_or_else(String::new, |host| host.to_string()),
        uid: row.uid,
        short_url: String::new(), // where visitors come in is not known to a store
    }
}

fn query_on_wire(query: QueryPolicy) -> v1::QueryPolicy {
    match query {
        QueryPolicy::Drop => v1::QueryPolicy::Drop,
        QueryPolicy::Append => v1::QueryPolicy::Append,
        QueryPolicy::Override => v1::QueryPolicy::Override,
    }
}

fn stats_on_wire(stats: Stats) -> v1::DomainStats {
    match stats {
        Stats::Counts => v1::DomainStats::Counts,
        Stats::Off => v1::DomainStats::Off,
        Stats::Full => v1::DomainStats::Full,
    }
}

/// Empty: nowhere.
fn url(target: Option<&Target>) -> String {
    target.map_or_else(String::new, |target| target.as_str().into())
}

fn class_on_wire(class: Class) -> v1::LinkClass {
    match class {
        Class::Inherit => v1::LinkClass::Unspecified,
        Class::Normal => v1::LinkClass::Normal,
        Class::Strict => v1::LinkClass::Strict,
    }
}

/// A domain as an answer carries it.
pub fn domain(row: &DomainRow, epoch: Epoch) -> v1::Domain {
    let rules = &row.rules;
    v1::Domain {
        name: names::domain(rules.name.as_str()),
        domain: rules.name.as_str().into(),
        fold_case: rules.fold_case,
        strict_hosts: rules.strict_hosts,
        class: class_on_wire(rules.class).into(),
        not_found: url(rules.not_found.as_ref()),
        root_target: url(rules.root_target.as_ref()),
        expired_target: url(rules.expired_target.as_ref()),
        trailing_slash: rules.endings.trailing_slash,
        punctuation: rules.endings.punctuation,
        query: query_on_wire(rules.query).into(),
        robots: rules.robots.as_deref().unwrap_or_default().into(),
        files: rules.files.all().iter().map(file).collect(),
        stats: stats_on_wire(rules.stats).into(),
        create_time: row.create_time.map(timestamp),
        update_time: row.update_time.map(timestamp),
        revision: Position::revision(epoch, row.version),
        etag: format!("\"{}\"", row.version),
        propagation: None,
    }
}

/// A domain that was deleted: as it was, at the revision of its end. It has no version to name any more.
pub fn domain_gone(row: &DomainRow, epoch: Epoch) -> v1::Domain {
    v1::Domain { etag: String::new(), ..domain(row, epoch) }
}

fn file(file: &File) -> v1::DomainFile {
    v1::DomainFile {
        path: file.path.to_string(),
        content_type: file.content_type.to_string(),
        content: bytes::Bytes::copy_from_slice(&file.content),
        size: file.content.len() as u32,
    }
}

/// A block as an answer carries it, but for what is looked for only when one is made.
pub fn block(row: &BlockRow) -> v1::BlockedTarget {
    let state = match row.state {
        BlockState::Sweeping => v1::BlockState::Sweeping,
        BlockState::Done => v1::BlockState::Done,
        BlockState::Lifting => v1::BlockState::Lifting,
    };
    v1::BlockedTarget {
        host: row.host.to_string(),
        note: row.note.clone(),
        state: state.into(),
        disabled: row.disabled,
        create_time: Some(timestamp(row.create_time)),
        matched: None,
        led_by: Vec::new(),
    }
}

/// A key as an answer carries it, without its secret.
pub fn key(row: &KeyRow) -> v1::Key {
    v1::Key {
        name: format!("keys/{}", row.id),
        client: row.client.clone(),
        scopes: row.scopes.names().map(str::to_owned).collect(),
        domains: row.domains.clone(),
        create_time: Some(timestamp(row.create_time)),
        expire_time: row.expire_time.map(timestamp),
        last_use_time: row.last_use.map(timestamp),
        revoke_time: row.revoke_time.map(timestamp),
        secret: String::new(),
        edge: row.edge.clone().unwrap_or_default(),
    }
}

/// From Unix milliseconds.
pub fn timestamp(ms: i64) -> Timestamp {
    Timestamp { seconds: ms.div_euclid(1000), nanos: (ms.rem_euclid(1000) * 1_000_000) as i32 }
}

/// Unix milliseconds of a time in the years 1 to 9999, which is what RFC 3339 can write; `None` outside of them.
pub fn milliseconds(time: &Timestamp) -> Option<i64> {
    let good = (-62_135_596_800..=253_402_300_799).contains(&time.seconds)
        && (0..1_000_000_000).contains(&time.nanos);
    good.then(|| time.seconds * 1000 + i64::from(time.nanos / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_at_millisecond_grain() {
        for ms in [0, 1, -1, -62_135_596_800_000, 253_402_300_799_999, 1_700_000_000_123] {
            assert_eq!(milliseconds(&timestamp(ms)), Some(ms));
        }
        assert_eq!(milliseconds(&Timestamp { seconds: 1, nanos: 999_999 }), Some(1000));
        assert_eq!(milliseconds(&Timestamp { seconds: 1, nanos: -1 }), None);
        assert_eq!(milliseconds(&Timestamp { seconds: 253_402_300_800, nanos: 0 }), None);
    }
}
