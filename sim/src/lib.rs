//! The protocol of propagation, run for real on one thread from one seed: the state machines of `feed`, `hot::Set` and
//! the way of a request through `hot`, between fakes that only execute effects; and the way of clicks to their count, by
//! `clicks`, in a world of its own. docs/propagation.md says what for.

mod counters;
mod database;
mod expectation;
mod mark;
mod messages;
mod plan;
mod redis;
mod spools;
mod tables;
mod world;

pub use counters::Counters;
pub use world::Failure;

use link::rule::{Rule, switch_off};
use services::Random;
use spools::SpoolWorld;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::World;

/// The numbers of one seed. Neighbouring seeds have nothing in common.
fn random(seed: u64) -> Random {
    Random::new(seed ^ 0x6c69_6e6b_7200_0000)
}

/// The outcome of one seed.
#[derive(Debug)]
pub struct SeedOutcome {
    /// What happened in it.
    pub counters: Counters,
    /// What was wrong, if anything.
    pub failure: Option<Failure>,
    /// The last events; empty unless they were asked for.
    pub events: Vec<String>,
}

/// Runs one seed with these rules switched off, remembering so many of its last events. The same again gives the same.
#[must_use]
pub fn run(seed: u64, steps: u64, off: &[Rule], shown: usize) -> SeedOutcome {
    switch_off(off);
    let mut world = World::new(seed, shown);
    if let Some(text) = panicked(|| world.run(steps)) {
        world.fail(ASSERTIONS, text);
    }
    // Clicks share nothing with it but the seed.
    let mut spools = SpoolWorld::new(seed, shown);
    if world.failure.is_none()
        && let Some(text) = panicked(|| spools.run(steps))
    {
        spools.fail(ASSERTIONS, text);
    }
    switch_off(&[]);
    let mut counters = world.counters.clone();
    counters.add(&spools.counters);
    let events =
        if world.failure.is_some() { world.events() } else { [world.events(), spools.events()].concat() };
    SeedOutcome { events, counters, failure: world.failure.or(spools.failure) }
}

const ASSERTIONS: &str = "the product's own assertions";

/// What the product itself states: `Set::validate` and its assertions.
fn panicked(run: impl FnOnce()) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(run)).err()?;
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
    Some(text.unwrap_or_default())
}

/// The outcomes of many seeds, added up.
#[derive(Debug, Default)]
pub struct SeedSum {
    /// Seeds run.
    pub seeds: u64,
    /// What happened in all of them.
    pub counters: Counters,
    /// The first seed that failed.
    pub failed: Option<(u64, Failure)>,
}

/// Runs seeds one after the other, up to the first failure.
#[must_use]
pub fn sweep(seeds: std::ops::Range<u64>, steps: u64, off: &[Rule]) -> SeedSum {
    let mut sum = SeedSum::default();
    for seed in seeds {
        let outcome = run(seed, steps, off, 0);
        sum.seeds += 1;
        sum.counters.add(&outcome.counters);
        if let Some(failure) = outcome.failure {
            sum.failed = Some((seed, failure));
            break;
        }
    }
    sum
}
