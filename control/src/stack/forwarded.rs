//! Whose call it is behind a proxy: the client's own address, by `X-Forwarded-For` of a trusted peer.

use exposition::Network;
use http::{HeaderMap, HeaderName};
use std::net::{IpAddr, SocketAddr};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address that a call of `peer` counts for: of those in the field the last that is not a trusted peer's itself.
/// Each proxy puts whom it is asked by behind the others; what stands before the first trusted one anybody can have written.
pub fn client(trusted: &[Network], peer: IpAddr, fields: &HeaderMap) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer;
    let mut given = fields.get_all(FORWARDED_FOR).iter().collect::<Vec<_>>();
    let words =
        std::iter::from_fn(move || given.pop()).flat_map(|value| value.as_bytes().rsplit(|&b| b == b','));
    for word in words {
        if !is_trusted(client) {
            break;
        }
        match std::str::from_utf8(word).ok().and_then(address) {
            Some(before) => client = before.to_canonical(),
            None => break,
        }
    }
    client
}

/// Some write the port, too.
fn address(word: &str) -> Option<IpAddr> {
    let word = word.trim();
    word.parse().ok().or_else(|| word.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_that_is_no_proxy() {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        for (peer, given, want) in [
            ("10.0.0.1", &["192.0.2.1"][..], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.7, 192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["192.0.2.1,10.0.0.2"], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.7", "192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            ("::1", &["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", &["::ffff:192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["192.0.2.1:5000"], "192.0.2.1"),
            ("10.0.0.1", &["[2001:db8::1]:5000"], "2001:db8::1"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.1, _hidden, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["10.0.0.3"], "10.0.0.3"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("192.0.2.9", &["192.0.2.1"], "192.0.2.9"),
        ] {
            let mut fields = HeaderMap::new();
            for value in given {
                fields.append(FORWARDED_FOR, value.parse().unwrap());
            }
            let client = client(&trusted, peer.parse().unwrap(), &fields);
            assert_eq!(client.to_string(), want, "{peer} {given:?}");
        }
    }
}
