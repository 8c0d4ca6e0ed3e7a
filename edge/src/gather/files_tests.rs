//! Spools on a real disk: written, read again by the next process, damaged, full.

use super::super::disk::{bad_sectors, name};
use super::*;
use clicks::{Click, Country, Device, Kind, Language};
use link::DomainId;
use std::collections::BTreeSet;
use std::fs;

const BOOT: [u8; 16] = [1; 16];
const NOW: i64 = 1_800_000_000_000;
const BOUND: u64 = 1 << 20;
const LONG: Duration = Duration::from_secs(20);
/// Clicks that fill a file.
const FILE: u64 = 6_000;

/// A directory of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("linkr-spool-{}-{test}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// A process that has it, and has read all of it.
    fn open(&self, boot: [u8; 16], id: u64) -> SpoolFiles {
        let mut files = SpoolFiles::open(&self.0, boot, BOUND, id).unwrap();
        while files.take_found(LONG).unwrap().more {}
        check(&files);
        files
    }

    /// A byte in the middle of a file, which is one of its chunk, is another one.
    fn damage(&self, file: &Path) {
        let mut bytes = fs::read(file).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(file, bytes).unwrap();
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

/// What control says to a batch.
fn answer(files: &mut SpoolFiles, to: &ReadyBatch, acked: u64, want: u64, last_no: u64) -> bool {
    let heard = HeardAnswer { spool: to.spool, seq: to.offering.seal.seq, acked, want, last_no };
    files.answered(heard, Instant::now() + LONG, 99).unwrap()
}

/// Everything that there is to send, acknowledged.
fn send(files: &mut SpoolFiles) -> Vec<(u64, Batch)> {
    let mut sent = Vec::new();
    while let Some(ready) = files.next_batch().unwrap() {
        let seal = ready.offering.seal;
        let batch = batch::decode(&ready.bytes).unwrap();
        assert_eq!((batch.first_no, batch.last_no()), (seal.first_no, seal.last_no));
        assert!(answer(files, &ready, seal.seq, 0, seal.last_no));
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
    assert_eq!(files.sums(), SpoolSums { owes: true, ..sums });
    assert_eq!((files.next_no(), files.places()[0].position), (1, 511), "other numbers, and the same rings");
    write(&mut files, 1, 0);
    assert_eq!(counted(&send(&mut files)), (11, 0));
    assert_eq!((files.sums().pending, files.sums().recorded), (0, 521));
}

/// A spool of 4 GiB takes a while.
#[test]
fn new_clicks_do_not_wait_until_all_of_the_spool_is_read() {
    let folder = Folder::new("beside");
    let mut files = folder.open(BOOT, 1);
    (0..3).for_each(|_| write(&mut files, FILE, 1));
    let sums = files.sums();
    drop(files);
    let mut files = SpoolFiles::open(&folder.0, BOOT, BOUND, 2).unwrap();
    // Its last file alone says what it has come to, and where the rings are.
    assert_eq!((files.sums().recorded, files.sums().pending), (sums.recorded, sums.pending));
    assert_eq!((files.places()[0].position, files.complete_until()), (2 * (FILE + 1) + 1, Some(0)));
    files.connected = true;
    write(&mut files, 5, 0);
    let first = files.next_batch().unwrap().unwrap();
    assert_eq!((first.spool, files.sums().pending), (2, sums.pending + 5));
    while files.take_found(LONG).unwrap().more {}
    assert_eq!(counted(&send(&mut files)), (3 * FILE as usize + 5, 3));
}

/// Or one damaged place on a disk would be the end of all counting.
#[test]
fn a_file_that_the_disk_does_not_give_is_told_as_lost_and_everything_else_is_counted() {
    let folder = Folder::new("sector");
    let mut files = folder.open(BOOT, 1);
    (0..4).for_each(|_| write(&mut files, FILE, 1));
    assert_eq!(folder.files().len(), 4);
    drop(files);
    bad_sectors::put(&folder.0.join(name(1, 2)), 0);
    bad_sectors::put(&folder.0.join(name(1, 3)), 1_000);
    let mut files = folder.open(BOOT, 2);
    assert_eq!(files.sums().lost.of(LossReason::Damaged), 2 * (FILE + 1));
    write(&mut files, 5, 0);
    assert_eq!(counted(&send(&mut files)), (2 * FILE as usize + 5, 2 * FILE + 4));
    // While it runs: what is to be sent cannot be read.
    (0..2).for_each(|_| write(&mut files, FILE, 0));
    bad_sectors::put(&folder.0.join(name(2, 5)), 0);
    let (clicks, lost) = counted(&send(&mut files));
    assert_eq!(clicks as u64 + lost, 2 * FILE);
    assert!(lost > 0 && !files.sums().owes, "{lost}");
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
fn after_a_reboot_or_a_torn_end_the_old_are_sent_first() {
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
}

/// Else what the rings had lost would be told once more, and what was not released there be counted twice.
#[test]
fn who_is_killed_before_it_records_anything_has_left_the_places_of_the_rings() {
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
    files.refused(1, refused.offering.seal.seq, later, 2);
    assert_eq!((files.next_no(), files.places()[0].position), (1, 101), "the rings go on");
    write(&mut files, 5, 0);
    let sent = send(&mut files);
    assert_eq!((sent[0].0, counted(&sent)), (2, (5, 0)));
    assert_eq!(files.sums().pending, 10, "they are offered again later");
    files.refused(2, 1, later, 3);
    assert_eq!(files.next_no(), 6, "once in a process");
    drop(files);
    let mut files = folder.open(BOOT, 4);
    assert_eq!(counted(&send(&mut files)), (10, 0));
}

/// The torn spool is of the version before this one.
#[test]
fn what_a_spool_of_another_classifier_has_left_is_kept_in_a_repair() {
    let from = clicks::spool::FilePlace::default();
    let range = clicks::spool::NumberRange { first_no: 1, last_no: 12, from, end: u64::MAX };
    let mut batch = Batch::new(1, CLASSIFIER + 1);
    batch.clicks = (1..11).map(click).collect();
    let chunk = repaired(&range, vec![batch], LossCounts::default(), NOW);
    let whole = batch::decode(&chunk.batch).unwrap();
    assert_eq!((whole.clicks.len(), whole.classifier), (10, CLASSIFIER + 1));
    assert_eq!(chunk.head.lost.of(LossReason::Damaged), 2);
}

#[test]
fn a_damaged_file_is_told_as_lost_and_the_rest_is_kept() {
    let folder = Folder::new("damaged");
    let mut files = folder.open(BOOT, 1);
    (0..3).for_each(|_| write(&mut files, FILE, 1));
    drop(files);
    folder.damage(&folder.files()[1]);
    let files = folder.open(BOOT, 2);
    assert_eq!(files.sums().lost.of(LossReason::Damaged), FILE + 1);
    drop(files);
    // What was told as lost stands on disk; another file is damaged since.
    folder.damage(&folder.files()[0]);
    let mut files = folder.open([2; 16], 3);
    assert_eq!(files.sums().lost.of(LossReason::Damaged), 2 * (FILE + 1));
    assert_eq!(counted(&send(&mut files)), (FILE as usize, 2 * FILE + 3));
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
    assert_eq!(files.sums().lost, lost);
    let sent = send(&mut files);
    assert_eq!(sent[0].1.last_no(), on_its_way.offering.seal.last_no, "what may be counted already is kept");
    let (clicks, told) = counted(&sent);
    assert_eq!((clicks as u64 + told, told), (10 + 40 * 4_001, lost.total()));
}

/// They have no number of their own, and were in the batch before them as well.
#[test]
fn unknown_codes_of_a_chunk_without_a_click_are_sent_once() {
    let folder = Folder::new("codes");
    let mut files = folder.open(BOOT, 1);
    write(&mut files, 1, 0);
    for hour in 1..=3 {
        let mut batch = Batch::new(files.next_no(), CLASSIFIER);
        let code = Some(Box::from(&b"poster"[..]));
        batch.unknown = vec![batch::UnknownCode { domain: DomainId(0), hour, code, count: 1 }];
        files.write(&[chunk_of(&batch, LossCounts::default(), NOW)]).unwrap();
    }
    let mut sent = send(&mut files);
    write(&mut files, 1, 0);
    sent.extend(send(&mut files));
    let hours: Vec<i64> = sent.iter().flat_map(|(_, batch)| &batch.unknown).map(|own| own.hour).collect();
    assert_eq!(hours, [1, 2, 3]);
}

/// An edge that is started again and again while control is away: each time a file more that no other follows.
#[test]
fn spools_of_many_processes_stay_within_the_bound_and_tell_what_went() {
    let folder = Folder::new("many");
    let mut recorded = 0;
    for id in 1..40 {
        let mut files = folder.open(BOOT, id);
        write(&mut files, FILE / 2, 0);
        files.keep_bounds(NOW).unwrap();
        recorded += FILE / 2;
        assert!(files.sums().bytes <= BOUND, "{}", files.sums().bytes);
        assert_eq!(files.sums().recorded, recorded);
    }
    let mut files = folder.open(BOOT, 99);
    let lost = files.sums().lost.of(LossReason::SpoolFull);
    let (clicks, told) = counted(&send(&mut files));
    assert_eq!((clicks as u64 + told, told), (recorded, lost));
    assert!(lost > 0 && !files.sums().owes);
    // Control has all of them: whole spools go where the room is wanted.
    for _ in 0..8 {
        write(&mut files, FILE, 0);
        files.keep_bounds(NOW).unwrap();
        assert!(files.sums().bytes <= BOUND, "{}", files.sums().bytes);
    }
    assert_eq!(files.sums().lost.of(LossReason::SpoolFull), lost);
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
    assert!(answer(&mut files, &asked, 1, 2, 100));
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

/// Nothing that was recorded is dropped, and nothing is counted twice.
#[test]
fn a_disk_of_yesterday_sends_what_control_lacks_and_gives_its_numbers_to_nobody() {
    let folder = Folder::new("yesterday");
    let mut files = folder.open(BOOT, 1);
    write(&mut files, 100, 0);
    let ready = files.next_batch().unwrap().unwrap();
    write(&mut files, 50, 0);
    write(&mut files, 7, 0);
    drop((ready, files));
    // Meanwhile control got 50 more in a batch of their own, and then the disk was put back.
    let mut files = folder.open(BOOT, 2);
    write(&mut files, 5, 0);
    let ready = files.next_batch().unwrap().unwrap();
    assert_eq!((ready.spool, files.next_no()), (1, 6));
    assert!(answer(&mut files, &ready, 2, 0, 150));
    check(&files);
    let sums = files.sums();
    assert_eq!((sums.acknowledged, sums.lost.total(), sums.pending), (150, 0, 12));
    let sent = send(&mut files);
    assert_eq!(counted(&sent), (12, 0));
    assert_eq!((sent[0].0, sent[0].1.first_no, sent[1].0), (1, 151, 2));
    drop(files);
    let files = folder.open(BOOT, 3);
    assert_eq!((files.sums().acknowledged, files.sums().pending), (162, 0), "that is on disk");
}

/// As a control of before, which does not say up to which click it has the spool.
#[test]
fn a_spool_that_cannot_catch_up_is_kept_and_offered_again() {
    let folder = Folder::new("untold");
    let mut files = folder.open(BOOT, 1);
    write(&mut files, 100, 0);
    let ready = files.next_batch().unwrap().unwrap();
    assert!(answer(&mut files, &ready, 9, 0, 0));
    assert_eq!((files.next_no(), files.places()[0].position), (1, 1), "another spool, and the same rings");
    write(&mut files, 5, 0);
    assert_eq!(counted(&send(&mut files)), (5, 0));
    assert_eq!((files.sums().pending, files.sums().lost.total()), (100, 0));
}
