//! A minute of chance, and the proof that the simulation would notice.

use link::rule::Rule;
use sim::{SeedSum, run, sweep};
use std::thread;

const STEPS: u64 = 1_000;
/// About a minute of one core in the profile of the tests.
const SEEDS: u64 = 15_000;
/// Within so many seeds each rule is missed.
const WITHIN: u64 = 25_000;

fn good(sum: &SeedSum, what: &str) {
    if let Some((seed, failure)) = &sum.failed {
        let events = run(*seed, STEPS, &[], 40).events.join("\n");
        panic!(
            "{what}: {}\n  {}\n  make sim SEED={seed} STEPS={STEPS}\n{events}",
            failure.invariant, failure.seen
        );
    }
}

/// A panic of the product is the failure of its seed, and is told with it.
fn quiet() {
    std::panic::set_hook(Box::new(|info| {
        if info.location().is_some_and(|at| at.file().contains("sim/tests")) {
            eprintln!("{info}");
        }
    }));
}

#[test]
fn a_minute_of_it() {
    quiet();
    let half = |seeds| thread::spawn(move || sweep(seeds, STEPS, &[]));
    let halves = [half(0..SEEDS / 2), half(SEEDS / 2..SEEDS)];
    let mut counters = sim::Counters::default();
    for half in halves {
        let sum = half.join().expect("a sweep does not panic");
        good(&sum, "every rule is on");
        counters.add(&sum.counters);
    }
    for (name, count) in counters.all() {
        println!("{count:>12} {name}");
        assert!(count > 0, "{name} never happened: the simulation proves less than it says");
    }
}

#[test]
fn the_same_seed_does_the_same() {
    for seed in [3, 44] {
        let (one, two) = (run(seed, STEPS, &[], 1_000), run(seed, STEPS, &[], 1_000));
        assert_eq!((one.counters, one.events), (two.counters, two.events));
    }
}

/// The first seed that notices.
fn noticed(off: &[Rule], within: u64) -> Option<(u64, &'static str)> {
    sweep(0..within, STEPS, off).failed.map(|(seed, failure)| (seed, failure.invariant))
}

/// Those that are missed at once.
#[test]
fn a_rule_that_is_off_is_missed() {
    quiet();
    for rule in [
        Rule::BatchWhole,
        Rule::BatchStates,
        Rule::BatchNumbers,
        Rule::RetryOnce,
        Rule::RetrySame,
        Rule::EtagMatches,
        Rule::UndeleteDeleted,
        Rule::TombstoneHolds,
        Rule::PurgeDeleted,
        Rule::DomainThere,
        Rule::DomainNumberOnce,
        Rule::ExternalIdOnce,
        Rule::TargetBlocked,
        Rule::FenceRaise,
        Rule::ApplyOlder,
        Rule::FillFence,
        Rule::FillEpoch,
        Rule::ResetGeneration,
        Rule::EvictIncomplete,
        Rule::RefusedIncomplete,
        Rule::AskList,
        Rule::Contiguous,
        Rule::FreshHead,
        Rule::FreshPingTime,
        Rule::StrictBlind,
        Rule::MaxStale,
        Rule::MinSeq,
        Rule::Token,
        Rule::QuarantineOnBad,
        Rule::AckWait,
        Rule::HolderTag,
        Rule::SealedProof,
        Rule::ProvableCopy,
        Rule::ClickOnce,
        Rule::ClickInOrder,
        Rule::ClickHoleTold,
        Rule::ClickFsyncFirst,
    ] {
        let (seed, invariant) =
            noticed(&[rule], 6_000).unwrap_or_else(|| panic!("{} is not missed", rule.name()));
        println!("{:<26} {:>6}  {invariant}", rule.name(), seed + 1);
    }
}

/// Each within 25,000 seeds. Minutes: `LINKR_LONG=1`.
#[test]
fn every_rule_that_is_off_is_missed() {
    if std::env::var_os("LINKR_LONG").is_none() {
        println!("not run: LINKR_LONG is not set");
        return;
    }
    quiet();
    let mut quiet_ones = Vec::new();
    for rule in Rule::ALL.iter().copied() {
        match noticed(&[rule], WITHIN) {
            Some((seed, invariant)) => println!("{:<26} {:>6}  {invariant}", rule.name(), seed + 1),
            None => quiet_ones.push(rule.name()),
        }
    }
    assert!(quiet_ones.is_empty(), "not missed within {WITHIN} seeds: {quiet_ones:?}");
}
