//! `run` and `replay`: one load, one report.

use crate::args::{LoadArgs, Replay, Run, TargetArgs, WatchArgs};
use crate::engine::{self, Clicks, LiveCounts, RunMoment, RunResult};
use crate::keys::{Keys, read_clicks};
use crate::law::{self, ClickLaw};
use crate::measure::{Fate, Measurement};
use crate::peers::{self, Peer};
use crate::plan::{Pace, Plan};
use crate::report::{self, Phase, Report};
use crate::server::{History, Reading, Server, Syscalls};
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// `run`.
pub fn run(args: &Run) -> Result<ExitCode, String> {
    let pace = args.rate.map_or(Pace::Flat, Pace::Rate);
    let target = Target::new(&args.target, &args.load, &args.watch)?;
    let plan = target.plan(&args.load, pace)?;
    finish(&plan, &args.load, &target.watch, &target.keys, None)
}

/// The server of a run, which may have to be started.
pub struct Target {
    url: String,
    /// What to ask it for.
    pub keys: Arc<Keys>,
    /// Where to look meanwhile.
    pub watch: WatchArgs,
    peer: Option<Peer>,
}

impl Target {
    /// As the words say.
    ///
    /// # Errors
    /// One line: it does not start, or there is nothing to ask for.
    pub fn new(target: &TargetArgs, load: &LoadArgs, watch: &WatchArgs) -> Result<Self, String> {
        let (url, mut watch) = (target.url.clone(), watch.clone());
        if url.contains(':') {
            return Ok(Self { url, keys: load.mix(load.wire.read()?)?, watch, peer: None });
        }
        let keys = load.read_or_make()?;
        let peer = peers::start(&url, &keys, load)?;
        watch.admin = watch.admin.or(peer.admin);
        Ok(Self { url: peer.url(), keys: load.mix(peer.keys(keys))?, watch, peer: Some(peer) })
    }

    /// How to load it.
    ///
    /// # Errors
    /// One line: what cannot be meant.
    pub fn plan(&self, load: &LoadArgs, pace: Pace) -> Result<Plan, String> {
        self.peer.as_ref().map_or_else(|| load.plan(&self.url, pace), |peer| peer.plan(load, pace))
    }
}

/// `replay`.
pub fn replay(args: &Replay) -> Result<ExitCode, String> {
    let (load, mut keys) = (args.wire.recorded(), args.wire.read()?);
    let clicks = read_clicks(&args.clicks, &mut keys)?;
    let speed = args.speed.unwrap_or(f64::INFINITY);
    let plan = load.plan(&args.url, Pace::Recorded(speed))?;
    let first = clicks.first().map_or(0.0, |click| click.0);
    let at = |time: f64| if speed.is_finite() { ((time - first) / speed * 1e9) as u64 } else { 0 };
    let clicks: Clicks = Arc::new(clicks.into_iter().map(|(time, key)| (at(time), key)).collect());
    let keys = load.mix(keys)?;
    let best = best_on_demand(&clicks);
    let status = finish(&plan, &load, &args.watch, &keys, Some(&clicks))?;
    println!(
        "a cache of any size that fills on demand could answer {:.2} % of these clicks from memory",
        best * 100.0
    );
    Ok(status)
}

/// The part of the clicks that are not the first on their key: what the best cache that fills on demand could hit.
fn best_on_demand(clicks: &Clicks) -> f64 {
    let mut seen = std::collections::HashSet::new();
    let again = clicks.iter().filter(|(_, key)| !seen.insert(*key)).count();
    again as f64 / clicks.len().max(1) as f64
}

fn finish(
    plan: &Plan,
    load: &LoadArgs,
    watch: &WatchArgs,
    keys: &Arc<Keys>,
    clicks: Option<&Clicks>,
) -> Result<ExitCode, String> {
    let (report, done) = measure(plan, load, watch, keys, clicks, true)?;
    print!("{}", report::print(&report));
    if let Some(dir) = &watch.out {
        report::write_all(dir, &report, &done)?;
        println!("written        {}", dir.join("report.html").display());
    }
    let lawful = report.clicks.as_ref().is_none_or(|law| law.broken.is_none());
    let all_right = report.warm.right == report.warm.requests && lawful;
    Ok(if all_right { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Runs a plan and makes its report.
///
/// # Errors
/// As [`engine::run`].
pub fn measure(
    plan: &Plan,
    load: &LoadArgs,
    watch: &WatchArgs,
    keys: &Arc<Keys>,
    clicks: Option<&Clicks>,
    show: bool,
) -> Result<(Report, RunResult), String> {
    let server = Server::find(plan.url.address, watch.admin);
    let mut line = show.then(|| ProgressLine::new(plan, clicks));
    let (mut readings, mut history) = (Vec::<Reading>::new(), History::new());
    let mut syscalls = None;
    // Only where it is kept: a scrape now and then would show in the CPU time of short rounds.
    let looks = watch.admin.is_some() && watch.out.is_some();
    let done = engine::run(plan, keys, clicks, load.seed, |live, since, moment| match moment {
        RunMoment::Begin => {
            let reading = law::before(|| server.read());
            history.take(since, &reading);
            readings.push(reading);
        }
        RunMoment::End => {
            let reading = server.read();
            history.take(since, &reading);
            readings.push(reading);
        }
        RunMoment::Warm => {
            let reading = server.read();
            history.warm(since, &reading);
            readings.push(reading);
            syscalls = (watch.syscalls && !server.pids.is_empty()).then(|| Syscalls::start(&server.pids));
        }
        RunMoment::Tick => {
            if looks && history.is_due(since) {
                history.take(since, &server.read());
            }
            line.iter_mut().for_each(|line| line.say(live, since));
        }
    })?;
    line.iter().for_each(|line| line.bar.finish_and_clear());
    let [begin, warm_from, end] = &readings[..] else { return Err("the run ended before it began".into()) };
    // Requests are due over the whole time of a rate; the last one is sent a little before its end.
    let least = if let Pace::Rate(_) = plan.pace { plan.time } else { Duration::ZERO };
    let took = done.took.max(least).as_secs_f64();
    let [cold_tiers, warm_tiers] = history.phases();
    let mut warm = Phase::of(&done.warm, took, warm_from, end);
    warm.tiers_over_time = warm_tiers;
    warm.syscalls = syscalls.and_then(Syscalls::stop).map(|calls| calls as f64 / warm.requests.max(1) as f64);
    let cold = (!plan.warmup.is_zero()).then(|| {
        let cold = Phase::of(&done.cold, plan.warmup.as_secs_f64(), begin, warm_from);
        Phase { tiers_over_time: cold_tiers, ..cold }
    });
    let unanswered: u64 = [&done.cold, &done.warm].map(|phase| phase.all() - answered(phase)).iter().sum();
    let settled = law::after(begin, || server.read());
    let clicks = settled.and_then(|settled| ClickLaw::of(begin, &settled, unanswered));
    let open = !matches!(plan.pace, Pace::Flat)
        && !matches!(plan.pace, Pace::Recorded(speed) if speed.is_infinite());
    let report = Report {
        layout: 1,
        version: env!("CARGO_PKG_VERSION").into(),
        target: plan.url.text.clone(),
        load: load.describe(plan.pace),
        offered: if let Pace::Rate(rate) = plan.pace { Some(rate) } else { None },
        cold,
        void: report::void(open, &warm),
        warm,
        clicks,
    };
    Ok((report, done))
}

/// Requests whose answer came whole, right or wrong.
fn answered(phase: &Measurement) -> u64 {
    let whole = [Fate::Right, Fate::WrongLocation, Fate::WrongStatus, Fate::ServerError];
    whole.iter().map(|fate| phase.fates[*fate as usize]).sum()
}

/// What is said while a run is under way.
struct ProgressLine {
    bar: ProgressBar,
    /// The bar counts answers, not time: recorded clicks take as long as they take.
    counts: bool,
    /// When the rate was looked at last, what had been answered by then, and the rate.
    last: (Duration, u64, f64),
}

impl ProgressLine {
    fn new(plan: &Plan, clicks: Option<&Clicks>) -> Self {
        let whole = clicks.map_or((plan.warmup + plan.time).as_millis() as u64, |clicks| clicks.len() as u64);
        let bar = ProgressBar::new(whole);
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, counts: clicks.is_some(), last: (Duration::ZERO, 0, 0.0) }
    }

    fn say(&mut self, live: &LiveCounts, since: Duration) {
        let (right, wrong) = (live.right.load(Ordering::Relaxed), live.wrong.load(Ordering::Relaxed));
        let behind = live.behind.load(Ordering::Relaxed);
        let (then, before, rate) = self.last;
        let passed = (since - then).as_secs_f64();
        // The rate of now: an average since the start would hide a server that has stopped.
        if passed >= 0.5 || rate == 0.0 {
            self.last = (since, right, (right - before) as f64 / passed.max(0.001));
        }
        self.bar.set_position(if self.counts { right + wrong } else { since.as_millis() as u64 });
        self.bar
            .set_message(format!("{:.0} /s  right {right}  wrong {wrong}  waiting {behind}", self.last.2));
    }
}
