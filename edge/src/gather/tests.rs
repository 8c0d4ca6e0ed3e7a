//! Clicks of real rings, gathered on a real disk and handed to a control that is a thread.

use super::*;
use crate::clicks::ClicksConfig;
use clicks::batch::{Batch, decode};
use clicks::{Captured, CapturedFlags, Kind, LossReason, RingWriter, hash};
use link::DomainId;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
const VISITOR: &str = "203.0.113.77";
const IGNORED: &str = "198.51.100.9";
const LONG: Duration = Duration::from_secs(20);

fn folder(test: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("linkr-gather-{}-{test}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    dir
}

/// What a process has of clicks.
fn process(dir: &Path) -> Arc<Shared> {
    let ask = futures_channel::mpsc::channel(1).0;
    let rings = Rings::open(dir, 1).unwrap();
    let mut shared = Shared::new(1 << 20, 1, ask, None, None).with_rings(Some(rings));
    let ignore = vec![IGNORED.parse().unwrap()];
    let config = ClicksConfig { dir: dir.to_path_buf(), spool_bytes: 1 << 24, geo: None, ignore };
    shared.clicks = Some(Clicks::new(config));
    shared.domains.replace(1, Vec::new());
    Arc::new(shared)
}

/// The end of its only worker.
fn writer(shared: &Shared) -> RingWriter {
    let rings = shared.rings.as_ref().unwrap();
    RingWriter::new(rings.own()[0].ring(), rings.seed())
}

/// So many redirects to somebody at this address, of which the kernel took all but the last `void`.
fn redirect(shared: &Shared, writer: &mut RingWriter, address: &str, clicks: u32, void: u32) {
    let rings = shared.rings.as_ref().unwrap();
    let ring = rings.own()[0].ring();
    let address: IpAddr = address.parse().unwrap();
    let click = Captured {
        at: unix_ms(),
        domain: DomainId(0),
        uid: 7,
        version: 8,
        address: rings.key().seal(address).unwrap(),
        flags: CapturedFlags::ADDRESS,
        ..Captured::default()
    };
    writer.begin(ring);
    for number in 1..=clicks {
        let agent = writer.text(&ring, CHROME.as_bytes());
        writer.click(&ring, &Captured { agent, ..click }, number * 100);
    }
    if let Some(turn) = writer.publish(ring) {
        writer.settle_part(ring, turn, ((clicks - void) * 100) as usize);
    }
}

/// A control that takes so many batches, and says nothing to the first `deaf` offers.
fn control(mut offers: offers::Receiver<ClickOffer>, deaf: usize) -> JoinHandle<Vec<Batch>> {
    std::thread::spawn(move || {
        let (mut taken, mut seqs, mut heard) = (Vec::new(), std::collections::BTreeMap::new(), 0);
        while let Some(offer) = offers.blocking_recv() {
            let last = seqs.entry(offer.spool).or_insert(0);
            if offer.seq == *last + 1 {
                *last = offer.seq;
                let batch = decode(&offer.batch).unwrap();
                assert_eq!((batch.first_no, batch.last_no()), (offer.first_no, offer.last_no));
                taken.push(batch);
            }
            heard += 1;
            let told = ControlAnswer::Told { acked: *last, want: 0, last_no: 0 };
            offer.answer.send(if heard <= deaf { ControlAnswer::Unanswered } else { told });
        }
        taken
    })
}

fn until(what: &str, shared: &Shared, done: impl Fn(&ClickCounts) -> bool) -> ClickCounts {
    let deadline = Instant::now() + LONG;
    loop {
        let counts = shared.clicks.as_ref().unwrap().counts();
        let sum = counts.acknowledged + counts.lost.total() + counts.pending;
        assert_eq!(sum, counts.recorded, "the law: {counts:?}");
        if done(&counts) {
            return counts;
        }
        assert!(Instant::now() < deadline, "{what}: {counts:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn clicks_of(batches: &[Batch]) -> usize {
    batches.iter().map(|batch| batch.clicks.len()).sum()
}

#[test]
fn clicks_are_counted_once_and_no_address_is_on_disk() {
    let dir = folder("once");
    let shared = process(&dir);
    let (offer, offers) = offers::channel(1);
    let control = control(offers, 1);
    let gatherer = Gatherer::start(&shared, offer).unwrap().unwrap();
    let mut writer = self::writer(&shared);
    redirect(&shared, &mut writer, VISITOR, 300, 100);
    redirect(&shared, &mut writer, IGNORED, 50, 0);
    until("acknowledged", &shared, |counts| counts.acknowledged == 250);
    redirect(&shared, &mut writer, VISITOR, 1_000, 0);
    gatherer.stop(LONG);
    let counts = until("stopped", &shared, |_| true);
    assert_eq!((counts.recorded, counts.acknowledged, counts.pending), (1_250, 1_250, 0));
    assert_eq!(counts.kinds[Kind::Human as usize], 1_200);
    assert_eq!(counts.kinds[Kind::Ignored as usize], 50);
    assert!(!shared.clicks.as_ref().unwrap().owes());
    let batches = control.join().unwrap();
    assert_eq!(clicks_of(&batches), 1_200);
    assert_eq!(batches.iter().flat_map(|batch| &batch.totals).map(|total| total.count).sum::<u64>(), 50);
    assert_eq!(batches[0].agents[0].text, CHROME);
    let hash = hash(CHROME.as_bytes());
    assert_eq!(batches[0].agents[0].hash, hash);
    let mut all = batches.iter().flat_map(|batch| &batch.clicks);
    assert!(all.all(|click| click.agent == hash), "what leaves the process is no number of its own");
    for file in fs::read_dir(&dir).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        for address in [VISITOR, IGNORED] {
            let IpAddr::V4(octets) = address.parse().unwrap() else { panic!() };
            let mapped = octets.to_ipv6_mapped().octets();
            assert!(!bytes.windows(16).any(|window| window == mapped), "an address is in a file");
            assert!(!bytes.windows(address.len()).any(|window| window == address.as_bytes()));
        }
    }
    // The next process finds nothing that was not counted.
    drop((writer, shared));
    let shared = process(&dir);
    let (offer, offers) = offers::channel(1);
    let control = self::control(offers, 0);
    let gatherer = Gatherer::start(&shared, offer).unwrap().unwrap();
    until("read again", &shared, |counts| counts.recorded == 1_250);
    gatherer.stop(LONG);
    assert_eq!(clicks_of(&control.join().unwrap()), 0);
    fs::remove_dir_all(&dir).unwrap();
}

/// Between being ready and taking over, a newcomer's thread is there already, and another process gathers.
#[test]
fn who_waits_for_its_turn_leaves_the_rings_to_another_process() {
    let dir = folder("turn");
    let shared = process(&dir);
    let mut writer = self::writer(&shared);
    redirect(&shared, &mut writer, VISITOR, 20, 0);
    let (offer, offers) = offers::channel(1);
    let control = control(offers, 0);
    let waits = || Gatherer::prepare(Arc::clone(&shared), offer.clone()).unwrap().unwrap();
    let own = shared.clicks.as_ref().unwrap();
    waits().stop(LONG); // its turn never came
    assert_eq!((own.gathers(), own.counts().recorded), (false, 0));
    let gatherer = waits();
    own.prepare();
    gatherer.begin(&shared);
    assert!(own.gathers());
    until("acknowledged", &shared, |counts| counts.acknowledged == 20);
    gatherer.stop(LONG);
    drop(offer);
    assert_eq!(clicks_of(&control.join().unwrap()), 20);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn what_a_killed_process_left_in_its_ring_counts_without_its_address() {
    let dir = folder("killed");
    let shared = process(&dir);
    let mut writer = self::writer(&shared);
    redirect(&shared, &mut writer, VISITOR, 20, 0);
    redirect(&shared, &mut writer, IGNORED, 3, 0);
    drop((writer, shared));
    let shared = process(&dir);
    let (offer, offers) = offers::channel(1);
    let control = control(offers, 0);
    let gatherer = Gatherer::start(&shared, offer).unwrap().unwrap();
    let mut writer = self::writer(&shared);
    redirect(&shared, &mut writer, IGNORED, 4, 0);
    let counts = until("acknowledged", &shared, |counts| counts.acknowledged == 27);
    assert_eq!(counts.kinds[Kind::Human as usize], 23, "nobody can tell which of them would be ignored");
    assert_eq!(counts.kinds[Kind::Ignored as usize], 4);
    gatherer.stop(LONG);
    assert_eq!(clicks_of(&control.join().unwrap()), 23);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_record_of_no_link_is_told_as_damaged() {
    let dir = folder("damaged");
    let shared = process(&dir);
    let rings = shared.rings.as_ref().unwrap();
    let ring = rings.own()[0].ring();
    let mut writer = self::writer(&shared);
    writer.begin(ring);
    for (number, uid) in (1..).zip([7, 0, u64::MAX]) {
        let click = Captured { at: unix_ms(), uid, version: 8, ..Captured::default() };
        writer.click(&ring, &click, number * 100);
    }
    if let Some(turn) = writer.publish(ring) {
        writer.settle_part(ring, turn, 300);
    }
    let (offer, offers) = offers::channel(1);
    let control = control(offers, 0);
    let gatherer = Gatherer::start(&shared, offer).unwrap().unwrap();
    let counts = until("acknowledged", &shared, |counts| counts.acknowledged == 1);
    assert_eq!((counts.recorded, counts.lost.of(LossReason::Damaged)), (3, 2));
    gatherer.stop(LONG);
    assert_eq!(clicks_of(&control.join().unwrap()), 1);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_ring_without_room_is_told_and_a_control_that_is_away_gets_all_later() {
    let dir = folder("full");
    let shared = process(&dir);
    let mut writer = self::writer(&shared);
    for _ in 0..200 {
        redirect(&shared, &mut writer, VISITOR, 1_000, 0); // more than the ring holds
    }
    let lost = shared.rings.as_ref().unwrap().own()[0].lost();
    assert!(lost > 0);
    let (offer, offers) = offers::channel(1);
    let gatherer = Gatherer::start(&shared, offer).unwrap().unwrap();
    let counts = until("on disk", &shared, |counts| counts.recorded == 200_000);
    assert_eq!((counts.lost.of(LossReason::RingFull), counts.pending), (lost, 200_000 - lost));
    // A control comes, at last.
    let control = control(offers, 0);
    until("acknowledged", &shared, |counts| counts.acknowledged == 200_000 - lost);
    gatherer.stop(LONG);
    let batches = control.join().unwrap();
    let told: u64 = batches.iter().flat_map(|batch| &batch.losses).map(|loss| loss.count).sum();
    assert_eq!((clicks_of(&batches) as u64, told), (200_000 - lost, lost));
    assert!(batches.len() < 30, "they became large: {}", batches.len());
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_stop_puts_on_disk_all_that_is_in_the_rings_however_much() {
    let dir = folder("stop");
    let shared = process(&dir);
    let (offer, offers) = offers::channel(1);
    let gatherer = Gatherer::start(&shared, offer).unwrap().unwrap();
    let mut writer = self::writer(&shared);
    for _ in 0..150 {
        redirect(&shared, &mut writer, VISITOR, 1_000, 0);
    }
    gatherer.stop(Duration::ZERO);
    let counts = until("stopped", &shared, |_| true);
    assert_eq!((counts.recorded, counts.lost.total()), (150_000, 0));
    let ring = shared.rings.as_ref().unwrap().own()[0].ring();
    assert_eq!(ring.taken(), ring.settled());
    drop(offers);
    fs::remove_dir_all(&dir).unwrap();
}

/// A snapshot or control says how domains count; what a killed process left is there before either.
#[test]
fn clicks_of_a_killed_process_wait_until_it_is_known_how_their_domain_counts() {
    let dir = folder("waits");
    let shared = process(&dir);
    let mut writer = self::writer(&shared);
    redirect(&shared, &mut writer, VISITOR, 20, 0);
    drop((writer, shared));
    let mut shared = process(&dir);
    Arc::get_mut(&mut shared).unwrap().domains = Arc::default();
    let (offer, offers) = offers::channel(1);
    let control = control(offers, 0);
    let gatherer = Gatherer::start(&shared, offer).unwrap().unwrap();
    gatherer.stop(Duration::ZERO);
    let counts = until("stopped", &shared, |_| true);
    assert_eq!((counts.recorded, shared.clicks.as_ref().unwrap().complete_until()), (0, NOTHING_KNOWN));
    assert_eq!(clicks_of(&control.join().unwrap()), 0);
    let off = hot::DomainEntry {
        id: DomainId::DEFAULT,
        as_of: 1,
        version: 1,
        told: hot::ReadableRules::All(link::DomainRules {
            stats: link::Stats::Off,
            ..link::DomainRules::default()
        }),
        record: Arc::default(),
    };
    shared.domains.replace(1, vec![off]);
    let (offer, offers) = offers::channel(1);
    let control = self::control(offers, 0);
    let gatherer = Gatherer::start(&shared, offer).unwrap().unwrap();
    let counts = until("counted", &shared, |counts| counts.acknowledged == 20);
    assert_eq!(counts.kinds[Kind::Off as usize], 20);
    gatherer.stop(LONG);
    assert_eq!(clicks_of(&control.join().unwrap()), 0, "none by its link");
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn requests_for_more_unknown_codes_than_one_batch_names_are_all_counted() {
    let dir = folder("unknown");
    let shared = process(&dir);
    let ring = &shared.rings.as_ref().unwrap().all()[0];
    let mut codes = hot::UnknownCodes::default();
    for spelling in ["b%C3%BCcher", "b\u{fc}cher", "bu\u{308}cher", "b%c3%bccher", "%41", "A"] {
        codes.note(DomainId(0), spelling.as_bytes());
    }
    (1..=9_994).for_each(|domain| codes.note(DomainId(domain), b"poster"));
    ring.publish(&mut codes);
    let (offer, offers) = offers::channel(1);
    let control = control(offers, 0);
    let gatherer = Gatherer::start(&shared, offer).unwrap().unwrap();
    let mut writer = self::writer(&shared);
    redirect(&shared, &mut writer, VISITOR, 1, 0); // so that it need not wait for other codes
    until("acknowledged", &shared, |counts| counts.acknowledged == 1);
    gatherer.stop(LONG);
    let batches = control.join().unwrap();
    let all: Vec<_> = batches.iter().flat_map(|batch| &batch.unknown).collect();
    assert_eq!(all.iter().map(|unknown| unknown.count).sum::<u64>(), 10_000);
    let of = |code: &str| {
        let own = all.iter().filter(|unknown| unknown.code.as_deref() == Some(code.as_bytes()));
        own.map(|unknown| unknown.count).collect::<Vec<_>>()
    };
    assert_eq!((of("b\u{fc}cher"), of("%41"), of("A")), (vec![4], vec![1], vec![1]), "as they are looked up");
    fs::remove_dir_all(&dir).unwrap();
}
