//! Asks an admin listener: one plain request on a connection of its own.

use crate::address;
use std::io::{Error, ErrorKind, Read, Write};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(2);
/// Bytes of an answer.
const MOST: u64 = 1 << 20;

/// The status and the body of `GET target` at `admin`: see [`address::plain`].
pub fn get(admin: &str, target: &str) -> std::io::Result<(u16, String)> {
    let admin = address::plain(admin).map_err(|why| Error::new(ErrorKind::InvalidInput, why))?;
    let mut stream = address::connect(&admin, WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let other = || Error::new(ErrorKind::InvalidData, "what answers there is not linkr's admin listener");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(other)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(other)?;
    Ok((status, body.to_owned()))
}
