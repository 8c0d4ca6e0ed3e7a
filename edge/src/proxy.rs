//! The PROXY protocol, versions 1 and 2, as HAProxy's specification has it: in the first bytes of a connection a proxy says
//! from whom it comes. Bytes alone; whose word counts is asked elsewhere.

use exposition::Network;
use std::net::IpAddr;

/// Whether connections begin with a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// None does.
    #[default]
    Off,
    /// Those of trusted peers may.
    Accept,
    /// Every one does, and all come from trusted peers.
    Require,
}

/// The proxies in front.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// What they say in the first bytes.
    pub protocol: ProxyProtocol,
    /// Where they are. Whoever may open a socket file is trusted, too.
    pub trusted: Vec<Network>,
}

impl Proxies {
    /// Whether what comes from there is said on behalf of others. `None`: by a socket file.
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        peer.is_none_or(|peer| self.trusted.iter().any(|network| network.contains(peer)))
    }
}

/// A longer header is refused.
const MOST: usize = 4096;
/// Of version 1, its line end included.
const MOST_OF_LINE: usize = 107;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family, length.
const FIXED: usize = 16;

/// What the first bytes of a connection come to.
#[derive(Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// Not decided: more bytes are needed.
    Incomplete,
    /// None: they are the client's own.
    Absent,
    /// One, how many bytes it took, and the client's address; `None`: the proxy asks for itself, or does not say.
    Whole(usize, Option<IpAddr>),
    /// One that cannot be understood, and why.
    Bad(&'static str),
}

/// Reads the header at the start of these bytes, if there is one.
pub fn read(bytes: &[u8]) -> ProxyHeader {
    let begins = |start: &[u8]| {
        let common = start.len().min(bytes.len());
        (bytes[..common] == start[..common]).then_some(common == start.len())
    };
    match (begins(SIGNATURE), begins(b"PROXY ")) {
        (Some(true), _) => version_2(bytes),
        (_, Some(true)) => version_1(bytes),
        (None, None) => ProxyHeader::Absent,
        _ => ProxyHeader::Incomplete,
    }
}

fn version_1(bytes: &[u8]) -> ProxyHeader {
    let window = &bytes[..bytes.len().min(MOST_OF_LINE)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        let full = window.len() == MOST_OF_LINE;
        return if full { ProxyHeader::Bad("its line does not end") } else { ProxyHeader::Incomplete };
    };
    let words: Vec<&[u8]> = window[..end].split(|&b| b == b' ').collect();
    let address = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<IpAddr>().ok();
    let port = |word: &[u8]| {
        let digits = (1..=5).contains(&word.len()) && word.iter().all(u8::is_ascii_digit);
        digits && word.iter().fold(0, |n, b| n * 10 + u32::from(b - b'0')) <= 65_535
    };
    match words[..] {
        [_, b"UNKNOWN", ..] => ProxyHeader::Whole(end + 2, None),
        [_, family @ (b"TCP4" | b"TCP6"), source, target, from, to] => {
            match (address(source), address(target)) {
                (Some(source), Some(target))
                    if [source, target].iter().all(|one| one.is_ipv4() == (family == b"TCP4"))
                        && port(from)
                        && port(to) =>
                {
                    ProxyHeader::Whole(end + 2, Some(source.to_canonical()))
                }
                _ => ProxyHeader::Bad("its addresses are none"),
            }
        }
        _ => ProxyHeader::Bad("its line is none of version 1"),
    }
}

fn version_2(bytes: &[u8]) -> ProxyHeader {
    let Some(&[first, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED) else {
        return ProxyHeader::Incomplete;
    };
    let (version, command) = (first >> 4, first & 0x0f);
    let end = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if version != 2 || command > 1 {
        return ProxyHeader::Bad("its version or command is not known");
    }
    if end > MOST {
        return ProxyHeader::Bad("it is longer than 4 KiB");
    }
    let Some(body) = bytes.get(FIXED..end) else { return ProxyHeader::Incomplete };
    // What is behind the addresses (TLVs) is passed over.
    let source = match (command, family) {
        (0, _) | (_, 0x00 | 0x31) => return ProxyHeader::Whole(end, None), // the proxy itself; not said; a socket file
        (_, 0x11) if body.len() >= 12 => body.first_chunk::<4>().map(|v4| IpAddr::from(*v4)),
        (_, 0x21) if body.len() >= 36 => body.first_chunk::<16>().map(|v6| IpAddr::from(*v6)),
        _ => None,
    };
    match source {
        Some(source) => ProxyHeader::Whole(end, Some(source.to_canonical())),
        None => ProxyHeader::Bad("its family is not known, or its addresses are cut"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv6Addr;

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u16).to_be_bytes();
        [SIGNATURE, &[0x20 | command, family, length[0], length[1]], body].concat()
    }

    /// With what follows, and at every length.
    fn check(header: &[u8], want: &ProxyHeader) {
        let whole = [header, b"GET / HTTP/1.1\r\n\r\n"].concat();
        assert_eq!(&read(&whole), want, "{}", header.escape_ascii());
        if let ProxyHeader::Whole(length, _) = *want {
            assert_eq!(length, header.len());
            for end in 0..length {
                assert_eq!(
                    read(&whole[..end]),
                    ProxyHeader::Incomplete,
                    "{end} of {}",
                    header.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn headers_of_version_1() {
        let of = |text: &str, address: Option<&str>| {
            check(
                text.as_bytes(),
                &ProxyHeader::Whole(text.len(), address.map(|address| address.parse().unwrap())),
            );
        };
        of("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", Some("192.0.2.1"));
        of("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", Some("2001:db8::1"));
        of("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", Some("192.0.2.1"));
        of("PROXY UNKNOWN\r\n", None);
        of("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None);
        for bad in [
            "PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443 x\r\n",
            "PROXY TCP4 192.0.2.1  192.0.2.2 56324 443\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY \r\n",
            "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
        ] {
            assert!(matches!(read(bad.as_bytes()), ProxyHeader::Bad(_)), "{bad}");
        }
        let long = format!("PROXY UNKNOWN {}", "x".repeat(MOST_OF_LINE));
        assert!(matches!(read(long.as_bytes()), ProxyHeader::Bad(_)));
    }

    #[test]
    fn headers_of_version_2() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2];
        let of = |bytes: Vec<u8>, address: Option<&str>| {
            let whole = ProxyHeader::Whole(bytes.len(), address.map(|address| address.parse().unwrap()));
            check(&bytes, &whole);
        };
        of(v2(1, 0x11, &v4), Some("192.0.2.1"));
        of(v2(1, 0x11, &[&v4[..], &[4, 0, 1, 0]].concat()), Some("192.0.2.1"));
        of(v2(1, 0x21, &[&Ipv6Addr::LOCALHOST.octets()[..], &[0; 20]].concat()), Some("::1"));
        of(v2(0, 0x00, &[]), None);
        of(v2(0, 0x11, &v4), None);
        of(v2(1, 0x00, &[1, 2, 3]), None);
        of(v2(1, 0x31, &[0; 216]), None);
        of(v2(1, 0x11, &[&v4[..], &[0; MOST - FIXED - 12]].concat()), Some("192.0.2.1"));
        for bad in [
            v2(1, 0x11, &v4[..11]),
            v2(1, 0x21, &[0; 35]),
            v2(2, 0x11, &v4),
            v2(1, 0x12, &v4),
            v2(1, 0x41, &v4),
            v2(1, 0x11, &[0; MOST - FIXED + 1]),
            [SIGNATURE, &[0x11, 0x11, 0, 0]].concat(),
        ] {
            assert!(matches!(read(&bad), ProxyHeader::Bad(_)), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_header() {
        for own in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\r\nGET / HTTP/1.1",
            b"POST /",
            b"PROXX",
            b"\x16\x03\x01",
            b"\r\n\r\nx",
        ] {
            assert_eq!(read(own), ProxyHeader::Absent, "{}", own.escape_ascii());
        }
        for part in [&b""[..], b"P", b"PROXY", b"\r", b"\r\n\r\n\0"] {
            assert_eq!(read(part), ProxyHeader::Incomplete, "{}", part.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn what_is_decided_stays_decided(start in 0..3, bytes in prop::collection::vec(any::<u8>(), 0..160)) {
            let bytes = [[&b""[..], b"PROXY ", SIGNATURE][start as usize], &bytes].concat();
            let whole = read(&bytes);
            let decided = (0..=bytes.len()).find(|&end| read(&bytes[..end]) != ProxyHeader::Incomplete);
            prop_assert_eq!(decided.map_or(ProxyHeader::Incomplete, |end| read(&bytes[..end])), whole);
        }
    }
}
