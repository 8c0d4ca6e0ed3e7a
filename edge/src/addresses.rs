//! Addresses of visitors, of which none is written down in the clear: the key that hides them as long as this process
//! lives, and whom a proxy names.

use crate::proxy::Proxies;
use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey};
use hot::ForwardedFor;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

/// A key that is nowhere but in the memory of this process and of those that it is handed over to. An address is one block,
/// so the same address is the same number for as long.
pub struct AddressKey {
    bytes: [u8; 16],
    sealing: EncryptingKey,
    opening: DecryptingKey,
}

impl AddressKey {
    /// A random one.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new() -> io::Result<Self> {
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(|fault| io::Error::other(fault.to_string()))?;
        Self::of(key)
    }

    /// The one of the process before this one.
    ///
    /// # Errors
    /// The cipher cannot be had.
    pub fn of(key: [u8; 16]) -> io::Result<Self> {
        let unbound = || UnboundCipherKey::new(&AES_128, &key).map_err(io::Error::other);
        let (sealing, opening) = (EncryptingKey::ecb(unbound()?), DecryptingKey::ecb(unbound()?));
        let (sealing, opening) = (sealing.map_err(io::Error::other)?, opening.map_err(io::Error::other)?);
        Ok(Self { bytes: key, sealing, opening })
    }

    /// For the process that goes on in the place of this one, and nobody else.
    pub fn reveal(&self) -> [u8; 16] {
        self.bytes
    }

    /// What stands for an address in a ring. `None`: it cannot be had, and the address counts as unknown.
    pub fn seal(&self, address: IpAddr) -> Option<[u8; 16]> {
        let whole = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let mut block = whole.octets();
        self.sealing.encrypt(&mut block).is_ok().then_some(block)
    }

    /// The address that was sealed by this key, as IPv6.
    pub fn open(&self, mut sealed: [u8; 16]) -> [u8; 16] {
        match self.opening.decrypt(&mut sealed, DecryptionContext::None) {
            Ok(_) => sealed,
            Err(_) => Ipv6Addr::UNSPECIFIED.octets(),
        }
    }
}

/// Whom proxies of ours name.
pub struct Forwarding<'a> {
    /// Who is believed.
    pub proxies: &'a Proxies,
    /// What hides the answer.
    pub key: &'a AddressKey,
}

impl ForwardedFor for Forwarding<'_> {
    fn client(&self, value: &[u8]) -> Option<[u8; 16]> {
        self.key.seal(client(self.proxies, value)?)
    }
}

/// The last address that is none of our proxies': what stands in front of it, anybody may have written. If all are, the
/// first one asks for itself. Each has appended whom it was asked by.
fn client(proxies: &Proxies, value: &[u8]) -> Option<IpAddr> {
    let mut nearest = None;
    for part in value.rsplit(|&byte| byte == b',') {
        let Some(address) = address(part.trim_ascii()) else { break };
        nearest = Some(address);
        if !proxies.trusts(nearest) {
            break;
        }
    }
    nearest
}

/// As it is written there, perhaps with a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => match text.split_once(':') {
            Some((v4, port)) if !port.contains(':') => v4,
            _ => text,
        },
    };
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::ProxyProtocol;

    #[test]
    fn an_address_comes_back_and_is_not_to_be_seen() {
        let (key, other) = (AddressKey::new().unwrap(), AddressKey::new().unwrap());
        for text in ["192.0.2.7", "2001:db8::1", "::"] {
            let address: IpAddr = text.parse().unwrap();
            let sealed = key.seal(address).unwrap();
            assert_eq!(Ipv6Addr::from(key.open(sealed)).to_canonical(), address);
            assert_ne!(Ipv6Addr::from(sealed).to_canonical(), address);
            assert_ne!(other.open(sealed), key.open(sealed), "with another process's key it is nothing");
        }
    }

    #[test]
    fn the_client_is_the_last_one_that_no_proxy_of_ours_is() {
        let trusted = ["10.0.0.0/8", "2001:db8:1::/48"].map(|network| network.parse().unwrap()).to_vec();
        let proxies = Proxies { protocol: ProxyProtocol::Off, trusted };
        for (value, want) in [
            ("192.0.2.7", Some("192.0.2.7")),
            ("198.51.100.1, 192.0.2.7", Some("192.0.2.7")),
            ("192.0.2.7, 10.1.2.3,10.4.5.6", Some("192.0.2.7")),
            ("192.0.2.7:443 , [2001:db8:1::5]:80", Some("192.0.2.7")),
            ("2001:db8::9, ::ffff:10.0.0.1", Some("2001:db8::9")),
            ("10.0.0.9, 10.0.0.1", Some("10.0.0.9")),
            ("192.0.2.7, unknown, 10.0.0.1", Some("10.0.0.1")),
            ("unknown", None),
            ("", None),
            ("192.0.2.7,", None),
        ] {
            let want: Option<IpAddr> = want.map(|want| want.parse().unwrap());
            assert_eq!(client(&proxies, value.as_bytes()), want, "{value}");
        }
    }
}
