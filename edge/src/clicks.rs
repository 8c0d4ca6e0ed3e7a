//! Clicks: settings, counts, and what the thread that gathers them shares with the one that talks to control. They are
//! gathered in `gather`; the rings that they come from are in `rings`.

use bytes::Bytes;
use clicks::spool::LossCounts;
use clicks::{AgentTexts, Classifier, Kind, LossReason};
use exposition::Network;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

/// How clicks are counted.
#[derive(Clone, Debug)]
pub struct ClicksConfig {
    /// Where rings and spool are: a folder of this edge alone.
    pub dir: PathBuf,
    /// Bytes that the spool may take. Beyond it the oldest clicks go, those that control has first.
    pub spool_bytes: u64,
    /// A database of countries (MMDB), read again when it changes.
    pub geo: Option<PathBuf>,
    /// Clicks from there are counted as ignored, and nothing else is kept of them.
    pub ignore: Vec<Network>,
}

/// Everything about clicks that threads share.
pub struct Clicks {
    /// How they are counted.
    pub config: ClicksConfig,
    /// The keys by which visitors are told apart.
    pub days: DayKeys,
    counts: Mutex<ClickCounts>,
    complete_until: AtomicI64,
    owes: AtomicBool,
    gathers: AtomicBool,
    lists: Mutex<Option<ClickLists>>,
}

/// What clicks are told apart by. Making it takes some hundredths of a second of a core.
#[derive(Default)]
pub struct ClickLists {
    pub classifier: Classifier,
    pub told: AgentTexts,
}

/// What the gathering thread counted, all at one moment.
#[derive(Clone, Debug, Default)]
pub struct ClickCounts {
    /// Since this process began.
    pub kinds: [u64; Kind::ALL.len()],
    /// Those in the spools that were there at the start included, as in the next three.
    pub recorded: u64,
    pub acknowledged: u64,
    pub lost: LossCounts,
    pub pending: u64,
    /// Bytes that the spool takes.
    pub spool_bytes: u64,
    /// Of those, what is in files with clicks that control lacks.
    pub spool_owed_bytes: u64,
    /// Times that it could not be written or read.
    pub spool_failures: u64,
    /// Batches that control refused.
    pub refused: u64,
    /// Whether there is a database of countries in use.
    pub geo_in_use: bool,
    /// Times that its file could not be used.
    pub geo_failures: u64,
}

/// The time up to which clicks are complete as long as nothing is known of them: long ago, and not 0, which says that none are
/// counted.
pub const NOTHING_KNOWN: i64 = 1;

impl Clicks {
    pub fn new(config: ClicksConfig) -> Self {
        Self {
            config,
            days: DayKeys::default(),
            counts: Mutex::default(),
            complete_until: AtomicI64::new(NOTHING_KNOWN),
            owes: AtomicBool::new(true),
            gathers: AtomicBool::new(false),
            lists: Mutex::default(),
        }
    }

    /// Makes the lists now: whoever gathers clicks does not need the core for that at the moment when it begins.
    pub fn prepare(&self) {
        *self.lists.lock().unwrap_or_else(PoisonError::into_inner) = Some(ClickLists::default());
    }

    /// The lists, for whoever gathers clicks.
    pub fn take_lists(&self) -> ClickLists {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    /// Whether this process gathers clicks. Before it has taken over, and behind that, another one does, and speaks of them.
    pub fn gathers(&self) -> bool {
        self.gathers.load(Ordering::Acquire)
    }

    /// From now on this process gathers clicks, or does not.
    pub fn gather(&self, gathers: bool) {
        self.gathers.store(gathers, Ordering::Release);
    }

    /// What was counted so far.
    pub fn counts(&self) -> ClickCounts {
        self.lock().clone()
    }

    /// Replaces them.
    pub fn publish(&self, counts: &ClickCounts) {
        self.lock().clone_from(counts);
    }

    /// Every click answered before (Unix milliseconds) is acknowledged by control, or told as lost.
    pub fn complete_until(&self) -> i64 {
        self.complete_until.load(Ordering::Acquire)
    }

    /// The same, from the thread that knows. `owes`: control lacks some. `now`: by the clock that says `until`. It may be set
    /// back: what lies ahead of it was said by another clock, and holds no longer.
    pub fn is_complete_until(&self, until: i64, owes: bool, now: i64) {
        let said = [self.complete_until.load(Ordering::Acquire), until];
        let latest = said.into_iter().filter(|until| *until <= now).max().unwrap_or_default();
        self.complete_until.store(latest.max(NOTHING_KNOWN), Ordering::Release);
        self.owes.store(owes, Ordering::Release);
    }

    /// Whether there are clicks that control lacks.
    pub fn owes(&self) -> bool {
        self.owes.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, ClickCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClickCounts {
    /// Lost for this reason.
    pub fn lost_for(&self, reason: LossReason) -> u64 {
        self.lost.of(reason)
    }
}

/// A batch for control.
pub struct ClickOffer {
    pub spool: u64,
    pub seq: u64,
    pub first_no: u64,
    pub last_no: u64,
    /// Those that control lacks before it are not here any more.
    pub first: bool,
    pub batch: Bytes,
    /// Where the answer goes.
    pub answer: AnswerWay,
}

/// Which of the batches that were ever sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentId {
    pub spool: u64,
    pub seq: u64,
}

/// The way back of one answer. It says to which batch it is one: that may have been given up meanwhile, and another be sent.
pub struct AnswerWay {
    pub to: mpsc::Sender<GatherMessage>,
    pub sent: SentId,
}

impl AnswerWay {
    /// Whoever has sent the batch may be gone.
    pub fn send(self, said: ControlAnswer) {
        let _ = self.to.send(GatherMessage::Answer { sent: self.sent, said });
    }
}

/// What control says to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlAnswer {
    /// It has everything up to `acked`, whose last click has the number `last_no` (0: it does not say), and wants `want` next
    /// (0: what follows).
    Told { acked: u64, want: u64, last_no: u64 },
    /// It will not take this batch.
    Refused(String),
    /// It could not be asked, or did not answer.
    Unanswered,
}

/// What the gathering thread is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatherMessage {
    /// It is this process that gathers from now on.
    Begin,
    /// An answer to this batch.
    Answer { sent: SentId, said: ControlAnswer },
    /// No worker answers anybody any more: everything that is left goes to disk, and as much as can be to control within
    /// this time.
    Stop(std::time::Duration),
}

/// The key of one day (UTC).
#[derive(Clone, PartialEq, Eq)]
pub struct DayKey {
    /// Since 1970.
    pub day: u32,
    /// Never written, sent or shown.
    pub key: [u8; 32],
}

/// The keys that control sent, in memory alone.
#[derive(Default)]
pub struct DayKeys(Mutex<Vec<DayKey>>);

/// Keys that are held: of yesterday, today and tomorrow, and one to spare.
const MOST_KEYS: usize = 4;
const DAY_MS: i64 = 86_400_000;
/// A key is forgotten so long after its day.
const KEPT_MS: i64 = 3_600_000;

impl DayKeys {
    /// A key came. One of the same day is replaced: control has begun that day anew. `false`: it is none.
    pub fn put(&self, day: u32, key: &[u8]) -> bool {
        let Ok(key) = <[u8; 32]>::try_from(key) else { return false };
        let mut keys = self.lock();
        keys.retain(|own| own.day != day);
        keys.push(DayKey { day, key });
        if keys.len() > MOST_KEYS {
            keys.remove(0);
        }
        true
    }

    /// Those of days that are not long over at `now` (Unix milliseconds). The others are forgotten.
    pub fn held(&self, now: i64) -> Vec<DayKey> {
        let mut keys = self.lock();
        keys.retain(|own| now < (i64::from(own.day) + 1) * DAY_MS + KEPT_MS);
        keys.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<DayKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The day (UTC, since 1970) of a moment in Unix milliseconds; `None`: before 1970 or far beyond.
pub fn day_of(at: i64) -> Option<u32> {
    u32::try_from(at.div_euclid(DAY_MS)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_gone_an_hour_after_its_day_and_a_new_one_of_a_day_replaces_it() {
        let keys = DayKeys::default();
        assert!(!keys.put(1, &[1; 31]));
        for (day, key) in [(10, [1; 32]), (11, [2; 32]), (10, [3; 32])] {
            assert!(keys.put(day, &key));
        }
        let held = |now| keys.held(now).into_iter().map(|key| (key.day, key.key[0])).collect::<Vec<_>>();
        assert_eq!(held(11 * DAY_MS), [(11, 2), (10, 3)]);
        assert_eq!(held(11 * DAY_MS + KEPT_MS - 1), [(11, 2), (10, 3)]);
        assert_eq!(held(11 * DAY_MS + KEPT_MS), [(11, 2)]);
        assert_eq!(held(11 * DAY_MS), [(11, 2)], "it does not come back");
        (20..40).for_each(|day| assert!(keys.put(day, &[9; 32])));
        assert_eq!(keys.held(0).len(), MOST_KEYS);
    }

    #[test]
    fn a_clock_that_is_set_back_takes_back_what_was_said_to_be_complete() {
        let dir = PathBuf::from("unused");
        let clicks = Clicks::new(ClicksConfig { dir, spool_bytes: 1, geo: None, ignore: Vec::new() });
        let say = |until, now| {
            clicks.is_complete_until(until, true, now);
            clicks.complete_until()
        };
        assert_eq!([say(90, 100), say(80, 100), say(95, 110)], [90, 90, 95]);
        assert_eq!([say(1_000, 1_001), say(60, 70)], [1_000, 60], "it was an hour ahead, say");
        assert_eq!(say(1_000, 71), 60, "a batch that is told of by the clock that was wrong");
        assert_eq!([say(1_000, 50), say(45, 51)], [NOTHING_KNOWN, 45]);
    }

    #[test]
    fn days_begin_at_midnight_utc() {
        assert_eq!(
            [day_of(-1), day_of(0), day_of(DAY_MS - 1), day_of(DAY_MS)],
            [None, Some(0), Some(0), Some(1)]
        );
    }
}
