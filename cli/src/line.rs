//! The command line as it was given: which command it asks for, with the settings file's values as defaults.

mod given;
mod unknown;

use crate::args::{Command, Linkr, Output};
use crate::fault::CommandFault;
use crate::{out, secret, settings};
use clap::error::{ContextValue, ErrorKind};
use clap::{ArgMatches, FromArgMatches};
use std::ffi::OsString;

/// The way out of a command line that is none.
const HELP: &str = "; --help shows what is possible";

/// The command that the command line asks for; `None` when it asked for a text, which is printed now.
pub fn asked() -> Result<Option<Command>, CommandFault> {
    let words = with_up(std::env::args_os().collect());
    let mut command = settings::command(&words)?;
    let matches = command.try_get_matches_from_mut(&words);
    if let Some(command) = matches.as_ref().ok().and_then(shows_no_link) {
        return Err(CommandFault::new(format_args!(
            "{command} does not answer with one link: -o url is for those commands that do, such as link create"
        )));
    }
    let parsed = matches.and_then(|matches| {
        let linkr = Linkr::from_arg_matches(&matches)?;
        Ok((linkr, matches))
    });
    match parsed {
        Ok((linkr, matches)) => {
            settings::environment::check()?;
            given::check(&command, &matches)?;
            Ok(Some(linkr.command))
        }
        Err(text) if !text.use_stderr() => out::write(text.render().to_string().as_bytes()).map(|()| None),
        Err(fault) => {
            settings::environment::check()?;
            let line = given::refused(&fault).unwrap_or_else(|| one_line(&fault));
            Err(match unknown::hint(&command, &words, &fault) {
                Some(hint) => {
                    let said = line.message().strip_suffix(HELP).unwrap_or(line.message());
                    CommandFault::new(format_args!("{said}; {hint}{HELP}"))
                }
                None => line,
            })
        }
    }
}

/// A command that is asked for the address of a link, and shows none.
fn shows_no_link(matches: &ArgMatches) -> Option<String> {
    const SHOW: [&str; 5] = ["create", "get", "update", "undelete", "restore"];
    let (mut words, mut inner) = (Vec::new(), matches);
    while let Some((name, next)) = inner.subcommand() {
        words.push(name);
        inner = next;
    }
    let output = inner.try_get_one::<Output>("output").ok().flatten();
    let shows = matches!(&words[..], ["link", name] if SHOW.contains(name));
    (output == Some(&Output::Url) && !shows).then(|| words.join(" "))
}

/// Says what of the words and the environment does nothing, or shows a secret.
pub fn warn() {
    settings::environment::warn();
    secret::warn_of_words(&std::env::args_os().collect::<Vec<_>>());
}

/// No command means `up`, also with flags of `up` right behind the program's name. `-o` may stand in front of a command:
/// it is moved behind it.
fn with_up(mut words: Vec<OsString>) -> Vec<OsString> {
    let mut at = 1;
    let mut output = Vec::new();
    while let Some(word) = words.get(at).and_then(|word| word.to_str()) {
        match word {
            "--config" => at += 2,
            _ if word.starts_with("--config=") => at += 1,
            "-o" | "--output" => output.extend(words.drain(at..words.len().min(at + 2))),
            _ if word.starts_with("-o") || word.starts_with("--output=") => output.push(words.remove(at)),
            "-h" | "--help" | "-V" | "--version" => return words,
            _ => break,
        }
    }
    if words.get(at).is_none_or(|word| word.as_encoded_bytes().starts_with(b"-")) {
        words.insert(at.min(words.len()), "up".into());
    }
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    words.splice(end..end, output);
    words
}

/// The command that a server or client would be started with if nothing was said but its name.
pub fn with_defaults(command: &clap::Command, names: &[&str]) -> Result<Command, CommandFault> {
    let words = std::iter::once(&"linkr").chain(names);
    let matches = command.clone().try_get_matches_from(words);
    let parsed = matches.and_then(|matches| Linkr::from_arg_matches(&matches));
    parsed.map(|linkr| linkr.command).map_err(|fault| one_line(&fault))
}

/// The first paragraph of clap's text, as one line.
pub fn one_line(fault: &clap::Error) -> CommandFault {
    if fault.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return CommandFault::new("a command is missing: add --help to see which there are");
    }
    let text = without_secrets(fault, fault.render().to_string());
    let lines = text.lines().take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let words: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
    let line = words.join(" ");
    CommandFault::new(format_args!("{}{HELP}", line.trim_start_matches("error: ")))
}

/// clap shows the value that it refuses, which may hold a password: an address, or a key that stands in a wrong place.
fn without_secrets(fault: &clap::Error, text: String) -> String {
    let values = fault.context().filter_map(|(_, value)| match value {
        ContextValue::String(value) => Some(value),
        _ => None,
    });
    values.fold(text, |text, value| match secret::without_password(value) {
        Some(bare) => text.replace(value.as_str(), &bare),
        None => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_is_up() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (given, want) in [
            ("linkr", "linkr up"),
            ("linkr --insecure", "linkr up --insecure"),
            ("linkr --config x", "linkr --config x up"),
            ("linkr --config=x --listen a", "linkr --config=x up --listen a"),
            ("linkr --version", "linkr --version"),
            ("linkr link list", "linkr link list"),
            ("linkr -o json link list", "linkr link list -o json"),
            (
                "linkr --output=json --config x link get -- -a",
                "linkr --config x link get --output=json -- -a",
            ),
        ] {
            assert_eq!(with_up(words(given)), words(want));
        }
    }
}
