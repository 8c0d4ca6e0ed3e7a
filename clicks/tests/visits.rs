//! Agents, referrers and languages of real visits, through the classifier. Skipped where the data is not.

use clicks::{Agents, Captured, Classified, Classifier, Country, Kind, Texts};
use link::Stats;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;

/// One visit of the file.
struct Visit {
    agent: String,
    referrer: String,
    language: String,
}

/// The visits, unless there are none beside this checkout or nothing unpacks them.
fn visits(test: &str) -> Option<Vec<Visit>> {
    let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR")?;
    let workspace = Path::new(&crate_dir).parent()?;
    let file = workspace.parent()?.join("shared/data/visits/visits.jsonl.zst");
    if !file.exists() {
        println!("{test} skipped: there are no visits at ../shared");
        return None;
    }
    let Ok(unpacked) = Command::new("zstdcat").arg(&file).output() else {
        println!("{test} skipped: there is no zstdcat");
        return None;
    };
    let lines = String::from_utf8(unpacked.stdout).unwrap();
    let visit = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        Visit { agent: field("agent"), referrer: field("referrer"), language: field("language") }
    };
    Some(lines.lines().map(visit).collect())
}

/// Whether a person who reads this agent would call it a browser: it claims an engine of one, and says more than that.
fn is_browser(agent: &str) -> bool {
    const ENGINES: [&str; 9] = [
        "MSIE",
        "Trident/",
        "Firefox/",
        "Chrome/",
        "Safari/",
        "AppleWebKit/",
        "Gecko/",
        "Opera/",
        "Opera Mini",
    ];
    agent.contains('(') && ENGINES.iter().any(|engine| agent.contains(engine))
}

/// Parts of those that claim to be browsers and are taken for programs. Each was read, and each is one: two readers that
/// fetch articles ahead, two makers of previews, a crawler, a library.
const PROGRAMS: [&str; 6] =
    ["NewsRob", "Instapaper", "BingPreview", "web/snippet", "Daumoa", "Smartsite HTTPClient"];

#[test]
fn browsers_of_people_are_no_programs() {
    let Some(visits) = visits("browsers_of_people_are_no_programs") else { return };
    let agents: BTreeSet<&str> = visits.iter().map(|visit| &*visit.agent).collect();
    let classes = Agents::new();
    let browsers = agents.iter().filter(|agent| is_browser(agent));
    let (people, programs): (Vec<&str>, Vec<&str>) =
        browsers.partition(|agent| classes.classify(agent).kind.is_none());
    println!("{} agents, {} of people's browsers, and these: {programs:#?}", agents.len(), people.len());
    assert!(people.len() > 12_000);
    assert!(programs.len() * 1_000 <= people.len(), "{}", programs.len());
    for program in &programs {
        assert!(PROGRAMS.iter().any(|part| program.contains(part)), "{program}");
    }
    let known = people.iter().filter(|agent| !classes.classify(agent).browser.is_empty()).count();
    assert!(known * 100 >= people.len() * 99, "{known} of {}", people.len());
}

/// Hashes of texts, for this test: their numbers.
#[derive(Default)]
struct Numbers {
    numbers: HashMap<String, u64>,
    texts: Vec<String>,
}

impl Numbers {
    fn number(&mut self, text: &str) -> u64 {
        if text.is_empty() {
            return 0;
        }
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        self.texts.push(text.to_owned());
        let number = (self.texts.len() as u64).wrapping_mul(SPREAD);
        self.numbers.insert(text.to_owned(), number);
        number
    }
}

/// An odd number, so that products with it differ and fill all bits, and its inverse.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
const INVERSE: u64 = 0xf1de_83e1_9937_733d;

impl Texts for Numbers {
    fn text(&self, hash: u64) -> Option<&[u8]> {
        let number = usize::try_from(hash.wrapping_mul(INVERSE)).ok()?;
        Some(self.texts.get(number.checked_sub(1)?)?.as_bytes())
    }
}

fn captured(visit: &Visit, at: i64, numbers: &mut Numbers) -> Captured {
    let host = visit.referrer.split("//").nth(1).unwrap_or_default().trim_end_matches('/');
    let mut language = [0; 8];
    let length = visit.language.len().min(8);
    language[..length].copy_from_slice(&visit.language.as_bytes()[..length]);
    Captured {
        at,
        agent: numbers.number(&visit.agent),
        referrer: numbers.number(host),
        language,
        ..Captured::default()
    }
}

#[test]
fn real_visits_are_what_their_fields_say() {
    let Some(visits) = visits("real_visits_are_what_their_fields_say") else { return };
    let (classes, mut classifier, mut numbers) = (Agents::new(), Classifier::new(), Numbers::default());
    let mut kinds: HashMap<Kind, usize> = HashMap::new();
    let mut referrers: HashMap<String, usize> = HashMap::new();
    let (mut languages, mut unknown_languages) = (0, 0);
    for (at, visit) in (0..).zip(&visits) {
        let captured = captured(visit, at, &mut numbers);
        let Classified::Click(click) =
            classifier.click(&captured, &numbers, |_| 0, Country::default(), Stats::Counts)
        else {
            panic!("a total of a domain that has statistics")
        };
        assert_eq!(click.kind, classes.classify(&visit.agent).kind.unwrap_or(Kind::Human));
        *kinds.entry(click.kind).or_default() += 1;
        *referrers.entry(click.referrer.to_string()).or_default() += 1;
        if !visit.language.is_empty() {
            languages += 1;
            unknown_languages += usize::from(click.language == Default::default());
        }
    }
    println!(
        "{kinds:?}; {} names of referrers; {unknown_languages} of {languages} languages unknown",
        referrers.len()
    );
    assert_eq!(kinds.values().sum::<usize>(), visits.len());
    let of = |is_of: fn(&str) -> bool| {
        let host = |visit: &Visit| visit.referrer.split('/').nth(2).unwrap_or_default().to_owned();
        visits.iter().filter(|visit| is_of(&host(visit))).count()
    };
    assert_eq!(referrers["X"], of(|host| host == "t.co" || format!(".{host}").ends_with(".twitter.com")));
    assert_eq!(referrers["weather.gov"], of(|host| matches!(host, "www.weather.gov" | "weather.gov")));
    assert_eq!(referrers[""], visits.iter().filter(|visit| visit.referrer.is_empty()).count());
    assert!(unknown_languages * 1_000 <= languages, "{unknown_languages} of {languages}");
}
