//! Lists of the most clicked links say what the links' own counts say: for any range, whatever was folded, packed, deleted and
//! classed anew before, and in whatever order.

use super::world::{
    DAY, DOMAIN, Database, Edge, Folder, HOUR, LATER, MINUTE, START, click, each, fold, most_clicked, of,
    tidy,
};
use clicks::{Agents, Click, Kind};
use link::Seq;
use proptest::prelude::*;
use std::sync::LazyLock;
use store::port::Repository;
use store::port::clicks::{
    ClickDeletion, ClickFilter, ClickGroup, ClickQuestion, ClickStore, GroupKey, LinkCount, TopAnswer,
    TopQuestion,
};

/// Enough for counts of many links side by side in one list.
const LINKS: u64 = 160;
const KINDS: [Kind; 3] = [Kind::Human, Kind::Bot, Kind::Head];
/// As far as an edge may be behind.
const LATE: i64 = 40 * DAY;

static AGENTS: LazyLock<Agents> = LazyLock::new(Agents::new);

/// The list of some hours behind [`START`].
fn listed(store: &dyn ClickStore, (from, until): (i64, i64), kinds: &[Kind]) -> TopAnswer {
    let (from, until) = (START + from * HOUR, START + until * HOUR);
    let asked =
        TopQuestion { domain: DOMAIN, from, until, kinds: kinds.to_vec(), links: None, most: LINKS as usize };
    store.top_links(&asked).unwrap()
}

/// The same out of the counts of each link.
fn counted(store: &dyn ClickStore, (from, until): (i64, i64), kinds: &[Kind]) -> Vec<LinkCount> {
    let asked = ClickQuestion {
        from: START + from * HOUR,
        until: START + until * HOUR,
        filter: ClickFilter { kinds: kinds.to_vec(), ..ClickFilter::default() },
        groups: vec![ClickGroup::Link],
        ..of(Some((1..=LINKS).collect()))
    };
    let link = |key: &GroupKey| match key {
        GroupKey::Link(uid) => *uid,
        other => panic!("{other:?} is no link"),
    };
    let groups = store.counts(&asked).unwrap().groups;
    let mut links: Vec<LinkCount> =
        groups.iter().map(|row| LinkCount { uid: link(&row.keys[0]), count: row.count }).collect();
    links.sort_by_key(|link| (std::cmp::Reverse(link.count), link.uid));
    links
}

fn assert_is_counted(store: &dyn ClickStore, hours: (i64, i64), kinds: &[Kind], what: &str) {
    let (list, links) = (listed(store, hours, kinds), counted(store, hours, kinds));
    assert_eq!(list.links, links, "{what}: hours {hours:?} of {kinds:?}");
    assert_eq!(list.total, links.iter().map(|link| link.count).sum::<u64>(), "{what}");
    assert_eq!(list.clicked, links.len() as u64, "{what}");
}

#[test]
fn the_links_that_were_clicked_most_are_told_from_lists_of_any_length() {
    each(|store, _| {
        let mut edge = Edge::new("eu-1", 9);
        // Three weeks, a click an hour, and one link that takes a share of its own.
        let clicks: Vec<Click> = (0..21 * 24_i64)
            .flat_map(|hour| {
                let at = START + hour * HOUR + 17 * MINUTE;
                let bot = Click { kind: Kind::Bot, ..click(900, at) };
                [click(1 + hour as u64 % 50, at), click(700, at + MINUTE), bot]
            })
            .collect();
        for part in clicks.chunks(500) {
            edge.send(store, part.to_vec(), START + 22 * DAY);
        }
        let question = |from: i64, until: i64, kinds: &[Kind]| TopQuestion {
            domain: DOMAIN,
            from: START + from * HOUR,
            until: START + until * HOUR,
            kinds: kinds.to_vec(),
            links: None,
            most: 3,
        };
        let asked = [
            question(0, 21 * 24, &[Kind::Human]),
            question(5, 20 * 24 + 3, &[Kind::Human]),
            question(5, 20 * 24 + 3, &Kind::ALL),
            question(30, 31, &[Kind::Bot]),
            question(-5_000, -4_000, &[Kind::Human]),
            // 900 has clicks of bots alone, and nobody has 1 << 40, which is in no block that is kept in an array.
            TopQuestion {
                links: Some(vec![2, 900, 700, 2, 1 << 40]),
                ..question(0, 21 * 24, &[Kind::Human])
            },
        ];
        let answers = || asked.iter().map(|one| store.top_links(one).unwrap()).collect::<Vec<_>>();
        let before = answers();
        assert_eq!(
            before[0].links[..2],
            [LinkCount { uid: 700, count: 504 }, LinkCount { uid: 1, count: 11 }]
        );
        assert_eq!((before[0].total, before[0].clicked), (2 * 504, 51));
        assert_eq!(before[1].links[0], LinkCount { uid: 700, count: 478 });
        assert_eq!(before[2].links[1], LinkCount { uid: 900, count: 478 });
        assert_eq!(before[3].links, [LinkCount { uid: 900, count: 1 }]);
        assert_eq!(before[4].total, 0);
        assert_eq!(before[5].links, [LinkCount { uid: 700, count: 504 }, LinkCount { uid: 2, count: 11 }]);
        assert_eq!((before[5].total, before[5].clicked), (515, 2));
        fold(store, START + 22 * DAY);
        assert_eq!(answers(), before, "folded");
        tidy(store, LATER);
        assert_eq!(answers(), before, "packed");
        tidy(store, START + 200 * DAY);
        assert_eq!(answers()[0], before[0], "hours are gone, days are whole");
        let steps: Vec<i64> = answers().iter().map(|answer| answer.step).collect();
        assert_eq!(
            steps[..3],
            [HOUR, DAY, DAY],
            "days that begin before or end behind are counted as a whole"
        );
        let by_link = ClickQuestion { groups: vec![ClickGroup::Link], most: 2, ..of(None) };
        let answer = store.counts(&by_link).unwrap();
        let rows: Vec<_> = answer.groups.iter().map(|row| (row.keys[0].clone(), row.count)).collect();
        assert_eq!(rows, [(GroupKey::Link(700), 504), (GroupKey::Link(900), 504)]);
        assert!(answer.more);
    });
}

/// Found by the tests of deletions: the rows of one link and its domain are as many as are packed at once, and the lists of such a day were
/// never made.
#[test]
fn a_link_that_was_clicked_alone_is_in_the_list_of_its_day() {
    each(|store, _| {
        Edge::new("eu-1", 9).send(store, vec![click(5, START)], START);
        fold(store, START);
        let asked = most_clicked();
        for packed in [false, true] {
            if packed {
                tidy(store, START + 3 * DAY);
            }
            assert_eq!(store.top_links(&asked).unwrap().links, [LinkCount { uid: 5, count: 1 }], "{packed}");
        }
    });
}

/// What happens to a store.
#[derive(Clone, Debug)]
enum Act {
    /// So many hours go by, and so many clicks are sent, the oldest of them so many hours old.
    Send {
        hours: i64,
        clicks: u16,
        late: i64,
        seed: u64,
    },
    Fold,
    /// So many steps of upkeep.
    Tidy(u8),
    /// Of so many links from one on (0: of all of the domain) before so many days ago; `None`: all so far.
    Delete {
        first: Seq,
        links: Seq,
        days_ago: Option<i64>,
    },
    Reclassify,
}

fn act() -> impl Strategy<Value = Act> {
    let late = prop_oneof![3 => 1..30_i64, 1 => 1..LATE / HOUR];
    let send = (1..200_i64, 50..400_u16, late, any::<u64>());
    let delete = (1..LINKS, 0..60_u64, prop::option::of(0..60_i64));
    prop_oneof![
        8 => send.prop_map(|(hours, clicks, late, seed)| Act::Send { hours, clicks, late, seed }),
        4 => Just(Act::Fold),
        6 => (1..60_u8).prop_map(Act::Tidy),
        2 => delete.prop_map(|(first, links, days_ago)| Act::Delete { first, links, days_ago }),
        1 => Just(Act::Reclassify),
    ]
}

/// A store with the clicks of one edge.
struct World<'a> {
    store: &'a dyn ClickStore,
    edge: Edge,
    now: i64,
}

impl World<'_> {
    fn run(&mut self, act: &Act) {
        let (store, now) = (self.store, self.now);
        match *act {
            Act::Send { hours, clicks, late, seed } => {
                self.now += hours * HOUR;
                let mut numbers = seed;
                let mut below = |most: u64| {
                    numbers = numbers.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                    (numbers >> 33) % most
                };
                let clicks = (0..clicks).map(|_| {
                    let at = self.now - below((late * HOUR) as u64) as i64;
                    // Some are clicked most of the times.
                    let most = if below(3) == 0 { 4 } else { LINKS };
                    let kind = KINDS[below(8).min(2) as usize];
                    // Without an agent it is a program's by the lists of now.
                    Click { kind, agent: below(4).min(1) * 7, ..click(1 + below(most), at) }
                });
                let clicks: Vec<Click> = clicks.collect();
                let offered = self.edge.batch(|batch| {
                    (batch.classifier, batch.clicks) = (0, clicks);
                });
                store.append(&[offered], self.now).unwrap();
            }
            Act::Fold => fold(store, now),
            Act::Tidy(steps) => {
                let _ = (0..steps).take_while(|_| store.tidy(now).unwrap()).count();
            }
            Act::Delete { first, links, days_ago } => {
                let links = (links > 0).then(|| (first..(first + links).min(LINKS + 1)).collect());
                let before = days_ago.map(|days| now - days * DAY);
                store.delete_clicks(&ClickDeletion { domain: DOMAIN, links, before }, now).unwrap();
            }
            Act::Reclassify => {
                let mut next = Some(0);
                while let Some(place) = next {
                    next = store.reclassify(&AGENTS, place, now).unwrap().next;
                }
            }
        }
    }
}

/// Runs acts, and holds lists against counts behind each: of these parts of the time that has gone by, in thousandths.
fn run(store: &dyn ClickStore, acts: &[Act], ranges: &[(i64, i64)]) {
    let mut world = World { store, edge: Edge::new("eu-1", 9), now: START };
    let begin = -LATE / HOUR;
    for (at, act) in acts.iter().enumerate() {
        world.run(act);
        let all = (world.now - START) / HOUR + 1 - begin;
        let (one, other) = ranges[at % ranges.len()];
        // Hours are kept for 90 days.
        let old = (world.now - START) / HOUR - 80 * 24;
        let hour = |part: i64| match begin + all * part / 1_000 {
            hour if hour < old => hour - hour.rem_euclid(24),
            hour => hour,
        };
        for hours in [(hour(one.min(other)), hour(one.max(other))), (begin, begin + all)] {
            assert_is_counted(store, hours, &KINDS[at % 2..=at % 2], &format!("{at} {act:?}"));
        }
    }
    let all = (begin, (world.now - START) / HOUR + 1);
    fold(store, world.now);
    assert_is_counted(store, all, &KINDS, "folded");
    tidy(store, world.now + DAY);
    assert_is_counted(store, all, &KINDS, "tidied");
}

fn acts(most: usize) -> impl Strategy<Value = (Vec<Act>, Vec<(i64, i64)>)> {
    (prop::collection::vec(act(), 10..most), prop::collection::vec((0..1_000_i64, 0..1_000_i64), 1..12))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_list_is_what_the_links_count_whatever_was_done_before_on_sqlite((acts, ranges) in acts(40)) {
        let folder = Folder::new();
        run(folder.sqlite().clicks(), &acts, &ranges);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_list_is_what_the_links_count_whatever_was_done_before_on_postgres((acts, ranges) in acts(25)) {
        if let Some(db) = Database::new() {
            run(db.open().clicks(), &acts, &ranges);
        }
    }
}

/// A click of each link on each of so many days.
fn daily(store: &dyn ClickStore, edge: &mut Edge, days: std::ops::Range<i64>) {
    let now = START + days.end * DAY;
    for day in days {
        let clicks = (1..=LINKS).flat_map(|uid| vec![click(uid, START + day * DAY); 1 + uid as usize % 3]);
        edge.send(store, clicks.collect(), now);
    }
    fold(store, now);
    tidy(store, now + 2 * DAY);
}

#[test]
fn late_clicks_and_what_is_left_by_a_deletion_are_in_lists_of_four_weeks() {
    each(|store, _| {
        let (mut edge, all) = (Edge::new("eu-1", 9), (0, 70 * 24));
        daily(store, &mut edge, 0..70);
        assert_is_counted(store, all, &[Kind::Human], "packed");
        // 39 days late: nothing is packed yet, then everything is.
        let now = START + 72 * DAY;
        edge.send(store, vec![click(5, START + 33 * DAY); 9], now);
        fold(store, now);
        assert_is_counted(store, all, &[Kind::Human], "folded");
        tidy(store, now);
        assert_is_counted(store, all, &[Kind::Human], "late ones are packed");
        assert_eq!(listed(store, all, &[Kind::Human]).links[0], LinkCount { uid: 5, count: 70 * 3 + 9 });
        // A deletion of many links is not done at once. It cuts lists of four weeks and weeks in two.
        let links = Some((20..=100).collect());
        let asked = ClickDeletion { domain: DOMAIN, links, before: Some(START + 40 * DAY) };
        store.delete_clicks(&asked, now).unwrap();
        let mut steps = 0;
        loop {
            if steps % 8 == 0 {
                assert_is_counted(store, all, &[Kind::Human], "deleted");
            }
            if !store.tidy(now).unwrap() {
                break;
            }
            steps += 1;
        }
        assert!(steps > 10, "{steps}: it was done at once");
        let left = |uid: Seq| if (20..=100).contains(&uid) { 30 } else { 70 } * (1 + uid % 3) + if uid == 5 { 9 } else { 0 };
        assert_eq!(listed(store, all, &[Kind::Human]).total, (1..=LINKS).map(left).sum::<u64>());
    });
}

/// A control of an earlier version writes lists of weeks and knows none of four weeks.
#[test]
fn who_writes_a_list_of_a_week_need_not_know_that_there_are_lists_of_four() {
    let folder = Folder::new();
    let store = folder.sqlite();
    daily(store.clicks(), &mut Edge::new("eu-1", 9), 0..70);
    let marks = || {
        let file = rusqlite::Connection::open(folder.0.join("linkr.db.clicks")).unwrap();
        file.query_row("SELECT count(*) FROM lists WHERE list >= 56", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let all = marks();
    assert!(all > 0);
    let all_hours = (0, 70 * 24);
    let whole = listed(store.clicks(), all_hours, &[Kind::Human]);
    let file = rusqlite::Connection::open(folder.0.join("linkr.db.clicks")).unwrap();
    for (sql, left) in [
        ("UPDATE lists SET value = value WHERE list = 32 AND period = 2969", all - 1),
        (
            "INSERT INTO lists SELECT 33, period, domain, value FROM lists WHERE list = 32 AND period = 2969",
            all - 2,
        ),
        ("DELETE FROM lists WHERE list = 33 AND period = 2969", all - 2),
        ("UPDATE lists SET value = value WHERE list < 24", all - 2),
    ] {
        file.execute(sql, []).unwrap();
        assert_eq!(marks(), left, "{sql}");
        assert_eq!(listed(store.clicks(), all_hours, &[Kind::Human]), whole, "{sql}");
    }
    tidy(store.clicks(), START + 73 * DAY);
    assert_eq!((marks(), listed(store.clicks(), all_hours, &[Kind::Human])), (all, whole));
}
