//! Copies of a store while writes go on: by hand they are refused or whole, by `linkr backup` they are at one position.

use crate::stores::{Store, control};
use crate::support::{
    Connection, Dir, FREE_PORTS, LINKR, Linkr, beside_others, bounded, command, skip, text, until,
};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Output;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const WRITERS: usize = 4;
/// What a backup has to bear.
const WRITES_A_SECOND: u32 = 500;

fn rounds() -> usize {
    if std::env::var_os("LINKR_LONG").is_some() { 10 } else { 2 }
}

/// Acknowledged writes: revision and code, in the order in which they were acknowledged.
#[derive(Default)]
struct WriteLog {
    codes: Mutex<Vec<(u64, String)>>,
    next: AtomicUsize,
    stop: AtomicBool,
}

impl WriteLog {
    /// Writes at an even pace, the updates of one link among them, until it is told to stop.
    fn go_on(&self, api: std::net::SocketAddr) {
        let mut connection = Connection::to(api);
        let pace = Duration::from_secs(1) * WRITERS as u32 / WRITES_A_SECOND;
        let mut due = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let body = format!("{{\"code\":\"w{number}\",\"target\":\"https://example.com/{number}\"}}");
            let answer = connection.call("POST", "/v1/links", &body).unwrap().unwrap();
            assert_eq!(answer.status, 201, "{}", answer.body);
            let seq = seq_of(&answer.body);
            self.codes.lock().unwrap().push((seq, format!("w{number}")));
            due += pace;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }

    fn until(&self, count: usize) {
        until("writes to be acknowledged", || (self.codes.lock().unwrap().len() >= count).then_some(()));
    }

    fn now(&self) -> Vec<(u64, String)> {
        self.codes.lock().unwrap().clone()
    }
}

/// Ends the writing, also when the test fails.
struct WriteStop<'a>(&'a WriteLog);

impl Drop for WriteStop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// The version in an answer's etag: `"etag":"\"17\""`.
fn seq_of(body: &str) -> u64 {
    let (_, rest) = body.split_once("\"etag\":\"\\\"").unwrap_or_else(|| panic!("no etag in {body}"));
    rest[..rest.find('\\').unwrap()].parse().unwrap()
}

/// `linkr backup` says `… (history H, change N)`.
fn change_of(said: &str) -> u64 {
    let (_, rest) = said.split_once(", change ").unwrap_or_else(|| panic!("no position in {said}"));
    rest[..rest.find(')').unwrap()].parse().unwrap()
}

fn linkr(dir: &Dir, words: &[&str]) -> Output {
    command(LINKR, dir.path()).args(words).output().unwrap()
}

fn ok(dir: &Dir, words: &[&str]) -> String {
    let done = linkr(dir, words);
    assert!(done.status.success(), "{words:?}: {}", text(&done.stderr));
    text(&done.stdout)
}

/// Every code in a store, as a control on it exports them.
fn codes(control: &Linkr, dir: &Dir) -> BTreeMap<String, ()> {
    let all = control.ok(dir, &["export", "--format", "jsonl"]);
    let code = |line: &str| {
        line.split_once("\"code\":\"").map(|(_, rest)| rest[..rest.find('"').unwrap()].to_owned())
    };
    all.lines().map(|line| (code(line).unwrap_or_else(|| panic!("{line}")), ())).collect()
}

/// Starts on a copy: what it holds, or why it is refused.
fn try_start(dir: &Dir, store: &str) -> Result<Linkr, String> {
    let mut start = command(LINKR, dir.path());
    start.args(["control", "--store", store]).args(FREE_PORTS).env("LINKR_INSECURE", "true");
    let probe = linkr(dir, &["control", "--store", store, "mint-key", "--name", "probe"]);
    if !probe.status.success() {
        return Err(text(&probe.stderr));
    }
    Ok(Linkr::start(start, dir, &["store", "api", "admin"]))
}

fn sh(dir: &Path, script: &str) {
    assert!(command("sh", dir).args(["-ec", script]).status().unwrap().success(), "{script}");
}

#[test]
fn a_copy_by_hand_is_refused_or_holds_every_acknowledged_write() {
    let _turn = beside_others();
    let dir = Dir::new();
    let running = control(&dir, "sqlite:data/linkr.db");
    let written = WriteLog::default();
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| written.go_on(running.api()));
        }
        let _ending = WriteStop(&written);
        let (mut refused, mut taken) = (0, 0);
        for round in 0..rounds() {
            for (kind, script) in [
                ("db", "mkdir db; cp data/linkr.db db/linkr.db"),
                ("both", "mkdir both; cp data/linkr.db data/linkr.db-wal both/"),
                ("all", "cp -r data all"),
            ] {
                written.until(written.now().len() + 50 + 37 * (round % 7));
                let before = written.now();
                sh(dir.path(), &format!("rm -rf {kind}; {script}"));
                match try_start(&dir, &format!("sqlite:{kind}/linkr.db")) {
                    Err(why) => {
                        assert!(
                            why.contains("copy of one that was open") && why.lines().count() == 1,
                            "{why}"
                        );
                        refused += 1;
                    }
                    Ok(control) => {
                        let there = codes(&control, &dir);
                        for (_, code) in &before {
                            assert!(there.contains_key(code), "{kind}: {code} was acknowledged, and is gone");
                        }
                        taken += 1;
                    }
                }
            }
        }
        println!("{refused} copies refused, {taken} whole, {} writes", written.now().len());
        assert!(refused > 0);
    });
}

/// Backups under load, each put back: it holds the writes up to the position that it named, and no other.
fn backups(store: &Store, restored: impl Fn(&Dir, usize) -> String, name: impl Fn(usize) -> String) {
    let dir = Dir::new();
    let at = match store {
        Store::Sqlite => "sqlite:data/linkr.db".to_owned(),
        Store::Postgres(_) => store.empty("linkr"),
    };
    let running = control(&dir, &at);
    let written = WriteLog::default();
    let mut positions = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| written.go_on(running.api()));
        }
        let _ending = WriteStop(&written);
        for round in 0..rounds() {
            written.until(written.now().len() + 100 + 53 * (round % 5));
            let before = written.now();
            let began = Instant::now();
            let said = ok(&dir, &["backup", &name(round), "--store", &at]);
            let (took, change) = (began.elapsed(), change_of(&said));
            println!(
                "change {change} after {took:?}, {} writes meanwhile",
                written.now().len() - before.len()
            );
            let newest = before.iter().map(|(seq, _)| *seq).max().unwrap();
            assert!(change >= newest, "{change} is older than what was acknowledged before: {newest}");
            positions.push(change);
        }
    });
    drop(running);
    let all = written.now();
    for (round, change) in positions.into_iter().enumerate() {
        let control = control(&dir, &restored(&dir, round));
        let there = codes(&control, &dir);
        let wanted: BTreeMap<_, _> =
            all.iter().filter(|(seq, _)| *seq <= change).map(|(_, code)| (code.clone(), ())).collect();
        assert_eq!(there.len() as u64, change, "one write each");
        assert!(there == wanted, "of backup {round}");
    }
}

#[test]
fn a_backup_under_load_is_at_the_position_it_names() {
    let _turn = beside_others();
    let restored = |dir: &Dir, round: usize| {
        let store = format!("sqlite:back{round}/linkr.db");
        let said = ok(dir, &["restore", &format!("backup{round}.db"), "--store", &store]);
        assert!(said.contains("holds everything up to revision"), "{said}");
        store
    };
    backups(&Store::Sqlite, restored, |round| format!("backup{round}.db"));
}

#[test]
fn a_backup_of_postgres_under_load_is_at_the_position_it_names() {
    let _turn = beside_others();
    let test = "a_backup_of_postgres_under_load_is_at_the_position_it_names";
    let Some(store) = Store::postgres(test) else { return };
    let restored = |dir: &Dir, round: usize| {
        let url = store.empty(&format!("back{round}"));
        let file = format!("backup{round}.dump");
        let steps = linkr(dir, &["restore", &file, "--store", &url]);
        assert!(text(&steps.stderr).contains("pg_restore --clean --if-exists"), "{}", text(&steps.stderr));
        let put_back = command("pg_restore", dir.path())
            .args(["--clean", "--if-exists", "--single-transaction", "--dbname", &url, &file])
            .output()
            .unwrap();
        assert!(put_back.status.success(), "{}", text(&put_back.stderr));
        let said = ok(dir, &["control", "--store", &url, "bump-epoch", "--above", "9"]);
        assert!(said.starts_with("history 10-"), "{said}");
        url
    };
    backups(&store, restored, |round| format!("backup{round}.dump"));
}

#[test]
fn a_restore_keeps_what_was_there_and_leaves_a_running_store_alone() {
    let _turn = beside_others();
    let dir = Dir::new();
    let mut up = Linkr::up(&dir);
    up.ok(&dir, &["link", "create", "https://example.com/1", "--code", "one"]);
    ok(&dir, &["backup", "copy.db", "--data-dir", "data"]);
    let again = linkr(&dir, &["backup", "copy.db", "--data-dir", "data"]);
    assert!(text(&again.stderr).contains("a backup replaces nothing"), "{}", text(&again.stderr));
    up.ok(&dir, &["link", "create", "https://example.com/2", "--code", "two"]);
    let running = linkr(&dir, &["restore", "copy.db", "--data-dir", "data"]);
    assert!(text(&running.stderr).contains("is in use by another linkr"), "{}", text(&running.stderr));
    up.ask_to_stop();
    assert!(up.exited().success());
    let said = ok(&dir, &["restore", "copy.db", "--data-dir", "data"]);
    assert!(said.contains("data/linkr.db.before-"), "{said}");
    let up = Linkr::up(&dir);
    assert_eq!(codes(&up, &dir).into_keys().collect::<Vec<_>>(), ["one"]);
}

#[test]
fn a_store_taken_from_under_control_takes_no_more_writes() {
    let _turn = beside_others();
    let dir = Dir::new();
    let running = control(&dir, "sqlite:data/linkr.db");
    running.ok(&dir, &["link", "create", "https://example.com/1", "--code", "one"]);
    sh(dir.path(), "mkdir away; mv data/linkr.db* away/");
    let refused = running.run(&dir, &["link", "create", "https://example.com/2", "--code", "two"]);
    assert!(text(&refused.stderr).contains("is gone from its place"), "{}", text(&refused.stderr));
    until("the log to say it", || running.stderr().contains("the store takes no writes").then_some(()));
    sh(dir.path(), "mv away/* data/");
    running.ok(&dir, &["link", "create", "https://example.com/2", "--code", "two"]);
}

#[test]
fn a_log_that_is_taken_away_after_kill_9_is_missed_and_restore_says_what_is_left() {
    let _turn = beside_others();
    let dir = Dir::new();
    let mut running = control(&dir, "sqlite:data/linkr.db");
    running.ok(&dir, &["link", "create", "https://example.com/1", "--code", "one"]);
    running.kill();
    sh(dir.path(), "cp -r data crashed; rm data/linkr.db-wal");
    let why = try_start(&dir, "sqlite:data/linkr.db").err().unwrap();
    assert!(why.contains("its write-ahead log data/linkr.db-wal is gone"), "{why}");
    let way_out = ["restore", "--accept", "data/linkr.db", "--store", "sqlite:data/linkr.db"];
    assert!(ok(&dir, &way_out).contains("change 0"));
    // With its log a copy has all of it, when somebody says that it is meant.
    let plain = linkr(&dir, &["restore", "crashed/linkr.db", "--store", "sqlite:data/linkr.db"]);
    assert!(text(&plain.stderr).contains("restore --accept"), "{}", text(&plain.stderr));
    assert!(
        ok(&dir, &["restore", "--accept", "crashed/linkr.db", "--store", "sqlite:data/linkr.db"])
            .contains("change 1")
    );
    let control = control(&dir, "sqlite:data/linkr.db");
    assert_eq!(codes(&control, &dir).into_keys().collect::<Vec<_>>(), ["one"]);
}

#[test]
fn a_pipe_in_the_data_directory_is_refused_and_files_that_were_open_to_others_are_not() {
    let _turn = beside_others();
    let dir = Dir::new();
    drop(Linkr::up_with(&dir, &[("LINKR_INSECURE", "false")]));
    let refused = |what: &str, words: &str| {
        let mut up = command(LINKR, dir.path());
        up.args(["up", "--data-dir", "data", "--listen", "127.0.0.1:0"]).args(FREE_PORTS);
        let said = bounded(up, &dir, Duration::from_secs(10)).unwrap_err();
        assert!(said.contains(words), "{what}: {said}");
    };
    let beside = ["linkr.db.lock", "linkr.db-wal", "linkr.db-shm", "linkr.db-journal", "linkr.db.room"];
    for file in ["lock", "admin.key", "linkr.db"].iter().chain(&beside) {
        sh(dir.path(), &format!("[ ! -e data/{file} ] || mv data/{file} kept; mkfifo data/{file}"));
        refused(&format!("a pipe as {file}"), "it is a pipe and no file");
        // Found by attack: what a link led to was closed to others, or written over.
        sh(
            dir.path(),
            &format!("rm data/{file}; printf mine > victim; chmod 644 victim; ln -s ../victim data/{file}"),
        );
        match *file {
            "linkr.db" => refused("a link to what is no store", "is not a database"), // an operator may have made it
            file => refused(&format!("a link as {file}"), "it is a symbolic link, which is not followed"),
        }
        assert_eq!(std::fs::read(dir.file("victim")).unwrap(), b"mine", "{file}");
        let mode = std::fs::metadata(dir.file("victim")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o644, "{file}");
        sh(dir.path(), &format!("rm -f data/{file} victim.lock; [ ! -e kept ] || mv kept data/{file}"));
    }
    sh(dir.path(), "find data -maxdepth 1 -type f -exec chmod 644 {} +");
    let _up = Linkr::up_with(&dir, &[("LINKR_INSECURE", "false")]);
    for entry in std::fs::read_dir(dir.path().join("data")).unwrap() {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        let want = if meta.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(meta.mode() & 0o777, want, "{}", entry.path().display());
    }
}

/// The log is in the file, and the note beside it says how far the store got.
fn idle_at(dir: &Dir, change: u64) {
    let log = dir.path().join("data/linkr.db-wal");
    let noted = || std::fs::read_to_string(dir.path().join("data/linkr.db.lock")).unwrap_or_default();
    until("an idle store", || {
        let at = noted().split_whitespace().nth(3).and_then(|seq| seq.parse::<u64>().ok());
        (at == Some(change) && std::fs::metadata(&log).unwrap().len() == 0).then_some(())
    });
}

#[test]
fn an_older_file_in_the_place_of_the_store_is_refused_after_a_crash_and_after_a_stop() {
    let _turn = beside_others();
    let put_back = [
        ("cp linkr.db.old data/linkr.db", "cp data/linkr.db linkr.db.old", "got to 2 before"),
        (
            "cp -p all/* data/; touch data/linkr.db.lock -d '10 seconds'",
            "cp -rp data all",
            "by another program",
        ),
    ];
    for (back, copy, words) in put_back {
        let dir = Dir::new();
        let mut running = control(&dir, "sqlite:data/linkr.db");
        running.ok(&dir, &["link", "create", "https://example.com/1", "--code", "one"]);
        idle_at(&dir, 1);
        sh(dir.path(), copy);
        running.ok(&dir, &["link", "create", "https://example.com/2", "--code", "two"]);
        idle_at(&dir, 2);
        running.kill();
        sh(dir.path(), &format!("cp -r data crashed; {back}"));
        let why = try_start(&dir, "sqlite:data/linkr.db").err().unwrap();
        assert!(why.contains(words) && why.contains("linkr restore --accept"), "{why}");
        let copied = linkr(&dir, &["backup", "copy.db", "--store", "sqlite:data/linkr.db"]);
        assert!(text(&copied.stderr).contains(words), "{}", text(&copied.stderr));
        let way_out = ["restore", "--accept", "data/linkr.db", "--store", "sqlite:data/linkr.db"];
        assert!(ok(&dir, &way_out).contains("change 1"));
        assert_eq!(codes(&control(&dir, "sqlite:data/linkr.db"), &dir).len(), 1);
    }
    let stopped = [
        ("cp linkr.db.old data/linkr.db", "cp data/linkr.db linkr.db.old", "a copy from when it was open"),
        ("cp all/* data/", "cp -r data all", "another"),
    ];
    for (back, copy, words) in stopped {
        let dir = Dir::new();
        let mut running = control(&dir, "sqlite:data/linkr.db");
        running.ok(&dir, &["link", "create", "https://example.com/1", "--code", "one"]);
        sh(dir.path(), copy);
        running.ok(&dir, &["link", "create", "https://example.com/2", "--code", "two"]);
        running.ask_to_stop();
        assert!(running.exited().success());
        sh(dir.path(), back);
        let why = try_start(&dir, "sqlite:data/linkr.db").err().unwrap();
        assert!(why.contains(words), "{why}");
    }
}

#[test]
fn an_older_file_beside_a_newer_log_is_looked_through_after_a_crash() {
    let _turn = beside_others();
    let dir = Dir::new();
    let mut running = control(&dir, "sqlite:data/linkr.db");
    running.ok(&dir, &["link", "create", "https://example.com/1", "--code", "one"]);
    idle_at(&dir, 1);
    sh(dir.path(), "cp data/linkr.db old");
    let mut connection = Connection::to(running.api());
    for number in 0..300 {
        let body = format!("{{\"code\":\"w{number}\",\"target\":\"https://example.com/{number}\"}}");
        assert_eq!(connection.call("POST", "/v1/links", &body).unwrap().unwrap().status, 201);
    }
    idle_at(&dir, 301);
    running.ok(&dir, &["link", "create", "https://example.com/3", "--code", "three"]);
    running.kill();
    sh(dir.path(), "cp data/linkr.db good; cp old data/linkr.db; cp data/linkr.db-wal log");
    let why = try_start(&dir, "sqlite:data/linkr.db").err().unwrap();
    assert!(why.contains("is not as its linkr left it") || why.contains("older copy"), "{why}");
    sh(dir.path(), "cmp old data/linkr.db; cmp log data/linkr.db-wal; cp good data/linkr.db");
    let control = try_start(&dir, "sqlite:data/linkr.db").unwrap();
    assert_eq!(codes(&control, &dir).len(), 302);
}

/// Volumes that a test has mounted, until its end.
struct Mounts<'a>(&'a Dir);

impl Drop for Mounts<'_> {
    fn drop(&mut self) {
        let script = "umount -q data; umount -q beside; true";
        let _ = std::process::Command::new("sh").current_dir(self.0.path()).args(["-c", script]).status();
    }
}

/// Found by attack: its device had another number then, and the store was called a copy.
#[test]
fn a_volume_that_is_mounted_again_after_kill_9_has_its_store_and_a_copy_of_it_beside_has_not() {
    let _turn = beside_others();
    let dir = Dir::new();
    let made = "mkdir data beside && truncate -s 128M volume && mkfs.ext4 -q -I 256 volume && mount -o loop volume data";
    let made = std::process::Command::new("sh").current_dir(dir.path()).args(["-c", made]).output();
    let _mounts = Mounts(&dir);
    if !made.is_ok_and(|made| made.status.success()) {
        return skip("a_volume_that_is_mounted_again", "a file system in a file cannot be mounted");
    }
    let mut up = Linkr::up(&dir);
    up.ok(&dir, &["link", "create", "https://example.com/1", "--code", "one"]);
    up.kill();
    drop(up);
    sh(dir.path(), "umount data; cp volume copy; mount -o loop volume data; mount -o loop copy beside");
    let why = try_start(&dir, "sqlite:beside/linkr.db").map(|_| ()).unwrap_err();
    assert!(why.contains("is a copy of one that was open in a running linkr"), "{why}");
    // `beside` holds the volume to the last byte, under another device number.
    let device = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().dev();
    assert_ne!(device("beside"), device("data"));
    sh(dir.path(), "umount data");
    let again = try_start(&dir, "sqlite:beside/linkr.db").unwrap();
    assert_eq!(codes(&again, &dir).into_keys().collect::<Vec<_>>(), ["one"]);
}

#[test]
fn a_backup_names_what_a_killed_one_left() {
    let _turn = beside_others();
    let dir = Dir::new();
    drop(Linkr::up(&dir));
    dir.write("copy.db.new-00c0ffee", "half of it");
    dir.write("copy.db.new-mine", "");
    let done = linkr(&dir, &["backup", "copy.db", "--data-dir", "data"]);
    let said = text(&done.stderr);
    assert!(done.status.success() && said.lines().count() == 1, "{said}");
    assert!(
        said.contains("copy.db.new-00c0ffee was left by a linkr backup or restore that was killed"),
        "{said}"
    );
}
