//! Hit rates of the hot set beside LRU and Belady's optimum, over real requests, as a table for docs/perf.md:
//! `cargo run --release -p benches --bin hitrate [DIRECTORY]`, where the directory is that of the shared data.

mod requests;
mod yardsticks;

use hot::{EntryState, Set, TierReading};
use link::{Epoch, Position};
use requests::{Event, Requests};
use std::path::PathBuf;

const EPOCH: Epoch = Epoch { counter: 1, random: 1 };
const PERCENT: [usize; 3] = [1, 5, 20];

/// What each object costs in a set, its own bookkeeping included but for what eviction keeps.
fn costs(requests: &Requests) -> Vec<usize> {
    let set = Set::new(1 << 40);
    set.reset(Position { epoch: EPOCH, seq: 0, tag: 0 });
    let mut before = set.bytes();
    let cost = |object: &requests::Object| {
        set.apply(&object.key, set.applied() + 1, Some(&object.value));
        set.bytes() - std::mem::replace(&mut before, set.bytes())
    };
    requests.objects.iter().map(cost).collect()
}

/// The set itself: changes applied, misses filled, hits touched.
fn linkr(requests: &Requests, budget: usize) -> f64 {
    let set = Set::new(budget);
    set.reset(Position { epoch: EPOCH, seq: 0, tag: 0 });
    let mut tally = Tally::default();
    for event in &requests.events {
        let object = &requests.objects[event.object()];
        let Event::Asked(_) = event else {
            set.apply(&object.key, set.applied() + 1, Some(&object.value));
            continue;
        };
        let hit =
            set.look_up(&object.key, |held| held.confirmed && !matches!(held.found, EntryState::Absent(_)));
        tally.count(hit);
        if !hit {
            let as_of = set.applied();
            let told = TierReading { epoch: EPOCH, as_of, version: as_of.min(1), value: Some(&object.value) };
            set.fill(&object.key, &told);
        }
    }
    set.validate();
    tally.percent()
}

/// Hits among requests.
#[derive(Default)]
struct Tally {
    hits: u64,
    requests: u64,
}

impl Tally {
    fn count(&mut self, hit: bool) {
        self.hits += u64::from(hit);
        self.requests += 1;
    }

    fn percent(&self) -> f64 {
        self.hits as f64 * 100.0 / self.requests.max(1) as f64
    }
}

fn main() {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let directory = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| shared.into()));
    println!("| requests | memory | LRU | linkr | linkr, all for links | Belady |");
    println!("|---|---|---|---|---|---|");
    for (name, read) in requests::ALL {
        let requests = match read(&directory) {
            Ok(requests) => requests,
            Err(why) => {
                println!("| {name} | skipped: {why} | | | | |");
                continue;
            }
        };
        let costs = costs(&requests);
        let asked: usize = requests.asked().map(|object| costs[object]).sum();
        for percent in PERCENT {
            let budget = asked * percent / 100;
            let lru = yardsticks::lru(&requests, &costs, budget);
            let ours = linkr(&requests, budget);
            let links = linkr(&requests, budget * 64 / 63); // without the share of known-absent keys
            let best = yardsticks::belady(&requests, &costs, budget);
            println!("| {name} | {percent} % | {lru:.2} | {ours:.2} | {links:.2} | {best:.2} |");
        }
    }
}
