//! Clicks that are deleted: a deletion holds for what the store had taken, and for what was answered before it whenever it
//! comes.

use super::world::{DAY, DOMAIN, Edge, HOUR, MINUTE, START, click, each, fold, most_clicked, of, tidy};
use clicks::batch::{Loss, Total, UnknownCode};
use clicks::{Click, Country, Kind, LossReason};
use link::{DomainId, Seq};
use store::port::clicks::{
    AppendOutcome, ClickDeletion, ClickFilter, ClickGroup, ClickQuestion, ClickStore, CountRow, RawQuestion,
    TopQuestion, UnknownQuestion,
};

const QUARTER: i64 = 15 * MINUTE;

fn raw(store: &dyn ClickStore) -> Vec<Click> {
    let asked = RawQuestion { until: i64::MAX, most: 100_000, ..RawQuestion::default() };
    store.raw(&asked).unwrap().clicks.into_iter().map(|raw| raw.click).collect()
}

fn top(store: &dyn ClickStore) -> Vec<(Seq, u64)> {
    let asked = TopQuestion { until: START + 80 * DAY, most: 10, ..most_clicked() };
    store.top_links(&asked).unwrap().links.iter().map(|link| (link.uid, link.count)).collect()
}

fn clicks(store: &dyn ClickStore, uid: Seq) -> u64 {
    store.counts(&of(Some(vec![uid]))).unwrap().total
}

fn of_domain(store: &dyn ClickStore) -> u64 {
    store.counts(&of(None)).unwrap().total
}

fn link(uid: Seq) -> ClickDeletion {
    ClickDeletion { domain: DOMAIN, links: Some(vec![uid]), before: None }
}

fn domain() -> ClickDeletion {
    ClickDeletion { domain: DOMAIN, links: None, before: None }
}

/// A click in each quarter of a day.
fn all_day(uid: Seq, day: i64) -> Vec<Click> {
    (0..96).map(|quarter| click(uid, START + day * DAY + quarter * QUARTER)).collect()
}

#[test]
fn a_link_that_is_deleted_from_the_counts_is_in_none_from_then_on() {
    each(|store, _| {
        let mut edge = Edge::new("eu-1", 9);
        edge.send(store, [all_day(5, 0), all_day(6, 0)].concat(), START + DAY);
        fold(store, START + DAY);
        tidy(store, START + 2 * DAY);
        edge.send(store, all_day(5, 2), START + 3 * DAY);
        let now = START + 3 * DAY;
        // The first day, however late in it the moment is.
        let first = ClickDeletion { before: Some(START + DAY + 7 * HOUR), ..link(5) };
        assert_eq!(store.delete_clicks(&first, now).unwrap(), 96);
        let look = |store: &dyn ClickStore| {
            (clicks(store, 5), clicks(store, 6), of_domain(store), raw(store).len(), top(store))
        };
        assert_eq!(look(store), (96, 96, 192, 192, vec![(5, 96), (6, 96)]));
        tidy(store, now);
        assert_eq!(look(store), (96, 96, 192, 192, vec![(5, 96), (6, 96)]));
        // All so far.
        assert_eq!(store.delete_clicks(&link(5), now).unwrap(), 96);
        for tidied in [false, true] {
            if tidied {
                fold(store, now);
                tidy(store, now);
            }
            assert_eq!(
                look(store),
                (0, 96, if tidied { 96 } else { of_domain(store) }, 96, vec![(6, 96)]),
                "{tidied}"
            );
        }
        assert!(store.was_clicked(5).unwrap(), "its code is still not given to another link");
        edge.send(store, vec![click(5, now + HOUR)], now + HOUR);
        fold(store, now + HOUR);
        assert_eq!(clicks(store, 5), 1, "a click behind it counts");
        // The whole domain, and no other.
        let other = Click { domain: DomainId(4), ..click(9, START) };
        edge.send(store, vec![other.clone()], now + HOUR);
        assert_eq!(store.delete_clicks(&domain(), now + 2 * HOUR).unwrap(), 96 + 1);
        for tidied in [false, true] {
            if tidied {
                tidy(store, now + 2 * HOUR);
            }
            assert_eq!((clicks(store, 5), clicks(store, 6)), (0, 0), "{tidied}");
            assert_eq!((of_domain(store), top(store)), (0, vec![]), "{tidied}");
            assert_eq!(raw(store), std::slice::from_ref(&other), "{tidied}");
        }
        let elsewhere = ClickQuestion { domain: DomainId(4), ..of(None) };
        assert_eq!(store.counts(&elsewhere).unwrap().total, 1);
    });
}

/// Found by attack: the counts of a link were gone, and its visitors of today were told for ever.
#[test]
fn visitors_of_today_go_with_the_clicks_that_are_deleted() {
    each(|store, _| {
        let mut edge = Edge::new("eu-1", 9);
        let visit = |visitor, at| Click { visitor, ..click(5, at) };
        let visitors = || {
            let asked = ClickQuestion { visitors: true, ..of(Some(vec![5])) };
            store.counts(&asked).unwrap().visitors.iter().map(|day| day.visitors).sum::<u64>()
        };
        edge.send(store, vec![visit(1, START), visit(2, START)], START + MINUTE);
        fold(store, START + MINUTE);
        assert_eq!(visitors(), 2);
        let all = ClickDeletion { domain: DOMAIN, links: Some(vec![5]), before: None };
        assert_eq!(store.delete_clicks(&all, START + MINUTE).unwrap(), 2);
        tidy(store, START + 2 * MINUTE);
        assert_eq!(visitors(), 0);
        edge.send(store, vec![visit(2, START + HOUR)], START + HOUR);
        fold(store, START + HOUR);
        assert_eq!(visitors(), 1, "who comes later is counted");
    });
}

/// Found by review: what came in the rest of the quarter of an hour was in no count, and in the export all the same.
#[test]
fn what_comes_behind_a_deletion_in_the_same_quarter_of_an_hour_counts_everywhere() {
    for deletion in [link(5), domain()] {
        each(|store, other| {
            let mut edge = Edge::new("eu-1", 9);
            let now = START + 10 * HOUR + 7 * MINUTE;
            // One was answered by a clock that is ahead, one comes late, and one is not folded yet.
            edge.send(store, vec![click(5, now - MINUTE), click(5, now + 2 * MINUTE)], now);
            fold(store, now);
            edge.send(store, vec![click(5, now - 1)], now);
            assert_eq!(store.delete_clicks(&deletion, now).unwrap(), 3);
            edge.send(other, vec![click(5, now - 2), click(5, now), click(5, now + MINUTE)], now + MINUTE);
            let look = || (clicks(other, 5), of_domain(other), raw(other).len(), top(other));
            let want = (2, 2, 2, vec![(5, 2)]);
            assert_eq!(look(), want, "not folded");
            fold(store, now + MINUTE);
            assert_eq!(look(), want, "folded");
            tidy(store, now + 2 * MINUTE);
            assert_eq!(look(), want, "tidied");
            tidy(store, START + 3 * DAY);
            assert_eq!(look(), want, "packed");
        });
    }
}

/// Found by review: batches that were taken before a deletion and folded behind it brought deleted clicks back, and so did edges that
/// sent late or once more.
#[test]
fn no_click_that_was_answered_before_a_deletion_comes_back() {
    for deletion in [link(5), domain()] {
        each(|store, _| {
            let mut edge = Edge::new("eu-1", 9);
            let now = START + 20 * DAY + 3 * HOUR;
            edge.send(store, all_day(5, 0), now);
            fold(store, now);
            tidy(store, now);
            assert_eq!(store.delete_clicks(&deletion, now).unwrap(), 96);
            tidy(store, now);
            // An edge that was away, and one of whose spool a store that was put back lacks a part.
            let mut away = Edge::new("eu-2", 10);
            away.send(store, [all_day(5, 0), all_day(5, 19), all_day(5, 21)].concat(), now + 2 * DAY);
            let look = || (clicks(store, 5), of_domain(store), raw(store).len(), top(store));
            let want = (96, 96, 96, vec![(5, 96)]);
            assert_eq!(look(), want);
            fold(store, now + 2 * DAY);
            assert_eq!(look(), want);
            tidy(store, now + 3 * DAY);
            assert_eq!(look(), want);
            // Behind 41 days control takes no such time for true, and the deletion is forgotten.
            tidy(store, now + 42 * DAY);
            away.send(store, all_day(5, 0), now + 42 * DAY);
            assert_eq!(clicks(store, 5), 192);
        });
    }
}

fn by_everything(store: &dyn ClickStore) -> Vec<(Vec<CountRow>, u64)> {
    use ClickGroup::{Browser, Country as ByCountry, Kind as ByKind, Referrer, Time};
    let times: Vec<i64> = (0..=40).map(|day| START + day * DAY / 2).collect();
    let german = ClickFilter { countries: vec![Country(*b"DE")], ..ClickFilter::default() };
    let mut all = Vec::new();
    for groups in [vec![], vec![ByKind], vec![Time], vec![Browser, Referrer], vec![ByCountry], vec![Referrer]]
    {
        for filter in [ClickFilter::default(), german.clone()] {
            let times = if groups.contains(&Time) { times.clone() } else { Vec::new() };
            let answer =
                store.counts(&ClickQuestion { filter, groups: groups.clone(), times, ..of(None) }).unwrap();
            all.push((answer.groups, answer.total));
        }
    }
    all
}

/// Found by review: the sums of a domain kept the clicks of a link that was deleted.
#[test]
fn the_sums_of_a_domain_lose_the_clicks_of_a_link_that_is_deleted() {
    each(|store, _| {
        let mut edge = Edge::new("eu-1", 9);
        let varied = |uid: Seq, day: i64| {
            let of = |(at, click): (usize, Click)| Click {
                kind: [Kind::Human, Kind::Bot][at % 2],
                country: Country(if at % 3 == 0 { *b"FR" } else { *b"DE" }),
                browser: ["Firefox", "Chrome", ""][at % 3].into(),
                referrer: format!("{}.example", at % 11 + uid as usize % 2).as_str().into(),
                ..click
            };
            all_day(uid, day).into_iter().enumerate().map(of).collect::<Vec<_>>()
        };
        let now = START + 6 * DAY + 2 * HOUR;
        for day in [0, 1, 5, 6] {
            edge.send(store, varied(6, day), now);
        }
        let without = by_everything(store);
        for day in [0, 1] {
            edge.send(store, varied(5, day), now);
        }
        fold(store, now);
        tidy(store, now);
        // Late clicks lie beside a day that is packed.
        for day in [1, 5, 6] {
            edge.send(store, varied(5, day), now);
        }
        fold(store, now);
        assert_ne!(by_everything(store), without);
        assert_eq!(store.delete_clicks(&link(5), now).unwrap(), 5 * 96);
        tidy(store, now);
        assert_eq!(by_everything(store), without);
        tidy(store, START + 200 * DAY);
        assert_eq!(by_everything(store).len(), without.len());
        assert_eq!(of_domain(store), 4 * 96);
    });
}

/// Found by review: unknown codes of a domain outlived it.
#[test]
fn unknown_codes_and_totals_go_with_their_domain() {
    each(|store, _| {
        let mut edge = Edge::new("eu-1", 9);
        let now = START + 3 * DAY + 5 * HOUR;
        let mut notes = |domain: DomainId, at: i64| {
            edge.batch(|batch| {
                let total = Total { domain, kind: Kind::Off, minute: at / MINUTE, count: 5 };
                let unknown = UnknownCode { domain, hour: at / HOUR, code: Some(b"a"[..].into()), count: 3 };
                (batch.totals, batch.unknown) = (vec![total], vec![unknown]);
                batch.losses = vec![Loss { reason: LossReason::RingFull, minute: at / MINUTE, count: 1 }];
            })
        };
        let asked = |domain| UnknownQuestion { domain, from: START, until: START + 9 * DAY, most: 9 };
        let unknown = |domain| store.unknown_codes(&asked(domain)).unwrap().total;
        let totals = |domain| store.counts(&ClickQuestion { domain, ..of(None) }).unwrap().total;
        for at in [START, START + 2 * DAY, now] {
            let both = [notes(DOMAIN, at), notes(DomainId(4), at)];
            store.append(&both, now).unwrap();
            fold(store, now);
        }
        let waiting = notes(DOMAIN, now);
        store.append(&[waiting], now).unwrap();
        assert_eq!((unknown(DOMAIN), totals(DOMAIN)), (12, 20));
        assert_eq!(store.delete_clicks(&domain(), now).unwrap(), 20);
        for step in ["noted", "folded", "tidied"] {
            assert_eq!((unknown(DOMAIN), totals(DOMAIN)), (0, 0), "{step}");
            assert_eq!((unknown(DomainId(4)), totals(DomainId(4))), (9, 15), "{step}");
            fold(store, now);
            if step == "folded" {
                tidy(store, now);
            }
        }
        let late = [notes(DOMAIN, START), notes(DOMAIN, now + HOUR)];
        store.append(&late, now + HOUR).unwrap();
        assert_eq!((unknown(DOMAIN), totals(DOMAIN)), (3, 5));
        fold(store, now + HOUR);
        assert_eq!((unknown(DOMAIN), totals(DOMAIN)), (3, 5));
        let lost = store.losses(START, START + 9 * DAY).unwrap().iter().map(|row| row.count).sum::<u64>();
        assert_eq!(lost, 9, "of which domain they were nobody knows");
    });
}

/// Found by review: a whole domain was deleted a hundred links at a time, with all its lists read for each hundred.
#[test]
fn a_domain_with_many_links_is_deleted_in_parts_and_batches_are_taken_between_them() {
    each(|store, other| {
        let mut edge = Edge::new("eu-1", 9);
        let now = START + 3 * DAY + 5 * HOUR;
        let links = 1..5_001;
        for at in [START, START + 3 * HOUR, now - HOUR] {
            edge.send(store, links.clone().map(|uid| click(uid, at)).collect(), now);
            fold(store, now);
            tidy(store, now);
        }
        // Each of these is a row of single clicks, and more than are cleared at once.
        for _ in 0..50 {
            edge.send(store, vec![click(3, now - MINUTE)], now);
            fold(store, now);
        }
        assert_eq!(store.delete_clicks(&domain(), now).unwrap(), 15_050);
        let look =
            || (clicks(other, 3), clicks(other, 4_999), of_domain(other), raw(other).len(), top(other));
        assert_eq!(look(), (0, 0, 0, 0, vec![]));
        assert!(store.tidy(now).unwrap(), "it is not done at once");
        edge.send(store, vec![click(3, now + MINUTE)], now + MINUTE);
        let want = (1, 0, 1, 1, vec![(3, 1)]);
        assert_eq!(look(), want);
        fold(store, now + MINUTE);
        assert_eq!(look(), want);
        tidy(store, now + MINUTE);
        assert_eq!(look(), want);
        assert_eq!(store.counts(&of(Some(links.skip(2).step_by(10).collect()))).unwrap().total, 1);
        assert_eq!(edge.last_no, 15_051);
    });
}

#[test]
fn a_deletion_before_a_day_leaves_its_week_and_what_is_behind_it() {
    for links in [Some(vec![5]), None] {
        each(|store, _| {
            let mut edge = Edge::new("eu-1", 9);
            for day in 0..21 {
                edge.send(store, [all_day(5, day), all_day(6, day)].concat(), START + 21 * DAY);
            }
            fold(store, START + 21 * DAY);
            tidy(store, START + 22 * DAY);
            let now = START + 22 * DAY;
            let asked =
                ClickDeletion { domain: DOMAIN, links: links.clone(), before: Some(START + 10 * DAY) };
            let other = if links.is_some() { 21 } else { 11 };
            store.delete_clicks(&asked, now).unwrap();
            tidy(store, now);
            assert_eq!((clicks(store, 5), clicks(store, 6)), (11 * 96, other * 96));
            assert_eq!(of_domain(store), (11 + other) * 96);
            assert_eq!(top(store).iter().map(|link| link.1).sum::<u64>(), (11 + other) * 96);
            assert_eq!(raw(store).len() as u64, (11 + other) * 96);
            let mut late = Edge::new("eu-2", 10);
            late.send(store, [all_day(5, 9), all_day(5, 10)].concat(), now);
            fold(store, now);
            assert_eq!(clicks(store, 5), 12 * 96);
        });
    }
}

#[test]
fn deleting_what_there_is_not_makes_nothing() {
    each(|store, _| {
        assert_eq!(store.delete_clicks(&domain(), START).unwrap(), 0);
        let mut edge = Edge::new("eu-1", 9);
        let offered = edge.batch(|batch| batch.clicks = vec![click(5, START + MINUTE)]);
        assert_eq!(store.append(&[offered], START + MINUTE).unwrap(), [AppendOutcome::Taken(1)]);
        assert_eq!(of_domain(store), 1);
    });
}
