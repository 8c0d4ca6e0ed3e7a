//! What the benches have in common: a set with known links, and requests for them.

use clicks::{Ring, RingWriter, TextSeed};
use hot::{
    AnswerContext, Capture, ClickClient, Conversation, Counts, DomainEntry, Domains, ForwardedFor, Policy,
    ReadableRules, Set, Stamp, StoredValue, UnknownCodes, View, answer,
};
use link::{Code, Domain, DomainId, DomainRules, Endings, Key, Link, LinkParts, Target};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// The key of the link with this number.
///
/// # Panics
/// Never: every number makes a code.
pub fn key(number: u32) -> Key {
    Key::new(DomainId::DEFAULT, &Code::new(&format!("c{number:06}")).expect("a code"))
}

/// A link of the mean length of real ones (87 bytes).
///
/// # Panics
/// Never: every number makes a target.
pub fn link(number: u32) -> StoredValue {
    let target = format!(
        "https://www.example.com/articles/2026/{number:07}/some-title-of-medium-length-here?utm=linkr"
    );
    let target = Target::stored(target.as_bytes()).expect("a target");
    StoredValue::live(Link::new(LinkParts::to(target)).expect("a link"))
}

/// A complete set of so many links.
pub fn set(links: u32) -> Set {
    let set = Set::new(1 << 30);
    for number in 0..links {
        set.apply(key(number).as_bytes(), u64::from(number) + 1, Some(&link(number)));
    }
    set.set_complete();
    set.freshen(1000);
    set
}

/// A request without anything that is not needed.
pub fn bare(number: u32) -> Vec<u8> {
    format!("GET /c{number:06} HTTP/1.1\r\nHost: go.example.com\r\n\r\n").into()
}

/// The key of a link with this number whose code begins with a letter beyond ASCII.
///
/// # Panics
/// Never: every number makes a code.
pub fn key_with_letter(number: u32) -> Key {
    Key::new(DomainId::DEFAULT, &Code::new(&format!("\u{fc}{number:06}")).expect("a code"))
}

/// A request for it, bare.
pub fn with_letter(number: u32) -> Vec<u8> {
    format!("GET /%C3%BC{number:06} HTTP/1.1\r\nHost: go.example.com\r\n\r\n").into()
}

/// A domain that finds codes in any case of letters and with a slash behind them.
const LENIENT: DomainId = DomainId(7);

/// The key of the link with this number in a domain that finds codes however they are written.
///
/// # Panics
/// Never: every number makes a code.
pub fn lenient_key(number: u32) -> Key {
    Key::new(LENIENT, &Code::new(&format!("c{number:06}")).expect("a code"))
}

/// A request for it as it is stored, bare.
pub fn lenient(number: u32) -> Vec<u8> {
    format!("GET /c{number:06} HTTP/1.1\r\nHost: lenient.example\r\n\r\n").into()
}

/// The same in another case.
pub fn folded(number: u32) -> Vec<u8> {
    format!("GET /C{number:06} HTTP/1.1\r\nHost: lenient.example\r\n\r\n").into()
}

/// The same with a slash behind it.
pub fn slashed(number: u32) -> Vec<u8> {
    format!("GET /c{number:06}/ HTTP/1.1\r\nHost: lenient.example\r\n\r\n").into()
}

/// The table of domains with that one in it.
fn domains() -> Arc<Domains> {
    let endings = Endings { trailing_slash: true, punctuation: true };
    let name = Domain::new("lenient.example").expect("a name");
    let told = ReadableRules::All(DomainRules { name, fold_case: true, endings, ..DomainRules::default() });
    let domains = Arc::new(Domains::default());
    domains.apply(DomainEntry { id: LENIENT, as_of: 1, version: 1, told, record: Arc::default() });
    domains
}

/// The same as [`bare`], as a browser sends it.
pub fn browser(number: u32) -> Vec<u8> {
    let head = include_str!("../../hot/testdata/browser-head.http");
    head.replace("promo/2026", &format!("c{number:06}")).into()
}

/// The same as [`browser`], as a proxy passes it on.
pub fn forwarded(number: u32) -> Vec<u8> {
    let mut head = browser(number);
    head.truncate(head.len() - 2);
    head.extend_from_slice(b"X-Forwarded-For: 203.0.113.7\r\n\r\n");
    head
}

/// Bytes of the ring: more than the clicks of any bench that does not read them.
const RING_BYTES: usize = 4 << 20;

/// What answers requests: all that a worker has besides the set.
pub struct Answerer {
    domains: View,
    stamp: Stamp,
    /// What they came to.
    pub counts: Counts,
    out: Vec<u8>,
    clicks: Option<NotedClicks>,
}

impl Default for Answerer {
    fn default() -> Self {
        let stamp = Stamp::new("Sun, 22 Nov 2026 13:06:42 GMT");
        let (domains, out) = (View::new(Arc::default()), Vec::with_capacity(65_536));
        Self { domains, stamp, counts: Counts::default(), out, clicks: None }
    }
}

impl Answerer {
    /// One that notes each click in a ring, as the worker of a usual edge does.
    pub fn noting() -> Self {
        Self { clicks: Some(NotedClicks::new()), ..Self::default() }
    }

    /// One that knows a domain whose codes are found however they are written.
    pub fn lenient() -> Self {
        Self { domains: View::new(domains()), ..Self::default() }
    }

    /// The answers to all of `input`: one turn.
    pub fn answer(&mut self, set: &Set, input: &[u8]) -> &[u8] {
        self.out.clear();
        let Self { domains, stamp, counts, out, clicks } = self;
        let policy = Policy::default();
        let noted = clicks.as_mut().map(NotedClicks::begin);
        let mut turn = AnswerContext {
            set,
            domains,
            now: 0,
            boot_ms: 1000,
            policy,
            debug: false,
            stamp,
            counts,
            clicks: noted,
        };
        answer(&mut Conversation::default(), input, out, &mut turn);
        clicks.iter_mut().for_each(NotedClicks::end);
        out
    }

    /// Clicks for which there was no room, where they are noted.
    pub fn lost(&self) -> Option<u64> {
        self.clicks.as_ref().map(|clicks| clicks.ring().lost())
    }
}

/// A ring, and a worker's end of it.
struct NotedClicks {
    memory: Box<[AtomicU64]>,
    writer: RingWriter,
    unknown: UnknownCodes,
}

impl NotedClicks {
    fn new() -> Self {
        let memory: Box<[AtomicU64]> =
            (0..Ring::memory_bytes(RING_BYTES) / 8).map(|_| AtomicU64::new(0)).collect();
        let ring = Ring::over(&memory).expect("a power of two");
        ring.begin([1, 1], 1);
        let writer = RingWriter::new(ring, TextSeed::new(0x0123_4567_89ab_cdef, 0x0f1e_2d3c_4b5a_6978));
        Self { memory, writer, unknown: UnknownCodes::default() }
    }

    fn ring(&self) -> Ring<'_> {
        Ring::over(&self.memory).expect("as it was made")
    }

    fn begin(&mut self) -> Capture<'_> {
        let ring = Ring::over(&self.memory).expect("as it was made");
        self.writer.begin(ring);
        let client = ClickClient { address: Some([7; 16]), forwarded: Some(&Named) };
        Capture { ring, writer: &mut self.writer, unknown: &mut self.unknown, client }
    }

    /// The kernel has taken the answers.
    fn end(&mut self) {
        let ring = Ring::over(&self.memory).expect("as it was made");
        if let Some(turn) = self.writer.publish(ring) {
            self.writer.settle(ring, turn);
        }
    }
}

/// Believes whoever is named first. An edge encrypts it, which is one block of AES more.
struct Named;

impl ForwardedFor for Named {
    fn client(&self, value: &[u8]) -> Option<[u8; 16]> {
        match std::str::from_utf8(value).ok()?.parse().ok()? {
            IpAddr::V4(address) => Some(address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => Some(address.octets()),
        }
    }
}
