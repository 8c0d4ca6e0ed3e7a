//! The two streams: results go to stdout, everything said to people to stderr. A closed pipe never panics.

use crate::fault::Fault;
use std::io::{ErrorKind, Write};

/// Writes to stdout, whole.
pub fn write(bytes: &[u8]) -> Result<(), Fault> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|fault| from_io("standard output", &fault))
}

/// Writes one line to stdout.
pub fn line(text: &str) -> Result<(), Fault> {
    write(format!("{text}\n").as_bytes())
}

/// Says one line on stderr. Whatever text it holds stays one line.
pub fn note(text: &str) {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if crate::log::last_word(&text) {
        return; // of a server, which waits for no reader
    }
    let _ = writeln!(std::io::stderr(), "linkr: {text}"); // with stderr gone there is nobody to tell
}

/// A fault of writing to `place`.
pub fn from_io(place: &str, fault: &std::io::Error) -> Fault {
    match fault.kind() {
        ErrorKind::BrokenPipe => Fault::reader_gone(),
        _ => Fault::new(format_args!("cannot write to {place}: {fault}")),
    }
}
