//! What is kept of an answer for the request that may come again: a `linkr.v1` message.

use crate::wire;
use bytes::Bytes;
use journal::{Answered, DomainRow, Kind};
use link::Position;
use prost::Message;
use proto::v1;

/// Of a batch a `BatchLinksResponse`, of any other request the last `Link`.
pub(super) fn links(answered: &Answered<'_>) -> Bytes {
    let links = answered.links.iter().map(|named| wire::link(named.row, named.domain, answered.epoch));
    match answered.kind {
        Kind::Batch => v1::BatchLinksResponse { links: links.collect(), propagation: None }.encode_to_vec(),
        Kind::One | Kind::Chunk => links.map(|link| link.encode_to_vec()).next_back().unwrap_or_default(),
    }
    .into()
}

/// A `Domain`.
pub(super) fn domain(row: &DomainRow, head: Position) -> Bytes {
    wire::domain(row, head.epoch).encode_to_vec().into()
}
