//! Whether a request may come in at all: what it says of the name that it asked for and of the page that it comes from. Who
//! sends it is not asked here.

use exposition::is_local;
use http::uri::Authority;
use http::{HeaderMap, Method, StatusCode, Uri, header};

/// How a request arrived. The entrance of the API says it, by an extension of the request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival {
    /// The browser speaks TLS, with this process or with a proxy in front of it.
    pub secure: bool,
    /// Somebody vouches for the name in `Host`: a certificate, or a proxy that is trusted.
    pub vouched: bool,
}

/// Why a request is turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turned {
    /// It names no host, or one that cannot be read.
    NoHost,
    /// It asks for a name that nobody vouches for: a foreign page may have led that name here (DNS rebinding).
    UnknownHost(String),
    /// A form or a script of another site sent it.
    ForeignPage(String),
    /// It would be shown inside another page.
    Framed,
}

impl Turned {
    /// As in the status line.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoHost => StatusCode::BAD_REQUEST,
            Self::UnknownHost(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::ForeignPage(_) | Self::Framed => StatusCode::FORBIDDEN,
        }
    }

    /// Cause and way out, for people.
    pub fn words(&self) -> String {
        match self {
            Self::NoHost => "This request names no host, or one that cannot be read.".to_owned(),
            Self::UnknownHost(host) => format!(
                "This page does not answer to the name {host}: any site could lead a name of its own to this machine. Ask for \
                 it by its address (such as http://127.0.0.1:8081/ui) or as localhost. A name of your own works over TLS \
                 (--api-tls-cert), or through a proxy that --trusted-peers names."
            ),
            Self::ForeignPage(origin) => format!(
                "This was sent by another page ({origin}), and nothing was done. If you want it, do it on this site."
            ),
            Self::Framed => {
                "This page is not shown inside of others. Open it in a tab of its own.".to_owned()
            }
        }
    }
}

/// The host that a request asks for: with its port, as a browser shows it.
///
/// # Errors
/// Why it is turned away.
pub fn host(arrival: Arrival, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Turned> {
    let given = match uri.authority() {
        Some(authority) => Some(authority.clone()),
        None => headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse().ok()),
    };
    let host: Authority = given.ok_or(Turned::NoHost)?;
    if is_local(host.host()) || arrival.vouched {
        Ok(host)
    } else {
        Err(Turned::UnknownHost(host.host().to_owned()))
    }
}

/// Refuses what another site's page sent or shows. `Sec-Fetch-*` are set by the browser (Fetch Metadata); one that sends
/// neither these nor `Origin` is stopped by the token in each form.
///
/// # Errors
/// Why it is turned away.
pub fn own_page(host: &Authority, method: &Method, headers: &HeaderMap) -> Result<(), Turned> {
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if ["iframe", "frame", "embed", "object", "fencedframe"].contains(&said("sec-fetch-dest")) {
        return Err(Turned::Framed);
    }
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = String::from_utf8_lossy(origin.as_bytes()).into_owned();
        if !is_same(&origin, host) {
            return Err(Turned::ForeignPage(origin));
        }
    }
    match said("sec-fetch-site") {
        "" | "same-origin" | "none" => Ok(()),
        site => Err(Turned::ForeignPage(site.to_owned())),
    }
}

/// Whether a page led here, and not the visitor or this site: a browser leaves the cookie of the session out then.
pub fn led_by_another(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site")
}

/// An origin is compared by host and port: behind a proxy the scheme may be another one here.
fn is_same(origin: &str, host: &Authority) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    let Ok(origin) = rest.parse::<Authority>() else { return false };
    let own = |authority: &Authority| match scheme {
        "https" => authority.port_u16().unwrap_or(443),
        _ => authority.port_u16().unwrap_or(80),
    };
    origin.host().eq_ignore_ascii_case(host.host()) && own(&origin) == own(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), value.parse().unwrap())
        };
        all.iter().map(pair).collect()
    }

    #[test]
    fn a_name_that_nobody_vouches_for_is_refused_and_an_address_is_not() {
        let of = |name: &str, arrival| host(arrival, &Uri::from_static("/ui"), &headers(&[("host", name)]));
        let plain = Arrival::default();
        for own in ["127.0.0.1:8081", "[::1]:8081", "localhost:8081", "192.0.2.7", "LOCALHOST"] {
            assert!(of(own, plain).is_ok(), "{own}");
        }
        for foreign in
            ["evil.example", "evil.example:8081", "localhost.evil.example", "127.0.0.1.evil.example"]
        {
            assert!(matches!(of(foreign, plain), Err(Turned::UnknownHost(_))), "{foreign}");
            assert!(of(foreign, Arrival { vouched: true, secure: false }).is_ok(), "{foreign}");
        }
        assert_eq!(host(plain, &Uri::from_static("/ui"), &HeaderMap::new()), Err(Turned::NoHost));
        let words = Turned::UnknownHost("evil.example".into()).words();
        assert!(words.contains("evil.example") && words.contains("--trusted-peers"), "{words}");
    }

    #[test]
    fn a_form_of_another_site_is_refused_and_a_way_from_there_is_not() {
        let host: Authority = "127.0.0.1:8081".parse().unwrap();
        let of = |method: Method, all: &[(&'static str, &str)]| own_page(&host, &method, &headers(all));
        assert!(of(Method::POST, &[("origin", "http://127.0.0.1:8081")]).is_ok());
        assert!(of(Method::POST, &[]).is_ok(), "the token decides");
        for foreign in ["http://evil.example", "null", "http://127.0.0.1:9", "http://127.0.0.1", "x"] {
            assert!(
                matches!(of(Method::POST, &[("origin", foreign)]), Err(Turned::ForeignPage(_))),
                "{foreign}"
            );
            assert!(of(Method::GET, &[("origin", foreign)]).is_ok(), "{foreign}");
        }
        assert!(of(Method::POST, &[("sec-fetch-site", "cross-site")]).is_err());
        assert!(of(Method::GET, &[("sec-fetch-site", "cross-site")]).is_ok());
        assert_eq!(of(Method::GET, &[("sec-fetch-dest", "iframe")]), Err(Turned::Framed));
        let tls: Authority = "admin.example".parse().unwrap();
        let behind = own_page(&tls, &Method::POST, &headers(&[("origin", "https://admin.example")]));
        assert!(behind.is_ok());
    }
}
