//! The host of a request: `uri-host [":" port]` of RFC 9110, section 7.2, in the strict form of docs/http.md.

/// Whether these bytes may stand in a `Host` field or as an authority: a host name without empty labels, an IPv4
/// address or a bracketed IPv6 address, and a port up to 65535, which may be empty (RFC 3986, section 3.2.3).
pub fn is_host(bytes: &[u8]) -> bool {
    let (host, port) = match bytes.first() {
        Some(b'[') => match bytes.iter().position(|&b| b == b']') {
            Some(end) => (&bytes[..=end], &bytes[end + 1..]),
            None => return false,
        },
        _ => bytes.split_at(bytes.iter().position(|&b| b == b':').unwrap_or(bytes.len())),
    };
    let good_host = match host {
        [b'[', address @ .., b']'] => is_ipv6(address),
        name => is_name(name),
    };
    good_host && is_port(port)
}

fn is_ipv6(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

/// A registered name of RFC 3986, section 3.2.2, in labels; one trailing dot is the root and allowed.
fn is_name(name: &[u8]) -> bool {
    let mut label = 0;
    for (at, &byte) in name.iter().enumerate() {
        match byte {
            b'.' if label == 0 => return false,
            b'.' if at + 1 == name.len() => return true,
            b'.' => label = 0,
            _ if byte.is_ascii_alphanumeric() || b"-_~!$&'()*+,;=%".contains(&byte) => label += 1,
            _ => return false,
        }
    }
    label > 0
}

/// Whether this is what may be behind a host: nothing, or a colon and a port up to 65535, which may be empty.
pub fn is_port(port: &[u8]) -> bool {
    match port {
        [] | [b':'] => true,
        [b':', digits @ ..] => {
            digits.len() <= 5
                && digits.iter().all(u8::is_ascii_digit)
                && digits.iter().fold(0u32, |n, b| n * 10 + u32::from(b - b'0')) <= 65_535
        }
        _ => false,
    }
}

/// Whether two valid hosts of the given scheme's default port are the same: case, one trailing dot and the default
/// port do not count (RFC 9110, section 4.2.3).
pub fn same_host(a: &[u8], b: &[u8], default_port: &[u8]) -> bool {
    let parts = |bytes: &[u8]| {
        let colon =
            bytes.iter().rposition(|&b| b == b':').filter(|&at| bytes[at..].iter().all(|&b| b != b']'));
        let (host, port) = bytes.split_at(colon.unwrap_or(bytes.len()));
        let port = port.strip_prefix(b":").filter(|port| !port.is_empty()).unwrap_or(default_port).to_vec();
        (host.strip_suffix(b".").unwrap_or(host).to_ascii_lowercase(), port)
    };
    parts(a) == parts(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for good in [
            "l",
            "localhost",
            "EXAMPLE.com",
            "a_b.example",
            "example.com.",
            "example.com.:88",
            "example.com:",
            "example.com:80",
            "127.0.0.1:65535",
            "0.0.0.0=5000",
            "[::1]",
            "[::ffff:12.30.67.89]:4321",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ".", "..a", "a..b", "a..", ":80", "a:65536", "a:123456", "a:1:2", "a:1.2", "a/b", "a\\b",
            "a b", "a@b", "[::1", "[::1].", "x[::1]", "[]", "[::g]", "a\"b", "é", "[::1]x:1",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn same_hosts() {
        for (a, b, same) in [
            ("A.example.", "a.example:80", true),
            ("a.example:", "a.example", true),
            ("a.example:8080", "a.example", false),
            ("[::1]:80", "[::1]", true),
            ("[::1]", "[::2]", false),
            ("a.example", "b.example", false),
        ] {
            assert_eq!(same_host(a.as_bytes(), b.as_bytes(), b"80"), same, "{a} {b}");
        }
    }
}
