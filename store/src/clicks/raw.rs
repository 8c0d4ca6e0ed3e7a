//! Clicks one by one, in the order in which they were acknowledged: those that are folded, then those that are not. A place
//! in that order stays a place when rows are joined.

use super::deletions::Deletions;
use super::fold::put_raw;
use super::memory::{Memory, decoded};
use super::rows::{ClickRows, RawHead};
use super::unfolded::each;
use crate::model::StoreFault;
use crate::port::clicks::{RawClick, RawPage, RawQuestion};
use clicks::Click;
use clicks::batch::{Batch, MAX_CLICKS, MAX_DECODED};

/// Rows that are read at once.
const ROWS: usize = 64;
/// Bytes of rows that one page decodes at most, if its first row has not more.
const BYTES: u64 = 4 << 20;
/// Rows that are looked at once for some to be joined.
const JOINED: usize = 256;
/// Bytes of a row that is joined with no other.
const LARGE: u64 = 512 << 10;

pub(crate) async fn page<R: ClickRows>(
    rows: &R,
    memory: &Memory,
    question: &RawQuestion,
) -> Result<RawPage, R::Fault> {
    let deleted = Deletions::read(rows).await?;
    let mut page = RawPage { next: question.place, ..RawPage::default() };
    let mut read = 0;
    loop {
        let heads = rows.raw(page.next, ROWS).await?;
        for head in &heads {
            if page.clicks.len() >= question.most || read > BYTES {
                page.more = true;
                return Ok(page);
            }
            if head.last_at >= question.from && head.first_at < question.until {
                read += head.bytes;
                let batch = decoded(&rows.raw_value(head).await?)?;
                let is_deleted = |place, click: &Click| deleted.has_single(place, click);
                take(&mut page, question, is_deleted, (head.first, head.span), &batch);
            }
            page.next = page.next.max(head.first + head.span);
        }
        if heads.len() < ROWS {
            break;
        }
    }
    each(rows, memory, |head, batch| {
        if head.first + head.span <= page.next {
            return true;
        }
        if page.clicks.len() >= question.most {
            page.more = true;
            return false;
        }
        let is_deleted = |_, click: &Click| deleted.has(head.number, click);
        take(&mut page, question, is_deleted, (head.first, head.span), batch);
        page.next = head.first + head.span;
        true
    })
    .await?;
    if page.more {
        return Ok(page);
    }
    page.next = page.next.max(rows.end().await?.click);
    Ok(page)
}

/// Where clicks of a row were deleted, those that are left have the last places: whoever had read a part of it is told
/// some again, and misses none.
fn take(
    page: &mut RawPage,
    question: &RawQuestion,
    is_deleted: impl Fn(u64, &Click) -> bool,
    (first, span): (u64, u64),
    batch: &Batch,
) {
    let begin = first + span.saturating_sub(batch.clicks.len() as u64);
    for (place, click) in (begin..).zip(&batch.clicks) {
        let wanted = place >= question.place
            && (question.from..question.until).contains(&click.at)
            && question.domain.is_none_or(|domain| domain == click.domain)
            && question.links.as_ref().is_none_or(|links| links.contains(&click.uid));
        if wanted && !is_deleted(place, click) {
            page.clicks.push(RawClick { place, classifier: batch.classifier, click: click.clone() });
        }
    }
}

/// Joins small rows of a day that is over. Where to go on, or `None`: nothing is left to be joined behind that place.
pub(crate) async fn join<R: ClickRows>(rows: &R, place: u64, today: i64) -> Result<Option<u64>, R::Fault> {
    let heads = rows.raw(place, JOINED).await?;
    let Some(first) = heads.first().filter(|head| head.day < today) else { return Ok(None) };
    let fits = group(&heads);
    if fits.len() < 2 {
        return Ok(Some(first.first + first.span));
    }
    let mut values = Vec::new();
    for head in fits {
        values.push(decoded(&rows.raw_value(head).await?)?);
    }
    let same = joinable(&values);
    let end = fits[same - 1].first + fits[same - 1].span;
    if same > 1 {
        let mut whole = Batch::new(1, values[0].classifier);
        values[..same].iter().for_each(|batch| whole.clicks.extend_from_slice(&batch.clicks));
        for head in &fits[..same] {
            rows.remove_raw(head).await?;
        }
        put_raw(rows, first.first, end - first.first, first.day, &whole).await?;
    }
    // One that took all it was shown may take more.
    Ok(Some(if same == JOINED { first.first } else { end }))
}

/// The rows that may be one: they follow each other, are of one day, and small together.
fn group(heads: &[RawHead]) -> &[RawHead] {
    let (mut bytes, mut span, mut count) = (0, 0, 0);
    for (at, head) in heads.iter().enumerate() {
        bytes += head.bytes;
        span += head.span;
        let follows = at == 0 || heads[at - 1].first + heads[at - 1].span <= head.first;
        if at > 0 && (bytes > LARGE || span > MAX_CLICKS as u64 || head.day != heads[0].day || !follows) {
            break;
        }
        count = at + 1;
    }
    &heads[..count]
}

/// How many of these are of one classifier, and fit together.
fn joinable(batches: &[Batch]) -> usize {
    let mut size = 0;
    let fits = |batch: &&Batch| {
        size += batch.size();
        batch.classifier == batches[0].classifier && size <= MAX_DECODED
    };
    batches.iter().take_while(fits).count().max(1)
}

/// Where the next click will be.
pub(crate) async fn end<R: ClickRows>(rows: &R) -> Result<u64, R::Fault> {
    Ok(rows.end().await?.click)
}

/// Texts of agents, in the order of their hashes.
pub(crate) async fn agents<R: ClickRows>(rows: &R, hashes: &[u64]) -> Result<Vec<Option<String>>, R::Fault> {
    let keys: Vec<_> = hashes.iter().map(|&hash| super::fold::agent_key(hash)).collect();
    let values = rows.cells(super::rows::Table::Agents, &keys).await?;
    let text = |value: Option<Vec<u8>>| match value {
        Some(value) => super::fold::agent_of(&value).map(|agent| Some(agent.text.to_owned())),
        None => Ok(None),
    };
    Ok(values.into_iter().map(text).collect::<Result<Vec<_>, StoreFault>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_joined_that_follow_each_other_on_one_day_and_are_small() {
        let head = |first, span, day, bytes| RawHead { first, span, first_at: 0, last_at: 0, day, bytes };
        let heads = [head(0, 5, 1, 100), head(5, 5, 1, 100), head(10, 5, 2, 100)];
        assert_eq!(group(&heads).len(), 2);
        assert_eq!(group(&[head(0, 5, 1, LARGE), head(5, 5, 1, 100)]).len(), 1);
        assert_eq!(group(&[head(0, 60_000, 1, 10), head(60_000, 6_000, 1, 10)]).len(), 1);
        assert_eq!(group(&[]).len(), 0);
    }
}
