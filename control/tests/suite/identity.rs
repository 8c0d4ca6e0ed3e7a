//! Which link a code stands for: a link keeps its uid as long as there is one, and the next under its code has another, on
//! every store and in every answer.

use super::contract::{create as make, delete, draft, key, row};
use super::domains::over_both;
use super::world::{Folder, World, create};
use journal::{Field, Intent, Item, Rejection, Request, Verdict};
use link::{LinkIdentity, LinkState};
use prost_types::FieldMask;
use proto::v1;
use store::model::Row;
use store::port::{Limit, Repository};
use store::sqlite::{Options, Sqlite};

const DAY: i64 = 24 * 60 * 60 * 1000;
const ALL: Limit = Limit { rows: 1_000, bytes: usize::MAX };

fn one(code: &str, intent: Intent) -> Request {
    Item { key: key(code), intent }.into()
}

fn disable(code: &str) -> Request {
    one(code, Intent::Update { fields: vec![Field::Disabled(true)], etag: None })
}

/// Every case on a fresh store of its own.
pub fn suite(with_fresh: impl Fn(fn(&dyn Repository))) {
    with_fresh(a_link_keeps_its_uid_until_its_code_is_free);
    with_fresh(links_are_found_by_their_uids);
}

fn a_link_keeps_its_uid_until_its_code_is_free(store: &dyn Repository) {
    let write = |request: Request, now| row(&store.commit(&[request], now).unwrap().verdicts[0]);
    let identity = |row: &Row| (row.uid, row.version);
    let import = || Intent::Import { draft: draft("https://b.example/"), create_time: Some(3), update: true };
    assert_eq!(identity(&write(make("a"), 1)), (1, 1));
    assert_eq!(identity(&write(disable("a"), 1)), (1, 2));
    assert_eq!(identity(&write(one("a", import()), 1)), (1, 3));
    assert_eq!(identity(&write(delete("a"), 1)), (1, 4));
    assert_eq!(identity(&write(one("a", Intent::Undelete { etag: None }), 2)), (1, 5));
    let restored = Intent::Restore { draft: draft("https://c.example/"), etag: None };
    assert_eq!(identity(&write(one("a", restored), 2)), (1, 6));
    // As it is read, as the log has it, as an edge asks for it.
    assert_eq!(identity(&store.link(&key("a")).unwrap().1.unwrap()), (1, 6));
    let changes = store.changes(0, ALL).unwrap().1;
    let logged = changes.iter().map(|change| record::decode(&change.record).unwrap());
    let live = logged.filter(|versioned| versioned.state != LinkState::Deleted);
    let live: Vec<_> = live.map(|versioned| versioned.identity()).collect();
    assert_eq!(live, [1, 2, 3, 5, 6].map(|version| LinkIdentity { uid: 1, version }));
    let asked = [bytes::Bytes::copy_from_slice(key("a").as_bytes())];
    let fetched = store.records(&asked).unwrap().entries.remove(0);
    assert_eq!(record::decode(&fetched.record).unwrap().identity(), LinkIdentity { uid: 1, version: 6 });
    // Deleted it is still the same one; once the code is free the next link is another.
    write(delete("a"), DAY);
    assert_eq!(identity(&store.link(&key("a")).unwrap().1.unwrap()), (1, 7));
    assert_eq!(store.tidy(31 * DAY).unwrap().head.seq, 8);
    assert_eq!(identity(&write(make("a"), 32 * DAY)), (9, 9));
}

fn links_are_found_by_their_uids(store: &dyn Repository) {
    store.commit(&[make("a"), make("b"), make("c"), make("d")], 1).unwrap();
    store.commit(&[disable("b"), delete("c")], 2).unwrap();
    let found = |uids: &[u64]| {
        let rows = store.links_with_uids(uids).unwrap().into_iter();
        let mut found: Vec<_> = rows.map(|row| (row.uid, row.key.code().to_vec())).collect();
        found.sort_unstable();
        found
    };
    let all = [(1, b"a".to_vec()), (2, b"b".to_vec()), (3, b"c".to_vec()), (4, b"d".to_vec())];
    assert_eq!(found(&[4, 3, 2, 1]), all, "as created, changed, deleted");
    assert_eq!(found(&[2, 5, 99]), all[1..2], "the change at 5 created none");
    assert!(found(&[]).is_empty());
    store.tidy(31 * DAY).unwrap();
    assert!(found(&[3]).is_empty(), "its code is free");
}

/// What a sweep has found to be clicked it passes over, however old it is.
#[test]
fn a_code_of_which_it_is_noted_that_it_was_clicked_stays_taken() {
    let folder = Folder::new();
    let open = || Sqlite::open(&folder.db(), Options::default()).unwrap();
    let store = open();
    store.commit(&[make("a"), make("b"), delete("a"), delete("b")], 0).unwrap();
    store.close();
    let db = rusqlite::Connection::open(folder.db()).unwrap();
    let noted = db.execute("UPDATE links SET clicked = 1 WHERE substr(key, 5) = ?1", [&b"a"[..]]);
    assert_eq!(noted.unwrap(), 1);
    drop(db);
    let store = open();
    assert_eq!(store.tidy(31 * DAY).unwrap().head.seq, 5, "b alone is purged");
    let again = store.commit(&[make("a"), make("b")], 32 * DAY).unwrap().verdicts;
    assert!(matches!(again[0], Verdict::Refused(Rejection::CodeDeleted { .. })), "{again:?}");
    assert!(matches!(again[1], Verdict::Created(_)), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_which_link_it_is() {
    over_both(async |world: &World| {
        let mut links = world.links().await;
        let checked = v1::CreateLinkRequest { validate_only: true, ..create("a", "https://a.example/") };
        assert_eq!(links.create_link(checked).await.unwrap().into_inner().uid, 0, "it is not known yet");
        let made = links.create_link(create("a", "https://a.example/")).await.unwrap().into_inner();
        assert_eq!((made.uid, &*made.etag), (1, "\"1\""));
        let update = |validate_only| v1::UpdateLinkRequest {
            link: Some(v1::Link { name: made.name.clone(), title: "t".into(), ..Default::default() }),
            update_mask: Some(FieldMask { paths: vec!["title".into()] }),
            validate_only,
            ..Default::default()
        };
        assert_eq!(links.update_link(update(true)).await.unwrap().into_inner().uid, 1);
        let changed = links.update_link(update(false)).await.unwrap().into_inner();
        assert_eq!((changed.uid, &*changed.etag), (1, "\"2\""));
        let request = v1::ListLinkHistoryRequest { name: made.name.clone(), ..Default::default() };
        let history = links.list_link_history(request).await.unwrap().into_inner().versions;
        assert!(history.iter().all(|version| version.link.as_ref().unwrap().uid == 1), "{history:?}");
        let request = v1::WatchLinksRequest { revision: made.revision.clone(), ..Default::default() };
        let mut watch = links.watch_links(request).await.unwrap().into_inner();
        let told = loop {
            let message = watch.message().await.unwrap().unwrap();
            if let Some(change) = message.changes.into_iter().next() {
                break change;
            }
        };
        assert_eq!(told.link.map(|link| link.uid), Some(1));
    })
    .await;
}
