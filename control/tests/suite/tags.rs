//! The index of tags on every store, against the links themselves.

mod calls;

use super::contract::{draft, key};
use super::postgres::Database;
use super::world::Folder;
use journal::domains::{DomainIntent, DomainItem, DomainVerdict};
use journal::{Draft, Field, Intent, Item, Request, RequestKind};
use link::{Code, Domain, DomainId, Key};
use services::Random;
use std::collections::BTreeMap;
use store::model::{Info, Row};
use store::port::{Limit, LinkTag, ListPage, Repository, TagCount, TagLimit, TagPage, TagRename, TimeOrder};
use store::sqlite::{Options, Sqlite};

const ALL: Limit = Limit { rows: 100_000, bytes: usize::MAX };
const DOMAIN: [u8; 4] = [0; 4];
const DAY: i64 = 24 * 60 * 60 * 1000;

fn with_tags(tags: &[&str]) -> Draft {
    let draft = draft("https://a.example/");
    let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
    Draft { info: Info { tags, ..draft.info }, ..draft }
}

fn one(code: &str, intent: Intent) -> Request {
    Item { key: key(code), intent }.into()
}

fn make(code: &str, tags: &[&str]) -> Request {
    one(code, Intent::Create(with_tags(tags)))
}

fn tag(code: &str, tags: &[&str]) -> Request {
    one(code, Intent::Update { fields: vec![Field::Tags(with_tags(tags).info.tags)], etag: None })
}

fn delete(code: &str) -> Request {
    one(code, Intent::Delete { etag: None })
}

fn undelete(code: &str) -> Request {
    one(code, Intent::Undelete { etag: None })
}

fn of(tag: &str) -> LinkTag {
    LinkTag { domain: DomainId::DEFAULT, tag: tag.into() }
}

fn codes(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| String::from_utf8(row.key.code().to_vec()).unwrap()).collect()
}

/// The codes of the links that have it, by the index.
fn found(store: &dyn Repository, tag: &str) -> Vec<String> {
    codes(&store.tagged(&of(tag), &DOMAIN, b"", ALL).unwrap().rows)
}

fn every_tag(store: &dyn Repository) -> Option<Vec<(String, u64)>> {
    let all = TagLimit { tags: 10_000, links: u64::MAX };
    let page = store.tags(DomainId::DEFAULT, "", "", all).unwrap()?;
    assert!(!page.more);
    Some(page.tags.into_iter().map(|own| (own.tag, own.links)).collect())
}

/// The index, in each of its orders, against the links themselves.
fn agrees(store: &dyn Repository, what: &str) {
    let live = store.list(&DOMAIN, b"", false, ALL).unwrap().rows;
    let mut want: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in &live {
        let mut tags = row.info.tags.clone();
        tags.sort_unstable();
        tags.dedup();
        tags.into_iter().for_each(|tag| want.entry(tag).or_default().push(row.clone()));
    }
    let counts: Vec<_> = want.iter().map(|(tag, rows)| (tag.clone(), rows.len() as u64)).collect();
    assert_eq!(every_tag(store), Some(counts), "{what}");
    for (tag, mut rows) in want {
        assert_eq!(store.tagged(&of(&tag), &DOMAIN, b"", ALL).unwrap().rows, rows, "{what}: {tag}");
        assert_eq!(store.count_tagged(&of(&tag), usize::MAX).unwrap(), Some(rows.len() as u64));
        for time in [TimeOrder::Create, TimeOrder::Update] {
            rows.sort_by(|a, b| (time.of(b), &b.key).cmp(&(time.of(a), &a.key)));
            let newest = store.newest_tagged(&of(&tag), time, (i64::MAX, b""), ALL).unwrap().rows;
            assert_eq!(newest, rows, "{what}: {tag} by {time:?}");
        }
    }
}

/// Writes of every kind in groups of several, many of them to the same links, some refused and some taken back.
fn the_index_follows_every_write(store: &dyn Repository) {
    const TAGS: [&str; 6] = ["a", "b", "a b", "é\"", "A", "a\0b"];
    let mut random = Random::new(7);
    for n in 0..150_i64 {
        let mut group = Vec::new();
        for _ in 0..random.below(6_usize) + 1 {
            let code = format!("c{}", random.below(6_usize));
            let some: Vec<&str> = TAGS.into_iter().filter(|_| random.chance(300)).collect();
            let twice = [&some[..], &some[..1.min(some.len())]].concat();
            group.push(match random.below(8_usize) {
                0 | 1 => make(&code, &some),
                2 => tag(&code, &twice),
                3 => delete(&code),
                4 => undelete(&code),
                5 => one(&code, Intent::Purge { before: i64::MAX }),
                6 => one(
                    &code,
                    Intent::Import { draft: with_tags(&some), create_time: Some(n % 7), update: true },
                ),
                _ => one(&code, Intent::Restore { draft: with_tags(&some), etag: None }),
            });
        }
        if random.chance(400) {
            let items = group.drain(..).flat_map(|request| request.items).collect();
            group.push(Request { items, kind: RequestKind::Batch, by: None, retry: None });
        }
        store.commit(&group, n).unwrap();
        agrees(store, &format!("group {n}"));
    }
    let seq = store.head().unwrap().seq;
    assert!(seq > 100, "{seq} writes");
}

fn a_tag_is_read_in_pages(store: &dyn Repository) {
    let listed = |listed: ListPage| (codes(&listed.rows), listed.more);
    let want = |codes: &[&str], more| (codes.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>(), more);
    for (code, now) in [("b/1", 4), ("a", 5), ("b/3", 5), ("c", 5), ("b/2", 6)] {
        store.commit(&[make(code, &["t"]), make(&format!("{code}x"), &["s", "u"])], now).unwrap();
    }
    store.commit(&[tag("c", &["t", "u"])], 9).unwrap();
    let part = |begin: &[u8], after: &[u8], rows| {
        let begin = [&DOMAIN[..], begin].concat();
        listed(store.tagged(&of("t"), &begin, after, Limit { rows, ..ALL }).unwrap())
    };
    assert_eq!(part(b"", b"", 2), want(&["a", "b/1"], true));
    assert_eq!(part(b"", key("b/1").as_bytes(), 3), want(&["b/2", "b/3", "c"], false));
    assert_eq!(part(b"", key("b/1x").as_bytes(), 1), want(&["b/2"], true));
    assert_eq!(part(b"b/", b"", 9), want(&["b/1", "b/2", "b/3"], false));
    assert_eq!(
        part(b"b/", key("b/2").as_bytes(), 1),
        want(&["b/3"], true),
        "what is behind it was not looked at"
    );
    assert_eq!(part(b"b/", key("b/3").as_bytes(), 1), want(&[], false));
    let part = |time, behind: (i64, &[u8]), rows| {
        listed(store.newest_tagged(&of("t"), time, behind, Limit { rows, ..ALL }).unwrap())
    };
    assert_eq!(part(TimeOrder::Create, (i64::MAX, b""), 2), want(&["b/2", "c"], true));
    assert_eq!(part(TimeOrder::Create, (5, key("c").as_bytes()), 2), want(&["b/3", "a"], true));
    assert_eq!(part(TimeOrder::Create, (5, key("a").as_bytes()), 2), want(&["b/1"], false));
    assert_eq!(part(TimeOrder::Update, (i64::MAX, b""), 2), want(&["c", "b/2"], true));
    assert_eq!(part(TimeOrder::Update, (4, key("b/1").as_bytes()), 2), want(&[], false));
    let bytes = Limit { rows: 9, bytes: 1 };
    assert_eq!(listed(store.tagged(&of("t"), &DOMAIN, b"", bytes).unwrap()), want(&["a"], true));
    assert_eq!(store.count_tagged(&of("t"), 3).unwrap(), Some(3), "it looks no further");
    assert_eq!(store.count_tagged(&of("none"), 3).unwrap(), Some(0));
}

fn tags_are_listed_in_pages_with_their_counts(store: &dyn Repository) {
    let of_links: [(&str, &[&str]); 5] = [
        ("a", &["ab", "abc", "b"]),
        ("b", &["ab", "abd"]),
        ("c", &["ab", "ü"]),
        ("d", &["abd", "gone"]),
        ("e", &["gone"]),
    ];
    let all: Vec<_> = of_links.iter().map(|(code, tags)| make(code, tags)).collect();
    store.commit(&all, 1).unwrap();
    store.commit(&[tag("d", &["abd"]), delete("e")], 2).unwrap();
    let page = |prefix: &str, after: &str, tags, links| {
        store.tags(DomainId::DEFAULT, prefix, after, TagLimit { tags, links }).unwrap().unwrap()
    };
    let want = |tags: &[(&str, u64)], more| TagPage {
        tags: tags.iter().map(|(tag, links)| TagCount { tag: (*tag).into(), links: *links }).collect(),
        more,
    };
    let counts = [("ab", 3), ("abc", 1), ("abd", 2), ("b", 1), ("ü", 1)];
    assert_eq!(page("", "", 9, 99), want(&counts, false));
    assert_eq!(page("", "", 5, 99), want(&counts, false));
    assert_eq!(page("", "", 4, 99), want(&counts[..4], true));
    assert_eq!(page("", "ab", 2, 99), want(&counts[1..3], true));
    assert_eq!(page("", "aba", 2, 99), want(&counts[1..3], true));
    assert_eq!(page("", "ü", 2, 99), want(&[], false));
    assert_eq!(page("ab", "", 9, 99), want(&counts[..3], false));
    assert_eq!(page("ab", "abc", 1, 99), want(&counts[2..3], false), "what begins otherwise does not count");
    assert_eq!(page("abcd", "", 1, 99), want(&[], false));
    assert_eq!(page("", "", 9, 4), want(&counts[..2], true), "no more links than that are counted");
    assert_eq!(page("", "", 9, 0), want(&counts[..1], true), "one at least");
}

fn another_domain_has_tags_of_its_own(store: &dyn Repository) {
    let intent = DomainIntent::Create { id: DomainId(7), fields: Vec::new() };
    let domain = DomainItem { name: Domain::new("a.example").unwrap(), intent, by: None, retry: None };
    assert!(matches!(store.write_domain(&domain, 1).unwrap().verdict, DomainVerdict::Written(_)));
    let there = |code: &str, tags: &[&str]| -> Request {
        let key = Key::new(DomainId(7), &Code::new(code).unwrap());
        Item { key, intent: Intent::Create(with_tags(tags)) }.into()
    };
    store.commit(&[make("a", &["t"]), there("a", &["t", "z"]), there("b", &["t"])], 5).unwrap();
    assert_eq!((found(store, "t"), found(store, "z")), (vec!["a".into()], vec![]));
    let other = LinkTag { domain: DomainId(7), tag: "t".into() };
    let prefix = DomainId(7).prefix();
    assert_eq!(codes(&store.tagged(&other, &prefix, b"", ALL).unwrap().rows), ["a", "b"]);
    let newest = store.newest_tagged(&other, TimeOrder::Create, (i64::MAX, b""), ALL).unwrap();
    assert_eq!((codes(&newest.rows), newest.more), (vec!["b".into(), "a".into()], false));
    assert_eq!(every_tag(store), Some(vec![("t".into(), 1)]));
    assert_eq!(store.count_tagged(&other, 9).unwrap(), Some(2));
}

fn a_rename_that_began_is_known_until_it_ends(store: &dyn Repository) {
    let rename = |from: &str, to: &str| TagRename { from: of(from), to: to.into() };
    let there =
        || [("a", "b"), ("b", "a"), ("a", "c")].map(|(a, b)| store.is_renaming(&rename(a, b)).unwrap());
    assert_eq!(there(), [false; 3]);
    for _ in 0..2 {
        store.note_renaming(&rename("a", "b"), false).unwrap();
        assert_eq!(there(), [true, false, false]);
    }
    store.note_renaming(&rename("a", "c"), true).unwrap();
    assert_eq!(there(), [true, false, false]);
    store.note_renaming(&rename("a", "b"), true).unwrap();
    assert_eq!(there(), [false; 3]);
}

/// Mounted over each store, as the contract is.
pub fn suite(with_fresh: &impl Fn(fn(&dyn Repository))) {
    with_fresh(the_index_follows_every_write);
    with_fresh(a_tag_is_read_in_pages);
    with_fresh(tags_are_listed_in_pages_with_their_counts);
    with_fresh(another_domain_has_tags_of_its_own);
    with_fresh(a_rename_that_began_is_known_until_it_ends);
}

/// A store whose links are not in the index: lists are right all the same, and so is what is written meanwhile.
fn comes_to_have_an_index(store: &dyn Repository) {
    assert_eq!((every_tag(store), store.count_tagged(&of("t"), 1).unwrap()), (None, None));
    let has = |rows: Vec<Row>| -> Vec<Row> {
        rows.into_iter().filter(|row| row.info.tags.iter().any(|tag| tag == "t")).collect()
    };
    let live = has(store.list(&DOMAIN, b"", false, ALL).unwrap().rows);
    assert_eq!(has(store.tagged(&of("t"), &DOMAIN, b"", ALL).unwrap().rows), live);
    let begin = [&DOMAIN[..], b"c1"].concat();
    let behind = store.tagged(&of("t"), &begin, key("c10").as_bytes(), Limit { rows: 3, ..ALL }).unwrap();
    assert_eq!(
        (codes(&behind.rows), behind.more),
        (vec!["c100".into(), "c1000".into(), "c1001".into()], true)
    );
    let newest = store.newest_tagged(&of("t"), TimeOrder::Create, (i64::MAX, b""), ALL).unwrap().rows;
    assert_eq!(
        newest,
        store.newest(DomainId::DEFAULT, TimeOrder::Create, (i64::MAX, b""), false, ALL).unwrap().rows
    );
    // The first is taken in by its write, before its turn and perhaps behind it.
    store
        .commit(&[tag("c0", &["t", "new"]), tag("c1", &[]), delete("c2"), make("fresh", &["t"])], DAY)
        .unwrap();
    assert!(store.tidy(2 * DAY).unwrap().more, "a thousand at a time");
    assert_eq!(every_tag(store), None);
    store.commit(&[tag("c3", &["new"]), tag("c2400", &["new"]), undelete("c2")], 2 * DAY).unwrap();
    let mut steps = 1;
    while store.tidy(2 * DAY).unwrap().more {
        steps += 1;
    }
    assert!(steps <= 3, "{steps}");
    agrees(store, "at the end");
    assert_eq!(found(store, "new"), ["c0", "c2400", "c3"]);
}

fn many() -> Vec<Request> {
    (0..2_500).map(|n| make(&format!("c{n}"), &["t", &format!("n{}", n % 3)])).collect()
}

#[test]
fn a_store_of_before_comes_to_have_an_index_sqlite() {
    let folder = Folder::new();
    let store = Sqlite::open(&folder.db(), Options::default()).unwrap();
    store.commit(&many(), 0).unwrap();
    store.close();
    let file = rusqlite::Connection::open(folder.db()).unwrap();
    let as_before = "DELETE FROM link_tags; \
                     INSERT INTO tags_behind SELECT key FROM links WHERE delete_time IS NULL AND tags <> '[]'";
    file.execute_batch(as_before).unwrap();
    drop(file);
    let store = Sqlite::open(&folder.db(), Options::default()).unwrap();
    comes_to_have_an_index(&store);
}

#[test]
fn a_store_of_before_comes_to_have_an_index_postgres() {
    let Some(db) = Database::new() else { return };
    let store = db.open();
    store.commit(&many(), 0).unwrap();
    db.sql("DELETE FROM link_tags; INSERT INTO tags_behind SELECT key, '[]' FROM links WHERE delete_time IS NULL AND tags <> '[]'");
    comes_to_have_an_index(&store);
}

/// A control of before writes links and not the index; and this one beside it.
#[test]
fn a_control_of_before_beside_this_one() {
    let Some(db) = Database::new() else { return };
    let store = db.open();
    let made =
        [make("a", &["t"]), make("b", &["t", "u"]), make("c", &[]), make("d", &["t"]), make("e", &["t"])];
    store.commit(&made, 1).unwrap();
    agrees(&store, "before");
    let there = |code: &str| format!("WHERE key = '\\x00000000'::bytea || '{code}'::bytea");
    db.sql(&format!("UPDATE links SET title = 'new', update_time = 7 {}", there("c")));
    agrees(&store, "a link without tags is never behind");
    db.sql(&format!("UPDATE links SET tags = '[\"v\"]', update_time = 8 {}", there("a")));
    assert_eq!(every_tag(&store), None);
    assert_eq!(found(&store, "v"), ["a", "b", "c", "d", "e"], "every link, for whoever looks at them");
    db.sql(&format!("UPDATE links SET tags = '[]', update_time = 8 {}", there("b")));
    db.sql(&format!("UPDATE links SET kept = record, delete_time = 9, update_time = 9 {}", there("d")));
    let columns = "record, title, tags, note, create_time, update_time, version";
    db.sql(&format!(
        "INSERT INTO links (key, {columns}) SELECT key || 'o'::bytea, {columns} FROM links {}",
        there("e")
    ));
    // This one writes the first and the last once more, which takes them in: also out from under what they stood under.
    store.commit(&[tag("a", &["w"]), tag("eo", &["w", "x"])], 10).unwrap();
    assert_eq!(every_tag(&store), None);
    assert!(!store.tidy(10).unwrap().more);
    agrees(&store, "at the end");
    assert_eq!(found(&store, "t"), ["e"]);
    assert_eq!(found(&store, "w"), ["a", "eo"]);
}
