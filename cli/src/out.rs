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
    let text: String = without_numbers(text).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
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

/// Without the numbers of the operating system's errors, which are words already: `(os error 2)`.
fn without_numbers(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(" (os error ") {
        kept.push_str(before);
        let digits = behind.trim_start_matches(|c: char| c.is_ascii_digit());
        rest = match digits.strip_prefix(')') {
            Some(rest) => rest,
            None => {
                kept.push_str(" (os error ");
                behind
            }
        };
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_errors_are_left_out() {
        assert_eq!(without_numbers("a: No such file (os error 2): b (os error 13)"), "a: No such file: b");
        assert_eq!(without_numbers("a (os error x)"), "a (os error x)");
    }
}
