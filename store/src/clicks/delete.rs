//! What is deleted goes from the tables little by little, so that no batch and no question waits for it: first what clicks that
//! stay would be counted together with, then roll-ups, lists, what is of the domain itself, and single clicks. What is deleted is
//! said beside this.

mod links;

use super::deletions::{Deletion, Progress, Stage};
use super::fold::put_raw;
use super::lists::{self, ListPart};
use super::memory::decoded;
use super::pack::lists_of_week;
use super::rows::{Cell, CellKey, ClickRows, DOMAIN_SUBJECTS, LEAST, MOST, Table, subject_of};
use super::times::{DAY, HOUR, QUARTERS, WEEK_DAYS, day_of, month_of, quarter};
use super::unfolded::{LATEST, unpacked_days};
use super::{age, deletions::Deletions};
use link::{DomainId, Seq};
use links::{day_of_link, first_day_of_link};
use std::ops::Range;

/// Links of a list whose roll-ups go at once: some 10,000 rows.
const LINKS: usize = 2_048;
/// Lists out of which links are taken at once.
const LISTS: usize = 64;
/// Days of single links that go at once: each is taken out of what the domain has of that day.
const DAYS: usize = 4;
/// Hours of unknown codes that go at once.
const HOURS: i64 = 1_024;

/// What a step leaves to the next one.
enum Next {
    /// The stage goes on.
    On(Progress),
    /// The next stage begins.
    Stage(Stage),
    /// Nothing is left to do.
    Done,
    /// Something else has to be done before.
    Wait,
}

/// Does some of the oldest deletion; `false`: there is none, or it waits for batches to be folded.
pub(crate) async fn work<R: ClickRows>(rows: &R) -> Result<bool, R::Fault> {
    for cell in rows.range(Table::Deletions, [1, 0, 0], MOST, usize::MAX).await? {
        if step(rows, &cell).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Does some of what has to be done before anything is folded; `false`: there is nothing.
pub(crate) async fn open<R: ClickRows>(rows: &R) -> Result<bool, R::Fault> {
    for cell in rows.range(Table::Deletions, [1, 0, 0], MOST, usize::MAX).await? {
        if Deletion::of(&cell.value)?.stage == Stage::Open {
            return step(rows, &cell).await;
        }
    }
    Ok(false)
}

async fn step<R: ClickRows>(rows: &R, cell: &Cell) -> Result<bool, R::Fault> {
    let mut deletion = Deletion::of(&cell.value)?;
    let of_domain = deletion.links.is_empty();
    let next = match (deletion.stage, of_domain) {
        (Stage::Open, false) => open_of_links(rows, &deletion).await?,
        (Stage::Open, true) => open_of_domain(rows, &deletion).await?,
        (Stage::Links, false) => days_of_links(rows, &deletion).await?,
        (Stage::Links, true) => {
            let before = deletion.day() * DAY;
            let parts = [(ListPart::Hour, i64::MIN, before), (ListPart::Day, i64::MIN, before)];
            listed(rows, &deletion, &parts, i64::MIN..deletion.day() * QUARTERS, Stage::Lists).await?
        }
        (Stage::Lists, _) => in_lists(rows, &deletion).await?,
        (Stage::Domain, _) => of_itself(rows, &deletion).await?,
        (Stage::Raw, _) => raw(rows, &deletion).await?,
        (Stage::Folding, _) => {
            let first = rows.inbox(0, 1).await?.pop();
            if first.is_some_and(|head| head.number < deletion.end.batch) { Next::Wait } else { Next::Done }
        }
    };
    match next {
        Next::On(at) => deletion.at = at,
        Next::Stage(stage) => (deletion.stage, deletion.at) = (stage, Progress::BEGIN),
        Next::Done => {
            rows.remove_keys(Table::Deletions, &[cell.key]).await?;
            return Ok(true);
        }
        Next::Wait => return Ok(false),
    }
    rows.put(Table::Deletions, &[Cell { key: cell.key, value: deletion.value() }]).await?;
    Ok(true)
}

/// Of links: the day of the cut and what is behind it, by a clock that was ahead.
async fn open_of_links<R: ClickRows>(rows: &R, deletion: &Deletion) -> Result<Next, R::Fault> {
    if let Some(uid) = next_link(deletion) {
        let days = deletion.day()..day_of(quarter(LATEST));
        while let Some(day) = first_day_of_link(rows, uid, days.clone()).await? {
            day_of_link(rows, deletion.domain, uid, day).await?;
        }
        return Ok(Next::On(Progress { number: uid, ..deletion.at }));
    }
    let ranges: Vec<_> = lists::between(ListPart::Hour, deletion.hour() * HOUR, i64::MAX).collect();
    Ok(match prune(rows, deletion, &ranges).await? {
        Some(key) => Next::On(Progress { key, ..deletion.at }),
        None => Next::Stage(Stage::Links),
    })
}

/// Of a domain: the same.
async fn open_of_domain<R: ClickRows>(rows: &R, deletion: &Deletion) -> Result<Next, R::Fault> {
    let (domain, day) = (deletion.domain, deletion.day());
    let parts = [(ListPart::Hour, day * DAY, i64::MAX)];
    let next = listed(rows, deletion, &parts, day * QUARTERS..i64::MAX, Stage::Links).await?;
    if matches!(next, Next::Stage(_)) {
        let days = day..day_of(quarter(LATEST));
        for number in 0..DOMAIN_SUBJECTS {
            recent(rows, subject_of(domain, number), days.clone()).await?;
        }
        let domain = domain.0.into();
        rows.remove(Table::Totals, [domain, day * QUARTERS, 0], [domain, i64::MAX, 0]).await?;
        // No clock of an edge is believed that is an hour ahead.
        unknown(rows, deletion.domain, day * (DAY / HOUR)..(day + 1) * (DAY / HOUR) + 1).await?;
    }
    Ok(next)
}

/// The next one of single links.
fn next_link(deletion: &Deletion) -> Option<Seq> {
    deletion.links.range(deletion.at.number + 1..).next().copied()
}

/// Of links: some of the days before that of the cut.
async fn days_of_links<R: ClickRows>(rows: &R, deletion: &Deletion) -> Result<Next, R::Fault> {
    let Some(uid) = next_link(deletion) else { return Ok(Next::Stage(Stage::Lists)) };
    for _ in 0..DAYS {
        let Some(day) = first_day_of_link(rows, uid, EARLIEST..deletion.day()).await? else {
            return Ok(Next::On(Progress { number: uid, ..deletion.at }));
        };
        day_of_link(rows, deletion.domain, uid, day).await?;
    }
    Ok(Next::On(deletion.at))
}

/// Before any day that can be asked for.
const EARLIEST: i64 = -LATEST / DAY;

/// Of a domain: the rows of some of the links in its lists, which go with the last of them. `quarters`: of the roll-ups of days
/// that are packed, those that go.
async fn listed<R: ClickRows>(
    rows: &R,
    deletion: &Deletion,
    parts: &[(ListPart, i64, i64)],
    quarters: Range<i64>,
    then: Stage,
) -> Result<Next, R::Fault> {
    let ranges: Vec<_> =
        parts.iter().flat_map(|&(part, from, before)| lists::between(part, from, before)).collect();
    let (mut at, mut count) = (deletion.at, 0);
    for _ in 0..LISTS {
        let Some(key) = next_list(rows, deletion.domain, &ranges, at.key).await? else {
            return Ok(Next::Stage(then));
        };
        let behind = if key == at.key { at.number } else { 0 };
        let links = links_of_list(rows, key, behind, &quarters).await?;
        count += links.len();
        at = Progress { key, number: links.last().map_or(0, |last| last.cast_unsigned()) };
        if links.len() < LINKS {
            rows.remove_keys(Table::Lists, &[key]).await?;
        }
        if count >= LINKS {
            break;
        }
    }
    Ok(Next::On(at))
}

/// Removes the rows that some links of a list have of its time: those of as many links as go at once, if there are so many.
async fn links_of_list<R: ClickRows>(
    rows: &R,
    key: CellKey,
    behind: Seq,
    quarters: &Range<i64>,
) -> Result<Vec<i64>, R::Fault> {
    let (part, began) = (ListPart::of(&key), lists::began(&key));
    let day = began.div_euclid(DAY);
    let is_packed = unpacked_days(rows, (day, day + 1)).await?.is_empty();
    if part == ListPart::Hour && is_packed {
        return Ok(Vec::new()); // the list of the day has all of them
    }
    let value = rows.cells(Table::Lists, &[key]).await?.pop().flatten().unwrap_or_default();
    let mut links: Vec<i64> = Vec::with_capacity(LINKS);
    lists::scan(&value, |entry| {
        if entry.uid > behind && links.len() < LINKS {
            links.push(entry.uid.cast_signed());
        }
    })?;
    for table in [Table::Runs, Table::Crosses] {
        rows.remove_of(table, month_of(day), &links, quarters.clone()).await?;
    }
    if !is_packed {
        let first = quarter(began);
        let of = |link: &i64| {
            (first..first + quarter(part.length())).map(|quarter| [quarter, *link, 0]).collect::<Vec<_>>()
        };
        rows.remove_keys(Table::Recent, &links.iter().flat_map(of).collect::<Vec<CellKey>>()).await?;
        let visitors: Vec<CellKey> = links.iter().map(|link| [day, *link, 0]).collect();
        rows.remove_keys(Table::RecentVisitors, &visitors).await?;
    }
    Ok(links)
}

/// The first list of a domain in one of these ranges, from a key on.
async fn next_list<R: ClickRows>(
    rows: &R,
    domain: DomainId,
    ranges: &[(CellKey, CellKey)],
    from: CellKey,
) -> Result<Option<CellKey>, R::Fault> {
    let domain = i64::from(domain.0);
    for &(first, before) in ranges {
        let mut next = first.max(from);
        // Lists lie in the order of time, so those of other domains are between them.
        while let Some([number, period, own]) = rows.keys(Table::Lists, next, before, 1).await?.pop() {
            if own == domain {
                return Ok(Some([number, period, own]));
            }
            next = [number, if own < domain { period } else { period + 1 }, domain];
        }
    }
    Ok(None)
}

/// Takes the links out of some lists in these ranges; where to go on, or `None`: it is in none any more.
async fn prune<R: ClickRows>(
    rows: &R,
    deletion: &Deletion,
    ranges: &[(CellKey, CellKey)],
) -> Result<Option<CellKey>, R::Fault> {
    let mut from = deletion.at.key;
    for _ in 0..LISTS {
        let Some(key) = next_list(rows, deletion.domain, ranges, from).await? else { return Ok(None) };
        let value = rows.cells(Table::Lists, &[key]).await?.pop().flatten();
        let mut entries = lists::decode(value.as_deref().unwrap_or(&[0]))?;
        let all = entries.len();
        entries.retain(|entry| !deletion.is_of(deletion.domain, Some(entry.uid)));
        if entries.is_empty() {
            rows.remove_keys(Table::Lists, &[key]).await?;
        } else if entries.len() < all {
            rows.put(Table::Lists, &[Cell { key, value: lists::encode(&entries) }]).await?;
        }
        from = [key[0], key[1], key[2] + 1];
    }
    Ok(Some(from))
}

/// Takes the links, or all of the domain, out of the lists that begin before the cut.
async fn in_lists<R: ClickRows>(rows: &R, deletion: &Deletion) -> Result<Next, R::Fault> {
    let before = deletion.hour() * HOUR;
    let parts = [ListPart::Hour, ListPart::Day, ListPart::Week];
    let ranges: Vec<_> = parts.into_iter().flat_map(|part| lists::between(part, i64::MIN, before)).collect();
    if let Some(key) = prune(rows, deletion, &ranges).await? {
        return Ok(Next::On(Progress { key, ..deletion.at }));
    }
    // What is behind the cut in its week counts again.
    lists_of_week(rows, deletion.day().div_euclid(WEEK_DAYS)).await?;
    Ok(Next::Stage(if deletion.links.is_empty() { Stage::Domain } else { Stage::Raw }))
}

/// What a domain has of itself before the day of the cut: a month of one of its subjects at once, then what else there is.
async fn of_itself<R: ClickRows>(rows: &R, deletion: &Deletion) -> Result<Next, R::Fault> {
    let (domain, day) = (deletion.domain, deletion.day());
    let number = deletion.at.number.cast_signed();
    if number < DOMAIN_SUBJECTS {
        let subject = subject_of(domain, number);
        let next = rows.keys(Table::Runs, [deletion.at.key[0], i64::MIN, i64::MIN], MOST, 1).await?.pop();
        if let Some([month, ..]) = next.filter(|[month, ..]| *month <= month_of(day - 1)) {
            for table in [Table::Runs, Table::Crosses] {
                rows.remove_of(table, month, &[subject], i64::MIN..day * QUARTERS).await?;
            }
            return Ok(Next::On(Progress { key: [month + 1, 0, 0], ..deletion.at }));
        }
        recent(rows, subject, EARLIEST..day).await?;
        return Ok(Next::On(Progress { key: LEAST, number: deletion.at.number + 1 }));
    }
    let of_domain = domain.0.into();
    rows.remove(Table::Totals, [of_domain, i64::MIN, 0], [of_domain, day * QUARTERS, 0]).await?;
    let first =
        rows.keys(Table::Unknown, deletion.at.key, MOST, 1).await?.pop().map_or(i64::MAX, |key| key[0]);
    let before = day * (DAY / HOUR);
    if first >= before {
        return Ok(Next::Stage(Stage::Raw));
    }
    let end = before.min(first + HOURS);
    unknown(rows, domain, first..end).await?;
    Ok(Next::On(Progress { key: [end, i64::MIN, 0], ..deletion.at }))
}

async fn unknown<R: ClickRows>(rows: &R, domain: DomainId, hours: Range<i64>) -> Result<(), R::Fault> {
    let keys: Vec<CellKey> = hours.map(|hour| [hour, domain.0.into(), 0]).collect();
    rows.remove_keys(Table::Unknown, &keys).await
}

/// What a subject has of days that are not packed yet.
async fn recent<R: ClickRows>(rows: &R, subject: i64, days: Range<i64>) -> Result<(), R::Fault> {
    for day in unpacked_days(rows, (days.start, days.end)).await? {
        let quarters = day * QUARTERS..(day + 1) * QUARTERS;
        let keys: Vec<CellKey> = quarters.map(|quarter| [quarter, subject, 0]).collect();
        rows.remove_keys(Table::Recent, &keys).await?;
        rows.remove_keys(Table::RecentVisitors, &[[day, subject, 0]]).await?;
    }
    Ok(())
}

/// Rewrites one row of single clicks.
async fn raw<R: ClickRows>(rows: &R, deletion: &Deletion) -> Result<Next, R::Fault> {
    let head = rows.raw(deletion.at.number, 1).await?.pop().filter(|head| head.first < deletion.end.click);
    let Some(head) = head else { return Ok(Next::Stage(Stage::Folding)) };
    if deletion.so_far || head.first_at < deletion.cut {
        let mut batch = decoded(&rows.raw_value(&head).await?)?;
        let all = batch.clicks.len();
        let mut places = head.first + head.span - all as u64..;
        let deleted = Deletions::of(deletion.clone());
        batch.clicks.retain(|click| {
            let place = places.next().unwrap_or_default();
            !deleted.has_single(place, click)
        });
        if batch.clicks.is_empty() {
            rows.remove_raw(&head).await?;
        } else if batch.clicks.len() < all {
            put_raw(rows, head.first, head.span, head.day, &batch).await?;
        }
    }
    Ok(Next::On(Progress { number: head.first + head.span, ..deletion.at }))
}

const _: () =
    assert!(age::QUARTERS_KEPT > 40, "a deletion finds the quarters of what an edge may still send");
