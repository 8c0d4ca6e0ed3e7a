//! `linkr import`: a file as a stream of chunks, several on their way at a time; bad rows never stop good ones.

mod dialects;
mod lines;
mod maps;
mod rejects;
mod row;
mod rows;

use super::{connect, parent, refused};
use crate::args::{Format, Import};
use crate::fault::Fault;
use crate::out;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proto::file::PATIENCE;
use proto::v1::{ImportLinksRequest, ImportOutcome, ImportResult};
use rejects::Rejects;
pub use row::Row;
pub use rows::Rows;
use std::fs::File;
use std::io::{Error, ErrorKind, IsTerminal, Read};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Rows of a chunk.
const CHUNK_ROWS: usize = 5_000;
/// Bytes of a chunk's targets and texts: far below what a server takes in one message.
const CHUNK_BYTES: usize = 1 << 20;
/// Chunks on their way.
const IN_FLIGHT: usize = 4;

#[derive(Default)]
struct Counts {
    created: u64,
    updated: u64,
    skipped: u64,
    rejected: u64,
}

/// A chunk that is on its way: what to say of its rows when the answer comes.
struct Sent {
    rows: Vec<Row>,
    read: u64,
}

/// Runs it.
pub async fn import(args: Import) -> Result<(), Fault> {
    let began = Instant::now();
    let rows = open(&args.file, args.format, &args.server.domain)?;
    let mut rejects = Rejects::new(&args.file, rows.header())?;
    let bar = bar(&args.file);
    let mut client = connect(&args.server.api).await?;
    let (send, requests) = mpsc::channel(1);
    let (remember, mut sent) = mpsc::channel(IN_FLIGHT);
    let head =
        ImportLinksRequest { parent: parent(&args.server.domain), update: args.update, links: Vec::new() };
    let reader = std::thread::spawn(move || read(rows, &head, &send, &remember));
    let mut counts = Counts::default();
    let ask = client.import_links(ReceiverStream::new(requests)).await;
    let mut answers = ask.map_err(|s| cut(&refused(&s, &args.server.api), &counts))?.into_inner();
    while let Some(chunk) = sent.recv().await {
        let good = chunk.rows.iter().filter(|row| row.link.is_ok()).count();
        let results = if good == 0 {
            Vec::new()
        } else {
            match answers.message().await.map_err(|s| cut(&refused(&s, &args.server.api), &counts))? {
                Some(answer) if answer.results.len() == good => answer.results,
                _ => return Err(cut(&Fault::new("the server's answer does not fit the rows"), &counts)),
            }
        };
        account(chunk.rows, results, &mut counts, &mut rejects)?;
        bar.set_position(chunk.read);
    }
    let read = reader.join().unwrap_or_else(|_| Err(Fault::new("reading stopped unexpectedly")));
    bar.finish_and_clear();
    let file = rejects.finish()?;
    let Counts { created, updated, skipped, rejected } = counts;
    out::line(&format!(
        "created {created}, updated {updated}, skipped {skipped}, rejected {rejected} in {:.1} s",
        began.elapsed().as_secs_f64()
    ))?;
    let Some(file) = file else { return read };
    let rows = if rejected == 1 { "1 row was" } else { &format!("{rejected} rows were") };
    let said = format!("{rows} rejected: {file} says why");
    if read.is_ok() && created + updated + skipped == 0 {
        return Err(Fault::no(format_args!("no row was taken, {said}")));
    }
    out::note(&said);
    read
}

fn cut(fault: &Fault, counts: &Counts) -> Fault {
    let done = counts.created + counts.updated + counts.skipped;
    if done == 0 {
        return Fault::new(fault.message());
    }
    Fault::new(format_args!(
        "{} (after {done} rows; run the import again, what is there already is skipped)",
        fault.message()
    ))
}

/// The rows of a file; `-` is standard input.
pub fn open(file: &Path, format: Option<Format>, domain: &str) -> Result<Rows, Fault> {
    let name = file.display();
    let format = format.or_else(|| Format::of(file)).ok_or_else(|| {
        Fault::new(format_args!(
            "cannot tell the form of {name} by its name: add --format csv, --format jsonl or another one"
        ))
    });
    let unreadable = |fault: std::io::Error| Fault::new(format_args!("cannot read {name}: {fault}"));
    let source: Box<dyn Read + Send> = if file.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(open_file(file).map_err(unreadable)?)
    };
    Rows::open(source, &name.to_string(), domain, format)
}

/// A pipe that nobody writes into holds up whoever opens it: not for ever. What does begin may take its time.
fn open_file(file: &Path) -> std::io::Result<File> {
    let (send, opened) = std::sync::mpsc::channel();
    let own = file.to_path_buf();
    std::thread::spawn(move || send.send(File::open(own)));
    opened.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let waited = PATIENCE.as_secs();
        let why = format!("it is a pipe that nothing wrote into within {waited} s: start what writes there");
        Err(Error::new(ErrorKind::TimedOut, why))
    })
}

/// On its own thread: reads, and sends what can be sent. Ends early when the receiving side has gone.
fn read(
    mut rows: Rows,
    head: &ImportLinksRequest,
    send: &mpsc::Sender<ImportLinksRequest>,
    remember: &mpsc::Sender<Sent>,
) -> Result<(), Fault> {
    loop {
        let (mut chunk, mut bytes, mut end) = (Vec::new(), 0, Ok(false));
        while chunk.len() < CHUNK_ROWS && bytes < CHUNK_BYTES {
            match rows.next() {
                Ok(Some(row)) => {
                    bytes += row.cells.iter().map(String::len).sum::<usize>();
                    chunk.push(row);
                }
                Ok(None) => end = Ok(true),
                Err(fault) => end = Err(fault),
            }
            if !matches!(end, Ok(false)) {
                break;
            }
        }
        let links: Vec<_> = chunk.iter_mut().filter_map(Row::take_link).collect();
        let nothing = links.is_empty();
        let sent = Sent { rows: chunk, read: rows.bytes_read() };
        if remember.blocking_send(sent).is_err() {
            return Ok(());
        }
        if !nothing {
            let request = ImportLinksRequest { links, ..head.clone() };
            if send.blocking_send(request).is_err() {
                return Ok(());
            }
        }
        if end? {
            return Ok(());
        }
    }
}

fn account(
    rows: Vec<Row>,
    results: Vec<ImportResult>,
    counts: &mut Counts,
    rejects: &mut Rejects,
) -> Result<(), Fault> {
    let mut results = results.into_iter();
    for row in rows {
        let (reason, message) = match &row.link {
            Err((reason, message)) => ((*reason).to_owned(), message.clone()),
            Ok(_) => {
                let result = results.next().unwrap_or_default();
                match result.outcome() {
                    ImportOutcome::Created => counts.created += 1,
                    ImportOutcome::Updated => counts.updated += 1,
                    ImportOutcome::Skipped => counts.skipped += 1,
                    ImportOutcome::Rejected | ImportOutcome::Unspecified => {
                        counts.rejected += 1;
                        rejects.add(&row, &result.reason, &said(&result))?;
                    }
                }
                continue;
            }
        };
        counts.rejected += 1;
        rejects.add(&row, &reason, &message)?;
    }
    Ok(())
}

/// The message, with the field it is about unless it names it itself.
fn said(result: &ImportResult) -> String {
    if result.field.is_empty() || result.message.contains(&result.field) {
        result.message.clone()
    } else {
        format!("{} {}", result.field, result.message)
    }
}

/// How far a file was read, on a terminal.
pub fn bar(file: &Path) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let target = ProgressDrawTarget::stderr();
    match std::fs::metadata(file).map(|data| data.len()) {
        Ok(length) if length > 0 => {
            let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}  {eta} left");
            let bar = ProgressBar::with_draw_target(Some(length), target);
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        }
        _ => {
            let bar = ProgressBar::with_draw_target(None, target);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        }
    }
}
