//! The checker is checked: made-up histories, one for each way in which a promise can be broken, and for each way in
//! which it only looks so.

use super::*;
use crate::history::{Birth, Downtime, Restore, Window, Write};
use link::{Epoch, Seq};

const FIRST: Epoch = Epoch { counter: 1, random: 7 };
/// A normal and a strict link.
const NORMAL: u32 = 4;
const STRICT: u32 = 5;

/// Times in milliseconds, to be read easily.
fn ms(ms: u64) -> Micros {
    ms * 1000
}

fn acked(key: u32, op: Op, seq: Seq, begun: u64, ended: u64) -> Write {
    let outcome = Outcome::Acked { epoch: FIRST, seq };
    Write { key, op, begun: ms(begun), ended: ms(ended), outcome, life: 0, told: Promise::Durable }
}

fn read(key: u32, sent: u64, answer: Answer, mark: Mark) -> Read {
    let answered = ms(sent + 1);
    Read { key, edge: 0, connection: 1, sent: ms(sent), answered, answer, mark, staleness_ms: None }
}

/// Both links made at 0 and changed at 10 s.
fn writes() -> Vec<Write> {
    [NORMAL, STRICT]
        .into_iter()
        .flat_map(|key| {
            let seq = u64::from(key);
            [acked(key, Op::To(1), seq, 0, 10), acked(key, Op::To(2), seq + 10, 9_990, 10_000)]
        })
        .collect()
}

fn history(writes: Vec<Write>, reads: Vec<Read>) -> History {
    let births = (0..3).map(|edge| Birth { edge, spawned: 0, ready: 0 }).collect();
    History { writes, reads, births, ..History::default() }
}

/// Exactly these violations, one of each.
fn check(history: &History, want: &[Violation]) {
    let verdict = judge(history);
    let found: Vec<Violation> =
        verdict.violations.iter().filter(|(_, count)| **count > 0).map(|(violation, _)| *violation).collect();
    assert_eq!(found, want, "{:#?}", verdict.texts);
    assert!(verdict.violations.values().all(|&count| count <= 1), "{:#?}", verdict.texts);
    assert_eq!(verdict.clean(), want.is_empty());
    assert_eq!(verdict.texts.len(), want.len());
}

fn check_read(read: Read, want: &[Violation]) {
    check(&history(writes(), vec![read]), want);
}

#[test]
fn a_fresh_answer_that_misses_a_write_is_found_from_b_on() {
    for (sent, want) in [(11_000, &[][..]), (11_001, &[Violation::FreshMissed])] {
        check_read(read(NORMAL, sent, Answer::To(1), Mark::Fresh), want);
        check_read(read(STRICT, sent, Answer::To(1), Mark::Fresh), want);
        let absent = read(NORMAL, sent, Answer::NotFound, Mark::Fresh);
        check_read(absent, &[Violation::FreshMissed, Violation::Failed]);
        check_read(read(NORMAL, sent, Answer::To(2), Mark::Fresh), &[]);
    }
}

#[test]
fn a_strict_redirect_is_judged_without_a_mark_too() {
    for mark in [Mark::None, Mark::Stale] {
        check_read(read(STRICT, 11_001, Answer::To(1), mark), &[Violation::StrictMissed]);
        check_read(read(STRICT, 11_000, Answer::To(1), mark), &[]);
        check_read(read(STRICT, 20_000, Answer::Unavailable, mark), &[]);
    }
}

#[test]
fn older_answers_of_normal_links_are_counted_by_age() {
    let reads = vec![
        read(NORMAL, 14_000, Answer::To(1), Mark::Stale),
        read(NORMAL, 11_500, Answer::To(1), Mark::Stale),
        read(NORMAL, 14_000, Answer::To(1), Mark::None),
        read(NORMAL, 14_000, Answer::To(2), Mark::Stale),
    ];
    let verdict = judge(&history(writes(), reads));
    assert!(verdict.clean(), "{:#?}", verdict.texts);
    assert_eq!((verdict.ages.classes[0], verdict.ages.classes[2], verdict.ages.count()), (1, 1, 2));
    assert_eq!((verdict.ages.most_ms, verdict.seen.older_unmarked), (4_000, 1));
}

#[test]
fn a_deletion_is_a_write_like_any_other() {
    let mut deleted = writes();
    deleted.push(acked(NORMAL, Op::Delete, 30, 19_990, 20_000));
    let one = |read| history(deleted.clone(), vec![read]);
    check(&one(read(NORMAL, 21_001, Answer::To(2), Mark::Fresh)), &[Violation::FreshMissed]);
    check(&one(read(NORMAL, 21_001, Answer::Gone, Mark::Fresh)), &[]);
    check(&one(read(NORMAL, 19_995, Answer::Gone, Mark::Fresh)), &[]);
    check(&one(read(NORMAL, 15_000, Answer::Gone, Mark::Fresh)), &[Violation::NeverCommitted]);
}

#[test]
fn what_was_never_committed_is_found() {
    check_read(read(NORMAL, 12_000, Answer::To(3), Mark::Fresh), &[Violation::NeverCommitted]);
    check_read(
        read(NORMAL, 12_000, Answer::Foreign("https://x/".into()), Mark::None),
        &[Violation::NeverCommitted],
    );
    check_read(read(NORMAL, 12_000, Answer::Gone, Mark::None), &[Violation::NeverCommitted]);
    // Before its write had begun.
    check_read(read(NORMAL, 9_000, Answer::To(2), Mark::Fresh), &[Violation::NeverCommitted]);
    check_read(read(NORMAL, 9_990, Answer::To(2), Mark::Fresh), &[]);
    let mut refused = writes();
    refused.push(Write { outcome: Outcome::Refused, ..acked(NORMAL, Op::To(3), 0, 12_000, 12_010) });
    let reads = vec![read(NORMAL, 12_500, Answer::To(3), Mark::Fresh)];
    check(&history(refused, reads), &[Violation::NeverCommitted]);
}

#[test]
fn a_doubtful_write_may_be_there_until_a_later_one_is_acknowledged() {
    let mut doubtful = writes();
    doubtful.push(Write { outcome: Outcome::Unknown, ..acked(NORMAL, Op::To(3), 0, 12_000, 15_000) });
    for shown in [2, 3] {
        let reads = vec![read(NORMAL, 20_000, Answer::To(shown), Mark::Fresh)];
        check(&history(doubtful.clone(), reads), &[]);
    }
    let reads = vec![
        read(NORMAL, 20_000, Answer::To(3), Mark::Fresh),
        read(NORMAL, 20_001, Answer::To(2), Mark::Fresh),
    ];
    check(&history(doubtful.clone(), reads), &[Violation::WentBack]);
    doubtful.push(acked(NORMAL, Op::To(4), 40, 16_000, 16_010));
    let reads = vec![read(NORMAL, 16_500, Answer::To(3), Mark::Fresh)];
    check(&history(doubtful, reads), &[Violation::NeverCommitted]);
}

#[test]
fn versions_that_go_back_are_found_on_one_connection_only() {
    let newer = read(NORMAL, 10_100, Answer::To(2), Mark::Fresh);
    let older = read(NORMAL, 10_200, Answer::To(1), Mark::Fresh);
    check(&history(writes(), vec![newer.clone(), older.clone()]), &[Violation::WentBack]);
    check(&history(writes(), vec![older.clone(), newer.clone()]), &[]);
    let other = Read { connection: 2, ..older };
    check(&history(writes(), vec![newer.clone(), other]), &[]);
    let gone = read(NORMAL, 10_200, Answer::NotFound, Mark::Stale);
    // A link that an edge had and has not any more is no answer, either.
    check(&history(writes(), vec![newer, gone]), &[Violation::WentBack, Violation::Failed]);
}

#[test]
fn no_answer_for_a_normal_link_is_found_unless_the_edge_was_down() {
    for answer in [Answer::Failed("late"), Answer::Unavailable] {
        let failed = read(NORMAL, 20_000, answer, Mark::None);
        check_read(failed.clone(), &[Violation::Failed]);
        check_read(Read { key: STRICT, ..failed.clone() }, &[]);
        check_read(Read { key: 99, ..failed.clone() }, &[]);
        for (edge, from, want) in
            [(0, 20_001, &[][..]), (1, 0, &[Violation::Failed]), (0, 20_002, &[Violation::Failed])]
        {
            let mut history = history(writes(), vec![failed.clone()]);
            history.downs.push(Downtime { edge, from: ms(from), to: ms(25_000) });
            check(&history, want);
        }
    }
    check_read(read(NORMAL, 20_000, Answer::Other(500), Mark::None), &[Violation::Failed]);
}

#[test]
fn a_link_made_after_the_fault_began_is_none_that_an_edge_must_have() {
    for (from, want) in [(500, &[][..]), (9_000, &[Violation::Failed])] {
        let mut history = history(writes(), vec![read(NORMAL, 20_000, Answer::Unavailable, Mark::None)]);
        let (fault, from, to) = ("cut".to_owned(), ms(from), ms(30_000));
        history.windows.push(Window { fault, from, to, unrecovered: None });
        check(&history, want);
        let seen = &judge(&history).windows[0];
        assert_eq!((seen.reads, seen.fresh), (1, 0));
    }
}

#[test]
fn after_propagated_nobody_shows_less_but_the_blind_and_the_newborn() {
    let told = |but| {
        let mut writes = writes();
        writes[1].told = Promise::Everywhere { but };
        writes
    };
    // At once, marked or not.
    for mark in [Mark::None, Mark::Stale, Mark::Fresh] {
        let read = read(NORMAL, 10_001, Answer::To(1), mark);
        check(&history(told(0), vec![read.clone()]), &[Violation::PropagatedMissed]);
        check(&history(told(0b010), vec![read.clone()]), &[Violation::PropagatedMissed]);
        check(&history(told(0b001), vec![read.clone()]), &[]);
        let mut reborn = history(told(0), vec![read]);
        reborn.births.push(Birth { edge: 0, spawned: ms(9_000), ready: ms(10_000) });
        check(&reborn, &[]);
    }
    let before = read(NORMAL, 9_999, Answer::To(1), Mark::Fresh);
    check(&history(told(0), vec![before]), &[]);
}

/// The copy is from 5 s, so the second writes are gone when the old control is dead at 20 s and the new one starts
/// at 21 s.
fn restored(forks: &[(Epoch, Seq)], reads: Vec<Read>) -> History {
    let mut history = history(writes(), reads);
    history.restores.push(Restore {
        copied: ms(5_000),
        dead: ms(20_000),
        started: ms(21_000),
        forks: forks.to_vec(),
    });
    history
}

#[test]
fn what_a_restore_takes_away_is_named_and_no_longer_missed() {
    let all_named = &[(FIRST, 5)];
    let after = read(NORMAL, 30_000, Answer::To(1), Mark::Fresh);
    check(&restored(all_named, vec![after.clone()]), &[]);
    let before = read(NORMAL, 15_000, Answer::To(1), Mark::Fresh);
    check(&restored(all_named, vec![before]), &[Violation::FreshMissed]);
    // Back to what the older database says, on one connection.
    let newer = read(NORMAL, 15_000, Answer::To(2), Mark::Fresh);
    check(&restored(all_named, vec![newer.clone(), after]), &[]);
    let too_early = read(NORMAL, 20_500, Answer::To(1), Mark::Stale);
    check(&restored(all_named, vec![newer, too_early]), &[Violation::WentBack]);
    assert_eq!(judge(&restored(all_named, Vec::new())).seen.lost_to_restores, 2);
    // Seq 14 is not behind 14; without any bump neither is named; a store that did not come from their history at all
    // names both.
    check(&restored(&[(FIRST, 14)], Vec::new()), &[Violation::LostUnnamed]);
    assert_eq!(judge(&restored(&[], Vec::new())).violations[&Violation::LostUnnamed], 2);
    check(&restored(&[(Epoch { counter: 2, random: 7 }, 0)], Vec::new()), &[]);
}

#[test]
fn what_a_restore_took_away_is_not_fresh_after_b() {
    let named = &[(FIRST, 5)];
    let shown = |key, sent, mark| restored(named, vec![read(key, sent, Answer::To(2), mark)]);
    check(&shown(NORMAL, 21_000, Mark::Fresh), &[]);
    check(&shown(NORMAL, 21_001, Mark::Fresh), &[Violation::Outlived]);
    check(&shown(NORMAL, 21_001, Mark::Stale), &[]);
    check(&shown(STRICT, 21_001, Mark::None), &[Violation::Outlived]);
}

#[test]
fn an_edge_that_does_not_come_back_is_found() {
    let mut history = history(writes(), Vec::new());
    let unrecovered = Some("edge-1 lags".to_owned());
    history.windows.push(Window { fault: "drop".to_owned(), from: 0, to: 1, unrecovered });
    check(&history, &[Violation::NotRecovered]);
}

#[test]
fn a_violation_counts_for_the_fault_it_follows() {
    let read = |sent| read(NORMAL, sent, Answer::To(1), Mark::Fresh);
    let mut history = history(writes(), vec![read(9_000), read(14_000), read(17_000), read(25_000)]);
    let window = |from, to| Window { fault: "cut".into(), from: ms(from), to: ms(to), unrecovered: None };
    history.windows = vec![window(8_000, 10_000), window(13_000, 15_000), window(24_000, 26_000)];
    let verdict = judge(&history);
    assert_eq!(verdict.windows.iter().map(|window| window.violations).collect::<Vec<_>>(), [0, 2, 1]);
    assert_eq!(verdict.windows.iter().map(|window| window.reads).collect::<Vec<_>>(), [1, 1, 1]);
}
