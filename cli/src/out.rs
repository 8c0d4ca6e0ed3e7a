//! The two streams: results go to stdout, everything said to people to stderr. A closed pipe never panics.

use crate::fault::CommandFault;
use link::misleads;
use std::io::{ErrorKind, Write};

/// Writes to stdout, whole.
pub fn write(bytes: &[u8]) -> Result<(), CommandFault> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|fault| from_io("standard output", &fault))
}

/// Writes lines for people to stdout. A terminal is told no more than text: what people typed into a field may hold
/// anything.
pub fn text(lines: &str) -> Result<(), CommandFault> {
    let plain = lines.split('\n').map(plain).collect::<Vec<_>>();
    write(plain.join("\n").as_bytes())
}

/// A text that a terminal shows as it is, on one line: what would steer it, turn its direction or hide is escaped.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => shown.push(' '),
            _ if c.is_control() || misleads(c) => shown.extend(c.escape_unicode()),
            _ => shown.push(c),
        }
    }
    shown
}

/// How long something took, of microseconds.
pub fn took(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

/// Writes one line to stdout.
pub fn line(text: &str) -> Result<(), CommandFault> {
    write(format!("{text}\n").as_bytes())
}

/// Writes one line of JSON to stdout. What would steer a terminal is escaped, as JSON does it: it stands in texts only.
pub fn json(value: &serde_json::Value) -> Result<(), CommandFault> {
    line(&plain_json(&value.to_string()))
}

fn plain_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() || misleads(c) {
            let units =
                c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            shown.push_str(&units);
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Says one line on stderr. Whatever text it holds stays one line.
pub fn note(text: &str) {
    say(text, crate::log::note);
}

/// Says why the program ends, as [`note`] does.
pub fn last_word(text: &str) {
    say(text, crate::log::last_word);
}

fn say(text: &str, in_log: impl Fn(&str) -> bool) {
    let text = plain(&without_numbers(text));
    if in_log(&text) {
        return; // of a server, which waits for no reader
    }
    let _ = writeln!(std::io::stderr(), "linkr: {text}"); // with stderr gone there is nobody to tell
}

/// A fault of writing to `place`.
pub fn from_io(place: &str, fault: &std::io::Error) -> CommandFault {
    match fault.kind() {
        ErrorKind::BrokenPipe => CommandFault::reader_gone(),
        _ => CommandFault::new(format_args!("cannot write to {place}: {fault}")),
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

    #[test]
    fn json_holds_nothing_that_steers_and_says_the_same() {
        let value = serde_json::json!({"a\u{202e}": "x\u{9b}\u{85}\u{7f}\u{2066}\u{200b}\u{e0041}\n ü👍\\"});
        let shown = plain_json(&value.to_string());
        assert!(!shown.contains(|c: char| c.is_control() || misleads(c)), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        assert!(
            shown.contains("\\u202e") && shown.contains("\\udb40\\udc41") && shown.contains("ü👍"),
            "{shown}"
        );
    }

    #[test]
    fn what_would_steer_a_terminal_is_escaped() {
        for (text, shown) in [
            ("plain, ünïcode 日本 👍", "plain, ünïcode 日本 👍"),
            ("a\nb\tc\r", "a b c "),
            ("evil\u{202e}gpj.exe", "evil\\u{202e}gpj.exe"),
            ("\u{1b}[2J\u{9b}31m\u{7}", "\\u{1b}[2J\\u{9b}31m\\u{7}"),
            ("a\u{2066}b\u{200b}c\u{feff}d\u{2028}", "a\\u{2066}b\\u{200b}c\\u{feff}d\\u{2028}"),
            ("\u{e0041}\u{ad}\u{180e}\u{3164}", "\\u{e0041}\\u{ad}\\u{180e}\\u{3164}"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }

    #[test]
    fn durations_as_people_read_them() {
        for (us, shown) in
            [(0, "0 us"), (999, "999 us"), (1_250, "1.2 ms"), (999_999, "999.9 ms"), (12_345_678, "12.3 s")]
        {
            assert_eq!(took(us), shown);
        }
    }
}
