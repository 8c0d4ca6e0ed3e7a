//! The links of a domain that were clicked most: exact, from lists of whole weeks, days and hours, and what is not folded yet.

use super::age::QUARTERS_KEPT;
use super::deletions::Deletions;
use super::lists::{self, ListPart, ListReader, list};
use super::memory::Memory;
use super::rows::{ClickRows, Table};
use super::times::{DAY, HOUR, WEEK_DAYS};
use super::unfolded::{LATEST, Tail, tail, unpacked_days};
use crate::port::clicks::{LinkCount, TopAnswer, TopQuestion};
use clicks::Kind;
use link::Seq;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

const DAY_HOURS: i64 = DAY / HOUR;
/// Counts of uids below this are in an array; of those above, which only a store of that many changes has, in a map.
const DENSE: u64 = 1 << 24;
/// Lists that are read at once: one of a week may have some MB.
const LISTS: usize = 16;
/// What the array begins with.
const FIRST: usize = 1 << 16;

pub(crate) async fn top_links<R: ClickRows>(
    rows: &R,
    memory: &Memory,
    question: &TopQuestion,
) -> Result<TopAnswer, R::Fault> {
    let deleted = Deletions::read(rows).await?;
    let until = question.until.clamp(0, LATEST);
    let hours = (question.from.max(0).div_euclid(HOUR), (until + HOUR - 1).div_euclid(HOUR));
    let mut counts = UidCounts::default();
    let mut keys = Vec::new();
    let kinds: BTreeSet<Kind> = question.kinds.iter().copied().filter(|kind| !kind.is_total()).collect();
    for part in parts(rows, hours).await? {
        let key = |kind: &Kind| [list(part.part, *kind), part.period, question.domain.0.into()];
        keys.extend(kinds.iter().map(key));
    }
    let (hides, mut reader) = (deleted.are_of(question.domain), ListReader::default());
    for keys in keys.chunks(LISTS) {
        for (key, value) in keys.iter().zip(rows.cells(Table::Lists, keys).await?) {
            let Some(value) = value else { continue };
            let began = lists::began(key);
            reader.scan(&value, |entry| {
                if !(hides && deleted.hides(question.domain, entry.uid, began)) {
                    counts.add(entry.uid, entry.count);
                }
            })?;
        }
    }
    let range = hours.0..hours.1;
    let Tail { batches, left_out } = tail(rows, memory).await?;
    for (head, batch) in batches {
        let asked_for = batch.clicks.iter().filter(|click| {
            click.domain == question.domain
                && kinds.contains(&click.kind)
                && range.contains(&click.at.div_euclid(HOUR))
                && !deleted.has(head.number, click)
        });
        asked_for.for_each(|click| counts.add(click.uid, 1));
    }
    Ok(TopAnswer { left_out, ..counts.top(question.most) })
}

/// A part of time that lists are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    part: ListPart,
    period: i64,
}

/// The parts of time that make up these hours: each hour is in one of them.
async fn parts<R: ClickRows>(rows: &R, (from, before): (i64, i64)) -> Result<Vec<Part>, R::Fault> {
    if from >= before {
        return Ok(Vec::new());
    }
    let days = (from.div_euclid(DAY_HOURS), (before - 1).div_euclid(DAY_HOURS) + 1);
    // Nothing is there before the first list, and a question may begin with the year 1.
    let first = |part| async move {
        let (least, most) = (
            [list(part, Kind::Human), i64::MIN, i64::MIN],
            [list(part, Kind::Human) + 8, i64::MIN, i64::MIN],
        );
        let mut first: Option<i64> = None;
        let mut from = least;
        while let Some(&[number, period, _]) = rows.keys(Table::Lists, from, most, 1).await?.first() {
            first = Some(first.map_or(period, |first| first.min(period)));
            from = [number + 1, i64::MIN, i64::MIN];
        }
        Ok::<_, R::Fault>(first)
    };
    let first_hour = first(ListPart::Hour).await?;
    let first_day = first(ListPart::Day).await?;
    let kept = match (first_hour.map(|hour| hour.div_euclid(DAY_HOURS)), first_day) {
        (Some(one), Some(other)) => one.min(other),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return Ok(Vec::new()),
    };
    let days = (days.0.max(kept), days.1);
    let unpacked: BTreeSet<i64> = unpacked_days(rows, days).await?.into_iter().collect();
    // Hours before that are not kept any more: their day is taken as a whole.
    let oldest_hour = first_hour.unwrap_or(i64::MAX);
    Ok(cover((from, before), days, &unpacked, oldest_hour))
}

fn cover(
    (from, before): (i64, i64),
    days: (i64, i64),
    unpacked: &BTreeSet<i64>,
    oldest_hour: i64,
) -> Vec<Part> {
    let (mut parts, mut day) = (Vec::new(), days.0);
    let whole = |first: i64, count: i64| {
        from <= first * DAY_HOURS
            && (first + count) * DAY_HOURS <= before
            && unpacked.range(first..first + count).next().is_none()
    };
    while day < days.1 {
        if day.rem_euclid(WEEK_DAYS) == 0 && whole(day, WEEK_DAYS) {
            parts.push(Part { part: ListPart::Week, period: day / WEEK_DAYS });
            day += WEEK_DAYS;
            continue;
        }
        let is_old = (day + 1) * DAY_HOURS <= oldest_hour;
        if whole(day, 1) || is_old && !unpacked.contains(&day) {
            parts.push(Part { part: ListPart::Day, period: day });
        } else {
            let hours = (day * DAY_HOURS).max(from)..((day + 1) * DAY_HOURS).min(before);
            parts.extend(hours.map(|period| Part { part: ListPart::Hour, period }));
        }
        day += 1;
    }
    parts
}

/// Forgets lists of hours once the roll-ups have hours, too.
pub(crate) async fn forget<R: ClickRows>(rows: &R, now: i64) -> Result<(), R::Fault> {
    let before = (now.div_euclid(DAY) - QUARTERS_KEPT) * DAY_HOURS;
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_total()) {
        let number = list(ListPart::Hour, kind);
        rows.remove(Table::Lists, [number, i64::MIN, i64::MIN], [number, before, i64::MIN]).await?;
    }
    Ok(())
}

/// Sums by uid.
#[derive(Default)]
struct UidCounts {
    dense: Vec<u64>,
    others: HashMap<Seq, u64>,
}

impl UidCounts {
    #[inline]
    fn add(&mut self, uid: Seq, count: u64) {
        if uid >= DENSE {
            *self.others.entry(uid).or_default() += count;
            return;
        }
        let at = uid as usize;
        if at >= self.dense.len() {
            self.dense.resize((at + 1).next_power_of_two().max(FIRST), 0);
        }
        self.dense[at] += count;
    }

    fn top(self, most: usize) -> TopAnswer {
        let dense = self.dense.iter().enumerate().map(|(uid, count)| (uid as u64, *count));
        let all = dense.chain(self.others).filter(|(_, count)| *count > 0);
        let mut answer = TopAnswer::default();
        let mut links: Vec<LinkCount> = Vec::with_capacity(most.saturating_mul(2).min(1 << 16));
        let order = |link: &LinkCount| (Reverse(link.count), link.uid);
        let mut least = 0; // with fewer clicks a link is not among the first any more
        for (uid, count) in all {
            answer.total += count;
            answer.clicked += 1;
            if count < least {
                continue;
            }
            links.push(LinkCount { uid, count });
            // Now and then, so that what is kept stays small.
            if links.len() >= most.saturating_mul(2).max(1_024) {
                let last = most.min(links.len() - 1);
                least = links.select_nth_unstable_by_key(last, order).1.count;
                links.truncate(most);
            }
        }
        links.sort_unstable_by_key(order);
        links.truncate(most);
        answer.links = links;
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hour_is_in_one_part_of_time_and_as_few_are_read_as_can_be() {
        let hours = |parts: &[Part]| {
            let mut hours: Vec<i64> = parts
                .iter()
                .flat_map(|part| {
                    let length = match part.part {
                        ListPart::Hour => 1,
                        ListPart::Day => DAY_HOURS,
                        ListPart::Week => WEEK_DAYS * DAY_HOURS,
                    };
                    part.period * length..(part.period + 1) * length
                })
                .collect();
            hours.sort_unstable();
            hours
        };
        for (from, before, unpacked) in [
            (0, 30 * 24, vec![29]),
            (5, 30 * 24 - 5, vec![]),
            (100, 101, vec![]),
            (7 * 24, 14 * 24, vec![9]),
            (1, 700, vec![3, 20, 28, 29]),
        ] {
            let unpacked: BTreeSet<i64> = unpacked.into_iter().collect();
            let days = (from / 24, (before - 1) / 24 + 1);
            let parts = cover((from, before), days, &unpacked, 0);
            assert_eq!(hours(&parts), (from..before).collect::<Vec<_>>());
        }
        let month = cover((0, 30 * 24), (0, 30), &BTreeSet::from([29]), 0);
        assert_eq!(month.len(), 4 + 1 + 24);
        // Hours that are gone: the whole day is taken.
        assert_eq!(cover((5, 48), (0, 2), &BTreeSet::new(), 24)[0], Part { part: ListPart::Day, period: 0 });
    }

    #[test]
    fn the_highest_counts_come_first_and_of_the_same_the_older_link() {
        let mut counts = UidCounts::default();
        (1..5_000).for_each(|uid| counts.add(uid, 1 + uid % 7));
        counts.add(DENSE + 5, 100);
        counts.add(9, 50);
        let top = counts.top(4);
        let links: Vec<_> = top.links.iter().map(|link| (link.uid, link.count)).collect();
        assert_eq!(links, [(DENSE + 5, 100), (9, 53), (6, 7), (13, 7)]);
        assert_eq!(top.clicked, 5_000);
    }
}
