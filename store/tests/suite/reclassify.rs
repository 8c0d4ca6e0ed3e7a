//! Clicks that earlier lists of agents classed are put into the classes of these: as if they had been classed so from the
//! beginning, and no click is made or lost.

use super::world::{DAY, DOMAIN, Edge, Folder, HOUR, MINUTE, START, click, each, fold, killed, of, tidy};
use clicks::batch::AgentText;
use clicks::{Agents, CLASSIFIER, Click, Country, Kind, anew, hash};
use link::{DomainId, Seq};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::LazyLock;
use store::port::Repository;
use store::port::clicks::{
    ClickDeletion, ClickFilter, ClickGroup, ClickQuestion, ClickStore, CountRow, RawClick, RawQuestion,
    Reclassified, TopQuestion,
};
use store::sqlite::{Options, Sqlite};

/// The version of the lists of before.
const OLD: u16 = CLASSIFIER - 1;
const QUARTER: i64 = 15 * MINUTE;
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const CHROME: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36";
const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
const TWITTERBOT: &str = "Twitterbot/1.0";
const TEXTS: [&str; 4] = [FIREFOX, CHROME, GOOGLEBOT, TWITTERBOT];

static AGENTS: LazyLock<Agents> = LazyLock::new(Agents::new);

/// A click as lists of before classed it: `text` is one of [`TEXTS`], or its text is not kept.
fn old(uid: Seq, at: i64, kind: Kind, text: &str) -> Click {
    Click { kind, agent: hash(text.as_bytes()), browser: "Mosaic".into(), ..click(uid, at) }
}

/// The same as these lists class it.
fn new(click: &Click) -> Click {
    let text = TEXTS.into_iter().find(|text| hash(text.as_bytes()) == click.agent);
    let text = text.or((click.agent == 0).then_some(""));
    text.and_then(|text| anew(click, &AGENTS.classify(text))).unwrap_or_else(|| click.clone())
}

/// Sends clicks that are classed by a version, with the texts of agents that are kept.
fn send(edge: &mut Edge, store: &dyn ClickStore, classifier: u16, clicks: Vec<Click>, now: i64) {
    let offered = edge.batch(|batch| {
        batch.classifier = classifier;
        batch.clicks = clicks;
        batch.agents =
            TEXTS.map(|text| AgentText { hash: hash(text.as_bytes()), text: text.to_owned() }).to_vec();
    });
    store.append(&[offered], now).unwrap();
}

/// All of it.
fn reclassify(store: &dyn ClickStore, now: i64) -> Reclassified {
    let mut done = Reclassified { next: Some(0), ..Reclassified::default() };
    while let Some(place) = done.next {
        done += store.reclassify(&AGENTS, place, now).unwrap();
    }
    done
}

fn raw(store: &dyn ClickStore) -> Vec<RawClick> {
    let asked = RawQuestion { until: i64::MAX, most: usize::MAX, ..RawQuestion::default() };
    store.raw(&asked).unwrap().clicks
}

/// What is answered to questions of every form: of a domain, of its links, by lists.
fn answers(store: &dyn ClickStore) -> Vec<(String, Vec<CountRow>, u64)> {
    use ClickGroup::{
        Browser, Country as ByCountry, Device, Kind as ByKind, Language, Link, Os, Referrer, Time,
    };
    let times: Vec<i64> = (0..=80).map(|part| START + part * 6 * HOUR).collect();
    let bots = ClickFilter { kinds: vec![Kind::Bot], ..ClickFilter::default() };
    let linux = ClickFilter { oses: vec!["Linux".into()], ..ClickFilter::default() };
    let mut all = Vec::new();
    for groups in [
        vec![],
        vec![ByKind],
        vec![Time, ByKind],
        vec![Browser, Referrer],
        vec![Browser],
        vec![ByCountry, ByKind],
        vec![Os, Device],
        vec![Referrer],
        vec![Language, ByKind],
        vec![Link, ByKind],
        vec![Link],
    ] {
        for filter in [ClickFilter::default(), bots.clone(), linux.clone()] {
            for links in [None, Some(vec![5]), Some(vec![5, 6, 7])] {
                let times = if groups.contains(&Time) { times.clone() } else { Vec::new() };
                let called = format!("{groups:?} {filter:?} {links:?}");
                let asked = ClickQuestion {
                    filter: filter.clone(),
                    groups: groups.clone(),
                    times,
                    most: 100_000,
                    ..of(links)
                };
                let answer = store.counts(&asked).unwrap();
                all.push((called, answer.groups, answer.total));
            }
        }
    }
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_total()) {
        for hours in [13, 24, 10 * 24, 20 * 24] {
            let (from, until) = (START, START + hours * HOUR);
            let asked = TopQuestion { domain: DOMAIN, from, until, kinds: vec![kind], links: None, most: 99 };
            let answer = store.top_links(&asked).unwrap();
            let row = |link: &store::port::clicks::LinkCount| CountRow {
                keys: vec![store::port::clicks::GroupKey::Link(link.uid)],
                count: link.count,
            };
            let called = format!("top {kind:?} {hours}");
            all.push((called, answer.links.iter().map(row).collect(), answer.total));
        }
    }
    all
}

/// That both answer the same to everything.
fn same(store: &dyn ClickStore, reference: &dyn ClickStore, when: &str) {
    for (own, want) in answers(store).into_iter().zip(answers(reference)) {
        assert_eq!(own, want, "{when}");
    }
}

/// Clicks of every kind, by agents whose class is another one now, the same, or not known.
fn varied(uid: Seq, day: i64, count: usize) -> Vec<Click> {
    let of = |number: usize| {
        let at = START + day * DAY + (number as i64 * 7 % 96) * QUARTER + number as i64;
        let kind = Kind::ALL[number % 6];
        let text = [FIREFOX, CHROME, GOOGLEBOT, TWITTERBOT, "its text is not kept"][number / 6 % 5];
        Click {
            country: Country(if number.is_multiple_of(3) { *b"FR" } else { *b"DE" }),
            referrer: format!("{}.example", number % 11).as_str().into(),
            ..old(uid, at, kind, text)
        }
    };
    (0..count).map(of).collect()
}

#[test]
fn counts_are_as_if_clicks_had_been_classed_so_from_the_beginning() {
    each(|store, other| {
        let folder = Folder::new();
        let (reference, now) = (folder.sqlite(), START + 6 * DAY + 2 * HOUR);
        let mut edges = [Edge::new("eu-1", 9), Edge::new("eu-1", 9)];
        let mut both = |classifier: u16, clicks: Vec<Click>| {
            let anew: Vec<Click> = clicks.iter().map(new).collect();
            send(&mut edges[0], store, classifier, clicks, now);
            send(&mut edges[1], reference.clicks(), CLASSIFIER, anew, now);
        };
        // Two days that will be packed, many links among them.
        for day in [0, 1] {
            both(OLD, [varied(5, day, 300), varied(6, day, 40)].concat());
            both(OLD, (7..400).map(|uid| old(uid, START + day * DAY, Kind::Human, GOOGLEBOT)).collect());
        }
        for own in [store, reference.clicks()] {
            fold(own, now);
            tidy(own, now);
        }
        // Late clicks beside them, a day that is not over, and some that these lists have classed.
        both(OLD, varied(5, 1, 100));
        both(OLD, varied(6, 6, 90));
        both(CLASSIFIER, varied(7, 6, 30).iter().map(new).collect());
        for own in [store, reference.clicks()] {
            fold(own, now);
        }
        let (total, places) = (store.counts(&of(None)).unwrap().total, raw(store));
        let done = reclassify(other, now);
        assert_eq!((done.missing, done.newer), (0, 0));
        assert_eq!(done.clicks, 2 * (300 + 40 + 393) + 100 + 90);
        assert_eq!(done.since, Some(START + 6 * DAY + 5 * MINUTE));
        let mut changes: BTreeMap<(Kind, Kind), u64> = BTreeMap::new();
        for was in places.iter().map(|raw| &raw.click) {
            let now = new(was);
            if now.kind != was.kind {
                *changes.entry((was.kind, now.kind)).or_default() += 1;
            }
        }
        assert!(changes.len() > 5);
        assert_eq!(done.changes, changes);
        assert_eq!(store.counts(&of(None)).unwrap().total, total, "none is made or lost");
        same(store, reference.clicks(), "late clicks are not packed");
        let single = raw(store);
        assert_eq!(single.len(), places.len());
        for (own, was) in single.iter().zip(&places) {
            let want = RawClick { classifier: CLASSIFIER, click: new(&was.click), place: was.place };
            assert_eq!(*own, want);
        }
        let again = reclassify(store, now);
        assert_eq!((again.clicks, again.changes.len(), again.renamed, again.unknown), (0, 0, 0, 0));
        for own in [store, reference.clicks()] {
            tidy(own, now);
        }
        same(store, reference.clicks(), "late clicks are packed");
        for own in [store, reference.clicks()] {
            tidy(own, START + 200 * DAY);
        }
        same(store, reference.clicks(), "aged");
    });
}

/// A run that is large has its sums by one dimension each, and its whole roll-ups in another row.
#[test]
fn large_roll_ups_are_mended_in_both_of_their_rows() {
    each(|store, _| {
        let folder = Folder::new();
        let (reference, now) = (folder.sqlite(), START + 2 * DAY);
        let of = |number: usize| Click {
            browser: format!("b{}", number % 7).as_str().into(),
            os: format!("o{}", number / 7 % 30).as_str().into(),
            referrer: format!("{}.example", number / 210).as_str().into(),
            ..old(5, START, Kind::Human, if number.is_multiple_of(9) { GOOGLEBOT } else { "not kept" })
        };
        let clicks: Vec<Click> = (0..6_300).map(of).collect();
        let anew: Vec<Click> = clicks.iter().map(new).collect();
        send(&mut Edge::new("eu-1", 9), store, OLD, clicks, now);
        send(&mut Edge::new("eu-1", 9), reference.clicks(), CLASSIFIER, anew, now);
        for own in [store, reference.clicks()] {
            fold(own, now);
            tidy(own, now);
        }
        let done = reclassify(store, now);
        assert_eq!((done.changes, done.unknown), (BTreeMap::from([((Kind::Human, Kind::Bot), 700)]), 5_600));
        same(store, reference.clicks(), "packed");
    });
}

/// One transaction changes so many clicks; the rest of their row stays with the lists of before until the next.
#[test]
fn a_large_row_is_done_in_parts_and_each_click_keeps_its_place() {
    each(|store, other| {
        let mut edge = Edge::new("eu-1", 9);
        let now = START + HOUR;
        let clicks =
            (0..10_000).map(|number| old(number % 3 + 1, START + number as i64, Kind::Human, GOOGLEBOT));
        send(&mut edge, store, OLD, clicks.collect(), now);
        fold(store, now);
        let bots = || {
            let filter = ClickFilter { kinds: vec![Kind::Bot], ..ClickFilter::default() };
            store.counts(&ClickQuestion { filter, ..of(None) }).unwrap().total
        };
        let mut done = Reclassified { next: Some(0), ..Reclassified::default() };
        let mut steps = Vec::new();
        while let Some(place) = done.next {
            done += store.reclassify(&AGENTS, place, now).unwrap();
            steps.push(bots());
            // Others take, fold and tidy between two steps.
            send(&mut edge, other, CLASSIFIER, vec![new(&old(9, now, Kind::Bot, FIREFOX))], now);
            fold(other, now);
            tidy(other, now);
            assert_eq!(other.counts(&of(None)).unwrap().total, 10_000 + steps.len() as u64);
        }
        assert_eq!(done.changes, BTreeMap::from([((Kind::Human, Kind::Bot), 10_000)]));
        assert!(steps.len() > 3 && steps[0] < steps[1] && steps[1] < 10_000, "{steps:?}");
        tidy(store, now + DAY);
        let single = raw(store);
        assert!(single.iter().map(|raw| raw.place).eq(1..=single.len() as u64), "{}", single.len());
        assert!(single.iter().all(|raw| raw.classifier == CLASSIFIER));
        assert!(single.iter().filter(|raw| raw.click.kind == Kind::Bot).map(|raw| raw.click.at).is_sorted());
    });
}

#[test]
fn what_is_not_known_stays_and_is_told() {
    each(|store, _| {
        let mut edge = Edge::new("eu-1", 9);
        let now = START + HOUR;
        let none = Click { agent: 0, ..old(5, START, Kind::Human, "") };
        let kept = vec![old(5, START, Kind::Human, "not kept"), old(5, START, Kind::Repeat, "not kept")];
        send(&mut edge, store, OLD, [kept.clone(), vec![none]].concat(), now);
        let newer = old(5, START, Kind::Human, GOOGLEBOT);
        send(&mut edge, store, CLASSIFIER + 1, vec![newer.clone()], now);
        fold(store, now);
        let done = reclassify(store, now);
        assert_eq!((done.clicks, done.unknown, done.newer, done.missing), (3, 2, 1, 0));
        assert_eq!(
            done.changes,
            BTreeMap::from([((Kind::Human, Kind::Bot), 1)]),
            "none was given: a program's"
        );
        let single = raw(store);
        assert_eq!((&single[0].click, &single[1].click, &single[3].click), (&kept[0], &kept[1], &newer));
        assert_eq!(single[3].classifier, CLASSIFIER + 1);
    });
}

#[test]
fn visitors_come_with_clicks_that_are_people_s_now_and_none_is_taken_away() {
    for packed in [false, true] {
        each(|store, _| {
            let mut edge = Edge::new("eu-1", 9);
            let now = START + 2 * DAY;
            let visit = |visitor, kind, text| Click { visitor, ..old(5, START, kind, text) };
            let clicks = vec![
                visit(1, Kind::Human, FIREFOX),
                visit(2, Kind::Bot, FIREFOX),
                visit(3, Kind::Human, GOOGLEBOT),
                visit(4, Kind::Head, FIREFOX),
            ];
            send(&mut edge, store, OLD, clicks, now);
            fold(store, now);
            if packed {
                tidy(store, now);
            }
            let visitors = |links: Option<Vec<Seq>>| {
                let asked = ClickQuestion { visitors: true, ..of(links) };
                store.counts(&asked).unwrap().visitors.iter().map(|day| day.visitors).sum::<u64>()
            };
            assert_eq!((visitors(None), visitors(Some(vec![5]))), (2, 2));
            reclassify(store, now);
            assert_eq!((visitors(None), visitors(Some(vec![5]))), (3, 3), "packed: {packed}");
            tidy(store, now);
            assert_eq!((visitors(None), visitors(Some(vec![5]))), (3, 3), "packed: {packed}");
        });
    }
}

/// A row of single clicks may have some that no count has any more.
#[test]
fn what_is_deleted_is_not_counted_again() {
    each(|store, _| {
        let mut edge = Edge::new("eu-1", 9);
        let now = START + 3 * DAY;
        send(&mut edge, store, OLD, [varied(5, 0, 60), varied(6, 0, 60)].concat(), now);
        // More rows than a deletion clears at once.
        for number in 0..50 {
            send(&mut edge, store, OLD, vec![old(5, START + number, Kind::Human, GOOGLEBOT)], now);
            fold(store, now);
        }
        tidy(store, now);
        let deletion = ClickDeletion { domain: DOMAIN, links: Some(vec![5]), before: None };
        assert_eq!(store.delete_clicks(&deletion, now).unwrap(), 110);
        let done = reclassify(store, now);
        assert_eq!((done.clicks, done.missing), (60, 0));
        tidy(store, now);
        let total = |links| store.counts(&of(links)).unwrap().total;
        assert_eq!((total(None), total(Some(vec![5])), total(Some(vec![6]))), (60, 0, 60));
        assert_eq!(raw(store).len(), 60);
    });
}

#[test]
fn where_nothing_is_there_is_nothing_to_do() {
    each(|store, _| {
        assert_eq!(store.reclassify(&AGENTS, 0, START).unwrap(), Reclassified::default());
    });
}

/// One click of a case: link, domain, time, kind, agent.
fn drawn() -> impl Strategy<Value = Click> {
    let time = (0i64..4, 0i64..96, 0i64..9)
        .prop_map(|(day, quarter, ms)| START + day * DAY + quarter * QUARTER + ms);
    let texts = prop::sample::select(vec![FIREFOX, CHROME, GOOGLEBOT, TWITTERBOT, "not kept", ""]);
    (5u64..8, 3u32..5, time, 0usize..6, texts, 0u32..3).prop_map(|(uid, domain, at, kind, text, referrer)| {
        Click {
            // A link is of one domain.
            uid: uid + u64::from(domain) * 10 - 30,
            domain: DomainId(domain),
            referrer: format!("{referrer}.example").as_str().into(),
            agent: if text.is_empty() { 0 } else { hash(text.as_bytes()) },
            ..old(uid, at, Kind::ALL[kind], text)
        }
    })
}

/// What is done with a store between two batches.
#[derive(Clone, Copy, Debug)]
enum Work {
    Fold,
    Tidy,
    /// Some steps of it, and then it is left.
    Reclassify(usize),
}

fn works() -> impl Strategy<Value = Work> {
    prop_oneof![Just(Work::Fold), Just(Work::Tidy), (1usize..4).prop_map(Work::Reclassify)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    /// Whenever it is begun and left, beside whatever else is done: the sums are those of before at each moment, and at its
    /// end all counts are those of clicks that were classed so from the beginning.
    #[test]
    fn sums_agree_whenever_it_is_done(
        batches in prop::collection::vec((prop::collection::vec(drawn(), 1..30), 1i64..5, works()), 1..12)
    ) {
        let (folder, other) = (Folder::new(), Folder::new());
        let (store, reference) = (folder.sqlite(), other.sqlite());
        let (store, reference) = (store.clicks(), reference.clicks());
        let mut edges = [Edge::new("eu-1", 9), Edge::new("eu-1", 9)];
        let (mut sent, mut place) = (0, 0);
        for (clicks, day, work) in batches {
            let now = START + day * DAY + 3 * HOUR;
            sent += clicks.len() as u64;
            send(&mut edges[1], reference, CLASSIFIER, clicks.iter().map(new).collect(), now);
            send(&mut edges[0], store, OLD, clicks, now);
            match work {
                Work::Fold => fold(store, now),
                Work::Tidy => {
                    fold(store, now);
                    tidy(store, now);
                }
                Work::Reclassify(steps) => {
                    for _ in 0..steps {
                        let done = store.reclassify(&AGENTS, place, now).unwrap();
                        prop_assert_eq!(done.missing, 0);
                        place = done.next.unwrap_or(0);
                    }
                }
            }
            let domains = [DOMAIN, DomainId(4)].map(|domain| store.counts(&ClickQuestion { domain, ..of(None) }).unwrap().total);
            let links = [(DOMAIN, 5..8), (DomainId(4), 15..18)].map(|(domain, links)| {
                store.counts(&ClickQuestion { domain, ..of(Some(links.collect())) }).unwrap().total
            });
            prop_assert_eq!((domains.iter().sum::<u64>(), domains), (sent, links));
        }
        let now = START + 5 * DAY;
        for own in [store, reference] {
            fold(own, now);
        }
        let done = reclassify(store, now);
        prop_assert_eq!(done.missing, 0);
        same(store, reference, "not packed");
        for own in [store, reference] {
            tidy(own, now);
        }
        same(store, reference, "packed");
        prop_assert_eq!(reclassify(store, now).clicks, 0);
    }
}

/// Names the store to the process that is killed.
const STORE: &str = "LINKR_TEST_KILLED_RECLASSIFICATION";
const KILLS: usize = 12;
/// Rows of single clicks, each of which is one transaction.
const KILLED_ROWS: u64 = 160;

/// The process that is killed; it does nothing where nobody has named a store.
#[test]
fn reclassifies_until_it_is_killed() {
    let Some(path) = std::env::var_os(STORE).map(PathBuf::from) else { return };
    let store = Sqlite::open(&path, Options::default()).unwrap();
    let mut place = Some(0);
    while let Some(from) = place {
        let done = store.clicks().reclassify(&AGENTS, from, START + 6 * DAY).unwrap();
        println!("changed {}", done.changes.values().sum::<u64>());
        place = done.next;
    }
}

#[test]
fn a_kill_in_the_middle_leaves_each_click_counted_once_and_the_rest_is_done_behind_it() {
    let (folder, other) = (Folder::new(), Folder::new());
    let (reference, now) = (other.sqlite(), START + 6 * DAY);
    let total = {
        let store = folder.sqlite();
        let mut edges = [Edge::new("eu-1", 9), Edge::new("eu-1", 9)];
        for row in 0..KILLED_ROWS {
            let day = |days: u64| (row % days).cast_signed();
            let clicks = [varied(5, day(3), 40), varied(6 + row, day(6), 30)].concat();
            send(&mut edges[1], reference.clicks(), CLASSIFIER, clicks.iter().map(new).collect(), now);
            send(&mut edges[0], store.clicks(), OLD, clicks, now);
            fold(store.clicks(), now);
            if row == 30 {
                tidy(store.clicks(), now);
            }
        }
        fold(reference.clicks(), now);
        store.clicks().counts(&of(None)).unwrap().total
    };
    let mut in_the_middle = 0;
    for kill in 0..KILLS {
        let steps = killed("reclassify::reclassifies_until_it_is_killed", STORE, &folder, |lines| {
            let changed = lines.filter_map(|line| line.rsplit_once("changed ")?.1.parse::<u64>().ok());
            changed.take(1 + kill % 4).count()
        });
        println!("kill {kill} came after {steps} steps");
        let store = folder.sqlite();
        let versions: BTreeSet<u16> = raw(store.clicks()).iter().map(|click| click.classifier).collect();
        in_the_middle += usize::from(versions.len() == 2);
        let links: Vec<Seq> = (5..6 + KILLED_ROWS).collect();
        let of_links = store.clicks().counts(&of(Some(links))).unwrap().total;
        assert_eq!((store.clicks().counts(&of(None)).unwrap().total, of_links), (total, total));
    }
    let store = folder.sqlite();
    assert!(in_the_middle > 0, "it was done before any kill came");
    assert_eq!(reclassify(store.clicks(), now).missing, 0);
    same(store.clicks(), reference.clicks(), "behind the kills");
    assert_eq!(reclassify(store.clicks(), now).clicks, 0);
}
