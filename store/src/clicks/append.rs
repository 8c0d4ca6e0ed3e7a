//! Takes batches: each once, in the order of its spool, with its cursor in the same transaction. What is taken is judged by
//! `clicks::ledger`.

use super::rows::{ClickRows, CursorRow, InboxHead, Place, PushedBatch};
use super::times::{HOUR, MINUTE};
use crate::port::clicks::{AppendOutcome, Appended, BatchSender, SPOOL_RESTS, TakenBehindHole};
use clicks::batch::Batch;
use clicks::ledger::{Cursor, Hole, Judgement, judge};
use std::collections::BTreeMap;
use std::sync::Arc;

/// For so long (milliseconds) a spool of which nothing is known may have been there: clicks are moved into the last 40 days.
const LONGEST_LIFE: i64 = 40 * 24 * 3_600_000;

/// How far the clocks of two controls may be apart (milliseconds).
const APART: i64 = 60_000;

/// What became of offers, once it is committed.
pub(crate) struct AppendDone {
    pub outcomes: Vec<AppendOutcome>,
    pub taken: Vec<(InboxHead, Arc<Batch>)>,
}

pub(crate) async fn append<R: ClickRows>(
    rows: &R,
    offered: &[Appended],
    now: i64,
) -> Result<AppendDone, R::Fault> {
    let mut spools: Vec<u64> = offered.iter().map(|offered| offered.spool).collect();
    spools.sort_unstable(); // of two controls none waits for the other in a circle
    spools.dedup();
    let there = rows.cursors(&spools).await?;
    let mut known: BTreeMap<u64, CursorRow> =
        spools.iter().zip(there).filter_map(|(spool, row)| Some((*spool, row?))).collect();
    let mut done = AppendDone { outcomes: Vec::with_capacity(offered.len()), taken: Vec::new() };
    for offered in offered {
        let outcome = take(&mut known, offered, now, &mut done.taken);
        done.outcomes.push(outcome);
    }
    if done.taken.is_empty() {
        return Ok(done);
    }
    let clicks = done.taken.iter().map(|(head, _)| head.span).sum();
    let mut next = rows.advance(Place { batch: done.taken.len() as u64, click: clicks }).await?;
    for (head, _) in &mut done.taken {
        (head.number, head.first) = (next.batch, next.click);
        next = Place { batch: next.batch + 1, click: next.click + head.span };
    }
    let bytes = offered.iter().zip(&done.outcomes).filter(|(_, outcome)| is_taken(outcome));
    let pushed = done.taken.iter().zip(bytes).map(|((head, batch), (of, _))| PushedBatch {
        head,
        first_at: first_at(batch),
        bytes: &of.bytes,
    });
    let pushed: Vec<_> = pushed.collect();
    rows.push(&pushed).await?;
    let moved = |spool: &u64| done.taken.iter().any(|(head, _)| head.spool == *spool);
    let cursors: Vec<CursorRow> =
        known.into_iter().filter(|(spool, _)| moved(spool)).map(|(_, row)| row).collect();
    rows.put_cursors(&cursors).await?;
    Ok(done)
}

/// The earliest moment of anything in a batch; of an empty one the end of all times.
fn first_at(batch: &Batch) -> i64 {
    let clicks = batch.clicks.iter().map(|click| click.at);
    let totals = batch.totals.iter().map(|total| total.minute.saturating_mul(MINUTE));
    let losses = batch.losses.iter().map(|loss| loss.minute.saturating_mul(MINUTE));
    let unknown = batch.unknown.iter().map(|unknown| unknown.hour.saturating_mul(HOUR));
    clicks.chain(totals).chain(losses).chain(unknown).min().unwrap_or(i64::MAX)
}

fn is_taken(outcome: &AppendOutcome) -> bool {
    matches!(outcome, AppendOutcome::Taken(_) | AppendOutcome::TakenBehindHole(_))
}

fn take(
    known: &mut BTreeMap<u64, CursorRow>,
    offered: &Appended,
    now: i64,
    taken: &mut Vec<(InboxHead, Arc<Batch>)>,
) -> AppendOutcome {
    let there = known.get(&offered.spool);
    if let Some(why) = there.and_then(|row| stranger(row, &offered.sender, now)) {
        return AppendOutcome::Refused(why.into());
    }
    let cursor = there.map(|row| Cursor { seq: row.seq, last_no: row.last_no });
    let within = there.map_or(LONGEST_LIFE, |row| (now - row.at).max(0) + APART);
    match judge(cursor, offered.offer) {
        Judgement::Take { cursor, hole } => {
            let told = hole.map_or(0, |hole| hole.possible(within));
            let row = CursorRow {
                spool: offered.spool,
                edge: offered.sender.edge.to_string(),
                key: offered.sender.key.to_string(),
                seq: cursor.seq,
                last_no: cursor.last_no,
                at: now,
            };
            let head = InboxHead {
                number: 0,
                first: 0,
                span: offered.batch.clicks.len() as u64,
                edge: row.edge.clone(),
                spool: row.spool,
                seq: offered.offer.seq,
                at: now,
                hole: told,
            };
            known.insert(row.spool, row);
            taken.push((head, offered.batch.clone()));
            match hole.map_or(0, Hole::count) {
                0 => AppendOutcome::Taken(cursor.seq),
                count => {
                    let unbelieved = count - told;
                    AppendOutcome::TakenBehindHole(TakenBehindHole { acked: cursor.seq, told, unbelieved })
                }
            }
        }
        Judgement::Known { .. } => AppendOutcome::Known(cursor.unwrap_or(Cursor { seq: 0, last_no: 0 })),
        Judgement::Want { seq } => AppendOutcome::Want(seq),
        Judgement::Refuse(why) => AppendOutcome::Refused(why.to_string()),
    }
}

/// Why this is not whose spool it is; `None`: it is, or it may go on with it. The name of the other one is not told: whoever
/// guesses a spool learns nothing.
///
/// A spool's number is random, and only the edge and the store have it. So whoever names one that rests has its folder: it is
/// the edge that was renamed, or got a key of its own.
fn stranger(row: &CursorRow, sender: &BatchSender, now: i64) -> Option<&'static str> {
    let same_name = *row.edge == *sender.edge;
    let same_key = *row.key == *sender.key;
    let known_by_key = sender.key.is_empty() || same_key || (row.key.is_empty() && !sender.bound);
    let rests = !(0..SPOOL_RESTS).contains(&(now - row.at)); // in the future: a clock was wrong
    match sender.bound {
        _ if known_by_key => None,
        true if same_name || rests => None,
        true => Some(
            "the spool is another edge's, which has sent clicks within the last minute: an edge that has been given another name \
             gets on with it a minute later by itself; no two edges share a --clicks-dir",
        ),
        false => Some(
            "the spool was begun under another key, and this key names no edge: give the edge one that does (linkr keys create \
             --scopes feed --edge NAME), and it goes on with its spool",
        ),
    }
}
