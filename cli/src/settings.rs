//! `linkr.toml`: read into the defaults of the command line, so that flags and `LINKR_…` win over it by themselves.

pub mod effect;
pub mod environment;

use crate::args::Linkr;
use crate::fault::CommandFault;
use crate::secret;
use clap::builder::ArgPredicate;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command, CommandFactory};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

const USUAL: &str = "linkr.toml";
/// Settings of every command that asks a server.
const CLIENT_KEYS: [&str; 5] = ["server", "domain", "output", "key-file", "server-ca"];
const CLIENT_COMMANDS: [&str; 8] = ["link", "tag", "domain", "clicks", "import", "export", "feed", "keys"];

/// The command line with the settings file's values as defaults.
pub fn command(words: &[OsString]) -> Result<Command, CommandFault> {
    match file_of(words) {
        Some(file) => with_file(&file),
        None => Ok(Linkr::command()),
    }
}

/// `--config`, `LINKR_CONFIG`, or `linkr.toml` here if it exists. Looked for by hand: the file has to be known before
/// the command line can be read.
pub fn file_of(words: &[OsString]) -> Option<PathBuf> {
    for (at, word) in words.iter().enumerate().take_while(|(_, word)| *word != "--") {
        if word == "--config" {
            return words.get(at + 1).map(PathBuf::from);
        }
        if let Some(file) = word.to_str().and_then(|word| word.strip_prefix("--config=")) {
            return Some(file.into());
        }
    }
    let named = std::env::var_os("LINKR_CONFIG").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(USUAL)).filter(|usual| usual.exists()))
}

fn with_file(file: &Path) -> Result<Command, CommandFault> {
    if file.as_os_str().is_empty() {
        return Err(CommandFault::new("--config (LINKR_CONFIG) is empty: name a file, or leave it out"));
    }
    let name = file.display();
    let text = proto::file::read(file)
        .and_then(proto::file::SmallFile::text)
        .map_err(|fault| CommandFault::new(format_args!("cannot read {name}: {fault}")))?;
    let settings: Table = text.parse().map_err(|fault: toml::de::Error| {
        let line = fault.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
        CommandFault::new(format_args!("{name}, line {line}: {}", fault.message()))
    })?;
    apply(&settings).map_err(|why| CommandFault::new(format_args!("{name}: {why}")))
}

fn apply(settings: &Table) -> Result<Command, String> {
    let mut command = Linkr::command();
    for (table, values) in settings {
        let values =
            values.as_table().filter(|_| ["up", "edge", "control", "client"].contains(&table.as_str()));
        let values = values.ok_or_else(|| {
            format!("unknown key '{table}': settings stand in [up], [edge], [control] and [client]")
        })?;
        one_of_each(&command, table, values)?;
        for (key, value) in values {
            let words =
                words_of(value).ok_or_else(|| format!("[{table}] {key} must be one value or a list"))?;
            command = match table.as_str() {
                "client" => {
                    let mut known = command;
                    // The feed and keys have no domain, and a domain is named.
                    let meant = |name: &&str| !["feed", "keys", "domain"].contains(name) || key != "domain";
                    for name in CLIENT_COMMANDS.into_iter().filter(meant) {
                        known = in_subcommand(known, name, |sub| set_deep(sub, table, key, &words))?;
                    }
                    known
                }
                name => {
                    let started = in_subcommand(command, name, |sub| set(sub, table, key, &words))?;
                    in_subcommand(started, "doctor", |doctor| {
                        in_subcommand(doctor, name, |sub| set(sub, table, key, &words))
                    })?
                }
            };
        }
    }
    Ok(command)
}

/// Sets a default in a command, or in everything below one that only groups others.
fn set_deep(mut command: Command, table: &str, key: &str, words: &[String]) -> Result<Command, String> {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    if names.is_empty() {
        return set(command, table, key, words);
    }
    // One that asks somebody else has no use for every key; what none has is a mistake.
    let has = |name: &String| {
        let sub = command.find_subcommand(name);
        sub.is_some_and(|sub| sub.get_arguments().any(|arg| arg.get_long() == Some(key)))
    };
    let having: Vec<String> = names.iter().filter(|name| has(name)).cloned().collect();
    for name in if having.is_empty() { names } else { having } {
        command = in_subcommand(command, &name, |sub| set(sub, table, key, words))?;
    }
    Ok(command)
}

fn set(command: Command, table: &str, key: &str, words: &[String]) -> Result<Command, String> {
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(key) && is_key(table, key));
    let arg = arg.ok_or_else(|| {
        let known: Vec<&str> = command
            .get_arguments()
            .filter_map(clap::Arg::get_long)
            .filter(|key| is_key(table, key))
            .collect();
        format!("unknown key '{key}' in [{table}]; there are {}", known.join(", "))
    })?;
    let flag = matches!(arg.get_action(), ArgAction::SetTrue);
    if words.len() != 1 && arg.get_value_delimiter().is_none() {
        return Err(format!("[{table}] {key} takes one value"));
    }
    // clap would panic over a default that does not parse: try it as a flag first.
    let good = if flag { matches!(words, [word] if word == "true" || word == "false") } else { true };
    let given = words.iter().map(|word| format!("--{key}={word}"));
    let tried = command.clone().try_get_matches_from(std::iter::once("linkr".to_owned()).chain(given));
    let bad = tried.err().filter(|fault| {
        !flag && matches!(fault.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue)
    });
    if !good || bad.is_some() {
        let why = bad.as_ref().and_then(std::error::Error::source);
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        let words: Vec<String> = words.iter().map(|word| secret::refused(word)).collect();
        return Err(format!("[{table}] {key} cannot be {}{why}", words.join(", ")));
    }
    let id = arg.get_id().clone();
    // Read once at the start and needed until the end: clap keeps defaults as static texts.
    let words: Vec<&'static str> = words.iter().map(|word| &*word.clone().leak()).collect();
    // What was said nearer wins, in whichever of two forms: a flag over the file, also over its other form there.
    let others =
        rivals(&command, &id).into_iter().map(|other| (other, ArgPredicate::IsPresent, None::<&str>));
    let others: Vec<_> = others.collect();
    Ok(command.mut_arg(id, |arg| arg.default_values(words).default_value_ifs(others)))
}

/// The other forms of the same setting, of which one counts.
fn rivals(command: &Command, id: &clap::Id) -> Vec<clap::Id> {
    let meets = |one: &Arg, other: &clap::Id| {
        command.get_arg_conflicts_with(one).iter().any(|known| known.get_id() == other)
    };
    let own = command.get_arguments().find(|arg| arg.get_id() == id);
    let others = command.get_arguments().filter(|arg| arg.get_id() != id);
    others
        .filter(|other| meets(other, id) || own.is_some_and(|own| meets(own, other.get_id())))
        .map(|other| other.get_id().clone())
        .collect()
}

/// Of two forms of one setting a file has one: nobody could tell which counts.
fn one_of_each(command: &Command, table: &str, values: &Table) -> Result<(), String> {
    let Some(command) = command.find_subcommand(table) else { return Ok(()) };
    let mut command = command.clone();
    command.build();
    let given = |arg: &&Arg| arg.get_long().is_some_and(|key| values.contains_key(key));
    for arg in command.get_arguments().filter(given) {
        let other = command.get_arg_conflicts_with(arg).into_iter().find(given);
        if let Some(other) = other {
            let [one, other] = [arg, other].map(|arg| arg.get_long().unwrap_or_default());
            return Err(format!(
                "[{table}] has {one} and {other}, of which only one can count: leave one out"
            ));
        }
    }
    Ok(())
}

pub fn is_key(table: &str, key: &str) -> bool {
    if table == "client" {
        CLIENT_KEYS.contains(&key)
    } else {
        !["help", "version", "config", "control-key"].contains(&key)
    }
}

fn words_of(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Integer(number) => Some(vec![number.to_string()]),
        Value::Boolean(flag) => Some(vec![flag.to_string()]),
        Value::Array(values) => values.iter().map(|value| value.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// What clap lacks: changing a subcommand by something that can fail.
fn in_subcommand(
    command: Command,
    name: &str,
    change: impl FnOnce(Command) -> Result<Command, String>,
) -> Result<Command, String> {
    let mut fault = None;
    let changed = command.mut_subcommand(name, |sub| {
        change(sub.clone()).unwrap_or_else(|why| {
            fault = Some(why);
            sub
        })
    });
    fault.map_or(Ok(changed), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(settings: &str, words: &[&str], id: &str) -> Result<String, String> {
        let matches = apply(&settings.parse().unwrap())?.try_get_matches_from(words).unwrap();
        let (mut name, mut matches) = matches.subcommand().unwrap();
        while let Some((below, more)) = matches.subcommand() {
            (name, matches) = (below, more);
        }
        assert!(words.contains(&name));
        let values = matches.get_raw(id).unwrap();
        Ok(values.map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join("+"))
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = "[up]\nworkers = 3\ninsecure = true\n[client]\nserver = \"http://x\"\ndomain = \"-\"\n\
                    [edge]\ncontrol = [\"http://a\", \"http://b\"]\n";
        let value = |words: &[&str], id: &str| value(file, words, id).unwrap();
        assert_eq!(value(&["linkr", "up"], "workers"), "3");
        assert_eq!(value(&["linkr", "up", "--workers", "5"], "workers"), "5");
        assert_eq!(value(&["linkr", "up"], "insecure"), "true");
        assert_eq!(value(&["linkr", "up"], "admin"), "127.0.0.1:8082");
        assert_eq!(value(&["linkr", "edge"], "control"), "http://a+http://b");
        assert_eq!(value(&["linkr", "link", "get", "x"], "server"), "http://x");
        assert_eq!(value(&["linkr", "export"], "server"), "http://x");
        assert_eq!(value(&["linkr", "feed", "status"], "server"), "http://x");
        assert_eq!(value(&["linkr", "clicks", "x"], "server"), "http://x");
    }

    #[test]
    fn a_command_without_the_key_is_passed_over() {
        let file = "[client]\nserver = \"http://x\"\noutput = \"json\"\n";
        assert_eq!(value(file, &["linkr", "link", "explain", "x"], "output").unwrap(), "json");
        assert_eq!(value(file, &["linkr", "link", "get", "x"], "server").unwrap(), "http://x");
    }

    #[test]
    fn a_flag_wins_over_the_other_form_of_it_in_the_file() {
        let file = "[up]\nredis-file = \"f\"\n";
        assert_eq!(value(file, &["linkr", "up"], "redis_file").unwrap(), "f");
        let matches = apply(&file.parse().unwrap()).unwrap();
        let matches = matches.try_get_matches_from(["linkr", "up", "--redis", "redis://h"]).unwrap();
        let up = matches.subcommand_matches("up").unwrap();
        assert!(up.get_raw("redis_file").is_none() && up.get_raw("redis").is_some());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (file, want) in [
            ("[up]\nredis = \"redis://h\"\nredis-file = \"f\"", "only one can count"),
            ("[up]\nworker = 3", "unknown key 'worker' in [up]"),
            ("workers = 3", "unknown key 'workers'"),
            ("[down]\nx = 1", "unknown key 'down'"),
            ("[up]\nworkers = \"many\"", "[up] workers cannot be many"),
            ("[up]\ninsecure = 1", "[up] insecure cannot be 1"),
            ("[up]\nadmin = [\"a\", \"b\"]", "[up] admin takes one value"),
            ("[client]\npage-size = 3", "unknown key 'page-size' in [client]"),
            ("[client]\noutput = \"yaml\"", "[client] output cannot be yaml"),
        ] {
            let why = apply(&file.parse().unwrap()).unwrap_err();
            assert!(why.contains(want), "{why}");
        }
    }
}
