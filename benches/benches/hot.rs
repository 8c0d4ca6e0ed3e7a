//! Benches of what happens between a read and a write: parse, lookup, encode, insert, evict, and all of it.

use benches::{Answerer, bare, browser, key, link, set};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hot::{Set, Stamp, parse};
use link::{VisitorRequest, redirect};
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LINKS: u32 = 100_000;
const DATE: &str = "Sun, 22 Nov 2026 13:06:42 GMT";

/// Numbers that do not follow the table's order.
fn shuffled(step: &mut u32) -> u32 {
    *step = step.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *step % LINKS
}

fn parts(criterion: &mut Criterion) {
    for (name, head) in [("parse/bare", bare(7)), ("parse/browser", browser(7))] {
        criterion.bench_function(name, |bench| bench.iter(|| parse(black_box(&head))));
    }
    let set = set(LINKS);
    let (keys, mut step) = ((0..LINKS).map(key).collect::<Vec<_>>(), 1);
    criterion.bench_function("set/lookup", |bench| {
        bench.iter(|| {
            let key = &keys[shuffled(&mut step) as usize];
            set.look_up(key.as_bytes(), |held| matches!(held.found, hot::EntryState::Live(_)))
        });
    });
    let stored = link(7);
    let hot::EntryState::Live(link) = stored.found() else { return };
    let (stamp, mut out) = (Stamp::new(DATE), Vec::with_capacity(4096));
    criterion.bench_function("encode", |bench| {
        bench.iter(|| {
            out.clear();
            if let link::Resolution::To(to) = redirect(&link, VisitorRequest::default(), 0) {
                hot::write_redirect(&mut out, &to, &stamp, &hot::ResponseOptions::default());
            }
            out.len()
        });
    });
}

fn whole(criterion: &mut Criterion) {
    let set = set(LINKS);
    for (name, head, requests) in [
        ("answer/bare", bare(7), 1),
        ("answer/browser", browser(7), 1),
        ("answer/pipelined", bare(7).repeat(16), 16),
    ] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(requests));
        group.bench_function("hit", |bench| {
            let mut asking = Answerer::default();
            bench.iter(|| asking.answer(&set, black_box(&head)).len());
        });
        group.finish();
    }
}

fn writes(criterion: &mut Criterion) {
    let stored = link(7);
    let keys: Vec<_> = (0..LINKS).map(key).collect();
    criterion.bench_function("set/insert", |bench| {
        let mut seq = 0;
        bench.iter_batched_ref(
            || Set::new(1 << 30),
            |set| {
                for key in &keys[..1000] {
                    seq += 1;
                    set.apply(key.as_bytes(), seq, Some(&stored));
                }
            },
            BatchSize::LargeInput,
        );
    });
    let small = Set::new(1 << 20); // some thousand links: every further insert evicts
    let (mut seq, mut step) = (0, 1);
    criterion.bench_function("set/evict", |bench| {
        bench.iter(|| {
            seq += 1;
            small.apply(keys[shuffled(&mut step) as usize].as_bytes(), seq, Some(&stored));
        });
    });
    assert!(small.evictions() > 0);
}

criterion_group!(all, parts, whole, writes);
criterion_main!(all);
