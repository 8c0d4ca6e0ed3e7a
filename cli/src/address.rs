//! Addresses that a client asks, as people give them: with a scheme or without, or a port of this machine alone.

use std::io::{Error, ErrorKind, Result};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// `8080` and `:8080` are loopback, as a listener is told; everything else stays as it is.
pub fn whole(text: &str) -> String {
    let port = text.strip_prefix(':').unwrap_or(text);
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if is_port { format!("127.0.0.1:{port}") } else { text.to_owned() }
}

/// Host and port of something that speaks plain HTTP, which may be given as the URL of its root.
///
/// # Errors
/// The text is no host and port, or a URL of something else.
pub fn plain(text: &str) -> std::result::Result<String, &'static str> {
    let place = match text.split_once("://") {
        Some((scheme, place)) if scheme.eq_ignore_ascii_case("http") => place,
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
            return Err("it speaks no TLS: leave https:// out");
        }
        Some(_) => return Err("give its host and port"),
        None => text,
    };
    let place = whole(place.trim_end_matches('/'));
    if place.contains(['/', '?', '#', '@']) {
        return Err("give its host and port and nothing after them");
    }
    match place.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(place),
        _ => Err("its port is missing, such as in 127.0.0.1:8082"),
    }
}

/// A URL is here when its host is `localhost` or a loopback address.
pub fn is_here(url: &str) -> bool {
    let place = url.split("://").last().unwrap_or_default().split('/').next().unwrap_or_default();
    let place = place.rsplit('@').next().unwrap_or_default();
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let host = place.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(place, |(host, _)| host);
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.to_canonical().is_loopback())
}

/// Connects to the first address of a host that answers: `localhost` has two.
///
/// # Errors
/// Those of the last one.
pub fn connect(place: &str, wait: Duration) -> Result<TcpStream> {
    let mut last = Error::from(ErrorKind::NotFound);
    for address in place.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, wait) {
            Ok(stream) => return Ok(stream),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn as_people_give_them() {
        for (given, want) in [
            ("127.0.0.1:8082", "127.0.0.1:8082"),
            ("http://localhost:8082/", "localhost:8082"),
            ("8082", "127.0.0.1:8082"),
            (":8082", "127.0.0.1:8082"),
            ("http://:8082", "127.0.0.1:8082"),
            ("[::1]:1", "[::1]:1"),
            ("HTTP://a:1", "a:1"),
        ] {
            assert_eq!(plain(given).as_deref(), Ok(want), "{given}");
        }
        for wrong in ["", "a", "https://a:1", "ftp://a:1", "http://a:1/metrics", "a:1?x", "a:99999", "a:"] {
            assert!(plain(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_of_this_machine() {
        for here in [
            "http://127.0.0.1:8081",
            "https://localhost",
            "http://[::1]:8081/x",
            "http://127.9.9.9",
            "redis://u:p@[::1]:6379/2",
        ] {
            assert!(is_here(here), "{here}");
        }
        for other in
            ["http://10.0.0.1:8081", "https://localhost.example", "http://example:8081", "redis://cache", ""]
        {
            assert!(!is_here(other), "{other}");
        }
    }

    #[test]
    fn every_address_of_a_name_is_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        connect(&format!("localhost:{port}"), Duration::from_secs(2)).unwrap();
        drop(listener);
        assert!(connect(&format!("127.0.0.1:{port}"), Duration::from_secs(2)).is_err());
    }
}
