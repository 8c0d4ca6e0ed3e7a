//! Which host a request is for, and whether it may come from a page of another one.

use crate::in_utf8;
use axum::http::uri::Authority;
use axum::http::{Request, StatusCode, Version, header};
use std::net::{IpAddr, SocketAddr};

/// The host that a request names, if it names any. It does so once (RFC 9112, section 3.2; RFC 9113, section 8.3.1):
/// with two, a proxy before us may have gone by the other.
///
/// # Errors
/// What is wrong, worded so that it follows "host".
pub fn one_host<B>(request: &Request<B>) -> Result<Option<Authority>, &'static str> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, more, authority) = (hosts.next(), hosts.next(), request.uri().authority());
    if authority.is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("names a user, which nobody asked for");
    }
    let Some(host) = host else {
        let needs = request.version() == Version::HTTP_11;
        return if needs { Err("is missing") } else { Ok(authority.cloned()) };
    };
    if more.is_some() {
        return Err("is there twice");
    }
    let given = host.to_str().ok().filter(|host| !host.contains('@')).ok_or("is none")?;
    if authority.is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(given)) {
        return Err("is another than that of the request's target (:authority)");
    }
    if given.is_empty() {
        return Ok(None);
    }
    given.parse().map(Some).map_err(|_| "is none")
}

/// Whether a listener at `own` answers this request. A browser asks for whatever a page wants it to, by the name of that
/// page's site, and that name may lead here (DNS rebinding): on loopback only names are answered that no site has.
/// Beyond loopback a listener is asked by names of its owner's, which are not known here.
///
/// # Errors
/// The status and the words of the refusal.
pub fn allowed<B>(own: Option<SocketAddr>, request: &Request<B>) -> Result<(), (StatusCode, String)> {
    let host = one_host(request).map_err(|why| (StatusCode::BAD_REQUEST, format!("the host {why}\n")))?;
    if let Err((name, why)) = in_utf8(request.uri()) {
        return Err((StatusCode::BAD_REQUEST, format!("{} {why}\n", name.unwrap_or("the path"))));
    }
    let on_loopback = own.is_some_and(|own| own.ip().to_canonical().is_loopback());
    let elsewhere = host.as_ref().filter(|host| on_loopback && !is_local(host.host()));
    if let Some(host) = elsewhere {
        let port = own.map_or(0, |own| own.port());
        let words = format!(
            "this listener is on loopback and answers no host {host}, to which a page of that name could lead a browser: \
             ask for localhost:{port} or an IP address, or let your proxy say so in Host\n"
        );
        return Err((StatusCode::MISDIRECTED_REQUEST, words));
    }
    if !request.method().is_safe()
        && !request.headers().get_all(header::ORIGIN).iter().all(|origin| {
            let origin = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1));
            origin.zip(host.as_ref()).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host.as_str()))
        })
    {
        return Err((
            StatusCode::FORBIDDEN,
            "a page of another site may change nothing here (Origin)\n".to_owned(),
        ));
    }
    Ok(())
}

/// Whether no site can have this name.
#[must_use]
pub fn is_local(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Method;

    fn status(own: &str, method: Method, version: Version, fields: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri("/metrics").version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        allowed(own.parse().ok(), &request.body(()).unwrap())
            .map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    #[test]
    fn a_listener_on_loopback_is_asked_by_no_name_that_a_site_can_have() {
        let (v4, v6, all) = ("127.0.0.1:8082", "[::1]:8082", "0.0.0.0:8082");
        let mapped = "[::ffff:127.0.0.1]:8082";
        for (host, on_loopback) in [
            ("127.0.0.1:8082", 200),
            ("127.0.0.1", 200),
            ("[::1]:9", 200),
            ("LocalHost:8082", 200),
            ("10.0.0.1", 200),
            ("evil.example", 421),
            ("evil.example:8082", 421),
            ("localhost.evil.example", 421),
            ("127.0.0.1.evil.example", 421),
            ("127.1", 421),
            ("a@127.0.0.1", 400),
            ("a b", 400),
        ] {
            for own in [v4, v6, mapped] {
                assert_eq!(
                    status(own, Method::GET, Version::HTTP_11, &[("host", host)]),
                    on_loopback,
                    "{host}"
                );
            }
            let beyond = if on_loopback == 421 { 200 } else { on_loopback };
            assert_eq!(status(all, Method::GET, Version::HTTP_11, &[("host", host)]), beyond, "{host}");
        }
        for own in [v4, all] {
            let twice = [("host", "localhost"), ("host", "localhost")];
            assert_eq!(status(own, Method::GET, Version::HTTP_11, &twice), 400);
            assert_eq!(status(own, Method::GET, Version::HTTP_11, &[]), 400);
            assert_eq!(status(own, Method::GET, Version::HTTP_10, &[]), 200);
        }
        let absolute =
            Request::get("http://evil.example/metrics").version(Version::HTTP_10).body(()).unwrap();
        assert_eq!(allowed(v4.parse().ok(), &absolute).unwrap_err().0, 421);
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        for (origin, changes) in [
            ("http://localhost:8082", 200),
            ("http://localhost", 403),
            ("http://evil.example", 403),
            ("null", 403),
        ] {
            let fields = [("host", "localhost:8082"), ("origin", origin)];
            for (method, expected) in [(Method::GET, 200), (Method::POST, changes), (Method::DELETE, changes)]
            {
                for own in ["127.0.0.1:8082", "0.0.0.0:8082"] {
                    assert_eq!(
                        status(own, method.clone(), Version::HTTP_11, &fields),
                        expected,
                        "{method} {origin}"
                    );
                }
            }
        }
    }
}
