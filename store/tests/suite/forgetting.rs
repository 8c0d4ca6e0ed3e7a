//! What goes: clicks that are deleted, quarters that become hours and days, raw clicks and agents that are old.

use super::world::{DAY, DOMAIN, Database, Edge, HOUR, MINUTE, START, click, each, fold, of, tidy};
use clicks::Click;
use clicks::batch::AgentText;
use link::{DomainId, Seq};
use store::port::Repository;
use store::port::clicks::{
    AppendOutcome, ClickDeletion, ClickGroup, ClickQuestion, ClickStore, RawQuestion, TopQuestion,
};

fn raw(store: &dyn ClickStore) -> Vec<Click> {
    let asked = RawQuestion { until: i64::MAX, most: 100_000, ..RawQuestion::default() };
    store.raw(&asked).unwrap().clicks.into_iter().map(|raw| raw.click).collect()
}

fn top(store: &dyn ClickStore) -> Vec<(Seq, u64)> {
    let asked = TopQuestion {
        domain: DOMAIN,
        from: START,
        until: START + 40 * DAY,
        kinds: clicks::Kind::ALL.to_vec(),
        most: 10,
    };
    store.top_links(&asked).unwrap().links.iter().map(|link| (link.uid, link.count)).collect()
}

#[test]
fn a_link_that_is_deleted_from_the_counts_is_in_none_from_then_on() {
    each(|store, _| {
        let mut edge = Edge::new("eu-1", 9);
        let some = |uid: Seq| (0..96).map(move |quarter| click(uid, START + quarter * 15 * MINUTE));
        let clicks = |store: &dyn ClickStore, uid| store.counts(&of(Some(vec![uid]))).unwrap().total;
        edge.send(store, some(5).chain(some(6)).collect(), START + DAY);
        fold(store, START + DAY);
        tidy(store, START + 2 * DAY);
        edge.send(
            store,
            some(5).map(|click| Click { at: click.at + 2 * DAY, ..click }).collect(),
            START + 3 * DAY,
        );
        let deletion = |links, before| ClickDeletion { domain: DOMAIN, links, before };
        let now = START + 3 * DAY;
        // Up to noon of the first day.
        let noon = START + 12 * HOUR;
        assert_eq!(store.delete_clicks(&deletion(Some(vec![5]), Some(noon)), now).unwrap(), 48);
        assert_eq!((clicks(store, 5), clicks(store, 6), raw(store).len()), (144, 96, 240));
        tidy(store, now);
        assert_eq!((clicks(store, 5), clicks(store, 6), raw(store).len()), (144, 96, 240));
        assert_eq!(top(store), [(5, 144), (6, 96)], "the afternoon counts");
        // All so far.
        assert_eq!(store.delete_clicks(&deletion(Some(vec![5]), None), now).unwrap(), 144);
        let look =
            |store: &dyn ClickStore| (clicks(store, 5), clicks(store, 6), raw(store).len(), top(store));
        assert_eq!(look(store), (0, 96, 96, vec![(6, 96)]));
        tidy(store, now);
        assert_eq!(look(store), (0, 96, 96, vec![(6, 96)]));
        assert!(store.was_clicked(5).unwrap(), "its code is still not given to another link");
        // A click behind it counts.
        edge.send(store, vec![click(5, now + HOUR)], now + HOUR);
        fold(store, now + HOUR);
        assert_eq!(clicks(store, 5), 1);
        // The whole domain, and no other.
        let other = Click { domain: DomainId(4), ..click(9, START) };
        edge.send(store, vec![other.clone()], now + HOUR);
        assert_eq!(store.delete_clicks(&deletion(None, None), now + 2 * HOUR).unwrap(), 96 + 192 + 1);
        for tidied in [false, true] {
            if tidied {
                tidy(store, now + 2 * HOUR);
            }
            assert_eq!((clicks(store, 5), clicks(store, 6)), (0, 0), "{tidied}");
            assert_eq!((store.counts(&of(None)).unwrap().total, top(store)), (0, vec![]), "{tidied}");
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

#[test]
fn quarters_become_hours_and_hours_days_and_no_click_is_lost_by_it() {
    each(|store, _| {
        let mut edge = Edge::new("eu-1", 9);
        for day in 0..70 {
            let clicks = (0..24).map(|hour| {
                click(1 + hour as u64 % 5, START + day * DAY + hour * HOUR + (day % 4) * 15 * MINUTE)
            });
            edge.send(store, clicks.collect(), START + 71 * DAY);
        }
        fold(store, START + 71 * DAY);
        tidy(store, START + 80 * DAY);
        let count = |links: Option<Vec<Seq>>| {
            let times: Vec<i64> = (0..=71).map(|day| START + day * DAY).collect();
            let groups = vec![ClickGroup::Time, ClickGroup::Country];
            let answer = store.counts(&ClickQuestion { groups, times, ..of(links) }).unwrap();
            (answer.groups, answer.step)
        };
        let (domain, step) = count(None);
        let (link, _) = count(Some(vec![3]));
        assert_eq!((domain.len(), step), (70, 15 * MINUTE));
        // November and December are older than 90 days in the middle of May, January is, too.
        tidy(store, START + 200 * DAY);
        assert_eq!(count(None), (domain.clone(), HOUR));
        assert_eq!(count(Some(vec![3])), (link.clone(), HOUR));
        tidy(store, START + 900 * DAY);
        assert_eq!(count(None), (domain, DAY));
        assert_eq!(count(Some(vec![3])), (link, DAY));
    });
}

#[test]
fn raw_clicks_and_the_texts_of_their_agents_are_kept_for_thirty_days() {
    each(|store, _| {
        let mut edge = Edge::new("eu-1", 9);
        let offered = edge.batch(|batch| {
            batch.clicks = vec![click(5, START); 10];
            batch.agents = vec![AgentText { hash: 7, text: "Mozilla/5.0".into() }];
        });
        assert_eq!(store.append(&[offered], START).unwrap(), [AppendOutcome::Taken(1)]);
        fold(store, START);
        assert_eq!(store.agents(&[7, 8]).unwrap(), [Some("Mozilla/5.0".into()), None]);
        tidy(store, START + 30 * DAY);
        assert_eq!(raw(store).len(), 10);
        tidy(store, START + 31 * DAY);
        assert_eq!(raw(store).len(), 0);
        tidy(store, START + 32 * DAY);
        assert_eq!(store.agents(&[7]).unwrap(), [None]);
        assert_eq!(store.counts(&of(Some(vec![5]))).unwrap().total, 10);
        assert_eq!(store.raw_end().unwrap(), 11, "no place is given twice");
    });
}

#[test]
fn what_is_old_in_postgresql_goes_with_its_partition() {
    let Some(db) = Database::new() else { return };
    let store = db.open();
    let mut edge = Edge::new("eu-1", 9);
    for day in 0..3 {
        edge.send(store.clicks(), vec![click(5, START + day * DAY)], START + day * DAY);
        fold(store.clicks(), START + day * DAY);
    }
    let partitions =
        |of: &str| db.sql(&format!("SELECT count(*) FROM pg_inherits WHERE inhparent = '{of}'::regclass"));
    assert_eq!(partitions("click_raw").trim(), "3");
    tidy(store.clicks(), START + 31 * DAY);
    assert_eq!(partitions("click_raw").trim(), "2");
    assert_eq!(partitions("click_runs").trim(), "1", "one month");
    assert_eq!(raw(store.clicks()).len(), 2);
}
