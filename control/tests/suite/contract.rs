//! What every `Repository` must do, mounted over each of them. No server is here.

use super::world::Folder;
use control::Fault;
use control::adapter::sqlite::{Options, Sqlite};
use control::journal::{Draft, Intent, Item, Retry, Verdict};
use control::port::{Info, Limit, Repository, Row, StoreFault};
use link::{ChangeKind, Code, DomainId, Key, Link, LinkParts, State, Status, Target};

const ALL: Limit = Limit { rows: 1_000, bytes: usize::MAX };
const DOMAIN: [u8; 4] = [0; 4];

fn key(code: &str) -> Key {
    Key::new(DomainId::DEFAULT, &Code::new(code).unwrap())
}

fn draft(target: &str) -> Draft {
    let parts = LinkParts {
        status: Status::PermanentRedirect,
        max_age: Some(60),
        not_before: Some(-5),
        expire: Some(1_700_000_000_123),
        ..LinkParts::to(Target::given(target, &[]).unwrap())
    };
    let info = Info { title: "t".into(), tags: vec!["x".into(), "\"y\" é".into()], note: "n".into() };
    Draft { link: Link::new(parts).unwrap(), info }
}

fn create(code: &str) -> Item {
    Item { key: key(code), intent: Intent::Create(draft("https://a.example/?a=1#b")), retry: None }
}

fn delete(code: &str) -> Item {
    Item { key: key(code), intent: Intent::Delete { etag: None }, retry: None }
}

fn row(verdict: &Verdict) -> Row {
    match verdict {
        Verdict::Created(row) | Verdict::Changed(row) => row.clone(),
        other => panic!("{other:?}"),
    }
}

fn a_fresh_store_has_a_history_and_nothing_in_it(store: &dyn Repository) {
    let head = store.head().unwrap();
    assert_eq!((head.epoch.counter, head.seq, head.tag), (1, 0, 0));
    let log = store.log_view(0).unwrap();
    assert_eq!((log.head, log.parent, log.oldest, log.tag_at_applied), (head, None, 1, Some(0)));
    assert_eq!(store.changes(0, ALL).unwrap(), (head, vec![]));
    let walked = store.walk(b"", ALL).unwrap();
    assert_eq!((walked.head, walked.entries.len(), walked.more), (head, 0, false));
    assert!(store.list(&DOMAIN, b"", true, ALL).unwrap().rows.is_empty());
    assert_eq!(store.link(&key("a")).unwrap(), (head.epoch, None));
}

fn a_group_is_numbered_densely_under_one_tag(store: &dyn Repository) {
    let epoch = store.head().unwrap().epoch;
    let done = store.commit(&[create("b"), create("b"), create("a"), delete("b")], 7).unwrap();
    assert_eq!(done.verdicts[1], Verdict::Refused(Fault::Exists("domains/-/links/b".into())));
    assert_eq!((done.head.seq, store.head().unwrap()), (3, done.head));
    let (head, changes) = store.changes(0, ALL).unwrap();
    assert_eq!(head, done.head);
    let short: Vec<_> = changes.iter().map(|c| (c.seq, c.tag, c.kind, c.key.to_vec())).collect();
    let want = |seq, code| (seq, done.head.tag, ChangeKind::LINK, key(code).as_bytes().to_vec());
    assert_eq!(short, [want(1, "b"), want(2, "a"), want(3, "b")]);
    assert_eq!(proto::decode(&changes[2].record).unwrap().state, State::Deleted);
    assert_eq!(store.log_view(2).unwrap().tag_at_applied, Some(done.head.tag));
    assert_eq!(store.log_view(4).unwrap().tag_at_applied, None);
    let next = store.commit(&[create("c")], 8).unwrap().head;
    assert_eq!((next.epoch, next.seq), (epoch, 4));
    assert_ne!(next.tag, done.head.tag);
    assert_eq!(store.changes(3, ALL).unwrap().1.len(), 1);
}

fn a_group_that_changes_nothing_leaves_the_log_alone(store: &dyn Repository) {
    let head = store.commit(&[create("a")], 7).unwrap().head;
    let same = |create_time| Item {
        key: key("a"),
        intent: Intent::Import { draft: draft("https://a.example/?a=1#b"), create_time, update: false },
        retry: None,
    };
    let done = store.commit(&[same(None), same(Some(7)), create("a"), same(Some(8))], 9).unwrap();
    assert_eq!(done.verdicts[..2], [Verdict::Same, Verdict::Same]);
    assert!(matches!(done.verdicts[3], Verdict::Refused(Fault::Exists(_))));
    assert_eq!((done.head, store.head().unwrap()), (head, head));
}

fn a_row_comes_back_as_it_was_and_a_deleted_one_keeps_its_fields(store: &dyn Repository) {
    let made = row(&store.commit(&[create("a/b")], 7).unwrap().verdicts[0]);
    assert_eq!(store.link(&key("a/b")).unwrap().1, Some(made.clone()));
    assert_eq!((made.version, made.create_time, made.update_time), (1, 7, 7));
    let gone = row(&store.commit(&[delete("a/b")], 9).unwrap().verdicts[0]);
    let want = Row { version: 2, update_time: 9, delete_time: Some(9), ..made };
    assert_eq!(gone, want);
    assert_eq!(store.link(&key("a/b")).unwrap().1, Some(want.clone()));
    assert_eq!(store.list(&DOMAIN, b"", true, ALL).unwrap().rows, [want]);
    assert!(store.list(&DOMAIN, b"", false, ALL).unwrap().rows.is_empty());
    let entries = store.walk(b"", ALL).unwrap().entries;
    assert_eq!(proto::decode(&entries[0].record).unwrap().state, State::Deleted);
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
    let (head, records) = store.records(&asked).unwrap();
    let versions: Vec<_> = records.iter().map(|e| proto::decode(&e.record).ok().map(|v| v.version)).collect();
    assert_eq!((head.seq, versions), (10, vec![Some(8), None, Some(2)]));
}

fn a_retry_is_answered_for_48_hours(store: &dyn Repository) {
    const HOURS: i64 = 3_600_000;
    let retry = |id: &str, hash| {
        Some(Retry { principal: String::new(), method: "CreateLink", id: id.into(), hash: [hash; 16] })
    };
    let with = |code: &str, id: &str, hash| Item { retry: retry(id, hash), ..create(code) };
    let one = |item, now| store.commit(&[item], now).unwrap().verdicts.remove(0);
    assert!(matches!(one(with("a", "x", 1), 0), Verdict::Created(_)));
    assert!(matches!(one(with("a", "x", 1), 1), Verdict::Before(_)));
    assert_eq!(one(with("a", "x", 2), 1), Verdict::Refused(Fault::IdempotencyMismatch));
    assert!(matches!(one(with("a", "x", 1), 48 * HOURS - 1), Verdict::Before(_)));
    assert!(matches!(one(with("a", "x", 1), 48 * HOURS), Verdict::Refused(Fault::Exists(_))));
    assert!(matches!(one(with("b", "x", 3), 48 * HOURS), Verdict::Created(_)));
    assert_eq!(store.head().unwrap().seq, 2);
}

fn a_fork_begins_a_higher_history_that_shares_nothing(store: &dyn Repository) {
    let old = store.commit(&[create("a")], 1).unwrap().head;
    let new = store.fork(6).unwrap();
    assert_eq!((new.epoch.counter, new.seq, new.tag), (7, 1, old.tag));
    assert_eq!(store.log_view(1).unwrap().parent, Some((old.epoch, 0)));
    assert_eq!(store.fork(0).unwrap().epoch.counter, 8);
    let next = store.commit(&[create("b")], 2).unwrap().head;
    assert_eq!((next.epoch.counter, next.seq), (8, 2));
    let full = store.fork(u32::MAX);
    assert!(matches!(full, Err(StoreFault::Unavailable(_))));
}

fn a_closed_store_answers_nothing(store: &dyn Repository) {
    store.commit(&[create("a")], 1).unwrap();
    store.close();
    assert!(matches!(store.head(), Err(StoreFault::Unavailable(_))));
    assert!(matches!(store.commit(&[create("b")], 1), Err(StoreFault::Unavailable(_))));
}

/// Every case on a fresh store of its own.
fn suite(with_fresh: impl Fn(fn(&dyn Repository))) {
    with_fresh(a_fresh_store_has_a_history_and_nothing_in_it);
    with_fresh(a_group_is_numbered_densely_under_one_tag);
    with_fresh(a_group_that_changes_nothing_leaves_the_log_alone);
    with_fresh(a_row_comes_back_as_it_was_and_a_deleted_one_keeps_its_fields);
    with_fresh(reads_keep_their_limits_and_go_on_behind_a_key);
    with_fresh(a_retry_is_answered_for_48_hours);
    with_fresh(a_fork_begins_a_higher_history_that_shares_nothing);
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
fn sqlite_keeps_everything_over_a_restart() {
    let folder = Folder::new();
    let open = || Sqlite::open(&folder.db(), Options::default()).unwrap();
    let first = open();
    let head = first.commit(&[create("a")], 1).unwrap().head;
    let refused = Sqlite::open(&folder.db(), Options::default()).unwrap_err().to_string();
    assert!(refused.contains("in use by another linkr"), "{refused}");
    first.close();
    let second = open();
    assert_eq!(second.head().unwrap(), head);
    assert!(second.link(&key("a")).unwrap().1.is_some());
}
