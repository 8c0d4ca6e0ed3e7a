//! `linkr-trials pages`: what the pages in a browser take on a large store, how long people wait for them, and how long visitors
//! wait while fifty people click through them.

mod browser;
mod people;
mod size;
mod views;

pub use people::People;

use crate::attacks::Driver;
use crate::fleet::{Edge, Fleet, OTHER_CORE, say};
use crate::hits::{self, Triple};
use crate::keyring::{ADMIN, Keyring};
use crate::process::{Dir, command, linkr};
use crate::redis::row;
use browser::{Browser, Seen, post};
use clap::{Args, ValueEnum};
use people::PeopleProcess;
use serde_json::{Value, json};
use services::{Postgres, Random, ServerFault};
use std::path::{Path, PathBuf};
use std::time::Duration;
use views::{Stock, VIEWS, View, encoded};

/// Bytes on the wire of the first page with all that belongs to it.
const FIRST: usize = 30_000;
/// p99 of visitors beside people, in that without.
const P99: f64 = 1.2;
/// Hits a second of these visitors, on kept connections.
const HITS: f64 = 4_000.0;
/// A round of them.
const ROUND: Duration = Duration::from_secs(6);
/// Links that they ask for.
const ASKED: usize = 1_000;
/// Pages of one list that are looked at, each behind the other.
const WALK: usize = 10;
const ROOM: usize = 4 << 30;
const DATABASE: &str = "links";
/// The name of the edge, for its key.
const EDGE: &str = "edge-1";
/// What somebody may do who clicks through the pages.
const SCOPES: [&str; 5] = ["links:read", "links:write", "clicks:read", "domains:admin", "keys:admin"];

/// The flags.
#[derive(Args)]
pub struct Pages {
    /// Where control keeps its links
    #[arg(long, value_enum, default_value_t)]
    store: Behind,
    #[command(flatten)]
    stock: Stock,
    /// How many clicks one link has; all others together have a fifth of that
    #[arg(long, default_value_t = 10_000_000, value_name = "N")]
    clicks: u64,
    /// How often each page is looked at, one after the other
    #[arg(long, default_value_t = 100, value_name = "N")]
    each: usize,
    /// How many people click through the pages, each once in two to five seconds
    #[arg(long, default_value_t = 50, value_name = "N")]
    people: usize,
    /// Rounds of visitors: without these people, beside them, and without them again
    #[arg(long, default_value_t = 10, value_name = "N")]
    rounds: usize,
    /// What the edge runs on [default: what the machine allows]
    #[arg(long, value_enum)]
    driver: Option<Driver>,
    /// Judge answers only: for a machine that is busy with other things
    #[arg(long)]
    untimed: bool,
}

/// What is behind control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Behind {
    /// A file
    #[default]
    Sqlite,
    /// A server of this trial alone
    Postgres,
}

/// Whoever may look, and where.
struct Crowd {
    /// A key for each of them.
    keys: Vec<String>,
    /// The same as a file, a line for each.
    file: PathBuf,
}

impl Pages {
    /// `true`: within the limits.
    ///
    /// # Errors
    /// The trial itself failed.
    pub async fn run(self) -> Result<bool, String> {
        let binary = linkr()?;
        let mut good = size::judge(&binary)?;
        let dir = Dir::new()?;
        let postgres = match self.store {
            Behind::Sqlite => None,
            Behind::Postgres => match Postgres::start(&[]) {
                Err(missing @ ServerFault::Missing(_)) => {
                    println!("SKIPPED: {missing}");
                    return Ok(good);
                }
                postgres => Some(postgres.map_err(text)?),
            },
        };
        let file = dir.path().join("links.db");
        let (generated, store) = match &postgres {
            Some(postgres) => {
                let url = postgres.create(DATABASE).map_err(text)?;
                (url.clone(), url)
            }
            None => (file.to_string_lossy().into_owned(), format!("sqlite:{}", file.display())),
        };
        self.generate(&dir, &generated)?;
        let keys = Keyring::new(&binary, dir.path(), &store, &[EDGE.to_owned()])?;
        let admin = keys.file(ADMIN).unwrap_or_default();
        let admin = std::fs::read_to_string(admin).map_err(text)?.trim().to_owned();
        let mut fleet = Fleet::start_with_keys(dir, &store, keys)?;
        println!("{}", fleet.import(&self.links(fleet.path())?)?);
        fleet.settle().await?;
        if let Some(postgres) = &postgres {
            // As a server does by itself within a minute.
            postgres.psql(DATABASE, "VACUUM ANALYZE").map_err(text)?;
        }
        fleet.under.extend(Driver::words(self.driver));
        let edge = fleet.edge(ROOM).await?;
        let crowd = Crowd::new(&fleet, &admin, self.people)?;
        let mut browsers = crowd.browsers(&fleet)?;
        good &= first_page(&mut browsers[0])?;
        good &= self.quick(&mut browsers)?;
        drop(browsers);
        if self.rounds > 0 {
            if !self.untimed {
                hits::prefer(OTHER_CORE)?;
                postgres.iter().try_for_each(leave_core_to_edge)?;
            }
            good &= self.beside(&fleet, &edge, &crowd)?;
        }
        println!("{}", if good { "within the limits" } else { "BEYOND A LIMIT" });
        Ok(good)
    }

    /// Clicks in a new store, of links that are imported behind them.
    fn generate(&self, dir: &Dir, store: &str) -> Result<(), String> {
        let own = std::env::current_exe().map_err(text)?;
        let program = own.with_file_name("xtask");
        let [all, links, days, first] = [
            self.clicks + self.clicks / 5,
            self.stock.links as u64,
            self.stock.days.unsigned_abs(),
            self.clicks,
        ]
        .map(|number| number.to_string());
        let words = ["gen-clicks", &all, &links, &days, store, &first];
        let done = command(&program, dir.path(), &words).output();
        let done = done.map_err(|fault| format!("{}: {fault}: build it first", program.display()))?;
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into());
        }
        println!("{}", String::from_utf8_lossy(&done.stdout).lines().last().unwrap_or_default());
        Ok(())
    }

    /// The links as a file.
    fn links(&self, dir: &Path) -> Result<PathBuf, String> {
        let file = dir.join("links.csv");
        let mut rows = csv::Writer::from_path(&file).map_err(text)?;
        rows.write_record(["code", "target", "tags", "create_time"]).map_err(text)?;
        for link in 0..self.stock.links {
            rows.write_record(self.stock.row(link)).map_err(text)?;
        }
        rows.flush().map_err(text)?;
        Ok(file)
    }

    /// How long each page takes, and each call that says the same, one at a time.
    fn quick(&self, browsers: &mut [Browser]) -> Result<bool, String> {
        println!(
            "{:36} {:>5} {:>6} {:>8} {:>8} {:>8} {:>12}",
            "one at a time, ms", "as", "seen", "p50", "p99", "most", "limit of p99"
        );
        let mut good = true;
        for view in &VIEWS {
            for by_rest in [false, true] {
                good &= self.timed(view, by_rest, browsers)?;
            }
        }
        Ok(good)
    }

    /// One kind of page, as often as is asked for. Of a list each page is followed by the next one.
    fn timed(&self, view: &View, by_rest: bool, browsers: &mut [Browser]) -> Result<bool, String> {
        let (mut random, mut took) = (Random::of(1, 2), Vec::new());
        while took.len() < self.each.max(1) {
            let asked = (view.address)(&self.stock, &mut random);
            let begin = if by_rest { asked.call } else { Some(asked.page) };
            let Some(begin) = begin else { return Ok(true) };
            let mut next = Some(begin.clone());
            for _ in 0..WALK {
                let Some(address) = next else { break };
                // In turn: one person alone would be told to wait.
                let count = browsers.len();
                let browser = &mut browsers[took.len() % count];
                let seen = if by_rest { browser.call(&address)? } else { browser.look(&address)? };
                if let Some(why) = lacking(&seen) {
                    return Err(format!("{address}: {why}"));
                }
                next = if by_rest { next_call(&seen, &begin) } else { next_page(&seen) };
                took.push((seen.took, address));
            }
        }
        took.sort_by(|one, other| one.0.total_cmp(&other.0));
        let at = |part: f64| took[((took.len() as f64 * part) as usize).min(took.len() - 1)].0;
        let (p99, (most, slowest)) = (at(0.99), &took[took.len() - 1]);
        let good = view.most.is_none_or(|limit| p99 <= limit);
        let verdict = match (view.most, good, self.untimed) {
            (None, _, _) => String::new(),
            (_, true, _) => "pass".to_owned(),
            (_, false, true) => "beyond it, untimed".to_owned(),
            (_, false, false) => format!("FAIL: {slowest}"),
        };
        println!(
            "{:36} {:>5} {:6} {:8.2} {p99:8.2} {most:8.2} {:>12}  {verdict}",
            view.name,
            if by_rest { "REST" } else { "page" },
            took.len(),
            at(0.5),
            view.most.map_or("–".to_owned(), |limit| format!("{limit:.0}")),
        );
        Ok(good || self.untimed)
    }

    /// How long visitors wait while people click.
    fn beside(&self, fleet: &Fleet, edge: &Edge, crowd: &Crowd) -> Result<bool, String> {
        println!(
            "The edge is alone on its core; control and {} people share the generator's, and have to wait for it. {HITS} hits a second, \
             µs from when each was due until its answer arrived, less what the generator itself was late:",
            crowd.keys.len()
        );
        let codes: Vec<String> = (0..ASKED.min(self.stock.links)).map(|link| row(link).0).collect();
        let time = if self.untimed { ROUND / 5 } else { ROUND };
        let (mut right, mut triples) = (true, Vec::new());
        for seed in 0..self.rounds as u64 {
            let quiet = hits::drive(edge.address, &codes, HITS, time)?;
            let people = PeopleProcess::start(fleet.api, &crowd.file, &self.stock, seed)?;
            let beside = hits::drive(edge.address, &codes, HITS, time);
            let seen = people.end()?;
            let quiet = [quiet, hits::drive(edge.address, &codes, HITS, time)?];
            let triple = Triple { quiet, beside: beside? };
            let at =
                |part: f64| seen.took.get((seen.took.len() as f64 * part) as usize).copied().unwrap_or(0.0);
            let pages = seen.took.len();
            let meanwhile = format!("{pages} pages, {:.0} and {:.0} ms at p50 and p99", at(0.5), at(0.99));
            println!("{}", triple.told(&meanwhile));
            triples.push(triple);
            if let Some(first) = seen.lacking.first() {
                println!("  {} pages lack something: {first}", seen.lacking.len());
                right = false;
            }
        }
        Ok(hits::judge(&triples, P99, self.untimed) && right)
    }
}

impl Crowd {
    /// Makes a key for each.
    fn new(fleet: &Fleet, admin: &str, people: usize) -> Result<Self, String> {
        let one = |number: usize| {
            let key = json!({ "client": format!("person-{number}"), "scopes": SCOPES }).to_string();
            let made = post(fleet.api, admin, "/v1/keys", &key)?;
            made["secret"].as_str().map(str::to_owned).ok_or_else(|| "a new key has no secret".to_owned())
        };
        let keys = (0..people.max(1)).map(one).collect::<Result<Vec<_>, _>>()?;
        let file = fleet.path().join("people.keys");
        std::fs::write(&file, keys.join("\n")).map_err(text)?;
        Ok(Self { keys, file })
    }

    fn browsers(&self, fleet: &Fleet) -> Result<Vec<Browser>, String> {
        self.keys.iter().map(|key| Browser::sign_in(fleet.api, key)).collect()
    }
}

/// What is wrong with a page or an answer; `None`: all is there.
fn lacking(seen: &Seen) -> Option<String> {
    if seen.status != 200 {
        let leads = seen.location.as_deref().unwrap_or_default();
        return Some(format!("{} {leads} {}", seen.status, seen.text));
    }
    // What a page says in the place of what it does not know, and of a list without links.
    ["cannot be told", "No link is found"]
        .into_iter()
        .find(|word| seen.text.contains(word))
        .map(str::to_owned)
}

/// Where a page of a list leads on.
fn next_page(seen: &Seen) -> Option<String> {
    let before = &seen.text[..seen.text.find("\" rel=\"next\"")?];
    let address = &before[before.rfind('"')? + 1..];
    Some(address.replace("&amp;", "&"))
}

/// The call for the next page of a list that begins with one.
fn next_call(seen: &Seen, begin: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(&seen.text).ok()?;
    let token = answer["next_page_token"].as_str().filter(|token| !token.is_empty())?;
    Some(format!("{begin}&page_token={}", encoded(token)))
}

/// The processes of the database that are there, and those that they start, keep off the edge's core.
fn leave_core_to_edge(postgres: &Postgres) -> Result<(), String> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
               UNION SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::integer";
    let there = postgres.psql(DATABASE, sql).map_err(text)?;
    there.lines().try_for_each(|id| say("taskset", &["-p", "-c", OTHER_CORE, id]))
}

/// The list of links with style sheet and script, as a browser that has nothing yet fetches them.
fn first_page(browser: &mut Browser) -> Result<bool, String> {
    let begin = browser.look("/ui")?;
    let page = browser.look(begin.location.as_deref().unwrap_or_default())?;
    if let Some(why) = lacking(&page) {
        return Err(format!("the first page: {why}"));
    }
    let mut all = vec![("way", begin.wire), ("page", page.wire)];
    for part in page.text.split('"').filter(|part| part.starts_with("/ui/assets/")) {
        let kind = if part.ends_with(".css") { "style sheet" } else { "script" };
        all.push((kind, browser.look(part)?.wire));
    }
    let sum: usize = all.iter().map(|(_, bytes)| bytes).sum();
    let good = sum <= FIRST && all.len() == 4;
    let parts: Vec<String> = all.iter().map(|(name, bytes)| format!("{name} {bytes}")).collect();
    println!(
        "first page: {sum} bytes on the wire ({}): limit {FIRST}  {}",
        parts.join(", "),
        if good { "pass" } else { "FAIL" }
    );
    Ok(good)
}

#[allow(clippy::needless_pass_by_value)] // as errors are mapped
fn text(fault: impl std::fmt::Display) -> String {
    fault.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Seen {
        Seen { status: 200, location: None, took: 0.0, wire: 0, text: text.to_owned() }
    }

    #[test]
    fn a_list_leads_on_where_its_page_or_its_token_says() {
        let page = seen(
            r#"<a href="/ui/links?a=b">x</a> <a href="/ui/links?tag=x&amp;page=1.2" rel="next">Next page</a>"#,
        );
        assert_eq!(next_page(&page).as_deref(), Some("/ui/links?tag=x&page=1.2"));
        assert_eq!(next_page(&seen("<p>")), None);
        let call = seen(r#"{"links": [], "next_page_token": "a b"}"#);
        assert_eq!(
            next_call(&call, "/v1/links?page_size=50").unwrap(),
            "/v1/links?page_size=50&page_token=a%20b"
        );
        assert_eq!(next_call(&seen("{}"), "/v1/links"), None);
    }

    #[test]
    fn a_page_that_says_what_it_does_not_know_lacks_something() {
        assert_eq!(lacking(&seen("<p>all</p>")), None);
        assert!(lacking(&seen("<p>Clicks cannot be told: wait</p>")).is_some());
        assert!(lacking(&Seen { status: 429, ..seen("") }).is_some_and(|why| why.starts_with("429")));
    }
}
