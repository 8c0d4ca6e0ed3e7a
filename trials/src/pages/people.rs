//! `linkr-trials people`: a process of its own with people who click through the pages, each with his key and his time to
//! read, until nobody listens to it any more.

use super::browser::Browser;
use super::views::{self, Stock};
use clap::Args;
use serde::{Deserialize, Serialize};
use services::Random;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The shortest and the longest time that somebody reads, in milliseconds: fifty of them ask for some 14 pages a second.
const READS: (u64, u64) = (2_000, 5_000);
/// What this process says when all are signed in.
const READY: &str = "ready";

/// The flags.
#[derive(Args)]
pub struct People {
    /// The API of control
    #[arg(long)]
    api: SocketAddr,
    /// A file with a key for each of them, one in a line
    #[arg(long)]
    keys: PathBuf,
    #[command(flatten)]
    stock: Stock,
    /// What they choose by
    #[arg(long)]
    seed: u64,
}

/// What they saw.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct PeopleReport {
    /// How long each page took, in milliseconds, the shortest first.
    pub took: Vec<f64>,
    /// Pages that were refused, or that lacked something.
    pub lacking: Vec<String>,
}

/// Whether it is over, for those who read.
#[derive(Default)]
struct Closing {
    over: Mutex<bool>,
    told: Condvar,
}

impl Closing {
    fn begin(&self) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    /// Waits so long, or until it is over; whether it is.
    fn wait(&self, time: Duration) -> bool {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.told.wait_timeout_while(over, time, |over| !*over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl People {
    /// `true`: it is over, and was told as a line of JSON.
    ///
    /// # Errors
    /// Somebody is not let in, or control ends a connection.
    pub fn run(&self) -> Result<bool, String> {
        let keys = std::fs::read_to_string(&self.keys).map_err(text)?;
        let browsers = keys.lines().map(|key| Browser::sign_in(self.api, key));
        let browsers = browsers.collect::<Result<Vec<_>, _>>()?;
        println!("{READY}");
        let closing = &Closing::default();
        let mut report = PeopleReport::default();
        std::thread::scope(|scope| {
            let one = |(number, browser)| scope.spawn(move || self.click(number, browser, closing));
            let people: Vec<_> = (0..).zip(browsers).map(one).collect();
            // Until whoever started this process closes it.
            let closed = std::io::stdin().read_to_end(&mut Vec::new());
            closing.begin();
            for person in people {
                let own = person.join().map_err(|_| "somebody's thread ended")??;
                report.took.extend(own.took);
                report.lacking.extend(own.lacking);
            }
            closed.map_err(text)
        })?;
        report.took.sort_by(f64::total_cmp);
        println!("{}", serde_json::to_string(&report).map_err(text)?);
        Ok(true)
    }

    fn click(&self, number: u64, mut browser: Browser, closing: &Closing) -> Result<PeopleReport, String> {
        let mut random = Random::of(self.seed, number);
        let mut report = PeopleReport::default();
        // They do not all begin at once.
        let mut reads = Duration::from_millis(random.below(READS.1));
        while !closing.wait(reads) {
            let address = views::draw(&self.stock, &mut random);
            let seen = browser.look(&address)?;
            if let Some(why) = super::lacking(&seen) {
                report.lacking.push(format!("{address}: {why}"));
            }
            report.took.push(seen.took);
            reads = Duration::from_millis(random.between(READS.0, READS.1));
        }
        Ok(report)
    }
}

/// The process under way.
pub struct PeopleProcess {
    child: Child,
    closes: Option<ChildStdin>,
    says: BufReader<ChildStdout>,
}

impl PeopleProcess {
    /// Starts it and waits until all are signed in.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(api: SocketAddr, keys: &Path, stock: &Stock, seed: u64) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(text)?;
        let mut child = Command::new(own)
            .args(["people", "--api", &api.to_string(), "--keys"])
            .arg(keys)
            .args(["--links", &stock.links.to_string(), "--days", &stock.days.to_string()])
            .args(["--seed", &seed.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(text)?;
        let closes = child.stdin.take();
        let says = BufReader::new(child.stdout.take().ok_or("people say nothing")?);
        let mut new = Self { child, closes, says };
        match new.line()?.trim() {
            READY => Ok(new),
            other => Err(format!("people did not begin: {other}")),
        }
    }

    /// Ends it: what they saw.
    ///
    /// # Errors
    /// It ended before.
    pub fn end(mut self) -> Result<PeopleReport, String> {
        drop(self.closes.take());
        let line = self.line()?;
        serde_json::from_str(&line).map_err(|fault| format!("people said {line:?}: {fault}"))
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.says.read_line(&mut line).map_err(text)?;
        Ok(line)
    }
}

impl Drop for PeopleProcess {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it has ended, unless something else failed
        let _ = self.child.wait();
    }
}

#[allow(clippy::needless_pass_by_value)] // as errors are mapped
fn text(fault: impl std::fmt::Display) -> String {
    fault.to_string()
}
