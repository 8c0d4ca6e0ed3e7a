//! Spools on a real disk: written, read again by the next process, damaged, full.

use super::*;
use clicks::{Click, Country, Device, Kind, Language};
use link::DomainId;
use std::collections::BTreeSet;
use std::fs;

const BOOT: [u8; 16] = [1; 16];
const NOW: i64 = 1_800_000_000_000;
const BOUND: u64 = 1 << 20;

/// A directory of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("linkr-spool-{}-{test}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// A process that has it.
    fn open(&self, boot: [u8; 16], id: u64) -> SpoolFiles {
        SpoolFiles::open(&self.0, boot, BOUND, id).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn click(number: u64) -> Click {
    Click {
        at: NOW,
        domain: DomainId(0),
        uid: 7,
        version: 8,
        kind: Kind::Human,
        country: Country::default(),
        browser: "Firefox".into(),
        os: "".into(),
        device: Device::Desktop,
        referrer: "".into(),
        language: Language::default(),
        visitor: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        agent: number.wrapping_mul(0xc2b2_ae3d_27d4_eb4f) | 1,
    }
}

fn chunk(first_no: u64, clicks: u64, lost: u64, ring: u64) -> Chunk {
    let mut batch = Batch::new(first_no, CLASSIFIER);
    batch.clicks = (first_no..first_no + clicks).map(click).collect();
    if lost > 0 {
        batch.losses = vec![Loss { reason: LossReason::RingFull, minute: NOW / MINUTE_MS, count: lost }];
    }
    let mut chunk = chunk_of(&batch, LossCounts::default(), NOW);
    chunk.head.places = vec![RingPlace { ring: 5, position: ring, lost: 0 }];
    chunk
}

fn write(files: &mut SpoolFiles, clicks: u64, lost: u64) {
    let chunk = chunk(files.next_no(), clicks, lost, files.next_no());
    files.write(&[chunk]).unwrap();
    check(files);
}

fn check(files: &SpoolFiles) {
    let sums = files.sums();
    assert_eq!(sums.acknowledged + sums.lost.total() + sums.pending, sums.recorded, "{sums:?}");
}

/// Everything that there is to send, acknowledged.
fn send(files: &mut SpoolFiles) -> Vec<(u64, Batch)> {
    let mut sent = Vec::new();
    while let Some(ready) = files.next_batch().unwrap() {
        let seal = ready.offering.seal;
        let batch = batch::decode(&ready.bytes).unwrap();
        assert_eq!((batch.first_no, batch.last_no()), (seal.first_no, seal.last_no));
        assert!(files.answered(ready.spool, seal.seq, seal.seq, 0, 99).unwrap());
        sent.push((ready.spool, batch));
        check(files);
    }
    sent
}

/// So many clicks are in these batches, none of a spool twice; and so many are told as lost.
fn counted(sent: &[(u64, Batch)]) -> (usize, u64) {
    let numbers = sent.iter().flat_map(|(spool, batch)| {
        batch.clicks.iter().map(|click| (*spool, click.visitor)).collect::<Vec<_>>()
    });
    let all: Vec<_> = numbers.collect();
    let different: BTreeSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len());
    let lost = sent.iter().flat_map(|(_, batch)| &batch.losses).map(|loss| loss.count).sum();
    (all.len(), lost)
}

#[test]
fn what_is_written_is_sent_once_and_the_next_process_goes_on() {
    let folder = Folder::new("once");
    let mut files = folder.open(BOOT, 1);
    (0..5).for_each(|_| write(&mut files, 100, 2));
    let sent = send(&mut files);
    assert_eq!(sent.len(), 2, "the first chunk, and the others together");
    assert_eq!(counted(&sent), (500, 10));
    write(&mut files, 10, 0);
    let sums = files.sums();
    drop(files);
    let mut files = folder.open(BOOT, 2);
    assert_eq!(files.sums(), sums);
    assert_eq!((files.next_no(), files.places()[0].position), (521, 511));
    write(&mut files, 1, 0);
    assert_eq!(counted(&send(&mut files)), (11, 0));
    assert_eq!(files.sums().pending, 0);
}

#[test]
fn an_unheard_answer_makes_the_next_process_send_the_same_batch() {
    let folder = Folder::new("unheard");
    let mut files = folder.open(BOOT, 1);
    write(&mut files, 100, 0);
    let first = files.next_batch().unwrap().unwrap();
    write(&mut files, 50, 0);
    drop(files);
    let mut files = folder.open(BOOT, 2);
    let again = files.next_batch().unwrap().unwrap();
    assert_eq!((again.spool, again.offering.seal), (first.spool, first.offering.seal));
    assert_eq!(again.bytes, first.bytes);
    assert_eq!(counted(&send(&mut files)), (150, 0));
}

#[test]
fn after_a_reboot_or_a_torn_end_other_numbers_are_used_and_the_old_are_sent_first() {
    let folder = Folder::new("reboot");
    let mut files = folder.open(BOOT, 1);
    write(&mut files, 100, 0);
    drop(files);
    let mut files = folder.open([2; 16], 2);
    assert_eq!((files.next_no(), files.places().len()), (1, 0), "its rings are new, too");
    write(&mut files, 20, 0);
    drop(files);
    let last =
        folder.files().into_iter().filter(|file| file.to_str().unwrap().contains("-0000000000000002-"));
    let last = last.max().unwrap();
    let whole = fs::read(&last).unwrap();
    fs::write(&last, [&whole[..], b"half a frame"].concat()).unwrap();
    let mut files = folder.open([2; 16], 3);
    assert_eq!(files.next_no(), 1);
    assert_eq!(files.places()[0].position, 1, "the rings are those of before");
    write(&mut files, 3, 0);
    let sent = send(&mut files);
    assert_eq!(sent.iter().map(|(spool, _)| *spool).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(counted(&sent), (123, 0));
    drop(files);
    let files = folder.open([2; 16], 4);
    assert_eq!(files.next_no(), 4, "the third is whole and goes on");
}

/// Else what the rings had lost would be told once more, and what was not released there be counted twice.
#[test]
fn who_is_killed_behind_the_closing_of_a_spool_has_left_the_places_of_the_rings() {
    let folder = Folder::new("closed");
    let mut files = folder.open(BOOT, 1);
    write(&mut files, 100, 2);
    drop(files);
    let last = folder.files().pop().unwrap();
    let whole = fs::read(&last).unwrap();
    fs::write(&last, [&whole[..], b"half a frame"].concat()).unwrap();
    for id in [2, 3] {
        let files = folder.open(BOOT, id);
        assert_eq!((files.next_no(), files.places()[0].position), (1, 1), "spool {id}");
    }
}

/// As that of an edge whose key has another name than before: control knows it as another edge's.
#[test]
fn behind_a_spool_that_control_refuses_new_clicks_go_on_in_another() {
    let folder = Folder::new("refused");
    let mut files = folder.open(BOOT, 1);
    write(&mut files, 100, 0);
    send(&mut files);
    write(&mut files, 10, 0);
    let refused = files.next_batch().unwrap().unwrap();
    let later = Instant::now() + std::time::Duration::from_secs(3_600);
    files.refused(1, refused.offering.seal.seq, later, 2).unwrap();
    assert_eq!((files.next_no(), files.places()[0].position), (1, 101), "the rings go on");
    write(&mut files, 5, 0);
    let sent = send(&mut files);
    assert_eq!((sent[0].0, counted(&sent)), (2, (5, 0)));
    assert_eq!(files.sums().pending, 10, "they are offered again later");
    files.refused(2, 1, later, 3).unwrap();
    assert_eq!(files.next_no(), 6, "once in a process");
    drop(files);
    let mut files = folder.open(BOOT, 4);
    assert_eq!(files.next_no(), 6);
    assert_eq!(counted(&send(&mut files)), (10, 0));
}

/// The torn spool is of the version before this one.
#[test]
fn what_a_spool_of_another_classifier_has_left_is_kept_in_a_repair() {
    let range = NumberRange { first_no: 1, last_no: 12, from: clicks::spool::FilePlace::default() };
    let mut batch = Batch::new(1, CLASSIFIER + 1);
    batch.clicks = (1..11).map(click).collect();
    let chunk = repaired(&range, vec![batch], LossCounts::default());
    let whole = batch::decode(&chunk.batch).unwrap();
    assert_eq!((whole.clicks.len(), whole.classifier), (10, CLASSIFIER + 1));
    assert_eq!(chunk.head.lost.of(LossReason::Damaged), 2);
}

#[test]
fn a_damaged_file_is_told_as_lost_and_the_rest_is_kept() {
    let folder = Folder::new("damaged");
    let mut files = folder.open(BOOT, 1);
    write(&mut files, 100, 0);
    drop(files);
    let mut files = folder.open(BOOT, 2); // every process begins a file
    write(&mut files, 40, 0);
    write(&mut files, 30, 1);
    drop(files);
    let mut files = folder.open(BOOT, 3);
    write(&mut files, 7, 0);
    drop(files);
    let middle = folder.files()[1].clone();
    let mut bytes = fs::read(&middle).unwrap();
    let at = bytes.len() - 5; // of the last chunk
    bytes[at] ^= 1;
    fs::write(&middle, bytes).unwrap();
    let mut files = folder.open(BOOT, 4);
    check(&files);
    assert_eq!(files.sums().lost.of(LossReason::Damaged), 31);
    assert_eq!(counted(&send(&mut files)), (147, 31));
}

#[test]
fn a_closed_spool_that_is_damaged_is_told_and_sent_to_its_end() {
    let folder = Folder::new("closed");
    let mut files = folder.open(BOOT, 1);
    write(&mut files, 100, 0);
    drop(files);
    let mut files = folder.open(BOOT, 2);
    write(&mut files, 40, 0);
    write(&mut files, 30, 0);
    drop(files);
    drop(folder.open([2; 16], 3)); // another boot closes it
    let middle = folder.files()[1].clone();
    let mut bytes = fs::read(&middle).unwrap();
    let at = bytes.len() - 5; // of the last chunk
    bytes[at] ^= 1;
    fs::write(&middle, bytes).unwrap();
    let mut files = folder.open([2; 16], 4);
    check(&files);
    assert_eq!(files.sums().lost.of(LossReason::Damaged), 30);
    assert_eq!(counted(&send(&mut files)), (140, 30));
    assert!(!files.sums().owes);
}

#[test]
fn a_start_that_records_nothing_keeps_the_places_of_the_rings() {
    let folder = Folder::new("places");
    let mut files = folder.open(BOOT, 1);
    write(&mut files, 100, 0);
    drop(files);
    let last = folder.files()[0].clone();
    let whole = fs::read(&last).unwrap();
    fs::write(&last, [&whole[..], b"half a frame"].concat()).unwrap();
    for id in 2..5 {
        let files = folder.open(BOOT, id);
        assert_eq!((files.next_no(), files.places()[0].position), (1, 1), "{id}");
    }
    // Nor are they forgotten with the closed spool.
    let mut files = folder.open(BOOT, 5);
    send(&mut files);
    files.keep_bounds(NOW + KEPT_MS + 1).unwrap();
    drop(files);
    assert_eq!(folder.files().len(), 1);
    let files = folder.open(BOOT, 6);
    assert_eq!((files.next_no(), files.places()[0].position), (1, 1));
}

#[test]
fn a_full_spool_lets_the_oldest_go_and_tells_them() {
    let folder = Folder::new("full");
    let mut files = folder.open(BOOT, 1);
    write(&mut files, 10, 0);
    let on_its_way = files.next_batch().unwrap().unwrap();
    for _ in 0..40 {
        write(&mut files, 4_000, 1);
        files.keep_bounds(NOW).unwrap();
        assert!(files.sums().bytes <= BOUND, "{}", files.sums().bytes);
    }
    let lost = files.sums().lost;
    assert!(lost.of(LossReason::SpoolFull) > 4_000 && lost.of(LossReason::RingFull) == 40, "{lost:?}");
    drop(files);
    let mut files = folder.open(BOOT, 2);
    check(&files);
    assert_eq!(files.sums().lost, lost);
    let sent = send(&mut files);
    assert_eq!(sent[0].1.last_no(), on_its_way.offering.seal.last_no, "what may be counted already is kept");
    let (clicks, told) = counted(&sent);
    assert_eq!((clicks as u64 + told, told), (10 + 40 * 4_001, lost.total()));
}

#[test]
fn what_control_has_stays_a_day_and_is_sent_again_to_one_that_lost_it() {
    let folder = Folder::new("restore");
    let mut files = folder.open(BOOT, 1);
    for _ in 0..4 {
        write(&mut files, 100, 0);
        assert_eq!(send(&mut files).len(), 1);
    }
    files.keep_bounds(NOW).unwrap();
    // A store of before the second batch.
    files.ask_again(None);
    let asked = files.next_batch().unwrap().unwrap();
    assert_eq!((asked.offering.seal.seq, asked.offering.first), (4, false));
    assert!(files.answered(asked.spool, 4, 1, 2, 99).unwrap());
    let sent = send(&mut files);
    assert_eq!(sent.iter().map(|(_, batch)| batch.first_no).collect::<Vec<_>>(), [101, 201, 301]);
    assert_eq!((files.sums().acknowledged, files.sums().pending), (400, 0));
    // A day later all but the file that is written are gone.
    drop(files);
    let mut files = folder.open(BOOT, 2);
    write(&mut files, 1, 0);
    send(&mut files);
    files.keep_bounds(NOW + KEPT_MS + 1).unwrap();
    assert_eq!(folder.files().len(), 1);
    assert_eq!(files.sums().acknowledged, 401);
}

#[test]
fn a_disk_of_yesterday_gives_its_numbers_to_nobody() {
    let folder = Folder::new("yesterday");
    let mut files = folder.open(BOOT, 1);
    write(&mut files, 100, 0);
    let ready = files.next_batch().unwrap().unwrap();
    assert!(files.answered(ready.spool, 1, 500, 0, 77).unwrap());
    assert_eq!((files.next_no(), files.places()[0].position), (1, 1), "another spool, and the same rings");
    check(&files);
    assert_eq!(files.sums().lost.of(LossReason::Damaged), 100);
    drop(files);
    let mut files = folder.open(BOOT, 78);
    assert_eq!((files.next_no(), files.places()[0].position), (1, 1), "that is on disk");
    write(&mut files, 5, 0);
    assert_eq!(counted(&send(&mut files)), (5, 0));
}
