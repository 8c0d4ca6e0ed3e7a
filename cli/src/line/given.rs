//! Values on the command line that cannot be meant: empty ones, and such that begin or end with what nobody sees.

use crate::fault::CommandFault;
use clap::error::{ContextKind, ContextValue, Error};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use link::misleads;

/// Flags that say something by an empty value: a list goes on from its beginning.
const EMPTY: [&str; 1] = ["page_token"];
/// Of these every character counts, and languages that are written from right to left begin with marks. What of a target
/// is not meant, the server says.
const TEXTS: [&str; 4] = ["title", "note", "tags", "target"];

/// What holds no quotes: those around it were pasted along, or are of a shell that does not take them.
const QUOTED_BY_NOBODY: [&str; 4] = ["target", "code", "server", "domain"];

/// Whether each value that was given can be meant.
///
/// # Errors
/// The first that cannot, by its flag.
pub fn check(command: &Command, matches: &ArgMatches) -> Result<(), CommandFault> {
    let (mut command, mut matches) = (command, matches);
    loop {
        for id in matches.ids() {
            let arg = command.get_arguments().find(|arg| arg.get_id() == id);
            // One that is global below this command is listed here, too, and is none of it.
            let is_given =
                |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
            let Some(arg) = arg.filter(is_given) else { continue };
            for value in matches.get_raw(id.as_str()).into_iter().flatten() {
                one(command, arg, &value.to_string_lossy())?;
            }
        }
        let Some((name, below)) = matches.subcommand() else { return Ok(()) };
        let Some(sub) = command.find_subcommand(name) else { return Ok(()) };
        if name == "domain" {
            return Ok(()); // its flags have a meaning for an empty value: nowhere
        }
        (command, matches) = (sub, below);
    }
}

/// The same of a value that clap has refused already, in other words.
pub fn refused(fault: &Error) -> Option<CommandFault> {
    let text = |kind| match fault.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let value = text(ContextKind::InvalidValue)?;
    let arg = text(ContextKind::InvalidArg)?;
    let name = arg.split([' ', '=', '[']).next().unwrap_or(arg);
    if value.is_empty() { Some(empty(name, None)) } else { unseen(name, value) }
}

fn one(command: &Command, arg: &Arg, value: &str) -> Result<(), CommandFault> {
    let id = arg.get_id().as_str();
    if value.trim().is_empty() && !EMPTY.contains(&id) {
        return Err(empty(&shown(arg), clears(command, id).then_some(id)));
    }
    let quotes = [("\"", "\""), ("'", "'"), ("“", "”"), ("<", ">")];
    if quotes.iter().any(|(open, close)| value.len() > 1 && value.starts_with(open) && value.ends_with(close))
        && QUOTED_BY_NOBODY.contains(&id)
    {
        return Err(CommandFault::new(format_args!(
            "{} {value} stands in quotes: leave them out",
            shown(arg)
        )));
    }
    match unseen(&shown(arg), value).filter(|_| !TEXTS.contains(&id)) {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

/// A variable that is not set must not drop what was meant to limit something.
fn empty(name: &str, clear: Option<&str>) -> CommandFault {
    let clear = clear.map_or_else(String::new, |field| format!("; --clear {field} sets it back"));
    CommandFault::new(format_args!("{name} is empty: give a value, or leave it out{clear}"))
}

fn unseen(name: &str, value: &str) -> Option<CommandFault> {
    let is_unseen = |c: &char| misleads(*c) || (c.is_whitespace() && !c.is_ascii());
    let (first, last) = (value.chars().next().filter(is_unseen), value.chars().next_back().filter(is_unseen));
    let (place, found) = first.map(|c| ("begins", c)).or(last.map(|c| ("ends", c)))?;
    Some(CommandFault::new(format_args!(
        "{name} {place} with a character that nobody sees, U+{:04X}: leave it out",
        u32::from(found)
    )))
}

/// Whether `--clear` knows the field.
fn clears(command: &Command, id: &str) -> bool {
    let clear = command.get_arguments().find(|arg| arg.get_id() == "clear");
    clear.is_some_and(|clear| clear.get_possible_values().iter().any(|field| field.get_name() == id))
}

fn shown(arg: &Arg) -> String {
    match (arg.get_long(), arg.get_value_names()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some([name, ..])) => format!("<{name}>"),
        (None, _) => format!("<{}>", arg.get_id().as_str().to_uppercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Linkr;
    use clap::CommandFactory;

    fn said(words: &[&str]) -> String {
        let mut command = Linkr::command();
        let words = std::iter::once(&"linkr").chain(words);
        let checked = match command.try_get_matches_from_mut(words) {
            Ok(matches) => check(&command, &matches).err(),
            Err(fault) => Some(refused(&fault).unwrap_or_else(|| panic!("{fault}"))),
        };
        checked.map_or_else(String::new, |fault| fault.message().to_owned())
    }

    /// Found by attack: a variable of a script that was not set changed what a command meant.
    #[test]
    fn an_empty_value_is_an_error_that_names_its_flag() {
        for words in [
            &["link", "create", "https://a.example", "--code", ""][..],
            &["link", "create", "https://a.example", "--expire-time", ""],
            &["link", "create", "https://a.example", "--code="],
            &["link", "create", "https://a.example", "--tag", "a", "--tag", ""],
            &["link", "update", "a", "--etag", " "],
            &["link", "delete", "a", "--request-id", ""],
            &["link", "list", "--filter", ""],
            &["link", "list", "--domain", ""],
            &["link", "list", "--server", ""],
            &["link", "list", "--key-file", ""],
            &["up", "--api", ""],
            &["up", "--listen", ""],
            &["up", "--redis", ""],
            &["up", "--data-dir", ""],
            &["control", "--store", ""],
            &["edge", "--name", ""],
            &["edge", "--control", ""],
        ] {
            let flag = words.iter().rev().find(|word| word.starts_with("--")).unwrap();
            let want = format!("{} is empty: give a value, or leave it out", flag.trim_end_matches('='));
            assert_eq!(said(words), want, "{words:?}");
        }
        assert!(said(&["link", "update", "a", "--title", ""]).ends_with("; --clear title sets it back"));
        assert!(said(&["link", "get", ""]).contains("<CODE> is empty"));
        for words in [
            &["domain", "update", "-", "--not-found", ""][..],
            &["link", "list", "--page-token", ""],
            &["link", "update", "a", "--disabled"],
            &["link", "list", "--all"],
        ] {
            assert_eq!(said(words), "", "{words:?}");
        }
    }

    #[test]
    fn quotes_around_a_value_are_named() {
        for target in ["\"https://a.example/\"", "'https://a.example/'", "<https://a.example/>"] {
            let said = said(&["link", "create", target]);
            assert!(said.ends_with("stands in quotes: leave them out"), "{said}");
        }
        assert_eq!(said(&["link", "create", "https://a.example/?q=\"a\""]), "");
    }

    #[test]
    fn what_nobody_sees_is_named_where_it_was_pasted_along() {
        for (words, want) in [
            (
                &["link", "get", "\u{200b}promo"][..],
                "<CODE> begins with a character that nobody sees, U+200B",
            ),
            (&["link", "list", "--domain", "go.example\u{a0}"], "--domain ends with"),
            (&["link", "list", "--server", "\u{feff}http://a"], "--server begins with"),
            (
                &["link", "create", "https://a.example", "--expire-time", "30d\u{a0}"],
                "--expire-time ends with",
            ),
        ] {
            assert!(said(words).starts_with(want), "{}", said(words));
        }
        assert_eq!(said(&["link", "update", "a", "--title", "\u{200f}שלום"]), "");
    }
}
