//! What to send, where, how fast, for how long. Decided once, before the first byte.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Where requests go: `http://host[:port][/]` or `https://…`; `redis://…` is asked for each code by a plain GET.
#[derive(Clone, Debug)]
pub struct Url {
    /// As given.
    pub text: String,
    /// Resolved once.
    pub address: SocketAddr,
    /// The `Host` field and, with TLS, the name that the certificate must have.
    pub host: String,
    /// Whether it is https.
    pub tls: bool,
    /// Whether it is a Redis.
    pub redis: bool,
}

/// How fast requests are meant to be sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Open loop: so many a second in all, evenly spaced, whatever the server does.
    Rate(f64),
    /// Closed loop: each connection sends when it has its answer. Tells the maximum, and nothing about latency.
    Flat,
    /// The times of a click file, so many times as fast as they were.
    Recorded(f64),
}

/// How the server knows that the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// Kept for many requests.
    Keep,
    /// One request each.
    One,
}

/// TLS sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// Every connection makes a full handshake.
    Full,
    /// Tickets of earlier connections are used, as far as there are any.
    Resumed,
}

/// Request heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    /// A request line and `Host`.
    Bare,
    /// About 700 bytes, as a browser sends them.
    Browser,
}

#[derive(Clone, Debug)]
pub struct Plan {
    /// Where.
    pub url: Url,
    /// How fast.
    pub pace: Pace,
    /// How long, the warm-up not counted.
    pub time: Duration,
    /// Measured apart, before.
    pub warmup: Duration,
    /// Open connections, over all threads.
    pub connections: usize,
    /// Threads that send.
    pub threads: usize,
    /// The first core to pin a thread to, the next thread to the next; none: wherever the system likes.
    pub core: Option<usize>,
    /// Others run on the cores of these threads, which sleep until a request is due, and then go first; the kernel says when
    /// answers came.
    pub shares_core: bool,
    /// Kept or not.
    pub keep: Connections,
    /// Requests under way on one connection.
    pub pipeline: usize,
    /// With https.
    pub sessions: Sessions,
    /// Whether the server's certificate is believed without a look.
    pub trust_any: bool,
    /// Bare or a browser's.
    pub heads: Heads,
    /// A request that takes longer counts as an error, and with this time as latency.
    pub timeout: Duration,
}

impl Url {
    /// Parses and resolves.
    ///
    /// # Errors
    /// One line for the person who gave it.
    pub fn new(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https" | "redis"), rest)) => (scheme, rest),
            _ => return Err(format!("'{text}' is no URL to load: http://HOST:PORT or https://HOST:PORT")),
        };
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains('/') {
            return Err(format!(
                "'{text}' has a path: give the server alone, codes come from --links or --code"
            ));
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let with_port = if has_port {
            authority.to_owned()
        } else {
            let port = match scheme {
                "https" => 443,
                "redis" => 6379,
                _ => 80,
            };
            format!("{authority}:{port}")
        };
        let address = with_port
            .to_socket_addrs()
            .ok()
            .and_then(|mut all| all.next())
            .ok_or_else(|| format!("'{authority}' cannot be resolved"))?;
        let (tls, redis) = (scheme == "https", scheme == "redis");
        Ok(Self { text: text.to_owned(), address, host: authority.to_owned(), tls, redis })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let url = Url::new("http://127.0.0.1:8080/").unwrap();
        assert_eq!(
            (url.address.to_string().as_str(), url.host.as_str(), url.tls),
            ("127.0.0.1:8080", "127.0.0.1:8080", false)
        );
        assert_eq!(Url::new("https://127.0.0.1").unwrap().address.port(), 443);
        assert_eq!(Url::new("redis://127.0.0.1").unwrap().address.port(), 6379);
        for bad in ["127.0.0.1:80", "ftp://127.0.0.1", "http://", "http://127.0.0.1/x"] {
            assert!(Url::new(bad).is_err(), "{bad}");
        }
    }
}
