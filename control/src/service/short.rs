//! The address under which people find a link.

use link::Target;

/// Where visitors of the default domain come in. Those of another domain come in under its name, by the same scheme and
/// port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// Without a slash at its end.
    whole: String,
    scheme: String,
    /// With its colon; empty for the usual one.
    port: String,
    host: String,
}

impl BaseUrl {
    /// An http or https URL without a query, as a person gives it.
    ///
    /// # Errors
    /// Why it is none, worded so that it follows the URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let target = Target::given(text, &[]).map_err(|fault| fault.to_string())?;
        let whole = target.as_str().trim_end_matches('/').to_owned();
        if whole.contains(['?', '#']) {
            return Err(
                "has a query or a fragment: give the part of a short link that stands before its code".into(),
            );
        }
        let place = target.place().ok_or("names no host")?;
        let (scheme, rest) = whole.split_once("://").ok_or("names no scheme")?;
        let usual = if scheme == "https" { 443 } else { 80 };
        let port =
            place.port.filter(|port| *port != usual).map_or_else(String::new, |port| format!(":{port}"));
        if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
            return Err("names a user".into());
        }
        Ok(Self { scheme: scheme.to_owned(), port, host: place.host, whole })
    }

    /// Its host, in the compared form.
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// The address of a link; empty where nobody has said under which the default domain is found.
pub fn url(base: Option<&BaseUrl>, domain: &str, code: &str) -> String {
    let code = link::in_path(code);
    match (base, domain) {
        (None, "-") => String::new(),
        (None, domain) => format!("https://{domain}/{code}"),
        (Some(base), "-") => format!("{}/{code}", base.whole),
        (Some(base), domain) => format!("{}://{domain}{}/{code}", base.scheme, base.port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_an_address_under_its_domain() {
        let at = |base: &str, domain: &str| url(Some(&BaseUrl::parse(base).unwrap()), domain, "a/b");
        for (base, domain, want) in [
            ("https://go.example", "-", "https://go.example/a/b"),
            ("https://go.example/", "-", "https://go.example/a/b"),
            ("https://go.example/s/", "-", "https://go.example/s/a/b"),
            ("https://GO.example:443/", "x.example", "https://x.example/a/b"),
            ("http://127.0.0.1:8080", "-", "http://127.0.0.1:8080/a/b"),
            ("http://127.0.0.1:8080", "x.example", "http://x.example:8080/a/b"),
        ] {
            assert_eq!(at(base, domain), want, "{base} {domain}");
        }
        assert_eq!(url(None, "-", "a"), "");
        // Letters as browsers send them, and the rest as it is: an edge decodes no more.
        assert_eq!(url(None, "x.example", "b\u{fc}cher/(1):a"), "https://x.example/b%C3%BCcher/(1):a");
        assert_eq!(url(None, "x.example", "a"), "https://x.example/a");
        assert_eq!(BaseUrl::parse("https://GO.example/").unwrap().host(), "go.example");
    }

    #[test]
    fn what_is_no_base_is_refused() {
        for base in [
            "go.example",
            "ftp://go.example",
            "https://go.example/?a",
            "https://go.example/#a",
            "https://a@b.example",
            "",
        ] {
            assert!(BaseUrl::parse(base).is_err(), "{base}");
        }
    }
}
