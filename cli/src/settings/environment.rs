//! Variables of the environment that are meant for linkr: one that is none is told, with the one that was meant,
//! and one that is empty is refused.

use crate::args::Linkr;
use crate::fault::CommandFault;
use clap::{Command, CommandFactory};

/// Without a flag: read by the log, and by tests.
const OTHERS: [&str; 7] = [
    "LINKR_LOG",
    "LINKR_LONG",
    "LINKR_BIN",
    "LINKR_TRIES",
    "LINKR_BURN_NS",
    "LINKR_FUZZ_SEEDS",
    "LINKR_WRITE_OPENAPI",
];

/// Says of each that is set and known to nobody.
pub fn warn() {
    let known = known();
    for (name, value) in std::env::vars_os() {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        if is_unknown(&name, &value, &known) {
            let meant = nearest(&name, &known).map(|near| format!(": {near} was meant?")).unwrap_or_default();
            crate::out::note(&format!("the variable {name} is none of linkr's and does nothing{meant}"));
        }
    }
}

/// Whether each variable that is set has a value.
///
/// # Errors
/// The first that has none: a line such as `LINKR_API=` is a value that was forgotten, or a variable of a script that was
/// not set.
pub fn check() -> Result<(), CommandFault> {
    let is_empty =
        |name: &String| std::env::var_os(name).is_some_and(|value| value.to_string_lossy().trim().is_empty());
    match known().into_iter().filter(|name| !OTHERS.contains(&name.as_str())).find(is_empty) {
        Some(name) => Err(CommandFault::new(format_args!(
            "the variable {name} is empty: give it a value, or take it out of the environment (unset {name})"
        ))),
        None => Ok(()),
    }
}

fn known() -> Vec<String> {
    let mut names: Vec<String> = OTHERS.map(str::to_owned).into();
    collect(&Linkr::command(), &mut names);
    names.sort_unstable();
    names.dedup();
    names
}

fn collect(command: &Command, names: &mut Vec<String>) {
    let own = command.get_arguments().filter_map(|arg| arg.get_env());
    names.extend(own.map(|name| name.to_string_lossy().into_owned()));
    command.get_subcommands().for_each(|sub| collect(sub, names));
}

fn is_unknown(name: &str, value: &str, known: &[String]) -> bool {
    let ours = name.starts_with("LINKR_") && !name.starts_with("LINKR_TEST_");
    ours && !known.iter().any(|known| known == name) && !is_of_kubernetes(name, value)
}

/// Kubernetes tells every container of every service, so that one that is called linkr has such names.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let part = ["_PROTO", "_ADDR", "_PORT"].iter().any(|end| name.ends_with(end)) && name.contains("_PORT_");
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.contains("_PORT") && address)
        || part
}

/// The known name with the fewest letters changed, if few are.
fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let best = known.iter().map(|known| (distance(name, known), known)).min()?;
    (best.0 <= name.len() / 4).then_some(best.1.as_str())
}

/// Letters to be put in, left out or changed.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (to, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[to + 1];
            row[to + 1] = changed.min(row[to] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_none_and_what_was_meant() {
        let known = known();
        for (name, value, meant) in [
            ("LINKR_SERVRE", "x", Some("LINKR_SERVER")),
            ("LINKR_HOTSET_BYTES", "1GiB", Some("LINKR_HOT_SET_BYTES")),
            ("LINKR_API_TLS_CRT", "x", Some("LINKR_API_TLS_CERT")),
            ("LINKR_PASSWORD", "x", None),
        ] {
            assert!(is_unknown(name, value, &known), "{name}");
            assert_eq!(nearest(name, &known), meant, "{name}");
        }
        for (name, value) in [
            ("LINKR_LISTEN", "x"),
            ("LINKR_LOG", "debug"),
            ("LINKR_TEST_POSTGRES", "x"),
            ("LINKR_SERVICE_HOST", "10.0.0.1"),
            ("LINKR_PORT", "tcp://10.0.0.1:8080"),
            ("LINKR_CONTROL_PORT_8081_TCP_ADDR", "10.0.0.1"),
            ("LINKR_SERVICE_PORT_HTTP", "80"),
            ("OTHER_THING", "x"),
        ] {
            assert!(!is_unknown(name, value, &known), "{name}");
        }
    }
}
