//! Stores with other files beside them, and a store that is a symbolic link.

use super::super::super::{backup, restore};
use super::*;
use crate::model::StoreFault;

/// Found by attack: a pipe beside a store held up whoever opened it, and what a link led to was written over.
#[test]
fn what_is_no_file_beside_a_store_is_refused_by_a_start_a_backup_and_a_restore() {
    let folder = Folder::new();
    let (path, copy) = (folder.file("linkr.db"), folder.file("copy.db"));
    drop(open(&path).unwrap());
    for ending in ["-wal", "-shm", "-journal", ".room"] {
        sh(&folder, &format!("mkfifo linkr.db{ending}"));
        refused(&path, "it is a pipe and no file: remove it");
        for why in [backup(&path, &copy).unwrap_err(), restore(&path, &copy, true).unwrap_err()] {
            assert!(why.contains(&format!("linkr.db{ending}: it is a pipe and no file: remove it")), "{why}");
        }
        sh(&folder, &format!("rm linkr.db{ending}"));
    }
    sh(&folder, "rm linkr.db.lock; ln -s none linkr.db.lock");
    refused(&path, "linkr.db.lock: it is a symbolic link, which is not followed");
    sh(&folder, "[ ! -e none ]; rm linkr.db.lock");
    // While it is open.
    let store = open(&path).unwrap();
    sh(&folder, "echo mine > victim; ln -s victim linkr.db.room");
    let why = store.has_room(10).unwrap_err();
    assert!(matches!(&why, StoreFault::Unavailable(why) if why.contains("a symbolic link, which")), "{why}");
    assert_eq!(std::fs::read(folder.file("victim")).unwrap(), b"mine\n");
    sh(&folder, "rm linkr.db.room; mkfifo linkr.db.room");
    assert!(store.has_room(10).is_err());
    sh(&folder, "rm linkr.db.room; echo left > linkr.db.room");
    store.has_room(10).unwrap();
    assert!(!folder.file("linkr.db.room").exists());
}

#[test]
fn a_store_may_be_a_link_and_is_made_where_that_leads() {
    let folder = Folder::new();
    sh(&folder, "mkdir volume; ln -s volume/linkr.db linkr.db");
    let store = open(&folder.file("linkr.db")).unwrap();
    write(&store, 0..10);
    drop(store);
    sh(
        &folder,
        "[ -L linkr.db ]; [ -s volume/linkr.db ]; [ -s volume/linkr.db.lock ]; [ ! -e linkr.db.lock ]",
    );
    assert_eq!(open(&folder.file("linkr.db")).unwrap().head().unwrap().seq, 10);
}

#[test]
fn a_start_names_the_log_that_a_restore_moved_away_and_did_not_replace() {
    let (folder, store) = copied("true");
    let path = folder.file("linkr.db");
    let (mark, now) = (of(&path).unwrap().unwrap(), store.health.files.identity.clone());
    let noted = WitnessNote::of(&path);
    let why = |mark: &FileMark| match judge(&path, mark, &now, WalState::Missing, noted.as_ref()) {
        FileJudgement::Refused(why) => why,
        other => panic!("{other:?}"),
    };
    sh(
        &folder,
        "cp linkr.db linkr.db.before-1; cp linkr.db-wal linkr.db.before-1-wal; touch linkr.db.before-2-wal",
    );
    assert!(why(&mark).contains("its write-ahead log") && !why(&mark).contains("before-"), "another file's");
    // A restore gives the old file this second name before the new file takes the first.
    sh(&folder, "ln linkr.db linkr.db.before-2");
    let (there, back) = (folder.file("linkr.db.before-2-wal"), folder.file("linkr.db-wal"));
    let words = format!("mv {} {} and start", there.display(), back.display());
    assert!(why(&mark).contains(&words), "{}", why(&mark));
}

/// Found by attack: a start removed the backup, and a restore put the store beside the link.
#[test]
fn a_copy_gets_no_name_of_the_store_s_own_and_no_link_that_leads_nowhere() {
    let (folder, store) = copied("true");
    let (path, copy) = (folder.file("linkr.db"), folder.file("copy.db"));
    backup(&path, &copy).unwrap();
    for ending in ["-wal", "-shm", "-journal", ".lock", ".room"] {
        let to = beside(&folder.file("copy.db"), ending);
        for why in [backup(&path, &to).unwrap_err(), restore(&copy, &to, true).unwrap_err()] {
            assert!(why.contains("under a name that is the store's own"), "{why}");
        }
    }
    sh(&folder, "ln -s disk/real.db link.db");
    let why = restore(&copy, &folder.file("link.db"), false).unwrap_err();
    assert!(why.contains("is a link to disk/real.db, which is not there"), "{why}");
    sh(&folder, "[ -L link.db ]; mkdir other; cp linkr.db other/a.db; ln other/a.db other/b.db");
    let why = restore(&folder.file("other/b.db"), &folder.file("new.db"), true).unwrap_err();
    assert!(why.contains("its log may lie beside that"), "{why}");
    drop(store);
}
