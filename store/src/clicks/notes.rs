//! What stands beside the counts: unknown codes, what was lost, and whether a link was ever clicked.

use super::clicked;
use super::deletions::Deletions;
use super::fold::count_of;
use super::memory::{Memory, corrupt};
use super::rows::{CellKey, ClickRows, Table};
use super::times::{HOUR, HOUR_QUARTERS, MINUTE};
use super::unfolded::{LATEST, each};
use super::unknown::UnknownList;
use crate::port::clicks::{EDGE_SILENT, EdgeUntil, LossRow, UnknownCodes, UnknownCount, UnknownQuestion};
use clicks::LossReason;
use clicks::rollup::Dictionary;
use link::Seq;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Hours that are read at once.
const HOURS: usize = 1_024;

pub(crate) async fn unknown_codes<R: ClickRows>(
    rows: &R,
    memory: &Memory,
    question: &UnknownQuestion,
) -> Result<UnknownCodes, R::Fault> {
    let asked =
        question.from.max(0).div_euclid(HOUR)..(question.until.clamp(0, LATEST) + HOUR - 1).div_euclid(HOUR);
    let deleted = Deletions::read(rows).await?;
    let shown = deleted.from(question.domain, None).div_euclid(HOUR_QUARTERS);
    let hours = asked.start.max(shown).min(asked.end)..asked.end;
    let mut all = UnknownList::default();
    let first = rows.keys(Table::Unknown, [hours.start, i64::MIN, 0], [hours.end, i64::MIN, 0], 1).await?;
    let first = first.first().map_or(hours.end, |key| key[0]);
    let mut keys: Vec<CellKey> = Vec::new();
    for hour in first..hours.end {
        keys.push([hour, question.domain.0.into(), 0]);
        if keys.len() == HOURS || hour + 1 == hours.end {
            for value in rows.cells(Table::Unknown, &keys).await?.into_iter().flatten() {
                all.merge(&UnknownList::decode(&value)?);
            }
            // Behind an hour without any, the next one that has some is looked for.
            keys.clear();
            let more =
                rows.keys(Table::Unknown, [hour + 1, i64::MIN, 0], [hours.end, i64::MIN, 0], 1).await?;
            if more.is_empty() {
                break;
            }
        }
    }
    each(rows, memory, |head, batch| {
        for unknown in &batch.unknown {
            let asked_for = unknown.domain == question.domain && asked.contains(&unknown.hour);
            if asked_for && !deleted.has_unknown(head.number, unknown) {
                all.add(unknown.code.as_deref(), unknown.count);
            }
        }
        true
    })
    .await?;
    let top = all.top(question.most).into_iter();
    let top = top.map(|(code, count)| UnknownCount { code: code.into(), count }).collect();
    Ok(UnknownCodes { total: all.total, top })
}

pub(crate) async fn losses<R: ClickRows>(
    rows: &R,
    memory: &Memory,
    from: i64,
    until: i64,
) -> Result<Vec<LossRow>, R::Fault> {
    let texts = memory.texts(rows).await?;
    let minutes =
        from.div_euclid(MINUTE)..until.div_euclid(MINUTE) + i64::from(until.rem_euclid(MINUTE) != 0);
    let mut all: BTreeMap<(i64, Arc<str>, LossReason), u64> = BTreeMap::new();
    let mut add = |minute, edge, reason, count: u64| {
        let sum = all.entry((minute, edge, reason)).or_default();
        *sum = sum.saturating_add(count);
    };
    let (first, before) = ([minutes.start, i64::MIN, i64::MIN], [minutes.end, i64::MIN, i64::MIN]);
    for cell in rows.range(Table::Losses, first, before, usize::MAX).await? {
        let [minute, edge, reason] = cell.key;
        let reason = usize::try_from(reason).ok().and_then(|reason| LossReason::ALL.get(reason)).copied();
        let reason = reason.ok_or_else(|| corrupt("a loss is of a newer linkr"))?;
        let edge = u32::try_from(edge).map_err(|_| corrupt("a loss has no edge"))?;
        add(minute, texts.text(edge), reason, count_of(Some(&cell.value))?);
    }
    each(rows, memory, |head, batch| {
        let edge: Arc<str> = head.edge.as_str().into();
        let hole = (head.hole > 0).then_some((head.at.div_euclid(MINUTE), LossReason::Restored, head.hole));
        let told = batch.losses.iter().map(|loss| (loss.minute, loss.reason, loss.count));
        for (minute, reason, count) in told.chain(hole).filter(|(minute, ..)| minutes.contains(minute)) {
            add(minute, edge.clone(), reason, count);
        }
        true
    })
    .await?;
    let row = |((minute, edge, reason), count)| LossRow { minute, edge, reason, count };
    Ok(all.into_iter().map(row).collect())
}

pub(crate) async fn was_clicked<R: ClickRows>(rows: &R, memory: &Memory, uid: Seq) -> Result<bool, R::Fault> {
    if clicked::has(rows, uid).await? {
        return Ok(true);
    }
    let mut found = false;
    each(rows, memory, |_, batch| {
        found = batch.clicks.iter().any(|click| click.uid == uid);
        !found
    })
    .await?;
    Ok(found)
}

/// Notes up to when processes of edges have sent everything, and forgets those in whose place these are.
pub(crate) async fn note_until<R: ClickRows>(
    rows: &R,
    edges: &[EdgeUntil],
    now: i64,
) -> Result<(), R::Fault> {
    rows.note_until(edges, now).await?;
    rows.forget_silent(edges, now - EDGE_SILENT).await
}

/// Up to when every known process of an edge has.
pub(crate) async fn until<R: ClickRows>(rows: &R) -> Result<Vec<EdgeUntil>, R::Fault> {
    rows.until().await
}

/// Nobody waits for this edge any more, or for one process of it.
pub(crate) async fn forget_edge<R: ClickRows>(
    rows: &R,
    edge: &str,
    process: Option<u64>,
) -> Result<(), R::Fault> {
    rows.forget_edge(edge, process).await
}
