//! The answers that a store keeps for requests that may come again, as bytes: each is a `linkr.v1` message.

use crate::wire;
use bytes::Bytes;
use journal::blocks::BlockRow;
use journal::{AnswerContent, DomainRow, RequestKind};
use link::Position;
use prost::Message;
use proto::v1;

/// Encodes the answer of a request: a `BatchLinksResponse` for a batch, its last `Link` for any other.
pub(super) fn links(answered: &AnswerContent<'_>) -> Bytes {
    let links = answered.links.iter().map(|named| wire::link(named.row, named.domain, answered.epoch));
    match answered.kind {
        RequestKind::Batch => {
            v1::BatchLinksResponse { links: links.collect(), propagation: None }.encode_to_vec()
        }
        RequestKind::One | RequestKind::Chunk => {
            links.map(|link| link.encode_to_vec()).next_back().unwrap_or_default()
        }
    }
    .into()
}

/// A `Domain`.
pub(super) fn domain(row: &DomainRow, head: Position) -> Bytes {
    wire::domain(row, head.epoch).encode_to_vec().into()
}

/// The `Domain` that was deleted.
pub(super) fn domain_gone(row: &DomainRow, head: Position) -> Bytes {
    wire::domain_gone(row, head.epoch).encode_to_vec().into()
}

/// A `BlockedTarget`.
pub(super) fn block(row: &BlockRow) -> Bytes {
    wire::block(row).encode_to_vec().into()
}
