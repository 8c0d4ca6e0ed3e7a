//! The host that a target leads to, in the form in which blocks and indexes compare hosts. No policy is here.

use std::fmt;
use std::net::Ipv4Addr;

#[cfg(feature = "given")]
use crate::Target;

/// Bytes of a turned host. A name has 253 at most; what is longer is cut behind its first labels, so that an index can hold
/// it and a block of a domain above it still covers it.
#[cfg(feature = "given")]
const LONGEST: usize = 1_024;

/// A host name or address in the compared form of [`crate::Domain`], with its labels turned round and a dot behind each:
/// `a.evil.example` is `example.evil.a.`. A host and all its subdomains have one beginning, and are one range of an index.
/// An address is not turned, and nothing is below it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetHost(String);

impl TargetHost {
    /// One that a store keeps as [`Self::turned`] said it.
    pub fn stored(turned: String) -> Self {
        Self(turned)
    }

    /// As it is compared and kept.
    pub fn turned(&self) -> &str {
        &self.0
    }

    /// The first text behind every host that it covers.
    pub fn end(&self) -> String {
        // Behind the dot at the end comes the slash, which is in no host.
        format!("{}/", self.0.strip_suffix('.').unwrap_or(&self.0))
    }

    /// Whether the other one is this host or a subdomain of it.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The host itself and the domains above it, the narrowest first: those whose block covers it.
    pub fn and_above(&self) -> impl Iterator<Item = Self> {
        let ends: Vec<usize> = match is_address(self.bare()) {
            true => vec![self.0.len()],
            false => self.0.match_indices('.').map(|(at, _)| at + 1).collect(),
        };
        ends.into_iter().rev().map(|end| Self(self.0[..end].to_owned()))
    }

    fn bare(&self) -> &str {
        self.0.strip_suffix('.').unwrap_or(&self.0)
    }
}

/// The host as people write it.
impl fmt::Display for TargetHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bare() {
            address if is_address(address) => f.write_str(address),
            name => f.write_str(&name.rsplit('.').collect::<Vec<_>>().join(".")),
        }
    }
}

/// Of a host in its compared form: a name never ends in a label that is a number (URL Standard, "ends in a number").
fn is_address(host: &str) -> bool {
    host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok()
}

#[cfg(feature = "given")]
impl TargetHost {
    /// A host as an admin names it: a name or an address, read as the URL Standard reads that of a target. A port counts
    /// for nothing.
    ///
    /// # Errors
    /// Why it is none, worded so that it follows the name of the field.
    pub fn given(text: &str) -> Result<Self, &'static str> {
        if text.contains(['/', '\\', '?', '#', '@']) {
            return Err("is a URL or a part of one: give the host alone, such as evil.example");
        }
        let bracketed = text.parse::<std::net::Ipv6Addr>().map(|address| format!("[{address}]"));
        let text = bracketed.as_deref().unwrap_or(text);
        let bare = match text.rsplit_once(':') {
            Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => text,
        };
        let bare = if bracketed_whole(text) { text } else { bare };
        let host = crate::read_host(bare).ok_or("is no host name or address")?;
        if host.contains('*') || host.split('.').any(str::is_empty) {
            return Err(
                "has a * or an empty label: subdomains are blocked with their host, so give that alone",
            );
        }
        Ok(Self::of(&host))
    }

    /// Of a host in its compared form.
    fn of(host: &str) -> Self {
        let host = mapped(host).unwrap_or_else(|| host.to_owned());
        let mut turned = match is_address(&host) {
            true => host,
            false => host.rsplit('.').collect::<Vec<_>>().join("."),
        };
        if turned.len() >= LONGEST {
            let end = turned[..LONGEST - 1].rfind('.').unwrap_or(LONGEST - 1);
            turned.truncate(end);
        }
        turned.push('.');
        Self(turned)
    }
}

/// Whether a text is an IPv6 address in brackets, whose last colon is none of a port.
#[cfg(feature = "given")]
fn bracketed_whole(text: &str) -> bool {
    text.starts_with('[') && text.ends_with(']')
}

/// The IPv4 address that an IPv6 address stands for (RFC 4291, section 2.5.5.2): clients connect to that one.
#[cfg(feature = "given")]
fn mapped(host: &str) -> Option<String> {
    let inside = host.strip_prefix('[')?.strip_suffix(']')?;
    let address: std::net::Ipv6Addr = inside.parse().ok()?;
    address.to_ipv4_mapped().map(|address| address.to_string())
}

#[cfg(feature = "given")]
impl Target {
    /// The host that it leads to, whatever its scheme; `None` where it names none. A usual one costs no parse: it is asked
    /// for with every write.
    pub fn host(&self) -> Option<TargetHost> {
        let text = self.as_str();
        if let Some(host) = plain(text) {
            return Some(TargetHost::of(&host.to_ascii_lowercase()));
        }
        let url = url::Url::parse(text).ok()?;
        let host = url.host_str().filter(|host| !host.is_empty())?;
        // Of other schemes the URL Standard leaves the host as it is spelled; whoever follows it reads it as one of the web.
        Some(TargetHost::of(&crate::read_host(host).unwrap_or_else(|| host.to_ascii_lowercase())))
    }
}

/// The host of a web address where its spelling says it, but for case: letters, digits, `-`, `_` and dots, no Punycode, and
/// a last label that begins with a letter, so that it is no address.
#[cfg(feature = "given")]
fn plain(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    if !["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web)) {
        return None;
    }
    let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next()?;
    let is_plain = last.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && !name.split('.').any(|label| {
            label.is_empty() || label.get(..4).is_some_and(|front| front.eq_ignore_ascii_case("xn--"))
        });
    is_plain.then_some(name)
}

#[cfg(all(test, feature = "given"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(target: &str) -> TargetHost {
        Target::given(target, &["app".into()]).unwrap().host().unwrap()
    }

    #[test]
    fn a_host_is_turned_round_and_back() {
        for (target, turned, shown) in [
            ("https://a.Evil.example:8443/x", "example.evil.a.", "a.evil.example"),
            ("https://evil.example./x", "example.evil.", "evil.example"),
            ("https://localhost/", "localhost.", "localhost"),
            ("https://b\u{fc}cher.example/", "example.xn--bcher-kva.", "xn--bcher-kva.example"),
            ("http://10.0.0.1/", "10.0.0.1.", "10.0.0.1"),
            ("http://0x0a.1/", "10.0.0.1.", "10.0.0.1"),
            ("http://[::1]:80/", "[::1].", "[::1]"),
            ("http://[::ffff:10.0.0.1]/", "10.0.0.1.", "10.0.0.1"),
            ("http://b%2eEvil%2eexample/", "example.evil.b.", "b.evil.example"),
            ("app://Evil.Example/x", "example.evil.", "evil.example"),
            ("app://evil%2eexample/x", "example.evil.", "evil.example"),
            ("https://1a.4.example/", "example.4.1a.", "1a.4.example"),
        ] {
            let host = of(target);
            assert_eq!((host.turned(), &*host.to_string()), (turned, shown), "{target}");
            assert_eq!(TargetHost::stored(turned.into()), host);
        }
        assert_eq!(Target::given("app:x", &["app".into()]).unwrap().host(), None);
    }

    #[test]
    fn a_block_is_named_as_people_name_hosts() {
        for (text, shown) in [
            ("evil.example", "evil.example"),
            ("EVIL.example.", "evil.example"),
            ("evil.example:8443", "evil.example"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("10.1", "10.0.0.1"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("::1", "[::1]"),
            ("[::1]", "[::1]"),
            ("[0:0::1]:80", "[::1]"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("example", "example"),
        ] {
            assert_eq!(TargetHost::given(text).map(|host| host.to_string()).as_deref(), Ok(shown), "{text}");
        }
        for wrong in [
            "",
            ".",
            "https://evil.example/",
            "evil.example/x",
            "u@evil.example",
            "*.evil.example",
            ".evil.example",
            "a b",
        ] {
            assert!(TargetHost::given(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_host_covers_itself_and_its_subdomains_at_the_bounds_of_labels() {
        let block = TargetHost::given("evil.example").unwrap();
        for (target, covered) in [
            ("https://evil.example/", true),
            ("https://a.b.evil.example/", true),
            ("https://notevil.example/", false),
            ("https://evil.example.org/", false),
            ("https://example/", false),
            ("https://evilexample/", false),
            ("https://evil-2.example/", false),
        ] {
            let host = of(target);
            assert_eq!(block.covers(&host), covered, "{target}");
            assert_eq!(host.and_above().any(|above| above == block), covered, "{target}");
            let in_range = block.turned() <= host.turned() && host.turned() < &*block.end();
            assert_eq!(in_range, covered, "{target}");
        }
        let address = TargetHost::given("10.0.0.1").unwrap();
        assert_eq!(address.and_above().collect::<Vec<_>>(), std::slice::from_ref(&address));
        assert!(!address.covers(&of("http://10.0.0.11/")) && address.covers(&of("http://10.0.0.1:8080/")));
        let above: Vec<_> = of("https://a.evil.example/").and_above().map(|host| host.to_string()).collect();
        assert_eq!(above, ["a.evil.example", "evil.example", "example"]);
    }

    #[test]
    fn a_host_longer_than_any_index_takes_is_cut_behind_its_first_labels() {
        // Of another scheme, and no host of the web: it stays as it is spelled.
        let long = format!("app://{}%7C.evil.example/x", "%F0%9F%98%80".repeat(200));
        let host = of(&long);
        assert_eq!(host.turned(), "example.evil.");
        assert!(TargetHost::given("evil.example").unwrap().covers(&host));
    }

    proptest! {
        /// The short way reads what the URL Standard reads.
        #[test]
        fn a_plain_host_is_that_of_the_parser(text in "https?://[a-zA-Z0-9._:%-]{1,30}[/?#\\\\]{0,1}[a-z.]{0,9}") {
            if let Ok(target) = Target::given(&text, &[])
                && let Some(host) = plain(target.as_str())
            {
                let place = target.place().map(|place| place.host);
                prop_assert_eq!(place, Some(host.to_ascii_lowercase()));
            }
        }
    }
}
