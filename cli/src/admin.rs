//! Asks an admin listener: one plain request on a connection of its own.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(2);
/// Bytes of an answer.
const MOST: u64 = 1 << 20;

/// The status and the body of `GET target` at `admin`: `host:port`, with or without `http://`, or a port of this machine, as
/// a listener is told.
pub fn get(admin: &str, target: &str) -> std::io::Result<(u16, String)> {
    let admin = admin.trim_start_matches("http://").trim_end_matches('/');
    let port = admin.strip_prefix(':').unwrap_or(admin);
    let own = port.bytes().all(|b| b.is_ascii_digit()).then(|| format!("127.0.0.1:{port}"));
    let admin = own.as_deref().unwrap_or(admin);
    let address = admin.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, WAIT)?;
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
