//! One link of a domain that is not deleted has an external id.

use super::{decided, draft, item, key};
use crate::*;
use bytes::Bytes;
use link::{Code, DomainId, Key, Position};

pub fn with_id(target: &str, id: &str) -> Draft {
    Draft { info: Info { external_id: id.into(), ..Info::default() }, ..draft(target) }
}

fn create(code: &str, id: &str) -> Request {
    item(code, Intent::Create(with_id("https://a.example/", id)))
}

fn name(code: &str, id: &str) -> Request {
    item(code, Intent::Update { fields: vec![Field::ExternalId(id.into())], etag: None })
}

fn delete(code: &str) -> Request {
    item(code, Intent::Delete { etag: None })
}

fn undelete(code: &str) -> Request {
    item(code, Intent::Undelete { etag: None })
}

fn batch(requests: &[Request], kind: RequestKind) -> Request {
    let items = requests.iter().flat_map(|request| request.items.clone()).collect();
    Request { items, kind, by: None, retry: None }
}

fn taken(code: &str, id: &str) -> Verdict {
    let name = format!("domains/-/links/{code}");
    Verdict::Refused(Rejection::ExternalIdTaken { id: id.into(), name })
}

/// For each item: nothing if it was written, or what it was told.
fn told(done: Decision) -> Vec<Option<Verdict>> {
    let written = |verdict: &Verdict| matches!(verdict, Verdict::Created(_) | Verdict::Changed(_));
    done.verdicts.into_iter().map(|verdict| (!written(&verdict)).then_some(verdict)).collect()
}

fn at_once(group: &[Request]) -> Vec<Option<Verdict>> {
    told(decided(group, Position::default(), 1))
}

#[test]
fn the_first_of_two_has_it() {
    let import = |code: &str, update| {
        item(code, Intent::Import { draft: with_id("https://b.example/", "x"), create_time: None, update })
    };
    let group = [create("a", "x"), create("b", "x"), create("b", ""), create("c", "")];
    assert_eq!(at_once(&group), [None, Some(taken("a", "x")), None, None]);
    let restore = item("b", Intent::Restore { draft: with_id("https://b.example/", "x"), etag: None });
    let group = [
        create("a", "x"),
        create("b", "y"),
        name("b", "x"),
        restore,
        import("b", true),
        import("c", false),
        name("a", "x"),
        import("a", true),
    ];
    let a = || Some(taken("a", "x"));
    assert_eq!(at_once(&group), [None, None, a(), a(), a(), a(), None, None], "its own it may keep");
}

#[test]
fn whoever_gives_it_up_leaves_it_to_others() {
    let group = [create("a", "x"), name("a", ""), create("b", "x"), name("a", "x")];
    assert_eq!(at_once(&group), [None, None, None, Some(taken("b", "x"))]);
    let group = [create("a", "x"), delete("a"), undelete("a"), delete("a"), create("b", "x"), undelete("a")];
    assert_eq!(at_once(&group), [None, None, None, None, None, Some(taken("b", "x"))]);
    let purge = item("a", Intent::Purge { before: 5 });
    let group = [create("a", "x"), delete("a"), purge, create("a", "x"), delete("a"), create("b", "x")];
    assert_eq!(at_once(&group), vec![None; 6]);
}

#[test]
fn two_links_change_theirs_in_one_batch() {
    let both = [create("a", "x"), create("b", "y")];
    let swap =
        |first: &[Request]| batch(&[first, &[name("b", "x"), name("a", "y")]].concat(), RequestKind::Batch);
    let straight = [&both[..], &[swap(&[])]].concat();
    assert_eq!(at_once(&straight)[2..], [Some(taken("a", "x")), Some(Verdict::Held)]);
    let by_way_of_none = [&both[..], &[swap(&[name("a", "")])]].concat();
    assert_eq!(at_once(&by_way_of_none), vec![None; 5]);
}

#[test]
fn a_batch_that_is_taken_back_gives_back_what_it_took() {
    let missing = || delete("none");
    let group = [
        create("a", "x"),
        batch(&[name("a", "y"), create("b", "x"), missing()], RequestKind::Batch),
        create("c", "x"),
        create("c", "y"),
        batch(&[delete("a"), missing()], RequestKind::Batch),
        create("d", "x"),
    ];
    let all = at_once(&group);
    assert_eq!((&all[4], &all[5], &all[8]), (&Some(taken("a", "x")), &None, &Some(taken("a", "x"))));
}

#[test]
fn each_row_of_a_chunk_is_for_itself() {
    let rows =
        batch(&[create("a", "x"), create("b", "x"), name("a", "y"), create("b", "x")], RequestKind::Chunk);
    assert_eq!(at_once(&[rows]), [None, Some(taken("a", "x")), None, None]);
}

#[test]
fn what_the_store_holds_counts_and_other_domains_do_not() {
    let row = |code: &str, id: &str, delete_time| {
        let Draft { link, info } = with_id("https://a.example/", id);
        Row { key: key(code), version: 1, uid: 1, link, info, create_time: 0, update_time: 0, delete_time }
    };
    let decided = |rows: Vec<Row>, held: &[(&str, &str)], group: &[Request]| {
        let rows = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
        let asked: Vec<_> = given_ids(group).into_iter().chain(returning_ids(group, &rows)).collect();
        let holder = |(id, code): &(&str, &str)| {
            let id = ExternalId { domain: DomainId::DEFAULT, id: (*id).into() };
            assert!(asked.contains(&id), "a store is asked for {id:?}");
            (id, key(code))
        };
        let external_ids = held.iter().map(holder).collect();
        let domains = [(DomainId(7), "a.example".to_owned())].into();
        let found = Holdings { rows, external_ids, domains, ..Holdings::default() };
        let at = CommitPoint { head: Position::default(), tag: 1, now: 5 };
        told(decide(group, found, at, |_| Bytes::new()))
    };
    let far = Some(taken("far", "x"));
    assert_eq!(decided(vec![], &[("x", "far")], &[create("a", "x")]), std::slice::from_ref(&far));
    let gone = || vec![row("a", "x", Some(3))];
    assert_eq!(decided(gone(), &[("x", "far")], &[undelete("a")]), [far]);
    assert_eq!(decided(gone(), &[], &[undelete("a"), create("b", "x")]), [None, Some(taken("a", "x"))]);
    let live = || vec![row("a", "x", None)];
    assert_eq!(decided(live(), &[("x", "a")], &[create("b", "x")]), [Some(taken("a", "x"))]);
    assert_eq!(decided(live(), &[("x", "a")], &[delete("a"), create("b", "x")]), [None, None]);
    let elsewhere = Key::new(DomainId(7), &Code::new("b").unwrap());
    let there = Item { key: elsewhere, intent: Intent::Create(with_id("https://a.example/", "x")) };
    assert_eq!(decided(live(), &[], &[there.into()]), [None]);
}
