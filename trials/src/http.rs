//! As much HTTP as the trials speak: the next whole answer at the start of some bytes.

use crate::history::{Answer, Mark, version_of};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its bytes.
    pub length: usize,
    /// Status code.
    pub status: u16,
    /// `Location`.
    pub location: Option<String>,
    /// `X-Linkr-Tier`.
    pub tier: Option<String>,
    /// What it means for the judge.
    pub mark: Mark,
    /// `X-Linkr-Staleness-Ms`.
    pub staleness_ms: Option<u64>,
    /// Whether the connection ends behind it.
    pub close: bool,
}

/// The answer at the start of `bytes`; `None` while it is not whole.
///
/// # Errors
/// It is none.
pub fn reply(bytes: &[u8]) -> Result<Option<Reply>, &'static str> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Response::new(&mut fields);
    let Ok(status) = parsed.parse(bytes) else { return Err("no HTTP") };
    let httparse::Status::Complete(head) = status else { return Ok(None) };
    let field = |name: &str| {
        let field = parsed.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        field.and_then(|field| std::str::from_utf8(field.value).ok())
    };
    let Some(body) = field("content-length").map_or(Some(0), |length| length.parse::<usize>().ok()) else {
        return Err("no length");
    };
    if bytes.len() < head + body {
        return Ok(None);
    }
    let mark = match field("x-linkr-tier") {
        None => Mark::None,
        Some("hot" | "redis" | "origin") => Mark::Fresh,
        Some("stale") => Mark::Stale,
        Some(_) => return Err("a tier that nobody knows"),
    };
    Ok(Some(Reply {
        length: head + body,
        status: parsed.code.unwrap_or(0),
        location: field("location").map(str::to_owned),
        tier: field("x-linkr-tier").map(str::to_owned),
        mark,
        staleness_ms: field("x-linkr-staleness-ms").and_then(|ms| ms.parse().ok()),
        close: field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
    }))
}

/// A field of the answer at the start of `bytes`.
pub fn field(bytes: &[u8], name: &str) -> Option<String> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Response::new(&mut fields);
    parsed.parse(bytes).ok()?;
    let field = parsed.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(field.value).ok().map(str::to_owned)
}

impl Reply {
    /// What it says about a link.
    pub fn answer(&self, key: u32) -> Answer {
        match (self.status, &self.location) {
            (301 | 302 | 303 | 307 | 308, Some(location)) => match version_of(key, location) {
                Some(n) => Answer::To(n),
                None => Answer::Foreign(location.as_str().into()),
            },
            (404, _) => Answer::NotFound,
            (410, _) => Answer::Gone,
            (503, _) => Answer::Unavailable,
            (status, _) => Answer::Other(status),
        }
    }
}

/// The value of a metric without labels, from an admin listener.
pub async fn metric(admin: SocketAddr, name: &str) -> Option<f64> {
    let text = get(admin, "/metrics").await?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

/// A whole answer as text, head and body, of a server that closes behind it.
pub async fn get(address: SocketAddr, path: &str) -> Option<String> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    tokio::time::timeout(std::time::Duration::from_secs(2), asked).await.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let bytes =
            b"HTTP/1.1 302 Found\r\nLocation: https://t.example/t000007/12\r\nX-Linkr-Tier: stale\r\n\
                      X-Linkr-Staleness-Ms: 1500\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 404 ";
        let reply = super::reply(bytes).unwrap().unwrap();
        assert_eq!(&bytes[reply.length - 2..reply.length], b"ok");
        assert_eq!(
            (reply.answer(7), reply.mark, reply.staleness_ms),
            (Answer::To(12), Mark::Stale, Some(1500))
        );
        assert!(matches!(reply.answer(8), Answer::Foreign(_)), "another link's target");
        for cut in 0..reply.length {
            assert_eq!(super::reply(&bytes[..cut]), Ok(None), "{cut}");
        }
        assert!(super::reply(b"SMTP ready\r\n\r\n").is_err());
        assert!(super::reply(b"HTTP/1.1 200 OK\r\nX-Linkr-Tier: warm\r\n\r\n").is_err());
        for (location, want) in
            [("https://t.example/t000007/012", None), ("https://t.example/t000007/0", Some(0))]
        {
            assert_eq!(version_of(7, location), want, "{location}");
        }
    }
}
