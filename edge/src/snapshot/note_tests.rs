//! What one process leaves under way, the next one finds.

use super::*;
use std::path::PathBuf;

/// A directory of its own, gone at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("linkr-note-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn open(&self) -> Note {
        Note::open(&self.0.join("note")).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_record_that_ends_two_processes_is_set_aside() {
    let dir = Dir::new("record");
    let batch = || Group::Changes(10, 12);
    let one = dir.open();
    let way = one.begin(batch());
    assert!(one.enter(b"key", b"bad", 11));
    std::mem::forget(way);
    drop(one);

    let two = dir.open();
    let way = two.begin(Group::Changes(7, 20));
    for (key, bytes, seq) in [(b"one", b"good", 9), (b"two", b"good", 10)] {
        assert!(two.enter(key, bytes, seq), "nothing is known yet");
    }
    assert!(two.enter(b"key", b"bad", 11));
    std::mem::forget(way);
    drop(two);

    let three = dir.open();
    drop(three.begin(Group::Changes(7, 20)));
    assert!(!three.enter(b"key", b"bad", 11));
    assert!(!three.enter(b"key", b"bad", 99), "it may come in another way");
    assert!(three.enter(b"key", b"new", 100), "what is written later is another record");
    assert!(three.enter(b"two", b"good", 10));
    drop(three);
    assert!(!dir.open().enter(b"key", b"bad", 11), "for good");
}

#[test]
fn one_end_sets_nothing_aside() {
    let dir = Dir::new("once");
    let one = dir.open();
    let way = one.begin(Group::Changes(10, 12));
    std::mem::forget(way);
    drop(one);
    // It was chance: this time all goes well, and then it is killed elsewhere.
    let two = dir.open();
    let way = two.begin(Group::Changes(10, 12));
    assert!(two.enter(b"a", b"x", 10) && two.enter(b"b", b"x", 11));
    drop(way);
    let way = two.begin(Group::Changes(13, 14));
    assert!(two.enter(b"c", b"x", 13));
    std::mem::forget(way);
    drop(two);
    let three = dir.open();
    assert!(three.enter(b"b", b"x", 11) && three.enter(b"c", b"x", 13));
}

#[test]
fn a_clean_end_leaves_nothing() {
    let dir = Dir::new("clean");
    let one = dir.open();
    drop(one.begin(Group::of_keys([&b"b"[..], b"c", b"a"].into_iter())));
    assert_eq!(one.loading(), 0);
    one.loaded();
    drop(one);
    assert_eq!(dir.open().inner().lines, NoteContent::default());
}

#[test]
fn keys_are_a_group_too() {
    let dir = Dir::new("keys");
    let page = || Group::of_keys([&b"\0\0\0\0b"[..], b"\0\0\0\0d"].into_iter());
    for _ in 0..2 {
        let note = dir.open();
        let way = note.begin(page());
        assert!(note.enter(b"\0\0\0\0a", b"x", 5), "another page's");
        assert!(note.enter(b"\0\0\0\0c", b"x", 5));
        std::mem::forget(way);
    }
    let note = dir.open();
    assert!(!note.enter(b"\0\0\0\0c", b"x", 6) && note.enter(b"\0\0\0\0b", b"x", 6));
}

#[test]
fn loads_that_did_not_end_are_counted() {
    let dir = Dir::new("loads");
    for earlier in 0..3 {
        assert_eq!(dir.open().loading(), earlier);
    }
    let note = dir.open();
    assert_eq!(note.loading(), 3);
    note.loaded();
    assert_eq!(note.loading(), 0);
}

#[test]
fn only_so_many_are_kept_aside() {
    let dir = Dir::new("many");
    for number in 0..=MAX_ASIDE as u64 {
        for _ in 0..2 {
            let note = dir.open();
            let way = note.begin(Group::Changes(number, number));
            assert!(note.enter(format!("{number:0132}").as_bytes(), b"x", number));
            std::mem::forget(way);
        }
    }
    let note = dir.open();
    let aside = |number: u64| !note.enter(format!("{number:0132}").as_bytes(), b"x", number);
    assert!(!aside(0) && aside(1) && aside(MAX_ASIDE as u64));
    assert!(std::fs::metadata(dir.0.join("note")).unwrap().len() < MAX_NOTE / 2);
}

#[test]
fn what_is_no_note_is_an_empty_one() {
    let dir = Dir::new("other");
    let long = "x".repeat(3 * MAX_NOTE as usize);
    for text in
        [&b"linkr note 1\nnow changes 1\n"[..], b"linkr note 1\nrecord 1 6 0\n", b"\xff\0", long.as_bytes()]
    {
        std::fs::write(dir.0.join("note"), text).unwrap();
        let note = dir.open();
        assert_eq!(note.inner().lines, NoteContent::default());
        assert_eq!(note.loading(), 0);
        drop(note);
        assert_eq!(dir.open().loading(), 1, "and it is one from now on");
    }
}

#[test]
fn two_processes_do_not_share_one() {
    let dir = Dir::new("lock");
    let first = dir.open();
    let why = Note::open(&dir.0.join("note")).unwrap_err();
    assert!(why.contains("another edge uses"), "{why}");
    drop(first);
    dir.open();
}
