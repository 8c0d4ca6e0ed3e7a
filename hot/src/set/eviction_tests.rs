//! What must stay, what must go, and what an eviction may cost.

use super::super::{Set, StoredValue, TierReading};
use super::*;
use link::{Epoch, Link, LinkParts, Position, Seq, Target};

const EPOCH: Epoch = Epoch { counter: 1, random: 7 };

fn key(number: u32) -> Vec<u8> {
    [&[0; 4], format!("{number:06}").as_bytes()].concat()
}

fn link() -> StoredValue {
    StoredValue::live(Link::new(LinkParts::to(Target::stored(b"https://a.example/").unwrap())).unwrap())
}

/// A set with room for about so many links, and the last change that it knows of.
struct World(Set, Seq);

impl World {
    fn new(links: usize) -> Self {
        let one = Slot::new(&key(0), &link(), 1, 1, 0).cost() + 12;
        let set = Set::new(one * links * 64 / 63 + 63); // a share is for known-absent keys
        set.reset(Position { epoch: EPOCH, seq: 0, tag: 0 });
        Self(set, 0)
    }

    fn push(&mut self, number: u32) {
        self.1 += 1;
        self.0.apply(&key(number), self.1, Some(&link()));
    }

    /// Whether it was there; it is now.
    fn ask(&self, number: u32) -> bool {
        let hit = self.0.look_up(&key(number), |held| matches!(held.found, crate::EntryState::Live(_)));
        if !hit {
            let told = TierReading { epoch: EPOCH, as_of: self.1, version: self.1, value: Some(&link()) };
            self.0.fill(&key(number), &told);
        }
        hit
    }

    fn holds(&self, numbers: std::ops::Range<u32>) -> usize {
        numbers.filter(|&number| self.0.version(&key(number)).is_some()).count()
    }
}

/// 600 links that are asked for again and again, in a set with room for 1,000 that was full before.
fn with_hot_links() -> World {
    let world = World::new(1000);
    for number in 0..3000 {
        world.ask(100_000 + number);
    }
    for _ in 0..4 {
        (0..600).for_each(|number| _ = world.ask(number));
    }
    assert_eq!(world.holds(0..600), 600);
    world
}

#[test]
fn a_scan_leaves_what_is_hot() {
    let world = with_hot_links();
    (200_000..210_000).for_each(|number| _ = world.ask(number));
    assert!(world.holds(0..600) >= 540, "{}", world.holds(0..600));
    world.0.validate();
}

#[test]
fn an_import_leaves_what_is_hot() {
    let mut world = with_hot_links();
    (200_000..210_000).for_each(|number| world.push(number));
    assert!(world.holds(0..600) >= 540, "{}", world.holds(0..600));
    assert_eq!(world.holds(209_999..210_000), 1, "the last of it is there");
    world.0.validate();
}

#[test]
fn an_import_into_a_set_that_had_room_leaves_what_is_hot() {
    let mut world = World::new(1000);
    (0..600).for_each(|number| world.push(number));
    (0..600).for_each(|number| assert!(world.ask(number)));
    assert_eq!(world.0.evictions(), 0);
    (200_000..210_000).for_each(|number| world.push(number));
    assert!(world.holds(0..600) >= 540, "{}", world.holds(0..600));
}

/// Each new link is first asked for when 400 more were made: more than the three tenths of the set that they begin with.
#[test]
fn links_that_are_asked_for_late_are_kept_longer() {
    let mut world = World::new(1000);
    (0..950).chain(0..950).for_each(|number| _ = world.ask(number));
    let mut hits = Vec::new();
    for number in 0..40_000 {
        world.push(100_000 + number);
        hits.push(number >= 400 && world.ask(100_000 + number - 400));
        (0..3).for_each(|nth| _ = world.ask((number * 3 + nth) % 300)); // what is hot now
        world.ask(500_000 + number); // and never again
    }
    let count = |rounds: &[bool]| rounds.iter().filter(|hit| **hit).count();
    assert_eq!(count(&hits[400..500]), 0, "they get too little at first");
    assert!(count(&hits[30_000..]) > 9_000, "{}", count(&hits[30_000..]));
    world.0.validate();
}

fn full_map(entries: u32) -> DashMap<Slot, (), foldhash::fast::FixedState> {
    let map = DashMap::with_hasher_and_shard_amount(foldhash::fast::FixedState::default(), 16);
    for number in 0..entries {
        let slot = Slot::new(&key(number), &link(), 1, 1, 0);
        (0..9).for_each(|_| slot.touch());
        map.insert(slot, ());
    }
    map
}

#[test]
fn one_eviction_passes_over_a_bounded_number() {
    let (map, eviction) = (full_map(5000), Eviction::default());
    for round in 1..=20 {
        assert!(eviction.pick(&map, 0, |_| true).is_some());
        let passed_over = map.iter().filter(|entry| !entry.key().take()).count();
        assert!(passed_over <= MAX_EVICTION_STEPS, "{passed_over} in round {round}");
        map.iter().for_each(|entry| (0..3).for_each(|_| entry.key().touch()));
    }
    assert_eq!(eviction.count(), 20);
}

#[test]
fn nobody_is_forgotten_and_the_last_to_go_is_what_came_last() {
    let (map, eviction) = (full_map(3000), Eviction::default());
    let spare = Slot::absent(&key(7), 0, 0).hash_by(map.hasher());
    for number in 3000..5000 {
        assert!(eviction.pick(&map, spare, |_| true).is_some());
        let slot = Slot::new(&key(number), &link(), 1, 1, 0);
        let hash = slot.hash_by(map.hasher());
        map.insert(slot, ());
        eviction.joined(hash, if number % 2 == 0 { Entrance::Demand } else { Entrance::Known });
        map.remove(&Slot::absent(&key(number - 1500), 0, 0)); // purged
    }
    let rest = map.len();
    let gone: Vec<_> = std::iter::from_fn(|| eviction.pick(&map, spare, |_| true)).collect();
    assert_eq!((gone.len(), map.len()), (rest, 0));
    assert_eq!(gone.last().unwrap().key(), key(7));
    assert!(eviction.bytes() < 5000 * 4, "only what remembers who went: {}", eviction.bytes());
}

#[test]
fn what_belongs_elsewhere_stays() {
    let (map, eviction) = (full_map(100), Eviction::default());
    let own = |slot: &Slot| slot.key() < &*key(50);
    let gone = std::iter::from_fn(|| eviction.pick(&map, 0, own)).count();
    assert_eq!((gone, map.len()), (50, 50));
    assert!(map.iter().all(|entry| !own(entry.key())));
}

/// Whoever fills holds a shard while it joins; whoever evicts locks shards. Neither may wait for the other.
#[test]
fn joining_with_a_shard_locked_never_waits_for_an_eviction() {
    let (map, eviction) = (full_map(4000), Eviction::default());
    std::thread::scope(|scope| {
        scope.spawn(|| (0..2000).for_each(|_| assert!(eviction.pick(&map, 0, |_| true).is_some())));
        for number in 4000..6000 {
            let slot = Slot::new(&key(number), &link(), 1, 1, 0);
            let hash = slot.hash_by(map.hasher());
            let dashmap::Entry::Vacant(place) = map.entry(slot) else { panic!("twice") };
            let placed = place.insert(());
            eviction.joined(hash, Entrance::Pushed);
            drop(placed);
        }
    });
    assert_eq!(map.len(), 4000);
}

#[test]
fn shares_stay_shares() {
    let mut parts = Segments::default();
    parts.begin(400);
    (0..1000).for_each(|hash| parts.put(MAIN, hash));
    for round in 0..3000 {
        parts.grow(if round < 2000 { ONCE } else { round % 3 });
        let shares = parts.0.each_ref().map(|part| part.share);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
        assert!(shares.iter().all(|share| *share > LEAST - 1e-9), "{shares:?}");
    }
}
