//! What every `Repository` must do, mounted over each of them. No server is here.

use super::postgres::Database;
use super::world::Folder;
use control::Fault;
use journal::{Draft, Field, Intent, Item, Rejection, Request, Retry, Verdict};
use link::{ChangeKind, Code, DomainId, Epoch, Key, Link, LinkParts, LinkState, LinkTerms, Status, Target};
use store::model::{Author, Info, KeyRow, Row, Scope, Scopes, StoreFault};
use store::port::{History, KeyMark, Limit, ListPage, Repository, SessionRow, TimeOrder};
use store::sqlite::{Options, Sqlite};

const ALL: Limit = Limit { rows: 1_000, bytes: usize::MAX };
const DOMAIN: [u8; 4] = [0; 4];
/// A field as a newer linkr may keep one: number 2,047, two bytes.
const NEWER: &[u8] = b"\xfa\x7f\x02ok";

pub fn key(code: &str) -> Key {
    Key::new(DomainId::DEFAULT, &Code::new(code).unwrap())
}

pub fn draft(target: &str) -> Draft {
    let terms = LinkTerms {
        status: Status::PermanentRedirect,
        max_age: Some(60),
        not_before: Some(-5),
        expire: Some(1_700_000_000_123),
        ..LinkTerms::default()
    };
    let parts = LinkParts {
        expired_target: Some(Target::given("https://late.example/", &[]).unwrap()),
        ..LinkParts::on(terms, Target::given(target, &[]).unwrap())
    };
    let info = Info {
        title: "t".into(),
        tags: vec!["x".into(), "\"y\" é".into()],
        note: "n".into(),
        newer: NEWER.into(),
        ..Info::default()
    };
    Draft { link: Link::new(parts).unwrap(), info }
}

/// With every field that there is.
fn full() -> Draft {
    let draft = draft("https://a.example/?a=1#b");
    let info = Info { external_id: "CRM 17".into(), imported_clicks: u64::MAX, ..draft.info };
    Draft { info, ..draft }
}

pub fn by(method: &'static str) -> Author {
    Author { principal: "ops".into(), method, request_id: "r".into() }
}

fn one(code: &str, intent: Intent) -> Request {
    Item { key: key(code), intent }.into()
}

pub fn create(code: &str) -> Request {
    one(code, Intent::Create(draft("https://a.example/?a=1#b")))
}

pub fn delete(code: &str) -> Request {
    one(code, Intent::Delete { etag: None })
}

pub fn row(verdict: &Verdict) -> Row {
    match verdict {
        Verdict::Created(row) | Verdict::Changed(row) => row.clone(),
        other => panic!("{other:?}"),
    }
}

fn a_fresh_store_has_a_history_and_nothing_in_it(store: &dyn Repository) {
    let head = store.head().unwrap();
    assert_eq!((head.epoch.counter, head.seq, head.tag), (1, 0, 0));
    let log = store.log_view(0, None).unwrap();
    assert_eq!((log.head, log.ancestor, log.oldest, log.tag_at_applied), (head, None, 1, Some(0)));
    assert_eq!(store.changes(0, ALL).unwrap(), (head, vec![]));
    let walked = store.walk(b"", ALL).unwrap();
    assert_eq!((walked.head, walked.entries.len(), walked.more), (head, 0, false));
    assert!(store.list(&DOMAIN, b"", true, ALL).unwrap().rows.is_empty());
    assert_eq!(store.link(&key("a")).unwrap(), (head.epoch, None));
}

fn a_group_is_numbered_densely_under_one_tag(store: &dyn Repository) {
    let epoch = store.head().unwrap().epoch;
    let done = store.commit(&[create("b"), create("b"), create("a"), delete("b")], 7).unwrap();
    assert_eq!(done.verdicts[1], Verdict::Refused(Rejection::Exists("domains/-/links/b".into())));
    assert_eq!((done.head.seq, store.head().unwrap()), (3, done.head));
    let (head, changes) = store.changes(0, ALL).unwrap();
    assert_eq!(head, done.head);
    let short: Vec<_> = changes.iter().map(|c| (c.seq, c.tag, c.kind, c.key.to_vec())).collect();
    let want = |seq, code| (seq, done.head.tag, ChangeKind::LINK, key(code).as_bytes().to_vec());
    assert_eq!(short, [want(1, "b"), want(2, "a"), want(3, "b")]);
    assert_eq!(record::decode(&changes[2].record).unwrap().state, LinkState::Deleted);
    assert_eq!(store.log_view(2, None).unwrap().tag_at_applied, Some(done.head.tag));
    assert_eq!(store.log_view(4, None).unwrap().tag_at_applied, None);
    let next = store.commit(&[create("c")], 8).unwrap().head;
    assert_eq!((next.epoch, next.seq), (epoch, 4));
    assert_ne!(next.tag, done.head.tag);
    assert_eq!(store.changes(3, ALL).unwrap().1.len(), 1);
}

fn a_group_that_changes_nothing_leaves_the_log_alone(store: &dyn Repository) {
    let head = store.commit(&[create("a")], 7).unwrap().head;
    let same = |create_time| {
        one("a", Intent::Import { draft: draft("https://a.example/?a=1#b"), create_time, update: false })
    };
    let done = store.commit(&[same(None), same(Some(7)), create("a"), same(Some(8))], 9).unwrap();
    assert_eq!(done.verdicts[..2], [Verdict::Same, Verdict::Same]);
    assert!(matches!(done.verdicts[3], Verdict::Refused(Rejection::Exists(_))));
    assert_eq!((done.head, store.head().unwrap()), (head, head));
}

fn a_row_comes_back_as_it_was_and_a_deleted_one_keeps_its_fields(store: &dyn Repository) {
    let made = row(&store.commit(&[one("a/b", Intent::Create(full()))], 7).unwrap().verdicts[0]);
    assert_eq!((&made.link, &made.info), (&full().link, &full().info));
    assert_eq!(store.link(&key("a/b")).unwrap().1, Some(made.clone()));
    assert_eq!((made.version, made.create_time, made.update_time), (1, 7, 7));
    let gone = row(&store.commit(&[delete("a/b")], 9).unwrap().verdicts[0]);
    let want = Row { version: 2, update_time: 9, delete_time: Some(9), ..made };
    assert_eq!(gone, want);
    assert_eq!(store.link(&key("a/b")).unwrap().1, Some(want.clone()));
    assert_eq!(store.list(&DOMAIN, b"", true, ALL).unwrap().rows, [want]);
    assert!(store.list(&DOMAIN, b"", false, ALL).unwrap().rows.is_empty());
    let entries = store.walk(b"", ALL).unwrap().entries;
    assert_eq!(record::decode(&entries[0].record).unwrap().state, LinkState::Deleted);
}

fn keys_are_in_the_order_of_their_bytes_whatever_letters_they_have(store: &dyn Repository) {
    let codes = ["a", "b", "b+(1)", "b:x", "bz", "b\u{fc}", "b\u{fc}cher", "\u{4e16}\u{754c}", "\u{1f600}"];
    let shuffled = codes.iter().rev().map(|code| create(code)).collect::<Vec<_>>();
    store.commit(&shuffled, 1).unwrap();
    let listed = |prefix: &str| {
        let prefix = [&DOMAIN[..], prefix.as_bytes()].concat();
        let rows = store.list(&prefix, b"", true, ALL).unwrap().rows;
        rows.iter().map(|row| String::from_utf8(row.key.code().to_vec()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(listed(""), codes);
    assert_eq!(listed("b"), codes[1..7]);
    assert_eq!(listed("b\u{fc}"), codes[5..7]);
    let walked = store.walk(key("b\u{fc}").as_bytes(), ALL).unwrap().entries;
    let walked: Vec<_> =
        walked.iter().map(|entry| String::from_utf8(entry.key[4..].to_vec()).unwrap()).collect();
    assert_eq!(walked, codes[6..]);
}

fn reads_keep_their_limits_and_go_on_behind_a_key(store: &dyn Repository) {
    let codes: Vec<String> = (0..10).map(|n| format!("c{n}")).collect();
    store.commit(&codes.iter().map(|code| create(code)).collect::<Vec<_>>(), 1).unwrap();
    let four = Limit { rows: 4, bytes: usize::MAX };
    let (mut after, mut seen, mut pages) = (Vec::new(), Vec::new(), 0);
    loop {
        let part = store.walk(&after, four).unwrap();
        after = part.entries.last().unwrap().key.to_vec();
        seen.extend(part.entries.iter().map(|e| String::from_utf8(e.key[4..].to_vec()).unwrap()));
        pages += 1;
        if !part.more {
            break;
        }
    }
    assert_eq!((seen, pages), (codes.clone(), 3));
    let list = store.list(&DOMAIN, key("c3").as_bytes(), false, four).unwrap();
    let listed: Vec<_> = list.rows.iter().map(|row| row.key.clone()).collect();
    assert_eq!((listed, list.more), (codes[4..8].iter().map(|code| key(code)).collect(), true));
    assert!(!store.list(&DOMAIN, key("c5").as_bytes(), false, four).unwrap().more);
    assert!(store.list(&[0, 0, 0, 1], b"", false, ALL).unwrap().rows.is_empty());
    assert_eq!(store.changes(0, four).unwrap().1.len(), 4);
    let one_byte = Limit { rows: 100, bytes: 1 };
    assert_eq!(store.changes(0, one_byte).unwrap().1.len(), 1);
    assert_eq!(store.walk(b"", one_byte).unwrap().entries.len(), 1);
    let asked = [key("c7"), key("none"), key("c1")].map(|key| bytes::Bytes::copy_from_slice(key.as_bytes()));
    let fetched = store.records(&asked).unwrap();
    let versions: Vec<_> =
        fetched.entries.iter().map(|e| record::decode(&e.record).ok().map(|v| v.version)).collect();
    assert_eq!((fetched.head.seq, fetched.domains, versions), (10, 0, vec![Some(8), None, Some(2)]));
}

fn lists_narrow_by_what_codes_begin_with_and_go_by_time(store: &dyn Repository) {
    let made = |codes: &[&str], now| {
        let head =
            store.commit(&codes.iter().map(|code| create(code)).collect::<Vec<_>>(), now).unwrap().head;
        assert!(head.seq > 0);
    };
    made(&["b", "ab", "abc"], 5);
    made(&["a", "abd/x", "ac"], 7);
    store.commit(&[delete("ac")], 8).unwrap();
    let rename = Intent::Update { fields: vec![Field::Title("new".into())], etag: None };
    store.commit(&[one("b", rename)], 9).unwrap();
    let codes = |listed: &ListPage| -> Vec<String> {
        listed.rows.iter().map(|row| String::from_utf8(row.key.code().to_vec()).unwrap()).collect()
    };
    let begin = [&DOMAIN[..], b"ab"].concat();
    assert_eq!(codes(&store.list(&begin, b"", false, ALL).unwrap()), ["ab", "abc", "abd/x"]);
    let behind = store.list(&begin, key("ab").as_bytes(), false, Limit { rows: 1, ..ALL }).unwrap();
    assert_eq!((codes(&behind), behind.more), (vec!["abc".into()], true));
    let last = store.list(&begin, key("abd/x").as_bytes(), false, ALL).unwrap();
    assert_eq!((codes(&last), last.more), (vec![], false), "what begins otherwise does not count");
    let newest = |domain, time, behind: (i64, &[u8]), deleted, rows| {
        let listed = store.newest(DomainId(domain), time, behind, deleted, Limit { rows, ..ALL }).unwrap();
        (codes(&listed), listed.more)
    };
    let all = (i64::MAX, &b""[..]);
    let want = |codes: &[&str], more| (codes.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>(), more);
    let made = &["ac", "abd/x", "a", "b", "abc", "ab"];
    assert_eq!(newest(0, TimeOrder::Create, all, true, 9), want(made, false));
    assert_eq!(newest(0, TimeOrder::Create, all, false, 2), want(&made[1..3], true));
    assert_eq!(newest(0, TimeOrder::Create, (7, key("a").as_bytes()), false, 9), want(&made[3..], false));
    assert_eq!(newest(0, TimeOrder::Create, (6, b""), false, 1), want(&["b"], true));
    assert_eq!(
        newest(0, TimeOrder::Update, all, true, 9),
        want(&["b", "ac", "abd/x", "a", "abc", "ab"], false)
    );
    assert_eq!(newest(1, TimeOrder::Update, all, true, 9), want(&[], false));
}

fn a_retry_is_answered_for_48_hours(store: &dyn Repository) {
    const HOURS: i64 = 3_600_000;
    let retry = |id: &str, hash| {
        Some(Retry { principal: String::new(), method: "CreateLink", id: id.into(), hash: [hash; 16] })
    };
    let with = |code: &str, id: &str, hash| Request { retry: retry(id, hash), ..create(code) };
    let done = |item, now| store.commit(&[item], now).unwrap().verdicts.remove(0);
    assert!(matches!(done(with("a", "x", 1), 0), Verdict::Created(_)));
    assert!(matches!(done(with("a", "x", 1), 1), Verdict::Before(_)));
    assert_eq!(done(with("a", "x", 2), 1), Verdict::Refused(Rejection::IdempotencyMismatch));
    assert!(matches!(done(with("a", "x", 1), 48 * HOURS - 1), Verdict::Before(_)));
    assert!(matches!(done(with("a", "x", 1), 48 * HOURS), Verdict::Refused(Rejection::Exists(_))));
    assert!(matches!(done(with("b", "x", 3), 48 * HOURS), Verdict::Created(_)));
    assert_eq!(store.head().unwrap().seq, 2);
}

fn a_fork_begins_a_higher_history_and_none_is_forgotten(store: &dyn Repository) {
    assert!(store.histories().unwrap().is_empty());
    let old = store.commit(&[create("a"), create("b")], 1).unwrap().head;
    let new = store.fork(6, 1, 70).unwrap();
    assert_eq!((new.epoch.counter, new.seq, new.tag), (7, 2, old.tag));
    let shared = |of: Epoch| store.log_view(1, Some(of)).unwrap().ancestor;
    assert_eq!((shared(old.epoch), shared(new.epoch)), (Some((old.epoch, 1)), None));
    let last = store.fork(0, 9, 80).unwrap();
    assert_eq!(last.epoch.counter, 8);
    assert_eq!(shared(new.epoch), Some((new.epoch, 2)), "nothing is shared behind the head");
    assert_eq!(shared(old.epoch), Some((old.epoch, 1)), "by way of two forks");
    let stranger = Epoch { random: old.epoch.random ^ 1, ..old.epoch };
    assert_eq!((shared(stranger), shared(last.epoch)), (None, None));
    let next = store.commit(&[create("c")], 2).unwrap().head;
    assert_eq!((next.epoch.counter, next.seq), (8, 3));
    let full = store.fork(u32::MAX, 0, 90);
    assert!(matches!(full, Err(StoreFault::Unavailable(_))));
    let history = |epoch, parent, fork_seq, at| History { epoch, parent, fork_seq, head: 2, at: Some(at) };
    let want = [history(last.epoch, new.epoch, 2, 80), history(new.epoch, old.epoch, 1, 70)];
    assert_eq!(store.histories().unwrap(), want);
}

fn edges_are_remembered_in_their_order(store: &dyn Repository) {
    let row = |edge: &str, incarnation, applied| SessionRow {
        edge: edge.into(),
        incarnation,
        epoch: Epoch { counter: 1, random: u32::MAX },
        applied,
        age: 7,
        own: true,
    };
    // Times of day are compared, and one store marks its own.
    let rows = |own: Option<&[SessionRow]>| {
        let rows = store.sessions(own).unwrap();
        assert!(rows.iter().all(|row| (0..60_000).contains(&row.age)), "{rows:?}");
        rows.into_iter().map(|row| SessionRow { age: 7, own: true, ..row }).collect::<Vec<_>>()
    };
    assert!(rows(None).is_empty());
    let own = [row("b", u64::MAX, None), row("a", 1, Some(9)), row("b", 2, Some(0))];
    assert_eq!(rows(Some(&own)), own);
    assert_eq!(rows(None), own);
    // The first may have left this control for another one.
    let left = usize::from(store.standing().is_none());
    assert_eq!(rows(Some(&own[1..])), own[left..]);
    assert_eq!(rows(None), own[left..]);
}

const DAY: i64 = 24 * 60 * 60 * 1000;

fn the_log_is_kept_for_7_days_and_its_last_change_for_ever(store: &dyn Repository) {
    let tags: Vec<u64> =
        (0..4).map(|n| store.commit(&[create(&format!("c{n}"))], n * DAY).unwrap().head.tag).collect();
    let oldest = |now| {
        let done = store.tidy(now).unwrap();
        assert_eq!((done.head.seq, done.more), (4, false));
        let log = store.log_view(4, None).unwrap();
        assert_eq!(log.tag_at_applied, Some(tags[3]));
        log.oldest
    };
    assert_eq!(oldest(7 * DAY - 1), 1);
    assert_eq!(oldest(7 * DAY), 2);
    assert_eq!(store.log_view(1, None).unwrap().tag_at_applied, None);
    assert_eq!(store.log_view(2, None).unwrap().tag_at_applied, Some(tags[1]));
    assert_eq!(oldest(20 * DAY), 4);
    assert_eq!(store.walk(b"", ALL).unwrap().entries.len(), 4, "links stay");
    assert_eq!(store.commit(&[create("d")], 21 * DAY).unwrap().head.seq, 5);
}

fn of_a_long_log_a_proof_stays_for_every_10_000th_change(store: &dyn Repository) {
    let rows = |n: usize| (0..5_000).map(|i| create(&format!("c{n}/{i}"))).collect::<Vec<_>>();
    let tags: Vec<u64> = (0..3).map(|n| store.commit(&rows(n), 0).unwrap().head.tag).collect();
    let mut steps = 0;
    while store.tidy(7 * DAY).unwrap().more {
        steps += 1;
    }
    assert_eq!((steps, store.log_view(0, None).unwrap().oldest), (14, 15_000), "1,000 at a time");
    assert_eq!(store.log_view(10_000, None).unwrap().tag_at_applied, Some(tags[1]));
    assert_eq!(store.log_view(9_999, None).unwrap().tag_at_applied, None);
    assert_eq!(store.log_view(15_000, None).unwrap().tag_at_applied, Some(tags[2]));
}

fn a_tombstone_goes_through_the_log_after_30_days(store: &dyn Repository) {
    let all: Vec<Request> = (0..300).map(|n| create(&format!("c{n}"))).collect();
    store.commit(&all, 0).unwrap();
    let gone: Vec<Request> = (1..300).map(|n| delete(&format!("c{n}"))).collect();
    assert_eq!(store.commit(&gone, DAY).unwrap().head.seq, 599);
    let again = |now| store.commit(&[create("c1")], now).unwrap().verdicts.remove(0);
    assert_eq!(store.tidy(31 * DAY - 1).unwrap().head.seq, 599);
    let taken = Rejection::CodeDeleted { name: "domains/-/links/c1".into(), until: 31 * DAY };
    assert_eq!(
        Fault::from(taken.clone()).to_string(),
        "domains/-/links/c1 is deleted, and its code stays taken until 1970-02-01T00:00:00Z: linkr link undelete c1 brings \
         it back (REST: POST /v1/domains/-/links/c1:undelete). A code that was clicked is never free again"
    );
    assert_eq!(again(31 * DAY - 1), Verdict::Refused(taken));
    let done = store.tidy(31 * DAY).unwrap();
    assert_eq!((done.head.seq, done.more), (599 + 256, true));
    let done = store.tidy(31 * DAY).unwrap();
    assert_eq!((done.head.seq, done.more), (599 + 299, false));
    let (head, changes) = store.changes(599, ALL).unwrap();
    assert_eq!((head, changes.len()), (done.head, 299));
    assert!(changes.iter().all(|change| change.kind == ChangeKind::PURGE && change.record.is_empty()));
    assert!(changes.iter().zip(600..).all(|(change, seq)| change.seq == seq));
    assert_eq!(store.walk(b"", ALL).unwrap().entries.len(), 1);
    assert_eq!(store.link(&key("c1")).unwrap().1, None);
    assert!(matches!(again(31 * DAY), Verdict::Created(row) if row.version == 599 + 300));
}

fn a_closed_store_answers_nothing(store: &dyn Repository) {
    store.commit(&[create("a")], 1).unwrap();
    store.close();
    assert!(matches!(store.head(), Err(StoreFault::Unavailable(_))));
    assert!(matches!(store.commit(&[create("b")], 1), Err(StoreFault::Unavailable(_))));
}

pub fn key_row(n: u8, expire_time: Option<i64>) -> KeyRow {
    KeyRow {
        id: format!("{n:016x}"),
        hash: [n; 32],
        client: "a".into(),
        scopes: Scopes::of(&[Scope::LinksRead, Scope::Feed]),
        domains: vec!["-".into(), "a.example".into()],
        edge: Some("fra-1".into()),
        create_time: 10,
        expire_time,
        revoke_time: None,
        last_use: None,
    }
}

/// Found by attack: each change of one key read all of them, at every control.
fn what_changed_of_the_keys_is_read_and_no_more(store: &dyn Repository) {
    let keys = store.key_rows();
    let row = |n: u8| KeyRow { client: n.to_string(), ..key_row(n, None) };
    let put = |n: u8| assert!(keys.put_key(&row(n), 1, &by("CreateKey")).unwrap());
    let ids = |rows: Vec<KeyRow>| rows.into_iter().map(|row| row.hash[0]).collect::<Vec<_>>();
    (1..=9).for_each(put);
    let (mark, all) = keys.keys_since(KeyMark::NONE).unwrap();
    assert_eq!(ids(all), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(keys.keys_since(mark).unwrap(), (mark, Vec::new()));
    put(10);
    keys.revoke_key(&row(3), 20, &by("RevokeKey")).unwrap();
    let (next, changed) = keys.keys_since(mark).unwrap();
    assert_eq!(next.version, mark.version + 2);
    assert_eq!(changed.iter().map(|row| row.revoke_time).collect::<Vec<_>>(), [Some(20), None]);
    assert_eq!(ids(changed), [3, 10]);
    // What changes nothing makes nobody read: neither a key that is refused nor one that is revoked once more.
    assert!(!keys.put_key(&KeyRow { client: "4".into(), ..row(11) }, 1, &by("CreateKey")).unwrap());
    keys.revoke_key(&row(3), 21, &by("RevokeKey")).unwrap();
    assert_eq!(keys.keys_since(next).unwrap(), (next, Vec::new()));
    // Where a note is missing it cannot be told what changed: all are read.
    let missed = KeyMark { version: mark.version - 1, ..mark };
    assert_eq!(ids(keys.keys_since(missed).unwrap().1).len(), 10);
    put(11);
    assert_eq!(ids(keys.keys_since(next).unwrap().1), [11]);
}

fn keys_are_kept_counted_and_revoked(store: &dyn Repository) {
    let row = key_row;
    let keys = store.key_rows();
    let version = keys.key_version().unwrap();
    assert_eq!(keys.keys_behind("", 99).unwrap(), []);
    let put = |row: &KeyRow| keys.put_key(row, 2, &by("CreateKey")).unwrap();
    assert!(put(&row(1, Some(10))), "what has expired does not count");
    assert!(put(&row(2, Some(11))));
    assert!(put(&row(3, None)));
    let raised = keys.key_version().unwrap();
    assert!(raised > version);
    assert!(!put(&row(4, None)));
    assert!(put(&KeyRow { client: "b".into(), ..row(5, None) }));
    let elsewhere = KeyRow { domains: vec!["b.example".into()], edge: None, ..row(6, None) };
    assert!(put(&elsewhere), "keys for other domains do not count");
    keys.revoke_key(&row(3, None), 20, &by("RevokeKey")).unwrap();
    keys.revoke_key(&row(3, None), 21, &by("RevokeKey")).unwrap();
    assert!(keys.key_version().unwrap() > raised);
    assert!(put(&row(4, None)), "what was revoked does not count");
    let uses = [(row(2, None).id, 30), (row(4, None).id, 31)];
    keys.use_keys(&uses).unwrap();
    keys.use_keys(&[(row(2, None).id, 29)]).unwrap();
    let want = [
        row(1, Some(10)),
        KeyRow { last_use: Some(30), ..row(2, Some(11)) },
        KeyRow { revoke_time: Some(20), ..row(3, None) },
        KeyRow { client: "b".into(), ..row(5, None) },
        elsewhere,
        KeyRow { last_use: Some(31), ..row(4, None) },
    ];
    assert_eq!(keys.keys_behind("", 99).unwrap(), want);
    assert_eq!(keys.keys_behind("", 2).unwrap(), want[..2]);
    assert_eq!(keys.keys_behind(&want[1].id, 3).unwrap(), want[2..5]);
    assert_eq!(keys.keys_behind(&want[5].id, 99).unwrap(), []);
    // Each is noted once, with the time of the write; a refused one and a second revocation are not.
    let noted = store.noted("", i64::MAX, 99).unwrap();
    let short: Vec<_> =
        noted.iter().rev().map(|noted| (&noted.name[20..], noted.at, &*noted.who.method)).collect();
    let made = |id, at| (id, at, "CreateKey");
    assert_eq!(
        short,
        [
            made("1", 10),
            made("2", 10),
            made("3", 10),
            made("5", 10),
            made("6", 10),
            ("3", 20, "RevokeKey"),
            made("4", 10)
        ]
    );
    let third = store.noted(&format!("keys/{}", row(3, None).id), i64::MAX, 99).unwrap();
    let states: Vec<_> =
        third.iter().map(|noted| (noted.before.is_some(), noted.after == third[1].after)).collect();
    assert_eq!(
        (states, &third[0].before),
        (vec![(true, false), (false, true)], &Some(third[1].after.clone()))
    );
    assert_eq!(store.noted("", noted[1].number, 2).unwrap(), noted[2..4]);
    assert!(
        noted.iter().all(|noted| !noted
            .after
            .windows(32)
            .any(|part| part[0] > 0 && part.iter().all(|b| *b == part[0]))),
        "no hash"
    );
    for (now, left) in [(9, 7), (10, 0)] {
        store.tidy(400 * 24 * 60 * 60 * 1000 + now).unwrap();
        assert_eq!(store.noted("", i64::MAX, 99).unwrap().len(), left);
    }
}

/// Every case on a fresh store of its own.
pub fn suite(with_fresh: impl Fn(fn(&dyn Repository))) {
    with_fresh(a_fresh_store_has_a_history_and_nothing_in_it);
    with_fresh(a_group_is_numbered_densely_under_one_tag);
    with_fresh(a_group_that_changes_nothing_leaves_the_log_alone);
    with_fresh(a_row_comes_back_as_it_was_and_a_deleted_one_keeps_its_fields);
    with_fresh(keys_are_in_the_order_of_their_bytes_whatever_letters_they_have);
    with_fresh(reads_keep_their_limits_and_go_on_behind_a_key);
    with_fresh(lists_narrow_by_what_codes_begin_with_and_go_by_time);
    with_fresh(a_retry_is_answered_for_48_hours);
    with_fresh(a_fork_begins_a_higher_history_and_none_is_forgotten);
    with_fresh(edges_are_remembered_in_their_order);
    with_fresh(the_log_is_kept_for_7_days_and_its_last_change_for_ever);
    with_fresh(of_a_long_log_a_proof_stays_for_every_10_000th_change);
    with_fresh(a_tombstone_goes_through_the_log_after_30_days);
    with_fresh(super::domains::a_domain_is_a_change_of_the_log);
    with_fresh(super::leads::a_store_gives_back_all_that_a_domain_says);
    with_fresh(super::leads::a_store_finds_the_codes_that_end_in_punctuation);
    with_fresh(super::domains::a_write_of_a_domain_is_safe_to_repeat);
    with_fresh(super::domains::a_domain_that_is_deleted_leaves_its_number);
    with_fresh(super::domains::a_domain_keeps_its_files);
    super::audits::suite(&with_fresh);
    super::external_ids::suite(&with_fresh);
    super::identity::suite(&with_fresh);
    super::tags::suite(&with_fresh);
    super::blocks::suite(&with_fresh);
    with_fresh(keys_are_kept_counted_and_revoked);
    with_fresh(what_changed_of_the_keys_is_read_and_no_more);
    with_fresh(a_closed_store_answers_nothing);
}

#[test]
fn sqlite() {
    suite(|case| {
        let folder = Folder::new();
        let store = Sqlite::open(&folder.db(), Options::default()).unwrap();
        case(&store);
    });
}

#[test]
fn postgres() {
    let _server = Database::new(); // else each case would start one
    suite(|case| {
        if let Some(db) = Database::new() {
            case(&db.open());
        }
    });
}

#[test]
fn sqlite_keeps_everything_over_a_restart() {
    let folder = Folder::new();
    let open = || Sqlite::open(&folder.db(), Options::default()).unwrap();
    let first = open();
    let head = first.commit(&[create("a")], 1).unwrap().head;
    let refused = Sqlite::open(&folder.db(), Options::default()).unwrap_err().to_string();
    assert!(refused.contains("in use by another linkr"), "{refused}");
    first.close();
    let second = open();
    // A new history, which goes on where the old one stood: the file could have been put back meanwhile.
    let now = second.head().unwrap();
    assert_eq!((now.epoch.counter, now.seq, now.tag), (2, head.seq, head.tag));
    assert_eq!(second.log_view(1, Some(head.epoch)).unwrap().ancestor, Some((head.epoch, 1)));
    assert_eq!(second.histories().unwrap().len(), 1);
    assert!(second.link(&key("a")).unwrap().1.is_some());
}
