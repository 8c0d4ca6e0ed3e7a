//! What the rules of this module need of a database: rows in one transaction. A driver implements it, nothing else.

use crate::model::StoreFault;
use crate::port::clicks::EdgeUntil;
use bytes::Bytes;
use std::ops::Range;

/// A table of values in bytes, found and ordered by one to three numbers. What the values mean is not known to a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    /// Roll-ups that are not packed yet.
    Recent,
    /// Sketches of visitors that are not packed yet.
    RecentVisitors,
    /// Roll-ups of some quarters of one day, with the sketch of the day.
    Runs,
    /// The whole roll-ups of runs that are large, and the sums of days.
    Crosses,
    /// How often which links were clicked.
    Lists,
    /// Clicks of which only the number is kept.
    Totals,
    /// Unknown codes.
    Unknown,
    /// Which links were ever clicked, as bits.
    Clicked,
    /// The dictionary of browsers, referrers and the like, and names of edges.
    Texts,
    /// The texts of agents.
    Agents,
    /// Clicks that were lost.
    Losses,
    /// Deletions that are not done everywhere.
    Deletions,
    /// How far the roll-ups of a month are aged, and how far its days have sums.
    Aged,
}

impl Table {
    /// All of them.
    #[cfg(test)]
    pub const ALL: [Self; 13] = [
        Self::Recent,
        Self::RecentVisitors,
        Self::Runs,
        Self::Crosses,
        Self::Lists,
        Self::Totals,
        Self::Unknown,
        Self::Clicked,
        Self::Texts,
        Self::Agents,
        Self::Losses,
        Self::Deletions,
        Self::Aged,
    ];

    /// Its name in a database, behind `click_` where links are there, too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recent => "recent",
            Self::RecentVisitors => "recent_visitors",
            Self::Runs => "runs",
            Self::Crosses => "crosses",
            Self::Lists => "lists",
            Self::Totals => "totals",
            Self::Unknown => "unknown",
            Self::Clicked => "clicked",
            Self::Texts => "texts",
            Self::Agents => "agents",
            Self::Losses => "losses",
            Self::Deletions => "deletions",
            Self::Aged => "aged",
        }
    }

    /// The columns of its key. The column behind them is `value`.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Recent => &["quarter", "subject"],
            Self::RecentVisitors => &["day", "subject"],
            Self::Runs | Self::Crosses => &["month", "subject", "start"],
            Self::Lists => &["list", "period", "domain"],
            Self::Totals => &["domain", "quarter", "kind"],
            Self::Unknown => &["hour", "domain"],
            Self::Clicked => &["block"],
            Self::Texts | Self::Deletions => &["number"],
            Self::Agents => &["hash"],
            Self::Losses => &["minute", "edge", "reason"],
            Self::Aged => &["month"],
        }
    }
}

/// The key of a row: as many numbers as the table has columns, then zeros.
pub(crate) type CellKey = [i64; 3];
/// The first key that there can be.
pub(crate) const LEAST: CellKey = [i64::MIN; 3];
/// Behind every key.
pub(crate) const MOST: CellKey = [i64::MAX; 3];

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub key: CellKey,
    pub value: Vec<u8>,
}

/// How many bytes the value of a row has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowLength {
    pub key: CellKey,
    pub bytes: usize,
}

/// What is kept of a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CursorRow {
    pub spool: u64,
    /// Who sent its last batch, and under which key; empty: under none, or nobody knows.
    pub edge: String,
    pub key: String,
    pub seq: u64,
    pub last_no: u64,
    /// When its last batch was taken, in Unix milliseconds.
    pub at: i64,
}

/// A batch that is not folded yet, without what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InboxHead {
    /// Its own running number.
    pub number: u64,
    /// The running number of its first click.
    pub first: u64,
    /// How many clicks it has.
    pub span: u64,
    pub edge: String,
    pub spool: u64,
    pub seq: u64,
    /// When it was taken.
    pub at: i64,
    /// Clicks before it that no edge holds any more.
    pub hole: u64,
}

/// A batch on its way into the inbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PushedBatch<'a> {
    pub head: &'a InboxHead,
    /// The earliest moment of anything in it, in Unix milliseconds.
    pub first_at: i64,
    pub bytes: &'a Bytes,
}

/// Running numbers of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Of a batch, or how many.
    pub batch: u64,
    /// Of a click, or how many.
    pub click: u64,
}

/// Raw clicks that are folded, without what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawHead {
    /// The running number of the first.
    pub first: u64,
    /// The running numbers that it takes: as many as there are clicks, and more where some were deleted.
    pub span: u64,
    /// The earliest and the latest moment of any of them.
    pub first_at: i64,
    pub last_at: i64,
    /// The day on which they were folded.
    pub day: i64,
    /// Bytes of what they are.
    pub bytes: u64,
}

/// Rows of clicks in one transaction, from one snapshot. It is rolled back after any error.
pub(crate) trait ClickRows {
    type Fault: From<StoreFault>;

    /// Makes this transaction the only one that folds, tidies or deletes; `false`: another one is, and it is not waited for.
    async fn claim(&self, wait: bool) -> Result<bool, Self::Fault>;

    /// The values of these keys, in their order.
    async fn cells(&self, table: Table, keys: &[CellKey]) -> Result<Vec<Option<Vec<u8>>>, Self::Fault>;
    /// At most so many rows from one key on and before another, in their order.
    async fn range(
        &self,
        table: Table,
        from: CellKey,
        before: CellKey,
        most: usize,
    ) -> Result<Vec<Cell>, Self::Fault>;
    /// The keys of the same.
    async fn keys(
        &self,
        table: Table,
        from: CellKey,
        before: CellKey,
        most: usize,
    ) -> Result<Vec<CellKey>, Self::Fault>;
    /// The lengths of the same.
    async fn lengths(
        &self,
        table: Table,
        from: CellKey,
        before: CellKey,
        most: usize,
    ) -> Result<Vec<RowLength>, Self::Fault>;
    /// Writes rows, each in the place of the one with its key.
    async fn put(&self, table: Table, cells: &[Cell]) -> Result<(), Self::Fault>;
    /// Removes the rows from one key on and before another.
    async fn remove(&self, table: Table, from: CellKey, before: CellKey) -> Result<(), Self::Fault>;
    /// What subjects have in [`Table::Runs`] or [`Table::Crosses`] of a month, from one quarter on and before another: of one
    /// subject at most so many rows, of several all. In the order of subjects and quarters.
    async fn range_of(
        &self,
        table: Table,
        month: i64,
        subjects: &[i64],
        quarters: Range<i64>,
        most: usize,
    ) -> Result<Vec<Cell>, Self::Fault> {
        let mut cells = Vec::new();
        for &subject in subjects {
            let (from, before) = ([month, subject, quarters.start], [month, subject, quarters.end]);
            cells.extend(self.range(table, from, before, most).await?);
        }
        Ok(cells)
    }
    /// Removes from [`Table::Runs`] or [`Table::Crosses`] what subjects have of a month, from one quarter on and before another.
    async fn remove_of(
        &self,
        table: Table,
        month: i64,
        subjects: &[i64],
        quarters: Range<i64>,
    ) -> Result<(), Self::Fault> {
        for &subject in subjects {
            let (from, before) = ([month, subject, quarters.start], [month, subject, quarters.end]);
            self.remove(table, from, before).await?;
        }
        Ok(())
    }
    /// Removes these.
    async fn remove_keys(&self, table: Table, keys: &[CellKey]) -> Result<(), Self::Fault>;
    /// Makes sure that this month may have [`Table::Runs`] and [`Table::Crosses`].
    async fn ready_month(&self, month: i64) -> Result<(), Self::Fault>;

    /// What is kept of spools, in their order. Nobody else changes it until the end of the transaction.
    async fn cursors(&self, spools: &[u64]) -> Result<Vec<Option<CursorRow>>, Self::Fault>;
    async fn put_cursors(&self, rows: &[CursorRow]) -> Result<(), Self::Fault>;
    /// The cursors of spools that were last used before a moment go.
    async fn forget_cursors(&self, before: i64) -> Result<(), Self::Fault>;

    /// Takes running numbers for batches and clicks; the first ones.
    async fn advance(&self, by: Place) -> Result<Place, Self::Fault>;
    /// The next running numbers.
    async fn end(&self) -> Result<Place, Self::Fault>;
    async fn push(&self, batches: &[PushedBatch<'_>]) -> Result<(), Self::Fault>;
    /// At most so many batches, the first ones from a number on.
    async fn inbox(&self, from: u64, most: usize) -> Result<Vec<InboxHead>, Self::Fault>;
    /// The earliest moment of anything in the batches from a number on.
    async fn inbox_since(&self, from: u64) -> Result<Option<i64>, Self::Fault>;
    /// What is in these, in their order.
    async fn batches(&self, numbers: &[u64]) -> Result<Vec<Vec<u8>>, Self::Fault>;
    /// Removes those before a number.
    async fn clear_inbox(&self, before: u64) -> Result<(), Self::Fault>;

    /// The raw clicks from the row on that holds this running number or comes behind it.
    async fn raw(&self, place: u64, most: usize) -> Result<Vec<RawHead>, Self::Fault>;
    /// What the raw clicks of a row are.
    async fn raw_value(&self, head: &RawHead) -> Result<Vec<u8>, Self::Fault>;
    /// Writes a row, in the place of those that begin in its span.
    async fn put_raw(&self, head: &RawHead, bytes: &[u8]) -> Result<(), Self::Fault>;
    /// Removes a row.
    async fn remove_raw(&self, head: &RawHead) -> Result<(), Self::Fault>;
    /// The rows that were folded before a day go.
    async fn forget_raw(&self, before_day: i64) -> Result<(), Self::Fault>;

    async fn note_until(&self, rows: &[EdgeUntil], now: i64) -> Result<(), Self::Fault>;
    /// Forgets other processes with the names of these that were noted last before a moment.
    async fn forget_silent(&self, rows: &[EdgeUntil], before: i64) -> Result<(), Self::Fault>;
    async fn until(&self) -> Result<Vec<EdgeUntil>, Self::Fault>;
    async fn forget_edge(&self, edge: &str, process: Option<u64>) -> Result<(), Self::Fault>;
}

/// Reads rows, changes them and writes them.
pub(crate) async fn merge<R: ClickRows>(
    rows: &R,
    table: Table,
    keys: Vec<CellKey>,
    mut change: impl FnMut(&CellKey, Option<Vec<u8>>) -> Result<Vec<u8>, StoreFault>,
) -> Result<(), R::Fault> {
    for keys in keys.chunks(ROWS) {
        let there = rows.cells(table, keys).await?;
        let cells = keys
            .iter()
            .zip(there)
            .map(|(key, there)| Ok(Cell { key: *key, value: change(key, there)? }))
            .collect::<Result<Vec<_>, StoreFault>>()?;
        rows.put(table, &cells).await?;
    }
    Ok(())
}

/// Rows that are read and written at once.
const ROWS: usize = 4_096;

/// The subjects of a domain: its whole roll-ups, and its sums by one dimension each.
pub(crate) const DOMAIN_SUBJECTS: i64 = 8;

/// The key that a row has of a domain itself, or of its sums by one dimension; 0: of all. Those of its links are their uids,
/// which are above 0.
pub(crate) fn subject_of(domain: link::DomainId, dimension: i64) -> i64 {
    -1 - i64::from(domain.0) * DOMAIN_SUBJECTS - dimension
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_its_own_name_and_a_key() {
        let mut names: Vec<_> = Table::ALL.iter().map(|table| table.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Table::ALL.len());
        assert!(Table::ALL.iter().all(|table| (1..=3).contains(&table.columns().len())));
        let of = |domain, dimension| subject_of(link::DomainId(domain), dimension);
        assert_eq!((of(0, 0), of(0, 7), of(1, 0), of(u32::MAX, 7)), (-1, -8, -9, -(1 << 35)));
    }
}
