//! What every store of clicks must do: each batch once, and the same answers before and after folding and packing.

use super::world::{
    DAY, DOMAIN, Edge, HOUR, LATER, MINUTE, START, click, each, fold, most_clicked, of, tidy,
};
use clicks::batch::{Loss, MAX_NO, Total, UnknownCode};
use clicks::ledger::{Cursor, MOST_A_SECOND};
use clicks::{Click, Country, Kind, LossReason};
use link::DomainId;
use store::port::clicks::{
    AppendOutcome, Appended, BatchSender, ClickAnswer, ClickFilter, ClickGroup, ClickQuestion, ClickStore,
    CountRow, EDGE_SILENT, EdgeUntil, GroupKey, LossRow, MOST_LINKS, RawQuestion, SPOOL_RESTS, SplitQuestion,
    TakenBehindHole, UnknownQuestion, is_too_many_links, is_too_much,
};

#[test]
fn a_batch_is_taken_once_and_in_the_order_of_its_spool() {
    each(|store, other| {
        let mut edge = Edge::new("eu-1", u64::MAX);
        let [one, two, three] =
            [1, 2, 3].map(|count| edge.batch(|batch| batch.clicks = vec![click(5, START); count]));
        let taken = store.append(&[one.clone(), two.clone(), one.clone()], START).unwrap();
        assert_eq!(
            taken,
            [
                AppendOutcome::Taken(1),
                AppendOutcome::Taken(2),
                AppendOutcome::Known(Cursor { seq: 2, last_no: 3 })
            ]
        );
        let known = AppendOutcome::Known(Cursor { seq: 2, last_no: 3 });
        assert_eq!(other.append(std::slice::from_ref(&two), START).unwrap(), [known]);
        let four = edge.batch(|batch| batch.clicks = vec![click(5, START)]);
        let early = other.append(std::slice::from_ref(&four), START).unwrap();
        assert_eq!(early, [AppendOutcome::Want(3)]);
        assert_eq!(
            other.append(&[three, four], START).unwrap(),
            [AppendOutcome::Taken(3), AppendOutcome::Taken(4)]
        );
        assert_eq!(store.counts(&of(Some(vec![5]))).unwrap().total, 7);
        // Another edge that guesses a spool.
        let mut thief = Edge { name: "eu-2", ..edge };
        let stolen = thief.batch(|batch| batch.clicks = vec![click(5, START)]);
        let refused = store.append(&[stolen], START).unwrap();
        assert!(matches!(&refused[..], [AppendOutcome::Refused(why)] if why.contains("another edge's")));
        assert_eq!(store.append(&[], START).unwrap(), []);
    });
}

/// A name that nobody gave is the host's, and each container's is another one.
#[test]
fn a_spool_goes_along_with_an_edge_that_is_renamed() {
    each(|store, other| {
        let mut edge = Edge::new("container-1", 7);
        let under = |key: &str, bound, offered: &Appended| {
            let sender = BatchSender { key: key.into(), bound, ..offered.sender.clone() };
            Appended { sender, ..offered.clone() }
        };
        let mut next = |name| {
            edge.name = name;
            edge.batch(|batch| batch.clicks = vec![click(5, START)])
        };
        let first = next("container-1");
        assert_eq!(
            store.append(&[under("keys/a", false, &first)], START).unwrap(),
            [AppendOutcome::Taken(1)]
        );
        // Whoever has the key has the spool; under another one of that kind anybody could say any name.
        let second = next("container-2");
        let of_another = store.append(&[under("keys/b", false, &second)], START + DAY).unwrap();
        assert!(matches!(&of_another[..], [AppendOutcome::Refused(why)] if why.contains("another key")));
        assert_eq!(
            other.append(&[under("keys/a", false, &second)], START).unwrap(),
            [AppendOutcome::Taken(2)]
        );
        // A key that names its edge goes on with what rests, and keeps it from then on.
        let third = next("edge-1");
        let named = under("keys/c", true, &third);
        for now in [START, START + SPOOL_RESTS - 1] {
            let early = store.append(std::slice::from_ref(&named), now).unwrap();
            assert!(matches!(&early[..], [AppendOutcome::Refused(why)] if why.contains("a minute later")));
        }
        let now = START + SPOOL_RESTS;
        assert_eq!(store.append(&[named], now).unwrap(), [AppendOutcome::Taken(3)]);
        let fourth = next("edge-1");
        assert_eq!(store.append(&[under("keys/d", true, &fourth)], now).unwrap(), [AppendOutcome::Taken(4)]);
        let back = other.append(&[under("keys/a", false, &second)], now + DAY).unwrap();
        assert!(matches!(back[..], [AppendOutcome::Refused(_)]), "{back:?}");
        // Renamed once more.
        let fifth = next("edge-2");
        assert_eq!(
            other.append(&[under("keys/e", true, &fifth)], now + DAY).unwrap(),
            [AppendOutcome::Taken(5)]
        );
        assert_eq!(store.counts(&of(Some(vec![5]))).unwrap().total, 5);
    });
}

/// Whoever has a key could otherwise have the store tell as many clicks as lost as there are numbers.
#[test]
fn a_hole_that_no_edge_can_have_made_is_told_as_far_as_it_can_be() {
    each(|store, _| {
        let mut edge = Edge::new("eu-1", 9);
        edge.send(store, vec![click(5, START)], START);
        edge.last_no = MAX_NO - 10;
        let mut next = edge.batch(|batch| batch.clicks = vec![click(5, START)]);
        next.offer.first = true;
        let now = START + 2_000;
        let outcome = store.append(&[next], now).unwrap();
        let told = (2 + 60) * MOST_A_SECOND; // the clocks of two controls may be a minute apart
        let unbelieved = MAX_NO - 11 - told;
        assert_eq!(outcome, [AppendOutcome::TakenBehindHole(TakenBehindHole { acked: 2, told, unbelieved })]);
        assert_eq!(store.losses(START, LATER).unwrap()[0].count, told);
        fold(store, now);
        assert_eq!(store.losses(START, LATER).unwrap()[0].count, told);
        // Of a spool that nobody knows.
        let mut edge = Edge { last_no: MAX_NO - 10, ..Edge::new("eu-2", 10) };
        let mut first = edge.batch(|batch| batch.clicks = vec![click(5, START)]);
        first.offer.first = true;
        let outcome = store.append(&[first], now).unwrap();
        assert!(
            matches!(&outcome[..], [AppendOutcome::TakenBehindHole(hole)] if hole.unbelieved > hole.told)
        );
    });
}

#[test]
fn what_no_edge_holds_any_more_is_told_to_the_click() {
    each(|store, _| {
        let mut edge = Edge::new("eu-1", 9);
        edge.send(store, vec![click(5, START); 3], START);
        drop(edge.batch(|batch| batch.clicks = vec![click(5, START); 4]));
        let mut next = edge.batch(|batch| batch.clicks = vec![click(5, START)]);
        assert_eq!(store.append(std::slice::from_ref(&next), START).unwrap(), [AppendOutcome::Want(2)]);
        next.offer.first = true;
        let now = START + 5 * MINUTE;
        let behind = TakenBehindHole { acked: 3, told: 4, unbelieved: 0 };
        assert_eq!(store.append(&[next], now).unwrap(), [AppendOutcome::TakenBehindHole(behind)]);
        let hole =
            LossRow { minute: now / MINUTE, edge: "eu-1".into(), reason: LossReason::Restored, count: 4 };
        assert_eq!(store.losses(START, LATER).unwrap(), std::slice::from_ref(&hole));
        fold(store, now);
        assert_eq!(store.losses(START, LATER).unwrap(), [hole]);
        assert!(store.losses(START, now).unwrap().is_empty());
    });
}

/// Clicks of two days, of different kinds and in different ways.
fn mixed() -> Vec<Click> {
    (0..400_u64)
        .map(|at| {
            let kind = [Kind::Human, Kind::Bot, Kind::Human, Kind::Repeat, Kind::Head][at as usize % 5];
            Click {
                kind,
                country: Country(if at % 3 == 0 { *b"FR" } else { *b"DE" }),
                browser: ["Firefox", "Chrome", ""][at as usize % 3].into(),
                referrer: format!("{}.example", at % 11).as_str().into(),
                visitor: if at % 2 == 0 { 1 + at % 40 } else { 0 },
                ..click(1 + at % 7, START + at as i64 * 7 * MINUTE)
            }
        })
        .collect()
}

fn questions() -> Vec<ClickQuestion> {
    use ClickGroup::{Browser, Country as ByCountry, Kind as ByKind, Link, Referrer, Time};
    let times: Vec<i64> = (0..=8).map(|day| START - DAY + day * DAY + 5 * HOUR + 30 * MINUTE).collect();
    let human = ClickFilter { kinds: vec![Kind::Human], ..ClickFilter::default() };
    let french = ClickFilter {
        countries: vec![Country(*b"FR")],
        browsers: vec!["Firefox".into()],
        ..ClickFilter::default()
    };
    let mut all = Vec::new();
    for links in [None, Some(vec![3]), Some(vec![1, 2, 3, 99])] {
        for groups in
            [vec![], vec![ByKind], vec![Time, ByCountry], vec![Browser, Referrer], vec![Link], vec![Time]]
        {
            for filter in [ClickFilter::default(), human.clone(), french.clone()] {
                let times = if groups.contains(&Time) { times.clone() } else { Vec::new() };
                let visitors = true;
                let groups = groups.clone();
                all.push(ClickQuestion { filter, groups, times, visitors, ..of(links.clone()) });
            }
        }
        all.push(ClickQuestion { from: START + 9 * HOUR + 1, until: START + 31 * HOUR, ..of(links) });
    }
    all
}

#[test]
fn folding_and_packing_change_no_answer() {
    each(|store, other| {
        let mut edge = Edge::new("eu-1", 9);
        for part in mixed().chunks(37) {
            edge.send(store, part.to_vec(), START + 2 * DAY);
        }
        let ask = || questions().iter().map(|one| other.counts(one).unwrap()).collect::<Vec<_>>();
        let before = ask();
        let direct =
            |fits: &dyn Fn(&Click) -> bool| mixed().iter().filter(|click| fits(click)).count() as u64;
        assert_eq!(before[0].total, 400);
        assert_eq!(before[1].total, direct(&|click| click.kind == Kind::Human));
        let days = before[0].visitors.iter().map(|day| day.visitors).collect::<Vec<_>>();
        assert_eq!(days.len(), 2);
        assert!(days.iter().all(|visitors| (1..=40).contains(visitors)), "{days:?}");
        fold(store, START + 2 * DAY);
        assert_eq!(ask(), before, "folded");
        tidy(store, LATER);
        assert_eq!(ask(), before, "packed");
        // A late batch finds its day packed.
        edge.send(store, mixed(), LATER);
        fold(store, LATER);
        let twice = ask();
        for (late, once) in twice.iter().zip(&before) {
            assert_eq!((late.total, &late.visitors), (2 * once.total, &once.visitors));
        }
        tidy(store, LATER);
        assert_eq!(ask(), twice, "packed again");
    });
}

#[test]
fn a_split_beside_a_question_is_answered_as_if_it_were_alone() {
    use ClickGroup::{Browser, Country as ByCountry, Kind as ByKind, Link, Referrer};
    each(|store, other| {
        let mut edge = Edge::new("eu-1", 9);
        for part in mixed().chunks(37) {
            edge.send(store, part.to_vec(), START + 2 * DAY);
        }
        let check = |state: &str| {
            for question in questions().iter().filter(|one| one.links.is_some() || one.groups != [Link]) {
                let human = ClickFilter { kinds: vec![Kind::Human], ..ClickFilter::default() };
                let split = |filter: &ClickFilter, groups: &[ClickGroup], most| SplitQuestion {
                    filter: filter.clone(),
                    groups: groups.to_vec(),
                    most,
                };
                let splits = vec![
                    split(&human, &[ByCountry], 1),
                    split(&question.filter, &[ByKind], 9),
                    split(&human, &[Referrer], 4),
                    split(&human, &[Browser, Referrer], 9),
                    split(&human, &[Referrer, Browser], 3),
                    split(&question.filter, &[Browser], 9),
                    split(&human, &[ByCountry, Browser], usize::MAX),
                ];
                let together =
                    other.counts(&ClickQuestion { splits: splits.clone(), ..question.clone() }).unwrap();
                for (split, answer) in splits.into_iter().zip(&together.splits) {
                    let SplitQuestion { filter, groups, most } = split;
                    let times = Vec::new();
                    let alone = ClickQuestion { filter, groups, most, times, ..question.clone() };
                    let alone = other.counts(&alone).unwrap();
                    assert_eq!(
                        (&answer.groups, answer.total),
                        (&alone.groups, alone.total),
                        "{state}: {question:?}"
                    );
                }
                let plain = other.counts(question).unwrap();
                assert_eq!(together.splits.len(), 7);
                assert_eq!(ClickAnswer { splits: Vec::new(), ..together }, plain, "{state}: {question:?}");
            }
        };
        check("not folded");
        fold(store, START + 2 * DAY);
        check("folded");
        tidy(store, LATER);
        check("packed");
    });
}

#[test]
fn totals_losses_and_unknown_codes_are_told_before_and_after_they_are_folded() {
    each(|store, _| {
        let mut edge = Edge::new("eu-1", 9);
        let minute = START / MINUTE;
        let total = |kind, count| Total { domain: DOMAIN, kind, minute: minute + 20, count };
        let unknown = |code: Option<&str>, count| UnknownCode {
            domain: DOMAIN,
            hour: START / HOUR,
            code: code.map(|code| code.as_bytes().into()),
            count,
        };
        for _ in 0..2 {
            let offered = edge.batch(|batch| {
                batch.totals = vec![total(Kind::Off, 5), total(Kind::Ignored, 7)];
                batch.losses = vec![Loss { reason: LossReason::RingFull, minute, count: 11 }];
                batch.unknown = vec![unknown(Some("a"), 3), unknown(Some("b"), 4), unknown(None, 5)];
            });
            assert!(matches!(store.append(&[offered], START).unwrap()[..], [AppendOutcome::Taken(_)]));
        }
        let by_kind = ClickQuestion { groups: vec![ClickGroup::Kind], ..of(None) };
        let asked = UnknownQuestion { domain: DOMAIN, from: START, until: START + 1, most: 1 };
        let look = || {
            let codes = store.unknown_codes(&asked).unwrap();
            (store.counts(&by_kind).unwrap(), store.losses(START, LATER).unwrap(), codes)
        };
        let (counts, losses, codes) = look();
        let rows: Vec<_> = counts.groups.iter().map(|row| (row.keys[0].clone(), row.count)).collect();
        assert_eq!(rows, [(GroupKey::Kind(Kind::Ignored), 14), (GroupKey::Kind(Kind::Off), 10)]);
        assert_eq!((losses.len(), losses[0].count, &*losses[0].edge), (1, 22, "eu-1"));
        assert_eq!((codes.total, &*codes.top[0].code, codes.top[0].count), (24, &b"b"[..], 8));
        let before = look();
        fold(store, START);
        tidy(store, LATER);
        assert_eq!(look(), before);
        let elsewhere = UnknownQuestion { domain: DomainId(4), ..asked };
        assert_eq!(store.unknown_codes(&elsewhere).unwrap().total, 0);
        assert_eq!(store.counts(&of(Some(vec![1]))).unwrap().total, 0, "no link has them");
    });
}

#[test]
fn single_clicks_keep_their_places_when_they_are_folded_and_joined() {
    each(|store, other| {
        let mut edge = Edge::new("eu-1", 9);
        for part in mixed().chunks(7) {
            edge.send(store, part.to_vec(), START + DAY);
            let empty = edge.batch(|_| {});
            store.append(&[empty], START + DAY).unwrap();
        }
        let pages = |most: usize| {
            let (mut clicks, mut place) = (Vec::new(), 0);
            loop {
                let asked = RawQuestion { until: i64::MAX, place, most, ..RawQuestion::default() };
                let page = other.raw(&asked).unwrap();
                clicks.extend(page.clicks);
                place = page.next;
                if !page.more {
                    return (clicks, place);
                }
            }
        };
        let (before, end) = pages(10);
        assert_eq!(before.iter().map(|raw| raw.click.clone()).collect::<Vec<_>>(), mixed());
        assert_eq!(end, store.raw_end().unwrap());
        assert_eq!(pages(1_000), (before.clone(), end));
        for round in 0..4 {
            edge.send(store, vec![click(5, START)], START + DAY);
            store.fold(START + DAY + round).unwrap();
        }
        let all = pages(10);
        assert_eq!(all.0[..400], before[..]);
        tidy(store, START + 3 * DAY);
        for most in [1, 10, 10_000] {
            assert_eq!(pages(most), all);
        }
        // Whoever had read half of it goes on there.
        let half =
            RawQuestion { until: i64::MAX, place: before[200].place, most: 10_000, ..RawQuestion::default() };
        assert_eq!(store.raw(&half).unwrap().clicks[..], all.0[200..]);
        let filtered = RawQuestion {
            domain: Some(DOMAIN),
            links: Some([3].into()),
            from: START + HOUR,
            until: START + 9 * HOUR,
            most: 10_000,
            ..RawQuestion::default()
        };
        let found = store.raw(&filtered).unwrap().clicks;
        let range = START + HOUR..START + 9 * HOUR;
        let due = mixed().into_iter().filter(|click| click.uid == 3 && range.contains(&click.at)).count();
        assert_eq!(found.len(), due);
    });
}

#[test]
fn it_is_known_of_each_link_whether_it_was_clicked() {
    each(|store, _| {
        assert!(!store.was_clicked(5).unwrap());
        let mut edge = Edge::new("eu-1", 9);
        edge.send(store, vec![click(5, START), click(1 << 40, START)], START);
        let look = || [4, 5, 6, 1 << 40].map(|uid| store.was_clicked(uid).unwrap());
        assert_eq!(look(), [false, true, false, true]);
        fold(store, START);
        assert_eq!(look(), [false, true, false, true]);
    });
}

#[test]
fn edges_say_up_to_when_they_have_sent_everything() {
    each(|store, other| {
        let row = |edge: &str, process, until| EdgeUntil { edge: edge.into(), process, until };
        store.note_until(&[row("b", u64::MAX, 5), row("a", 1, 7)], 10).unwrap();
        other.note_until(&[row("b", u64::MAX, 6)], 11).unwrap();
        assert_eq!(store.until().unwrap(), [row("a", 1, 7), row("b", u64::MAX, 6)]);
        store.forget_edge("a", None).unwrap();
        assert_eq!(other.until().unwrap(), [row("b", u64::MAX, 6)]);
    });
}

/// Two live edges with one name, each at its own control; and one in the place of another, which was killed.
#[test]
fn processes_with_one_name_are_noted_apart_until_one_is_silent() {
    each(|store, other| {
        let row = |process, until| EdgeUntil { edge: "a".into(), process, until };
        let beside = EdgeUntil { edge: "b".into(), ..row(9, 1) };
        store.note_until(&[row(1, 40), beside.clone()], 10).unwrap();
        other.note_until(&[row(2, 90)], 11).unwrap();
        store.note_until(&[row(1, 45)], 12).unwrap();
        assert_eq!(store.until().unwrap(), [row(1, 45), row(2, 90), beside.clone()]);
        store.note_until(&[row(2, 91)], 12 + EDGE_SILENT).unwrap();
        assert_eq!(store.until().unwrap(), [row(1, 45), row(2, 91), beside.clone()], "it may still speak");
        store.note_until(&[row(2, 92)], 13 + EDGE_SILENT).unwrap();
        assert_eq!(other.until().unwrap(), [row(2, 92), beside.clone()], "nobody speaks in the place of b");
        other.note_until(&[row(3, 50)], 13 + EDGE_SILENT).unwrap();
        other.forget_edge("a", Some(2)).unwrap();
        assert_eq!(store.until().unwrap(), [row(3, 50), beside]);
    });
}

#[test]
fn a_day_has_one_key_for_all_controls_until_an_hour_behind_it() {
    each(|store, other| {
        let day = (START / DAY) as u32;
        assert_eq!(store.day_key(day, [1; 32], START).unwrap(), [1; 32]);
        assert_eq!(other.day_key(day, [2; 32], START + DAY + HOUR - 1).unwrap(), [1; 32]);
        assert_eq!(other.day_key(day + 1, [3; 32], START + DAY - 1).unwrap(), [3; 32]);
        store.tidy(START + DAY + HOUR).unwrap();
        assert_eq!(store.day_key(day + 1, [4; 32], START + DAY + HOUR).unwrap(), [3; 32]);
        assert_eq!(store.day_key(day, [5; 32], START).unwrap(), [5; 32], "it was gone");
    });
}

#[test]
fn a_store_without_clicks_answers_with_nothing() {
    each(|store: &dyn ClickStore, _| {
        assert_eq!(store.counts(&of(None)).unwrap().total, 0);
        assert_eq!(store.agents(&[1, 2]).unwrap(), [None, None]);
        assert_eq!(store.fold(START).unwrap().batches, 0);
        assert!(!store.tidy(START).unwrap());
        assert!(store.losses(0, LATER).unwrap().is_empty() && store.until().unwrap().is_empty());
    });
}

/// Found by review: such a question read 100,000 links.
#[test]
fn what_comes_first_by_link_and_more_is_told_without_reading_every_link() {
    each(|store, _| {
        let mut edge = Edge::new("eu-1", 9);
        // Every country of the first links has less than the one country of those behind them.
        let mut clicks = Vec::new();
        for uid in 1..=600_u64 {
            let count = if uid <= 300 { 6 } else { 5 - uid % 5 };
            clicks.extend((0..count).map(|at| Click {
                country: Country(if uid <= 300 { [b'A', b'A' + (at / 2) as u8] } else { *b"DE" }),
                ..click(uid, START + at as i64 * HOUR)
            }));
        }
        edge.send(store, clicks.clone(), START + DAY);
        let by = |groups: Vec<ClickGroup>, filter: ClickFilter, most| {
            let times = (0..=2).map(|day| START + day * DAY).collect();
            store.counts(&ClickQuestion { groups, times, filter, most, ..of(None) }).unwrap()
        };
        let rows = |answer: &ClickAnswer| {
            let uid = |row: &CountRow| {
                row.keys.iter().find_map(|key| match key {
                    GroupKey::Link(uid) => Some(*uid),
                    _ => None,
                })
            };
            answer.groups.iter().map(|row| (uid(row).unwrap(), row.count)).collect::<Vec<_>>()
        };
        for folded in [false, true] {
            if folded {
                fold(store, START + DAY);
            }
            let split = by(vec![ClickGroup::Link, ClickGroup::Country], ClickFilter::default(), 3);
            assert_eq!(rows(&split), [(305, 5), (310, 5), (315, 5)], "{folded}");
            assert_eq!((split.total, split.more), (clicks.len() as u64, true));
            let german = ClickFilter { countries: vec![Country(*b"DE")], ..ClickFilter::default() };
            let german = by(vec![ClickGroup::Link], german, 2);
            assert_eq!((rows(&german), german.total), (vec![(305, 5), (310, 5)], 300 * 3));
            let days = by(vec![ClickGroup::Time, ClickGroup::Link], ClickFilter::default(), 2);
            assert_eq!(rows(&days), [(1, 6), (2, 6)]);
        }
    });
}

#[test]
fn what_could_be_told_only_by_reading_too_many_links_is_refused() {
    each(|store, _| {
        let mut edge = Edge::new("eu-1", 9);
        let of_both =
            |uid| [*b"DE", *b"FR"].map(|country| Click { country: Country(country), ..click(uid, START) });
        edge.send(store, (1..=MOST_LINKS as u64 + 10).flat_map(of_both).collect(), START);
        let asked = ClickQuestion { groups: vec![ClickGroup::Link, ClickGroup::Country], ..of(None) };
        let refused = store.counts(&ClickQuestion { most: 5, ..asked }).unwrap_err();
        assert!(is_too_many_links(&refused) && !is_too_much(&refused), "{refused}");
        let alone = ClickQuestion { groups: vec![ClickGroup::Link], most: 5, ..of(None) };
        assert_eq!(store.counts(&alone).unwrap().groups.len(), 5);
    });
}

/// Found by review: what 100,000 batches were before was left out, and the answer was said to be complete.
#[test]
fn an_answer_that_does_not_read_every_batch_says_from_when_on_clicks_may_lack() {
    each(|store, _| {
        let mut edge = Edge::new("eu-1", 9);
        let mut offered: Vec<Appended> =
            (0..100_000).map(|_| edge.batch(|batch| batch.clicks = vec![click(5, START)])).collect();
        store.append(&offered, START + DAY).unwrap();
        let top = most_clicked();
        let look = || {
            let counted = store.counts(&of(Some(vec![5]))).unwrap();
            (counted.total, counted.left_out, store.top_links(&top).unwrap().left_out)
        };
        assert_eq!(look(), (100_000, None, None));
        offered = [3, 1, 2]
            .map(|hour| edge.batch(|batch| batch.clicks = vec![click(6, START + hour * HOUR)]))
            .to_vec();
        store.append(&offered, START + DAY).unwrap();
        assert_eq!(look(), (100_000, Some(START + HOUR), Some(START + HOUR)));
        assert!(store.was_clicked(6).unwrap(), "that is known of each");
        let end = RawQuestion { until: i64::MAX, place: 100_001, most: 9, ..RawQuestion::default() };
        assert_eq!(store.raw(&end).unwrap().clicks.len(), 3, "single clicks are told all");
    });
}
