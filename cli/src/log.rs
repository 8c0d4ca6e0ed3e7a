//! What a server says: its log on stderr, in text or JSON, and its first lines on stdout. Neither can end or delay it.

mod line;
mod queue;

use crate::fault::CommandFault;
use line::{EventFields, LogLine};
use queue::Queue;
use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// What the log holds unless `RUST_LOG` or `LINKR_LOG` says something else.
const FILTER: &str = "info,h2=error,hyper=warn,hyper_util=warn,tonic=warn,tower=warn,refinery_core=warn";
/// The longest that the end of the process waits for its last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What logs, by the first part of a target.
const PARTS: [&str; 21] = [
    "linkr",
    "control",
    "edge",
    "feed",
    "proto",
    "exposition",
    "calls",
    "axum",
    "deadpool",
    "h2",
    "hyper",
    "hyper_util",
    "mio",
    "redis",
    "refinery_core",
    "rustls",
    "tokio_postgres",
    "tokio",
    "tonic",
    "tower",
    "log",
];

static STREAMS: OnceLock<Streams> = OnceLock::new();

struct Streams {
    form: LogForm,
    stdout: Queue,
    stderr: Queue,
}

/// How a line of the log looks.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogForm {
    /// For people
    Text,
    /// One object a line, for machines
    Json,
}

/// Takes up stdout, stderr, the log and panics, once for the process.
///
/// # Errors
/// The filter is none, or there is no thread to be had.
pub fn start(form: LogForm) -> Result<(), CommandFault> {
    let filter = filter()?;
    let colours = form == LogForm::Text && std::io::stderr().is_terminal();
    let cannot = |fault: std::io::Error| CommandFault::new(format_args!("cannot start the log: {fault}"));
    // Own descriptors: the standard library's streams have a lock, and whoever writes may hold it for as long as a reader sleeps.
    let stdout = File::from(std::io::stdout().as_fd().try_clone_to_owned().map_err(cannot)?);
    let stderr = File::from(std::io::stderr().as_fd().try_clone_to_owned().map_err(cannot)?);
    let streams = Streams {
        form,
        stdout: Queue::start("stdout", stdout, |_| String::new()).map_err(cannot)?,
        stderr: Queue::start("log", stderr, move |lost| line::lost(form, colours, lost)).map_err(cannot)?,
    };
    if STREAMS.set(streams).is_ok() {
        tracing_subscriber::registry().with(filter).with(LineLayer { form, colours }).init();
        std::panic::set_hook(Box::new(panicked));
    }
    Ok(())
}

/// The part of a filter that no line will ever match.
fn names_nothing(filter: &str) -> Option<&str> {
    let level = |text: &str| text.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
    let target = |directive: &'_ str| directive.find(['=', '[']).map_or(directive.len(), |end| end);
    filter.split(',').map(str::trim).find_map(|directive| {
        let target = &directive[..target(directive)];
        let part = target.split("::").next().unwrap_or_default();
        (!target.is_empty() && !level(target) && !PARTS.contains(&part)).then_some(target)
    })
}

/// What the log is to hold.
///
/// # Errors
/// It is no filter.
pub fn filter() -> Result<EnvFilter, CommandFault> {
    let wanted =
        ["RUST_LOG", "LINKR_LOG"].iter().find_map(std::env::var_os).map(std::ffi::OsString::into_string);
    let wanted = wanted.transpose().map_err(|text| {
        CommandFault::new(format_args!(
            "RUST_LOG or LINKR_LOG is not UTF-8 ({}): give a filter such as info",
            text.as_encoded_bytes().escape_ascii()
        ))
    })?;
    if let Some(none) = wanted.as_deref().and_then(names_nothing) {
        return Err(CommandFault::new(format_args!(
            "RUST_LOG or LINKR_LOG names '{none}', which is neither a level (error, warn, info, debug, trace, off) nor a part \
             that logs, such as control, edge or edge::worker"
        )));
    }
    // The pool of PostgreSQL says that a connection ended, without why; the store says it with.
    EnvFilter::try_new(format!("deadpool=off,{}", wanted.as_deref().unwrap_or(FILTER))).map_err(|fault| {
        CommandFault::new(format_args!("RUST_LOG or LINKR_LOG is no filter such as info: {fault}"))
    })
}

/// Says something on stdout; a server runs on when nobody reads it.
pub fn announce(text: &str) {
    if let Some(streams) = STREAMS.get() {
        streams.stdout.push(format!("{text}\n").as_bytes());
    }
}

/// Why the process ends, as its last line; `false`: there is no log.
pub fn last_word(text: &str) -> bool {
    said(text, || tracing::error!(name: "failed", "{text}"))
}

/// A word about the settings; `false`: there is no log.
pub fn note(text: &str) -> bool {
    said(text, || tracing::warn!(name: "settings", "{text}"))
}

/// For people as one of their commands says it, for machines as an event.
fn said(text: &str, event: impl Fn()) -> bool {
    let Some(streams) = STREAMS.get() else { return false };
    match streams.form {
        LogForm::Text => streams.stderr.push(format!("linkr: {text}\n").as_bytes()),
        LogForm::Json => event(),
    }
    true
}

/// Waits until everything said is written, for a second at most.
pub fn finish() {
    let Some(streams) = STREAMS.get() else { return };
    let end = std::time::Instant::now() + LAST_LINES;
    streams.stderr.flush(end);
    streams.stdout.flush(end);
}

/// Lines that could not be written.
pub fn dropped() -> u64 {
    STREAMS.get().map_or(0, |streams| streams.stderr.lost())
}

fn panicked(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let why = info.payload_as_str().unwrap_or("no message");
    tracing::error!(name: "panic", thread = thread.name().unwrap_or(""), place, why, "a panic: this is a fault of linkr");
}

/// Makes a line of each event.
struct LineLayer {
    form: LogForm,
    colours: bool,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LineLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        // Those of libraries are no words of the log.
        let Some(span) = context.span(id).filter(|span| span.name() == "request") else { return };
        let mut fields = EventFields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(streams) = STREAMS.get() else { return };
        let mut fields = EventFields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(of_span) = span.extensions().get::<EventFields>() {
                fields.inherit(of_span);
            }
        }
        let line = LogLine { metadata: event.metadata(), fields: &fields, colours: self.colours };
        streams.stderr.push(line.written(self.form).as_bytes());
    }
}
