//! A batch of clicks as an edge sends it and a store keeps it, with its running numbers: what is in it, and its bounds.

mod columns;
mod decode;
mod encode;

pub use decode::{BatchHead, decode, head};
pub use encode::encode;

use crate::{Click, Kind, LossReason};
use link::DomainId;

/// Clicks of one batch.
pub const MAX_CLICKS: usize = 65_536;
/// Of totals, losses, unknown codes and texts of agents, so many each in one batch.
pub const MAX_NOTES: usize = 16_384;
/// Bytes of a text or a code in a batch. A longer text is cut by the writer.
pub const MAX_TEXT: usize = 512;
/// What one total, loss or count of an unknown code may say.
pub const MAX_COUNT: u64 = 1 << 40;
/// Bytes of a batch once its columns are decompressed. Encoded it is never longer than that and a few bytes a column.
pub const MAX_DECODED: usize = 4 << 20;
/// No running number of a spool is beyond it: enough for a million clicks a second for 2,000 years, and no sum of numbers
/// overflows.
pub const MAX_NO: u64 = 1 << 56;

/// What an edge recorded for a while. The running numbers of a spool go through its batches without a hole: each click, each
/// of a total and each lost one has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The running number of the first click, from 1 on.
    pub first_no: u64,
    /// The version of the classifier that put the clicks into their kinds.
    pub classifier: u16,
    /// The clicks in the order in which they were recorded.
    pub clicks: Vec<Click>,
    /// Clicks of which only the number is kept.
    pub totals: Vec<Total>,
    /// Clicks that were recorded and are in no count.
    pub losses: Vec<Loss>,
    /// Requests for codes that there are not. They have no running numbers.
    pub unknown: Vec<UnknownCode>,
    /// The texts of agents whose hashes are in clicks of this batch, or of one soon before or after it.
    pub agents: Vec<AgentText>,
}

/// Clicks of one domain, kind and minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// The domain of the links.
    pub domain: DomainId,
    /// One that [is kept as a total](Kind::is_total).
    pub kind: Kind,
    /// Unix time in minutes.
    pub minute: i64,
    /// How many, at most [`MAX_COUNT`].
    pub count: u64,
}

/// Lost clicks of one reason and minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Why.
    pub reason: LossReason,
    /// Unix time in minutes.
    pub minute: i64,
    /// How many, at most [`MAX_COUNT`].
    pub count: u64,
}

/// Requests for one code that there is not, or for all such codes of a domain that are not named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCode {
    /// The domain that was asked.
    pub domain: DomainId,
    /// Unix time in hours.
    pub hour: i64,
    /// The code as it was asked for, at most [`MAX_TEXT`] bytes; `None`: any that is not named in this hour.
    pub code: Option<Box<[u8]>>,
    /// How many, at most [`MAX_COUNT`].
    pub count: u64,
}

/// The text of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentText {
    /// Its [hash](crate::hash), which stands for it in clicks.
    pub hash: u64,
    /// The text, at most [`MAX_TEXT`] bytes.
    pub text: String,
}

/// Why bytes are no batch, or why batches cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchFault {
    /// A newer edge made it: update control first.
    TooNew,
    /// No edge that keeps to the protocol makes it.
    Malformed(&'static str),
    /// Batches of different classifiers or spools, or with numbers missing between them, are not joined.
    Apart,
    /// It holds more than one of the bounds of this module allows.
    TooLarge,
}

impl std::fmt::Display for BatchFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooNew => f.write_str("the batch has a newer layout: update control before its edges"),
            Self::Malformed(what) => write!(f, "the batch is malformed: {what}"),
            Self::Apart => {
                f.write_str("the batches do not follow each other: join those of one spool in order")
            }
            Self::TooLarge => f.write_str("the batch is too large: send it in parts"),
        }
    }
}

impl std::error::Error for BatchFault {}

impl Batch {
    /// One that holds nothing yet.
    pub fn new(first_no: u64, classifier: u16) -> Self {
        Self {
            first_no,
            classifier,
            clicks: Vec::new(),
            totals: Vec::new(),
            losses: Vec::new(),
            unknown: Vec::new(),
            agents: Vec::new(),
        }
    }

    /// How many running numbers it holds: its clicks, totals and losses.
    pub fn recorded(&self) -> u64 {
        let totals = self.totals.iter().map(|total| total.count);
        let losses = self.losses.iter().map(|loss| loss.count);
        totals.chain(losses).fold(self.clicks.len() as u64, u64::saturating_add)
    }

    /// The running number of its last click; `first_no - 1` if it holds none.
    pub fn last_no(&self) -> u64 {
        self.first_no.saturating_add(self.recorded()).saturating_sub(1)
    }

    /// Whether nothing is in it that has to be sent.
    pub fn is_empty(&self) -> bool {
        self.recorded() == 0 && self.unknown.is_empty() && self.agents.is_empty()
    }

    /// At most so many bytes does it take once decoded. Whoever fills a batch ends it well before [`MAX_DECODED`], and
    /// before [`MAX_CLICKS`] and [`MAX_NOTES`]: see [`fits`](Self::fits).
    pub fn size(&self) -> usize {
        let text = |text: &str| text.len().min(MAX_TEXT);
        let clicks: usize = self
            .clicks
            .iter()
            .map(|click| CLICK_BYTES + text(&click.browser) + text(&click.os) + text(&click.referrer))
            .sum();
        let codes = self.unknown.iter().map(|unknown| unknown.code.as_deref().map_or(0, <[u8]>::len));
        let agents = self.agents.iter().map(|agent| text(&agent.text));
        let notes = self.totals.len() + self.losses.len() + self.unknown.len() + self.agents.len();
        clicks + codes.sum::<usize>() + agents.sum::<usize>() + notes * NOTE_BYTES + HEAD_BYTES
    }

    /// Whether [`decode`] will take what [`encode`] makes of it. An edge checks it before a batch gets a seq, since
    /// nobody can take one that does not fit.
    pub fn fits(&self) -> bool {
        let notes = [self.totals.len(), self.losses.len(), self.unknown.len(), self.agents.len()];
        let counts =
            self.totals.iter().map(|total| total.count).chain(self.losses.iter().map(|loss| loss.count));
        let mut counts = counts.chain(self.unknown.iter().map(|unknown| unknown.count));
        self.clicks.len() <= MAX_CLICKS
            && notes.iter().all(|notes| *notes <= MAX_NOTES)
            && counts.all(|count| count <= MAX_COUNT)
            && self.last_no() <= MAX_NO
            && self.size() <= MAX_DECODED
    }
}

/// At most so many bytes of a click are in columns, without texts: the entries that it may add to dictionaries and what
/// names them.
const CLICK_BYTES: usize = 88;
/// The same of a total, a loss, an unknown code or an agent's text.
const NOTE_BYTES: usize = 40;
/// The same of the batch itself.
const HEAD_BYTES: usize = 512;

/// The batches of one spool, which follow each other, as one.
///
/// # Errors
/// [`BatchFault::Apart`] if one does not begin where the one before it ends, or has another classifier;
/// [`BatchFault::TooLarge`] if together they do not fit.
pub fn join(batches: &[Batch]) -> Result<Batch, BatchFault> {
    let Some((first, rest)) = batches.split_first() else { return Err(BatchFault::Apart) };
    let mut whole = first.clone();
    for batch in rest {
        if batch.first_no != whole.last_no() + 1 || batch.classifier != whole.classifier {
            return Err(BatchFault::Apart);
        }
        whole.clicks.extend_from_slice(&batch.clicks);
        whole.totals.extend_from_slice(&batch.totals);
        whole.losses.extend_from_slice(&batch.losses);
        whole.unknown.extend_from_slice(&batch.unknown);
        whole.agents.extend_from_slice(&batch.agents);
    }
    compact(&mut whole);
    if whole.fits() { Ok(whole) } else { Err(BatchFault::TooLarge) }
}

/// Adds up what batches of a second each say of one minute or hour, and keeps each text of an agent once.
fn compact(batch: &mut Batch) {
    batch.totals.sort_by_key(|total| (total.minute, total.domain, total.kind));
    batch.totals.dedup_by(|next, kept| {
        let same = (next.minute, next.domain, next.kind) == (kept.minute, kept.domain, kept.kind);
        same && add(&mut kept.count, next.count)
    });
    batch.losses.sort_by_key(|loss| (loss.minute, loss.reason));
    batch.losses.dedup_by(|next, kept| {
        (next.minute, next.reason) == (kept.minute, kept.reason) && add(&mut kept.count, next.count)
    });
    batch.unknown.sort_by(|a, b| (a.hour, a.domain, &a.code).cmp(&(b.hour, b.domain, &b.code)));
    batch.unknown.dedup_by(|next, kept| {
        let same = (next.hour, next.domain, &next.code) == (kept.hour, kept.domain, &kept.code);
        same && add(&mut kept.count, next.count)
    });
    batch.agents.sort_by(|a, b| (a.hash, &a.text).cmp(&(b.hash, &b.text)));
    batch.agents.dedup();
}

/// Whether the sum is one that a single count may say; then it is in `kept`.
fn add(kept: &mut u64, more: u64) -> bool {
    let sum = kept.saturating_add(more);
    let fits = sum <= MAX_COUNT;
    if fits {
        *kept = sum;
    }
    fits
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::varint::put;
    use crate::{Country, Device, Language};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn texts() -> impl Strategy<Value = Arc<str>> {
        const KNOWN: [&str; 7] =
            ["", "Chrome", "Firefox", "Windows 10", "google.com", "other", "www.example.org"];
        prop_oneof![9 => prop::sample::select(&KNOWN[..]).prop_map(Arc::from), 1 => ".{0,80}".prop_map(Arc::from)]
    }

    fn letters(first: u8) -> impl Strategy<Value = [u8; 2]> {
        prop_oneof![1 => Just([0; 2]), 4 => (0u8..26, 0u8..3).prop_map(move |(a, b)| [first + a, first + b])]
    }

    /// Any click, with values that repeat.
    pub fn any_click() -> impl Strategy<Value = Click> {
        let small_or_any = || prop_oneof![3 => 1_700_000_000_000i64..1_700_000_100_000, 1 => any::<i64>()];
        let link = (0u32..3, prop_oneof![3 => 1u64..50, 1 => any::<u64>()], 0u64..3);
        let client = (texts(), texts(), 0usize..4, prop_oneof![3 => 0u64..5, 1 => any::<u64>()]);
        let place = (letters(b'A'), letters(b'a'), texts());
        let visitor = prop_oneof![1 => Just(0), 2 => 1u64..9, 2 => any::<u64>()];
        (small_or_any(), link, 0usize..6, place, client, visitor).prop_map(
            |(
                at,
                (domain, uid, later),
                kind,
                (country, language, referrer),
                (browser, os, device, agent),
                visitor,
            )| Click {
                at,
                domain: DomainId(domain),
                uid,
                version: uid.wrapping_add(later),
                kind: Kind::ALL[kind],
                country: Country(country),
                browser,
                os,
                device: Device::ALL[device],
                referrer,
                language: Language(language),
                visitor,
                agent,
            },
        )
    }

    fn any_batch(most: usize) -> impl Strategy<Value = Batch> {
        let count = || prop_oneof![0u64..5, 0u64..=MAX_COUNT];
        let minute = || prop_oneof![3 => 28_333_333i64..28_333_399, 1 => any::<i64>()];
        let total = (0u32..3, 6usize..8, minute(), count()).prop_map(|(domain, kind, minute, count)| Total {
            domain: DomainId(domain),
            kind: Kind::ALL[kind],
            minute,
            count,
        });
        let loss = (0usize..4, minute(), count()).prop_map(|(reason, minute, count)| Loss {
            reason: LossReason::ALL[reason],
            minute,
            count,
        });
        let code = prop::option::of(vec(any::<u8>(), 0..20).prop_map(Into::into));
        let unknown = (0u32..3, minute(), code, count()).prop_map(|(domain, hour, code, count)| {
            UnknownCode { domain: DomainId(domain), hour, code, count }
        });
        let agent = (any::<u64>(), ".{0,90}").prop_map(|(hash, text)| AgentText { hash, text });
        let notes = (vec(total, 0..4), vec(loss, 0..4), vec(unknown, 0..4), vec(agent, 0..4));
        (1u64..1 << 50, any::<u16>(), vec(any_click(), 0..most), notes).prop_map(
            |(first_no, classifier, clicks, (totals, losses, unknown, agents))| Batch {
                first_no,
                classifier,
                clicks,
                totals,
                losses,
                unknown,
                agents,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

        #[test]
        fn a_batch_comes_back(batch in any_batch(300)) {
            prop_assert!(batch.fits());
            let begins = BatchHead { first_no: batch.first_no, classifier: batch.classifier, clicks: batch.clicks.len() };
            prop_assert_eq!(head(&encode(&batch)), Ok(begins));
            prop_assert_eq!(decode(&encode(&batch)), Ok(batch));
        }

        #[test]
        fn what_is_changed_on_the_way_does_no_harm(batch in any_batch(90), at: usize, with: u8, cut: usize) {
            let mut bytes = encode(&batch);
            let whole = bytes.len();
            prop_assert!(decode(&bytes[..cut % whole]).is_err(), "a part is no batch");
            bytes[at % whole] ^= with;
            if let Ok(other) = decode(&bytes) {
                prop_assert_eq!(decode(&encode(&other)), Ok(other));
            }
        }

        #[test]
        fn no_bytes_do_harm(mut bytes in vec(any::<u8>(), 0..200)) {
            if let Some(first) = bytes.first_mut() {
                *first = encode::LAYOUT;
            }
            let _ = decode(&bytes);
        }

        #[test]
        fn joined_ones_hold_what_each_held(mut batches in vec(any_batch(40), 1..5)) {
            for at in 1..batches.len() {
                batches[at].first_no = batches[at - 1].last_no() + 1;
                batches[at].classifier = batches[0].classifier;
            }
            let whole = join(&batches).unwrap();
            let recorded: u64 = batches.iter().map(Batch::recorded).sum();
            prop_assert_eq!((whole.first_no, whole.recorded()), (batches[0].first_no, recorded));
            prop_assert_eq!(whole.last_no(), batches.last().unwrap().last_no());
            prop_assert_eq!(&whole.clicks, &batches.iter().flat_map(|batch| batch.clicks.clone()).collect::<Vec<_>>());
            let unknown = |batch: &Batch| batch.unknown.iter().map(|asked| asked.count).sum::<u64>();
            prop_assert_eq!(unknown(&whole), batches.iter().map(unknown).sum::<u64>());
            let mut numbers: Vec<_> = whole.totals.iter().map(|one| (one.minute, one.domain, one.kind)).collect();
            numbers.dedup();
            prop_assert!(numbers.len() == whole.totals.len() || whole.totals.iter().any(|one| one.count > MAX_COUNT / 2));
            batches[0].first_no += 1;
            prop_assert!(batches.len() == 1 || join(&batches) == Err(BatchFault::Apart));
        }
    }

    fn click() -> Click {
        Click {
            at: 1_700_000_000_123,
            domain: DomainId(3),
            uid: 1_000,
            version: 1_002,
            kind: Kind::Human,
            country: Country(*b"DE"),
            browser: "Firefox".into(),
            os: "Windows 10".into(),
            device: Device::Desktop,
            referrer: "google.com".into(),
            language: Language(*b"de"),
            visitor: 0x0123_4567_89ab_cdef,
            agent: 0xfeed,
        }
    }

    fn sample() -> Batch {
        Batch {
            clicks: vec![
                click(),
                Click { at: 1_700_000_000_125, kind: Kind::Repeat, ..click() },
                Click {
                    at: 1_700_000_000_124,
                    domain: DomainId(0),
                    uid: 7,
                    version: 7,
                    kind: Kind::Bot,
                    country: Country::default(),
                    browser: "".into(),
                    os: "".into(),
                    device: Device::Unknown,
                    referrer: "".into(),
                    language: Language::default(),
                    visitor: 0,
                    agent: 0,
                },
            ],
            totals: vec![Total { domain: DomainId(3), kind: Kind::Off, minute: 28_333_333, count: 300 }],
            losses: vec![Loss { reason: LossReason::RingFull, minute: 28_333_334, count: 2 }],
            unknown: vec![
                UnknownCode { domain: DomainId(0), hour: 472_222, code: Some((*b"nope").into()), count: 9 },
                UnknownCode { domain: DomainId(0), hour: 472_222, code: None, count: 1 },
            ],
            agents: vec![AgentText { hash: 0xfeed, text: "Mozilla/5.0 (X; Y)".into() }],
            ..Batch::new(41, 2)
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_bytes_of_a_batch() {
        let batch = sample();
        assert_eq!((batch.recorded(), batch.last_no()), (305, 345));
        assert_eq!(
            hex(&encode(&batch)),
            "0129020310f6a1abfef9620401020400030607e80704000406010100060001020208444500000600000102086465000006000001040800070a0a3646697265666f7857696e646f7773203130676f6f676c652e636f6d0220edfe00000000000000000000000000000401000402000401000600000102040300060000010601020010efcdab896745230101100307aad4821bac02010c00acd4821b02021c00bcd23909056e6f706500000100010212244d6f7a696c6c612f352e302028583b20592910edfe000000000000"
        );
    }

    #[test]
    fn what_goes_beyond_a_bound_is_refused() {
        let head = |clicks: u64| {
            let mut bytes = vec![encode::LAYOUT];
            [1, 0, clicks].into_iter().for_each(|number| put(&mut bytes, number));
            bytes
        };
        let mut bomb = head(1);
        put(&mut bomb, (MAX_DECODED as u64 + 1) * 2 + 1);
        assert_eq!(decode(&bomb), Err(BatchFault::TooLarge));
        assert_eq!(decode(&head(MAX_CLICKS as u64 + 1)), Err(BatchFault::TooLarge));
        assert_eq!(decode(&[encode::LAYOUT + 1]), Err(BatchFault::TooNew));
        assert_eq!(decode(&[]), Err(BatchFault::Malformed("its end is missing")));
        let many = |totals| Batch { totals: vec![sample().totals[0].clone(); totals], ..Batch::new(1, 0) };
        assert!(decode(&encode(&many(MAX_NOTES))).is_ok() && many(MAX_NOTES).fits());
        assert_eq!(decode(&encode(&many(MAX_NOTES + 1))), Err(BatchFault::TooLarge));
        assert!(!many(MAX_NOTES + 1).fits());
        let billion = Batch {
            losses: vec![Loss { reason: LossReason::Damaged, minute: 0, count: MAX_COUNT + 1 }],
            ..Batch::new(1, 0)
        };
        assert!(!billion.fits());
        assert_eq!(decode(&encode(&billion)), Err(BatchFault::Malformed("count")));
        assert_eq!(decode(&encode(&Batch::new(0, 0))), Err(BatchFault::Malformed("first number")));
        let last = Batch { first_no: MAX_NO, ..sample() };
        assert_eq!(decode(&encode(&last)), Err(BatchFault::Malformed("last number")));
    }

    #[test]
    fn kinds_and_letters_are_those_that_there_are() {
        let with = |change: fn(&mut Batch)| {
            let mut batch = sample();
            change(&mut batch);
            decode(&encode(&batch))
        };
        let kind = with(|batch| batch.clicks[0].kind = Kind::Off);
        assert_eq!(kind, Err(BatchFault::Malformed("kind of a click")));
        let total = with(|batch| batch.totals[0].kind = Kind::Human);
        assert_eq!(total, Err(BatchFault::Malformed("kind of a total")));
        let country = with(|batch| batch.clicks[0].country = Country(*b"de"));
        assert_eq!(country, Err(BatchFault::Malformed("letters of a country or a language")));
    }

    #[test]
    fn a_long_text_is_cut_in_whole_letters() {
        let mut batch = sample();
        batch.agents[0].text = format!("{}ü", "x".repeat(MAX_TEXT - 1));
        batch.clicks[0].referrer = "y".repeat(9_000).into();
        let back = decode(&encode(&batch)).unwrap();
        assert_eq!(back.agents[0].text, "x".repeat(MAX_TEXT - 1));
        assert_eq!(back.clicks[0].referrer.len(), MAX_TEXT);
    }

    #[test]
    fn the_largest_batches_fit_or_say_so() {
        let of = |clicks| Batch { clicks: vec![click(); clicks], ..Batch::new(1, 0) };
        assert!(of(30_000).fits());
        assert!(!of(MAX_CLICKS).fits());
        assert_eq!(join(&[of(30_000), Batch { first_no: 30_001, ..of(30_000) }]), Err(BatchFault::TooLarge));
        assert_eq!(decode(&encode(&of(MAX_CLICKS))).map(|batch| batch.clicks.len()), Ok(MAX_CLICKS));
    }
}
