//! The mark and what hangs on it, with real files of SQLite: copies, crashes, names, backups. What is copied is copied by
//! another process, since one that closes a file takes away the locks that SQLite has on it.

use super::super::connect::without_log;
use super::super::judge::{FileJudgement, judge};
use super::super::witness::{WitnessNote, WitnessState};
use super::super::{Options, Sqlite};
use super::*;
use crate::model::Info;
use crate::port::Repository;
use journal::{Draft, Intent, Item};
use link::{Code, DomainId, Key, Link, LinkParts, Target};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that goes when the test does.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("linkr-mark-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// By another process: one that closes the file in this one takes away SQLite's locks.
fn sh(folder: &Folder, script: &str) {
    assert!(
        Command::new("sh").current_dir(&folder.0).args(["-ec", script]).status().unwrap().success(),
        "{script}"
    );
}

fn open(path: &Path) -> Result<Sqlite, String> {
    Sqlite::open(path, Options::default()).map_err(|e| e.to_string())
}

fn write(store: &Sqlite, codes: std::ops::Range<u32>) {
    for code in codes {
        let link = Link::new(LinkParts::to(Target::given("https://a.example/", &[]).unwrap())).unwrap();
        let key = Key::new(DomainId::DEFAULT, &Code::new(&format!("c{code}")).unwrap());
        let intent = Intent::Create(Draft { link, info: Info::default() });
        store.commit(&[Item { key, intent }.into()], 1).unwrap();
    }
}

/// A store of which a copy was made by `script` while it was open with ten links, then killed or stopped.
fn copied(script: &str) -> (Folder, Sqlite) {
    let folder = Folder::new();
    let store = open(&folder.file("linkr.db")).unwrap();
    write(&store, 0..10);
    assert_eq!(store.head().unwrap().seq, 10);
    sh(&folder, script);
    (folder, store)
}

fn refused(path: &Path, words: &str) {
    let why = open(path).unwrap_err();
    assert!(why.contains(words), "{why}");
    assert!(!why.contains('\n'), "{why}");
}

#[test]
fn a_copy_of_an_open_store_is_refused_with_its_log_and_without() {
    let (folder, store) = copied("cp linkr.db a.db; cp linkr.db b.db; cp linkr.db-wal b.db-wal");
    refused(&folder.file("a.db"), "is a copy of one that was open in a running linkr");
    refused(&folder.file("b.db"), "is a copy of one that was open in a running linkr");
    refused(&folder.file("a.db"), "linkr restore --accept");
    store.close();
    drop(store);
    assert_eq!(open(&folder.file("linkr.db")).unwrap().head().unwrap().seq, 10);
}

#[test]
fn a_crash_is_recovered_from_under_the_same_file() {
    let (folder, store) = copied("true");
    let path = folder.file("linkr.db");
    let (mark, now) = (of(&path).unwrap().unwrap(), store.health.files.identity.clone());
    let noted = WitnessNote::of(&path);
    let judged = |now: &Identity, log| judge(&path, &mark, now, log, noted.as_ref());
    assert_eq!(log_of(&path).unwrap(), WalState::Holds);
    assert_eq!(judged(&now, WalState::Holds), FileJudgement::Good);
    assert_eq!(judged(&now, WalState::Empty), FileJudgement::Good);
    let FileJudgement::Refused(why) = judged(&now, WalState::Missing) else {
        panic!("nobody misses the log")
    };
    assert!(why.contains("its write-ahead log"), "{why}");
    // After a reboot a device may have another number; within one not while it is mounted. Here it is.
    let device = Identity { device: std::fs::metadata("/proc/self").unwrap().dev(), ..now.clone() };
    assert!(matches!(judged(&device, WalState::Holds), FileJudgement::Refused(_)));
    let rebooted = Identity { boot: "another".into(), ..device };
    assert_eq!(judged(&rebooted, WalState::Holds), FileJudgement::Good);
    // An inode that was given to another file.
    let later = Identity { born: now.born.map(|at| at + 1), ..now };
    if later.born.is_some() {
        assert!(matches!(judged(&later, WalState::Holds), FileJudgement::Refused(_)));
    }
}

#[test]
fn a_store_that_is_dropped_is_closed() {
    let (folder, store) = copied("true");
    drop(store);
    assert!(of(&folder.file("linkr.db")).unwrap().unwrap().is_closed());
}

#[test]
fn a_store_that_was_closed_opens_wherever_it_is_put_and_says_when_it_is_torn() {
    let (folder, store) = copied("cp linkr.db old.db");
    store.close();
    drop(store);
    sh(&folder, "cp linkr.db moved.db; cp linkr.db torn.db");
    assert!(log_of(&folder.file("linkr.db")).unwrap() == WalState::Missing);
    assert_eq!(open(&folder.file("moved.db")).unwrap().head().unwrap().seq, 10);
    // A page of the links from before they were written, in a file that says it is closed.
    let page = {
        let db = without_log(&folder.file("torn.db")).unwrap();
        db.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'links'", [], |row| {
            row.get::<_, u32>(0)
        })
        .unwrap()
    };
    sh(
        &folder,
        &format!(
            "dd if=old.db of=torn.db bs=4096 count=1 skip={0} seek={0} conv=notrunc 2>/dev/null",
            page - 1
        ),
    );
    refused(&folder.file("torn.db"), "of different moments");
}

#[test]
fn a_log_beside_a_store_that_was_closed_elsewhere_is_refused() {
    let (folder, store) = copied("cp linkr.db-wal foreign");
    store.close();
    drop(store);
    sh(&folder, "cp linkr.db other.db; cp foreign other.db-wal");
    refused(&folder.file("other.db"), "other.db-wal away");
}

#[test]
fn a_store_that_is_not_in_its_place_takes_no_writes() {
    for (script, words) in [
        ("rm linkr.db", "linkr.db is gone"),
        ("rm linkr.db-wal", "linkr.db-wal is gone"),
        ("cp linkr.db x; mv x linkr.db", "linkr.db is another file"),
        ("cp linkr.db-wal x; mv x linkr.db-wal", "linkr.db-wal is another file"),
    ] {
        let (folder, store) = copied(script);
        let key = Key::new(DomainId::DEFAULT, &Code::new("c0").unwrap());
        let why = store.commit(&[Item { key, intent: Intent::Delete { etag: None } }.into()], 1).unwrap_err();
        assert!(why.to_string().contains(words), "{script}: {why}");
        assert_eq!(store.writable().unwrap_err(), why);
        assert_eq!(store.head().unwrap().seq, 10, "reads go on");
        drop(folder);
    }
}

#[test]
fn a_second_name_of_an_open_store_is_no_second_store() {
    let (folder, store) =
        copied("ln linkr.db hard.db; ln -s linkr.db soft.db; mkdir d; ln -s ../linkr.db d/linkr.db");
    for name in ["linkr.db", "soft.db", "d/linkr.db"] {
        refused(&folder.file(name), "is in use by another linkr");
    }
    // Its own process: this one would take the locks away.
    let held = Command::new("flock").args(["-n", folder.file("hard.db").to_str().unwrap(), "true"]).status();
    assert!(!held.unwrap().success());
    write(&store, 10..11);
}

#[test]
fn what_is_no_file_is_no_store() {
    let folder = Folder::new();
    sh(&folder, "mkfifo pipe; mkdir dir");
    refused(&folder.file("pipe"), "it is a pipe and no file");
    refused(&folder.file("dir"), "it is a directory and no file");
    refused(Path::new("/dev/null"), "it is a device and no file");
}

#[test]
fn files_of_a_store_are_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, store) = copied("chmod 644 linkr.db linkr.db-wal");
    store.close();
    drop(store);
    let store = open(&folder.file("linkr.db")).unwrap();
    write(&store, 10..11);
    for name in ["linkr.db", "linkr.db-wal", "linkr.db-shm", "linkr.db.lock"] {
        let mode = std::fs::metadata(folder.file(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn the_log_is_brought_into_the_file_when_nothing_is_written() {
    let (folder, store) = copied("true");
    let began = std::time::Instant::now();
    while log_of(&folder.file("linkr.db")).unwrap() != WalState::Empty {
        assert!(began.elapsed().as_secs() < 30);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    write(&store, 10..11);
}

#[test]
fn a_backup_holds_what_was_written_and_opens_where_it_is_put() {
    use super::super::{backup, restore};
    let (folder, store) = copied("true");
    let (db, copy) = (folder.file("linkr.db"), folder.file("copy.db"));
    // Beside the open store: by another process there, here in the same one.
    let head = backup(&db, &copy).unwrap();
    assert_eq!((head.seq, head), (10, store.head().unwrap()));
    assert!(backup(&db, &copy).unwrap_err().contains("replaces nothing"));
    write(&store, 10..20);
    assert!(restore(&copy, &db, false).unwrap_err().contains("in use by another linkr"));
    store.close();
    drop(store);
    let restored = restore(&copy, &db, false).unwrap();
    assert_eq!(restored.head, head);
    assert_eq!(open(&db).unwrap().head().unwrap().seq, 10);
    let kept = restored.kept.unwrap();
    assert_eq!(open(&kept).unwrap().head().unwrap().seq, 20);
}

#[test]
fn a_copy_made_by_hand_is_taken_only_when_that_is_said() {
    use super::super::restore;
    let (folder, store) = copied("cp linkr.db a.db; cp linkr.db-wal a.db-wal; cp linkr.db b.db");
    store.close();
    drop(store);
    let (a, b, to) = (folder.file("a.db"), folder.file("b.db"), folder.file("new.db"));
    assert!(restore(&a, &to, false).unwrap_err().contains("restore --accept"));
    assert!(!to.exists());
    assert_eq!(restore(&a, &to, true).unwrap().head.seq, 10);
    assert_eq!(open(&to).unwrap().head().unwrap().seq, 10);
    // In its own place, and without what only the log had.
    let done = restore(&b, &b, true).unwrap();
    assert_eq!(open(&b).unwrap().head().unwrap().seq, done.head.seq);
    assert!(done.head.seq < 10 && done.kept.is_some());
}

#[test]
fn a_damaged_store_does_not_say_that_a_link_is_absent() {
    let folder = Folder::new();
    let path = folder.file("linkr.db");
    let store = open(&path).unwrap();
    write(&store, 0..2_000);
    store.close();
    drop(store);
    // A page of links that reads as an empty one: the next best thing to not being there.
    let script = "root=$(sqlite3 linkr.db \"SELECT rootpage FROM sqlite_schema WHERE name = 'links'\")\n\
                  page=$(sqlite3 linkr.db \"SELECT max(pageno) FROM dbstat WHERE name = 'links' AND pagetype = 'leaf'\")\n\
                  test $page -ne $root; at=$(( (page - 1) * 4096 ))\n\
                  printf '\\012\\000\\000\\000\\000\\020\\000\\000' | dd of=linkr.db bs=1 seek=$at conv=notrunc 2>/dev/null";
    if !Command::new("sqlite3").arg("-version").output().is_ok_and(|done| done.status.success()) {
        return println!("SKIPPED: there is no sqlite3");
    }
    sh(&folder, script);
    let store = open(&path).unwrap();
    let began = std::time::Instant::now();
    while store.writable().is_ok() {
        assert!(began.elapsed().as_secs() < 30);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let key = Key::new(DomainId::DEFAULT, &Code::new("never").unwrap());
    assert!(store.link(&key).unwrap_err().to_string().contains("damaged"));
    assert!(store.walk(b"", crate::port::Limit { rows: 1, bytes: 1 }).is_err());
}

/// `LINKR_LONG=1`: what looking costs. Prints; nothing is asserted about time.
#[test]
fn what_a_look_costs() {
    if std::env::var_os("LINKR_LONG").is_none() {
        return;
    }
    let (folder, store) = copied("true");
    let began = std::time::Instant::now();
    for _ in 0..100_000 {
        store.health.good().unwrap();
    }
    println!("{:?} a look at the files", began.elapsed() / 100_000);
    let link =
        Link::new(LinkParts::to(Target::given("https://example.com/some/where?a=1", &[]).unwrap())).unwrap();
    for chunk in 0..200 {
        let item = |n| {
            let key = Key::new(DomainId::DEFAULT, &Code::new(&format!("l{chunk}/{n}")).unwrap());
            Item { key, intent: Intent::Create(Draft { link: link.clone(), info: Info::default() }) }
        };
        let items = (0..5_000).map(item).collect();
        let request = journal::Request { items, kind: journal::RequestKind::Chunk, by: None, retry: None };
        store.commit(&[request], 1).unwrap();
    }
    let path = folder.file("linkr.db");
    let timed = |what: &str, f: &dyn Fn()| {
        let began = std::time::Instant::now();
        f();
        println!("{:?} for {what}", began.elapsed());
    };
    let db = super::super::connect::reader(&path).unwrap();
    println!("{} bytes", std::fs::metadata(&path).unwrap().len());
    timed("the pages of 1 M links", &|| assert_eq!(super::super::check::pages(&db).unwrap(), None));
    timed("pages, links and log of 1 M links", &|| assert!(super::super::check::whole(&db).unwrap().is_ok()));
    timed("a backup of 1 M links", &|| {
        super::super::backup(&path, &folder.file("copy.db")).unwrap();
    });
}

/// A transaction under way of which pages are in the file already, and the journal that takes them back is beside it.
fn half_written(path: &Path) -> Connection {
    let db = Connection::open(path).unwrap();
    db.pragma_update(None, "journal_mode", "delete").unwrap();
    db.pragma_update(None, "cache_size", 1).unwrap();
    db.pragma_update(None, "cache_spill", 1).unwrap();
    db.execute_batch(
        "BEGIN IMMEDIATE; UPDATE opened SET nonce = 7; UPDATE links SET record = zeroblob(5000)",
    )
    .unwrap();
    db.execute_batch(
        "CREATE TABLE filler (a); INSERT INTO filler SELECT zeroblob(3000) FROM links, links LIMIT 500",
    )
    .unwrap();
    db
}

/// Leaves the file in the middle of a write.
fn torn_by_a_crash(folder: &Folder, name: &str) {
    let path = folder.file(name);
    let db = half_written(&path);
    // Another process copies what a crash would leave: locks are not copied.
    sh(folder, &format!("mkdir torn; cp {name} torn/{name}; cp {name}-journal torn/{name}-journal"));
    db.execute_batch("ROLLBACK").unwrap();
    drop(db);
    sh(folder, &format!("mv torn/{name} torn/{name}-journal . && rmdir torn"));
    assert!(std::fs::metadata(beside(&path, "-journal")).unwrap().len() > 512);
}

#[test]
fn a_crash_in_a_start_after_a_move_is_rolled_back() {
    let (folder, store) = copied("true");
    write(&store, 10..300);
    drop(store);
    torn_by_a_crash(&folder, "linkr.db");
    let copy = folder.file("copy.db");
    super::super::backup(&folder.file("linkr.db"), &copy).unwrap();
    assert_eq!(open(&folder.file("linkr.db")).unwrap().head().unwrap().seq, 300);
    torn_by_a_crash(&folder, "copy.db");
    assert_eq!(open(&copy).unwrap().head().unwrap().seq, 300);
}

#[test]
fn a_journal_of_the_store_before_is_not_rolled_back_into_the_restored_one() {
    use super::super::{backup, restore};
    let (folder, store) = copied("true");
    let (db, copy, third) = (folder.file("linkr.db"), folder.file("copy.db"), folder.file("third.db"));
    backup(&db, &copy).unwrap();
    write(&store, 10..300);
    drop(store);
    torn_by_a_crash(&folder, "linkr.db");
    assert_eq!(restore(&db, &third, false).unwrap().head.seq, 300, "with the journal of its source");
    let kept = restore(&copy, &db, false).unwrap().kept.unwrap();
    assert!(!beside(&db, "-journal").exists());
    let store = open(&db).unwrap();
    assert_eq!(store.head().unwrap().seq, 10);
    assert!(super::super::check::whole(&super::super::connect::reader(&db).unwrap()).unwrap().is_ok());
    drop(store);
    assert_eq!(open(&kept).unwrap().head().unwrap().seq, 300);
    // Too damaged to be rolled back: its journal goes with it all the same.
    std::fs::write(&db, b"no database at all").unwrap();
    std::fs::write(beside(&db, "-journal"), [1; 600]).unwrap();
    let kept = restore(&copy, &db, false).unwrap().kept.unwrap();
    assert!(!beside(&db, "-journal").exists());
    assert_eq!(std::fs::read(&kept).unwrap(), b"no database at all");
    assert_eq!(open(&db).unwrap().head().unwrap().seq, 10);
}

#[test]
fn a_log_beside_a_store_that_was_closed_is_not_written_into_it() {
    let (folder, store) = copied("cp linkr.db-wal stale");
    let path = folder.file("linkr.db");
    write(&store, 10..20);
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    sh(&folder, "cp stale linkr.db-wal");
    refused(&path, "move ");
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    assert!(super::super::backup(&path, &folder.file("copy.db")).unwrap_err().contains("another moment"));
    sh(&folder, "rm linkr.db-wal");
    assert_eq!(open(&path).unwrap().head().unwrap().seq, 20);
}

#[test]
fn what_a_stop_left_that_was_killed_before_it_emptied_the_log_opens() {
    let (folder, store) = copied("true");
    let path = folder.file("linkr.db");
    let (now, log) = (store.health.files.identity.clone(), log_of(&path).unwrap());
    store.health.files.note(|_| ()).unwrap();
    drop(store);
    let closed = of(&path).unwrap().unwrap();
    let refused = |noted: Option<&WitnessNote>| {
        matches!(judge(&path, &closed, &now, log, noted), FileJudgement::Refused(_))
    };
    assert!(refused(None) && refused(WitnessNote::of(&path).as_ref()), "the stop came to its end");
    let store = open(&path).unwrap(); // its note says that it is open, with this log
    let closed_at = closed.closed_at().unwrap();
    assert_eq!(
        judge(&path, &closed, &now, log, WitnessNote::of(&path).as_ref()),
        FileJudgement::Cut(closed_at)
    );
    sh(&folder, "cp linkr.db-wal x; mv x linkr.db-wal");
    assert!(refused(WitnessNote::of(&path).as_ref()), "another file");
    drop(store);
}

#[test]
fn an_open_store_is_the_one_that_was_noted_last() {
    let (folder, store) = copied("cp linkr.db.lock earlier");
    let path = folder.file("linkr.db");
    let (mark, now) = (of(&path).unwrap().unwrap(), store.health.files.identity.clone());
    let log = log_of(&path).unwrap();
    let said = |words: &str| match judge(&path, &mark, &now, log, WitnessNote::of(&path).as_ref()) {
        FileJudgement::Good => words.is_empty(),
        FileJudgement::Refused(why) => {
            !words.is_empty() && why.contains(words) && why.contains("linkr restore --accept")
        }
        FileJudgement::Moved(_) | FileJudgement::Cut(_) => false,
    };
    assert!(said(""));
    sh(&folder, "cp earlier linkr.db.lock; touch -d '1 second' linkr.db.lock");
    assert!(said("linkr.db.lock was written by another program"));
    store.health.files.note(|_| ()).unwrap();
    assert!(said(""));
    store.health.files.note(|witness| witness.nonce ^= 2).unwrap();
    assert!(said("from an earlier run"));
    store.health.files.note(|witness| witness.nonce ^= 2).unwrap();
    sh(&folder, "cp linkr.db-wal x; mv x linkr.db-wal");
    assert!(said("another file than the write-ahead log"));
    store.health.files.note(|witness| (witness.state, witness.log) = (WitnessState::Closed, None)).unwrap();
    assert!(said("a copy from when it was open"));
}

#[test]
fn a_backup_that_is_copied_over_a_running_store_takes_no_writes_and_stays_whole() {
    let (folder, store) = copied("true");
    let (path, copy) = (folder.file("linkr.db"), folder.file("copy.db"));
    super::super::backup(&path, &copy).unwrap();
    write(&store, 10..20);
    sh(&folder, "cp copy.db linkr.db");
    let key = Key::new(DomainId::DEFAULT, &Code::new("c0").unwrap());
    let why = store.commit(&[Item { key, intent: Intent::Delete { etag: None } }.into()], 1).unwrap_err();
    assert!(why.to_string().contains("was overwritten by another program"), "{why}");
    assert_eq!(store.writable().unwrap_err(), why);
    drop(store);
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&copy).unwrap());
}

/// A connection that reads one state for as long as it lives.
fn reading(path: &Path) -> Connection {
    let db = super::super::connect::reader(path).unwrap();
    db.execute_batch("BEGIN").unwrap();
    db.query_row("SELECT count(*) FROM links", [], |_| Ok(())).unwrap();
    db
}

#[test]
fn a_start_whose_mark_cannot_reach_the_file_says_who_keeps_it_from_that() {
    let (folder, store) = copied("true");
    let path = folder.file("linkr.db");
    drop(store);
    let reader = reading(&path);
    refused(&path, "another program reads it");
    drop(reader);
    let store = open(&path).unwrap();
    assert_eq!(store.head().unwrap().seq, 10);
    assert!(!of(&path).unwrap().unwrap().is_closed());
}

#[test]
fn a_store_that_somebody_reads_is_not_closed_and_goes_on() {
    let (folder, store) = copied("true");
    let path = folder.file("linkr.db");
    let reader = reading(&path);
    write(&store, 10..20);
    drop(store);
    let mark = of(&path).unwrap().unwrap();
    assert!(!mark.is_closed());
    let store = open(&path).unwrap();
    write(&store, 20..30);
    assert_eq!(of(&path).unwrap().unwrap().nonce(), mark.nonce(), "the opening goes on");
    drop(reader);
    drop(store);
    assert!(of(&path).unwrap().unwrap().is_closed());
    assert_eq!(open(&path).unwrap().head().unwrap().seq, 30);
}

#[test]
fn what_is_no_store_is_not_called_a_damaged_one_and_a_full_disk_blames_no_file() {
    use super::super::{backup, restore};
    let folder = Folder::new();
    let db = Connection::open(folder.file("other.db")).unwrap();
    db.execute_batch("CREATE TABLE a (b)").unwrap();
    drop(db);
    std::fs::write(folder.file("junk"), [7; 5_000]).unwrap();
    std::fs::write(folder.file("empty"), []).unwrap();
    for name in ["other.db", "junk", "empty"] {
        let why = backup(&folder.file(name), &folder.file("copy")).unwrap_err();
        assert!(why.contains("is no store of linkr"), "{name}: {why}");
        let why = restore(&folder.file(name), &folder.file("new.db"), true).unwrap_err();
        assert!(why.contains("is no store of linkr"), "{name}: {why}");
    }
}

#[test]
fn what_root_makes_belongs_to_the_owner_of_the_folder_or_of_what_was_there() {
    use super::super::{backup, restore};
    use crate::port::Repository as _;
    use std::os::unix::fs::MetadataExt;
    let folder = Folder::new();
    if std::os::unix::fs::chown(&folder.0, Some(1234), Some(1235)).is_err() {
        return println!("SKIPPED: only root gives files away");
    }
    let owner = |name: &str| {
        let file = std::fs::metadata(folder.file(name)).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        (file.uid(), file.gid())
    };
    let store = open(&folder.file("linkr.db")).unwrap();
    write(&store, 0..1);
    store.clicks().append(&[], 0).unwrap();
    for name in ["linkr.db", "linkr.db-wal", "linkr.db-shm", "linkr.db.lock", "linkr.db.clicks"] {
        assert_eq!(owner(name), (1234, 1235), "{name}");
    }
    drop(store);
    backup(&folder.file("linkr.db"), &folder.file("copy.db")).unwrap();
    std::os::unix::fs::chown(folder.file("linkr.db"), Some(4321), Some(4322)).unwrap();
    restore(&folder.file("copy.db"), &folder.file("linkr.db"), false).unwrap();
    assert_eq!((owner("linkr.db"), owner("linkr.db.clicks")), ((4321, 4322), (4321, 4322)));
    restore(&folder.file("copy.db"), &folder.file("new.db"), false).unwrap();
    assert_eq!((owner("new.db"), owner("new.db.clicks")), ((1234, 1235), (1234, 1235)));
}

#[path = "crash_tests.rs"]
mod crashes;

#[path = "beside_tests.rs"]
mod beside_it;
