//! What is done when nobody waits: what is due is packed, deleted, aged, added up and joined, and what is older than it is kept goes. A
//! little at a time, so that no batch waits for it.

use super::fold::agent_of;
use super::memory::Memory;
use super::rows::{CellKey, ClickRows, LEAST, MOST, Table};
use super::times::{DAY, HOUR, MINUTE};
use super::{age, delete, deletions, four_weeks, pack, raw, top, unsummed};

/// Days for which raw clicks are kept.
pub(super) const RAW: i64 = 30;
/// Days for which the text of an agent is kept behind its last click: a raw click has it for as long as there is one.
const AGENTS: i64 = RAW + 1;
/// Days for which unknown codes are kept.
const UNKNOWN: i64 = 90;
/// Days for which it is kept what was lost, minute by minute.
const LOSSES: i64 = 730;
/// Days for which a spool is known that sends nothing: an edge that comes back later says that its earlier batches are gone.
const SPOOLS: i64 = 400;
/// Agents that are looked at once.
const AGENTS_AT_ONCE: usize = 10_000;

/// What was done, once it is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TidyDone {
    /// Whether there may be more to do.
    pub more: bool,
    /// Up to where raw rows are joined.
    joined: Option<u64>,
}

impl TidyDone {
    /// To be called once it is committed.
    pub fn note(self, memory: &Memory) {
        if let Some(joined) = self.joined {
            memory.set_joined(joined);
        }
    }
}

pub(crate) async fn tidy<R: ClickRows>(rows: &R, memory: &Memory, now: i64) -> Result<TidyDone, R::Fault> {
    if !rows.claim(false).await? {
        return Ok(TidyDone::default());
    }
    if delete::work(rows).await?
        || pack::pack(rows, now).await?
        || four_weeks::make(rows, now).await?
        || age::age(rows, now).await?
        || unsummed::sum_up(rows, memory).await?
    {
        return Ok(TidyDone { more: true, joined: None });
    }
    let today = now.div_euclid(DAY);
    if let Some(place) = raw::join(rows, memory.joined(), today).await? {
        return Ok(TidyDone { more: true, joined: Some(place) });
    }
    rows.forget_raw(today - RAW).await?;
    rows.forget_cursors(now - SPOOLS * DAY).await?;
    top::forget(rows, now).await?;
    let hour = (today - UNKNOWN) * (DAY / HOUR);
    rows.remove(Table::Unknown, [i64::MIN, i64::MIN, 0], [hour, i64::MIN, 0]).await?;
    let minute = (today - LOSSES) * (DAY / MINUTE);
    rows.remove(Table::Losses, LEAST, [minute, i64::MIN, i64::MIN]).await?;
    if memory.is_new_day(today) {
        agents(rows, today - AGENTS).await?;
        deletions::forget(rows, now).await?;
    }
    Ok(TidyDone::default())
}

/// The texts of agents that were last seen before a day.
async fn agents<R: ClickRows>(rows: &R, before: i64) -> Result<(), R::Fault> {
    let mut from = LEAST;
    loop {
        let cells = rows.range(Table::Agents, from, MOST, AGENTS_AT_ONCE).await?;
        let mut old: Vec<CellKey> = Vec::new();
        for cell in &cells {
            if agent_of(&cell.value)?.day < before {
                old.push(cell.key);
            }
        }
        rows.remove_keys(Table::Agents, &old).await?;
        match cells.last() {
            Some(last) if cells.len() == AGENTS_AT_ONCE => from = [last.key[0] + 1, 0, 0],
            _ => return Ok(()),
        }
    }
}
