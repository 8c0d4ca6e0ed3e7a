//! "Threads" of docs/propagation.md: workers look up and fill while one thread applies, in orders that shuttle chooses.
//! Every use of a shared word is a place where another thread may go on.
//!
//! `cargo test -p hot --features shuttle --test threads`

use hot::{Absence, EntryState, FillOutcome, Fork, Freshness, LoadProgress, Set, StoredValue, TierReading};
use link::{Epoch, Link, LinkParts, Position, Seq, Target};
use shuttle::{sync::Arc, thread};

const OLD: Epoch = Epoch { counter: 1, random: 1 };
const NEW: Epoch = Epoch { counter: 2, random: 2 };
const KEY: &[u8] = b"\0\0\0\0key";
const OTHER: &[u8] = b"\0\0\0\0other";

/// Orders tried for each test and each way of choosing them; `LINKR_TRIES` says otherwise.
const TRIES: usize = 4_000;

fn check(test: impl Fn() + Send + Sync + 'static) {
    let test = Arc::new(test);
    let tries = std::env::var("LINKR_TRIES").map_or(TRIES, |tries| tries.parse().unwrap());
    let random = Arc::clone(&test);
    shuttle::check_random(move || random(), tries);
    // Few switches, at chosen places: finds what needs one thread to stand still for long.
    shuttle::check_pct(move || test(), tries, 3);
}

fn link(version: Seq) -> StoredValue {
    let target = Target::stored(format!("https://v.example/{version}").as_bytes()).unwrap();
    StoredValue::live(Link::new(LinkParts::to(target)).unwrap())
}

fn at(epoch: Epoch, seq: Seq) -> Position {
    Position { epoch, seq, tag: seq }
}

/// A set in the old history at `seq`, with the key at version `seq`.
fn set_at(seq: Seq) -> Arc<Set> {
    let set = Set::with_fences(1 << 16, 4);
    set.reset(at(OLD, seq - 1));
    set.apply(KEY, seq, Some(&link(seq)));
    Arc::new(set)
}

fn fill(set: &Set, epoch: Epoch, as_of: Seq, version: Seq) -> FillOutcome {
    set.fill(KEY, &TierReading { epoch, as_of, version, value: Some(&link(version)) })
}

/// The version that a look-up finds confirmed.
fn version(set: &Set, key: &[u8]) -> Result<Seq, Absence> {
    set.look_up(key, |held| match held.found {
        EntryState::Absent(absence) => Err(absence),
        _ if !held.confirmed => Err(Absence::Unknown),
        _ => Ok(held.version),
    })
}

#[test]
fn freshness_never_vouches_for_an_entry_from_before() {
    check(|| {
        let set = set_at(1);
        let applier = thread::spawn({
            let set = Arc::clone(&set);
            move || {
                for seq in 2..4 {
                    set.apply(KEY, seq, Some(&link(seq)));
                    set.freshen(seq * 1000);
                }
            }
        });
        let freshness = set.freshness(9000);
        let found = version(&set, KEY).unwrap();
        for seq in 2..4 {
            // Fresh as of the moment when this seq was applied.
            assert!(freshness != Freshness::aged(9000 - seq * 1000) || found >= seq);
        }
        applier.join().unwrap();
    });
}

#[test]
fn an_older_answer_never_takes_the_place_of_a_newer_change() {
    check(|| {
        let set = set_at(1);
        set.apply(KEY, 2, None); // purged: the next change finds no entry
        let filler = thread::spawn({
            let set = Arc::clone(&set);
            move || {
                fill(&set, OLD, 3, 3);
            }
        });
        let reader = thread::spawn({
            let set = Arc::clone(&set);
            move || {
                let first = version(&set, KEY).unwrap_or(0);
                let then = version(&set, KEY).unwrap_or(0);
                assert!(then >= first, "{then} after {first}");
            }
        });
        set.apply(KEY, 3, Some(&link(3)));
        set.apply(KEY, 4, Some(&link(4)));
        filler.join().unwrap();
        reader.join().unwrap();
        assert_eq!(version(&set, KEY), Ok(4));
        set.validate();
    });
}

#[test]
fn a_purge_leaves_no_room_for_what_came_before_it() {
    check(|| {
        let set = set_at(1);
        let filler = thread::spawn({
            let set = Arc::clone(&set);
            move || {
                fill(&set, OLD, 2, 1);
            }
        });
        set.apply(KEY, 3, None);
        filler.join().unwrap();
        assert_eq!(version(&set, KEY), Err(Absence::Unknown));
        set.validate();
    });
}

#[test]
fn an_answer_ahead_of_the_stream_is_never_taken_back() {
    check(|| {
        let set = set_at(1);
        set.apply(KEY, 2, None);
        let filler = thread::spawn({
            let set = Arc::clone(&set);
            move || {
                let filled = fill(&set, OLD, 5, 5);
                if filled == FillOutcome::Accepted {
                    assert_eq!(version(&set, KEY), Ok(5), "what was given out stays");
                    assert!(set.seen() >= 5);
                }
            }
        });
        set.apply(KEY, 3, Some(&link(3)));
        set.apply(KEY, 4, Some(&link(4)));
        filler.join().unwrap();
        set.validate();
    });
}

#[test]
fn no_answer_meets_half_of_a_reset() {
    for (epoch, start) in [(OLD, 9), (NEW, 3)] {
        check(move || {
            let set = set_at(6);
            let fillers = [(OLD, 7, 6), (epoch, start - 1, start - 1), (epoch, start + 1, start)].map(
                |(told, as_of, version)| {
                    let set = Arc::clone(&set);
                    thread::spawn(move || fill(&set, told, as_of, version))
                },
            );
            let reader = thread::spawn({
                let set = Arc::clone(&set);
                move || {
                    let found = version(&set, KEY);
                    assert!(epoch == OLD || found != Ok(start - 1), "from before the new history's start");
                }
            });
            set.reset(at(epoch, start));
            reader.join().unwrap();
            for filler in fillers {
                filler.join().unwrap();
            }
            // Whatever is confirmed now was true at the start of the new stream or later.
            set.look_up(KEY, |held| assert!(!held.confirmed || held.as_of >= start, "{held:?}"));
            set.validate();
        });
    }
}

#[test]
fn nothing_from_behind_a_fork_is_taken_for_shared() {
    check(|| {
        let set = set_at(5);
        let filler = thread::spawn({
            let set = Arc::clone(&set);
            move || fill(&set, OLD, 8, 8)
        });
        let newer = thread::spawn({
            let set = Arc::clone(&set);
            move || fill(&set, NEW, 6, 6)
        });
        let fork = set.fork(NEW, 6);
        let (old, _) = (filler.join().unwrap(), newer.join().unwrap());
        match fork {
            Fork::Clean => {
                assert_eq!(old, FillOutcome::Refused, "an answer from behind the fork");
                assert!(version(&set, KEY).is_ok_and(|version| version <= 6));
            }
            Fork::Beyond => assert_eq!(version(&set, KEY), Err(Absence::Unknown)),
        }
        set.validate();
    });
}

#[test]
fn an_eviction_is_never_a_certain_absence() {
    check(|| {
        let set = Set::with_fences(230, 4);
        set.reset(at(OLD, 0));
        set.apply(KEY, 1, Some(&link(1)));
        set.set_complete();
        let set = Arc::new(set);
        let reader = thread::spawn({
            let set = Arc::clone(&set);
            move || {
                for _ in 0..2 {
                    assert_ne!(version(&set, KEY), Err(Absence::Certain));
                }
            }
        });
        for seq in 2..5u8 {
            set.apply(&[OTHER, &[b'0' + seq]].concat(), u64::from(seq), Some(&link(u64::from(seq))));
        }
        reader.join().unwrap();
        assert!(set.evictions() > 0 && !set.is_complete());
        set.validate();
    });
}

/// Completing comes before an eviction, which then takes it back, or finds that there was one.
#[test]
fn a_walk_that_ends_beside_an_eviction_completes_nothing() {
    check(|| {
        let set = Set::with_fences(230, 4);
        set.reset(at(OLD, 0));
        for seq in 1..5u8 {
            set.apply(&[OTHER, &[b'0' + seq]].concat(), u64::from(seq), Some(&link(u64::from(seq))));
        }
        let (set, mut loading) = (Arc::new(set), LoadProgress::default());
        loading.begin(&set);
        let before = set.evictions();
        let filler = thread::spawn({
            let set = Arc::clone(&set);
            move || fill(&set, OLD, 9, 9)
        });
        loading.finish(&set, true);
        assert_eq!(filler.join().unwrap(), FillOutcome::Accepted);
        assert!(set.evictions() > before && !set.is_complete());
        set.validate();
    });
}

/// A change that was refused, because an answer for another key ran ahead in its slot, must be asked for.
#[test]
fn a_refused_change_is_never_a_certain_absence() {
    check(|| {
        let set = Set::with_fences(1 << 16, 1); // every key shares the one fence
        set.reset(at(OLD, 1));
        set.set_complete();
        let set = Arc::new(set);
        let filler = thread::spawn({
            let set = Arc::clone(&set);
            move || {
                let told = TierReading { epoch: OLD, as_of: 9, version: 9, value: Some(&link(9)) };
                set.fill(OTHER, &told)
            }
        });
        let applied = set.apply(KEY, 2, Some(&link(2)));
        let found = version(&set, KEY);
        match applied {
            FillOutcome::Accepted => assert_eq!(found, Ok(2)),
            FillOutcome::Refused => assert_eq!(found, Err(Absence::Unknown)),
        }
        filler.join().unwrap();
        set.validate();
    });
}
