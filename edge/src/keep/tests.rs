//! A set goes to its file and comes back, and whatever is wrong with the file is a cold start.

use super::write::{SnapshotOutcome, write};
use super::*;
use crate::records;
use crate::snapshot::{AppliedPosition, Group, Snapshot, beside};
use hot::{EntryState, StoredValue};
use link::{Epoch, Link, LinkParts, Position, Target};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

const AT: Position = Position { epoch: Epoch { counter: 2, random: 5 }, seq: 40, tag: 77 };

/// A directory of its own, gone at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("linkr-snapshot-{}-{test}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn file(&self) -> PathBuf {
        self.0.join("file")
    }

    /// A process that has this file.
    fn start(&self) -> (Shared, Option<LoadedSnapshot>) {
        let snapshot = Snapshot::open(&self.file()).unwrap();
        let shared = Shared::new(1 << 22, 1, futures_channel::mpsc::channel(1).0, Some(snapshot), None);
        let restored = restore(own(&shared), &shared);
        (shared, restored)
    }

    /// One that wrote a whole set of so many links and one tombstone, and ended.
    fn written(&self, links: u64) {
        let (shared, _) = self.start();
        fill(&shared, links);
        assert_eq!(write(own(&shared), &shared).unwrap(), SnapshotOutcome::Whole);
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn own(shared: &Shared) -> &Snapshot {
    shared.snapshot.as_ref().unwrap()
}

fn link(number: u64) -> StoredValue {
    let target = Target::stored(format!("https://a.example/{number}").as_bytes()).unwrap();
    StoredValue::live(Link::new(LinkParts::to(target)).unwrap())
}

fn key(number: u64) -> Vec<u8> {
    [&[0; 4], format!("c{number}").as_bytes()].concat()
}

/// A set as a walk leaves it.
fn fill(shared: &Shared, links: u64) {
    let set = &shared.set;
    set.reset(Position { seq: AT.seq - links - 1, ..AT });
    for number in 0..links {
        set.apply(&key(number), AT.seq - links + number, Some(&link(number)));
    }
    set.apply(&key(999), AT.seq, Some(&StoredValue::Deleted));
    set.set_complete();
    stand(shared);
}

fn stand(shared: &Shared) {
    let position = Position { seq: shared.set.applied(), ..AT };
    shared.feed.stands_at(AppliedPosition { generation: shared.set.generation(), position });
}

#[test]
fn what_a_set_held_comes_back() {
    let dir = Dir::new("back");
    dir.written(20);
    assert!(!beside(&dir.file(), "new").exists());
    let (shared, restored) = dir.start();
    let restored = restored.unwrap();
    assert_eq!((restored.position, restored.complete), (AT, true));
    let set = &shared.set;
    assert_eq!((set.epoch(), set.applied(), set.seen()), (Some(AT.epoch), 40, 40));
    assert!(set.is_complete() && shared.feed.loaded.load(Ordering::Relaxed));
    for number in 0..20 {
        let StoredValue::Live { link, .. } = link(number) else { panic!() };
        set.look_up(&key(number), |held| {
            assert!(held.confirmed);
            assert_eq!(
                (held.found, held.version, held.as_of),
                (EntryState::Live(link.as_ref()), 20 + number, 20 + number)
            );
        });
    }
    set.look_up(&key(999), |held| assert_eq!((held.found, held.version), (EntryState::Deleted, 40)));
    set.validate();
    assert_eq!(shared.feed.standing().unwrap().position, AT);
    assert!(own(&shared).counts.bytes.load(Ordering::Relaxed) == fs::metadata(dir.file()).unwrap().len());
}

#[test]
fn domains_come_back_as_they_came() {
    let dir = Dir::new("domains");
    let (shared, _) = dir.start();
    fill(&shared, 3);
    let name = link::Domain::new("a.example").unwrap();
    let rules = link::DomainRules { name, unknown: [7, 0, 1, 9].into(), ..link::DomainRules::default() };
    let good = record::encode_domain(3, &rules);
    let mut newer = good.to_vec();
    newer[4] = 1; // requires what this program does not understand
    for (id, record) in [(7, &good[..]), (8, &newer[..])] {
        let key = link::DomainId(id).prefix();
        shared.domains.apply(records::domain(&shared, &key, record, 3).unwrap());
    }
    assert!(records::domain(&shared, &[0; 4], b"\x01bad", 3).is_none(), "nothing is known of it");
    assert!(records::domain(&shared, &key(1), &good, 3).is_none(), "the key of a link");
    write(own(&shared), &shared).unwrap();
    let before = shared.domains.dump();
    drop(shared);
    let (shared, restored) = dir.start();
    assert!(restored.unwrap().complete);
    assert_eq!((shared.domains.dump(), before[0].record.to_vec()), (before.clone(), good.to_vec()));
    assert_eq!(before[1].told, hot::ReadableRules::Name(link::Domain::new("a.example").unwrap()));
}

#[test]
fn freshness_does_not_survive_and_age_does() {
    let dir = Dir::new("age");
    let (shared, _) = dir.start();
    fill(&shared, 3);
    let now = sys::boottime_ms();
    shared.set.freshen(now);
    write(own(&shared), &shared).unwrap();
    drop(shared);
    let (shared, _) = dir.start();
    let freshness = shared.set.freshness(sys::boottime_ms());
    assert!(freshness.is_blind() && freshness.stale_ms().unwrap() < 60_000, "{freshness:?}");
    // Two days, some of them before this machine was started.
    shared.set.stale_since(sys::boottime_ms(), 48 * 3_600_000);
    write(own(&shared), &shared).unwrap();
    drop(shared);
    let (shared, _) = dir.start();
    let age = shared.set.freshness(sys::boottime_ms()).stale_ms().unwrap();
    assert!((48 * 3_600_000..48 * 3_600_000 + 60_000).contains(&age), "{age}");
}

#[test]
fn a_reset_meanwhile_discards_the_file() {
    let dir = Dir::new("reset");
    dir.written(3);
    let before = fs::read(dir.file()).unwrap();
    let (shared, _) = dir.start();
    shared.set.reset(Position { seq: 90, ..AT }); // and the follower has not said where it stands now
    assert_eq!(write(own(&shared), &shared).unwrap(), SnapshotOutcome::Overtaken);
    shared.set.fork(Epoch { counter: 3, random: 1 }, 90);
    shared.feed.stands_at(AppliedPosition { generation: shared.set.generation(), position: AT });
    assert_eq!(write(own(&shared), &shared).unwrap(), SnapshotOutcome::Overtaken, "another history");
    assert_eq!(fs::read(dir.file()).unwrap(), before);
    assert!(!beside(&dir.file(), "new").exists());
}

#[test]
fn what_is_not_understood_is_asked_for_again() {
    let dir = Dir::new("quarantine");
    let (shared, _) = dir.start();
    fill(&shared, 3);
    shared.set.apply(&key(1), 41, Some(&StoredValue::Quarantined));
    stand(&shared);
    write(own(&shared), &shared).unwrap();
    drop(shared);
    let (shared, restored) = dir.start();
    assert!(!restored.unwrap().complete && !shared.set.is_complete());
    assert_eq!(shared.set.version(&key(1)), None);
    assert_eq!(shared.set.version(&key(2)), Some(39));
}

#[test]
fn a_smaller_budget_holds_what_it_can() {
    let dir = Dir::new("budget");
    dir.written(30);
    let snapshot = Snapshot::open(&dir.file()).unwrap();
    let shared = Shared::new(2_000, 1, futures_channel::mpsc::channel(1).0, Some(snapshot), None);
    let restored = restore(own(&shared), &shared).unwrap();
    assert!(!restored.complete && !shared.set.is_complete());
    assert!(shared.set.entries() > 0 && shared.set.bytes() <= 2_000);
}

#[test]
fn a_file_that_is_wrong_is_a_cold_start_and_is_kept() {
    let dir = Dir::new("wrong");
    dir.written(20);
    let good = fs::read(dir.file()).unwrap();
    let (mut flipped, mut other) = (good.clone(), good.clone());
    flipped[good.len() / 2] ^= 1;
    other[9] = 99; // layout
    for bad in [&good[..good.len() - 1], &good[..30], &[], b"no snapshot at all", &flipped, &other] {
        fs::write(dir.file(), bad).unwrap();
        let (shared, restored) = dir.start();
        assert!(restored.is_none() && !shared.feed.loaded.load(Ordering::Relaxed));
        assert_eq!((shared.set.entries(), shared.set.epoch()), (0, None));
        assert_eq!(own(&shared).counts.load_failures.load(Ordering::Relaxed), 1);
        assert_eq!(fs::read(beside(&dir.file(), "bad")).unwrap(), bad);
        assert!(!dir.file().exists());
    }
    fs::write(dir.file(), &good).unwrap();
    assert!(dir.start().1.is_some());
}

#[test]
fn a_file_that_ends_two_processes_is_put_aside() {
    let dir = Dir::new("ends");
    dir.written(3);
    for _ in 0..2 {
        // As far as a process comes that dies of it.
        Snapshot::open(&dir.file()).unwrap().note.loading();
    }
    let (shared, restored) = dir.start();
    assert!(restored.is_none() && beside(&dir.file(), "bad").exists());
    assert_eq!(own(&shared).counts.load_failures.load(Ordering::Relaxed), 1);
    fill(&shared, 3);
    write(own(&shared), &shared).unwrap();
    drop(shared);
    assert!(dir.start().1.is_some(), "the next one is another file");
}

/// A process that dies over a record, twice; the third one keeps away from it and goes on.
#[test]
fn a_record_that_ends_two_processes_is_quarantined() {
    let dir = Dir::new("record");
    let StoredValue::Live { link: good, .. } = link(1) else { panic!() };
    let record = record::encode(41, &link::LinkState::Live(good));
    let stored = |shared: &Shared| records::stored(shared, &key(1), &record, 41).unwrap().0;
    for _ in 0..2 {
        let (shared, _) = dir.start();
        std::mem::forget(shared.under_way(|| Group::Changes(41, 43)));
        assert_eq!(stored(&shared), link(1));
    }
    let (shared, _) = dir.start();
    let _under_way = shared.under_way(|| Group::Changes(41, 43));
    assert_eq!(stored(&shared), StoredValue::Quarantined);
    assert_eq!(shared.feed.quarantined.load(Ordering::Relaxed), 1);
    assert_eq!(records::stored(&shared, &key(2), &record, 42).unwrap().0, link(1), "another key's is read");
}

#[test]
fn one_end_while_loading_is_forgiven() {
    let dir = Dir::new("end");
    dir.written(3);
    Snapshot::open(&dir.file()).unwrap().note.loading();
    assert!(dir.start().1.is_some());
    Snapshot::open(&dir.file()).unwrap().note.loading();
    assert!(dir.start().1.is_some(), "and forgotten");
}

#[test]
fn a_disk_that_refuses_is_counted_and_the_old_file_stays() {
    let dir = Dir::new("refuses");
    dir.written(3);
    let before = fs::read(dir.file()).unwrap();
    let (shared, _) = dir.start();
    fs::create_dir(beside(&dir.file(), "new")).unwrap(); // nothing can be written there
    let shared = Arc::new(shared);
    let keeper = Keeper::start(Arc::clone(&shared), false).unwrap();
    keeper.stop();
    assert_eq!(own(&shared).counts.write_failures.load(Ordering::Relaxed), 1);
    assert_eq!(fs::read(dir.file()).unwrap(), before);
}

#[test]
fn a_clean_stop_writes_what_changed() {
    let dir = Dir::new("stop");
    dir.written(3);
    let (shared, _) = dir.start();
    let shared = Arc::new(shared);
    let keeper = Keeper::start(Arc::clone(&shared), true).unwrap();
    shared.set.apply(&key(7), 41, Some(&link(7)));
    stand(&shared);
    keeper.stop();
    drop(shared);
    let (shared, restored) = dir.start();
    assert_eq!((restored.unwrap().position.seq, shared.set.version(&key(7))), (41, Some(41)));
}

#[test]
fn what_is_no_file_is_no_snapshot_and_a_file_is_its_owners_alone() {
    let dir = Dir::new("pipe");
    for file in [dir.file(), beside(&dir.file(), "note")] {
        sys::pipe_at(&file).unwrap();
        let refused = Snapshot::open(&dir.file()).unwrap_err().to_string();
        assert!(refused.contains("it is a pipe and no file"), "{refused}");
        fs::remove_file(&file).unwrap();
        let victim = dir.0.join("victim");
        fs::write(&victim, "its own").unwrap();
        fs::set_permissions(&victim, Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&victim, &file).unwrap();
        let refused = Snapshot::open(&dir.file()).unwrap_err().to_string();
        assert!(refused.contains("it is a symbolic link, which is not followed"), "{refused}");
        assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o777, 0o644);
        assert_eq!(fs::read(&victim).unwrap(), b"its own");
        fs::remove_file(&file).unwrap();
    }
    fs::write(dir.file(), "").unwrap();
    fs::set_permissions(dir.file(), Permissions::from_mode(0o644)).unwrap();
    sys::pipe_at(&beside(&dir.file(), "new")).unwrap(); // who opened it would wait for a reader
    drop(Snapshot::open(&dir.file()).unwrap());
    dir.written(3);
    for ending in ["note", ""] {
        let file = if ending.is_empty() { dir.file() } else { beside(&dir.file(), ending) };
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600, "{}", file.display());
    }
}
