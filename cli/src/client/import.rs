//! `linkr import`: a file as a stream of chunks, several on their way at a time; bad rows never stop good ones.

mod cloudflare;
mod columns;
mod dialects;
mod hosts;
mod json_lines;
mod lines;
mod maps;
mod redirects;
mod rejects;
mod row;
mod rows;
mod tables;
mod window;
mod words;

use super::{call, connect, parent, refused};
use crate::args::{Api, Format, Import, ReadArgs, Server};
use crate::fault::CommandFault;
use crate::out;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
pub use json_lines::json_link;
use proto::file::PATIENCE;
use proto::v1::domains_client::DomainsClient;
use proto::v1::{GetDomainRequest, ImportLinksRequest, ImportLinksResponse, ImportOutcome, ImportResult};
use rejects::Rejects;
pub use row::{REJECT_COLUMNS, Row};
pub use rows::Rows;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Error, ErrorKind, IsTerminal, Read};
use std::path::Path;
use std::time::{Duration, Instant};
pub use tables::{MissingColumn, separator};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use window::{GoodRow, RefusedRow, Window};

/// Rows of a chunk.
const CHUNK_ROWS: usize = 5_000;
/// Bytes of a chunk's links: far below what a server takes in one message.
const CHUNK_BYTES: usize = 1 << 20;
/// Chunks on their way.
const IN_FLIGHT: usize = 4;

#[derive(Default)]
struct ImportCounts {
    created: u64,
    updated: u64,
    skipped: u64,
    rejected: u64,
    reasons: BTreeMap<String, u64>,
}

/// What is on its way: what to say of it when the answer comes.
enum SentRows {
    /// A chunk. How far the file was read when it is written, for the progress bar.
    Chunk { rows: Vec<GoodRow>, read: u64 },
    /// The end of a window, and its rows that were not sent.
    Window(Vec<RefusedRow>),
}

/// What takes the answers.
struct AnswerReceiver<'a> {
    api: &'a Api,
    counts: ImportCounts,
    rejects: Rejects,
    /// Of the window so far.
    refused: Vec<RefusedRow>,
    bar: ProgressBar,
}

/// Runs it.
pub async fn import(args: Import) -> Result<(), CommandFault> {
    let began = Instant::now();
    let rows = open(&args.file, &args.reading, &args.server.domain)?;
    let rejects = Rejects::new(&args.file, &rows.header())?;
    let bar = bar(&args.file);
    let mut client = connect(&args.server.api).await?;
    rows.decided().into_iter().for_each(out::note);
    let folds = folds(&args.server).await;
    if rows.format() == Format::NginxMap && folds == Some(false) {
        let domain = &args.server.domain;
        out::note(&format!(
            "nginx compares paths without case, and domain {domain} does not: --fold-case before its first link makes it so"
        ));
    }
    let (send, requests) = mpsc::channel(1);
    let (remember, mut sent) = mpsc::channel(IN_FLIGHT);
    let head =
        ImportLinksRequest { parent: parent(&args.server.domain), update: args.update, links: Vec::new() };
    let reader = std::thread::spawn(move || read(rows, folds.unwrap_or_default(), &head, &send, &remember));
    let mut taking = AnswerReceiver {
        api: &args.server.api,
        counts: ImportCounts::default(),
        rejects,
        refused: Vec::new(),
        bar,
    };
    let taken = match client.import_links(ReceiverStream::new(requests)).await {
        Ok(answers) => taking.all(answers.into_inner(), &mut sent).await,
        Err(status) => Err(refused(&status, taking.api)),
    };
    taking.bar.finish_and_clear();
    taking.window_ended(Vec::new())?; // of one that broke off
    let (file, counts) = (taking.rejects.finish()?, taking.counts);
    taken.map_err(|fault| cut(&fault, &counts))?;
    let read = reader.join().unwrap_or_else(|_| Err(CommandFault::new("reading stopped unexpectedly")));
    let ImportCounts { created, updated, skipped, rejected, .. } = counts;
    out::line(&format!(
        "created {created}, updated {updated}, skipped {skipped}, rejected {rejected} in {:.1} s",
        began.elapsed().as_secs_f64()
    ))?;
    let Some(file) = file else { return read };
    let rows = if rejected == 1 { "1 row was" } else { &format!("{rejected} rows were") };
    let reasons = counts.reasons.iter().map(|(reason, count)| format!("{count} {reason}"));
    let said = format!("{rows} rejected: {file} says why ({})", reasons.collect::<Vec<_>>().join(", "));
    if read.is_ok() && created + updated + skipped == 0 {
        return Err(CommandFault::no(format_args!("no row was taken, {said}")));
    }
    out::note(&said);
    read
}

/// Whether the domain compares codes without case. Who may not ask imports all the same, in another order.
async fn folds(server: &Server) -> Option<bool> {
    let request = GetDomainRequest { name: parent(&server.domain) };
    let asked = call(&server.api, DomainsClient::new, async |domains| domains.get_domain(request).await);
    asked.await.ok().map(|domain| domain.fold_case)
}

fn cut(fault: &CommandFault, counts: &ImportCounts) -> CommandFault {
    let done = counts.created + counts.updated + counts.skipped;
    if done == 0 {
        return CommandFault::new(fault.message());
    }
    CommandFault::new(format_args!(
        "{} (after {done} rows; run the import again, what is there already is skipped)",
        fault.message()
    ))
}

/// The rows of a file; `-` is standard input.
pub fn open(file: &Path, reading: &ReadArgs, domain: &str) -> Result<Rows, CommandFault> {
    let name = file.display();
    let format = reading.format.or_else(|| Format::of(file)).ok_or_else(|| {
        CommandFault::new(format_args!(
            "cannot tell the form of {name} by its name: add --format csv, --format jsonl or another one"
        ))
    });
    let unreadable = |fault: std::io::Error| CommandFault::new(format_args!("cannot read {name}: {fault}"));
    let source: Box<dyn Read + Send> = if file.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(open_file(file).map_err(unreadable)?)
    };
    Rows::open(source, &name.to_string(), domain, reading, format)
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
    folds: bool,
    head: &ImportLinksRequest,
    send: &mpsc::Sender<ImportLinksRequest>,
    remember: &mpsc::Sender<SentRows>,
) -> Result<(), CommandFault> {
    loop {
        let (mut window, mut end) = (Window::default(), Ok(false));
        let from = rows.bytes_read();
        while !window.is_full() && matches!(end, Ok(false)) {
            match rows.next() {
                Ok(Some(row)) => window.add(row),
                Ok(None) => end = Ok(true),
                Err(fault) => end = Err(fault),
            }
        }
        let (good, not_sent) = window.in_order(folds);
        let (all, bytes) = (good.len().max(1) as u64, rows.bytes_read() - from);
        let (mut good, mut done) = (good.into_iter().peekable(), 0);
        while good.peek().is_some() {
            let chunk = chunk(&mut good);
            done += chunk.len() as u64;
            let links = chunk.iter().map(GoodRow::link).collect();
            let sent = SentRows::Chunk { rows: chunk, read: from + bytes * done / all };
            let request = ImportLinksRequest { links, ..head.clone() };
            if remember.blocking_send(sent).is_err() || send.blocking_send(request).is_err() {
                return Ok(());
            }
        }
        if remember.blocking_send(SentRows::Window(not_sent)).is_err() {
            return Ok(());
        }
        if end? {
            break;
        }
    }
    if rows.assumed() > 0 {
        out::note(&format!("times without an offset, which were read as UTC: {}", rows.assumed()));
    }
    Ok(())
}

/// As many rows as go into one message.
fn chunk(rows: &mut impl Iterator<Item = GoodRow>) -> Vec<GoodRow> {
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while chunk.len() < CHUNK_ROWS && bytes < CHUNK_BYTES {
        let Some(row) = rows.next() else { break };
        bytes += row.size();
        chunk.push(row);
    }
    chunk
}

impl AnswerReceiver<'_> {
    /// Takes answers until all that was sent is answered.
    async fn all(
        &mut self,
        mut answers: Streaming<ImportLinksResponse>,
        sent: &mut mpsc::Receiver<SentRows>,
    ) -> Result<(), CommandFault> {
        while let Some(sent) = sent.recv().await {
            match sent {
                SentRows::Window(rows) => self.window_ended(rows)?,
                SentRows::Chunk { rows, read } => {
                    let answer = answers.message().await.map_err(|s| refused(&s, self.api))?;
                    let results = answer.filter(|answer| answer.results.len() == rows.len());
                    let Some(ImportLinksResponse { results }) = results else {
                        return Err(CommandFault::new("the server's answer does not fit the rows"));
                    };
                    rows.iter().zip(results).for_each(|(row, result)| self.account(row, &result));
                    self.bar.set_position(read);
                }
            }
        }
        Ok(())
    }

    fn account(&mut self, row: &GoodRow, result: &ImportResult) {
        match result.outcome() {
            ImportOutcome::Created => self.counts.created += 1,
            ImportOutcome::Updated => self.counts.updated += 1,
            ImportOutcome::Skipped => self.counts.skipped += 1,
            ImportOutcome::Rejected | ImportOutcome::Unspecified => {
                self.refused.push(row.refused(&result.reason, said(result)));
            }
        }
    }

    /// Writes down what was rejected of a window.
    fn window_ended(&mut self, not_sent: Vec<RefusedRow>) -> Result<(), CommandFault> {
        let mut rejected = std::mem::take(&mut self.refused);
        rejected.extend(not_sent);
        for row in &rejected {
            self.counts.rejected += 1;
            *self.counts.reasons.entry(row.why.0.clone()).or_default() += 1;
        }
        self.rejects.add_all(rejected)
    }
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
