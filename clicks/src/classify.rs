//! What a captured click is: the rules that put each into one kind, in their order.

use crate::agents::{AgentClass, Agents};
use crate::bounded::Bounded;
use crate::captured::{Captured, CapturedFlags};
use crate::click::{Click, Country};
use crate::hash::hash;
use crate::kind::Kind;
use crate::language::language;
use crate::referrer::Referrers;
use crate::repeat::Repeats;
use crate::ring::RingReader;
use link::{DomainId, Stats};
use std::collections::HashSet;
use std::sync::Arc;

/// Agents whose class and hash are remembered: 65,536, in 1.5 MiB. Of 114,808 real visits each ninth was by an agent of its own.
const SETS: usize = 1 << 13;

/// Texts that captured clicks name by their number.
pub trait Texts {
    /// The text with this number, if it is known.
    fn text(&self, number: u64) -> Option<&[u8]>;
}

impl Texts for RingReader {
    fn text(&self, number: u64) -> Option<&[u8]> {
        RingReader::text(self, number)
    }
}

/// A captured click as it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Classified {
    /// By itself.
    Click(Click),
    /// In a total of its domain.
    Total {
        /// The domain of the link.
        domain: DomainId,
        /// Which total.
        kind: Kind,
    },
}

/// An agent whose text was seen.
#[derive(Clone)]
struct SeenAgent {
    class: Arc<AgentClass>,
    /// Of its text, by which it goes where others' clicks are.
    hash: u64,
}

/// Classifies clicks, and remembers for it the classes of agents, the names of referrers, and who clicked last on what: some
/// 6 MiB, whatever is sent.
pub struct Classifier {
    agents: Agents,
    /// By the numbers of this process, so that nobody makes a text that another's class is found by.
    seen: Bounded<SeenAgent>,
    /// Each class once: as many as there are names on the lists, browser by system.
    shared: HashSet<Arc<AgentClass>>,
    /// The class where there is no agent.
    none: Arc<AgentClass>,
    /// The class of an agent whose text is not known.
    unknown: Arc<AgentClass>,
    referrers: Referrers,
    repeats: Repeats,
}

impl Default for Classifier {
    fn default() -> Self {
        Self::new()
    }
}

impl Classifier {
    /// With nothing remembered. It takes some milliseconds.
    pub fn new() -> Self {
        let agents = Agents::new();
        Self {
            none: Arc::new(agents.classify("")),
            unknown: Arc::new(AgentClass::unknown()),
            agents,
            seen: Bounded::new(SETS),
            shared: HashSet::new(),
            referrers: Referrers::new(),
            repeats: Repeats::new(),
        }
    }

    /// Classifies a click that the kernel took ([`CapturedFlags::VOID`] is for the caller to leave out). `visitor` is
    /// asked who clicked, by the hash of the agent, where the domain's statistics are full and the browser did not object; 0:
    /// not known.
    pub fn click(
        &mut self,
        captured: &Captured,
        texts: &impl Texts,
        visitor: impl FnOnce(u64) -> u64,
        country: Country,
        stats: Stats,
    ) -> Classified {
        let flags = captured.flags;
        if stats == Stats::Off {
            return Classified::Total { domain: captured.domain, kind: Kind::Off };
        }
        if flags.has(CapturedFlags::IGNORED) {
            return Classified::Total { domain: captured.domain, kind: Kind::Ignored };
        }
        let objects = flags.has(CapturedFlags::PRIVATE);
        let SeenAgent { class, hash } = self.agent(captured.agent, texts);
        let visitor = if objects || stats != Stats::Full { 0 } else { visitor(hash) };
        Classified::Click(Click {
            at: captured.at,
            domain: captured.domain,
            uid: captured.uid,
            version: captured.version,
            kind: self.kind(captured, &class, visitor),
            country: if objects { Country::default() } else { country },
            browser: class.browser.clone(),
            os: class.os.clone(),
            device: class.device,
            referrer: self.referrers.name(captured.referrer, || texts.text(captured.referrer), captured.at),
            language: language(captured.language),
            visitor,
            agent: hash,
        })
    }

    /// The first rule that fits. Only a person's click is noted for `repeat`: one fetched ahead, or by the program that
    /// previews the link, must not make that of the person a repeat.
    fn kind(&mut self, captured: &Captured, class: &AgentClass, visitor: u64) -> Kind {
        if captured.flags.has(CapturedFlags::HEAD) {
            Kind::Head
        } else if captured.flags.has(CapturedFlags::PREFETCH) {
            Kind::Prefetch
        } else if let Some(kind) = class.kind {
            kind
        } else if visitor != 0 && self.repeats.note(visitor, captured.uid, captured.at) {
            Kind::Repeat
        } else {
            Kind::Human
        }
    }

    fn agent(&mut self, number: u64, texts: &impl Texts) -> SeenAgent {
        if number == 0 {
            return SeenAgent { class: self.none.clone(), hash: 0 };
        }
        if let Some(seen) = self.seen.get(number) {
            return seen.clone();
        }
        // One whose text was lost is nobody else.
        let Some(text) = texts.text(number) else {
            return SeenAgent { class: self.unknown.clone(), hash: number };
        };
        if text.is_empty() {
            return SeenAgent { class: self.none.clone(), hash: 0 }; // there was white space alone
        }
        let class = self.agents.classify(&String::from_utf8_lossy(text));
        let class = self.shared.get(&class).cloned().unwrap_or_else(|| Arc::new(class));
        self.shared.insert(class.clone());
        let seen = SeenAgent { class, hash: hash(text) };
        self.seen.put(number, seen.clone());
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::click::{Device, Language};
    use std::collections::HashMap;

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

    /// Texts by their numbers.
    struct Given(HashMap<u64, Vec<u8>>);

    impl Texts for Given {
        fn text(&self, number: u64) -> Option<&[u8]> {
            self.0.get(&number).map(Vec::as_slice)
        }
    }

    fn texts(texts: &[&str]) -> Given {
        Given((1..).zip(texts.iter().map(|text| text.as_bytes().to_vec())).collect())
    }

    fn captured(agent: u64, flags: CapturedFlags, at: i64) -> Captured {
        Captured { at, uid: 9, version: 11, domain: DomainId(2), agent, flags, ..Captured::default() }
    }

    fn kind(classified: Classified) -> Kind {
        match classified {
            Classified::Click(click) => click.kind,
            Classified::Total { kind, .. } => kind,
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let texts =
            texts(&[CHROME, "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "curl/8.5.0"]);
        let mut classifier = Classifier::new();
        let mut of = |agent, flags, visitor, stats, at| {
            kind(classifier.click(&captured(agent, flags, at), &texts, |_| visitor, Country(*b"DE"), stats))
        };
        let none = CapturedFlags::default();
        let (head, ahead) = (CapturedFlags::HEAD, CapturedFlags::PREFETCH);
        assert_eq!(of(2, head | ahead, 5, Stats::Full, 0), Kind::Head);
        assert_eq!(of(2, ahead, 5, Stats::Full, 0), Kind::Prefetch);
        assert_eq!(of(1, ahead, 5, Stats::Full, 0), Kind::Prefetch);
        assert_eq!(of(2, none, 5, Stats::Full, 0), Kind::Preview);
        assert_eq!(of(3, none, 5, Stats::Full, 0), Kind::Bot);
        assert_eq!(of(0, none, 5, Stats::Full, 0), Kind::Bot);
        // None of those before was of a person.
        assert_eq!(of(1, none, 5, Stats::Full, 0), Kind::Human);
        assert_eq!(of(1, none, 5, Stats::Full, 9_999), Kind::Repeat);
        assert_eq!(of(1, none, 5, Stats::Counts, 9_999), Kind::Human);
        assert_eq!(of(1, none, 6, Stats::Full, 9_999), Kind::Human);
        assert_eq!(of(1, none, 0, Stats::Full, 9_999), Kind::Human);
        assert_eq!(of(1, CapturedFlags::PRIVATE, 5, Stats::Full, 9_999), Kind::Human);
        assert_eq!(of(1, none, 5, Stats::Full, 19_999), Kind::Human);
        assert_eq!(of(1, head | CapturedFlags::IGNORED, 5, Stats::Full, 0), Kind::Ignored);
        assert_eq!(of(1, CapturedFlags::IGNORED, 5, Stats::Off, 0), Kind::Off);
        // Its text was lost: nobody knows what it is.
        assert_eq!(of(77, none, 0, Stats::Full, 0), Kind::Human);
    }

    #[test]
    fn one_get_and_three_heads_of_a_poster_are_no_person() {
        for poster in [
            "Twitterbot/1.0",
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
            "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
            "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
            "TelegramBot (like TwitterBot)",
            "WhatsApp/2.23.20.0 A",
        ] {
            let texts = texts(&[poster]);
            let mut classifier = Classifier::new();
            let mut kinds = Vec::new();
            for flags in
                [CapturedFlags::default(), CapturedFlags::HEAD, CapturedFlags::HEAD, CapturedFlags::HEAD]
            {
                let captured = captured(1, flags, 0);
                kinds.push(kind(classifier.click(&captured, &texts, |_| 5, Country::default(), Stats::Full)));
            }
            assert_eq!(kinds, [Kind::Preview, Kind::Head, Kind::Head, Kind::Head], "{poster}");
        }
    }

    #[test]
    fn a_click_is_told_with_all_that_is_wanted_of_it() {
        let texts = texts(&[CHROME, "www.NASA.gov:443"]);
        let captured =
            Captured { referrer: 2, language: *b"de-DE,de", ..captured(1, CapturedFlags::default(), 7) };
        let mut classifier = Classifier::new();
        let mut of = |captured: &Captured, stats| match classifier.click(
            captured,
            &texts,
            |agent| agent ^ 5,
            Country(*b"DE"),
            stats,
        ) {
            Classified::Click(click) => click,
            total @ Classified::Total { .. } => panic!("{total:?}"),
        };
        let full = of(&captured, Stats::Full);
        let expected = Click {
            at: 7,
            domain: DomainId(2),
            uid: 9,
            version: 11,
            kind: Kind::Human,
            country: Country(*b"DE"),
            browser: "Chrome".into(),
            os: "Windows 10".into(),
            device: Device::Desktop,
            referrer: "nasa.gov".into(),
            language: Language(*b"de"),
            visitor: hash(CHROME.as_bytes()) ^ 5,
            agent: hash(CHROME.as_bytes()),
        };
        assert_eq!(full, expected);
        assert_eq!(of(&captured, Stats::Counts), Click { visitor: 0, ..expected.clone() });
        let private = Captured { flags: CapturedFlags::PRIVATE, ..captured };
        assert_eq!(of(&private, Stats::Full), Click { visitor: 0, country: Country::default(), ..expected });
    }

    #[test]
    fn a_flood_of_agents_takes_no_more_room_and_no_new_names() {
        let mut classifier = Classifier::new();
        let mut names = std::collections::HashSet::new();
        for number in 1..30_000_u64 {
            let agent =
                format!("Mozilla/5.0 (X{number}; U{number}; FreeBSD {number};) Firefox/{number} B{number}/1");
            let texts = Given([(number, agent.into_bytes())].into());
            let captured = captured(number, CapturedFlags::default(), 0);
            if let Classified::Click(click) =
                classifier.click(&captured, &texts, |_| 0, Country::default(), Stats::Counts)
            {
                names.insert((click.browser, click.os));
            }
        }
        assert!(names.len() < 5, "{names:?}");
        assert_eq!(classifier.shared.len(), names.len());
    }
}
