//! The links of a domain that were clicked most: exact, from lists of four weeks, weeks, days and hours, and what is not folded yet.

use super::age::QUARTERS_KEPT;
use super::deletions::Deletions;
use super::four_weeks;
use super::lists::{self, ListPart, ListReader, UidCounts, list};
use super::memory::Memory;
use super::rows::{ClickRows, Table};
use super::times::{DAY, FOUR_WEEKS, HOUR, WEEK_DAYS};
use super::unfolded::{LATEST, Tail, tail, unpacked_days};
use crate::port::clicks::{TopAnswer, TopQuestion};
use clicks::Kind;
use std::collections::BTreeSet;

const DAY_HOURS: i64 = DAY / HOUR;
const FOUR_WEEKS_DAYS: i64 = FOUR_WEEKS * WEEK_DAYS;
/// Lists that are read at once: one of a week may have some MB.
const LISTS: usize = 16;

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
    let mut step = HOUR;
    for part in parts(rows, hours, &kinds, deleted.cuts(question.domain)).await? {
        if !part.is_within(hours) {
            step = part.part.length();
        }
        let key = |kind: &Kind| [list(part.part, *kind), part.period, question.domain.0.into()];
        keys.extend(kinds.iter().map(key));
    }
    let (hides, mut reader) = (deleted.are_of(question.domain), ListReader::default());
    for keys in keys.chunks(LISTS) {
        for (key, value) in keys.iter().zip(rows.cells(Table::Lists, keys).await?) {
            let Some(value) = value else { continue };
            if !hides {
                reader.add_up(&value, &mut counts)?;
                continue;
            }
            let began = lists::began(key);
            reader.scan(&value, |entry| {
                if !deleted.hides(question.domain, entry.uid, began) {
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
    if let Some(links) = &question.links {
        counts.keep(links);
    }
    Ok(TopAnswer { left_out, step, ..counts.top(question.most) })
}

/// A part of time that lists are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    part: ListPart,
    period: i64,
}

impl Part {
    fn is_within(&self, (from, before): (i64, i64)) -> bool {
        let hours = self.part.length() / HOUR;
        from <= self.period * hours && (self.period + 1) * hours <= before
    }
}

/// The parts of time that make up these hours: each hour is in one of them. `cuts`: those of deletions that are not done everywhere.
async fn parts<R: ClickRows>(
    rows: &R,
    (from, before): (i64, i64),
    kinds: &BTreeSet<Kind>,
    cuts: Vec<i64>,
) -> Result<Vec<Part>, R::Fault> {
    if from >= before {
        return Ok(Vec::new());
    }
    let days = (from.div_euclid(DAY_HOURS), (before - 1).div_euclid(DAY_HOURS) + 1);
    // Nothing is there before the first list, and a question may begin with the year 1.
    let first_hour = lists::first(rows, ListPart::Hour).await?;
    let first_day = lists::first(rows, ListPart::Day).await?;
    let kept = match (first_hour.map(|hour| hour.div_euclid(DAY_HOURS)), first_day) {
        (Some(one), Some(other)) => one.min(other),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return Ok(Vec::new()),
    };
    let days = (days.0.max(kept), days.1);
    let there = ListsThere {
        unpacked: unpacked_days(rows, days).await?.into_iter().collect(),
        four_weeks: whole_four_weeks(rows, days, kinds).await?,
        oldest_hour: first_hour.unwrap_or(i64::MAX),
        cuts,
    };
    Ok(cover((from, before), days, &there))
}

/// Those that are wholly in these days and have a list of each of these kinds.
async fn whole_four_weeks<R: ClickRows>(
    rows: &R,
    (first, end): (i64, i64),
    kinds: &BTreeSet<Kind>,
) -> Result<BTreeSet<i64>, R::Fault> {
    let all = (first + FOUR_WEEKS_DAYS - 1).div_euclid(FOUR_WEEKS_DAYS)..end.div_euclid(FOUR_WEEKS_DAYS);
    let mut whole: Option<BTreeSet<i64>> = None;
    for kind in kinds {
        let made = four_weeks::made(rows, *kind, all.clone()).await?;
        whole = Some(whole.map_or(made.clone(), |whole| &whole & &made));
    }
    Ok(whole.unwrap_or_default())
}

/// Which lists can be taken.
#[derive(Default)]
struct ListsThere {
    /// Days of which something is not packed: their lists, and all of longer parts of time, lack it.
    unpacked: BTreeSet<i64>,
    /// Four weeks that have lists.
    four_weeks: BTreeSet<i64>,
    /// Hours before it are not kept any more: their day is taken as a whole.
    oldest_hour: i64,
    /// Up to when clicks are being deleted, in Unix milliseconds: of a list that ends behind it nobody knows how much goes.
    cuts: Vec<i64>,
}

impl ListsThere {
    /// Whether the lists of so many days lack nothing and have nothing that is deleted beside what is not.
    fn are_whole(&self, first: i64, days: i64) -> bool {
        let (began, ends) = (first * DAY, (first + days) * DAY);
        self.unpacked.range(first..first + days).next().is_none()
            && !self.cuts.iter().any(|cut| began < *cut && *cut < ends)
    }
}

fn cover((from, before): (i64, i64), days: (i64, i64), there: &ListsThere) -> Vec<Part> {
    let (mut parts, mut day) = (Vec::new(), days.0);
    let whole = |first: i64, count: i64| {
        from <= first * DAY_HOURS && (first + count) * DAY_HOURS <= before && there.are_whole(first, count)
    };
    while day < days.1 {
        let four_weeks = day.div_euclid(FOUR_WEEKS_DAYS);
        if day.rem_euclid(FOUR_WEEKS_DAYS) == 0
            && there.four_weeks.contains(&four_weeks)
            && whole(day, FOUR_WEEKS_DAYS)
        {
            parts.push(Part { part: ListPart::FourWeeks, period: four_weeks });
            day += FOUR_WEEKS_DAYS;
            continue;
        }
        if day.rem_euclid(WEEK_DAYS) == 0 && whole(day, WEEK_DAYS) {
            parts.push(Part { part: ListPart::Week, period: day.div_euclid(WEEK_DAYS) });
            day += WEEK_DAYS;
            continue;
        }
        let is_old = (day + 1) * DAY_HOURS <= there.oldest_hour;
        if whole(day, 1) || is_old && !there.unpacked.contains(&day) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn there(unpacked: &[i64]) -> ListsThere {
        ListsThere { unpacked: unpacked.iter().copied().collect(), ..ListsThere::default() }
    }

    fn hours(parts: &[Part]) -> Vec<i64> {
        let hours = |part: &Part| {
            let length = part.part.length() / HOUR;
            part.period * length..(part.period + 1) * length
        };
        let mut hours: Vec<i64> = parts.iter().flat_map(hours).collect();
        hours.sort_unstable();
        hours
    }

    #[test]
    fn each_hour_is_in_one_part_of_time_and_as_few_are_read_as_can_be() {
        for (from, before, unpacked) in [
            (0, 30 * 24, &[29][..]),
            (5, 30 * 24 - 5, &[]),
            (100, 101, &[]),
            (7 * 24, 14 * 24, &[9]),
            (1, 700, &[3, 20, 28, 29]),
        ] {
            for four_weeks in [BTreeSet::new(), BTreeSet::from([0, 1])] {
                let there = ListsThere { four_weeks, ..there(unpacked) };
                let days = (from / 24, (before - 1) / 24 + 1);
                let parts = cover((from, before), days, &there);
                assert_eq!(hours(&parts), (from..before).collect::<Vec<_>>());
            }
        }
        let mut month = there(&[29]);
        assert_eq!(cover((0, 30 * 24), (0, 30), &month).len(), 4 + 1 + 24);
        month.four_weeks.insert(0);
        assert_eq!(cover((0, 30 * 24), (0, 30), &month).len(), 1 + 1 + 24);
        month.unpacked.insert(27);
        assert_eq!(cover((0, 30 * 24), (0, 30), &month).len(), 3 + 6 + 24 + 1 + 24);
        // Hours that are gone: the whole day is taken.
        let old = ListsThere { oldest_hour: 24, ..ListsThere::default() };
        assert_eq!(cover((5, 48), (0, 2), &old)[0], Part { part: ListPart::Day, period: 0 });
    }

    #[test]
    fn no_list_is_taken_that_ends_behind_the_cut_of_a_deletion_and_begins_before_it() {
        let four_weeks = BTreeSet::from([0, 1]);
        let there = |cuts| ListsThere { four_weeks: four_weeks.clone(), cuts, ..ListsThere::default() };
        let parts = |cut: i64| {
            let parts = cover((0, 56 * 24), (0, 56), &there(vec![cut]));
            assert_eq!(hours(&parts), (0..56 * 24).collect::<Vec<_>>());
            parts.len()
        };
        assert_eq!(parts(0), 2);
        assert_eq!(parts(28 * DAY), 2);
        assert_eq!(parts(35 * DAY), 1 + 4);
        assert_eq!(parts(36 * DAY), 1 + 3 + 7);
        assert_eq!(parts(36 * DAY + 1), 1 + 3 + 6 + 24);
    }
}
