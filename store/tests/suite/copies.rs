//! The clicks of an SQLite store as files: in a backup and a restore, beside another store, and after a stop.

use super::world::{DAY, Edge, Folder, HOUR, START, click, fold, of};
use clicks::LossReason;
use std::os::unix::fs::PermissionsExt;
use store::port::Repository;
use store::port::clicks::{AppendOutcome, TakenBehindHole};
use store::sqlite::{Options, Sqlite, backup, restore};

fn total(store: &Sqlite) -> u64 {
    store.clicks().counts(&of(Some(vec![5]))).unwrap().total
}

#[test]
fn clicks_lie_in_a_file_of_their_own_that_is_whole_after_a_stop() {
    let folder = Folder::new();
    let store = folder.sqlite();
    assert_eq!(total(&store), 0);
    let file = folder.0.join("linkr.db.clicks");
    assert!(!file.exists(), "it is made by the first batch");
    let mut edge = Edge::new("eu-1", 9);
    edge.send(store.clicks(), vec![click(5, START); 3], START);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    store.close();
    assert!(store.clicks().counts(&of(None)).is_err() && store.clicks().fold(START).is_err());
    drop(store);
    assert!(!folder.0.join("linkr.db.clicks-wal").exists());
    let again = folder.sqlite();
    assert_eq!(total(&again), 3);
    edge.send(again.clicks(), vec![click(5, START)], START);
    fold(again.clicks(), START);
    assert_eq!(total(&again), 4);
}

#[test]
fn a_backup_takes_the_clicks_along_and_no_key_of_a_day() {
    let folder = Folder::new();
    let store = folder.sqlite();
    let mut edge = Edge::new("eu-1", 9);
    edge.send(store.clicks(), vec![click(5, START); 3], START);
    fold(store.clicks(), START);
    let key = [0xab; 32];
    store.clicks().day_key((START / DAY) as u32, key, START).unwrap();
    let copy = folder.0.join("copy.db");
    backup(&folder.db(), &copy).unwrap();
    let kept = edge.batch(|batch| batch.clicks = vec![click(5, START); 4]);
    let lost = edge.batch(|batch| batch.clicks = vec![click(5, START); 2]);
    for offered in [&kept, &lost] {
        store.clicks().append(&[(*offered).clone()], START + HOUR).unwrap();
    }
    assert_eq!(total(&store), 9);
    assert!(backup(&folder.db(), &copy).unwrap_err().contains("is there already"));
    drop(store);
    for file in ["copy.db", "copy.db.clicks"] {
        let bytes = std::fs::read(folder.0.join(file)).unwrap();
        let hex = b"abababababababab";
        assert!(!bytes.windows(32).any(|part| part == key) && !bytes.windows(16).any(|part| part == hex));
    }
    // Put back, an edge fills in what it still holds, and what it does not is named.
    let done = restore(&copy, &folder.db(), false).unwrap();
    let beside = |name: &std::path::Path| std::path::PathBuf::from(format!("{}.clicks", name.display()));
    assert!(beside(&done.kept.unwrap()).exists(), "the clicks of the store that is kept are kept with it");
    let store = folder.sqlite();
    assert_eq!(total(&store), 3);
    let mut next = edge.batch(|batch| batch.clicks = vec![click(5, START)]);
    assert_eq!(store.clicks().append(std::slice::from_ref(&next), START).unwrap(), [AppendOutcome::Want(2)]);
    assert_eq!(store.clicks().append(&[kept], START).unwrap(), [AppendOutcome::Taken(2)]);
    next.offer.first = true;
    let behind = TakenBehindHole { acked: 4, told: 2, unbelieved: 0 };
    assert_eq!(store.clicks().append(&[next], START).unwrap(), [AppendOutcome::TakenBehindHole(behind)]);
    assert_eq!(total(&store), 8);
    let losses = store.clicks().losses(START, START + DAY).unwrap();
    assert_eq!(
        losses.iter().map(|loss| (loss.reason, loss.count)).collect::<Vec<_>>(),
        [(LossReason::Restored, 2)]
    );
}

#[test]
fn a_backup_without_clicks_leaves_none_of_a_later_state_beside_the_store() {
    let folder = Folder::new();
    drop(folder.sqlite());
    let copy = folder.0.join("copy.db");
    backup(&folder.db(), &copy).unwrap();
    assert!(!folder.0.join("copy.db.clicks").exists());
    let store = folder.sqlite();
    Edge::new("eu-1", 9).send(store.clicks(), vec![click(5, START); 3], START);
    drop(store);
    restore(&copy, &folder.db(), false).unwrap();
    assert!(!folder.0.join("linkr.db.clicks").exists(), "its uids would be given to other links");
    assert_eq!(total(&folder.sqlite()), 0);
}

#[test]
fn clicks_of_another_store_and_what_is_no_file_are_refused_at_the_start() {
    let folder = Folder::new();
    let store = folder.sqlite();
    Edge::new("eu-1", 9).send(store.clicks(), vec![click(5, START)], START);
    drop(store);
    let other = folder.0.join("other.db");
    drop(Sqlite::open(&other, Options::default()).unwrap());
    std::fs::copy(folder.0.join("linkr.db.clicks"), folder.0.join("other.db.clicks")).unwrap();
    let why = Sqlite::open(&other, Options::default()).unwrap_err().to_string();
    assert!(why.contains("it holds the clicks of another store") && why.contains("move it away"), "{why}");
    std::fs::remove_file(folder.0.join("other.db.clicks")).unwrap();
    std::os::unix::fs::symlink("linkr.db.clicks", folder.0.join("other.db.clicks")).unwrap();
    let why = Sqlite::open(&other, Options::default()).unwrap_err().to_string();
    assert!(why.contains("a symbolic link"), "{why}");
}

#[test]
fn a_batch_is_not_acknowledged_into_a_file_that_nobody_will_find_again() {
    let folder = Folder::new();
    let store = folder.sqlite();
    let mut edge = Edge::new("eu-1", 9);
    edge.send(store.clicks(), vec![click(5, START)], START);
    std::fs::rename(folder.0.join("linkr.db.clicks"), folder.0.join("moved")).unwrap();
    let offered = edge.batch(|batch| batch.clicks = vec![click(5, START)]);
    let why = store.clicks().append(&[offered], START).unwrap_err().to_string();
    assert!(why.contains("is gone from its place"), "{why}");
}
