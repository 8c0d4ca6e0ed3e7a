//! The rows of clicks in a transaction of SQLite. What their values mean is not known here.

use super::super::fault;
use crate::clicks::place;
use crate::clicks::rows::{
    Cell, CellKey, ClickRows, CursorRow, InboxHead, Place, PushedBatch, RawHead, RowLength, Table,
};
use crate::model::StoreFault;
use crate::port::clicks::EdgeUntil;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params, params_from_iter};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The rules are written for databases that are waited for. SQLite answers at once.
pub(super) fn ready<T>(rules: impl Future<Output = T>) -> T {
    match pin!(rules).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => {
            unreachable!("nothing in it waits but for SQLite, whose calls return when they are done")
        }
    }
}

/// A transaction.
pub(super) struct Rows<'a>(pub &'a Connection);

/// What a table is found by here: that of runs has one number for the three.
fn found_by(table: Table) -> &'static [&'static str] {
    match table {
        Table::Runs => &["place"],
        other => other.columns(),
    }
}

/// `a, b, c` of the columns of a table.
fn columns(table: Table) -> String {
    found_by(table).join(", ")
}

/// `?1, ?2, ?3`, from a number on.
fn places(table: Table, from: usize) -> String {
    let places: Vec<String> = (from..).take(found_by(table).len()).map(|at| format!("?{at}")).collect();
    places.join(", ")
}

/// The numbers that a row is found by; `None`: no row can have this key.
fn exact(table: Table, key: &CellKey) -> Option<CellKey> {
    match table {
        Table::Runs => Some([place::place(*key)?, 0, 0]),
        _ => Some(*key),
    }
}

/// The same where it is an end of what is looked for.
fn bound(table: Table, key: &CellKey) -> CellKey {
    match table {
        Table::Runs => [place::bound(*key), 0, 0],
        _ => *key,
    }
}

/// So many of the numbers as the table has columns.
fn part(table: Table, numbers: &CellKey) -> &[i64] {
    &numbers[..found_by(table).len()]
}

/// A key out of the first columns of a row.
fn key(table: Table, row: &Row<'_>) -> rusqlite::Result<CellKey> {
    if table == Table::Runs {
        return row.get(0).map(place::key);
    }
    let mut key = [0; 3];
    for (at, part) in key.iter_mut().enumerate().take(table.columns().len()) {
        *part = row.get(at)?;
    }
    Ok(key)
}

fn most(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

impl Rows<'_> {
    fn statement(&self, sql: &str) -> Result<CachedStatement<'_>, StoreFault> {
        self.0.prepare_cached(sql).map_err(|e| fault(&e))
    }

    /// The rows from one key on and before another, with these columns behind the key.
    fn between<T>(
        &self,
        (table, more): (Table, &str),
        (from, before): (&CellKey, &CellKey),
        count: usize,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreFault> {
        let (columns, width) = (columns(table), found_by(table).len());
        let (from, before) = (bound(table, from), bound(table, before));
        let sql = format!(
            "SELECT {columns}{more} FROM {name} WHERE ({columns}) >= ({}) AND ({columns}) < ({}) \
             ORDER BY {columns} LIMIT ?{}",
            places(table, 1),
            places(table, 1 + width),
            1 + 2 * width,
            name = table.name(),
        );
        let limit = most(count);
        let given = part(table, &from).iter().chain(part(table, &before)).chain([&limit]);
        let mut statement = self.statement(&sql)?;
        let rows = statement.query_map(params_from_iter(given), read).map_err(|e| fault(&e))?;
        rows.collect::<rusqlite::Result<_>>().map_err(|e| fault(&e))
    }
}

impl ClickRows for Rows<'_> {
    type Fault = StoreFault;

    /// A transaction that writes is the only one.
    async fn claim(&self, _: bool) -> Result<bool, StoreFault> {
        Ok(true)
    }

    async fn cells(&self, table: Table, keys: &[CellKey]) -> Result<Vec<Option<Vec<u8>>>, StoreFault> {
        let (name, columns) = (table.name(), columns(table));
        let sql = format!("SELECT value FROM {name} WHERE ({columns}) = ({})", places(table, 1));
        let mut statement = self.statement(&sql)?;
        let mut one = |key: &CellKey| match exact(table, key) {
            Some(key) => {
                statement.query_row(params_from_iter(part(table, &key)), |row| row.get(0)).optional()
            }
            None => Ok(None),
        };
        keys.iter().map(|key| one(key).map_err(|e| fault(&e))).collect()
    }

    async fn range(
        &self,
        table: Table,
        from: CellKey,
        before: CellKey,
        most: usize,
    ) -> Result<Vec<Cell>, StoreFault> {
        let width = found_by(table).len();
        self.between((table, ", value"), (&from, &before), most, |row| {
            Ok(Cell { key: key(table, row)?, value: row.get(width)? })
        })
    }

    async fn keys(
        &self,
        table: Table,
        from: CellKey,
        before: CellKey,
        most: usize,
    ) -> Result<Vec<CellKey>, StoreFault> {
        self.between((table, ""), (&from, &before), most, |row| key(table, row))
    }

    async fn lengths(
        &self,
        table: Table,
        from: CellKey,
        before: CellKey,
        most: usize,
    ) -> Result<Vec<RowLength>, StoreFault> {
        let width = found_by(table).len();
        self.between((table, ", length(value)"), (&from, &before), most, |row| {
            Ok(RowLength { key: key(table, row)?, bytes: row.get(width)? })
        })
    }

    async fn put(&self, table: Table, cells: &[Cell]) -> Result<(), StoreFault> {
        let (name, columns, width) = (table.name(), columns(table), found_by(table).len());
        let sql = format!(
            "INSERT INTO {name} ({columns}, value) VALUES ({}, ?{}) \
             ON CONFLICT ({columns}) DO UPDATE SET value = excluded.value",
            places(table, 1),
            1 + width,
        );
        let mut statement = self.statement(&sql)?;
        for cell in cells {
            let key = exact(table, &cell.key).ok_or_else(|| {
                StoreFault::Unavailable(format!(
                    "no click of the subject {} in the month {} can be kept: the uid of a link is below 2^40, and \
                     months are those of 1985 to 2154",
                    cell.key[1], cell.key[0]
                ))
            })?;
            let written = match part(table, &key) {
                [a] => statement.execute(params![a, cell.value]),
                [a, b] => statement.execute(params![a, b, cell.value]),
                [a, b, c] => statement.execute(params![a, b, c, cell.value]),
                other => unreachable!("a key of {} numbers: a table has one to three", other.len()),
            };
            written.map_err(|e| fault(&e))?;
        }
        Ok(())
    }

    async fn remove(&self, table: Table, from: CellKey, before: CellKey) -> Result<(), StoreFault> {
        let (name, columns, width) = (table.name(), columns(table), found_by(table).len());
        let (from, before) = (bound(table, &from), bound(table, &before));
        let sql = format!(
            "DELETE FROM {name} WHERE ({columns}) >= ({}) AND ({columns}) < ({})",
            places(table, 1),
            places(table, 1 + width),
        );
        let given = part(table, &from).iter().chain(part(table, &before));
        self.statement(&sql)?.execute(params_from_iter(given)).map(drop).map_err(|e| fault(&e))
    }

    async fn remove_keys(&self, table: Table, keys: &[CellKey]) -> Result<(), StoreFault> {
        let (name, columns) = (table.name(), columns(table));
        let mut statement =
            self.statement(&format!("DELETE FROM {name} WHERE ({columns}) = ({})", places(table, 1)))?;
        for key in keys.iter().filter_map(|key| exact(table, key)) {
            statement.execute(params_from_iter(part(table, &key))).map_err(|e| fault(&e))?;
        }
        Ok(())
    }

    /// There are no partitions.
    async fn ready_month(&self, _: i64) -> Result<(), StoreFault> {
        Ok(())
    }

    async fn cursors(&self, spools: &[u64]) -> Result<Vec<Option<CursorRow>>, StoreFault> {
        let mut statement =
            self.statement("SELECT edge, key, seq, last_no, at FROM cursors WHERE spool = ?1")?;
        let mut one = |&spool: &u64| {
            let read = |row: &Row<'_>| {
                let (edge, key) = (row.get(0)?, row.get(1)?);
                let (seq, last_no, at) = (row.get(2)?, row.get(3)?, row.get(4)?);
                Ok(CursorRow { spool, edge, key, seq, last_no, at })
            };
            statement.query_row([spool.cast_signed()], read).optional()
        };
        spools.iter().map(|spool| one(spool).map_err(|e| fault(&e))).collect()
    }

    async fn put_cursors(&self, rows: &[CursorRow]) -> Result<(), StoreFault> {
        let sql = "INSERT INTO cursors (spool, edge, key, seq, last_no, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                   ON CONFLICT (spool) DO UPDATE SET edge = excluded.edge, key = excluded.key, seq = excluded.seq, \
                   last_no = excluded.last_no, at = excluded.at";
        let mut statement = self.statement(sql)?;
        for row in rows {
            let given = params![row.spool.cast_signed(), row.edge, row.key, row.seq, row.last_no, row.at];
            statement.execute(given).map_err(|e| fault(&e))?;
        }
        Ok(())
    }

    async fn forget_cursors(&self, before: i64) -> Result<(), StoreFault> {
        let mut statement = self.statement("DELETE FROM cursors WHERE at < ?1")?;
        statement.execute([before]).map(drop).map_err(|e| fault(&e))
    }

    async fn advance(&self, by: Place) -> Result<Place, StoreFault> {
        let sql = "UPDATE clicks_of SET next_batch = next_batch + ?1, next_click = next_click + ?2 \
                   RETURNING next_batch - ?1, next_click - ?2";
        let read = |row: &Row<'_>| Ok(Place { batch: row.get(0)?, click: row.get(1)? });
        self.statement(sql)?.query_row(params![by.batch, by.click], read).map_err(|e| fault(&e))
    }

    async fn end(&self) -> Result<Place, StoreFault> {
        let read = |row: &Row<'_>| Ok(Place { batch: row.get(0)?, click: row.get(1)? });
        let mut statement = self.statement("SELECT next_batch, next_click FROM clicks_of")?;
        statement.query_row([], read).map_err(|e| fault(&e))
    }

    async fn push(&self, batches: &[PushedBatch<'_>]) -> Result<(), StoreFault> {
        let sql = "INSERT INTO inbox (number, first, span, edge, spool, seq, at, hole, bytes, first_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let mut statement = self.statement(sql)?;
        for PushedBatch { head, first_at, bytes } in batches {
            let InboxHead { number, first, span, edge, spool, seq, at, hole } = head;
            let (spool, bytes) = (spool.cast_signed(), &bytes[..]);
            let given = params![number, first, span, edge, spool, seq, at, hole, bytes, first_at];
            statement.execute(given).map_err(|e| fault(&e))?;
        }
        Ok(())
    }

    async fn inbox(&self, from: u64, count: usize) -> Result<Vec<InboxHead>, StoreFault> {
        let sql = "SELECT number, first, span, edge, spool, seq, at, hole FROM inbox WHERE number >= ?1 \
                   ORDER BY number LIMIT ?2";
        let mut statement = self.statement(sql)?;
        let head = |row: &Row<'_>| {
            Ok(InboxHead {
                number: row.get(0)?,
                first: row.get(1)?,
                span: row.get(2)?,
                edge: row.get(3)?,
                spool: row.get::<_, i64>(4)?.cast_unsigned(),
                seq: row.get(5)?,
                at: row.get(6)?,
                hole: row.get(7)?,
            })
        };
        let heads = statement.query_map(params![from, most(count)], head).map_err(|e| fault(&e))?;
        heads.collect::<rusqlite::Result<_>>().map_err(|e| fault(&e))
    }

    async fn inbox_since(&self, from: u64) -> Result<Option<i64>, StoreFault> {
        let mut statement = self.statement("SELECT min(first_at) FROM inbox WHERE number >= ?1")?;
        statement.query_row([from], |row| row.get(0)).map_err(|e| fault(&e))
    }

    async fn batches(&self, numbers: &[u64]) -> Result<Vec<Vec<u8>>, StoreFault> {
        let mut statement = self.statement("SELECT bytes FROM inbox WHERE number = ?1")?;
        let mut one = |number: &u64| statement.query_row([number], |row| row.get(0));
        numbers.iter().map(|number| one(number).map_err(|e| fault(&e))).collect()
    }

    async fn clear_inbox(&self, before: u64) -> Result<(), StoreFault> {
        let mut statement = self.statement("DELETE FROM inbox WHERE number < ?1")?;
        statement.execute([before]).map(drop).map_err(|e| fault(&e))
    }

    async fn raw(&self, place: u64, count: usize) -> Result<Vec<RawHead>, StoreFault> {
        // The row before may hold the place.
        let sql = "SELECT first, span, first_at, last_at, day, length(bytes) FROM raw \
                   WHERE first >= coalesce((SELECT max(first) FROM raw WHERE first <= ?1), 0) \
                   AND first + span > ?1 ORDER BY first LIMIT ?2";
        let mut statement = self.statement(sql)?;
        let head = |row: &Row<'_>| {
            Ok(RawHead {
                first: row.get(0)?,
                span: row.get(1)?,
                first_at: row.get(2)?,
                last_at: row.get(3)?,
                day: row.get(4)?,
                bytes: row.get(5)?,
            })
        };
        let heads = statement.query_map(params![place, most(count)], head).map_err(|e| fault(&e))?;
        heads.collect::<rusqlite::Result<_>>().map_err(|e| fault(&e))
    }

    async fn raw_value(&self, head: &RawHead) -> Result<Vec<u8>, StoreFault> {
        let mut statement = self.statement("SELECT bytes FROM raw WHERE first = ?1")?;
        statement.query_row([head.first], |row| row.get(0)).map_err(|e| fault(&e))
    }

    async fn put_raw(&self, head: &RawHead, bytes: &[u8]) -> Result<(), StoreFault> {
        let sql = "INSERT OR REPLACE INTO raw (first, span, first_at, last_at, day, bytes) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let given = params![head.first, head.span, head.first_at, head.last_at, head.day, bytes];
        self.statement(sql)?.execute(given).map(drop).map_err(|e| fault(&e))
    }

    async fn remove_raw(&self, head: &RawHead) -> Result<(), StoreFault> {
        let mut statement = self.statement("DELETE FROM raw WHERE first = ?1")?;
        statement.execute([head.first]).map(drop).map_err(|e| fault(&e))
    }

    async fn forget_raw(&self, before_day: i64) -> Result<(), StoreFault> {
        // In the order in which they were folded, so that it ends at the first that stays; a few rows at once.
        let sql = "DELETE FROM raw WHERE first IN (SELECT first FROM (SELECT first, day FROM raw ORDER BY first LIMIT 64) \
                   WHERE day < ?1)";
        self.statement(sql)?.execute([before_day]).map(drop).map_err(|e| fault(&e))
    }

    async fn note_until(&self, rows: &[EdgeUntil], now: i64) -> Result<(), StoreFault> {
        let sql = "INSERT INTO edges (edge, process, until, noted) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (edge, process) DO UPDATE SET until = excluded.until, noted = excluded.noted";
        let mut statement = self.statement(sql)?;
        for EdgeUntil { edge, process, until } in rows {
            let given = params![edge, process.cast_signed(), until, now];
            statement.execute(given).map_err(|e| fault(&e))?;
        }
        Ok(())
    }

    async fn forget_silent(&self, rows: &[EdgeUntil], before: i64) -> Result<(), StoreFault> {
        let mut statement =
            self.statement("DELETE FROM edges WHERE edge = ?1 AND process <> ?2 AND noted < ?3")?;
        for EdgeUntil { edge, process, until: _ } in rows {
            let given = params![edge, process.cast_signed(), before];
            statement.execute(given).map_err(|e| fault(&e))?;
        }
        Ok(())
    }

    async fn until(&self) -> Result<Vec<EdgeUntil>, StoreFault> {
        let mut statement =
            self.statement("SELECT edge, process, until FROM edges ORDER BY edge, process")?;
        let read = |row: &Row<'_>| {
            let process = row.get::<_, i64>(1)?.cast_unsigned();
            Ok(EdgeUntil { edge: row.get(0)?, process, until: row.get(2)? })
        };
        let rows = statement.query_map([], read).map_err(|e| fault(&e))?;
        rows.collect::<rusqlite::Result<_>>().map_err(|e| fault(&e))
    }

    async fn forget_edge(&self, edge: &str, process: Option<u64>) -> Result<(), StoreFault> {
        let mut statement =
            self.statement("DELETE FROM edges WHERE edge = ?1 AND process = coalesce(?2, process)")?;
        statement.execute(params![edge, process.map(u64::cast_signed)]).map(drop).map_err(|e| fault(&e))
    }
}
