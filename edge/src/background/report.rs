//! What this edge says of itself to control: a message of at most 4 KiB, with as many of its last slow answers as fit. It is put
//! together from what is counted anyway, in a few microseconds.

use crate::minute::Minute;
use crate::redis::RedisMeters;
use crate::shared::{Meters, Shared};
use crate::sys;
use crate::traces::KeptTrace;
use exposition::{Build, Hex};
use hdrhistogram::Histogram;
use hot::{Outcome, Tier};
use prost::Message;
use proto::v1;
use std::sync::PoisonError;

/// Bytes of a report; control passes over a longer one.
const MOST_BYTES: usize = 4_096;
/// Elements of the histogram; with more it is made coarser.
const MOST_DURATIONS: usize = 96;
/// Buckets for each doubling, as powers of two: of 8 each is at most 12.5 % wide.
const FINEST: u32 = 3;
/// Bytes of a host or a path.
const TEXT_BYTES: usize = 120;
/// Slow answers at most.
const MOST_SLOW: usize = 10;

/// What it says. `begun`: when this edge did, in milliseconds of the boot clock.
pub fn report(shared: &Shared, build: Build, begun: u64) -> Vec<u8> {
    let (now, set) = (sys::boottime_ms(), &shared.set);
    let all = |outcome| Tier::ALL.into_iter().map(|tier| shared.count(tier, outcome)).sum();
    let answers = Outcome::ALL.into_iter().map(|outcome| count(outcome, "", all(outcome)));
    let minute = shared.minute.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let redis = shared.redis.as_ref().map(|redis| &redis.meters);
    let up = |meters: &[RedisMeters]| meters.iter().filter(|meters| meters.is_up()).count() as u32;
    let clicks = shared.clicks.as_ref().map(|clicks| {
        let counts = clicks.counts();
        let lost = clicks::LossReason::ALL.into_iter().map(|reason| counts.lost_for(reason)).sum();
        v1::ClickStanding { recorded: counts.recorded, pending: counts.pending, lost }
    });
    let report = v1::EdgeReport {
        version: build.version.to_owned(),
        commit: build.commit.to_owned(),
        up_seconds: now.saturating_sub(begun) / 1_000,
        driver: shared.driver().name().to_owned(),
        workers: shared.meters.len() as u32,
        connections: shared.meters.iter().map(Meters::connections).sum(),
        links: set.entries() as u64,
        set_bytes: set.bytes() as u64,
        set_budget_bytes: set.budget() as u64,
        complete: set.is_complete(),
        answers: answers.filter(|some| some.count > 0).collect(),
        recent_seconds: minute.seconds,
        recent: recent(&minute),
        durations: durations(&minute.durations),
        p50_ns: None, // control computes them
        p99_ns: None,
        clicks,
        redis_workers: redis.map(|meters| up(meters)),
        slow: Vec::new(),
    };
    fitted(report, shared.traces.last(true).iter().rev().map(|trace| slow(trace)))
}

fn count(outcome: Outcome, tier: &str, count: u64) -> v1::AnswerCount {
    v1::AnswerCount { outcome: outcome.label().to_owned(), tier: tier.to_owned(), count }
}

fn recent(minute: &Minute) -> Vec<v1::AnswerCount> {
    let each = Tier::ALL.into_iter().flat_map(|tier| Outcome::ALL.map(|outcome| (tier, outcome)));
    let counts = each.map(|(tier, outcome)| count(outcome, tier.label(), minute.count(tier, outcome)));
    counts.filter(|some| some.count > 0).collect()
}

/// Each duration counts as the longest of its bucket, as in `/metrics`.
fn durations(histogram: &Histogram<u64>) -> Vec<v1::DurationCount> {
    let mut coarse = Vec::new();
    for bits in (0..=FINEST).rev() {
        coarse = buckets(histogram, bits);
        if coarse.len() <= MOST_DURATIONS {
            break;
        }
    }
    coarse
}

fn buckets(histogram: &Histogram<u64>, bits: u32) -> Vec<v1::DurationCount> {
    let mut all: Vec<v1::DurationCount> = Vec::new();
    for some in histogram.iter_recorded() {
        let (upto_ns, answers) = (upto(some.value_iterated_to(), bits), some.count_at_value());
        match all.last_mut() {
            Some(last) if last.upto_ns == upto_ns => last.answers += answers,
            _ => all.push(v1::DurationCount { upto_ns, answers }),
        }
    }
    all
}

/// The greatest number of the bucket that `ns` is in, of 2^`bits` buckets for each doubling.
fn upto(ns: u64, bits: u32) -> u64 {
    let shift = ns.max(1).ilog2().saturating_sub(bits);
    (((ns >> shift) + 1) << shift) - 1
}

fn slow(trace: &KeptTrace) -> v1::SlowAnswer {
    let (seconds, nanos) = (trace.began_unix_ns / 1_000_000_000, trace.began_unix_ns % 1_000_000_000);
    v1::SlowAnswer {
        trace_id: Hex(&trace.ids.trace).to_string(),
        time: Some(prost_types::Timestamp { seconds: seconds as i64, nanos: nanos as i32 }),
        duration_us: trace.ns / 1_000,
        cause: trace.cause.label().to_owned(),
        reason: trace.reason.label().to_owned(),
        outcome: trace.outcome().to_owned(),
        status: trace.request.status.into(),
        method: trace.request.method.to_owned(),
        host: beginning(&trace.request.host),
        path: beginning(&trace.request.path),
    }
}

fn beginning(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES)].to_owned()
}

/// The report with as many slow answers as fit, in its bytes.
fn fitted(mut report: v1::EdgeReport, slow: impl Iterator<Item = v1::SlowAnswer>) -> Vec<u8> {
    for one in slow.take(MOST_SLOW) {
        report.slow.push(one);
        if report.encoded_len() > MOST_BYTES {
            report.slow.pop();
            break;
        }
    }
    report.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Durations;
    use crate::traces::SeenRequest;

    fn shared() -> Shared {
        Shared::new(1 << 20, 2, futures_channel::mpsc::channel(1).0, None, None)
    }

    const BUILD: Build = Build { version: "1.2.3", commit: "abcdef0" };

    fn read(shared: &Shared) -> v1::EdgeReport {
        let bytes = report(shared, BUILD, 0);
        assert!(bytes.len() <= MOST_BYTES, "{}", bytes.len());
        v1::EdgeReport::decode(&bytes[..]).unwrap()
    }

    #[test]
    fn a_bucket_holds_what_is_at_most_an_eighth_longer() {
        for (ns, bits, end) in
            [(0, 3, 0), (1, 3, 1), (15, 3, 15), (16, 3, 17), (1_000, 3, 1_023), (1_000, 0, 1_023)]
        {
            assert_eq!(upto(ns, bits), end, "{ns} {bits}");
        }
        for ns in (1..60_000_000_000_u64).step_by(7_919_191) {
            let end = upto(ns, FINEST);
            assert!(end >= ns && end - ns <= ns / 8, "{ns}: {end}");
            assert_eq!(upto(end, FINEST), end);
        }
    }

    #[test]
    fn an_edge_that_has_just_begun_says_what_it_is() {
        let said = read(&shared());
        assert_eq!((said.version.as_str(), said.commit.as_str(), said.workers), ("1.2.3", "abcdef0", 2));
        assert_eq!(
            (said.recent_seconds, said.answers.len(), said.clicks, said.redis_workers),
            (0, 0, None, None)
        );
    }

    #[test]
    fn the_answers_of_the_last_minute_are_said_with_their_durations() {
        let shared = shared();
        let mut spread = Durations::default();
        spread.record(20_000, 98);
        spread.record(40_000_000, 2);
        let minute = Minute::with(spread);
        *shared.minute.lock().unwrap() = minute.counted(Tier::Redis, Outcome::Gone, 100);
        let said = read(&shared);
        let recent = v1::AnswerCount { outcome: "gone".into(), tier: "redis".into(), count: 100 };
        assert_eq!((said.recent_seconds, said.recent), (60, vec![recent]));
        let counts: Vec<(u64, u64)> =
            said.durations.iter().map(|some| (some.upto_ns, some.answers)).collect();
        assert_eq!(counts.iter().map(|(_, answers)| answers).sum::<u64>(), 100);
        assert!((20_000..22_500).contains(&counts[0].0) && counts[0].1 == 98, "{counts:?}");
    }

    #[test]
    fn the_fullest_report_still_fits() {
        let shared = shared();
        let mut spread = Durations::default();
        let mut some = |ns: u64| spread.histogram.saturating_record_n(ns, u64::MAX >> 20);
        (0..36).for_each(|power| (4..8).for_each(|part| some(part << power)));
        let mut minute = Minute::with(spread);
        for (tier, outcome) in
            Tier::ALL.into_iter().flat_map(|tier| Outcome::ALL.map(|outcome| (tier, outcome)))
        {
            if tier.of(outcome) == tier {
                minute = minute.counted(tier, outcome, u64::MAX >> 8);
            }
        }
        *shared.minute.lock().unwrap() = minute;
        let long = || {
            let request =
                SeenRequest { host: "ü".repeat(128), path: "/".repeat(256), ..KeptTrace::example().request };
            slow(&KeptTrace { request, ..KeptTrace::example() })
        };
        let bytes = report(&shared, BUILD, 0);
        let said = v1::EdgeReport::decode(&bytes[..]).unwrap();
        assert!(said.durations.len() <= MOST_DURATIONS && said.recent.len() > 20, "{said:?}");
        let bytes = fitted(said, std::iter::repeat_with(long));
        let said = v1::EdgeReport::decode(&bytes[..]).unwrap();
        assert!(
            bytes.len() <= MOST_BYTES && (1..MOST_SLOW).contains(&said.slow.len()),
            "{}",
            said.slow.len()
        );
        assert_eq!(said.slow[0].host.chars().count(), TEXT_BYTES / 2);
    }
}
