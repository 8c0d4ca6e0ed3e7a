//! Secrets and where they stand: files that hold one, and command lines that show one to everybody.

use crate::fault::CommandFault;
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
pub fn line(file: &Path, what: &str) -> Result<String, CommandFault> {
    let name = file.display();
    let cannot = |fault: std::io::Error| {
        CommandFault::new(format_args!("cannot read {name}, which should hold {what}: {fault}"))
    };
    let small = proto::file::read(file).map_err(cannot)?;
    let (meta, text) = (small.meta.clone(), small.text().map_err(cannot)?);
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        return Err(CommandFault::new(format_args!("{name} is empty: it should hold {what}")));
    }
    if text.contains(['\r', '\n']) {
        return Err(CommandFault::new(format_args!(
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
pub fn password(file: &Path) -> Result<String, CommandFault> {
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

/// An address (or several, separated by commas) without its passwords; `None` if there are none in it. Of one that is
/// not understood nothing is shown but its scheme.
pub fn without_password(text: &str) -> Option<String> {
    let (scheme, known) = match text.split_once("://") {
        Some((scheme, _)) => {
            (scheme, ["postgres", "postgresql", "redis", "rediss", "http", "https"].contains(&scheme))
        }
        None => (text.split(':').next().unwrap_or_default(), false),
    };
    let url = text.contains("://") && text.contains([';', '=']);
    if text.starts_with("sqlite:") || !text.contains(':') || !(text.contains(['@', '?']) || url) {
        return None;
    }
    // A database's address holds commas itself: between hosts. So may a password.
    let parts: Vec<&str> = match scheme.starts_with("postgres") {
        true => vec![text],
        false => text.split(',').collect(),
    };
    let shown: Option<Vec<TextPart>> = parts.into_iter().map(bare).collect();
    match shown.filter(|_| known) {
        Some(parts) if parts.iter().all(|part| !part.hidden) => None,
        Some(parts) => Some(parts.into_iter().map(|part| part.shown).collect::<Vec<_>>().join(",")),
        None => Some(if known { format!("{scheme}://…") } else { "…".to_owned() }),
    }
}

/// Tells settings that hold an address, with a password perhaps, from all others.
pub fn is_address(key: &str) -> bool {
    ADDRESSES.iter().any(|flag| flag.strip_prefix("--") == Some(key))
}

/// A value that was refused, as it may be shown.
pub fn refused(value: &str) -> String {
    without_password(value).unwrap_or_else(|| value.to_owned())
}

struct TextPart {
    shown: String,
    hidden: bool,
}

/// One address; `None`: what is what in it cannot be told.
fn bare(address: &str) -> Option<TextPart> {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    // Whoever wrote a password as it is meant the last @: what follows it alone is a host.
    let (user, behind) = rest.rsplit_once('@').map_or((None, rest), |(user, behind)| (Some(user), behind));
    let (place, query) = behind.split_once('?').unwrap_or((behind, ""));
    let (name, password) = user.map_or((None, false), |user| match user.split_once(':') {
        Some((name, _)) => (Some(name), true),
        None => (Some(user), false),
    });
    let clean = |text: &str| !text.contains(['?', '#', '@', '/', ' ', '=']);
    let of_none = scheme.is_empty() && user.is_some();
    if of_none || !name.is_none_or(clean) || place.contains(['#', ' ', '=', ';']) || !hosts(place) {
        return None;
    }
    let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    let kept: Vec<&str> = pairs.iter().copied().filter(|pair| harmless(pair)).collect();
    let name = name.filter(|name| !name.is_empty()).map_or_else(String::new, |name| format!("{name}@"));
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    let hidden = password || kept.len() < pairs.len();
    Some(TextPart { shown: format!("{scheme}{name}{place}{query}"), hidden })
}

/// Hosts, each with a number for its port if any: what else stands behind a colon is half of a password.
fn hosts(place: &str) -> bool {
    let hosts = place.split('/').next().unwrap_or_default();
    hosts.is_empty()
        || hosts.split(',').all(|host| {
            let bare = host.strip_prefix('[').and_then(|host| host.split_once(']'));
            let (name, port) = bare.unwrap_or_else(|| host.split_at(host.find(':').unwrap_or(host.len())));
            !name.is_empty()
                && (port.is_empty()
                    || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit())))
        })
}

/// A parameter whose name, in whichever writing, is that of no secret.
fn harmless(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)); // nothing to be decoded
    plain && !["pass", "pwd", "secret", "key", "token", "auth"].iter().any(|word| name.contains(word))
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
            ("redis://h1:1,redis://h2:2/?a=1", None),
            // Found by attack: shown whole.
            ("postgres://u:hun?ter2SECRET@h/d", Some("postgres://u@h/d")),
            ("postgres://u:a@SECRET@h/d", Some("postgres://u@h/d")),
            ("postgres://u@h/d?%70assword=SECRET", Some("postgres://u@h/d")),
            ("postgres://u@h/d?sslpassword=SECRET&sslmode=require", Some("postgres://u@h/d?sslmode=require")),
            ("redis://:SEC?RETSECRET@h", Some("redis://h")),
            ("redis://:SEC,RET@h", Some("redis://…")),
            ("redis://u:SEC,RET@h", Some("redis://…")),
            ("redis://u:123,RET@h", Some("redis://…")),
            ("redis:SECRET@h", Some("…")),
            ("jdbc:sqlserver://h;password=SECRET", Some("…")),
            ("https://a.example/?a=1", None),
            ("redis://[::1]:6379/?protocol=resp3", None),
            ("what@is?this", None),
            ("redis://h/0?pass=SECRET", Some("redis://h/0")),
            ("mysql://root:SECRET@h/d", Some("…")),
            ("http://u:SECRET@h:1", Some("http://u@h:1")),
            ("http://SECRET?x@h:1", Some("http://…")),
            ("u:SECRET@h", Some("…")),
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
