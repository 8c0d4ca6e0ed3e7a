//! What the audit notes of a write that is none of a link. A secret is never in it.

use crate::model::{Author, DomainRow, KeyRow};
use crate::wire;
use bytes::Bytes;
use journal::blocks::BlockRow;
use journal::names;
use link::Epoch;
use prost::Message;

/// One write of a key, a domain or a block.
#[derive(Debug)]
pub struct Note {
    /// `keys/{id}`, `domains/{domain}` or `blocks/{host}`.
    pub name: String,
    /// Who.
    pub by: Author,
    /// The state before, if there was one: a `linkr.v1.Key`, `linkr.v1.Domain` or
    /// `linkr.v1.BlockedTarget`.
    pub before: Option<Bytes>,
    /// The state after it; empty where nothing is left.
    pub after: Bytes,
}

impl Note {
    /// Of a key that was made, or revoked at a time (Unix milliseconds).
    pub fn key(by: &Author, row: &KeyRow, revoked: Option<i64>) -> Self {
        // When it is used is no write.
        let at = |revoke_time| wire::key(&KeyRow { last_use: None, revoke_time, ..row.clone() });
        let (before, after) = (revoked.map(|_| at(None).encode_to_vec().into()), at(revoked));
        Self { name: after.name.clone(), by: by.clone(), before, after: after.encode_to_vec().into() }
    }

    /// Of a domain.
    pub fn domain(by: &Author, before: Option<&DomainRow>, after: &DomainRow, epoch: Epoch) -> Self {
        let bytes = |row| wire::domain(row, epoch).encode_to_vec().into();
        let name = names::domain(after.rules.name.as_str());
        Self { name, by: by.clone(), before: before.map(bytes), after: bytes(after) }
    }

    /// Of a domain that was deleted.
    pub fn domain_gone(by: &Author, row: &DomainRow, epoch: Epoch) -> Self {
        let before = Some(wire::domain_gone(row, epoch).encode_to_vec().into());
        let name = names::domain(row.rules.name.as_str());
        Self { name, by: by.clone(), before, after: Bytes::new() }
    }

    /// Of a block.
    pub fn block(by: &Author, before: Option<&BlockRow>, after: &BlockRow) -> Self {
        let bytes = |row| wire::block(row).encode_to_vec().into();
        let name = format!("blocks/{}", after.host);
        Self { name, by: by.clone(), before: before.map(bytes), after: bytes(after) }
    }
}
