//! Sums of days, which much-clicked links have beside their runs: with them and without, every answer is the same, whatever comes
//! late, is deleted, classed anew or aged.

use super::world::{DAY, DOMAIN, Database, Edge, Folder, HOUR, MINUTE, START, click, fold, of, tidy};
use clicks::batch::AgentText;
use clicks::{Agents, CLASSIFIER, Click, Country, Device, Kind, Language, hash};
use link::Seq;
use std::ops::Range;
use store::port::Repository;
use store::port::clicks::{
    ClickAnswer, ClickDeletion, ClickFilter, ClickGroup, ClickQuestion, ClickStore, SplitQuestion,
};

const HOT: Seq = 1;
const COLD: Seq = 2;
/// Clicks of a day, of which hardly two are alike: a day has sums from 4,096 different ones a quarter of an hour on.
const A_DAY: usize = 4_800;
const TEXTS: [&str; 3] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "its text is not kept",
];

/// A store whose tables the test can change beside it.
enum Tables<'a> {
    Sqlite(&'a Folder),
    Postgres(&'a Database),
}

impl Tables<'_> {
    /// The statements; `{t}` stands before the names of tables, and `{sums}` is true of a row that has sums.
    fn run(&self, sql: &str) {
        match self {
            Self::Sqlite(folder) => {
                let db = rusqlite::Connection::open(folder.0.join("linkr.db.clicks")).unwrap();
                let sql = sql.replace("{t}", "").replace("{sums}", "substr(value, 1, 1) >= x'40'");
                db.execute_batch(&sql).unwrap();
            }
            Self::Postgres(database) => {
                database.sql(&sql.replace("{t}", "click_").replace("{sums}", "get_byte(value, 0) >= 64"));
            }
        }
    }

    /// How often a day of a subject has sums.
    fn summed_days(&self, subjects: &str) -> u64 {
        let sql =
            format!("SELECT count(DISTINCT start / 96) FROM {{t}}crosses WHERE {{sums}} AND {subjects}");
        match self {
            Self::Sqlite(folder) => {
                let db = rusqlite::Connection::open(folder.0.join("linkr.db.clicks")).unwrap();
                let sql = sql.replace("{t}", "").replace("{sums}", "substr(value, 1, 1) >= x'40'");
                db.query_row(&sql, [], |row| row.get(0)).unwrap()
            }
            Self::Postgres(database) => {
                let sql = sql.replace("{t}", "click_").replace("{sums}", "get_byte(value, 0) >= 64");
                database.sql(&sql).trim().parse().unwrap()
            }
        }
    }

    /// What `look` finds while some rows of a table are not there.
    fn without<T>(&self, table: &str, which: &str, look: impl FnOnce() -> T) -> T {
        let table = format!("{{t}}{table}");
        self.run(&format!(
            "CREATE TABLE put_aside AS SELECT * FROM {table} WHERE {which}; DELETE FROM {table} WHERE {which};"
        ));
        let found = look();
        self.run(&format!("INSERT INTO {table} SELECT * FROM put_aside; DROP TABLE put_aside;"));
        found
    }
}

/// Runs a case over each kind of store.
fn each(case: impl Fn(&Tables<'_>, &dyn ClickStore)) {
    let folder = Folder::new();
    let store = folder.sqlite();
    case(&Tables::Sqlite(&folder), store.clicks());
    if let Some(database) = Database::new() {
        case(&Tables::Postgres(&database), database.open().clicks());
    }
}

/// Numbers without a pattern (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, of: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((number ^ (number >> 31)) % of as u64) as usize
    }

    fn click(&mut self, uid: Seq, days: &Range<i64>) -> Click {
        let day = days.start + self.below((days.end - days.start) as usize) as i64;
        Click {
            kind: Kind::ALL[self.below(6)],
            country: Country([b'A' + self.below(20) as u8, b'E']),
            browser: ["Chrome", "Safari", "Firefox", "Edge", "Opera", "Mosaic", ""][self.below(7)].into(),
            os: ["Windows 10", "Android", "iPhone", "Linux", ""][self.below(5)].into(),
            device: Device::ALL[self.below(4)],
            referrer: format!("{}.example", self.below(60)).as_str().into(),
            language: Language([b'a' + self.below(20) as u8, b'n']),
            visitor: self.below(3_000) as u64,
            agent: hash(TEXTS[self.below(3)].as_bytes()),
            ..click(uid, START + day * DAY + self.below(96 * 15) as i64 * MINUTE)
        }
    }

    fn clicks(&mut self, uid: Seq, count: usize, days: Range<i64>) -> Vec<Click> {
        (0..count).map(|_| self.click(uid, &days)).collect()
    }
}

/// Days in zones that begin them with a day, an hour, half an hour and a quarter, hours, and a time that begins and ends anywhere.
fn questions() -> Vec<ClickQuestion> {
    use ClickGroup::{
        Browser, Country as ByCountry, Device as ByDevice, Kind as ByKind, Language as ByLanguage, Os,
        Referrer, Time,
    };
    let days = |offset: i64| (-1..6).map(|day| START + day * DAY + offset).collect::<Vec<_>>();
    let hours: Vec<i64> = (0..60).map(|hour| START + DAY + hour * HOUR).collect();
    let human = ClickFilter { kinds: vec![Kind::Human], ..ClickFilter::default() };
    let of_one = ClickFilter { countries: vec![Country(*b"BE")], ..human.clone() };
    let splits = |filter: &ClickFilter| {
        let split = |groups: &[ClickGroup]| SplitQuestion {
            filter: filter.clone(),
            groups: groups.to_vec(),
            most: 10,
        };
        vec![split(&[ByKind]), split(&[Os]), split(&[Referrer]), split(&[Browser, Referrer])]
    };
    let mut all = Vec::new();
    for links in [Some(vec![HOT]), None, Some(vec![HOT, COLD])] {
        for (groups, times) in [
            (vec![Time], days(0)),
            (vec![Time, ByCountry], days(-2 * HOUR)),
            (vec![Time], days(5 * HOUR + 45 * MINUTE)),
            (vec![Referrer, Time], days(-3 * HOUR - 30 * MINUTE)),
            (vec![Time, ByKind], hours.clone()),
            (vec![ByDevice], Vec::new()),
            (vec![Browser, ByLanguage], Vec::new()),
        ] {
            // By two dimensions sums are of no use: some of these questions show that they are passed over.
            let is_first = groups == [Time] && times == days(0);
            let filters = [Some(human.clone()), is_first.then(|| of_one.clone())];
            for filter in filters.into_iter().flatten() {
                all.push(ClickQuestion {
                    from: START + 7 * MINUTE,
                    until: START + 5 * DAY + 7 * HOUR,
                    visitors: true,
                    groups: groups.clone(),
                    times: times.clone(),
                    splits: splits(&filter),
                    filter,
                    ..of(links.clone())
                });
            }
        }
        let (from, until) = (START + 10 * HOUR + MINUTE, START + 2 * DAY + 15 * MINUTE);
        all.push(ClickQuestion { from, until, groups: vec![Os], visitors: true, ..of(links.clone()) });
        all.push(of(links));
    }
    all
}

fn answers(store: &dyn ClickStore) -> Vec<ClickAnswer> {
    questions().iter().map(|question| store.counts(question).unwrap()).collect()
}

fn same(one: &[ClickAnswer], other: &[ClickAnswer], when: &str) {
    for ((one, other), question) in one.iter().zip(other).zip(questions()) {
        assert_eq!(one, other, "{when}: {question:?}");
    }
}

/// The answers, which are the same where there are no sums.
fn checked(tables: &Tables<'_>, store: &dyn ClickStore, when: &str) -> Vec<ClickAnswer> {
    let found = answers(store);
    let plain = tables.without("crosses", "{sums}", || answers(store));
    same(&found, &plain, when);
    found
}

fn send(edge: &mut Edge, store: &dyn ClickStore, clicks: Vec<Click>, now: i64) {
    let offered = edge.batch(|batch| {
        batch.classifier = CLASSIFIER - 1;
        batch.clicks = clicks;
        let text = |text: &str| AgentText { hash: hash(text.as_bytes()), text: text.to_owned() };
        batch.agents = TEXTS[..2].iter().map(|own| text(own)).collect();
    });
    store.append(&[offered], now).unwrap();
}

/// Does one of the things that change a day which is packed; what it was.
fn change(numbers: &mut Numbers, edge: &mut Edge, store: &dyn ClickStore, now: i64) -> &'static str {
    let delete = |links: Option<Seq>, before: i64| {
        let links = links.map(|uid| vec![uid]);
        let deletion = ClickDeletion { domain: DOMAIN, links, before: Some(START + before * DAY) };
        store.delete_clicks(&deletion, now).unwrap();
    };
    match numbers.below(6) {
        0 => {
            let count = [1, 900][numbers.below(2)];
            send(edge, store, numbers.clicks(HOT, count, 0..4), now);
            "late clicks wait"
        }
        1 => {
            send(edge, store, numbers.clicks(HOT, 400, 2..5), now);
            send(edge, store, numbers.clicks(COLD, 40, 1..3), now);
            fold(store, now);
            "late clicks are folded"
        }
        2 => {
            delete(Some(COLD), 1 + numbers.below(3) as i64);
            "days of another link are deleted"
        }
        3 => {
            delete(Some(HOT), 1);
            "a day of the link is deleted"
        }
        4 => {
            delete(None, 1);
            "a day of the domain is deleted"
        }
        _ => {
            let (agents, mut place) = (Agents::new(), Some(0));
            while let Some(from) = place {
                place = store.reclassify(&agents, from, now).unwrap().next;
            }
            "clicks are classed anew"
        }
    }
}

#[test]
fn an_answer_is_the_same_with_sums_and_without() {
    each(|tables, store| {
        let (mut numbers, mut edge) = (Numbers(7), Edge::new("eu-1", 9));
        let now = START + 6 * DAY;
        for day in 0..4 {
            send(&mut edge, store, numbers.clicks(HOT, A_DAY, day..day + 1), now);
            send(&mut edge, store, numbers.clicks(COLD, 30, day..day + 1), now);
        }
        fold(store, now);
        let plain = answers(store);
        assert_eq!(tables.summed_days("true"), 0, "a day is packed when it is over");
        tidy(store, now);
        same(&checked(tables, store, "packed"), &plain, "packed and not yet packed");
        assert_eq!(tables.summed_days("subject = 1"), 4);
        assert!(tables.summed_days("subject < 0") > 0 && tables.summed_days("subject = 2") == 0);
        let mut changes = Vec::new();
        for _ in 0..6 {
            let what = change(&mut numbers, &mut edge, store, now);
            changes.push(what);
            let whole = checked(tables, store, what);
            fold(store, now);
            tidy(store, now);
            same(&checked(tables, store, what), &whole, &format!("tidied behind {changes:?}"));
        }
        assert!(tables.summed_days("subject = 1") >= 3, "{changes:?}");
        for (age, length) in [(200, "hours"), (900, "days")] {
            let (later, mut edge) = (START + age * DAY, Edge::new("eu-2", age as u64));
            tidy(store, later);
            checked(tables, store, length);
            send(&mut edge, store, numbers.clicks(HOT, 300, 1..3), later);
            fold(store, later);
            checked(tables, store, length);
            tidy(store, later);
            checked(tables, store, length);
            assert!(tables.summed_days("subject = 1") >= 2, "{length}");
        }
    });
}

/// If they were not, all else here would hold as well.
#[test]
fn whole_days_are_read_from_sums_alone() {
    use ClickGroup::{Browser, Country as ByCountry, Referrer, Time};
    each(|tables, store| {
        let (mut numbers, mut edge) = (Numbers(8), Edge::new("eu-1", 9));
        for uid in [HOT, COLD] {
            let count = if uid == HOT { 2 * A_DAY } else { 30 };
            send(&mut edge, store, numbers.clicks(uid, count, 0..2), START + 2 * DAY);
        }
        fold(store, START + 2 * DAY);
        tidy(store, START + 3 * DAY);
        let days = (0..3).map(|day| START + day * DAY).collect();
        let by_day = ClickQuestion {
            groups: vec![Time, ByCountry],
            times: days,
            visitors: true,
            ..of(Some(vec![HOT]))
        };
        let by_two = ClickQuestion { groups: vec![Browser, Referrer], ..of(Some(vec![HOT])) };
        let look = || [&by_day, &by_two].map(|question| store.counts(question).unwrap());
        let [whole, two] = look();
        assert_eq!((whole.total, two.total), (2 * A_DAY as u64, 2 * A_DAY as u64));
        // The other link's are shorter, and say that there is something in this month.
        let [of_sums, of_runs] = tables.without("runs", "length(value) > 4000", look);
        assert_eq!(of_sums, whole);
        assert_eq!(of_runs.total, 0);
    });
}

/// The store of an earlier linkr has no sums.
#[test]
fn days_that_were_packed_without_sums_get_them() {
    let fill = |store: &dyn ClickStore| {
        let (mut numbers, mut edge) = (Numbers(9), Edge::new("eu-1", 9));
        for (uid, count) in [(HOT, 2 * A_DAY), (COLD, 700), (COLD + 1, 1)] {
            send(&mut edge, store, numbers.clicks(uid, count, 0..2), START + 2 * DAY);
        }
        fold(store, START + 2 * DAY);
        tidy(store, START + 3 * DAY);
        answers(store)
    };
    let earlier = |tables: &Tables<'_>| {
        assert_eq!(tables.summed_days("subject = 1"), 2);
        tables.run("DELETE FROM {t}crosses WHERE {sums}; DELETE FROM {t}aged;");
    };
    let again = |tables: &Tables<'_>, store: &dyn ClickStore, before: &[ClickAnswer]| {
        same(&answers(store), before, "without sums");
        tidy(store, START + 3 * DAY);
        assert_eq!((tables.summed_days("subject = 1"), tables.summed_days("subject = 2")), (2, 0));
        same(&checked(tables, store, "added up"), before, "added up");
    };
    let folder = Folder::new();
    let store = folder.sqlite();
    let before = fill(store.clicks());
    store.close();
    earlier(&Tables::Sqlite(&folder));
    let store = folder.sqlite();
    again(&Tables::Sqlite(&folder), store.clicks(), &before);
    if let Some(database) = Database::new() {
        let before = fill(database.open().clicks());
        earlier(&Tables::Postgres(&database));
        again(&Tables::Postgres(&database), database.open().clicks(), &before);
    }
}
