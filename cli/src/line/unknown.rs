//! Words that no command knows, with the ones that were meant.

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use std::ffi::OsString;

/// What else there is in the place of a word that is unknown; `None`: what clap says is all that can be said.
pub fn hint(command: &Command, words: &[OsString], fault: &Error) -> Option<String> {
    let (kind, word) = match fault.kind() {
        kind @ ErrorKind::InvalidSubcommand => (kind, text(fault, ContextKind::InvalidSubcommand)?),
        kind @ ErrorKind::UnknownArgument => (kind, text(fault, ContextKind::InvalidArg)?),
        _ => return None,
    };
    let mut at = command;
    for given in words.iter().skip(1).filter_map(|given| given.to_str()) {
        match at.find_subcommand(given) {
            Some(sub) => at = sub,
            None if given == word => break,
            None => {}
        }
    }
    if kind == ErrorKind::UnknownArgument {
        let hint = match (at.get_name(), word) {
            ("update", word) if word.contains("://") => "a new target is given with --target",
            ("create", word) if word.contains("://") => {
                "a target stands alone, and its code is given with --code"
            }
            ("conform", word) if !word.starts_with('-') => "the file is named with --links",
            (_, "--json") => "JSON is printed with -o json",
            _ => return None,
        };
        return Some(hint.to_owned());
    }
    let below: Vec<String> = at
        .get_subcommands()
        .filter(|sub| sub.find_subcommand(word).is_some())
        .map(|sub| format!("linkr {} {word}", sub.get_name()))
        .collect();
    if !below.is_empty() && at.get_name() == command.get_name() {
        return Some(format!("there is {}", below.join(", ")));
    }
    let names: Vec<&str> = at.get_subcommands().map(Command::get_name).collect();
    Some(format!("there are {}", names.join(", ")))
}

fn text(fault: &Error, kind: ContextKind) -> Option<&str> {
    match fault.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Linkr;
    use clap::CommandFactory;

    #[test]
    fn a_word_that_is_none_is_told_with_those_that_are() {
        for (line, said) in [
            (
                "linkr create https://a",
                Some("there is linkr link create, linkr domain create, linkr keys create"),
            ),
            ("linkr link rm x", Some("there are create, check, get, update, delete,")),
            ("linkr nonsense", Some("there are up, edge, control, link,")),
            ("linkr link update x https://b", Some("given with --target")),
            ("linkr link create promo https://b", Some("code is given with --code")),
            ("linkr conform links.csv", Some("named with --links")),
            ("linkr link get x --json", Some("-o json")),
            ("linkr link list --limit 5", None),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let mut command = Linkr::command();
            let fault = command.try_get_matches_from_mut(&words).unwrap_err();
            let hint = hint(&command, &words, &fault);
            assert_eq!(hint.is_some(), said.is_some(), "{line}: {hint:?}");
            assert!(hint.unwrap_or_default().contains(said.unwrap_or_default()), "{line}");
        }
    }
}
