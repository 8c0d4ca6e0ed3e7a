//! The rows of clicks in a transaction of PostgreSQL: many in a statement, since each takes a way over the network. What their
//! values mean is not known here.

use super::super::connection::{Db, Param, TryFault, corrupt};
use crate::clicks::rows::{
    Cell, CellKey, ClickRows, CursorRow, InboxHead, Place, PushedBatch, RawHead, RowLength, Table,
};
use crate::model::StoreFault;
use crate::port::clicks::EdgeUntil;
use std::collections::HashMap;
use std::ops::Range;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

/// The lock of whoever folds, tidies or deletes: "click".
const WORK: i64 = 0x0063_6c69_636b;

/// A transaction.
pub(super) struct Rows<'a, 'b>(pub &'a Db<'b>);

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, TryFault> {
    row.try_get(column).map_err(|e| corrupt(&e))
}

fn number(row: &Row, column: usize) -> Result<u64, TryFault> {
    super::super::connection::number(row, column)
}

fn most(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

/// The values of each column of some keys.
fn by_column<'a>(table: Table, keys: &(impl Iterator<Item = &'a CellKey> + Clone)) -> Vec<Vec<i64>> {
    (0..table.columns().len()).map(|column| keys.clone().map(|key| key[column]).collect()).collect()
}

/// `unnest($1::bigint[], …)`, of so many columns as a key has.
fn unnest(table: Table) -> String {
    let given: Vec<String> = (1..=table.columns().len()).map(|at| format!("${at}::bigint[]")).collect();
    format!("unnest({})", given.join(", "))
}

fn arrays(columns: &[Vec<i64>]) -> Vec<Param<'_>> {
    columns.iter().map(|column| (column as _, Type::INT8_ARRAY)).collect()
}

/// The condition `from <= key < before`. Columns that are equal in both are compared by themselves, since PostgreSQL ends the scan of an
/// index by the first column alone of those that it compares as a row. A column behind which a key has nothing but `i64::MIN` decides
/// alone. `BETWEEN` with the first column leaves partitions out.
fn between(table: Table, from: &CellKey, before: &CellKey) -> String {
    let (columns, width) = (table.columns(), table.columns().len());
    let equal = (0..width - 1).take_while(|&column| from[column] == before[column]).count();
    let side = |sign: &str, key: &CellKey, first: usize| {
        let end = if key[equal + 1..width].iter().all(|part| *part == i64::MIN) { equal + 1 } else { width };
        let places: Vec<String> = (equal..end).map(|column| format!("${}", first + column)).collect();
        format!("({}) {sign} ({})", columns[equal..end].join(", "), places.join(", "))
    };
    let mut all: Vec<String> = (0..equal).map(|at| format!("{} = ${}", columns[at], at + 1)).collect();
    all.extend([side(">=", from, 1), side("<", before, 1 + width)]);
    if equal == 0 {
        all.push(format!("{} BETWEEN $1 AND ${}", columns[0], 1 + width));
    }
    all.join(" AND ")
}

/// The rows of some subjects in one month, from one quarter on and before another, by [`of_subjects`].
const OF_SUBJECTS: &str = "month = $1 AND subject = ANY($2) AND start >= $3 AND start < $4";

fn of_subjects<'a>(month: &'a i64, subjects: &'a &[i64], quarters: &'a Range<i64>) -> [Param<'a>; 4] {
    [
        (month, Type::INT8),
        (subjects, Type::INT8_ARRAY),
        (&quarters.start, Type::INT8),
        (&quarters.end, Type::INT8),
    ]
}

fn key(table: Table, row: &Row) -> Result<CellKey, TryFault> {
    let mut key = [0; 3];
    for (at, part) in key.iter_mut().enumerate().take(table.columns().len()) {
        *part = get(row, at)?;
    }
    Ok(key)
}

impl Rows<'_, '_> {
    /// The rows from one key on and before another, with these columns behind the key.
    async fn between(
        &self,
        (table, more): (Table, &str),
        (from, before): (&CellKey, &CellKey),
        count: usize,
    ) -> Result<Vec<Row>, TryFault> {
        let (columns, width) = (table.columns().join(", "), table.columns().len());
        let sql = format!(
            "SELECT {columns}{more} FROM click_{} WHERE {} ORDER BY {columns} LIMIT ${}",
            table.name(),
            between(table, from, before),
            1 + 2 * width
        );
        let limit = most(count);
        let given = from[..width].iter().chain(&before[..width]).chain([&limit]);
        let given: Vec<Param<'_>> = given.map(|number| (number as _, Type::INT8)).collect();
        self.0.rows(&sql, &given).await
    }
}

impl ClickRows for Rows<'_, '_> {
    type Fault = TryFault;

    async fn claim(&self, wait: bool) -> Result<bool, TryFault> {
        let sql = if wait {
            "SELECT pg_advisory_xact_lock($1) IS NOT NULL"
        } else {
            "SELECT pg_try_advisory_xact_lock($1)"
        };
        let rows = self.0.rows(sql, &[(&WORK, Type::INT8)]).await?;
        rows.first().map_or(Ok(false), |row| get(row, 0))
    }

    async fn cells(&self, table: Table, keys: &[CellKey]) -> Result<Vec<Option<Vec<u8>>>, TryFault> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let columns: Vec<String> =
            table.columns().iter().map(|column| format!("t.{column} = k.{column}")).collect();
        let sql = format!(
            "SELECT k.place, t.value FROM {} WITH ORDINALITY k({}, place) JOIN click_{} t ON {}",
            unnest(table),
            table.columns().join(", "),
            table.name(),
            columns.join(" AND ")
        );
        let (given, mut values) = (by_column(table, &keys.iter()), vec![None; keys.len()]);
        for row in self.0.rows(&sql, &arrays(&given)).await? {
            let place: i64 = get(&row, 0)?;
            values[place as usize - 1] = Some(get(&row, 1)?);
        }
        Ok(values)
    }

    async fn range(
        &self,
        table: Table,
        from: CellKey,
        before: CellKey,
        most: usize,
    ) -> Result<Vec<Cell>, TryFault> {
        let width = table.columns().len();
        let rows = self.between((table, ", value"), (&from, &before), most).await?;
        rows.iter().map(|row| Ok(Cell { key: key(table, row)?, value: get(row, width)? })).collect()
    }

    async fn keys(
        &self,
        table: Table,
        from: CellKey,
        before: CellKey,
        most: usize,
    ) -> Result<Vec<CellKey>, TryFault> {
        let rows = self.between((table, ""), (&from, &before), most).await?;
        rows.iter().map(|row| key(table, row)).collect()
    }

    async fn lengths(
        &self,
        table: Table,
        from: CellKey,
        before: CellKey,
        most: usize,
    ) -> Result<Vec<RowLength>, TryFault> {
        let width = table.columns().len();
        let rows = self.between((table, ", length(value)"), (&from, &before), most).await?;
        let length = |row: &Row| {
            let bytes: i32 = get(row, width)?;
            Ok(RowLength { key: key(table, row)?, bytes: usize::try_from(bytes).unwrap_or_default() })
        };
        rows.iter().map(length).collect()
    }

    async fn put(&self, table: Table, cells: &[Cell]) -> Result<(), TryFault> {
        if cells.is_empty() {
            return Ok(());
        }
        let (columns, name) = (table.columns().join(", "), table.name());
        let values: Vec<&[u8]> = cells.iter().map(|cell| &cell.value[..]).collect();
        let given: Vec<String> = (1..=table.columns().len()).map(|at| format!("${at}::bigint[]")).collect();
        let sql = format!(
            "INSERT INTO click_{name} ({columns}, value) SELECT * FROM unnest({}, ${}::bytea[]) \
             ON CONFLICT ({columns}) DO UPDATE SET value = EXCLUDED.value",
            given.join(", "),
            1 + table.columns().len()
        );
        let keys = by_column(table, &cells.iter().map(|cell| &cell.key));
        let mut params = arrays(&keys);
        params.push((&values, Type::BYTEA_ARRAY));
        self.0.rows(&sql, &params).await.map(drop)
    }

    async fn remove(&self, table: Table, from: CellKey, before: CellKey) -> Result<(), TryFault> {
        let width = table.columns().len();
        let sql = format!("DELETE FROM click_{} WHERE {}", table.name(), between(table, &from, &before));
        let given = from[..width].iter().chain(&before[..width]);
        let given: Vec<Param<'_>> = given.map(|number| (number as _, Type::INT8)).collect();
        self.0.rows(&sql, &given).await.map(drop)
    }

    async fn range_of(
        &self,
        table: Table,
        month: i64,
        subjects: &[i64],
        quarters: Range<i64>,
        most: usize,
    ) -> Result<Vec<Cell>, TryFault> {
        if let &[subject] = subjects {
            let (from, before) = ([month, subject, quarters.start], [month, subject, quarters.end]);
            return self.range(table, from, before, most).await;
        }
        let sql = format!(
            "SELECT month, subject, start, value FROM click_{} \
             WHERE {OF_SUBJECTS} ORDER BY subject, start",
            table.name()
        );
        let rows = self.0.rows(&sql, &of_subjects(&month, &subjects, &quarters)).await?;
        rows.iter().map(|row| Ok(Cell { key: key(table, row)?, value: get(row, 3)? })).collect()
    }

    async fn remove_of(
        &self,
        table: Table,
        month: i64,
        subjects: &[i64],
        quarters: Range<i64>,
    ) -> Result<(), TryFault> {
        let sql = format!("DELETE FROM click_{} WHERE {OF_SUBJECTS}", table.name());
        self.0.rows(&sql, &of_subjects(&month, &subjects, &quarters)).await.map(drop)
    }

    async fn remove_keys(&self, table: Table, keys: &[CellKey]) -> Result<(), TryFault> {
        if keys.is_empty() {
            return Ok(());
        }
        let (columns, name) = (table.columns().join(", "), table.name());
        let sql = format!("DELETE FROM click_{name} WHERE ({columns}) IN (SELECT * FROM {})", unnest(table));
        self.0.rows(&sql, &arrays(&by_column(table, &keys.iter()))).await.map(drop)
    }

    async fn ready_month(&self, month: i64) -> Result<(), TryFault> {
        self.0.rows("SELECT click_ready_month($1)", &[(&month, Type::INT8)]).await.map(drop)
    }

    /// A spool that nobody knows gets a row, so that it can be locked like others; it goes with the transaction, or is written.
    async fn cursors(&self, spools: &[u64]) -> Result<Vec<Option<CursorRow>>, TryFault> {
        let given: Vec<i64> = spools.iter().map(|spool| spool.cast_signed()).collect();
        let make = "INSERT INTO click_cursors (spool, edge, seq, last_no, at) \
                    SELECT spool, '', 0, 0, 0 FROM unnest($1::bigint[]) s(spool) ORDER BY spool ON CONFLICT DO NOTHING";
        let lock = "SELECT spool, edge, seq, last_no, at, key FROM click_cursors WHERE spool = ANY($1) \
                    ORDER BY spool FOR UPDATE";
        self.0.rows(make, &[(&given, Type::INT8_ARRAY)]).await?;
        let (mut known, rows) = (HashMap::new(), self.0.rows(lock, &[(&given, Type::INT8_ARRAY)]).await?);
        if rows.len() < spools.len() {
            // Whoever finds none could take a batch that somebody else takes now.
            return Err(TryFault::Passing("a cursor of clicks was just cleared away".into()));
        }
        for row in rows {
            let spool = get::<i64>(&row, 0)?.cast_unsigned();
            let (seq, last_no) = (number(&row, 2)?, number(&row, 3)?);
            if seq > 0 {
                let (edge, at, key) = (get(&row, 1)?, get(&row, 4)?, get(&row, 5)?);
                known.insert(spool, CursorRow { spool, edge, key, seq, last_no, at });
            }
        }
        Ok(spools.iter().map(|spool| known.remove(spool)).collect())
    }

    async fn put_cursors(&self, rows: &[CursorRow]) -> Result<(), TryFault> {
        let sql = "INSERT INTO click_cursors (spool, edge, key, seq, last_no, at) \
                   SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[]) \
                   ON CONFLICT (spool) DO UPDATE SET edge = EXCLUDED.edge, key = EXCLUDED.key, seq = EXCLUDED.seq, \
                   last_no = EXCLUDED.last_no, at = EXCLUDED.at";
        let numbers = |of: fn(&CursorRow) -> u64| -> Vec<i64> {
            rows.iter().map(|row| of(row).cast_signed()).collect()
        };
        let (spools, seqs, last) =
            (numbers(|row| row.spool), numbers(|row| row.seq), numbers(|row| row.last_no));
        let edges: Vec<&str> = rows.iter().map(|row| row.edge.as_str()).collect();
        let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
        let times: Vec<i64> = rows.iter().map(|row| row.at).collect();
        let params = [
            (&spools as _, Type::INT8_ARRAY),
            (&edges as _, Type::TEXT_ARRAY),
            (&keys as _, Type::TEXT_ARRAY),
            (&seqs as _, Type::INT8_ARRAY),
            (&last as _, Type::INT8_ARRAY),
            (&times as _, Type::INT8_ARRAY),
        ];
        self.0.rows(sql, &params).await.map(drop)
    }

    /// Those of refused offers, too: their rows say nothing, and are of no time.
    async fn forget_cursors(&self, before: i64) -> Result<(), TryFault> {
        let sql = "DELETE FROM click_cursors WHERE spool IN \
                   (SELECT spool FROM click_cursors WHERE at < $1 ORDER BY spool FOR UPDATE SKIP LOCKED)";
        self.0.rows(sql, &[(&before, Type::INT8)]).await.map(drop)
    }

    async fn advance(&self, by: Place) -> Result<Place, TryFault> {
        let sql = "UPDATE click_of SET next_batch = next_batch + $1, next_click = next_click + $2 \
                   RETURNING next_batch - $1, next_click - $2";
        let (batches, clicks) = (by.batch.cast_signed(), by.click.cast_signed());
        place(&self.0.rows(sql, &[(&batches, Type::INT8), (&clicks, Type::INT8)]).await?)
    }

    async fn end(&self) -> Result<Place, TryFault> {
        place(&self.0.rows("SELECT next_batch, next_click FROM click_of", &[]).await?)
    }

    async fn push(&self, batches: &[PushedBatch<'_>]) -> Result<(), TryFault> {
        let sql = "INSERT INTO click_inbox (number, first, span, edge, spool, seq, at, hole, bytes, first_at) \
                   SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], \
                   $6::bigint[], $7::bigint[], $8::bigint[], $9::bytea[], $10::bigint[])";
        let numbers = |of: fn(&InboxHead) -> u64| -> Vec<i64> {
            batches.iter().map(|pushed| of(pushed.head).cast_signed()).collect()
        };
        let own = [numbers(|head| head.number), numbers(|head| head.first), numbers(|head| head.span)];
        let edges: Vec<&str> = batches.iter().map(|pushed| pushed.head.edge.as_str()).collect();
        let of_spool = [numbers(|head| head.spool), numbers(|head| head.seq)];
        let times: Vec<i64> = batches.iter().map(|pushed| pushed.head.at).collect();
        let holes = numbers(|head| head.hole);
        let bytes: Vec<&[u8]> = batches.iter().map(|pushed| &pushed.bytes[..]).collect();
        let firsts: Vec<i64> = batches.iter().map(|pushed| pushed.first_at).collect();
        let mut params = arrays(&own);
        params.push((&edges, Type::TEXT_ARRAY));
        params.extend(arrays(&of_spool));
        params.extend([
            (&times as _, Type::INT8_ARRAY),
            (&holes as _, Type::INT8_ARRAY),
            (&bytes as _, Type::BYTEA_ARRAY),
            (&firsts as _, Type::INT8_ARRAY),
        ]);
        self.0.rows(sql, &params).await.map(drop)
    }

    async fn inbox(&self, from: u64, count: usize) -> Result<Vec<InboxHead>, TryFault> {
        let sql = "SELECT number, first, span, edge, spool, seq, at, hole FROM click_inbox WHERE number >= $1 \
                   ORDER BY number LIMIT $2";
        let head = |row: &Row| {
            Ok(InboxHead {
                number: number(row, 0)?,
                first: number(row, 1)?,
                span: number(row, 2)?,
                edge: get(row, 3)?,
                spool: get::<i64>(row, 4)?.cast_unsigned(),
                seq: number(row, 5)?,
                at: get(row, 6)?,
                hole: number(row, 7)?,
            })
        };
        let params = [(&from.cast_signed() as _, Type::INT8), (&most(count) as _, Type::INT8)];
        self.0.rows(sql, &params).await?.iter().map(head).collect()
    }

    async fn inbox_since(&self, from: u64) -> Result<Option<i64>, TryFault> {
        let sql = "SELECT min(first_at) FROM click_inbox WHERE number >= $1";
        let rows = self.0.rows(sql, &[(&from.cast_signed(), Type::INT8)]).await?;
        rows.first().map_or(Ok(None), |row| get(row, 0))
    }

    async fn batches(&self, numbers: &[u64]) -> Result<Vec<Vec<u8>>, TryFault> {
        let sql = "SELECT number, bytes FROM click_inbox WHERE number = ANY($1)";
        let given: Vec<i64> = numbers.iter().map(|number| number.cast_signed()).collect();
        let mut known: HashMap<u64, Vec<u8>> = HashMap::new();
        for row in self.0.rows(sql, &[(&given, Type::INT8_ARRAY)]).await? {
            known.insert(number(&row, 0)?, get(&row, 1)?);
        }
        let gone = || TryFault::Fault(StoreFault::Corrupt("a batch of clicks is gone".into()));
        numbers.iter().map(|number| known.remove(number).ok_or_else(gone)).collect()
    }

    async fn clear_inbox(&self, before: u64) -> Result<(), TryFault> {
        let before = before.cast_signed();
        self.0.rows("DELETE FROM click_inbox WHERE number < $1", &[(&before, Type::INT8)]).await.map(drop)
    }

    async fn raw(&self, place: u64, count: usize) -> Result<Vec<RawHead>, TryFault> {
        // The row before may hold the place.
        let sql = "SELECT first, span, first_at, last_at, day, length(bytes)::bigint FROM click_raw \
                   WHERE first >= coalesce((SELECT max(first) FROM click_raw WHERE first <= $1), 0) \
                   AND first + span > $1 ORDER BY first LIMIT $2";
        let head = |row: &Row| {
            Ok(RawHead {
                first: number(row, 0)?,
                span: number(row, 1)?,
                first_at: get(row, 2)?,
                last_at: get(row, 3)?,
                day: get(row, 4)?,
                bytes: number(row, 5)?,
            })
        };
        let params = [(&place.cast_signed() as _, Type::INT8), (&most(count) as _, Type::INT8)];
        self.0.rows(sql, &params).await?.iter().map(head).collect()
    }

    async fn raw_value(&self, head: &RawHead) -> Result<Vec<u8>, TryFault> {
        let sql = "SELECT bytes FROM click_raw WHERE first = $1 AND day = $2";
        let params = [(&head.first.cast_signed() as _, Type::INT8), (&head.day as _, Type::INT8)];
        let rows = self.0.rows(sql, &params).await?;
        let gone = || TryFault::Fault(StoreFault::Corrupt("a row of raw clicks is gone".into()));
        rows.first().ok_or_else(gone).and_then(|row| get(row, 0))
    }

    async fn put_raw(&self, head: &RawHead, bytes: &[u8]) -> Result<(), TryFault> {
        self.0.rows("SELECT click_ready_day($1)", &[(&head.day, Type::INT8)]).await?;
        let sql = "INSERT INTO click_raw (first, span, first_at, last_at, day, bytes) VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT (first, day) DO UPDATE SET span = EXCLUDED.span, first_at = EXCLUDED.first_at, \
                   last_at = EXCLUDED.last_at, bytes = EXCLUDED.bytes";
        let params = [
            (&head.first.cast_signed() as _, Type::INT8),
            (&head.span.cast_signed() as _, Type::INT8),
            (&head.first_at as _, Type::INT8),
            (&head.last_at as _, Type::INT8),
            (&head.day as _, Type::INT8),
            (&bytes as _, Type::BYTEA),
        ];
        self.0.rows(sql, &params).await.map(drop)
    }

    async fn remove_raw(&self, head: &RawHead) -> Result<(), TryFault> {
        let sql = "DELETE FROM click_raw WHERE first = $1 AND day = $2";
        let params = [(&head.first.cast_signed() as _, Type::INT8), (&head.day as _, Type::INT8)];
        self.0.rows(sql, &params).await.map(drop)
    }

    async fn forget_raw(&self, before_day: i64) -> Result<(), TryFault> {
        self.0.rows("SELECT click_forget_days($1)", &[(&before_day, Type::INT8)]).await.map(drop)
    }

    async fn note_until(&self, rows: &[EdgeUntil], now: i64) -> Result<(), TryFault> {
        // In the order of their names: two controls do not wait for each other in a circle.
        let sql = "INSERT INTO click_edges (edge, process, until, noted) \
                   SELECT edge, process, until, $4 FROM unnest($1::text[], $2::bigint[], $3::bigint[]) e(edge, process, until) \
                   ORDER BY edge, process \
                   ON CONFLICT (edge, process) DO UPDATE SET until = EXCLUDED.until, noted = EXCLUDED.noted";
        let edges: Vec<&str> = rows.iter().map(|row| row.edge.as_str()).collect();
        let processes: Vec<i64> = rows.iter().map(|row| row.process.cast_signed()).collect();
        let until: Vec<i64> = rows.iter().map(|row| row.until).collect();
        let params = [
            (&edges as _, Type::TEXT_ARRAY),
            (&processes as _, Type::INT8_ARRAY),
            (&until as _, Type::INT8_ARRAY),
            (&now as _, Type::INT8),
        ];
        self.0.rows(sql, &params).await.map(drop)
    }

    async fn forget_silent(&self, rows: &[EdgeUntil], before: i64) -> Result<(), TryFault> {
        // A row that another control is writing is not silent, and is not waited for.
        let sql = "DELETE FROM click_edges WHERE (edge, process) IN (\
                   SELECT c.edge, c.process FROM click_edges c \
                   JOIN unnest($1::text[], $2::bigint[]) e(edge, process) ON c.edge = e.edge AND c.process <> e.process \
                   WHERE c.noted < $3 FOR UPDATE OF c SKIP LOCKED)";
        let edges: Vec<&str> = rows.iter().map(|row| row.edge.as_str()).collect();
        let processes: Vec<i64> = rows.iter().map(|row| row.process.cast_signed()).collect();
        let params = [
            (&edges as _, Type::TEXT_ARRAY),
            (&processes as _, Type::INT8_ARRAY),
            (&before as _, Type::INT8),
        ];
        self.0.rows(sql, &params).await.map(drop)
    }

    async fn until(&self) -> Result<Vec<EdgeUntil>, TryFault> {
        let sql = "SELECT edge, process, until FROM click_edges ORDER BY edge, process";
        let rows = self.0.rows(sql, &[]).await?;
        let row = |row: &Row| {
            let process = get::<i64>(row, 1)?.cast_unsigned();
            Ok(EdgeUntil { edge: get(row, 0)?, process, until: get(row, 2)? })
        };
        rows.iter().map(row).collect()
    }

    async fn forget_edge(&self, edge: &str, process: Option<u64>) -> Result<(), TryFault> {
        let sql = "DELETE FROM click_edges WHERE edge = $1 AND process = coalesce($2, process)";
        let process = process.map(u64::cast_signed);
        self.0.rows(sql, &[(&edge, Type::TEXT), (&process, Type::INT8)]).await.map(drop)
    }
}

fn place(rows: &[Row]) -> Result<Place, TryFault> {
    let none = || StoreFault::Corrupt("click_of has no row".into());
    let row = rows.first().ok_or_else(none)?;
    Ok(Place { batch: number(row, 0)?, click: number(row, 1)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_keys_share_is_compared_by_itself() {
        let (of, least) = (|from, before| between(Table::Runs, &from, &before), i64::MIN);
        assert_eq!(
            of([5, 7, 3], [5, 7, 9]),
            "month = $1 AND subject = $2 AND (start) >= ($3) AND (start) < ($6)"
        );
        assert_eq!(
            of([5, 7, 3], [5, 8, 9]),
            "month = $1 AND (subject, start) >= ($2, $3) AND (subject, start) < ($5, $6)"
        );
        assert_eq!(of([5, 7, least], [5, 8, least]), "month = $1 AND (subject) >= ($2) AND (subject) < ($5)");
        assert_eq!(
            of([5, 7, 3], [6, least, least]),
            "(month, subject, start) >= ($1, $2, $3) AND (month) < ($4) AND month BETWEEN $1 AND $4"
        );
        assert_eq!(of([5; 3], [5; 3]), "month = $1 AND subject = $2 AND (start) >= ($3) AND (start) < ($6)");
        assert_eq!(
            between(Table::Texts, &[1, 0, 0], &[1, 0, 0]),
            "(number) >= ($1) AND (number) < ($2) AND number BETWEEN $1 AND $2"
        );
    }
}
