//! The end of the log: as SQL, and out of the rows that come of it.

use super::connection::{Db, TryFault, corrupt, half, number};
use crate::model::StoreFault;
use link::{Epoch, Position};
use tokio_postgres::Row;

/// The first four columns of what begins with the head.
pub(super) const HEAD: &str = "SELECT h.epoch_counter, h.epoch_random, h.head, h.tag";

/// The head in the first four columns.
pub(super) fn of(row: &Row) -> Result<Position, TryFault> {
    let tag = row.try_get::<_, i64>(3).map_err(|e| corrupt(&e))?.cast_unsigned();
    let epoch = Epoch { counter: half(row, 0)?, random: half(row, 1)? };
    Ok(Position { epoch, seq: number(row, 2)?, tag })
}

/// The head now.
pub(super) async fn head(db: &Db<'_>) -> Result<Position, TryFault> {
    let rows = db.rows(&format!("{HEAD} FROM log_head h"), &[]).await?;
    first(&rows).and_then(of).map(|head| db.note(head))
}

/// The row that every statement about the log has.
pub(super) fn first(rows: &[Row]) -> Result<&Row, TryFault> {
    rows.first().ok_or_else(|| TryFault::Fault(StoreFault::Corrupt("the log has no head".into())))
}

/// The SQL expression for the tag of a change whose seq is a parameter; null once neither the log nor the kept tags have it.
pub(super) fn tag_of(parameter: &str) -> String {
    format!(
        "(SELECT tag FROM change_log WHERE seq = {parameter} UNION ALL \
         SELECT tag FROM log_marks WHERE seq = {parameter} LIMIT 1)"
    )
}
