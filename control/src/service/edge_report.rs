//! What an edge says of itself, read when somebody asks. An edge may say anything: every list, text and time is bounded here, and
//! texts are texts. What the numbers are worth nobody can know.

use prost::Message;
use prost_types::Timestamp;
use proto::v1;
use store::wire;

/// Elements of a list of counts.
const COUNTS: usize = 64;
/// Elements of the list of durations.
const DURATIONS: usize = 256;
/// Slow answers.
const SLOW: usize = 16;
/// Characters of a name or a version.
const WORD: usize = 64;
/// Characters of a host or a path.
const TEXT: usize = 256;
/// Bytes of an answer that is explained: a file of a domain has 8 KiB.
const RESPONSE: usize = 32 * 1024;

/// A report as an answer carries it; `None` of what is none.
pub fn read(bytes: &[u8]) -> Option<v1::EdgeReport> {
    let mut report = v1::EdgeReport::decode(bytes).ok()?;
    for text in [&mut report.version, &mut report.commit, &mut report.driver] {
        cut(text, WORD);
    }
    for counts in [&mut report.answers, &mut report.recent] {
        counts.truncate(COUNTS);
        for count in counts {
            cut(&mut count.outcome, WORD);
            cut(&mut count.tier, WORD);
        }
    }
    report.durations.truncate(DURATIONS);
    report.durations.sort_by_key(|some| some.upto_ns);
    report.p50_ns = quantile(&report.durations, 50);
    report.p99_ns = quantile(&report.durations, 99);
    report.slow.truncate(SLOW);
    report.slow.iter_mut().for_each(bound_slow);
    Some(report)
}

fn bound_slow(slow: &mut v1::SlowAnswer) {
    for text in [&mut slow.trace_id, &mut slow.cause, &mut slow.reason, &mut slow.outcome, &mut slow.method] {
        cut(text, WORD);
    }
    for text in [&mut slow.host, &mut slow.path] {
        cut(text, TEXT);
    }
    slow.time = slow.time.as_ref().and_then(in_time);
}

/// Only what RFC 3339 can write.
fn in_time(time: &Timestamp) -> Option<Timestamp> {
    wire::milliseconds(time).map(wire::timestamp)
}

/// What an edge explains, as an answer carries it.
pub fn explanation(mut told: v1::Explanation) -> v1::Explanation {
    for text in [&mut told.outcome, &mut told.tier, &mut told.class, &mut told.revision] {
        cut(text, WORD);
    }
    for text in [&mut told.by, &mut told.domain, &mut told.code] {
        cut(text, TEXT);
    }
    // Its lines stay.
    let bad = |letter: char| letter.is_control() && !matches!(letter, '\r' | '\n' | '\t');
    if told.response.contains(bad) {
        told.response = told.response.replace(bad, "\u{fffd}");
    }
    let whole = told.response.len();
    told.response.truncate(told.response.floor_char_boundary(RESPONSE));
    if told.response.len() < whole {
        told.response.push('…');
    }
    told
}

/// The beginning of a text, without what is no letter: it is shown in a terminal, too.
fn cut(text: &mut String, most: usize) {
    let shown = |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
    if text.chars().any(char::is_control) || text.chars().nth(most).is_some() {
        *text = text.chars().map(shown).take(most).collect();
    }
}

/// So many of a hundred took no longer than this; `None`: there were none.
fn quantile(durations: &[v1::DurationCount], of_hundred: u128) -> Option<u64> {
    let all: u128 = durations.iter().map(|some| u128::from(some.answers)).sum();
    let mut seen = 0;
    let is_there = |some: &&v1::DurationCount| {
        seen += u128::from(some.answers);
        seen * 100 >= all * of_hundred && some.answers > 0
    };
    durations.iter().find(is_there).map(|some| some.upto_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn durations(counts: &[(u64, u64)]) -> Vec<v1::DurationCount> {
        counts.iter().map(|&(upto_ns, answers)| v1::DurationCount { upto_ns, answers }).collect()
    }

    #[test]
    fn half_and_all_but_a_hundredth_took_no_longer() {
        let all = durations(&[(10, 0), (20, 98), (30, 1), (40, 1)]);
        assert_eq!([50, 99].map(|part| quantile(&all, part)), [Some(20), Some(30)]);
        assert_eq!(quantile(&durations(&[(7, 1)]), 99), Some(7));
        assert_eq!(quantile(&durations(&[(7, 0)]), 50), None);
        let report = v1::EdgeReport { durations: durations(&[(40, 1), (20, 1)]), ..Default::default() };
        let read = read(&report.encode_to_vec()).unwrap();
        assert_eq!((read.p50_ns, read.p99_ns), (Some(20), Some(40)), "in any order");
    }

    #[test]
    fn what_an_edge_says_is_text_and_short() {
        let slow = v1::SlowAnswer {
            path: format!("/\x1b[2J{}", "x".repeat(4_000)),
            time: Some(Timestamp { seconds: i64::MAX, nanos: -1 }),
            ..Default::default()
        };
        let report = v1::EdgeReport {
            version: "1\r\n\0".into(),
            p99_ns: Some(1), // it is not for the edge to say
            slow: vec![slow; 100],
            ..Default::default()
        };
        let read = read(&report.encode_to_vec()).unwrap();
        assert_eq!(
            (read.version.as_str(), read.p99_ns, read.slow.len()),
            ("1\u{fffd}\u{fffd}\u{fffd}", None, SLOW)
        );
        assert_eq!((read.slow[0].path.chars().count(), read.slow[0].time), (TEXT, None));
        assert!(read.slow[0].path.starts_with("/\u{fffd}[2J"));
        let told = v1::Explanation { response: "a\r\n\x1b]b".into(), ..Default::default() };
        assert_eq!(explanation(told).response, "a\r\n\u{fffd}]b");
        let told = v1::Explanation { response: "ü".repeat(RESPONSE), ..Default::default() };
        assert_eq!(explanation(told).response.len(), RESPONSE + '…'.len_utf8());
        assert!(super::read(b"\xff").is_none());
    }

    proptest! {
        #[test]
        fn whatever_an_edge_says_comes_to_a_bounded_answer(bytes in prop::collection::vec(any::<u8>(), 0..4_096)) {
            check(&bytes);
        }

        #[test]
        fn the_same_of_bytes_that_are_a_report(
            texts in prop::collection::vec(".{0,300}", 3),
            counts in prop::collection::vec((any::<u64>(), any::<u64>()), 0..300),
            numbers in prop::array::uniform4(any::<u64>()),
        ) {
            let [up_seconds, connections, links, set_bytes] = numbers;
            let slow = |&(duration_us, seconds): &(u64, u64)| v1::SlowAnswer {
                duration_us,
                time: Some(Timestamp { seconds: seconds.cast_signed(), nanos: duration_us as i32 }),
                host: texts[0].clone(),
                path: texts[1].clone(),
                ..Default::default()
            };
            let count = |&(count, _): &(u64, u64)| {
                v1::AnswerCount { outcome: texts[2].clone(), tier: texts[1].clone(), count }
            };
            let report = v1::EdgeReport {
                version: texts[0].clone(),
                up_seconds,
                connections,
                links,
                set_bytes,
                answers: counts.iter().map(count).collect(),
                recent: counts.iter().map(count).collect(),
                durations: durations(&counts),
                slow: counts.iter().map(slow).collect(),
                ..Default::default()
            };
            check(&report.encode_to_vec());
        }
    }

    fn check(bytes: &[u8]) {
        let Some(report) = read(bytes) else { return };
        // As REST writes it: times that are none would fail there.
        let json = serde_json::to_string(&proto::json::value(&report)).unwrap();
        assert!(json.len() < 512 * 1024, "{}", json.len());
        assert_ne!(json, "null", "REST can write it");
        let slow = report.slow.iter().flat_map(|slow| [&slow.host, &slow.path, &slow.cause, &slow.trace_id]);
        let counts = report.answers.iter().chain(&report.recent).flat_map(|some| [&some.outcome, &some.tier]);
        let mut texts = [&report.version, &report.driver].into_iter().chain(slow).chain(counts);
        assert!(texts.all(|text| text.chars().count() <= TEXT && !text.contains(char::is_control)), "{json}");
        assert!(report.p50_ns <= report.p99_ns);
        assert!(report.durations.is_sorted_by_key(|some| some.upto_ns));
    }
}
