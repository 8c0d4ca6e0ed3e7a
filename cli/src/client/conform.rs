//! `linkr conform`: asks an edge for every link of a file, and says where its answer is another than the file's.

use super::import::{bar, open};
use crate::args::{Conform, Output};
use crate::fault::Fault;
use crate::out;
use link::TargetFault;
use proto::v1::Link;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader, Error, ErrorKind, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Connections to the edge.
const CONNECTIONS: usize = 4;
/// Requests on their way on each: an edge answers as many at once.
const AT_ONCE: usize = 64;
/// Codes that no file has, which are asked for as well.
const UNKNOWN: usize = 100;
/// For a connection and for each answer.
const WAIT: Duration = Duration::from_secs(10);
/// Tries of a part whose connection ends before its answers are there: an edge ends one after 10,000 requests.
const TRIES: usize = 3;
/// Bytes of the head of an answer: the longest target and room.
const LONGEST_HEAD: u64 = 16 << 10;

/// What a request should be answered with.
struct Question {
    /// In the file; 0 for an unknown code.
    line: u64,
    code: String,
    want: Answer,
    /// Whether only a server that was told to takes such a target: another one has no link there.
    special: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    location: Option<String>,
}

struct Counts {
    checked: AtomicU64,
    differences: AtomicU64,
}

/// Runs it.
///
/// # Errors
/// Exit status 1 when an answer is another than it should be.
pub fn conform(args: &Conform) -> Result<(), Fault> {
    let began = Instant::now();
    let counts = Counts { checked: AtomicU64::new(0), differences: AtomicU64::new(0) };
    let (send, parts) = sync_channel(CONNECTIONS);
    let parts = Mutex::new(Some(parts));
    let skipped = std::thread::scope(|scope| {
        let asking: Vec<_> =
            (0..CONNECTIONS).map(|_| scope.spawn(|| ask_all(args, &parts, &counts))).collect();
        let read = read(args, &send);
        drop(send);
        for asked in asking {
            asked.join().unwrap_or_else(|_| Err(Fault::new("asking stopped unexpectedly")))?;
        }
        read
    })?;
    let (checked, differences) = (counts.checked.into_inner(), counts.differences.into_inner());
    let took = began.elapsed().as_secs_f64();
    out::line(&match args.output {
        Output::Text => format!(
            "asked for {checked} codes, {UNKNOWN} of them unknown ones, in {took:.1} s: {differences} differences; \
             {skipped} rows are no links and were passed over"
        ),
        Output::Json => serde_json::json!({
            "checked": checked,
            "differences": differences,
            "passed_over": skipped,
        })
        .to_string(),
    })?;
    match differences {
        0 => Ok(()),
        1 => Err(Fault::no("1 answer is another than it should be")),
        n => Err(Fault::no(format_args!("{n} answers are others than they should be"))),
    }
}

/// Hands out the questions in parts; how many rows make none. Ends early when nobody takes them any more.
fn read(args: &Conform, send: &SyncSender<Vec<Question>>) -> Result<u64, Fault> {
    let mut rows = open(&args.links, args.format, &args.domain)?.with_deleted();
    let bar = bar(&args.links);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as i64);
    let mut unknown = (0..UNKNOWN).map(|_| {
        let code = format!("linkr-conform-{:016x}", RandomState::new().build_hasher().finish());
        Question { line: 0, code, want: Answer { status: 404, location: None }, special: false }
    });
    let (mut part, mut skipped) = (unknown.by_ref().take(AT_ONCE).collect::<Vec<_>>(), 0);
    loop {
        let row = rows.next()?;
        let last = row.is_none();
        if let Some(mut row) = row {
            match row.take_link().and_then(|link| question(row.line, link, now)) {
                Some(question) => part.push(question),
                None => skipped += 1,
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
fn question(line: u64, link: Link, now: i64) -> Option<Question> {
    let code = link.code.as_bytes();
    if !link::is_code(code) || link::is_reserved(code) {
        return None;
    }
    let (target, special) = match link::Target::given(&link.target, &[]) {
        Err(TargetFault::Scheme(scheme)) => (link::Target::given(&link.target, &[scheme]).ok()?, true),
        target => (target.ok()?, false),
    };
    let want = want(&link, target.as_str(), now);
    Some(Question { line, code: link.code, want, special })
}

/// As `link::redirect` decides it at this time.
fn want(link: &Link, target: &str, now: i64) -> Answer {
    let ms = |time: &Option<prost_types::Timestamp>| {
        time.as_ref().map(|time| time.seconds.saturating_mul(1000) + i64::from(time.nanos / 1_000_000))
    };
    let gone =
        link.delete_time.is_some() || link.disabled || ms(&link.expire_time).is_some_and(|end| end <= now);
    let early = ms(&link.not_before).is_some_and(|begin| begin > now);
    if gone || early {
        return Answer { status: if gone { 410 } else { 404 }, location: None };
    }
    Answer {
        status: if link.status == 0 { 302 } else { link.status as u16 },
        location: Some(target.to_owned()),
    }
}

/// One connection after another, until there are no more parts.
fn ask_all(
    args: &Conform,
    parts: &Mutex<Option<Receiver<Vec<Question>>>>,
    counts: &Counts,
) -> Result<(), Fault> {
    let mut connection = None;
    loop {
        let part = match &*parts.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(parts) => parts.recv(),
            None => return Ok(()), // another one has failed
        };
        let Ok(part) = part else { return Ok(()) };
        if let Err(fault) = ask_part(args, &mut connection, &part, counts) {
            // Nobody takes parts any more: reading ends.
            parts.lock().unwrap_or_else(PoisonError::into_inner).take();
            return Err(fault);
        }
    }
}

fn ask_part(
    args: &Conform,
    connection: &mut Option<BufReader<TcpStream>>,
    part: &[Question],
    counts: &Counts,
) -> Result<(), Fault> {
    let (mut rest, mut tries) = (part, 0);
    while !rest.is_empty() {
        let before = rest.len();
        let asked = ask(args, connection, &mut rest, counts);
        tries = if rest.len() < before { 0 } else { tries + 1 };
        match asked {
            Ok(said) => said?,
            Err(fault) => {
                *connection = None;
                if tries >= TRIES {
                    return Err(Fault::new(format_args!(
                        "{} cannot be asked ({fault}): --edge names where an edge redirects",
                        args.edge
                    )));
                }
            }
        }
    }
    Ok(())
}

/// Asks all that are left at once, and leaves those that were not answered.
fn ask(
    args: &Conform,
    connection: &mut Option<BufReader<TcpStream>>,
    rest: &mut &[Question],
    counts: &Counts,
) -> std::io::Result<Result<(), Fault>> {
    let edge = args.edge.trim_start_matches("http://").trim_end_matches('/');
    let host = if args.domain == "-" { edge } else { &args.domain };
    let stream = match &mut *connection {
        Some(stream) => stream,
        none => none.insert(BufReader::new(connect(edge)?)),
    };
    // HEAD: the same answer as to a GET, and never a click.
    let requests: String =
        rest.iter().map(|asked| format!("HEAD /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", asked.code)).collect();
    stream.get_mut().write_all(requests.as_bytes())?;
    while let Some((asked, behind)) = rest.split_first() {
        let (got, closes) = answer(stream)?;
        *rest = behind;
        counts.checked.fetch_add(1, Relaxed);
        if got != asked.want && !(asked.special && got.status == 404) {
            counts.differences.fetch_add(1, Relaxed);
            if let Err(fault) = say(asked, &got, args.output) {
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

fn connect(edge: &str) -> std::io::Result<TcpStream> {
    let address = edge.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
    let stream = TcpStream::connect_timeout(&address, WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The next answer, and whether it is the last of its connection.
fn answer(stream: &mut BufReader<TcpStream>) -> std::io::Result<(Answer, bool)> {
    use std::io::Read;
    let other = || Error::new(ErrorKind::InvalidData, "what answers there speaks no HTTP/1.1");
    let (mut status, mut location, mut closes) = (None, None, false);
    let mut head = stream.take(LONGEST_HEAD);
    loop {
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let line = line.strip_suffix("\r\n").ok_or_else(other)?;
        match (status, line.split_once(": ")) {
            (None, _) => {
                let digits = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
                status = Some(digits.and_then(|digits| digits.parse().ok()).ok_or_else(other)?);
            }
            (Some(status), _) if line.is_empty() => return Ok((Answer { status, location }, closes)),
            (_, Some((name, value))) if name.eq_ignore_ascii_case("location") => {
                location = Some(value.to_owned());
            }
            (_, Some((name, value))) if name.eq_ignore_ascii_case("connection") => {
                closes |= value.eq_ignore_ascii_case("close");
            }
            _ => {}
        }
    }
}

fn say(asked: &Question, got: &Answer, output: Output) -> Result<(), Fault> {
    let text = |answer: &Answer| match &answer.location {
        Some(location) => format!("{} {location}", answer.status),
        None => answer.status.to_string(),
    };
    let told = |answer: &Answer| serde_json::json!({ "status": answer.status, "location": answer.location });
    let line = match output {
        Output::Json => {
            return out::json(&serde_json::json!({
                "line": asked.line,
                "code": asked.code,
                "want": told(&asked.want),
                "got": told(got),
            }));
        }
        Output::Text if asked.line == 0 => String::new(),
        Output::Text => format!("line {}, ", asked.line),
    };
    // The server that answers may be anything.
    out::line(&out::plain(&format!("{line}/{}: {} instead of {}", asked.code, text(got), text(&asked.want))))
}
