//! Asks an admin listener: one plain request on a connection of its own.

use crate::address;
use std::io::{Error, ErrorKind, Read, Write};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(2);
/// Bytes of an answer.
const MOST: u64 = 1 << 20;

/// An answer of an admin listener.
pub struct AdminAnswer {
    pub status: u16,
    /// The fields of the head, a line each.
    pub head: String,
    pub body: String,
}

/// The status and the body of `GET target` at `admin`: see [`address::plain`].
pub fn get(admin: &str, target: &str) -> std::io::Result<(u16, String)> {
    ask(admin, target).map(|answer| (answer.status, answer.body))
}

/// The answer to `GET target` at `admin`: see [`address::plain`].
pub fn ask(admin: &str, target: &str) -> std::io::Result<AdminAnswer> {
    let admin = address::plain(admin).map_err(|why| Error::new(ErrorKind::InvalidInput, why))?;
    let mut stream = address::connect(&admin, WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let other = || Error::new(ErrorKind::InvalidData, "what answers there is not linkr's admin listener");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(other)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(other)?;
    Ok(AdminAnswer { status, head: head.to_owned(), body: body.to_owned() })
}
