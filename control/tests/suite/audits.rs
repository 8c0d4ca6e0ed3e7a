//! What every store must note about its writes: mounted over each of them, as the contract is.

use super::contract::{create, delete, draft, key, key_row, row};
use super::domains::make;
use super::postgres::Database;
use super::world::Folder;
use journal::{Field, Intent, Item, Rejection, Request, RequestKind, Retry, Verdict};
use store::model::{Author, Row};
use store::port::{Moment, NotedAuthor, Repository};
use store::sqlite::{Options, Sqlite};

const DAY: i64 = 24 * 60 * 60 * 1000;

fn by(method: &'static str, id: &str) -> Option<Author> {
    Some(Author { principal: "ops é".into(), method, request_id: id.into() })
}

fn who(method: &str, id: &str) -> NotedAuthor {
    NotedAuthor { principal: "ops é".into(), method: method.into(), request_id: id.into() }
}

fn told(request: Request, id: &str) -> Request {
    Request { by: by("Test", id), ..request }
}

fn item(code: &str, intent: Intent) -> Item {
    Item { key: key(code), intent }
}

fn disable(code: &str) -> Request {
    item(code, Intent::Update { fields: vec![Field::Disabled(true)], etag: None }).into()
}

fn rows(store: &dyn Repository, requests: &[Request], now: i64) -> Vec<Row> {
    store.commit(requests, now).unwrap().verdicts.iter().map(row).collect()
}

/// Numbers and request ids.
fn short(store: &dyn Repository, code: &str, most: u64, limit: usize) -> Vec<(u64, String)> {
    let writes = store.writes(&key(code), most, limit).unwrap().writes;
    writes.into_iter().map(|write| (write.seq, write.who.request_id)).collect()
}

fn every_write_is_noted_with_what_was_before(store: &dyn Repository) {
    let epoch = store.head().unwrap().epoch;
    let none = store.writes(&key("a"), 9, 9).unwrap();
    assert_eq!((none.epoch, none.row, none.writes), (epoch, None, vec![]));
    let made = rows(store, &[told(create("a"), "1"), told(create("b"), "2"), told(disable("a"), "3")], 7);
    let gone = rows(store, &[told(delete("a"), "4"), disable("b")], 9);
    let traced = store.writes(&key("a"), u64::MAX, 9).unwrap();
    assert_eq!((traced.epoch, traced.row.as_ref()), (epoch, Some(&gone[0])));
    let states: Vec<_> = traced.writes.iter().map(|w| (w.seq, w.before.as_ref(), &w.after)).collect();
    let want = [(4, Some(&made[2]), &gone[0]), (3, Some(&made[0]), &made[2]), (1, None, &made[0])];
    assert_eq!(states, want);
    assert_eq!(traced.writes[2].who, who("Test", "1"));
    let numbers = |most, limit| short(store, "a", most, limit).into_iter().map(|w| w.0).collect::<Vec<_>>();
    assert_eq!((numbers(3, 9), numbers(9, 2), numbers(2, 9)), (vec![3, 1], vec![4, 3], vec![1]));
    assert_eq!(short(store, "b", 9, 9), [(2, "2".to_owned())], "whoever has no name is not noted");
    let after = |moment| {
        let traced = store.write_after(&key("a"), moment).unwrap();
        assert_eq!(traced.row.as_ref(), Some(&gone[0]));
        traced.writes.iter().map(|write| write.seq).collect::<Vec<_>>()
    };
    assert_eq!(after(Moment::Seq(1)), [3]);
    assert_eq!(after(Moment::Seq(3)), [4]);
    assert_eq!(after(Moment::Seq(u64::MAX)), [0; 0]);
    assert_eq!(
        (after(Moment::Time(6)), after(Moment::Time(7)), after(Moment::Time(9))),
        (vec![1], vec![4], vec![])
    );
    assert_eq!(store.write_after(&key("none"), Moment::Seq(0)).unwrap().row, None);
}

fn a_chunk_is_noted_in_one_row_and_what_it_replaces_in_full(store: &dyn Repository) {
    let import = |code: &str, target: &str| {
        item(code, Intent::Import { draft: draft(target), create_time: Some(1), update: true })
    };
    let chunk = |items: Vec<Item>, id| Request {
        items,
        kind: RequestKind::Chunk,
        by: by("ImportLinks", id),
        retry: None,
    };
    rows(store, &[create("old")], 1); // 1
    let new = |n: usize| import(&format!("c{n}"), "https://a.example/");
    let mut items: Vec<_> = (0..1_000).map(new).collect();
    items.insert(500, import("old", "https://b.example/"));
    let done = rows(store, &[chunk(items, "x")], 7); // 2 to 1,002
    assert_eq!((done[500].version, done[1_000].version), (502, 1_002));
    rows(
        store,
        &[chunk(vec![import("c0", "https://b.example/"), import("d", "https://a.example/")], "y")],
        8,
    );
    assert_eq!(short(store, "c1", u64::MAX, 9), []);
    assert_eq!(short(store, "old", u64::MAX, 9), [(502, "x".to_owned())]);
    let replaced = store.writes(&key("c0"), u64::MAX, 9).unwrap().writes.remove(0);
    assert_eq!((replaced.seq, replaced.before.as_ref()), (1_003, Some(&done[0])));
    let chunk = |seq| store.chunk(seq).unwrap();
    assert_eq!((chunk(1), chunk(1_003), chunk(1_005)), (None, None, None));
    for seq in [2, 501, 1_002] {
        assert_eq!(chunk(seq), Some(who("ImportLinks", "x")), "{seq}");
    }
    assert_eq!(chunk(1_004), Some(who("ImportLinks", "y")));
}

fn a_batch_is_written_whole_or_not_at_all(store: &dyn Repository) {
    let batch = |codes: &[&str], hash| Request {
        items: codes.iter().flat_map(|code| create(code).items).collect(),
        kind: RequestKind::Batch,
        by: by("BatchCreateLinks", "r"),
        retry: Some(Retry {
            principal: "p".into(),
            method: "BatchCreateLinks",
            id: "x".into(),
            hash: [hash; 16],
        }),
    };
    let refused = Verdict::Refused(Rejection::Exists("domains/-/links/a".into()));
    let done = store.commit(&[create("a"), batch(&["b", "a", "c"], 1), create("d")], 7).unwrap();
    assert_eq!(done.head.seq, 2, "its numbers are given out again");
    assert_eq!(done.verdicts[1..4], [Verdict::Held, refused, Verdict::Held]);
    assert_eq!(row(&done.verdicts[4]).version, 2);
    assert!(store.link(&key("b")).unwrap().1.is_none() && short(store, "b", 9, 9).is_empty());
    // A refusal is not remembered; what was written is.
    let done = store.commit(&[batch(&["b", "c"], 2)], 8).unwrap();
    assert_eq!(done.verdicts.iter().map(|v| row(v).version).collect::<Vec<_>>(), [3, 4]);
    assert_eq!((short(store, "b", 9, 9).len(), short(store, "c", 9, 9).len()), (1, 1));
    let again = store.commit(&[batch(&["b", "c"], 2), batch(&["b", "c"], 3)], 9).unwrap();
    assert_eq!(again.head, done.head);
    assert!(matches!(again.verdicts[..2], [Verdict::Before(_), Verdict::Before(_)]));
    assert_eq!(again.verdicts[2..], [(); 2].map(|()| Verdict::Refused(Rejection::IdempotencyMismatch)));
    let changes = store.changes(0, store::port::Limit { rows: 99, bytes: usize::MAX }).unwrap().1;
    assert_eq!(changes.iter().map(|change| change.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

fn a_deleted_link_comes_back_and_so_does_an_old_state(store: &dyn Repository) {
    let one =
        |code: &str, intent, now| store.commit(&[item(code, intent).into()], now).unwrap().verdicts.remove(0);
    let made = rows(store, &[create("a")], 1).remove(0);
    let undelete = |etag| Intent::Undelete { etag };
    assert_eq!(one("a", undelete(None), 2), Verdict::Refused(Rejection::Exists("domains/-/links/a".into())));
    assert_eq!(
        one("b", undelete(None), 2),
        Verdict::Refused(Rejection::NotFound("domains/-/links/b".into()))
    );
    rows(store, &[delete("a")], 2);
    assert_eq!(one("a", undelete(Some(1)), 3), Verdict::Refused(Rejection::EtagMismatch));
    let back = row(&one("a", undelete(Some(2)), 3));
    assert_eq!(back, Row { version: 3, update_time: 3, ..made.clone() });
    assert_eq!(store.link(&key("a")).unwrap().1, Some(back));
    let (_, changes) = store.changes(2, store::port::Limit { rows: 9, bytes: usize::MAX }).unwrap();
    let identity = link::LinkIdentity { uid: made.uid, version: 3 };
    assert_eq!(changes[0].record, record::encode_as(identity, &link::LinkState::Live(made.link.clone())));
    rows(store, &[disable("a"), delete("a")], 4);
    let restored =
        row(&one("a", Intent::Restore { draft: draft("https://a.example/?a=1#b"), etag: Some(5) }, 5));
    assert_eq!(restored, Row { version: 6, update_time: 5, ..made });
    assert_eq!(store.link(&key("a")).unwrap().1, Some(restored));
    // A purged one is gone.
    rows(store, &[delete("a")], 6);
    store.tidy(6 + 30 * DAY).unwrap();
    assert!(matches!(one("a", undelete(None), 7), Verdict::Refused(Rejection::NotFound(_))));
}

fn the_audit_is_kept_for_400_days(store: &dyn Repository) {
    rows(store, &[told(create("a"), "1")], 0);
    for n in 0..3 {
        let all: Vec<_> = (0..500).map(|i| told(create(&format!("c{n}/{i}")), "2")).collect();
        rows(store, &all, DAY);
    }
    rows(store, &[told(disable("a"), "3")], 2 * DAY);
    let sweep = |now| while store.tidy(now).unwrap().more {};
    let count = || short(store, "a", u64::MAX, 9).len();
    sweep(400 * DAY - 1);
    assert_eq!(count(), 2);
    sweep(400 * DAY);
    assert_eq!((count(), short(store, "c2/499", u64::MAX, 9).len()), (1, 1));
    assert!(store.tidy(401 * DAY).unwrap().more, "1,000 at a time");
    sweep(401 * DAY);
    assert_eq!((count(), short(store, "c2/499", u64::MAX, 9).len()), (1, 0));
    sweep(402 * DAY);
    assert_eq!(count(), 0);
}

/// Every case on a fresh store of its own.
pub fn suite(with_fresh: &impl Fn(fn(&dyn Repository))) {
    with_fresh(every_write_is_noted_with_what_was_before);
    with_fresh(a_chunk_is_noted_in_one_row_and_what_it_replaces_in_full);
    with_fresh(a_batch_is_written_whole_or_not_at_all);
    with_fresh(a_deleted_link_comes_back_and_so_does_an_old_state);
    with_fresh(the_audit_is_kept_for_400_days);
}

const WRITTEN: [(&str, &str); 5] = [
    ("links", "INSERT"),
    ("change_log", "INSERT"),
    ("idempotency", "INSERT"),
    ("audit", "INSERT"),
    ("log_head", "UPDATE"),
];

/// Whichever part of a write cannot be done, none of it is. `arm` makes one fail, `disarm` ends that.
fn all_or_nothing(
    store: &dyn Repository,
    arm: impl Fn(&str, &str),
    disarm: impl Fn(&str),
    count: impl Fn(&str) -> u64,
) {
    let counts = || WRITTEN.map(|(table, _)| count(table));
    for (n, (table, event)) in (1..).zip(WRITTEN) {
        let code = format!("c{n}");
        let request = Request {
            retry: Some(Retry { principal: "p".into(), method: "Test", id: code.clone(), hash: [0; 16] }),
            ..told(create(&code), "r")
        };
        let (before, head) = (counts(), store.head().unwrap());
        arm(table, event);
        assert!(store.commit(std::slice::from_ref(&request), 1).is_err(), "{table}");
        disarm(table);
        assert_eq!((counts(), store.head().unwrap()), (before, head), "{table}");
        let done = store.commit(&[request], 1).unwrap();
        assert_eq!((done.head.seq, counts()), (n, [n, n, n, n, 1]), "{table}");
    }
    // Nor a key or a domain that nobody would be named for.
    let state = || (store.head().unwrap(), ["keys", "domains", "admin_audit"].map(&count));
    let (before, by) = (state(), super::contract::by("Test"));
    arm("admin_audit", "INSERT");
    assert!(store.key_rows().put_key(&key_row(1, None), 2, &by).is_err());
    assert!(store.write_domain(&make(7, "a.example"), 1).is_err());
    disarm("admin_audit");
    assert_eq!(state(), before);
    assert!(store.key_rows().put_key(&key_row(1, None), 2, &by).unwrap());
    arm("admin_audit", "INSERT");
    assert!(store.key_rows().revoke_key(&key_row(1, None), 1, &by).is_err());
    disarm("admin_audit");
    assert_eq!(store.key_rows().keys_behind("", 99).unwrap()[0].revoke_time, None);
}

#[test]
fn a_write_its_audit_and_its_answer_are_there_together_or_not_at_all() {
    let folder = Folder::new();
    let store = Sqlite::open(&folder.db(), Options::default()).unwrap();
    let db = rusqlite::Connection::open(folder.db()).unwrap();
    let raise = |table: &str, event: &str| {
        let body = "BEGIN SELECT RAISE(ABORT, 'as it was told to'); END";
        db.execute_batch(&format!("CREATE TRIGGER no BEFORE {event} ON {table} {body}")).unwrap();
    };
    let count =
        |table: &str| db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
    all_or_nothing(&store, raise, |_| db.execute_batch("DROP TRIGGER no").unwrap(), count);
}

#[test]
fn the_same_on_postgres_and_when_it_is_the_commit_that_fails() {
    let Some(db) = Database::new() else { return };
    let body = "BEGIN RAISE EXCEPTION 'as it was told to'; END";
    for when in ["CREATE TRIGGER no BEFORE", "CREATE CONSTRAINT TRIGGER no AFTER"] {
        let store = db.open();
        db.sql(&format!("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"));
        let deferred = if when.contains("CONSTRAINT") { "DEFERRABLE INITIALLY DEFERRED" } else { "" };
        let raise = |table: &str, event: &str| {
            let on = format!("{when} {event} ON {table} {deferred}");
            db.sql(&format!("{on} FOR EACH ROW EXECUTE FUNCTION no()"));
        };
        let disarm = |table: &str| drop(db.sql(&format!("DROP TRIGGER no ON {table}")));
        all_or_nothing(&store, raise, disarm, |table| {
            db.sql(&format!("SELECT count(*) FROM {table}")).parse().unwrap()
        });
        store.close();
        db.sql("DROP FUNCTION no; TRUNCATE links, change_log, idempotency, audit, keys, admin_audit; UPDATE log_head SET head = 0, tag = 0");
    }
}
