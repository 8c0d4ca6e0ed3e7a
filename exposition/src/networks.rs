//! Networks, as people write them: `10.0.0.0/8`, or one address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// All addresses that begin alike. One of IPv4 is what IPv6 maps it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: u128,
    bits: u32,
    v4: bool,
}

/// Bits in front of an IPv4 address in IPv6.
const MAPPED: u32 = 96;

impl Network {
    /// Whether this address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(whole(address), self.bits) == self.first
    }
}

fn whole(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn masked(address: u128, bits: u32) -> u128 {
    address & u128::MAX.checked_shl(128 - bits).unwrap_or(0)
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let none = || "is no network: give one such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1".to_owned();
        let address: IpAddr = address.parse().map_err(|_| none())?;
        let (v4, before) = if address.is_ipv4() { (true, MAPPED) } else { (false, 0) };
        let bits = match bits {
            None => 128,
            Some(bits) => {
                let digits = (1..=3).contains(&bits.len()) && bits.bytes().all(|b| b.is_ascii_digit());
                let bits = bits.parse::<u32>().ok().filter(|_| digits).ok_or_else(none)?;
                Some(bits + before).filter(|&bits| bits <= 128).ok_or_else(none)?
            }
        };
        let first = masked(whole(address), bits);
        let own = Self { first, bits, v4 };
        if first == whole(address) {
            Ok(own)
        } else {
            Err(format!("has bits behind its length: {own} was meant?"))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = Ipv6Addr::from_bits(self.first);
        match first.to_ipv4_mapped().filter(|_| self.v4) {
            Some(first) => write!(f, "{first}/{}", self.bits - MAPPED),
            None => write!(f, "{first}/{}", self.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_network() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.0"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
            ("::/0", "203.0.113.9", ""),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("::1", "::1", "127.0.0.1"),
            ("127.0.0.1/32", "127.0.0.1", "127.0.0.2"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{network} {inside}");
            if !outside.is_empty() {
                assert!(!network.contains(outside.parse().unwrap()), "{network} {outside}");
            }
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "10",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "::/129",
            "a/8",
            "10.0.0.0/8/8",
            "localhost",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        let why = "10.1.0.0/8".parse::<Network>().unwrap_err();
        assert!(why.contains("10.0.0.0/8 was meant"), "{why}");
        assert_eq!("2001:db8::/32".parse::<Network>().unwrap().to_string(), "2001:db8::/32");
    }
}
