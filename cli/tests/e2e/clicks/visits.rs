//! Real visits, followed through a real edge: what it counts is what another computation makes of the same file. Skipped where
//! the data is not.

use super::mmdb::{self, Row};
use super::{asked, counted, counts, lost, settle_all, visit_with};
use crate::corpora::shared;
use crate::support::{Dir, LINKR, Linkr, beside_others, command, text, workspace};
use regex::bytes::{RegexSet, RegexSetBuilder};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// Of the visits the suite takes every so manieth; all 114,808 with `LINKR_LONG=1`.
const EVERY: usize = 10;

struct Visit {
    code: String,
    target: String,
    agent: String,
    referrer: String,
    language: String,
    /// Empty: nobody knows.
    country: String,
}

fn visits(dir: &Dir, shared: &Path) -> Vec<Visit> {
    let file = shared.join("data/visits/visits.jsonl.zst");
    let lines = text(&command("zstdcat", dir.path()).arg(file).output().unwrap().stdout);
    let every = if std::env::var_os("LINKR_LONG").is_some() { 1 } else { EVERY };
    let read = |line: &str| {
        let visit: Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| visit[name].as_str().unwrap_or_default().to_owned();
        Visit {
            code: field("code"),
            target: field("target"),
            // Of what is not ASCII in four agents, an edge and this test could make different texts.
            agent: field("agent").replace(|c: char| !c.is_ascii_graphic() && c != ' ', "?"),
            referrer: field("referrer"),
            language: field("language"),
            country: field("country"),
        }
    };
    lines.lines().step_by(every).map(read).collect()
}

/// The lists of crawlers, asked one pattern after the other.
struct Lists {
    patterns: Vec<(String, String)>,
    regexes: RegexSet,
    regex_words: Vec<String>,
    nots: Vec<String>,
}

impl Lists {
    fn read() -> Self {
        let folder = workspace().join("clicks/src/agents");
        let mut all = Vec::new();
        for file in ["crawlers.txt", "own.txt"] {
            let list = std::fs::read_to_string(folder.join(file)).unwrap();
            let entries =
                list.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t'));
            all.extend(entries.map(|(word, pattern)| (word.to_owned(), pattern.to_owned())));
        }
        let of = |word: &str| -> Vec<String> {
            all.iter().filter(|(own, _)| own == word).map(|(_, pattern)| pattern.clone()).collect()
        };
        let (drops, nots) = (of("drop"), of("not"));
        all.retain(|(word, pattern)| ["bot", "preview"].contains(&&**word) && !drops.contains(pattern));
        let (regexes, patterns): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, pattern)| pattern.starts_with('~'));
        let set =
            RegexSetBuilder::new(regexes.iter().map(|(_, pattern)| &pattern[1..])).unicode(false).build();
        let regex_words = regexes.into_iter().map(|(word, _)| word).collect();
        Self { patterns, regexes: set.unwrap(), regex_words, nots }
    }

    /// `bot`, `preview`, or nothing that the lists know.
    fn look_up(&self, agent: &str) -> Option<&'static str> {
        let texts = self
            .patterns
            .iter()
            .filter(|(_, pattern)| agent.contains(pattern.as_str()))
            .map(|(word, _)| word);
        let regexes = self.regexes.matches(agent.as_bytes()).into_iter().map(|at| &self.regex_words[at]);
        let words: BTreeSet<&str> = texts.chain(regexes).map(String::as_str).collect();
        ["preview", "bot"].into_iter().find(|word| words.contains(word))
    }

    fn kind(&self, agent: &str) -> ExpectedKind {
        let agent = agent.trim();
        if agent.is_empty() {
            return ExpectedKind::Listed("bot");
        }
        let mut found = self.look_up(agent);
        if found.is_some() && self.nots.iter().any(|not| agent.contains(not.as_str())) {
            let rest = self.nots.iter().fold(agent.to_owned(), |rest, not| rest.replace(not.as_str(), " "));
            found = self.look_up(&rest);
        }
        match found {
            Some(kind) => ExpectedKind::Listed(kind),
            None if is_browser(agent) => ExpectedKind::Browser,
            None => ExpectedKind::Either,
        }
    }
}

/// It begins as browsers do since the first of them, says on what it runs, and nothing of what programs say of themselves.
fn is_browser(agent: &str) -> bool {
    let program = ["http", "bot", "crawl", "spider"];
    let lower = agent.to_ascii_lowercase();
    (agent.starts_with("Mozilla/") || agent.starts_with("Opera/"))
        && agent.contains('(')
        && !program.iter().any(|word| lower.contains(word))
}

/// What an agent must count as.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ExpectedKind {
    Listed(&'static str),
    /// Somebody would call it a browser: `human`, but for one of a thousand.
    Browser,
    /// A program or an old phone: a person could say either.
    Either,
}

fn start(dir: &Dir, visits: &[Visit], countries: &BTreeMap<&str, u8>) -> Linkr {
    let rows: Vec<Row> = countries
        .iter()
        .map(|(country, number)| Row {
            network: [20, *number, 0, 0],
            bits: 16,
            country: (*country).to_owned(),
        })
        .collect();
    let geo = dir.write("countries.mmdb", mmdb::write(&rows));
    let linkr = Linkr::up_with(dir, &[("LINKR_GEO", &geo), ("LINKR_TRUSTED_PEERS", "127.0.0.1")]);
    let links: BTreeMap<&str, &str> = visits.iter().map(|visit| (&*visit.code, &*visit.target)).collect();
    let mut csv = String::from("code,target\n");
    for (code, target) in links {
        let _ = writeln!(csv, "{code},\"{}\"", target.replace('"', "\"\""));
    }
    let file = dir.write("links.csv", csv);
    let said = linkr.run(dir, &["import", &file]);
    assert!(said.status.success(), "{}", text(&said.stderr));
    linkr.catch_up();
    linkr
}

#[test]
fn real_visits_are_counted_as_another_computation_counts_them() {
    let test = "real_visits_are_counted_as_another_computation_counts_them";
    let Some(shared) = shared(test, &["zstdcat"]) else { return };
    let _turn = beside_others();
    let dir = Dir::new();
    let mut visits = visits(&dir, &shared);
    let mut countries: BTreeMap<&str, u8> = BTreeMap::new();
    let known: BTreeSet<String> =
        visits.iter().filter(|visit| !visit.country.is_empty()).map(|visit| visit.country.clone()).collect();
    for (number, country) in known.iter().enumerate() {
        countries.insert(country, u8::try_from(number).unwrap());
    }
    let linkr = start(&dir, &visits, &countries);
    // What is no link here (a target of ftp) is no redirect.
    let made: BTreeSet<String> = linkr
        .ok(&dir, &["export", "--format", "jsonl"])
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["code"].as_str().unwrap().to_owned())
        .collect();
    visits.retain(|visit| made.contains(&visit.code));
    visit_with(&linkr, visits.len(), |number| {
        let visit = &visits[number];
        let [a, b] = (number as u16).to_be_bytes();
        let from = match countries.get(&*visit.country) {
            Some(country) => format!("20.{country}.{a}.{b}"),
            None => format!("21.0.{a}.{b}"),
        };
        let mut head =
            format!("GET /{} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {from}\r\n", visit.code);
        for (name, value) in
            [("User-Agent", &visit.agent), ("Referer", &visit.referrer), ("Accept-Language", &visit.language)]
        {
            if !value.is_empty() {
                let _ = write!(head, "{name}: {value}\r\n");
            }
        }
        head + "\r\n"
    });
    settle_all(&linkr);
    assert_eq!((counted(&linkr), lost(&linkr).len()), (visits.len() as u64, 0));

    // By kind: exact where the lists say it.
    let (lists, mut agents) = (Lists::read(), BTreeMap::<&str, u64>::new());
    visits.iter().for_each(|visit| *agents.entry(&visit.agent).or_default() += 1);
    let mut expected = BTreeMap::<ExpectedKind, u64>::new();
    for (agent, count) in &agents {
        *expected.entry(lists.kind(agent)).or_default() += count;
    }
    let of = |kind| expected.get(&kind).copied().unwrap_or(0);
    let (browsers, either) = (of(ExpectedKind::Browser), of(ExpectedKind::Either));
    let (bots, previews) = (of(ExpectedKind::Listed("bot")), of(ExpectedKind::Listed("preview")));
    let kinds = counts(&asked(&linkr, "/v1/clicks?group_by=kind"));
    let kind = |name: &str| kinds.get(name).copied().unwrap_or(0);
    println!(
        "{} agents: {browsers} browsers, {bots} bots, {previews} previews, {either} either; {kinds:?}",
        agents.len()
    );
    assert_eq!(kind("preview"), previews);
    assert!((browsers * 999 / 1_000..=browsers + either).contains(&kind("human")), "{kinds:?}");
    assert!(kind("bot") >= bots && kinds.len() <= 3, "{kinds:?}");
    assert_eq!(kind("human") + kind("bot") + kind("preview"), visits.len() as u64);

    // By country: exact, whatever the kind.
    let all = "kinds=human,bot,preview&limit=1000";
    let mut by_country = BTreeMap::<String, u64>::new();
    for visit in &visits {
        let country = if visit.country.is_empty() { "-" } else { &visit.country };
        *by_country.entry(country.to_owned()).or_default() += 1;
    }
    assert_eq!(counts(&asked(&linkr, &format!("/v1/clicks?group_by=country&{all}"))), by_country);

    // By link, for the hundred that have most.
    let mut by_link = BTreeMap::<&str, u64>::new();
    visits.iter().for_each(|visit| *by_link.entry(&visit.code).or_default() += 1);
    let top = counts(&asked(&linkr, "/v1/clicks?group_by=link&kinds=human,bot,preview&limit=100"));
    assert_eq!(top.len(), by_link.len().min(100));
    let mut most: Vec<u64> = by_link.values().copied().collect();
    most.sort_unstable_by(|a, b| b.cmp(a));
    let mut counted: Vec<u64> = top.values().copied().collect();
    counted.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(counted, most[..top.len()]);
    assert!(top.iter().all(|(code, count)| by_link.get(&**code) == Some(count)), "{top:?}");

    // By day, in a zone where the day is another one for hours: the days have all of them.
    for zone in ["UTC", "Pacific/Auckland", "America/Los_Angeles"] {
        let days = counts(&asked(
            &linkr,
            &format!("/v1/clicks?group_by=day&zone={}&{all}", zone.replace('/', "%2F")),
        ));
        assert_eq!(days.values().sum::<u64>(), visits.len() as u64, "{zone}: {days:?}");
        // A day without clicks is told, too.
        assert!((1..=2).contains(&days.values().filter(|&&count| count > 0).count()), "{zone}: {days:?}");
    }

    // The same, by the words of people.
    let table = command(LINKR, dir.path())
        .args(["clicks", "--by", "country", "--kind", "all", "--top", "1000", "-o", "csv"])
        .env("LINKR_SERVER", format!("http://{}", linkr.api()))
        .output()
        .unwrap();
    let rows = text(&table.stdout);
    let first = rows.lines().nth(1).unwrap_or_default();
    let most = by_country.iter().max_by_key(|(_, count)| **count).unwrap();
    assert_eq!(first, format!("{},{},", most.0, most.1), "{rows}");
}
