//! Which links of a file belong into the domain that they are imported into: a file may hold those of several.

use super::words::Reason;
use std::fmt;

/// Where the server that a file comes from has a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceDomain {
    /// The file does not say.
    Unsaid,
    /// Under the domain that is that server's default one.
    Default,
    /// Under a domain that the file gives the number of.
    Number(String),
    /// Under a host.
    Host(String),
}

impl SourceDomain {
    /// Under a host as people write it, perhaps with a scheme and a port.
    pub fn host(text: &str) -> Self {
        let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
        let bare = bare.split('/').next().unwrap_or_default();
        let bare = match bare.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => bare,
        };
        Self::Host(link::read_host(bare).unwrap_or_else(|| bare.to_ascii_lowercase()))
    }

    /// The name of the host, if it is one.
    pub fn name(&self) -> &str {
        match self {
            Self::Host(name) => name,
            _ => "",
        }
    }
}

impl fmt::Display for SourceDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsaid => write!(f, "no domain"),
            Self::Default => write!(f, "its own server's default domain"),
            Self::Number(number) => write!(f, "domain {number}"),
            Self::Host(name) => write!(f, "{name}"),
        }
    }
}

/// Lets through the links of one place.
pub struct Hosts {
    into: SourceDomain,
    /// The place that the file began with.
    first: Option<SourceDomain>,
}

impl Hosts {
    /// For the domain `into`; `-` takes the links of whichever place comes first.
    pub fn new(into: &str) -> Self {
        let into = if into == "-" { SourceDomain::Default } else { SourceDomain::host(into) };
        Self { into, first: None }
    }

    /// Whether a link belongs there.
    ///
    /// # Errors
    /// It is of another domain.
    pub fn admit(&mut self, place: &SourceDomain) -> Result<(), Reason> {
        let no = |why: String| Err(("DOMAIN", why));
        match (place, &self.into) {
            (SourceDomain::Unsaid, _) => Ok(()),
            (SourceDomain::Host(_), SourceDomain::Host(_)) if *place == self.into => Ok(()),
            (SourceDomain::Host(host), SourceDomain::Host(into)) => {
                no(format!("is of {host}, and not of {into}: see --domain"))
            }
            (SourceDomain::Default, SourceDomain::Host(into)) => {
                no(format!("is of {place}, and not of {into}: import it without --domain"))
            }
            (place, _) => {
                let first = self.first.get_or_insert_with(|| place.clone());
                match *first == *place {
                    true => Ok(()),
                    false => no(format!("is of {place}, and the file began with {first}: see --domain")),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(into: &str, places: &[SourceDomain]) -> Vec<bool> {
        let mut hosts = Hosts::new(into);
        places.iter().map(|place| hosts.admit(place).is_ok()).collect()
    }

    #[test]
    fn links_of_two_domains_do_not_mix() {
        let host = |name: &str| SourceDomain::host(name);
        let number = |text: &str| SourceDomain::Number(text.to_owned());
        let (a, b) = (host("a.example"), host("https://B.example:8080/x"));
        assert_eq!(b, SourceDomain::Host("b.example".into()));
        for (into, places, want) in [
            ("-", [a.clone(), b.clone(), a.clone()], [true, false, true]),
            ("-", [SourceDomain::Default, a.clone(), SourceDomain::Default], [true, false, true]),
            ("-", [a.clone(), SourceDomain::Default, SourceDomain::Unsaid], [true, false, true]),
            ("-", [number("7"), number("8"), number("7")], [true, false, true]),
            ("B.Example.", [a.clone(), b.clone(), SourceDomain::Default], [false, true, false]),
            ("b.example", [number("7"), number("8"), SourceDomain::Unsaid], [true, false, true]),
            ("b\u{fc}cher.example", [host("xn--bcher-kva.example"), a, b], [true, false, false]),
        ] {
            assert_eq!(taken(into, &places), want, "{into} {places:?}");
        }
    }

    #[test]
    fn a_reason_names_both() {
        let mut hosts = Hosts::new("-");
        hosts.admit(&SourceDomain::Default).unwrap();
        let why = hosts.admit(&SourceDomain::host("a.example")).unwrap_err().1;
        assert_eq!(
            why,
            "is of a.example, and the file began with its own server's default domain: see --domain"
        );
    }
}
