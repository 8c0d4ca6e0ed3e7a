//! Every seed, whole, cut and with one byte changed, through its target: without the fuzzer, on every machine.

use fuzz::targets;

fn through(run: fn(&[u8]), seeds: Vec<Vec<u8>>) {
    assert!(seeds.len() >= 4);
    for seed in seeds {
        run(&seed);
        let step = 1 + seed.len() / 64;
        for at in (0..seed.len()).step_by(step) {
            run(&seed[..at]);
            for with in [0, b'\r', b'\n', b' ', 0xff, seed[at] ^ 1] {
                let mut changed = seed.clone();
                changed[at] = with;
                run(&changed);
            }
        }
    }
}

#[test]
fn clicks() {
    through(targets::clicks::run, targets::clicks::seeds());
}

#[test]
fn heads() {
    through(targets::head::run, targets::head::seeds());
}

#[test]
fn records() {
    through(targets::record::run, targets::record::seeds());
}

#[test]
fn snapshots() {
    through(targets::snapshot::run, targets::snapshot::seeds());
}

#[test]
fn replies() {
    through(targets::redis::run, targets::redis::seeds());
}
