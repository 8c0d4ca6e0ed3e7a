//! What a killed linkr leaves, and what is put in its place: a process of its own writes, and ends without a word.

use super::super::super::{backup, check, connect as connections, restore, witness};
use super::*;
use connections::without_log;
use std::os::unix::fs::FileExt;

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
    assert_eq!(log_of(&path).unwrap(), Log::Holds);
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

fn is_whole_with(path: &Path, changes: u64) {
    let store = open(path).unwrap();
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
    let mut noted = Noted::of(&path).unwrap().witness;
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
    assert_eq!(log_of(&path).unwrap(), Log::Missing, "a clean stop removes it");
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
    assert_eq!(log_of(&path).unwrap(), Log::Missing);
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
        let mut noted = Noted::of(&path).unwrap().witness;
        (noted.state, noted.nonce, noted.log) = (State::Open, 7, witness::log_file(&path));
        noted.note(&lock).unwrap();
        match committed {
            true => super::super::open(&shell, &now, 7).unwrap(),
            false => sh(&folder, "head -c 9000 /dev/zero > linkr.db-wal"),
        }
        assert_eq!(log_of(&path).unwrap(), Log::Holds);
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
