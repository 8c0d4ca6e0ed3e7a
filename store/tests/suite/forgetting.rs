//! What goes with time: quarters that become hours and days, raw clicks and agents that are old.

use super::world::{DAY, Database, Edge, HOUR, MINUTE, START, click, each, fold, of, tidy};
use clicks::Click;
use clicks::batch::AgentText;
use link::Seq;
use store::port::Repository;
use store::port::clicks::{AppendOutcome, ClickGroup, ClickQuestion, ClickStore, RawQuestion};

fn raw(store: &dyn ClickStore) -> Vec<Click> {
    let asked = RawQuestion { until: i64::MAX, most: 100_000, ..RawQuestion::default() };
    store.raw(&asked).unwrap().clicks.into_iter().map(|raw| raw.click).collect()
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

/// Found by review: a temporary table stood before those of the functions that run as their owner.
#[test]
fn functions_of_the_owner_of_the_tables_are_not_led_to_temporary_ones() {
    let Some(db) = Database::new() else { return };
    drop(db.open());
    db.sql(
        "CREATE TEMP TABLE click_raw (first BIGINT, day BIGINT); CREATE TEMP TABLE click_runs (month BIGINT); \
         SELECT click_ready_day(77); SELECT click_ready_month(7); SELECT click_forget_days(78)",
    );
    let partitions =
        |of: &str| db.sql(&format!("SELECT count(*) FROM pg_inherits WHERE inhparent = '{of}'::regclass"));
    assert_eq!((partitions("click_raw").trim(), partitions("click_runs").trim()), ("0", "1"));
    let last = "SELECT count(*) FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace \
                AND NOT coalesce(proconfig[1], '') LIKE 'search_path=%, pg_temp'";
    assert_eq!(db.sql(last).trim(), "0", "each of them says so");
}
