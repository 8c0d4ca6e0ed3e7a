//! The cookie of a session: its name, and how it is read and set. What a session is, is not known here.

use crate::arrival::Arrival;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, header};

/// Seconds that a browser keeps it: a session ends before that.
const KEPT: u64 = 7 * 24 * 3_600;

/// The name. Over TLS the prefix makes the browser refuse one that another host of the site, or a plain connection, sets
/// (RFC 6265bis, section 4.1.3.2). Without TLS there is no such promise; the port keeps two linkr on a machine apart.
fn name(arrival: Arrival, host: &Authority) -> String {
    if arrival.secure {
        "__Host-linkr".to_owned()
    } else {
        format!("linkr-{}", host.port_u16().unwrap_or(80))
    }
}

/// What the browser has in it.
pub fn read(arrival: Arrival, host: &Authority, headers: &HeaderMap) -> Option<String> {
    let name = name(arrival, host);
    let all = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(own, _)| *own == name).map(|(_, value)| value.to_owned())
}

/// What sets it; empty: what takes it away.
pub fn set(arrival: Arrival, host: &Authority, value: &str) -> Option<HeaderValue> {
    let name = name(arrival, host);
    let kept = if value.is_empty() { 0 } else { KEPT };
    let secure = if arrival.secure { "; Secure" } else { "" };
    let line = format!("{name}={value}; Path=/; Max-Age={kept}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_of_one_host_over_tls_and_of_one_port_without() {
        let (plain, tls) = (Arrival::default(), Arrival { secure: true, vouched: true });
        let host: Authority = "127.0.0.1:8081".parse().unwrap();
        let plain_line = set(plain, &host, "abc").unwrap();
        assert_eq!(plain_line, "linkr-8081=abc; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict");
        let tls_line = set(tls, &host, "abc").unwrap();
        assert_eq!(tls_line, "__Host-linkr=abc; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict; Secure");
        assert!(set(tls, &host, "").unwrap().to_str().unwrap().contains("Max-Age=0"));
        let headers =
            |text: &'static str| HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(text))]);
        let both = headers("a=b; linkr-8081=one;__Host-linkr=two");
        assert_eq!(read(plain, &host, &both).as_deref(), Some("one"));
        assert_eq!(read(tls, &host, &both).as_deref(), Some("two"));
        assert_eq!(read(plain, &"127.0.0.1:9".parse().unwrap(), &both), None);
        assert_eq!(read(plain, &host, &HeaderMap::new()), None);
    }
}
