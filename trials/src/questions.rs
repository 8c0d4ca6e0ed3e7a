//! `linkr-trials questions`: how long questions about clicks take on a store that `xtask gen-clicks` has filled, and how long
//! visitors wait while their edge's control is asked without end.

use crate::attacks::Driver;
use crate::connection::Connection;
use crate::fleet::{Edge, Fleet, OTHER_CORE};
use crate::hits::{self, Triple};
use crate::http;
use crate::redis::{links, row};
use clap::Args;
use prost_types::Timestamp;
use services::stats::median;
use services::{Random, Zipf};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Hits a second, on kept connections.
const HITS: f64 = 4_000.0;
/// A round of them.
const ROUND: Duration = Duration::from_secs(4);
/// Who asks at once in a storm.
const ASKERS: u64 = 8;
/// Links of a list, and those that are known as the most clicked.
const TOP: usize = 100;
const KNOWN: usize = 1_000;
/// p99 beside a storm, in that without.
const P99: f64 = 1.2;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// As `xtask gen-clicks` draws links.
const ZIPF: f64 = 0.9;
const ROOM: usize = 4 << 30;
const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Chatham", "America/New_York"];
const DIMENSIONS: [&str; 6] = ["country", "device", "browser", "os", "referrer", "language"];
/// Values of two of them, as `xtask gen-clicks` draws them: frequent and rare ones.
const VALUES: [&str; 8] = [
    "countries=AA&devices=desktop",
    "countries=AB&browsers=Safari",
    "browsers=Firefox&oses=Linux",
    "devices=mobile&languages=de",
    "referrers=site-0.example&countries=AC",
    "oses=iPhone&browsers=Safari",
    "languages=en&referrers=site-7.example",
    "countries=CZ&languages=nl",
];

/// The flags.
#[derive(Args)]
pub struct Questions {
    /// The store, made by `xtask gen-clicks CLICKS LINKS DAYS FILE`
    #[arg(long, value_name = "FILE")]
    store: PathBuf,
    /// How many links it has clicks on
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    links: usize,
    /// For how many days
    #[arg(long, default_value_t = 120, value_name = "N")]
    days: i64,
    /// How often each kind of question about a link is asked
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    each: usize,
    /// Rounds of visitors: quiet, beside a storm, and quiet again
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
    /// What the edge runs on [default: what the machine allows]
    #[arg(long, value_enum)]
    driver: Option<Driver>,
    /// Judge answers only: for a machine that is busy with other things
    #[arg(long)]
    untimed: bool,
}

/// A kind of question, and how long 99 of a hundred may take, in ms.
struct QuestionKind {
    name: &'static str,
    most: f64,
    /// Of [`Questions::each`] one in so many.
    one_in: usize,
    path: fn(&mut Asker) -> String,
}

const KINDS: [QuestionKind; 6] = [
    QuestionKind {
        name: "a link, as often as it is clicked",
        most: 20.0,
        one_in: 1,
        path: |a| a.of_link(Chosen::Clicked),
    },
    QuestionKind { name: "a link, each as often", most: 20.0, one_in: 1, path: |a| a.of_link(Chosen::Any) },
    QuestionKind { name: "the most clicked link", most: 20.0, one_in: 2, path: |a| a.of_link(Chosen::First) },
    QuestionKind { name: "the 100 most clicked links", most: 100.0, one_in: 10, path: Asker::top },
    QuestionKind {
        name: "two dimensions, 30 days, a link",
        most: 200.0,
        one_in: 1,
        path: |a| a.two(Chosen::Clicked),
    },
    QuestionKind {
        name: "the same of the most clicked link",
        most: 200.0,
        one_in: 5,
        path: |a| a.two(Chosen::First),
    },
];

/// Which link is asked about.
#[derive(Clone, Copy)]
enum Chosen {
    /// As often as it is clicked.
    Clicked,
    /// Each as often as any other.
    Any,
    /// The one that is clicked most.
    First,
}

/// What every question is drawn from.
struct ClickStock {
    /// Codes of the most clicked links.
    known: Vec<String>,
    by_link: Zipf,
    links: usize,
    from: i64,
    until: i64,
}

/// Somebody who asks one question after the other, on one connection.
struct Asker {
    connection: Connection,
    random: Random,
    stock: Arc<ClickStock>,
}

impl Asker {
    fn new(api: SocketAddr, seed: u64, stock: Arc<ClickStock>) -> Result<Self, String> {
        Ok(Self { connection: Connection::new(api)?, random: Random::new(seed), stock })
    }

    /// The answer, and how many milliseconds it took.
    fn ask(&mut self, path: &str) -> Result<(http::Reply, f64), String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.connection.ask(&request).map_err(|fault| format!("{path}: {fault}"))
    }

    /// The answer's body.
    fn body(&mut self, path: &str) -> Result<serde_json::Value, String> {
        let (reply, _) = self.ask(path)?;
        let body = serde_json::from_slice(self.connection.body()).map_err(text)?;
        if reply.status == 200 { Ok(body) } else { Err(format!("{path}: {body}")) }
    }

    /// As [`Asker::ask`], again and again while control says that it was too much.
    fn milliseconds(&mut self, path: &str) -> Result<f64, String> {
        loop {
            match self.ask(path)? {
                (reply, ms) if reply.status == 200 => return Ok(ms),
                (reply, _) if reply.status == 429 => std::thread::sleep(Duration::from_millis(200)),
                (reply, _) => {
                    let body = String::from_utf8_lossy(self.connection.body());
                    return Err(format!("{path}: {} {body}", reply.status));
                }
            }
        }
    }

    fn code(&mut self, chosen: Chosen) -> String {
        let rank = match chosen {
            Chosen::Clicked => self.stock.by_link.draw(&mut self.random),
            Chosen::Any => usize::MAX,
            Chosen::First => 0,
        };
        // Beyond those that are known by name one is clicked nearly as often as the next.
        let known = self.stock.known.get(rank).cloned();
        known.unwrap_or_else(|| row(self.random.below(self.stock.links)).0)
    }

    /// Any part of the time, from an hour to all of it, and any end.
    fn span(&mut self) -> (i64, i64) {
        let all = self.stock.until - self.stock.from;
        let length = (HOUR as f64 * (all as f64 / HOUR as f64).powf(self.random.unit())) as i64;
        let from = self.stock.from + (self.random.unit() * (all - length) as f64) as i64;
        (from, from + length)
    }

    fn of_link(&mut self, chosen: Chosen) -> String {
        let ((from, until), code) = (self.span(), self.code(chosen));
        let step = match until - from {
            length if length <= 2 * DAY => ["quarter", "hour"][self.random.below(2)],
            length if length <= 14 * DAY => ["hour", "day"][self.random.below(2)],
            _ => ["day", "week", "month"][self.random.below(3)],
        };
        let by = match self.random.below(4) {
            0 => String::new(),
            1 => format!("&group_by={step}"),
            2 => format!("&group_by={}", self.dimension()),
            // More than 100,000 counts of one answer are refused: who asks for a table takes a few dozen spans.
            _ => format!("&group_by={},{}", wide(until - from), self.dimension()),
        };
        let zone = ZONES[self.random.below(ZONES.len())];
        format!("/v1/links/{code}:clicks?{}&zone={zone}{by}&limit=20", between(from, until))
    }

    fn dimension(&mut self) -> &'static str {
        DIMENSIONS[self.random.below(DIMENSIONS.len())]
    }

    fn top(&mut self) -> String {
        let (from, until) = self.span();
        format!("/v1/clicks?{}&group_by=link&limit={TOP}", between(from, until))
    }

    fn two(&mut self, chosen: Chosen) -> String {
        let (code, until) = (self.code(chosen), self.stock.until);
        let of = VALUES[self.random.below(VALUES.len())];
        let by = ["", "&group_by=day", "&group_by=device"][self.random.below(3)];
        format!("/v1/links/{code}:clicks?{}&{of}{by}", between(until - 30 * DAY, until))
    }
}

/// The span of time by which a table has some dozen lines.
fn wide(length: i64) -> &'static str {
    match length {
        length if length <= 2 * DAY => "hour",
        length if length <= 30 * DAY => "day",
        length if length <= 200 * DAY => "week",
        _ => "month",
    }
}

fn between(from: i64, until: i64) -> String {
    let [from, until] = [from, until].map(|seconds| Timestamp { seconds, nanos: 0 });
    format!("start_time={from}&end_time={until}")
}

impl Questions {
    /// `true`: within the limits.
    ///
    /// # Errors
    /// The trial itself failed.
    pub async fn run(self) -> Result<bool, String> {
        let store = std::path::absolute(&self.store).map_err(text)?;
        if !store.is_file() {
            return Err(format!("there is no {}: xtask gen-clicks makes it", store.display()));
        }
        let Some(mut fleet) = Fleet::start_on(&format!("sqlite:{}", store.display()), false)? else {
            return Ok(true);
        };
        if !self.has_links(fleet.api)? {
            println!("{}", fleet.import(&links(&fleet, 0..self.links)?)?);
        }
        fleet.settle().await?;
        let stock = self.stock(fleet.api)?;
        let mut good = self.quick(fleet.api, &stock)?;
        if self.rounds > 0 {
            if !self.untimed {
                hits::prefer(OTHER_CORE)?;
            }
            fleet.under.extend(Driver::words(self.driver));
            let edge = fleet.edge(ROOM).await?;
            good &= self.beside(fleet.api, &edge, &stock)?;
        }
        println!("{}", if good { "within the limits" } else { "BEYOND THE LIMITS" });
        Ok(good)
    }

    /// Whether the links are in the store, from a trial before: they are imported in their order.
    fn has_links(&self, api: SocketAddr) -> Result<bool, String> {
        let last = self.links.checked_sub(1).ok_or("--links 0: there is nothing to ask about")?;
        let path = format!("/v1/links/{}", row(last).0);
        let (reply, _) = Asker::new(api, 0, self.stock_of(Vec::new())?)?.ask(&path)?;
        match reply.status {
            200 => Ok(true),
            404 => Ok(false),
            status => Err(format!("{path}: {status}")),
        }
    }

    /// What questions are drawn from where these are the most clicked links.
    fn stock_of(&self, known: Vec<String>) -> Result<Arc<ClickStock>, String> {
        let until = SystemTime::now().duration_since(UNIX_EPOCH).map_err(text)?.as_secs() as i64;
        Ok(Arc::new(ClickStock {
            known,
            by_link: Zipf::new(self.links, ZIPF),
            links: self.links,
            from: until - self.days * DAY,
            until,
        }))
    }

    fn stock(&self, api: SocketAddr) -> Result<Arc<ClickStock>, String> {
        let stock = self.stock_of(Vec::new())?;
        let all = between(stock.from, stock.until);
        let mut asker = Asker::new(api, 0, stock)?;
        let answer = asker.body(&format!("/v1/clicks?{all}&group_by=link&limit={KNOWN}"))?;
        let rows = answer["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        let code = |row: &serde_json::Value| row["keys"][0].as_str().map(str::to_owned);
        let known: Vec<String> = rows.iter().filter_map(code).collect();
        let whole = asker.body(&format!("/v1/clicks?{all}&group_by=kind"))?;
        println!(
            "{} clicks of {} days; the most clicked link, {}, has {} of people",
            whole["total"],
            self.days,
            known.first().ok_or("no link has clicks")?,
            rows[0]["count"]
        );
        self.stock_of(known)
    }

    /// How long each kind takes, one at a time.
    fn quick(&self, api: SocketAddr, stock: &Arc<ClickStock>) -> Result<bool, String> {
        println!(
            "{:36} {:>6} {:>8} {:>8} {:>8} {:>12}",
            "one at a time, ms", "asked", "p50", "p99", "most", "limit of p99"
        );
        let mut good = true;
        for (kind, seed) in KINDS.iter().zip(1..) {
            let mut asker = Asker::new(api, seed, Arc::clone(stock))?;
            let mut took = Vec::new();
            for _ in 0..(self.each / kind.one_in).max(1) {
                let path = (kind.path)(&mut asker);
                took.push((asker.milliseconds(&path)?, path));
            }
            took.sort_by(|one, other| one.0.total_cmp(&other.0));
            let at = |part: f64| took[((took.len() as f64 * part) as usize).min(took.len() - 1)].0;
            let (p99, (most, slowest)) = (at(0.99), &took[took.len() - 1]);
            let is_good = p99 <= kind.most;
            let verdict = match (is_good, self.untimed) {
                (true, _) => "pass".to_owned(),
                (false, true) => "beyond it, untimed".to_owned(),
                (false, false) => format!("FAIL: {slowest}"),
            };
            println!(
                "{:36} {:6} {:8.2} {p99:8.2} {most:8.2} {:12.0}  {verdict}",
                kind.name,
                took.len(),
                at(0.5),
                kind.most,
            );
            good &= is_good || self.untimed;
        }
        Ok(good)
    }

    /// How long visitors wait meanwhile.
    fn beside(&self, api: SocketAddr, edge: &Edge, stock: &Arc<ClickStock>) -> Result<bool, String> {
        println!(
            "The edge is alone on its core; control and those who ask it share the generator's, and have to wait for it. {HITS} hits a \
             second, µs from when each was due until its answer arrived, less what the generator itself was late:"
        );
        let codes: Vec<String> = stock.known.clone();
        let time = if self.untimed { ROUND / 8 } else { ROUND };
        let (mut triples, mut rounds) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let quiet = hits::drive(edge.address, &codes, HITS, time)?;
            let storm = Storm::begin(api, stock)?;
            let beside = hits::drive(edge.address, &codes, HITS, time);
            let [answered, refused] = storm.end()?;
            let quiet = [quiet, hits::drive(edge.address, &codes, HITS, time)?];
            let triple = Triple { quiet, beside: beside? };
            println!("{}", triple.told(&format!("{answered} answers, {refused} refusals")));
            triples.push(triple);
            rounds.push(answered as f64 / time.as_secs_f64());
        }
        println!("{:.0} questions a second", median(&rounds));
        Ok(hits::judge(&triples, P99, self.untimed))
    }
}

/// Questions of all kinds, as many at once as there are askers, until it is ended.
struct Storm {
    over: Arc<AtomicBool>,
    counts: Arc<[AtomicU64; 2]>,
    askers: Vec<std::thread::JoinHandle<Result<(), String>>>,
}

impl Storm {
    fn begin(api: SocketAddr, stock: &Arc<ClickStock>) -> Result<Self, String> {
        let (over, counts) = (Arc::new(AtomicBool::new(false)), Arc::<[AtomicU64; 2]>::default());
        let askers = (0..ASKERS).map(|seed| {
            let mut asker = Asker::new(api, 100 + seed, Arc::clone(stock))?;
            let (over, counts) = (Arc::clone(&over), Arc::clone(&counts));
            Ok(std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let kind = &KINDS[asker.random.below(KINDS.len())];
                    let path = (kind.path)(&mut asker);
                    let (reply, _) = asker.ask(&path)?;
                    match reply.status {
                        200 => counts[0].fetch_add(1, Ordering::Relaxed),
                        // Callers of one address are refused beyond some hundred a second: they come again.
                        429 => {
                            std::thread::sleep(Duration::from_millis(5));
                            counts[1].fetch_add(1, Ordering::Relaxed)
                        }
                        status => return Err(format!("{path}: {status}")),
                    };
                }
                Ok(())
            }))
        });
        let askers = askers.collect::<Result<_, String>>()?;
        Ok(Self { over, counts, askers })
    }

    /// How many were answered, and refused.
    fn end(self) -> Result<[u64; 2], String> {
        self.over.store(true, Ordering::Relaxed);
        for asker in self.askers {
            asker.join().map_err(|_| "an asker ended")??;
        }
        Ok([0, 1].map(|of| self.counts[of].load(Ordering::Relaxed)))
    }
}

#[allow(clippy::needless_pass_by_value)] // as errors are mapped
fn text(fault: impl std::fmt::Display) -> String {
    fault.to_string()
}
