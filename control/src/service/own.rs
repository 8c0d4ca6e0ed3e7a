//! Where the edge of this process listens: a target there leads back to us, whatever the name of the host.

use link::Destination;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

/// Not known before the edge has started, if there is one. Whoever starts it and every control of the process share one.
#[derive(Clone, Debug, Default)]
pub struct OwnListeners(Arc<OnceLock<Vec<SocketAddr>>>);

impl OwnListeners {
    /// The edge listens there, and nowhere else while the process runs: the first call counts.
    pub fn set(&self, all: Vec<SocketAddr>) {
        let _ = self.0.set(all);
    }

    /// Whether a client on this machine that goes there comes to one of them.
    pub fn answer_at(&self, place: &Destination) -> bool {
        let ours = |own: &SocketAddr| place.port == Some(own.port()) && reaches(&place.host, own.ip());
        self.0.get().is_some_and(|all| all.iter().any(ours))
    }
}

fn reaches(host: &str, own: IpAddr) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let Ok(ip) = bare.parse::<IpAddr>().map(|ip| ip.to_canonical()) else {
        let here = host == "localhost" || host.ends_with(".localhost"); // RFC 6761, section 6.3
        return here && (own.is_loopback() || own.is_unspecified());
    };
    match own {
        // A listener on every address of IPv6 takes IPv4 as well.
        IpAddr::V4(own) if own.is_unspecified() => ip.is_ipv4() && is_here(ip),
        IpAddr::V6(own) if own.is_unspecified() => is_here(ip),
        // The kernel connects who asks for the unspecified address to loopback.
        own => ip == own.to_canonical() || own.is_loopback() && ip.is_unspecified(),
    }
}

fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;
    use link::Target;

    #[test]
    fn a_target_at_an_own_listener_is_ours_however_it_is_spelled() {
        let at = |own: &str, target: &str| {
            let listeners = OwnListeners::default();
            listeners.set(vec![own.parse().unwrap()]);
            listeners.answer_at(&Target::given(target, &[]).unwrap().place().unwrap())
        };
        for (own, target, want) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080/x", true),
            ("127.0.0.1:8080", "https://127.1:8080/x", true),
            ("127.0.0.1:8080", "http://0x7f000001:08080/x", true),
            ("127.0.0.1:8080", "http://LOCALHOST.:8080/x", true),
            ("127.0.0.1:8080", "http://a.localhost:8080/x", true),
            ("127.0.0.1:8080", "http://0:8080/x", true),
            ("127.0.0.1:8080", "http://[::ffff:127.0.0.1]:8080/x", true),
            ("127.0.0.1:80", "http://127.0.0.1/x", true),
            ("127.0.0.1:443", "https://127.0.0.1/x", true),
            ("0.0.0.0:8080", "http://127.9.9.9:8080/x", true),
            ("[::]:8080", "http://127.0.0.1:8080/x", true),
            ("[::]:8080", "http://[0:0::1]:8080/x", true),
            ("[::1]:8080", "http://[::1]:8080/x", true),
            ("192.0.2.7:8080", "http://192.0.2.7:8080/x", true),
            ("127.0.0.1:8080", "http://127.0.0.1:8081/docs", false),
            ("127.0.0.1:8080", "http://127.0.0.1/x", false),
            ("127.0.0.1:8080", "http://127.0.0.2:8080/x", false),
            ("0.0.0.0:8080", "http://[::1]:8080/x", false),
            ("192.0.2.7:8080", "http://localhost:8080/x", false),
            ("127.0.0.1:8080", "http://notlocalhost:8080/x", false),
        ] {
            assert_eq!(at(own, target), want, "{own} {target}");
        }
        let place = Target::given("http://127.0.0.1:8080/", &[]).unwrap().place().unwrap();
        assert!(!OwnListeners::default().answer_at(&place), "nothing listens yet");
    }
}
