//! What a killed linkr leaves, and what is put in its place: a process of its own writes, and ends without a word.

use super::super::super::{backup, check, connect as connections, restore, witness};
use super::*;
use connections::without_log;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

const FOLDER: &str = "LINKR_TEST_FOLDER";
const LEFT: &str = "LINKR_TEST_LEFT";

/// The process of its own.
#[test]
fn ends_without_a_word() {
    let (Some(folder), Some(left)) = (std::env::var_os(FOLDER), std::env::var_os(LEFT)) else { return };
    let folder = std::mem::ManuallyDrop::new(Folder(folder.into()));
    let path = folder.file("linkr.db");
    let store = open(&path).unwrap();
    write(&store, 0..10);
    match left.to_str().unwrap() {
        "some" => {}
        "idle" => {
            assert!(fold(&connections::beside_writer(&path).unwrap()).unwrap());
            write(&store, 10..110);
        }
        "older log" => {
            sh(&folder, "cp linkr.db-wal older");
            write(&store, 10..20);
        }
        "older closed file" => {
            drop(store);
            sh(&folder, "cp linkr.db older");
            let store = open(&path).unwrap();
            write(&store, 10..300);
            store.health.files.note(|witness| witness.seq = 10).unwrap();
            std::process::exit(0);
        }
        "closed in its log" => {
            let writer = store.writer.lock().unwrap();
            let writer = writer.as_ref().unwrap();
            assert!(fold(writer).unwrap());
            mark_closed(writer);
            std::process::exit(0);
        }
        other => panic!("{other}"),
    }
    std::process::exit(0); // nothing is dropped
}

/// What a stop writes, without bringing it into the file.
fn mark_closed(writer: &Connection) {
    writer
        .execute_batch(
            "BEGIN; PRAGMA user_version = 0; UPDATE opened SET nonce = 0, \
             epoch_counter = (SELECT epoch_counter FROM log_head), epoch_random = (SELECT epoch_random FROM log_head), \
             head = (SELECT head FROM log_head), tag = (SELECT tag FROM log_head); COMMIT",
        )
        .unwrap();
}

/// A store as a process left it that was killed.
fn killed(left: &str) -> (Folder, PathBuf) {
    let folder = Folder::new();
    let name = module_path!().split_once("::").unwrap().1;
    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{name}::ends_without_a_word")])
        .env(FOLDER, &folder.0)
        .env(LEFT, left)
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    let path = folder.file("linkr.db");
    assert_eq!(log_of(&path).unwrap(), WalState::Holds);
    (folder, path)
}

/// Writes what the log has last of a page into the file, as a checkpoint does that is cut there.
fn cut(path: &Path, number: u32) {
    let log = std::fs::read(beside(path, "-wal")).unwrap();
    let mut frames = log[32..].chunks_exact(24 + 4096);
    let page = frames.rfind(|frame| frame[..4] == number.to_be_bytes()).unwrap();
    std::fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .write_all_at(&page[24..], u64::from(number - 1) * 4096)
        .unwrap();
}

/// A process that another test is starting holds the lock of a store that this one had open, until it runs its program.
fn opened(path: &Path) -> Sqlite {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match open(path) {
            Err(why) if why.contains("is in use") && Instant::now() < end => std::thread::yield_now(),
            store => return store.unwrap(),
        }
    }
}

fn is_whole_with(path: &Path, changes: u64) {
    let store = opened(path);
    assert_eq!(store.head().unwrap().seq, changes);
    assert!(check::whole(&connections::reader(path).unwrap()).unwrap().is_ok());
}

/// Found by attack: the first page names pages that the file does not have yet.
#[test]
fn a_store_whose_checkpoint_was_cut_opens_is_backed_up_and_accepted() {
    let (folder, path) = killed("idle");
    cut(&path, 1);
    let alone = without_log(&path).unwrap().query_row("SELECT count(*) FROM links", [], |_| Ok(()));
    assert!(alone.is_err(), "without its log it is damaged");
    assert_eq!(backup(&path, &folder.file("copy.db")).unwrap().seq, 110);
    assert_eq!(restore(&path, &folder.file("accepted.db"), true).unwrap().head.seq, 110);
    is_whole_with(&path, 110);
    let (_folder, path) = killed("idle");
    cut(&path, 1);
    assert_eq!(restore(&path, &path, true).unwrap().head.seq, 110, "in its own place");
    is_whole_with(&path, 110);
}

#[test]
fn a_store_that_was_closed_in_its_log_opens_whichever_page_reached_the_file() {
    let row = |path: &Path| {
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'opened'";
        without_log(path).unwrap().query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap()
    };
    for pages in [&[][..], &[true], &[false], &[true, false]] {
        let (_folder, path) = killed("closed in its log");
        let row = row(&path);
        pages.iter().for_each(|&first| cut(&path, if first { 1 } else { row }));
        is_whole_with(&path, 10);
    }
}

/// Found by attack: it opened, and the log was written over it.
#[test]
fn an_older_closed_file_under_the_log_of_a_later_opening_is_refused() {
    let (folder, path) = killed("older closed file");
    sh(&folder, "cp older linkr.db");
    let before = std::fs::read(&path).unwrap();
    refused(&path, "linkr restore --accept");
    assert!(backup(&path, &folder.file("copy.db")).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), before);
    // With nothing in the log it is known by where it ends.
    let (folder, path) = killed("older closed file");
    assert!(fold(&connections::beside_writer(&path).unwrap()).unwrap());
    sh(&folder, "cp older linkr.db");
    let mut noted = WitnessNote::of(&path).unwrap().witness;
    noted.seq = 300;
    let lock = std::fs::File::options().write(true).open(beside(&path, ".lock")).unwrap();
    noted.note(&lock).unwrap();
    refused(&path, "ends with change 10, and got to 300 before");
}

#[test]
fn an_older_log_of_the_same_opening_is_refused_after_a_crash() {
    let (folder, path) = killed("older log");
    sh(&folder, "cp older linkr.db-wal");
    refused(&path, "ends before what was written last");
    refused(&path, "ends before what was written last"); // the first look has left what tells so
    assert!(backup(&path, &folder.file("copy.db")).unwrap_err().contains("ends before"));
    assert_eq!(restore(&path, &path, true).unwrap().head.seq, 10);
    is_whole_with(&path, 10);
}

#[test]
fn a_crashed_store_whose_note_is_gone_is_refused() {
    for script in ["rm linkr.db.lock", ": > linkr.db.lock"] {
        let (folder, path) = killed("some");
        sh(&folder, script);
        refused(&path, "linkr.db.lock does not say any more how far it got");
        assert_eq!(restore(&path, &path, true).unwrap().head.seq, 10);
        is_whole_with(&path, 10);
    }
}

/// Found by attack: the last connection that goes brings the log into the file and removes it, after an error, too.
#[test]
fn no_connection_takes_the_log_along_when_it_goes() {
    let (_folder, path) = killed("some");
    let there = std::fs::read(beside(&path, "-wal")).unwrap();
    let opened: [&dyn Fn() -> rusqlite::Result<Connection>; 3] =
        [&|| connections::reader(&path), &|| connections::beside_writer(&path), &|| {
            connections::writer(&path, Options::default())
        }];
    for open in opened {
        let db = open().unwrap();
        db.query_row("SELECT count(*) FROM links", [], |_| Ok(())).unwrap();
        drop(db);
        assert_eq!(std::fs::read(beside(&path, "-wal")).unwrap(), there);
    }
    is_whole_with(&path, 10);
    assert_eq!(log_of(&path).unwrap(), WalState::Missing, "a clean stop removes it");
}

/// Found by attack: a shell that read over a stop brings the log into the file when it ends, and the store was refused.
#[test]
fn a_log_that_somebody_else_brought_into_the_file_after_a_stop_is_not_missed() {
    let (folder, store) = copied("true");
    let path = folder.file("linkr.db");
    let shell = Connection::open(&path).unwrap();
    shell.execute_batch("BEGIN; SELECT count(*) FROM links").unwrap();
    shell.query_row("SELECT count(*) FROM links", [], |_| Ok(())).unwrap();
    write(&store, 10..20);
    drop(store);
    shell.execute_batch("COMMIT").unwrap();
    drop(shell);
    assert_eq!(log_of(&path).unwrap(), WalState::Missing);
    assert!(!of(&path).unwrap().unwrap().is_closed());
    is_whole_with(&path, 20);
}

/// Found by attack: with another connection there the mark of a start goes into the log.
#[test]
fn a_start_that_is_killed_beside_a_shell_is_gone_on_with() {
    for committed in [false, true] {
        let (folder, store) = copied("true");
        let path = folder.file("linkr.db");
        let now = store.health.files.identity.clone();
        drop(store);
        let shell = Connection::open(&path).unwrap();
        shell.query_row("SELECT count(*) FROM links", [], |_| Ok(())).unwrap();
        let lock = std::fs::File::options().write(true).open(beside(&path, ".lock")).unwrap();
        let mut noted = WitnessNote::of(&path).unwrap().witness;
        (noted.state, noted.nonce, noted.log) = (WitnessState::Open, 7, witness::log_file(&path));
        noted.note(&lock).unwrap();
        match committed {
            true => super::super::open(&shell, &now, 7).unwrap(),
            false => sh(&folder, "head -c 9000 /dev/zero > linkr.db-wal"),
        }
        assert_eq!(log_of(&path).unwrap(), WalState::Holds);
        is_whole_with(&path, 10);
        drop(shell);
    }
}

#[test]
fn a_restore_over_a_crashed_store_is_undone_after_the_next_start() {
    let (other, store) = copied("true");
    write(&store, 10..20);
    let copy = other.file("copy.db");
    backup(&other.file("linkr.db"), &copy).unwrap();
    let (_folder, path) = killed("some");
    let kept = restore(&copy, &path, false).unwrap().kept.unwrap();
    is_whole_with(&path, 20);
    assert!(restore(&kept, &path, false).unwrap_err().contains("--accept"));
    assert_eq!(restore(&kept, &path, true).unwrap().head.seq, 10);
    is_whole_with(&path, 10);
}

#[test]
fn a_backup_of_a_closed_store_writes_nothing_beside_it() {
    let (folder, store) = copied("mkdir copies");
    drop(store);
    let names = || {
        let mut names: Vec<_> =
            std::fs::read_dir(&folder.0).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    assert_eq!(backup(&folder.file("linkr.db"), &folder.file("copies/copy.db")).unwrap().seq, 10);
    assert_eq!(names(), before);
}

#[test]
fn a_store_whose_log_lies_beside_its_other_name_says_so() {
    let folder = Folder::new();
    sh(&folder, "mkdir other");
    let (path, other) = (folder.file("linkr.db"), folder.file("other/linkr.db"));
    drop(open(&path).unwrap());
    sh(&folder, "ln linkr.db other/linkr.db");
    let store = open(&other).unwrap();
    write(&store, 0..10);
    store.health.files.release(); // the lock on the file itself
    refused(&path, "has another name, and its log may lie beside that");
}

/// Found by attack: the words told to remove a log that held writes nothing else had.
#[test]
fn a_log_that_alone_says_its_store_was_closed_is_never_to_be_moved_away() {
    for script in ["rm linkr.db.lock", "mkdir z; mv linkr.db linkr.db-wal z; mv z/* ."] {
        let (folder, path) = killed("closed in its log");
        sh(&folder, script);
        sh(&folder, "cp linkr.db-wal x; mv x linkr.db-wal"); // another file than the one that was noted
        let why = open(&path).unwrap_err();
        assert!(why.contains("linkr restore --accept") && !why.contains("away"), "{why}");
        assert_eq!(restore(&path, &path, true).unwrap().head.seq, 10);
        is_whole_with(&path, 10);
    }
}

/// Found by attack: `--accept` took the log of an earlier moment over a store that lacked nothing.
#[test]
fn a_log_beside_a_file_that_is_closed_alone_is_moved_away_and_never_taken() {
    let (folder, store) = copied("cp linkr.db-wal same_run");
    let path = folder.file("linkr.db");
    write(&store, 10..20);
    drop(store);
    let store = open(&path).unwrap();
    write(&store, 20..30);
    sh(&folder, "cp linkr.db-wal later_run; cp linkr.db-shm shm");
    write(&store, 30..40);
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    for log in ["cp same_run", "cp later_run", "cp shm linkr.db-shm; cp later_run"] {
        sh(&folder, &format!("{log} linkr.db-wal"));
        refused(&path, "move ");
        for why in
            [restore(&path, &path, true).unwrap_err(), backup(&path, &folder.file("copy.db")).unwrap_err()]
        {
            assert!(why.contains("linkr.db-wal away") && !why.contains("--accept"), "{why}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        sh(&folder, "rm linkr.db-wal; rm -f linkr.db-shm");
    }
    is_whole_with(&path, 40);
}

/// The journal of a start that was killed, as it lay there before something else was written.
fn journal(path: &Path, folder: &Folder) {
    let db = half_written(path);
    sh(folder, "cp linkr.db-journal journal");
    db.execute_batch("ROLLBACK").unwrap();
}

/// Found by attack: it was rolled back into the store without a word, and destroyed it.
#[test]
fn a_journal_of_an_earlier_start_is_refused_before_it_is_rolled_back() {
    let (folder, store) = copied("true");
    let path = folder.file("linkr.db");
    write(&store, 10..300);
    drop(store);
    journal(&path, &folder);
    let store = open(&path).unwrap();
    write(&store, 300..600);
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    sh(&folder, "cp journal linkr.db-journal");
    refused(&path, "move ");
    for why in [
        backup(&path, &folder.file("copy.db")).unwrap_err(),
        restore(&path, &folder.file("new.db"), true).unwrap_err(),
        restore(&path, &path, true).unwrap_err(),
    ] {
        assert!(why.contains("linkr.db-journal away"), "{why}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    sh(&folder, "rm linkr.db-journal");
    is_whole_with(&path, 600);
    // After a crash.
    let (crashed, path) = killed("some");
    std::fs::copy(folder.file("journal"), crashed.file("linkr.db-journal")).unwrap();
    refused(&path, "linkr.db-journal away");
    sh(&crashed, "rm linkr.db-journal");
    is_whole_with(&path, 10);
}

/// Found by attack: a new, empty store began without a word.
#[test]
fn a_store_that_is_gone_or_empty_while_its_note_knows_more_is_refused() {
    for script in ["rm linkr.db", ": > linkr.db"] {
        let (crashed, path) = killed("some");
        sh(&crashed, &format!("rm linkr.db-wal linkr.db-shm; {script}"));
        refused(&path, "linkr.db is gone or holds nothing, and the store got to change");
        let (folder, store) = copied("true");
        drop(store);
        sh(&folder, &format!("cp linkr.db kept; {script}"));
        refused(&folder.file("linkr.db"), "got to change 10: put ");
        refused(&folder.file("linkr.db"), "to begin anew remove ");
        restore(&folder.file("kept"), &folder.file("linkr.db"), true).unwrap();
        is_whole_with(&folder.file("linkr.db"), 10);
        sh(&folder, "rm linkr.db linkr.db.lock");
        assert_eq!(open(&folder.file("linkr.db")).unwrap().head().unwrap().seq, 0);
    }
}

/// Found by attack: a log that was put back within the second of the last note was not looked at.
#[test]
fn a_store_that_was_touched_after_its_last_note_is_looked_through() {
    let (folder, path) = killed("some");
    let (mark, now) = (
        of(&path).unwrap().unwrap(),
        super::super::super::identity::Identity::of(&std::fs::metadata(&path).unwrap()),
    );
    let (folder2, other) = killed("some"); // one whose index nobody has read yet
    drop((folder, path));
    let doubts = || WitnessNote::of(&other).unwrap().doubts(&mark, &now, WalState::Holds);
    assert!(!doubts());
    sh(&folder2, "touch -d '5 seconds' linkr.db-wal");
    assert!(doubts());
    is_whole_with(&other, 10);
}

/// Found by attack: it opened, since the note said no more than the start did.
#[test]
fn a_file_closed_before_the_last_run_is_refused_when_the_log_of_that_run_is_gone() {
    let (folder, path) = killed("older closed file");
    sh(&folder, "cp older linkr.db; rm linkr.db-wal linkr.db-shm");
    refused(&path, "was closed before its last linkr ran");
    assert_eq!(restore(&path, &path, true).unwrap().head.seq, 10);
    is_whole_with(&path, 10);
}

/// Found by attack: a store was taken for whole that no start could open, and one whose index had more entries than rows.
#[test]
fn what_is_ahead_of_the_head_and_an_index_with_more_entries_than_rows_are_not_whole() {
    let (folder, store) = copied("true");
    drop(store);
    let why = |script: &str| {
        sh(&folder, "cp linkr.db a.db");
        let db = Connection::open(folder.file("a.db")).unwrap();
        db.execute_batch(script).unwrap();
        drop(db);
        let db = Connection::open(folder.file("a.db")).unwrap();
        check::whole(&db).unwrap().map_or_else(|why| why, |head| format!("whole to {}", head.seq))
    };
    assert_eq!(why("SELECT 1"), "whole to 10");
    assert_eq!(why("INSERT INTO epochs VALUES (9, 1, 1, 1, 0, 0, 1)"), "its histories are ahead of its head");
    assert_eq!(
        why("INSERT INTO audit VALUES (11, 9, NULL, 1, 'a', 'b', 'c', NULL, NULL)"),
        "its audit is ahead of its head"
    );
    // The index is hidden while its rows change.
    let index = "UPDATE links SET delete_time = 1; CREATE TABLE was AS SELECT * FROM sqlite_schema WHERE name = 'links_deleted';
        PRAGMA writable_schema = on; DELETE FROM sqlite_schema WHERE name = 'links_deleted'; PRAGMA writable_schema = reset;
        UPDATE links SET delete_time = NULL;
        PRAGMA writable_schema = on; INSERT INTO sqlite_schema SELECT * FROM was; PRAGMA writable_schema = reset";
    assert_eq!(why(index), "its index links_deleted has 10 entries for 0 rows");
    // A history that is ahead is gone past.
    let db = Connection::open(folder.file("linkr.db")).unwrap();
    db.execute_batch("INSERT INTO epochs VALUES (9, 1, 1, 1, 0, 0, 1)").unwrap();
    drop(db);
    assert_eq!(open(&folder.file("linkr.db")).unwrap().head().unwrap().epoch.counter, 10);
}
