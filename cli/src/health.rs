//! `linkr healthcheck`: asks an admin listener whether its process is ready. Made for container health checks.

use crate::fault::Fault;
use crate::out;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(2);

/// Succeeds when `/readyz` at `admin` answers 200.
pub fn check(admin: &str) -> Result<(), Fault> {
    let head = ask(admin).map_err(|fault| {
        Fault::no(format_args!("nothing answers at {admin} ({fault}): is linkr running?"))
    })?;
    match head.split(' ').nth(1) {
        Some("200") => out::line("ready"),
        Some(status) => Err(Fault::no(format_args!("{admin} is not ready: it answers {status}"))),
        None => Err(Fault::no(format_args!("what answers at {admin} is not linkr's admin listener"))),
    }
}

fn ask(admin: &str) -> std::io::Result<String> {
    let admin = admin.trim_start_matches("http://").trim_end_matches('/');
    let address = admin.to_socket_addrs()?.next().ok_or(std::io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
    let mut head = Vec::new();
    stream.take(4096).read_to_end(&mut head)?;
    Ok(String::from_utf8_lossy(&head).into_owned())
}
