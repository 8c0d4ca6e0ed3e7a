//! A ring from both ends: in order, over many laps, when it is full, when a process is killed, when its memory is damaged.

use super::*;
use crate::TextSeed;
use proptest::prelude::*;

const BOOT: [u64; 2] = [1, 2];
const SMALL: usize = 8 * LEAST_WORDS;
const SEED: TextSeed = TextSeed::new(11, 13);

fn memory(capacity: usize) -> Vec<AtomicU64> {
    (0..Ring::memory_bytes(capacity) / 8).map(|_| AtomicU64::new(0)).collect()
}

fn begun(memory: &[AtomicU64]) -> Ring<'_> {
    let ring = Ring::over(memory).unwrap();
    assert_eq!(ring.begin(BOOT, 7), RingBeginning::Anew);
    ring
}

/// Notes a click with this number, whose answer ends there.
fn note(ring: Ring<'_>, writer: &mut RingWriter, number: u64, agent: &str, answer_end: u32) {
    let agent = writer.text(&ring, agent.as_bytes());
    let click = Captured {
        at: number.cast_signed(),
        uid: number,
        agent,
        language: *b"de-DE,de",
        ..Captured::default()
    };
    writer.click(&ring, &click, answer_end);
}

/// One turn: these clicks, each with an answer of ten bytes.
fn turn(ring: Ring<'_>, writer: &mut RingWriter, clicks: &[(u64, &str)]) -> Option<RingTurn> {
    writer.begin(ring);
    for (at, (number, agent)) in clicks.iter().enumerate() {
        note(ring, writer, *number, agent, 10 * (at as u32 + 1));
    }
    writer.publish(ring)
}

fn settled(ring: Ring<'_>, writer: &mut RingWriter, clicks: &[(u64, &str)]) {
    let turn = turn(ring, writer, clicks).unwrap();
    writer.settle(ring, turn);
}

/// The numbers of all clicks that can be read and count, each checked to have its text.
fn read(ring: Ring<'_>, reader: &mut RingReader) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(click) = reader.next(ring) {
        let text = reader.text(click.agent);
        assert!(
            click.agent == 0 || text.is_some_and(|text| SEED.number(text) == click.agent),
            "{}",
            click.uid
        );
        if !click.flags.has(CapturedFlags::VOID) {
            assert_eq!((click.at.cast_unsigned(), click.language), (click.uid, *b"de-DE,de"));
            numbers.push(click.uid);
        }
    }
    numbers
}

#[test]
fn what_goes_in_comes_out_once_and_in_order_over_many_laps() {
    let memory = memory(SMALL);
    let ring = begun(&memory);
    let (mut writer, mut reader) = (RingWriter::new(ring, SEED), RingReader::new(ring));
    let agents: Vec<_> = (0..9).map(|length| "agent-".repeat(length)).collect();
    for number in 0..5_000u64 {
        settled(ring, &mut writer, &[(2 * number, &agents[number as usize % 9]), (2 * number + 1, "curl")]);
        if number % 7 == 6 {
            let want: Vec<_> = (2 * (number - 6)..2 * number + 2).collect();
            assert_eq!(read(ring, &mut reader), want);
            reader.release(ring, reader.position());
        }
    }
    assert_eq!((ring.lost(), reader.damaged()), (0, 0));
    assert!(ring.tail() > 100 * ring.capacity());
}

#[test]
fn a_full_ring_drops_and_counts_and_goes_on_when_there_is_room() {
    let memory = memory(SMALL);
    let ring = begun(&memory);
    let (mut writer, mut reader) = (RingWriter::new(ring, SEED), RingReader::new(ring));
    let all: Vec<_> = (0..200).map(|number| (number, "")).collect();
    settled(ring, &mut writer, &all);
    let fits = (SMALL / 88) as u64;
    assert_eq!(ring.lost(), 200 - fits);
    assert_eq!(read(ring, &mut reader), (0..fits).collect::<Vec<_>>());
    assert!(turn(ring, &mut writer, &[(0, "")]).is_none(), "nothing was let go");
    assert_eq!(ring.lost(), 201 - fits);
    reader.release(ring, reader.position());
    settled(ring, &mut writer, &[(300, "")]);
    assert_eq!(read(ring, &mut reader), [300]);
    assert_eq!(ring.lost(), 201 - fits);
}

#[test]
fn a_flood_of_agents_takes_half_of_the_ring_and_no_click_is_lost_for_it() {
    let memory = memory(SMALL);
    let ring = begun(&memory);
    let mut writer = RingWriter::new(ring, SEED);
    let agents: Vec<_> = (0..40).map(|number| format!("{number:0500}")).collect();
    let clicks: Vec<_> = agents.iter().zip(0..).map(|(agent, number)| (number, agent.as_str())).collect();
    settled(ring, &mut writer, &clicks);
    let (mut reader, mut clicks, mut texts) = (RingReader::new(ring), 0, 0);
    while let Some(click) = reader.next(ring) {
        clicks += 1;
        texts += i32::from(reader.text(click.agent).is_some());
    }
    assert_eq!((clicks, ring.lost()), (40, 0));
    assert!((1..10).contains(&texts), "{texts}");
}

/// What a reader keeps of texts is what their writer takes to be known: a text that a flood pushes out is written again.
#[test]
fn behind_a_flood_of_agents_no_click_lacks_its_text_and_few_are_kept() {
    let memory = memory(16 << 20);
    let ring = begun(&memory);
    let (mut writer, mut reader) = (RingWriter::new(ring, SEED), RingReader::new(ring));
    let agent = |number: u64| format!("agent {number}");
    for number in 0..20_000 {
        settled(ring, &mut writer, &[(2 * number, &agent(number)), (2 * number + 1, "usual")]);
    }
    assert_eq!(read(ring, &mut reader).len(), 40_000);
    let kept = (0..20_000).filter(|number| reader.text(SEED.number(agent(*number).as_bytes())).is_some());
    assert!((2_000..=4 * 1024).contains(&kept.count()));
}

#[test]
fn a_long_text_is_cut() {
    let memory = memory(SMALL);
    let ring = begun(&memory);
    let (mut writer, mut reader) = (RingWriter::new(ring, SEED), RingReader::new(ring));
    settled(ring, &mut writer, &[(1, &"x".repeat(600))]);
    let click = reader.next(ring).unwrap();
    assert_eq!(reader.text(click.agent), Some(&[b'x'; MAX_TEXT_BYTES][..]));
}

#[test]
fn a_turn_is_read_when_it_and_all_before_it_are_settled() {
    let memory = memory(SMALL);
    let ring = begun(&memory);
    let (mut writer, mut reader) = (RingWriter::new(ring, SEED), RingReader::new(ring));
    let [first, second, third] =
        [1, 3, 5].map(|number| turn(ring, &mut writer, &[(number, "a"), (number + 1, "a")]).unwrap());
    writer.settle(ring, second);
    assert_eq!(read(ring, &mut reader), []);
    writer.settle_part(ring, first, 19);
    assert_eq!(read(ring, &mut reader), [1, 3, 4], "of the first turn one answer was taken whole");
    writer.settle_part(ring, third, 0);
    assert_eq!(read(ring, &mut reader), []);
    assert_eq!((ring.settled(), reader.position()), (ring.tail(), ring.tail()));
}

#[test]
fn a_worker_that_ends_leaves_nothing_open() {
    let memory = memory(SMALL);
    let ring = begun(&memory);
    let (mut writer, mut reader) = (RingWriter::new(ring, SEED), RingReader::new(ring));
    let [first, second] = [1, 2].map(|number| turn(ring, &mut writer, &[(number, "a")]).unwrap());
    writer.end(ring);
    assert_eq!(read(ring, &mut reader), [1, 2]);
    writer.settle(ring, second);
    writer.settle(ring, first);
    assert_eq!(ring.settled(), ring.tail(), "whoever is late changes nothing");
}

#[test]
fn a_turn_that_broke_off_leaves_nothing() {
    let memory = memory(SMALL);
    let ring = begun(&memory);
    let (mut writer, mut reader) = (RingWriter::new(ring, SEED), RingReader::new(ring));
    writer.begin(ring);
    note(ring, &mut writer, 1, "a", 10);
    settled(ring, &mut writer, &[(2, "a")]);
    assert_eq!(read(ring, &mut reader), [2], "and its text is written again");
}

#[test]
fn the_next_process_reads_what_was_published_and_not_taken() {
    let memory = memory(SMALL);
    let ring = begun(&memory);
    let (mut writer, mut reader) = (RingWriter::new(ring, SEED), RingReader::new(ring));
    for number in 0..30 {
        settled(ring, &mut writer, &[(number, "a")]);
        if number % 10 == 5 {
            assert!(!read(ring, &mut reader).is_empty());
            reader.release(ring, reader.position());
        }
    }
    let open = turn(ring, &mut writer, &[(30, "a")]).unwrap();
    writer.begin(ring);
    note(ring, &mut writer, 31, "a", 10);
    // Killed here: the answers of one turn are on their way, and another turn was never published.
    drop((open, writer, reader));
    let tail = ring.tail();
    assert_eq!(ring.begin(BOOT, 8), RingBeginning::Continued);
    assert_eq!((ring.id(), ring.tail(), ring.settled()), (7, tail, tail));
    let (mut writer, mut reader) = (RingWriter::new(ring, SEED), RingReader::new(ring));
    settled(ring, &mut writer, &[(40, "b")]);
    assert_eq!(read(ring, &mut reader), [26, 27, 28, 29, 30, 40], "each with its text");
    // Its own word for what is taken may be late: the spool's goes before it.
    let mut reader = RingReader::new(ring);
    reader.seek(tail);
    assert_eq!(read(ring, &mut reader), [40]);
}

#[test]
fn a_ring_of_another_boot_or_size_begins_anew() {
    let memory = memory(SMALL);
    let ring = begun(&memory);
    let mut writer = RingWriter::new(ring, SEED);
    settled(ring, &mut writer, &[(1, "a")]);
    assert_eq!(ring.begin([1, 3], 9), RingBeginning::Anew);
    assert_eq!((ring.id(), ring.tail(), RingReader::new(ring).next(ring)), (9, 0, None));
    ring.set(Field::Head, 8);
    assert_eq!(ring.begin([1, 3], 10), RingBeginning::Anew, "positions that cannot be");
    assert!(Ring::over(&memory[1..]).is_none() && Ring::over(&memory[..HEADER]).is_none());
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody_for_long() {
    let memory = memory(SMALL);
    let ring = begun(&memory);
    let (mut writer, mut reader) = (RingWriter::new(ring, SEED), RingReader::new(ring));
    let slow = turn(ring, &mut writer, &[(1, "a"), (2, "b")]).unwrap();
    settled(ring, &mut writer, &[(3, "a")]);
    (0..2).for_each(|_| writer.tick(ring));
    assert_eq!(read(ring, &mut reader), []);
    writer.tick(ring);
    assert_eq!(read(ring, &mut reader), [3]);
    (0..9).for_each(|_| writer.tick(ring));
    settled(ring, &mut writer, &[(4, "a")]);
    (0..9).for_each(|_| writer.tick(ring));
    assert_eq!(read(ring, &mut reader), [4]);
    reader.release(ring, reader.position());
    (0..9).for_each(|_| writer.tick(ring));
    // A reader that knows nothing of what was: the texts have gone along.
    let mut reader = RingReader::new(ring);
    writer.settle_part(ring, slow, 15);
    assert_eq!(read(ring, &mut reader), [1], "the first answer went out after all");
    assert_eq!(ring.lost(), 0);
}

#[test]
fn whoever_is_killed_while_clicks_are_moved_leaves_each_once() {
    for published in [false, true] {
        let memory = memory(SMALL);
        let ring = begun(&memory);
        let mut writer = RingWriter::new(ring, SEED);
        let slow = turn(ring, &mut writer, &[(1, "a")]).unwrap();
        let (end, behind) = (ring.tail(), ring.tail());
        // What `tick` does, up to either side of the step that counts.
        writer.begin(ring);
        writer.copy(ring, 0, end);
        ring.set(Field::MovedFrom, 0);
        ring.set(Field::MovedBehind, behind);
        ring.set(Field::MovedTo, end);
        if published {
            writer.show(ring);
        }
        drop((slow, writer));
        assert_eq!(ring.begin(BOOT, 8), RingBeginning::Continued);
        let mut reader = RingReader::new(ring);
        assert_eq!(read(ring, &mut reader), [1], "published: {published}");
    }
}

/// The ring is full, and a slow turn cannot be moved: the room is given back, and its clicks are a loss at any instruction.
#[test]
fn what_cannot_be_moved_for_want_of_room_is_one_loss_each_whoever_is_killed_meanwhile() {
    for killed in [false, true] {
        let memory = memory(SMALL);
        let ring = begun(&memory);
        let mut writer = RingWriter::new(ring, SEED);
        let slow = turn(ring, &mut writer, &[(1, ""), (2, "")]).unwrap();
        let mut fits = 0;
        while ring.lost() == 0 {
            fits += 1;
            let turn = turn(ring, &mut writer, &[(2 + fits, "")]);
            turn.into_iter().for_each(|turn| writer.settle(ring, turn));
        }
        let lost = ring.lost();
        if killed {
            // As far as `tick` comes before it tells of anything.
            writer.begin(ring);
            writer.copy(ring, 0, ring.tail());
        } else {
            (0..9).for_each(|_| writer.tick(ring));
            writer.settle(ring, slow);
        }
        assert_eq!(ring.lost(), lost, "what was lost in its place is told there");
        assert_eq!(ring.begin(BOOT, 8), RingBeginning::Continued);
        let (mut reader, mut told, mut counted) = (RingReader::new(ring), 0, 0);
        while let Some(click) = reader.next(ring) {
            match (click.flags.has(CapturedFlags::LOST), click.flags.has(CapturedFlags::VOID)) {
                (true, _) => told += 1,
                (false, true) => {}
                (false, false) => counted += 1,
            }
        }
        // The copy of a killed one goes over all that the ring holds.
        let all = 2 + fits - lost;
        assert_eq!(told + counted, all, "killed: {killed}");
        assert_eq!(told, if killed { all } else { 2 });
    }
}

#[test]
fn what_is_damaged_is_passed_over_and_told() {
    let memory = memory(SMALL);
    let ring = begun(&memory);
    let (mut writer, mut reader) = (RingWriter::new(ring, SEED), RingReader::new(ring));
    settled(ring, &mut writer, &[(1, ""), (2, ""), (3, "")]);
    ring.records[CLICK_WORDS].store(99, Ordering::Relaxed);
    assert_eq!(read(ring, &mut reader), [1]);
    assert_eq!(reader.damaged(), 2 * 88);
    settled(ring, &mut writer, &[(4, "")]);
    assert_eq!(read(ring, &mut reader), [4]);
}

#[test]
fn a_reader_beside_the_writer_misses_nothing() {
    const CLICKS: u64 = 50_000;
    let memory = memory(4 * SMALL);
    let ring = begun(&memory);
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let (mut reader, mut seen) = (RingReader::new(ring), Vec::new());
            while seen.last() != Some(&CLICKS) {
                seen.extend(read(ring, &mut reader));
                reader.release(ring, reader.position());
                std::thread::yield_now();
            }
            (seen, reader.damaged())
        });
        let mut writer = RingWriter::new(ring, SEED);
        for number in 1..=CLICKS {
            // Until there is room: the reader has its turn meanwhile.
            while turn(ring, &mut writer, &[(number, "agent")])
                .map(|turn| writer.settle(ring, turn))
                .is_none()
            {
                std::thread::yield_now();
            }
        }
        let (seen, damaged) = reading.join().unwrap();
        assert!(seen.is_sorted_by(|a, b| a < b), "none twice");
        assert_eq!((seen.len() as u64, damaged), (CLICKS, 0));
    });
}

proptest! {
    #[test]
    fn no_memory_makes_it_fail(words in prop::collection::vec(any::<u64>(), 1..200), ends in any::<[u16; 4]>()) {
        let memory = memory(SMALL);
        let ring = begun(&memory);
        for (at, word) in words.iter().enumerate() {
            // Some of them nearly a record.
            let word = if at % 3 == 0 { (word % 5) | (11 << 16) | (word & (0x3f << 32)) } else { *word };
            ring.records[at].store(word, Ordering::Relaxed);
        }
        for (field, end) in [Field::Head, Field::Taken, Field::Settled, Field::Tail].into_iter().zip(ends) {
            ring.set(field, 8 * u64::from(end % 2000));
        }
        let _ = ring.begin(BOOT, 3);
        let (mut reader, mut writer) = (RingReader::new(ring), RingWriter::new(ring, SEED));
        let bytes = ring.tail() - ring.get(Field::Head);
        let mut records = 0;
        while reader.next(ring).is_some() {
            records += 1;
        }
        prop_assert!(records <= bytes / 16 + 1 && reader.damaged() <= bytes);
        let turn = turn(ring, &mut writer, &[(1, "a")]);
        turn.into_iter().for_each(|turn| writer.settle_part(ring, turn, 3));
    }
}
