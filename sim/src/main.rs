//! `linkr-sim`: as many seeds as there is time for, or one seed with its last events.

use clap::Parser;
use link::rule::Rule;
use std::process::ExitCode;
use std::time::Instant;

/// Runs the protocol of propagation through faults, and judges every answer.
#[derive(Debug, Parser)]
#[command(name = "linkr-sim")]
struct Args {
    /// The first seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Steps of each
    #[arg(long, default_value_t = 1_000)]
    steps: u64,
    /// Threads, each with its share of the seeds
    #[arg(long, default_value_t = 1)]
    threads: u64,
    /// Rules to switch off, by name
    #[arg(long, value_delimiter = ',', value_parser = rule)]
    off: Vec<Rule>,
    /// How many of its last events a failed seed is shown with
    #[arg(long, default_value_t = 40)]
    show: usize,
}

fn rule(name: &str) -> Result<Rule, String> {
    let found = Rule::ALL.iter().find(|rule| rule.name() == name);
    found.copied().ok_or_else(|| {
        let all: Vec<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
        format!("the rules are {}", all.join(", "))
    })
}

fn main() -> ExitCode {
    let args = Args::parse();
    let began = Instant::now();
    let share = args.seeds.div_ceil(args.threads.max(1));
    let end = args.seed + args.seeds;
    let (off, steps) = (&args.off, args.steps);
    std::panic::set_hook(Box::new(|_| {})); // a panic is reported as the failure of its seed
    let sums: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..args.threads.max(1))
            .map(|n| (args.seed + n * share).min(end)..(args.seed + (n + 1) * share).min(end))
            .map(|seeds| scope.spawn(move || sim::sweep(seeds, steps, off)))
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let (mut seeds, mut counters) = (0, sim::Counters::default());
    for sum in &sums {
        seeds += sum.seeds;
        counters.add(&sum.counters);
    }
    let seconds = began.elapsed().as_secs_f64();
    let rate = (seeds * steps) as f64 / seconds;
    println!("{seeds} seeds of {steps} steps in {seconds:.1} s, {rate:.0} steps/s");
    for (name, count) in counters.all() {
        println!("  {count:>12} {name}");
    }
    let failed = sums.iter().filter_map(|sum| sum.failed.as_ref()).min_by_key(|(seed, _)| *seed);
    let Some((seed, failure)) = failed else { return ExitCode::SUCCESS };
    sim::run(*seed, steps, off, args.show).events.iter().for_each(|event| println!("{event}"));
    println!("FAILED: {}\n  {}\n  in step {} of seed {seed}", failure.invariant, failure.seen, failure.step);
    println!("  again: make sim SEED={seed} STEPS={steps}");
    ExitCode::FAILURE
}
