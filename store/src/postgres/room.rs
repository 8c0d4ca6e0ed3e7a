//! Looks for room on the server's disk, for more than a few rows. The row that is written for that is taken back.

use super::connection::{BEGIN, Db, TryFault};
use crate::ROOM;
use crate::model::StoreFault;
use tokio_postgres::types::Type;

/// Writes a large row and takes it back. At random: what can be compressed takes no room.
pub(super) async fn look(db: &Db<'_>) -> Result<(), TryFault> {
    let mut bytes = vec![0_u8; ROOM];
    getrandom::fill(&mut bytes).map_err(|e| StoreFault::Unavailable(e.to_string()))?;
    let put = "INSERT INTO idempotency (principal, method, key, request_hash, response, seq, created) \
               VALUES ('', 'room', gen_random_uuid()::text, '', $1, 0, 0)";
    db.run(BEGIN).await?;
    db.rows(put, &[(&bytes, Type::BYTEA)]).await?;
    db.run("ROLLBACK").await
}
