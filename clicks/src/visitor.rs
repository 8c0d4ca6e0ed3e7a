//! Who clicked, as a number that says nothing without the key of its day.

use link::DomainId;
use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher24Wide};
use std::hash::Hasher;

/// The visitor at `address` (an IPv4 one mapped) with this agent, to the links of one domain and for the day of the key;
/// never 0. The address is cut to /24, or /48 for IPv6, so that a network's other addresses are the same visitor. The
/// agent may be its text or its hash, but is the same of the two always.
///
/// A keyed hash (`SipHash`-2-4, 128 bits under the first half of the key, then 64 under the second): who has not the key
/// cannot try addresses, and when the key is gone nobody can.
pub fn visitor(day_key: &[u8; 32], domain: DomainId, address: [u8; 16], agent: &[u8]) -> u64 {
    let (first, second) = day_key.split_at(16);
    let mut inner = SipHasher24Wide::new_with_key(&half(first));
    inner.write(&domain.0.to_le_bytes());
    inner.write(&network(address));
    inner.write(agent);
    let mut outer = SipHasher24::new_with_key(&half(second));
    outer.write(&inner.finish128().as_u128().to_le_bytes());
    outer.finish().max(1)
}

fn half(key: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(key);
    half
}

/// An address without what tells the hosts of its network apart.
fn network(mut address: [u8; 16]) -> [u8; 16] {
    let kept = if address.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]) { 15 } else { 6 };
    address[kept..].fill(0);
    address
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv6Addr};

    fn bytes(address: &str) -> [u8; 16] {
        match address.parse().unwrap() {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => Ipv6Addr::octets(&address),
        }
    }

    fn of(address: &str) -> u64 {
        visitor(&[7; 32], DomainId(1), bytes(address), b"agent")
    }

    #[test]
    fn hosts_of_one_network_are_one_visitor() {
        assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:1::1"), of("2001:db8:1:ffff:ffff::2"));
        assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
    }

    #[test]
    fn key_domain_and_agent_make_another() {
        let at = bytes("192.0.2.1");
        let one = visitor(&[7; 32], DomainId(1), at, b"agent");
        let mut key = [7; 32];
        for byte in [0, 15, 16, 31] {
            key[byte] = 8;
            assert_ne!(visitor(&key, DomainId(1), at, b"agent"), one);
            key[byte] = 7;
        }
        assert_ne!(visitor(&key, DomainId(2), at, b"agent"), one);
        assert_ne!(visitor(&key, DomainId(1), at, b"agents"), one);
    }

    #[test]
    fn the_number_of_a_visitor_is_the_same_on_every_edge() {
        let key: [u8; 32] = std::array::from_fn(|byte| byte as u8);
        assert_eq!(visitor(&key, DomainId(3), bytes("192.0.2.7"), b"Mozilla/5.0"), GOLDEN);
    }

    const GOLDEN: u64 = 2_587_776_509_415_789_861;
}
