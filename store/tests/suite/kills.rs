//! A process that takes, folds and tidies is killed at any instruction: no batch that it acknowledged is missing, none counts
//! twice.

use super::world::{DAY, Edge, Folder, HOUR, START, click, fold, killed, of, tidy};
use std::path::PathBuf;
use store::port::Repository;
use store::port::clicks::{AppendOutcome, RawQuestion};
use store::sqlite::{Options, Sqlite};

/// Names the store to the process that is killed.
const STORE: &str = "LINKR_TEST_KILLED_CLICKS";
const KILLS: u64 = 20;

/// Batches of one spool, the same for each process: batch n has n % 5 + 1 clicks of link n % 7 + 1, one every six hours.
struct Spool(Edge);

impl Spool {
    fn new() -> Self {
        Self(Edge::new("eu-1", 77))
    }

    fn next(&mut self) -> store::port::clicks::Appended {
        let number = self.0.seq + 1;
        let at = START + number as i64 * 6 * HOUR;
        self.0.batch(|batch| batch.clicks = vec![click(number % 7 + 1, at); (number % 5 + 1) as usize])
    }
}

/// The process that is killed; it does nothing where nobody has named a store.
#[test]
fn takes_until_it_is_killed() {
    let Some(path) = std::env::var_os(STORE).map(PathBuf::from) else { return };
    let store = Sqlite::open(&path, Options::default()).unwrap();
    let clicks = store.clicks();
    let mut spool = Spool::new();
    loop {
        let offered = spool.next();
        let seq = offered.offer.seq;
        let now = START + seq as i64 * 6 * HOUR;
        match clicks.append(&[offered], now).unwrap()[..] {
            [AppendOutcome::Taken(acked)] => println!("acked {acked}"),
            [AppendOutcome::Known(had)] if had.seq == seq => println!("known {}", had.seq),
            [AppendOutcome::Known(_)] => continue, // it goes through what was taken before
            ref other => panic!("{other:?}"),
        }
        if seq.is_multiple_of(3) {
            clicks.fold(now).unwrap();
        }
        if seq.is_multiple_of(4) {
            clicks.tidy(now).unwrap();
        }
    }
}

#[test]
fn kills_neither_lose_nor_double_an_acknowledged_batch() {
    let folder = Folder::new();
    let (mut acked, mut most) = (0, 0);
    for kill in 0..KILLS {
        let told = killed("kills::takes_until_it_is_killed", STORE, &folder, |lines| {
            let told = lines.filter_map(|line| {
                let (_, seq) = line.rsplit_once("acked ").or_else(|| line.rsplit_once("known "))?;
                seq.parse::<u64>().ok()
            });
            told.take(3 + (kill * 7 % 11) as usize).max()
        });
        acked = acked.max(told.unwrap_or(0));
        most = most.max(acked);
    }
    assert!(acked > 2 * KILLS, "{acked}");
    let store = folder.sqlite();
    let clicks = store.clicks();
    // The spool's last word: a batch that was taken and not acknowledged is known.
    let mut spool = Spool::new();
    let mut taken = 0;
    for seq in 1.. {
        match clicks.append(&[spool.next()], START).unwrap()[..] {
            [AppendOutcome::Known(had)] => taken = had.seq,
            [AppendOutcome::Taken(last)] => {
                assert_eq!(last, seq);
                taken = last;
                break;
            }
            ref other => panic!("{other:?}"),
        }
    }
    assert!(taken > most, "acknowledged up to {most}, and only {taken} are there");
    let due = |uid: u64| (1..=taken).filter(|seq| seq % 7 + 1 == uid).map(|seq| seq % 5 + 1).sum::<u64>();
    let now = START + taken as i64 * 6 * HOUR + 2 * DAY;
    for folded in [false, true] {
        if folded {
            fold(clicks, now);
            tidy(clicks, now);
        }
        for uid in 1..=7 {
            assert_eq!(clicks.counts(&of(Some(vec![uid]))).unwrap().total, due(uid), "{uid} {folded}");
        }
        assert_eq!(clicks.counts(&of(None)).unwrap().total, (1..=7).map(due).sum::<u64>());
    }
    let all = RawQuestion { until: i64::MAX, most: usize::MAX, ..RawQuestion::default() };
    let places: Vec<u64> = clicks.raw(&all).unwrap().clicks.iter().map(|raw| raw.place).collect();
    assert!(places.is_sorted_by(|one, next| one < next));
}
