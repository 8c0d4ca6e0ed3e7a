//! `linkr-trials handovers`: one process of an edge goes on in the place of another, again and again under load, and nobody tries
//! anything again.

use crate::attacks::Driver;
use crate::cores::{CoreTime, cpu_seconds};
use crate::fleet::{EDGE_CORE, Fleet, OTHER_CORE, pinned};
use crate::http::get;
use crate::load::{LoadProcess, begin_under};
use crate::process::linkr;
use crate::redis::links;
use clap::Args;
use serde_json::Value;
use services::stats::median;
use services::{Certificates, Process};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// p99.9 of a kind of visitors meanwhile, in their own when nothing else happens.
const P999: f64 = 1.5;
/// Requests of a kind in a quiet round, of which a thousandth says something.
const ENOUGH: u64 = 10_000;
/// From its start until a newcomer has taken over.
const READY: Duration = Duration::from_secs(3);
/// For a process to end that has handed over, and for the last clicks to be counted.
const PATIENCE: Duration = Duration::from_secs(30);
/// Behind an end, before the next newcomer comes: an edge that is busy with its start is no quiet one.
const PAUSE: Duration = Duration::from_millis(200);
/// What is left of a round when no further hand-over begins.
const TAIL: Duration = Duration::from_secs(5);
/// Links that are asked for: the generators read no more of them.
const ASKED: usize = 20_000;
/// Before a round is timed: five generators that begin beside each other are late, and so are those that they ask.
const BEGINNING: Duration = Duration::from_secs(2);
/// A quiet round takes no longer.
const QUIET: u64 = 20;
/// What generators run under: not only the threads that send are kept off the edge's core. Whatever else they do, such as
/// finding out which process answers, would be on it as well.
const UNDER: [&str; 3] = ["taskset", "-c", OTHER_CORE];
/// Longer than any kept connection of the load is silent.
const DRAIN: &str = "2s";
/// Every kind that is counted.
const CLICKS: &str = "/v1/clicks?kinds=human,repeat,bot,preview,prefetch,head,ignored,off";

/// One kind of visitors.
struct Kind {
    name: &'static str,
    /// Of all requests.
    part: f64,
    tls: bool,
    words: &'static [&'static str],
}

const KINDS: [Kind; 5] = [
    Kind { name: "kept", part: 0.9, tls: false, words: &["--connections", "32"] },
    Kind { name: "new", part: 0.05, tls: false, words: &["--connections", "16", "--new-connections"] },
    Kind { name: "TLS kept", part: 0.04, tls: true, words: &["--connections", "8"] },
    Kind {
        name: "TLS resumed",
        part: 0.0075,
        tls: true,
        words: &["--connections", "8", "--new-connections", "--resume"],
    },
    Kind {
        name: "TLS in full",
        part: 0.0025,
        tls: true,
        words: &["--connections", "8", "--new-connections"],
    },
];

/// The flags.
#[derive(Args)]
pub struct HandOvers {
    /// How many hand-overs there are in all; the newcomers take turns on the drivers
    #[arg(long, default_value_t = 100, value_name = "N")]
    count: usize,
    /// How many links the edge has
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    links: usize,
    /// Requests a second: 90 % on kept connections, 5 % on new ones, 5 % over TLS, a tenth of each for codes that no link has
    #[arg(long, default_value_t = 20_000.0, value_name = "PER_SECOND")]
    rate: f64,
    /// How long a round takes; the first and the last one are quiet
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    round: u64,
    /// The linkr of the version before, in whose place the new one goes, and the other way round, in turn [default: none]
    #[arg(long, env = "LINKR_BEFORE", value_name = "FILE")]
    before: Option<PathBuf>,
    /// Judge answers and clicks only: for a machine that is busy with other things
    #[arg(long)]
    untimed: bool,
}

/// The processes of one edge, one behind the other.
struct Succession {
    dir: PathBuf,
    control: String,
    words: Vec<String>,
    binaries: Vec<PathBuf>,
    /// How many there have been.
    processes: usize,
    current: Process,
}

/// Where the edge answers.
struct Place {
    listen: String,
    tls: String,
    admin: String,
}

/// What a newcomer took until it had taken over.
struct HandOver {
    time: Duration,
    /// Seconds of its core.
    cpu: f64,
}

/// How long visitors of one kind waited in one round, µs.
struct Waits {
    requests: u64,
    /// From when each request was due until the kernel took its answer in, less what the generator kept it waiting.
    p999: f64,
}

/// What a round came to.
struct Round {
    reports: Vec<Value>,
    hand_overs: Vec<HandOver>,
    /// Which part of the time the edge's core was busy, and the other one.
    busy: [f64; 2],
}

/// Of all rounds.
#[derive(Default)]
struct Outcome {
    requests: u64,
    wrong: u64,
    redirects: u64,
    hand_overs: Vec<HandOver>,
    /// Of quiet rounds, by kind of visitors.
    quiet: Vec<Vec<Waits>>,
    /// Of the others.
    then: Vec<Vec<Waits>>,
}

impl Succession {
    fn start(fleet: &Fleet, binaries: Vec<PathBuf>, tls: &[String]) -> Result<Self, String> {
        let mut words =
            ["--workers", "1", "--name", "edge", "--drain-timeout", DRAIN].map(str::to_owned).to_vec();
        words.extend(["--snapshot".to_owned(), fleet.path().join("edge.snapshot").to_string_lossy().into()]);
        words.extend_from_slice(tls);
        let (dir, control) = (fleet.path().to_owned(), format!("http://{}", fleet.api));
        let any = || "127.0.0.1:0".to_owned();
        let place = Place { listen: any(), tls: any(), admin: any() };
        let current = Self::process(&dir, &control, &words, &binaries[0], &place, (0, binaries.len()))?;
        Ok(Self { dir, control, words, binaries, processes: 1, current })
    }

    fn process(
        dir: &Path,
        control: &str,
        words: &[String],
        binary: &Path,
        place: &Place,
        (number, versions): (usize, usize),
    ) -> Result<Process, String> {
        // Each version on each.
        let driver = [Driver::Uring, Driver::Epoll][number / versions % 2];
        let under: Vec<String> = Driver::words(Some(driver)).collect();
        let mut all = vec!["edge", "--upgrade", "--control", control];
        all.extend(["--listen", &place.listen, "--listen-tls", &place.tls, "--admin", &place.admin]);
        all.extend(words.iter().map(String::as_str));
        let command = pinned(EDGE_CORE, &under, binary, dir, &all);
        let log = dir.join(format!("edge-{number}.log"));
        Process::hear(&command, &log, &["edge", "tls", "admin"]).map_err(|fault| fault.to_string())
    }

    fn address(&self, word: &str) -> Result<SocketAddr, String> {
        self.current.address(word).map_err(|fault| fault.to_string())
    }

    fn place(&self) -> Result<Place, String> {
        let text = |word| self.address(word).map(|address| address.to_string());
        Ok(Place { listen: text("edge")?, tls: text("tls")?, admin: text("admin")? })
    }

    /// Another process takes over, and the one before ends.
    fn hand_over(&mut self) -> Result<HandOver, String> {
        let place = self.place()?;
        let (number, versions) = (self.processes, self.binaries.len());
        let binary = &self.binaries[number % versions];
        let began = Instant::now();
        let heir = Self::process(&self.dir, &self.control, &self.words, binary, &place, (number, versions))?;
        let done = HandOver { time: began.elapsed(), cpu: cpu_seconds(heir.id()) };
        self.processes += 1;
        let mut old = std::mem::replace(&mut self.current, heir);
        let began = Instant::now();
        while !old.ended().map_err(|fault| format!("{fault}: {}", old.told()))? {
            if began.elapsed() > PATIENCE {
                return Err(format!("the process that handed over does not end: {}", old.told()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(done)
    }
}

impl HandOvers {
    /// `true`: within the limits.
    ///
    /// # Errors
    /// The trial itself failed.
    pub async fn run(self) -> Result<bool, String> {
        let Some(fleet) = Fleet::start(false)? else { return Ok(true) };
        let certificates = Certificates::new().map_err(|fault| fault.to_string())?;
        let file = |name: &str| certificates.file(name).to_string_lossy().into_owned();
        let tls = ["--tls-cert".to_owned(), file("cert.pem"), "--tls-key".to_owned(), file("key.pem")];
        let file = links(&fleet, 0..self.links)?;
        fleet.import(&file)?;
        let file = links(&fleet, 0..self.links.min(ASKED))?;
        let own = linkr()?;
        let binaries = match &self.before {
            Some(before) if !before.is_file() => return Err(format!("there is no {}", before.display())),
            Some(before) => vec![before.clone(), own],
            None => {
                println!(
                    "SKIPPED: hand-overs from and to the version before: --before or LINKR_BEFORE names none"
                );
                vec![own]
            }
        };
        let mut edge = Succession::start(&fleet, binaries, &tls)?;
        let ready = async || {
            let admin = edge.address("admin")?;
            let began = Instant::now();
            while !get(admin, "/readyz").await.is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                if began.elapsed() > PATIENCE * 2 {
                    return Err("the first process does not get ready".to_owned());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        ready().await?;
        println!(
            "{} links, {} requests a second; p99.9 in µs from when each was due, less what the generator kept it waiting, and in brackets that of this; \
             generators and control on core {OTHER_CORE}, the processes of the edge on core {EDGE_CORE}",
            self.links, self.rate
        );
        let mut outcome = Outcome::default();
        outcome.add(self.round(&fleet, &file, &mut edge, 0)?);
        while outcome.hand_overs.len() < self.count {
            let left = self.count - outcome.hand_overs.len();
            outcome.add(self.round(&fleet, &file, &mut edge, left)?);
        }
        outcome.add(self.round(&fleet, &file, &mut edge, 0)?);
        let counted = self.counted(&fleet, outcome.redirects).await?;
        Ok(self.judge(&outcome, counted))
    }

    /// Visitors for as long as a round takes, and hand-overs, `most` at most.
    fn round(&self, fleet: &Fleet, file: &Path, edge: &mut Succession, most: usize) -> Result<Round, String> {
        let began = Instant::now();
        let loads: Vec<LoadProcess> = KINDS
            .iter()
            .map(|kind| self.load(kind, fleet, file, edge, most == 0))
            .collect::<Result<_, _>>()?;
        let (round, mut hand_overs) = (Duration::from_secs(self.round), Vec::new());
        std::thread::sleep(BEGINNING + Duration::from_secs(1)); // they read the links, and connect, before they begin
        let before = [EDGE_CORE, OTHER_CORE].map(CoreTime::of);
        while hand_overs.len() < most && began.elapsed() + TAIL < round {
            hand_overs.push(edge.hand_over()?);
            std::thread::sleep(PAUSE);
        }
        let reports = loads.into_iter().map(LoadProcess::end).collect::<Result<_, _>>()?;
        let [of_edge, other] = before;
        let busy = [CoreTime::of(EDGE_CORE).busy_since(of_edge), CoreTime::of(OTHER_CORE).busy_since(other)];
        Ok(Round { reports, hand_overs, busy })
    }

    fn load(
        &self,
        kind: &Kind,
        fleet: &Fleet,
        file: &Path,
        edge: &Succession,
        is_quiet: bool,
    ) -> Result<LoadProcess, String> {
        let url = match kind.tls {
            true => format!("https://{}", edge.address("tls")?),
            false => format!("http://{}", edge.address("edge")?),
        };
        let time = if is_quiet { self.round.min(QUIET) } else { self.round };
        let (rate, time) = (format!("{}", self.rate * kind.part), time.to_string());
        let beginning = BEGINNING.as_secs().to_string();
        let file = file.to_string_lossy();
        let mut words =
            vec!["--rate", &rate, "--time", &time, "--unknown", "0.1", "--links", &file, "--trust-any"];
        words.extend(["--core", OTHER_CORE, "--shares-core", "--warmup", &beginning]);
        words.extend(kind.words);
        begin_under(&UNDER, &url, &words, fleet.path(), &kind.name.replace(' ', "-"))
    }

    /// What control has counted, when it is as many, or no more come.
    async fn counted(&self, fleet: &Fleet, wanted: u64) -> Result<u64, String> {
        let began = Instant::now();
        loop {
            let said = get(fleet.api, CLICKS).await.ok_or("control does not say its clicks")?;
            let body = said.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            let said: Value = serde_json::from_str(body).map_err(|fault| format!("{fault}: {body}"))?;
            let total =
                said["total"].as_str().and_then(|total| total.parse().ok()).or(said["total"].as_u64());
            let total = total.unwrap_or(0);
            if total >= wanted || began.elapsed() > PATIENCE {
                return Ok(total);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn judge(&self, outcome: &Outcome, counted: u64) -> bool {
        let Outcome { requests, wrong, redirects, hand_overs, quiet, then } = outcome;
        let slowest = hand_overs.iter().map(|done| done.time).max().unwrap_or_default();
        let cpu = median(&hand_overs.iter().map(|done| done.cpu).collect::<Vec<_>>());
        let mut good = true;
        let mut limit = |what: String, holds: bool| {
            println!("{what}{}", if holds { "" } else { "   BEYOND THE LIMIT" });
            good &= holds;
        };
        let count = hand_overs.len();
        limit(format!("{count} hand-overs: {wrong} of {requests} failed or wrong"), *wrong == 0);
        limit(format!("{redirects} redirects, {counted} clicks counted"), *redirects == counted);
        let timed = |holds: bool| holds || self.untimed;
        limit(
            format!(
                "the slowest newcomer was ready after {slowest:.2?} (limit {READY:?}); in the median one uses {cpu:.2} s of its core \
                 until then"
            ),
            timed(slowest <= READY),
        );
        for (kind, (quiet, then)) in KINDS.iter().zip(quiet.iter().zip(then)) {
            let [quiet_p999, then_p999] = [quiet, then]
                .map(|rounds| median(&rounds.iter().map(|waits| waits.p999).collect::<Vec<_>>()));
            let ratio = then_p999 / quiet_p999;
            let enough = quiet.iter().all(|waits| waits.requests >= ENOUGH);
            let said = if enough { "" } else { "; too few to judge" };
            let what = format!(
                "{:12} p99.9 {quiet_p999:9.0} quiet, {then_p999:9.0} then: {ratio:.2}{said}",
                kind.name
            );
            limit(what, timed(!enough || ratio <= P999));
        }
        good
    }
}

impl Outcome {
    fn add(&mut self, round: Round) {
        let Round { reports, mut hand_overs, busy: [of_edge, other] } = round;
        let into = if hand_overs.is_empty() { &mut self.quiet } else { &mut self.then };
        into.resize_with(KINDS.len(), Vec::new);
        let mut said = Vec::new();
        for ((report, kind), all) in reports.iter().zip(&KINDS).zip(into) {
            for phase in [&report["cold"], &report["warm"]] {
                let [requests, right, redirects] =
                    [&phase["requests"], &phase["right"], &phase["statuses"]["3xx"]]
                        .map(|count| count.as_u64().unwrap_or(0));
                self.requests += requests;
                self.wrong += requests - right.min(requests);
                self.redirects += redirects;
                if requests != right {
                    println!("{}: {}", kind.name, phase["fates"]);
                }
            }
            let warm = &report["warm"];
            let requests = warm["requests"].as_u64().unwrap_or(0);
            let [p999, late] =
                ["served", "lateness"].map(|what| warm[what]["p999"].as_f64().unwrap_or(f64::NAN));
            said.push(format!("{} {p999:.0} ({late:.0})", kind.name));
            all.push(Waits { requests, p999 });
        }
        println!(
            "{:2} hand-overs, cores {:2.0} and {:2.0} % busy: {}",
            hand_overs.len(),
            of_edge * 100.0,
            other * 100.0,
            said.join(", ")
        );
        self.hand_overs.append(&mut hand_overs);
    }
}
