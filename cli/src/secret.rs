//! Secrets and where they stand: files that hold one, and command lines that show one to everybody.

use crate::fault::Fault;
use crate::out;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Flags whose value is an address that may hold a password.
const ADDRESSES: [&str; 3] = ["--store", "--store-direct", "--redis"];
/// Flags whose value is a secret.
const SECRETS: [&str; 2] = ["--key", "--control-key"];

/// The one line of a file.
///
/// # Errors
/// It cannot be read, or holds nothing.
pub fn line(file: &Path, what: &str) -> Result<String, Fault> {
    let name = file.display();
    let cannot = |fault: std::io::Error| {
        Fault::new(format_args!("cannot read {name}, which should hold {what}: {fault}"))
    };
    let small = proto::file::read(file).map_err(cannot)?;
    let (meta, text) = (small.meta.clone(), small.text().map_err(cannot)?);
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        return Err(Fault::new(format_args!("{name} is empty: it should hold {what}")));
    }
    if text.contains(['\r', '\n']) {
        return Err(Fault::new(format_args!(
            "{name} has more than one line: it should hold {what} and nothing else"
        )));
    }
    warn_of(file, &meta);
    Ok(text.to_owned())
}

/// A password of PostgreSQL.
///
/// # Errors
/// As [`line`].
pub fn password(file: &Path) -> Result<String, Fault> {
    line(file, "a password")
}

/// Says so when others may read a file of this user's that holds a secret. What is another user's is his to guard:
/// mounted secrets of containers are such.
pub fn warn_of(file: &Path, meta: &Metadata) {
    let own = std::fs::metadata("/proc/self").is_ok_and(|this| this.uid() == meta.uid());
    if own && meta.is_file() && meta.mode() & 0o044 != 0 {
        let name = file.display();
        out::note(&format!("{name} holds a secret, and others may read it: chmod 600 {name}"));
    }
}

/// Says so when a password or key stands on the command line, where every user of the machine reads it.
pub fn warn_of_words(words: &[OsString]) {
    let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    for flag in shown(&words) {
        let instead = match flag {
            "--key" => "--key-file, or LINKR_KEY in the environment",
            "--control-key" => "--control-key-file",
            "--redis" => "a file with the whole URL: --redis-file",
            "--store-direct" => "a file: --store-direct-password-file",
            _ => "a file: --store-password-file",
        };
        out::note(&format!(
            "the secret in {flag} can be read by every user of this machine (ps): put it into {instead}"
        ));
    }
}

/// The flags that show one.
fn shown<'a>(words: &[&'a str]) -> Vec<&'static str> {
    let mut found = Vec::new();
    let end = words.iter().position(|word| *word == "--").unwrap_or(words.len());
    for (at, word) in words[..end].iter().enumerate() {
        let (name, inline) = word.split_once('=').map_or((*word, None), |(name, value)| (name, Some(value)));
        let value: &'a str = inline.or(words.get(at + 1).copied()).unwrap_or_default();
        let address =
            ADDRESSES.into_iter().find(|flag| *flag == name).filter(|_| without_password(value).is_some());
        found.extend(address.or(SECRETS.into_iter().find(|flag| *flag == name)));
    }
    found
}

/// An address (or several, separated by commas) without its passwords; `None` if there are none in it.
pub fn without_password(text: &str) -> Option<String> {
    let mut found = false;
    let hidden = |address: &str| {
        let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
        let (place, query) = rest.split_once('?').map_or((rest, ""), |(place, query)| (place, query));
        // A password may hold any character but an @, which is written %40 (RFC 3986, section 3.2.1).
        let place = match place.rsplit_once('@') {
            Some((user, host)) => match user.split_once(':') {
                Some((user, _)) => {
                    found = true;
                    if user.is_empty() { host.to_owned() } else { format!("{user}@{host}") }
                }
                None => place.to_owned(),
            },
            None => place.to_owned(),
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let kept: Vec<&str> =
            pairs.filter(|pair| !pair.to_ascii_lowercase().starts_with("password=")).collect();
        found |= kept.len() != query.split('&').filter(|pair| !pair.is_empty()).count();
        let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
        format!("{scheme}://{place}{query}")
    };
    // A database's address holds commas itself: between hosts.
    let parts: Vec<String> = match text.starts_with("postgres") {
        true => std::iter::once(text).map(hidden).collect(),
        false => text.split(',').map(hidden).collect(),
    };
    found.then(|| parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_found_in_addresses() {
        for (given, want) in [
            ("postgres://a:b@h/d", Some("postgres://a@h/d")),
            ("postgres://a:b@h1:1,h2:2/d?sslmode=require", Some("postgres://a@h1:1,h2:2/d?sslmode=require")),
            ("postgres://a@h/d?password=x&connect_timeout=3", Some("postgres://a@h/d?connect_timeout=3")),
            ("postgres://a:p/w@h/d", Some("postgres://a@h/d")),
            ("postgres://a@h:5432/d", None),
            ("redis://:x@h", Some("redis://h")),
            ("redis://h1:1,rediss://u:p@h2:2/3", Some("redis://h1:1,rediss://u@h2:2/3")),
            ("redis://h1:1,h2:2", None),
            ("sqlite:a:b@c", None),
        ] {
            assert_eq!(without_password(given).as_deref(), want, "{given}");
        }
    }

    #[test]
    fn secrets_are_found_on_command_lines() {
        let shown = |line: &str| shown(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(shown("linkr control --store postgres://a:b@h/d"), ["--store"]);
        assert_eq!(shown("linkr control --store=postgres://a@h/d --redis=redis://:x@h"), ["--redis"]);
        assert_eq!(shown("linkr link get x --key lk_1"), ["--key"]);
        assert!(shown("linkr link create https://a.example/ --note x -- --key").is_empty());
    }
}
