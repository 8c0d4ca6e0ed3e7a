//! The answer to a question about counts of clicks: rows in an order that people read, what was left out, what is missing.
//! No store is asked here.

use super::events::Codes;
use super::question::{DAY, Inquiry};
use super::spans::QUARTER;
use clicks::ask::ClickGroup;
use link::Seq;
use proto::v1;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use store::port::clicks::{ClickAnswer, CountRow, DayVisitors, GroupKey, LossRow, SplitAnswer, TopAnswer};
use store::wire;

/// Rows of losses in one answer.
const LOSSES: usize = 1_000;
/// Milliseconds.
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// What the store has counted.
#[derive(Debug, Default)]
pub struct Counted {
    groups: Vec<CountRow>,
    total: u64,
    visitors: Vec<DayVisitors>,
    splits: Vec<SplitAnswer>,
    /// Milliseconds of the longest span that it was counted by.
    step: i64,
    /// From when on clicks may lack that control has.
    left_out: Option<i64>,
}

impl Counted {
    /// Counts of whatever was asked for.
    pub fn of(answer: ClickAnswer) -> Self {
        let ClickAnswer { groups, total, visitors, more: _, splits, step, left_out } = answer;
        Self { groups, total, visitors, splits, step, left_out }
    }

    /// Counts of the links that were clicked most.
    pub fn of_top(answer: TopAnswer) -> Self {
        let group = |link: store::port::clicks::LinkCount| CountRow {
            keys: vec![GroupKey::Link(link.uid)],
            count: link.count,
        };
        let groups = answer.links.into_iter().map(group).collect();
        Self { groups, total: answer.total, step: answer.step, left_out: answer.left_out, ..Self::default() }
    }

    /// Up to when it is complete, where edges have handed on everything up to a time.
    pub fn complete_until(&self, handed_on: i64) -> i64 {
        self.left_out.map_or(handed_on, |left_out| left_out.min(handed_on))
    }

    /// The links among its keys.
    pub fn uids(&self) -> Vec<Seq> {
        let keys = self.groups.iter().flat_map(|group| &group.keys);
        let mut uids: Vec<Seq> =
            keys.filter_map(|key| if let GroupKey::Link(uid) = key { Some(*uid) } else { None }).collect();
        uids.sort_unstable();
        uids.dedup();
        uids
    }
}

/// The whole answer.
pub fn told(
    inquiry: &Inquiry,
    counted: Counted,
    losses: &[LossRow],
    codes: &Codes,
    complete_until: Option<i64>,
) -> v1::QueryClicksResponse {
    let Counted { groups, total, visitors, splits, step, left_out: _ } = counted;
    let rows = rows(inquiry, groups);
    let shown = rows.iter().fold(0_u64, |sum, row| sum.saturating_add(row.count));
    let left_out = if inquiry.groups.is_empty() { 0 } else { total.saturating_sub(shown) };
    let of_days = |from: i64, until: i64| {
        let within = visitors.iter().filter(|own| (from..until).contains(&(own.day * DAY)));
        within.map(|own| own.visitors).sum::<u64>()
    };
    let in_days =
        inquiry.groups == [ClickGroup::Time] && inquiry.times.iter().all(|at| at.rem_euclid(DAY) == 0);
    let end = |start: i64| inquiry.times.iter().copied().find(|next| *next > start).unwrap_or(inquiry.until);
    let row = |row: CountRow| {
        let of_row = match row.keys.first() {
            Some(GroupKey::Time(start)) if in_days && !visitors.is_empty() => {
                Some(of_days(*start, end(*start)))
            }
            _ => None,
        };
        let keys = row.keys.iter().map(|key| text(inquiry, codes, key)).collect();
        v1::ClickRow { keys, count: row.count, visitors: of_row }
    };
    let (losses, lost) = lost(losses);
    v1::QueryClicksResponse {
        total,
        other: left_out,
        visitors: (!visitors.is_empty()).then(|| visitors.iter().map(|own| own.visitors).sum()),
        complete_until: complete_until.map(wire::timestamp),
        lost,
        losses,
        start_time: Some(wire::timestamp(inquiry.from)),
        end_time: Some(wire::timestamp(inquiry.until)),
        kept_seconds: u32::try_from(step.max(QUARTER) / 1_000).unwrap_or(u32::MAX),
        rows: rows.into_iter().map(row).collect(),
        splits: inquiry
            .splits
            .iter()
            .zip(splits)
            .map(|(split, answer)| told_split(inquiry, &split.name, answer, codes))
            .collect(),
    }
}

/// One of its splits, whose rows the store gives in the order in which they are shown.
fn told_split(inquiry: &Inquiry, name: &str, answer: SplitAnswer, codes: &Codes) -> v1::ClickSplit {
    let shown = answer.groups.iter().fold(0_u64, |sum, row| sum.saturating_add(row.count));
    let row = |row: CountRow| v1::ClickRow {
        keys: row.keys.iter().map(|key| text(inquiry, codes, key)).collect(),
        count: row.count,
        visitors: None,
    };
    v1::ClickSplit {
        group_by: name.to_owned(),
        total: answer.total,
        other: answer.total.saturating_sub(shown),
        rows: answer.groups.into_iter().map(row).collect(),
    }
}

/// The rows in the order in which they are shown: of time every span, and of anything else the most frequent first, as the store
/// gives it.
fn rows(inquiry: &Inquiry, mut groups: Vec<CountRow>) -> Vec<CountRow> {
    let by = &inquiry.groups[..];
    if by.is_empty() {
        return Vec::new();
    }
    if by == [ClickGroup::Time] {
        let counts: HashMap<GroupKey, u64> = groups
            .into_iter()
            .filter_map(|group| Some((group.keys.into_iter().next()?, group.count)))
            .collect();
        let row = |start: &i64| {
            let key = GroupKey::Time(*start);
            CountRow { count: counts.get(&key).copied().unwrap_or(0), keys: vec![key] }
        };
        return inquiry.times.iter().map(row).collect();
    }
    let time = by.iter().position(|group| *group == ClickGroup::Time);
    let Some(time) = time else { return groups };
    // The same values in every span: whoever draws lines has whole ones.
    let other = 1 - time;
    let mut sums: HashMap<&GroupKey, u64> = HashMap::new();
    for group in &groups {
        *sums.entry(&group.keys[other]).or_default() += group.count;
    }
    let mut sums: Vec<(&GroupKey, u64)> = sums.into_iter().collect();
    sums.sort_by(|a, b| (Reverse(a.1), a.0).cmp(&(Reverse(b.1), b.0)));
    let places: HashMap<GroupKey, usize> =
        sums.into_iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect();
    groups.sort_by(|a, b| {
        let place = |group: &CountRow| places.get(&group.keys[other]).copied();
        let span = a.keys[time].cmp(&b.keys[time]);
        span.then(b.count.cmp(&a.count)).then(place(a).cmp(&place(b)))
    });
    groups
}

fn text(inquiry: &Inquiry, codes: &Codes, key: &GroupKey) -> String {
    match key {
        GroupKey::Time(at) => inquiry.zone.shown(*at),
        GroupKey::Text(text) if text.is_empty() => "-".to_owned(),
        GroupKey::Text(text) => text.to_string(),
        GroupKey::Kind(kind) => kind.label().to_owned(),
        GroupKey::Link(uid) => codes.of(*uid).to_string(),
    }
}

/// What was lost, by hours, edges and reasons, and all of it together.
fn lost(rows: &[LossRow]) -> (Vec<v1::ClickLoss>, u64) {
    let mut hours: BTreeMap<(i64, &str, &str), u64> = BTreeMap::new();
    for row in rows {
        let hour = row.minute.div_euclid(60) * HOUR;
        let sum = hours.entry((hour, &*row.edge, row.reason.label())).or_default();
        *sum = sum.saturating_add(row.count);
    }
    let lost = hours.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let told = hours.into_iter().take(LOSSES).map(|((hour, edge, reason), count)| v1::ClickLoss {
        edge: edge.to_owned(),
        reason: reason.to_owned(),
        time: Some(wire::timestamp(hour)),
        count,
    });
    (told.collect(), lost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clicks::{Kind, LossReason};

    const START: i64 = 20_000 * DAY;

    fn inquiry(group_by: &[&str], limit: i32) -> Inquiry {
        let at = |ms: i64| Some(wire::timestamp(ms));
        let request = v1::QueryClicksRequest {
            start_time: at(START),
            end_time: at(START + 3 * DAY),
            group_by: group_by.iter().map(|&name| name.to_owned()).collect(),
            limit,
            ..v1::QueryClicksRequest::default()
        };
        Inquiry::parse(&request, START).unwrap()
    }

    fn group(keys: &[GroupKey], count: u64) -> CountRow {
        CountRow { keys: keys.to_vec(), count }
    }

    fn country(text: &str) -> GroupKey {
        GroupKey::Text(text.into())
    }

    fn shown(answer: &v1::QueryClicksResponse) -> Vec<String> {
        answer.rows.iter().map(|row| format!("{} {}", row.keys.join(" "), row.count)).collect()
    }

    fn told_of(inquiry: &Inquiry, counted: Counted) -> v1::QueryClicksResponse {
        told(inquiry, counted, &[], &Codes::default(), Some(START))
    }

    #[test]
    fn a_day_without_clicks_is_a_row_and_days_have_their_visitors() {
        let groups = vec![group(&[GroupKey::Time(START + DAY)], 5)];
        let visitors = vec![DayVisitors { day: 20_001, visitors: 3 }];
        let counted = Counted { groups, total: 5, visitors, step: QUARTER, ..Counted::default() };
        let answer = told_of(&inquiry(&["day"], 0), counted);
        assert_eq!(
            shown(&answer),
            ["2024-10-04T00:00:00Z 0", "2024-10-05T00:00:00Z 5", "2024-10-06T00:00:00Z 0"]
        );
        assert_eq!(
            answer.rows.iter().map(|row| row.visitors).collect::<Vec<_>>(),
            [Some(0), Some(3), Some(0)]
        );
        assert_eq!((answer.visitors, answer.other, answer.kept_seconds), (Some(3), 0, 900));
    }

    #[test]
    fn what_the_limit_leaves_out_is_added_up() {
        let groups = vec![group(&[country("DE")], 9), group(&[country("")], 7), group(&[country("CH")], 7)];
        let answer = told_of(&inquiry(&["country"], 3), Counted { groups, total: 24, ..Counted::default() });
        assert_eq!(shown(&answer), ["DE 9", "- 7", "CH 7"]);
        assert_eq!((answer.other, answer.visitors), (1, None));
    }

    #[test]
    fn a_split_has_its_own_total_and_what_its_limit_leaves_out() {
        let request = v1::QueryLinkClicksRequest {
            splits: vec!["country".into()],
            ..v1::QueryLinkClicksRequest::default()
        };
        let inquiry = Inquiry::of_link(&request, START).unwrap();
        let splits = vec![SplitAnswer { groups: vec![group(&[country("")], 7)], total: 9 }];
        let answer = told_of(&inquiry, Counted { total: 9, splits, ..Counted::default() });
        let [split] = &answer.splits[..] else { panic!("there is one") };
        assert_eq!((split.group_by.as_str(), split.total, split.other), ("country", 9, 2));
        assert_eq!((split.rows[0].keys[0].as_str(), split.rows[0].count), ("-", 7));
    }

    #[test]
    fn what_is_split_by_nothing_leaves_nothing_out() {
        let groups = vec![group(&[], 24)];
        let answer = told_of(&inquiry(&[], 0), Counted { groups, total: 24, ..Counted::default() });
        assert_eq!((answer.rows.len(), answer.total, answer.other), (0, 24, 0));
    }

    #[test]
    fn with_time_the_same_values_are_in_every_span() {
        let at = |day: i64| GroupKey::Time(START + day * DAY);
        let groups = vec![
            group(&[country("CH"), at(0)], 5),
            group(&[country("DE"), at(0)], 4),
            group(&[country("DE"), at(1)], 1),
        ];
        let answer =
            told_of(&inquiry(&["country", "day"], 2), Counted { groups, total: 14, ..Counted::default() });
        let (first, second) = ("2024-10-04T00:00:00Z", "2024-10-05T00:00:00Z");
        assert_eq!(
            shown(&answer),
            [format!("CH {first} 5"), format!("DE {first} 4"), format!("DE {second} 1")]
        );
        assert_eq!(answer.other, 4);
    }

    /// Found by review: behind 100,000 batches that were not folded an answer left out the rest, and said that it was complete.
    #[test]
    fn an_answer_that_leaves_clicks_out_is_complete_up_to_the_first_of_them() {
        let of = |left_out| Counted { left_out, ..Counted::default() }.complete_until(START);
        assert_eq!([None, Some(START + 1), Some(START - 1)].map(of), [START, START, START - 1]);
    }

    #[test]
    fn losses_are_told_by_the_hour() {
        let row = |minute, edge: &str, reason, count| LossRow { minute, edge: edge.into(), reason, count };
        let rows = [
            row(61, "a", LossReason::RingFull, 2),
            row(119, "a", LossReason::RingFull, 3),
            row(119, "b", LossReason::Restored, 4),
        ];
        let (told, lost) = lost(&rows);
        let told: Vec<_> = told
            .iter()
            .map(|own| (own.edge.as_str(), own.reason.as_str(), own.time.unwrap().seconds, own.count))
            .collect();
        assert_eq!(told, [("a", "ring_full", 3_600, 5), ("b", "restored", 3_600, 4)]);
        assert_eq!(lost, 9);
        // An edge may say what it likes of its own losses.
        let many = [row(61, "a", LossReason::Restored, u64::MAX), row(62, "b", LossReason::Restored, 1)];
        assert_eq!(super::lost(&many).1, u64::MAX);
        assert_eq!(text(&inquiry(&[], 0), &Codes::default(), &GroupKey::Kind(Kind::Bot)), "bot");
        assert_eq!(text(&inquiry(&[], 0), &Codes::default(), &GroupKey::Link(7)), "#7");
    }
}
