//! What a `User-Agent` is: a person's browser, and which on what; a program that makes previews; a crawler or another program.

mod crawlers;
mod families;

use crate::click::Device;
use crate::kind::Kind;
use crawlers::Crawlers;
use families::Families;
use std::sync::Arc;

/// The version of these rules and lists. It stands in each batch of clicks, and rises with each change that gives any agent
/// another class.
pub const CLASSIFIER: u16 = 1;

/// How much of an agent is looked at, in bytes.
const MOST: usize = 512;

/// What an agent is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AgentClass {
    /// [`Kind::Bot`] or [`Kind::Preview`]; `None`: a person's, as far as one can see.
    pub kind: Option<Kind>,
    /// The browser, or the name by which a program was known; empty: unknown.
    pub browser: Arc<str>,
    /// Its operating system; empty: unknown, or a program's.
    pub os: Arc<str>,
    /// What that runs on.
    pub device: Device,
}

impl AgentClass {
    /// Nothing is known.
    pub(crate) fn unknown() -> Self {
        Self { kind: None, browser: "".into(), os: "".into(), device: Device::Unknown }
    }
}

/// Classifies agents. Names are of fixed lists, so that a flood of made-up agents makes none.
pub struct Agents {
    crawlers: Crawlers,
    families: Families,
}

impl Default for Agents {
    fn default() -> Self {
        Self::new()
    }
}

impl Agents {
    /// Reads the lists. It takes some milliseconds, and all agents are to be classified with the one.
    pub fn new() -> Self {
        Self { crawlers: Crawlers::new(), families: Families::new() }
    }

    /// The class of an agent; that of an empty one is a bot.
    pub fn classify(&self, agent: &str) -> AgentClass {
        let agent = agent[..agent.floor_char_boundary(MOST)].trim();
        if let Some(crawler) = self.crawlers.find(agent) {
            let browser = crawler.name.clone();
            return AgentClass { kind: Some(crawler.kind), browser, ..AgentClass::unknown() };
        }
        self.families.class(agent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static AGENTS: LazyLock<Agents> = LazyLock::new(Agents::new);

    fn of(agent: &str) -> (Option<Kind>, String, String, Device) {
        let class = AGENTS.classify(agent);
        (class.kind, class.browser.to_string(), class.os.to_string(), class.device)
    }

    #[test]
    fn all_samples_of_crawlers_are_previews_or_bots() {
        let samples = include_str!("../tests/samples/crawlers.txt");
        let samples: Vec<&str> = samples.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(samples.len() > 2_000);
        let people: Vec<_> = samples.iter().filter(|agent| AGENTS.classify(agent).kind.is_none()).collect();
        assert!(people.is_empty(), "{people:#?}");
    }

    #[test]
    fn browsers_of_today() {
        use Device::{Desktop, Mobile, Other};
        for (agent, browser, os, device) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
                "Chrome",
                "Windows 10",
                Desktop,
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
                "Edge",
                "Windows 10",
                Desktop,
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
                "Safari",
                "macOS",
                Desktop,
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Firefox",
                "Linux",
                Desktop,
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
                "Chrome",
                "ChromeOS",
                Desktop,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
                "Safari",
                "iOS",
                Mobile,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0.0.0 Mobile/15E148 Safari/604.1",
                "Chrome",
                "iOS",
                Mobile,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 390.0.0.28.85 (iPhone15,3; iOS 18_5; en_US; scale=3.00; 1290x2796)",
                "Instagram",
                "iOS",
                Mobile,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/520.0.0.38.101;FBDV/iPhone15,3]",
                "Facebook",
                "iOS",
                Mobile,
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
                "Chrome",
                "Android",
                Mobile,
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
                "Samsung Internet",
                "Android",
                Mobile,
            ),
            (
                "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0",
                "Firefox",
                "Android",
                Mobile,
            ),
            (
                "Mozilla/5.0 (Linux; U; Android 4.0.4; en-us; GT-I9100 Build/IMM76D) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30",
                "Android Browser",
                "Android",
                Mobile,
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; SM-S911B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/140.0.0.0 Mobile Safari/537.36",
                "Webview",
                "Android",
                Mobile,
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 OPR/124.0.0.0",
                "Opera",
                "Windows 10",
                Desktop,
            ),
            (
                "Opera/9.80 (J2ME/MIDP; Opera Mini/6.5.29390/28.3692; U; en) Presto/2.8.119 Version/11.10",
                "Opera Mini",
                "",
                Mobile,
            ),
            (
                "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
                "Internet Explorer",
                "Windows 7",
                Desktop,
            ),
            (
                "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0.0.0 Safari/537.36",
                "Chrome",
                "webOS",
                Other,
            ),
            (
                "Mozilla/5.0 (PlayStation; PlayStation 5/6.50) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.4 Safari/605.1.15",
                "Safari",
                "PlayStation",
                Other,
            ),
            (
                "Mozilla/5.0 (Linux; U; Android 9; en-US; CUBOT_X19 Build/PPR1.180610.011) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/57.0.2987.108 UCBrowser/12.14.0.1221 Mobile Safari/537.36",
                "UC Browser",
                "Android",
                Mobile,
            ),
        ] {
            assert_eq!(of(agent), (None, browser.to_owned(), os.to_owned(), device), "{agent}");
        }
    }

    /// The list calls two marks of people's browsers a crawler's: the build of every Android 15 phone of a kind, and
    /// Facebook's own browser. Only the agents that it was shown are left of them.
    #[test]
    fn people_in_apps_are_people() {
        for agent in [
            "Mozilla/5.0 (Linux; Android 15; SM-A155F Build/AP3A.240617.008; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/140.0.0.0 Mobile Safari/537.36 Instagram 390.0.0.28.85 Android (35/15; 450dpi; 1080x2340)",
            "Mozilla/5.0 (Linux; Android 15; Pixel 9 Build/BP1A.250505.005; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/140.0.0.0 Mobile Safari/537.36 MetaIAB Facebook",
        ] {
            assert_eq!(AGENTS.classify(agent).kind, None, "{agent}");
        }
    }

    #[test]
    fn programs() {
        for (agent, kind, name) in [
            ("", Kind::Bot, ""),
            ("-", Kind::Bot, ""),
            ("linkr/0.1.0", Kind::Bot, "linkr"),
            ("curl/8.5.0", Kind::Bot, "curl"),
            ("Googlebot/2.1 (+http://www.google.com/bot.html)", Kind::Bot, "Googlebot"),
            ("WhatsApp/2.23.20.0 A", Kind::Preview, "WhatsApp"),
            ("Mozilla/5.0 (compatible; Some-New-Bot/1.0; +https://example.org/bot)", Kind::Bot, ""),
            ("MyApp/7.3 CFNetwork/1490.0.4 Darwin/23.2.0", Kind::Bot, "CFNetwork"),
            ("Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/UD1A.230803.041)", Kind::Bot, "Dalvik"),
            ("ShortLinkTranslate", Kind::Bot, ""),
        ] {
            let class = AGENTS.classify(agent);
            assert_eq!((class.kind, &*class.browser), (Some(kind), name), "{agent}");
            assert_eq!((&*class.os, class.device), ("", Device::Unknown), "{agent}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn whatever_is_sent_has_a_class_and_a_short_name(agent in "\\PC{0,600}") {
            let class = AGENTS.classify(&agent);
            prop_assert!(class.browser.len() <= 64 && class.os.len() <= 32);
        }

        #[test]
        fn marks_of_browsers_in_any_order_have_a_class(marks in prop::collection::vec(0_usize..24, 0..12)) {
            const MARKS: [&str; 24] = ["Mozilla/5.0 ", "(", ")", "; ", "Windows ", "NT 10.0", "Android ", "iPhone; ", "CPU iPhone OS 1_", "like Mac OS X",
                "Chrome/", "Safari/", "MSIE ", "Trident/", "Opera/", "Opera Mini/", "Version/", "FOMA;", "DoCoMo/1.0/", "KDDI-", "SoftBank/1.0/", "UP.Browser/", "\u{e4}", "BB10"];
            let agent: String = marks.iter().map(|mark| MARKS[*mark]).collect();
            prop_assert!(AGENTS.classify(&agent).browser.len() <= 64);
        }
    }
}
