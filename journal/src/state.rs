//! The state that a write makes of what is stored. Nothing is numbered here.

use crate::blocked::BlockedHosts;
use crate::model::{Info, Row, TOMBSTONES};
use crate::request::{Draft, Field, Intent, Item};
use crate::{Rejection, names};
use link::rule::{Rule, off};
use link::{Link, LinkParts, Seq, TargetHost};

/// The state that `item` makes of what is stored, or `None` if it is that already. `domain` is the name of its domain. That
/// a caller may not lead a link to a blocked host is not asked here.
pub fn next_state(
    item: &Item,
    domain: &str,
    stored: Option<&Row>,
    blocked: &BlockedHosts,
    version: Seq,
    now: i64,
) -> Result<Option<Row>, Rejection> {
    let name = || names::link(&item.key, domain);
    // A link that is there stays the same one, however much of it is written anew.
    let new = |draft: &Draft, create_time| Row {
        key: item.key.clone(),
        version,
        uid: stored.map_or(version, |row| row.uid),
        link: draft.link.clone(),
        // Whoever makes a link as a whole takes it out of every block.
        info: Info { blocked_by: None, ..draft.info.clone() },
        create_time,
        update_time: now,
        delete_time: None,
    };
    match (&item.intent, stored) {
        (Intent::Purge { before }, stored) => {
            let old =
                stored.filter(|row| row.delete_time.map_or(off(Rule::PurgeDeleted), |at| at <= *before));
            Ok(old.map(|row| Row { version, ..row.clone() }))
        }
        (Intent::Block { host }, stored) => {
            Ok(stored.and_then(|row| block(row, host, blocked, version, now)))
        }
        (Intent::Lift { host }, stored) => Ok(stored.and_then(|row| lift(row, host, blocked, version, now))),
        (Intent::Create(_) | Intent::Import { .. }, Some(Row { delete_time: Some(at), .. }))
            if !off(Rule::TombstoneHolds) =>
        {
            Err(Rejection::CodeDeleted { name: name(), until: at + TOMBSTONES })
        }
        (Intent::Create(_), Some(_)) => Err(Rejection::Exists(name())),
        (Intent::Create(draft), None) => Ok(Some(new(draft, now))),
        (Intent::Import { draft, create_time, .. }, None) => Ok(Some(new(draft, create_time.unwrap_or(now)))),
        (Intent::Import { draft, create_time, update }, Some(row)) => {
            // A file that does not say when the link was made does not contradict the store, nor does one that does not
            // say what is not known here.
            let create_time = create_time.unwrap_or(row.create_time);
            let (newer, blocked_by) = (row.info.newer.clone(), row.info.blocked_by.clone());
            let info = Info { newer, blocked_by, ..draft.info.clone() };
            if (&row.link, &row.info, row.create_time) == (&draft.link, &info, create_time) {
                Ok(None)
            } else if *update {
                Ok(Some(Row { info: Info { blocked_by: None, ..info }, ..new(draft, create_time) }))
            } else {
                Err(Rejection::Exists(name()))
            }
        }
        (_, None) => Err(Rejection::NotFound(name())),
        (
            Intent::Update { etag, .. }
            | Intent::Delete { etag }
            | Intent::Undelete { etag }
            | Intent::Restore { etag, .. },
            Some(row),
        ) if etag.is_some_and(|etag| etag != row.version) && !off(Rule::EtagMatches) => {
            Err(Rejection::EtagMismatch)
        }
        (Intent::Undelete { .. }, Some(row)) if row.delete_time.is_none() && !off(Rule::UndeleteDeleted) => {
            Err(Rejection::Exists(name()))
        }
        (Intent::Undelete { .. }, Some(row)) => {
            let back = Row { version, update_time: now, delete_time: None, ..row.clone() };
            // What a block did to it goes with the block.
            let is_free = row.info.blocked_by.is_some() && blocked.of(&row.link.parts().target).is_none();
            Ok(Some(if is_free { with_block(back, None) } else { back }))
        }
        (Intent::Restore { draft, .. }, Some(row)) => Ok(Some(new(draft, row.create_time))),
        (_, Some(row)) if row.delete_time.is_some() => Err(Rejection::NotFound(name())),
        (Intent::Update { fields, .. }, Some(row)) => {
            Ok(Some(Row { version, update_time: now, ..with_fields(row, fields)? }))
        }
        (Intent::Delete { .. }, Some(row)) => {
            Ok(Some(Row { version, update_time: now, delete_time: Some(now), ..row.clone() }))
        }
    }
}

/// Disabled by a block, if that is what it needs.
fn block(row: &Row, host: &TargetHost, blocked: &BlockedHosts, version: Seq, now: i64) -> Option<Row> {
    let parts = row.link.parts();
    let is_due = row.delete_time.is_none()
        && !parts.terms.disabled
        && blocked.has(host)
        && parts.target.host().is_some_and(|led_to| host.covers(&led_to));
    is_due.then(|| with_block(Row { version, update_time: now, ..row.clone() }, Some(host.clone())))
}

/// As it was before a block; or disabled by another block that covers it.
fn lift(row: &Row, host: &TargetHost, blocked: &BlockedHosts, version: Seq, now: i64) -> Option<Row> {
    let is_due =
        row.delete_time.is_none() && row.info.blocked_by.as_ref() == Some(host) && !blocked.has(host);
    let other = blocked.of(&row.link.parts().target);
    is_due.then(|| with_block(Row { version, update_time: now, ..row.clone() }, other))
}

/// Disabled by this block, or enabled by none.
fn with_block(row: Row, blocked_by: Option<TargetHost>) -> Row {
    let link = row.link.clone().disabled(blocked_by.is_some());
    Row { link, info: Info { blocked_by, ..row.info }, ..row }
}

fn with_fields(row: &Row, fields: &[Field]) -> Result<Row, Rejection> {
    let (mut parts, mut info) = (row.link.parts().clone(), row.info.clone());
    if fields.iter().any(|field| matches!(field, Field::Target(_) | Field::Disabled(_))) {
        info.blocked_by = None; // it is his who says so
    }
    for field in fields {
        set(&mut parts, &mut info, field.clone());
    }
    let link = Link::new(parts).map_err(|fault| Rejection::invalid(fault.field(), fault))?;
    Ok(Row { link, info, ..row.clone() })
}

/// Sets one field.
pub fn set(parts: &mut LinkParts, info: &mut Info, field: Field) {
    match field {
        Field::Target(value) => parts.target = value,
        Field::Status(value) => parts.terms.status = value,
        Field::MaxAge(value) => parts.terms.max_age = value,
        Field::NotBefore(value) => parts.terms.not_before = value,
        Field::Expire(value) => parts.terms.expire = value,
        Field::ExpiredTarget(value) => parts.expired_target = value,
        Field::Query(value) => parts.terms.query = value,
        Field::Class(value) => parts.terms.class = value,
        Field::Disabled(value) => parts.terms.disabled = value,
        Field::Title(value) => info.title = value,
        Field::Tags(value) => info.tags = value,
        Field::Note(value) => info.note = value,
        Field::ExternalId(value) => info.external_id = value,
        Field::ImportedClicks(value) => info.imported_clicks = value,
    }
}
