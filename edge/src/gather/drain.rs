//! From the workers' rings to chunks for the spool: what each click is, how many there were, and which numbers they have.
//! An address is opened here, looked at and forgotten.

use super::geo::Geo;
use crate::clicks::{ClickLists, Clicks, DayKey, day_of};
use crate::records;
use crate::rings::{Rings, WorkerRing};
use crate::shared::Shared;
use clicks::batch::{AgentText, Batch, Loss, Total, UnknownCode};
use clicks::spool::{ChunkHead, ChunkSize, LossCounts, RingPlace};
use clicks::{
    AgentTexts, CLASSIFIER, Captured, CapturedFlags, Classified, Classifier, Country, Kind, LossReason,
    RingReader, UIDS, visitor,
};
use link::{Code, DomainId};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Clicks of one chunk: with the longest texts it is well below what a batch may take.
const CHUNK_CLICKS: usize = 4_096;
/// Totals of one chunk: there is one for each domain, kind and minute.
const CHUNK_TOTALS: usize = 4_096;
/// Bytes of a click in a ring, for how many there were in a part that cannot be read.
const RECORD_BYTES: u64 = 88;
/// Unknown codes that are named in one chunk; others are counted without a name, for so many domains.
const MAX_CODES: usize = 1_024;
const MAX_CODE_ROWS: usize = 4_096;
/// A chunk without a click is made so seldom, for unknown codes alone.
const CODES_EVERY: Duration = Duration::from_secs(5);
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Clicks that go to disk together.
pub struct Chunk {
    /// Its numbers.
    pub head: ChunkHead,
    /// The batch, encoded.
    pub batch: Vec<u8>,
}

/// See the module.
pub struct Drain {
    rings: Vec<DrainedRing>,
    classifier: Classifier,
    pub geo: Geo,
    domains: hot::View,
    days: Vec<DayKey>,
    open: OpenChunk,
    next_no: u64,
    /// Since this process began.
    pub kinds: [u64; Kind::ALL.len()],
    told: AgentTexts,
    codes_at: Instant,
    /// Requests for unknown codes of domains that the open chunk has no room for.
    later: BTreeMap<(DomainId, i64), u64>,
}

/// The reading end of a worker's ring: in the order of the rings.
struct DrainedRing {
    ring: Arc<WorkerRing>,
    id: u64,
    reader: RingReader,
    lost: u64,
    damaged: u64,
}

/// What the next chunk will be.
#[derive(Default)]
struct OpenChunk {
    clicks: Vec<clicks::Click>,
    totals: HashMap<(DomainId, Kind, i64), u64>,
    losses: BTreeMap<(LossReason, i64), u64>,
    unknown: HashMap<UnknownKey, u64>,
    agents: Vec<AgentText>,
}

/// One code, or all others of the domain, in one hour.
#[derive(Clone, PartialEq, Eq, Hash)]
struct UnknownKey {
    domain: DomainId,
    hour: i64,
    code: Option<Box<[u8]>>,
}

impl Drain {
    /// Goes on where the spool says that it is; `next_no` is the number of the next click.
    pub fn new(shared: &Shared, rings: &Rings, clicks: &Clicks, places: &[RingPlace], next_no: u64) -> Self {
        let ClickLists { classifier, told } = clicks.take_lists();
        let drained = |ring: Arc<WorkerRing>| {
            let mut reader = RingReader::new(ring.ring());
            let place = places.iter().find(|place| place.ring == ring.id());
            if let Some(place) = place {
                reader.seek(place.position);
            }
            let lost = place.map_or(0, |place| place.lost);
            DrainedRing { id: ring.id(), ring, reader, lost, damaged: 0 }
        };
        Self {
            rings: rings.all().into_iter().map(drained).collect(),
            classifier,
            geo: Geo::new(clicks.config.geo.clone()),
            domains: hot::View::new(Arc::clone(&shared.domains)),
            days: Vec::new(),
            open: OpenChunk::default(),
            next_no,
            kinds: [0; Kind::ALL.len()],
            told,
            codes_at: Instant::now(),
            later: BTreeMap::new(),
        }
    }

    /// How many numbers the open chunk takes.
    pub fn open_recorded(&self) -> u64 {
        self.open.recorded()
    }

    /// Of the numbers of the open chunk, those that are lost.
    pub fn open_lost(&self) -> LossCounts {
        self.open.lost()
    }

    /// Numbers begin anew: another spool goes on.
    pub fn renumber(&mut self, next_no: u64) {
        self.next_no = next_no;
    }

    /// Whether the open chunk has something that should go to disk.
    pub fn is_due(&self) -> bool {
        let codes = !self.open.unknown.is_empty() && self.codes_at.elapsed() >= CODES_EVERY;
        self.open.recorded() > 0 || codes || !self.later.is_empty()
    }

    /// Whether nothing can be taken yet: how clicks of a domain count is not known before there is a table of domains. A process
    /// before may have left some of one that wants no statistics.
    pub fn waits(&self) -> bool {
        !self.domains.is_known()
    }

    /// Whether nothing was taken that is not in a chunk.
    pub fn is_empty(&self) -> bool {
        self.open.recorded() == 0 && self.open.unknown.is_empty() && self.later.is_empty()
    }

    /// Takes what the workers have settled, until the chunk is full: `false`, if there may be more. `now`: Unix milliseconds.
    pub fn take(&mut self, rings: &Rings, clicks: &Clicks, now: i64) -> bool {
        self.look_around(clicks, now);
        for at in 0..self.rings.len() {
            let ring = Arc::clone(&self.rings[at].ring);
            if !self.take_ring(at, &ring, rings, clicks) {
                return false;
            }
            self.take_losses(at, &ring, now);
            self.take_unknown(&ring, now);
        }
        true
    }

    /// Lets go of rings whose process has ended and of which everything is on disk.
    pub fn let_go(&mut self, rings: &Rings) {
        self.rings.retain(|own| {
            let is_over = !rings.own().iter().any(|ring| Arc::ptr_eq(ring, &own.ring))
                && own.ring.is_left()
                && own.ring.is_drained();
            if is_over {
                rings.forget(&own.ring);
            }
            !is_over
        });
    }

    /// What is asked anew now and then: how domains count, the keys of days, countries.
    fn look_around(&mut self, clicks: &Clicks, now: i64) {
        self.geo.tick();
        self.days = clicks.days.held(now);
        self.domains.refresh();
    }

    /// `false`: the chunk is full.
    fn take_ring(&mut self, at: usize, ring: &WorkerRing, rings: &Rings, clicks: &Clicks) -> bool {
        while self.open.clicks.len() < CHUNK_CLICKS && self.open.totals.len() < CHUNK_TOTALS {
            let own = &mut self.rings[at];
            let (here, start) = (own.reader.position(), ring.start());
            match own.reader.next(ring.ring()) {
                None => return true,
                Some(click) => {
                    let address = (here >= start && click.flags.has(CapturedFlags::ADDRESS))
                        .then(|| rings.address(click.address));
                    self.count(at, click, address, clicks);
                }
            }
        }
        false
    }

    /// Counts a click of the ring at this place.
    fn count(&mut self, at: usize, mut click: Captured, address: Option<[u8; 16]>, clicks: &Clicks) {
        if click.flags.has(CapturedFlags::LOST) {
            return self.open.lose(LossReason::RingFull, click.at, 1);
        }
        if click.flags.has(CapturedFlags::VOID) {
            return; // the kernel did not take its answer
        }
        if !UIDS.contains(&click.uid) {
            // Control refuses a batch with such a click, and with it everything behind.
            self.open.lose(LossReason::Damaged, click.at, 1);
            return;
        }
        if let Some(address) = address {
            let address = IpAddr::V6(Ipv6Addr::from(address)).to_canonical();
            if clicks.config.ignore.iter().any(|network| network.contains(address)) {
                click.flags |= CapturedFlags::IGNORED;
            }
        }
        click.address = [0; 16];
        let stats = self.domains.stats(click.domain);
        let address = address.filter(|_| !click.flags.has(CapturedFlags::PRIVATE));
        let country = address.map_or(Country::default(), |address| self.geo.country(address));
        let (days, texts) = (&self.days, &self.rings[at].reader);
        let who = |agent: u64| {
            let day = day_of(click.at).and_then(|day| days.iter().find(|key| key.day == day));
            day.zip(address)
                .map_or(0, |(day, address)| visitor(&day.key, click.domain, address, &agent.to_le_bytes()))
        };
        let classifier = &mut self.classifier;
        match records::guarded(|| classifier.click(&click, texts, who, country, stats)) {
            Some(Classified::Click(counted)) => {
                self.kinds[counted.kind as usize] += 1;
                if let Some(text) = texts.text(click.agent)
                    && self.told.is_due(counted.agent, counted.at)
                {
                    let text = String::from_utf8_lossy(text).into_owned();
                    self.open.agents.push(AgentText { hash: counted.agent, text });
                }
                self.open.clicks.push(counted);
            }
            Some(Classified::Total { domain, kind }) => {
                self.kinds[kind as usize] += 1;
                let minute = click.at.div_euclid(MINUTE_MS);
                *self.open.totals.entry((domain, kind, minute)).or_default() += 1;
            }
            None => {
                // The panic is on stderr. Every other click goes on being counted.
                self.classifier = Classifier::new();
                self.open.lose(LossReason::Damaged, click.at, 1);
            }
        }
    }

    /// What the ring had no room for, and what of it is no record.
    fn take_losses(&mut self, at: usize, ring: &WorkerRing, now: i64) {
        let own = &mut self.rings[at];
        let lost = ring.lost().saturating_sub(own.lost);
        own.lost += lost;
        let damaged = own.reader.damaged().saturating_sub(own.damaged);
        own.damaged += damaged;
        self.open.lose(LossReason::RingFull, now, lost);
        self.open.lose(LossReason::Damaged, now, damaged.div_ceil(RECORD_BYTES));
    }

    fn take_unknown(&mut self, ring: &WorkerRing, now: i64) {
        for note in ring.take_unknown() {
            let (domain, hour) = (note.domain, now.div_euclid(HOUR_MS));
            let mut buffer = [0; Code::MAX_LEN];
            // One code, however it was spelled: as it is looked up.
            let code = note.code.map(|asked| match self.domains.site(domain).code(&asked, &mut buffer) {
                Some(code) => code.into(),
                None => asked,
            });
            let mut key = UnknownKey { domain, hour, code };
            if self.open.unknown.len() >= MAX_CODES && !self.open.unknown.contains_key(&key) {
                key.code = None;
            }
            if self.open.unknown.len() >= MAX_CODE_ROWS && !self.open.unknown.contains_key(&key) {
                *self.later.entry((domain, hour)).or_default() += note.count;
                continue;
            }
            *self.open.unknown.entry(key).or_default() += note.count;
        }
    }

    /// What the chunk before had no room for.
    fn take_later(&mut self) {
        while self.open.unknown.len() < MAX_CODE_ROWS
            && let Some(((domain, hour), count)) = self.later.pop_first()
        {
            self.open.unknown.insert(UnknownKey { domain, hour, code: None }, count);
        }
    }

    /// Ends the open chunk: its clicks have their numbers. `until`: see [`ChunkHead::until`].
    pub fn end_chunk(&mut self, until: i64) -> Chunk {
        if !self.open.unknown.is_empty() {
            self.codes_at = Instant::now();
        }
        let open = std::mem::take(&mut self.open);
        let lost = open.lost();
        let batch = open.into_batch(self.next_no);
        let (first_no, last_no) = (batch.first_no, batch.last_no());
        let notes = batch.totals.len() + batch.losses.len() + batch.unknown.len() + batch.agents.len();
        let size = ChunkSize {
            bytes: u32::try_from(batch.size()).unwrap_or(u32::MAX),
            notes: u32::try_from(notes).unwrap_or(u32::MAX),
        };
        self.next_no = last_no + 1;
        self.take_later();
        let places = self.places();
        let head =
            ChunkHead { first_no, last_no, lost, replaced: LossCounts::default(), until, size, places };
        Chunk { head, batch: clicks::batch::encode(&batch) }
    }

    /// Up to where the rings were read.
    pub fn places(&self) -> Vec<RingPlace> {
        self.rings.iter().map(DrainedRing::place).collect()
    }

    /// Everything before these places is on disk: the workers may have the room.
    pub fn release(&self, places: &[RingPlace]) {
        for own in &self.rings {
            if let Some(place) = places.iter().find(|place| place.ring == own.id) {
                own.reader.release(own.ring.ring(), place.position);
            }
        }
    }
}

impl DrainedRing {
    fn place(&self) -> RingPlace {
        RingPlace { ring: self.id, position: self.reader.position(), lost: self.lost }
    }
}

impl OpenChunk {
    fn lose(&mut self, reason: LossReason, at: i64, count: u64) {
        if count > 0 {
            *self.losses.entry((reason, at.div_euclid(MINUTE_MS))).or_default() += count;
        }
    }

    fn lost(&self) -> LossCounts {
        let mut lost = LossCounts::default();
        self.losses.iter().for_each(|((reason, _), count)| lost.note(*reason, *count));
        lost
    }

    /// How many numbers it takes.
    fn recorded(&self) -> u64 {
        self.clicks.len() as u64 + self.totals.values().sum::<u64>() + self.losses.values().sum::<u64>()
    }

    fn into_batch(self, first_no: u64) -> Batch {
        let totals = self.totals.into_iter();
        let totals = totals.map(|((domain, kind, minute), count)| Total { domain, kind, minute, count });
        let losses = self.losses.into_iter();
        let losses = losses.map(|((reason, minute), count)| Loss { reason, minute, count });
        let unknown = self.unknown.into_iter();
        let unknown = unknown.map(|(UnknownKey { domain, hour, code }, count)| UnknownCode {
            domain,
            hour,
            code,
            count,
        });
        Batch {
            first_no,
            classifier: CLASSIFIER,
            clicks: self.clicks,
            totals: totals.collect(),
            losses: losses.collect(),
            unknown: unknown.collect(),
            agents: self.agents,
        }
    }
}
