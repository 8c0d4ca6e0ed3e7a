//! `linkr conform`: asks an edge for every link of a file, and says where its answer is another than the file's.

mod way;

use super::import::{bar, open};
use crate::args::{Conform, Output};
use crate::fault::CommandFault;
use crate::out;
use link::TargetFault;
use proto::v1::{Link, QueryPolicy};
use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use way::{Connection, EdgeAddress, EdgeAnswer};

/// Connections to the edge.
const CONNECTIONS: usize = 4;
/// Requests on their way on each: an edge answers as many at once.
const AT_ONCE: usize = 64;
/// Codes that no file has, which are asked for as well.
const UNKNOWN: usize = 100;
/// The query of each request: what becomes of it says whether a link passes queries on.
const QUERY: &str = "linkr-conform=1";
/// Tries of a part whose connection ends before its answers are there: an edge ends one after 10,000 requests.
const TRIES: usize = 3;

/// What an edge may miss for so long after it was acknowledged: an import that ended just before.
const BEHIND: Duration = Duration::from_secs(1);
/// Answers that are another than they should be and are asked for again after that; further ones are told at once.
const AGAIN: usize = 100_000;

/// What a request should be answered with.
#[derive(Clone)]
struct Expectation {
    /// In the file; 0 for an unknown code.
    line: u64,
    /// The host that the file has it under; empty: it does not say.
    host: String,
    code: String,
    want: EdgeAnswer,
    /// Whether only a server that was told to takes such a target: another one has no link there.
    special: bool,
}

/// Rows that are no links, by the reason for it.
type SkippedRows = BTreeMap<&'static str, u64>;

/// Whom is asked, and what came of it.
struct ConformRun<'a> {
    args: &'a Conform,
    edge: EdgeAddress,
    checked: AtomicU64,
    differences: AtomicU64,
    /// What is to be asked again; nothing any more once it is.
    again: Mutex<Option<Vec<Expectation>>>,
}

/// The parts that are left; nothing once one has failed.
type ExpectationQueue = Mutex<Option<Receiver<Vec<Expectation>>>>;

/// Runs it.
///
/// # Errors
/// Exit status 1 when an answer is another than it should be.
pub fn conform(args: &Conform) -> Result<(), CommandFault> {
    let began = Instant::now();
    let edge = EdgeAddress::at(&args.edge, args.edge_ca.as_deref(), &args.domain)?;
    let again = Mutex::new(Some(Vec::new()));
    let asking = ConformRun { args, edge, checked: AtomicU64::new(0), differences: AtomicU64::new(0), again };
    let (send, parts) = sync_channel(CONNECTIONS);
    let parts = Mutex::new(Some(parts));
    let skipped = std::thread::scope(|scope| {
        let all: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| asking.all(&parts))).collect();
        let read = read(args, &send);
        drop(send);
        for asked in all {
            asked.join().unwrap_or_else(|_| Err(CommandFault::new("asking stopped unexpectedly")))?;
        }
        read
    })?;
    asking.once_more()?;
    let (checked, differences) = (asking.checked.into_inner(), asking.differences.into_inner());
    let took = began.elapsed().as_secs_f64();
    let passed: u64 = skipped.values().sum();
    let reasons: Vec<String> = skipped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    out::line(&match args.output {
        Output::Text | Output::Url => format!(
            "asked for {checked} codes, {UNKNOWN} of them unknown ones, in {took:.1} s: {differences} differences; \
             {passed} rows are no links and were passed over{reasons}"
        ),
        Output::Json => serde_json::json!({
            "checked": checked,
            "differences": differences,
            "passed_over": passed,
        })
        .to_string(),
    })?;
    match differences {
        0 => Ok(()),
        1 => Err(CommandFault::no("1 answer is another than it should be")),
        n => Err(CommandFault::no(format_args!("{n} answers are others than they should be"))),
    }
}

/// Hands out the questions in parts; how many rows make none. Ends early when nobody takes them any more.
fn read(args: &Conform, send: &SyncSender<Vec<Expectation>>) -> Result<SkippedRows, CommandFault> {
    let mut rows = open(&args.links, &args.reading, &args.domain)?.with_deleted();
    rows.decided().into_iter().for_each(out::note);
    let bar = bar(&args.links);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as i64);
    let mut unknown = (0..UNKNOWN).map(|_| {
        let code = format!("linkr-conform-{:016x}", RandomState::new().build_hasher().finish());
        let want = EdgeAnswer { status: 404, location: None };
        Expectation { line: 0, host: String::new(), code, want, special: false }
    });
    let (mut part, mut skipped) = (unknown.by_ref().take(AT_ONCE).collect::<Vec<_>>(), SkippedRows::new());
    loop {
        let row = rows.next()?;
        let last = row.is_none();
        if let Some(row) = row {
            let asked = row.link.map_err(|(reason, _)| reason);
            match asked.and_then(|link| question(row.line, link, now).ok_or("INVALID")) {
                Ok(question) => part.push(question),
                Err(reason) => *skipped.entry(reason).or_default() += 1,
            }
        } else {
            part.extend(unknown.by_ref());
        }
        while part.len() >= AT_ONCE || last && !part.is_empty() {
            let rest = part.split_off(part.len().min(AT_ONCE));
            if send.send(std::mem::replace(&mut part, rest)).is_err() {
                return Ok(skipped); // whoever asked says why
            }
            bar.set_position(rows.bytes_read());
        }
        if last {
            bar.finish_and_clear();
            return Ok(skipped);
        }
    }
}

/// None where it can be no link at all: an import has refused it.
fn question(line: u64, link: Link, now: i64) -> Option<Expectation> {
    link::Code::new(&link.code).ok()?;
    let (target, special) = match link::Target::given(&link.target, &[]) {
        Err(TargetFault::Scheme(scheme)) => (link::Target::given(&link.target, &[scheme]).ok()?, true),
        target => (target.ok()?, false),
    };
    let want = want(&link, target.as_str(), now);
    Some(Expectation { line, host: link.domain, code: link.code, want, special })
}

/// As `link::redirect` decides it at this time.
fn want(link: &Link, target: &str, now: i64) -> EdgeAnswer {
    let ms = |time: &Option<prost_types::Timestamp>| {
        time.as_ref().map(|time| time.seconds.saturating_mul(1000) + i64::from(time.nanos / 1_000_000))
    };
    let gone =
        link.delete_time.is_some() || link.disabled || ms(&link.expire_time).is_some_and(|end| end <= now);
    let early = ms(&link.not_before).is_some_and(|begin| begin > now);
    if gone || early {
        return EdgeAnswer { status: if gone { 410 } else { 404 }, location: None };
    }
    EdgeAnswer {
        status: if link.status == 0 { 302 } else { link.status as u16 },
        location: Some(match link.query() {
            QueryPolicy::Unspecified | QueryPolicy::Drop => target.to_owned(),
            QueryPolicy::Append | QueryPolicy::Override => with_query(target),
        }),
    }
}

/// A target with [`QUERY`], which none has itself: it stands behind the target's own, and before the fragment.
fn with_query(target: &str) -> String {
    let (rest, fragment) = target.split_at(target.find('#').unwrap_or(target.len()));
    let mark = match rest.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    format!("{rest}{mark}{QUERY}{fragment}")
}

impl ConformRun<'_> {
    /// One connection after another, until there are no more parts.
    fn all(&self, parts: &ExpectationQueue) -> Result<(), CommandFault> {
        let mut connection = None;
        loop {
            let part = match &*parts.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(parts) => parts.recv(),
                None => return Ok(()), // another one has failed
            };
            let Ok(part) = part else { return Ok(()) };
            if let Err(fault) = self.part(&mut connection, &part) {
                // Nobody takes parts any more: reading ends.
                parts.lock().unwrap_or_else(PoisonError::into_inner).take();
                return Err(fault);
            }
        }
    }

    fn part(&self, connection: &mut Option<Connection>, part: &[Expectation]) -> Result<(), CommandFault> {
        let (mut rest, mut tries) = (part, 0);
        while !rest.is_empty() {
            let before = rest.len();
            let asked = self.ask(connection, &mut rest);
            tries = if rest.len() < before { 0 } else { tries + 1 };
            match asked {
                Ok(said) => said?,
                Err(fault) => {
                    *connection = None;
                    if tries >= TRIES {
                        return Err(self.edge.unreached(&fault));
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether an answer that is another than it should be is asked for again.
    fn keep(&self, asked: &Expectation) -> bool {
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        let room = again.as_mut().filter(|again| again.len() < AGAIN);
        room.map(|again| again.push(asked.clone())).is_some()
    }

    /// What an edge may just have missed, in the order of the file.
    fn once_more(&self) -> Result<(), CommandFault> {
        let again = self.again.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut again = again.unwrap_or_default();
        if again.is_empty() {
            return Ok(());
        }
        std::thread::sleep(BEHIND);
        again.sort_by_key(|asked| asked.line);
        let mut connection = None;
        again.chunks(AT_ONCE).try_for_each(|part| self.part(&mut connection, part))
    }

    /// Asks all that are left at once, and leaves those that were not answered.
    fn ask(
        &self,
        connection: &mut Option<Connection>,
        rest: &mut &[Expectation],
    ) -> std::io::Result<Result<(), CommandFault>> {
        let usual = if self.args.domain == "-" { self.edge.host() } else { &self.args.domain };
        let stream = match &mut *connection {
            Some(stream) => stream,
            none => none.insert(self.edge.connect()?),
        };
        let paths: Vec<String> =
            rest.iter().map(|asked| format!("{}?{QUERY}", link::in_path(&asked.code))).collect();
        let hosts = rest.iter().map(|asked| if asked.host.is_empty() { usual } else { &asked.host });
        stream.ask(hosts.zip(paths.iter().map(String::as_str)))?;
        while let Some((asked, behind)) = rest.split_first() {
            let (got, closes) = stream.answer()?;
            *rest = behind;
            let differs = got != asked.want && !(asked.special && got.status == 404);
            let again = differs && self.keep(asked);
            self.checked.fetch_add(u64::from(!again), Relaxed);
            if differs && !again {
                self.differences.fetch_add(1, Relaxed);
                if let Err(fault) = say(asked, &got, self.args.output) {
                    return Ok(Err(fault));
                }
            }
            if closes {
                *connection = None;
                return Ok(Ok(()));
            }
        }
        Ok(Ok(()))
    }
}

fn say(asked: &Expectation, got: &EdgeAnswer, output: Output) -> Result<(), CommandFault> {
    let text = |answer: &EdgeAnswer| match &answer.location {
        Some(location) => format!("{} {location}", answer.status),
        None => answer.status.to_string(),
    };
    let told =
        |answer: &EdgeAnswer| serde_json::json!({ "status": answer.status, "location": answer.location });
    let line = match output {
        Output::Json => {
            return out::json(&serde_json::json!({
                "line": asked.line,
                "host": asked.host,
                "code": asked.code,
                "want": told(&asked.want),
                "got": told(got),
            }));
        }
        Output::Text | Output::Url if asked.line == 0 => String::new(),
        Output::Text | Output::Url => format!("line {}, ", asked.line),
    };
    // The server that answers may be anything.
    let (host, code) = (&asked.host, &asked.code);
    out::line(&out::plain(&format!("{line}{host}/{code}: {} instead of {}", text(got), text(&asked.want))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_a_file_means() {
        let link = |change: fn(&mut Link)| {
            let mut link =
                Link { code: "c".into(), target: "https://a.example/?a=1#f".into(), ..Link::default() };
            change(&mut link);
            let asked = question(7, link, 1_000).unwrap();
            (asked.want.status, asked.want.location.unwrap_or_default())
        };
        let kept = "https://a.example/?a=1#f".to_owned();
        let passed = "https://a.example/?a=1&linkr-conform=1#f".to_owned();
        assert_eq!(link(|_| ()), (302, kept.clone()));
        assert_eq!(link(|link| link.status = 308), (308, kept));
        assert_eq!(link(|link| link.set_query(QueryPolicy::Override)), (302, passed.clone()));
        assert_eq!(link(|link| link.set_query(QueryPolicy::Append)), (302, passed));
        assert_eq!(link(|link| link.disabled = true).0, 410);
        assert_eq!(link(|link| link.not_before = "2999-01-01T00:00:00Z".parse().ok()).0, 404);
        for (target, want) in [
            ("https://a.example", "https://a.example?linkr-conform=1"),
            ("https://a.example/?", "https://a.example/?linkr-conform=1"),
            ("https://a.example/#a?b", "https://a.example/?linkr-conform=1#a?b"),
        ] {
            assert_eq!(with_query(target), want);
        }
        for none in ["a b", "robots.txt", "a\u{200b}"] {
            assert!(question(1, Link { code: none.into(), ..Link::default() }, 0).is_none(), "{none}");
        }
    }
}
