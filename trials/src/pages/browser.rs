//! A browser as far as the pages of control need one: a kept connection, a session, compressed answers. No script is run here,
//! and nothing is judged.

use crate::connection::Connection;
use crate::http::{Reply, field};
use flate2::read::GzDecoder;
use std::io::Read;
use std::net::SocketAddr;

/// Somebody's browser, signed in with his key.
pub struct Browser {
    api: SocketAddr,
    connection: Connection,
    key: String,
    cookie: String,
}

/// An answer.
pub struct Seen {
    /// Its status.
    pub status: u16,
    /// Where it leads, if anywhere.
    pub location: Option<String>,
    /// Milliseconds until it was there.
    pub took: f64,
    /// Bytes of it on the wire, those of its head among them.
    pub wire: usize,
    /// What it says.
    pub text: String,
}

impl Browser {
    /// Signs in with a key.
    ///
    /// # Errors
    /// It is not let in.
    pub fn sign_in(api: SocketAddr, key: &str) -> Result<Self, String> {
        let mut new =
            Self { api, connection: Connection::new(api)?, key: key.to_owned(), cookie: String::new() };
        let form = format!("key={key}");
        let request = format!(
            "POST /ui/sign-in HTTP/1.1\r\nHost: {api}\r\nOrigin: http://{api}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        let seen = new.seen(&request)?;
        let cookie = field(new.connection.answer(), "set-cookie");
        let cookie = cookie.and_then(|line| line.split(';').next().map(str::to_owned));
        match (seen.status, cookie) {
            (303, Some(cookie)) => new.cookie = cookie,
            (status, _) => return Err(format!("the sign-in was answered with {status}: {}", seen.text)),
        }
        Ok(new)
    }

    /// A page, or what belongs to one.
    ///
    /// # Errors
    /// The connection ends, or it is no text.
    pub fn look(&mut self, path: &str) -> Result<Seen, String> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept-Encoding: gzip\r\nCookie: {}\r\n\r\n",
            self.api, self.cookie
        );
        self.seen(&request).map_err(|fault| format!("{path}: {fault}"))
    }

    /// A call of REST with the same key.
    ///
    /// # Errors
    /// As [`Browser::look`].
    pub fn call(&mut self, path: &str) -> Result<Seen, String> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
            self.api, self.key
        );
        self.seen(&request).map_err(|fault| format!("{path}: {fault}"))
    }

    fn seen(&mut self, request: &str) -> Result<Seen, String> {
        let (reply, took) = self.connection.ask(request)?;
        let Reply { status, location, length: wire, close, .. } = reply;
        let packed = field(self.connection.answer(), "content-encoding").is_some();
        let mut text = String::new();
        let read = match packed {
            true => GzDecoder::new(self.connection.body()).read_to_string(&mut text),
            false => self.connection.body().read_to_string(&mut text),
        };
        read.map_err(|fault| fault.to_string())?;
        if close {
            self.connection = Connection::new(self.api)?;
        }
        Ok(Seen { status, location, took, wire, text })
    }
}

/// A call of REST that writes, with its answer.
///
/// # Errors
/// It is refused.
pub fn post(api: SocketAddr, key: &str, path: &str, body: &str) -> Result<serde_json::Value, String> {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {api}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = Connection::new(api)?;
    let (reply, _) = connection.ask(&request)?;
    let told = String::from_utf8_lossy(connection.body());
    if !(200..300).contains(&reply.status) {
        return Err(format!("{path}: {} {told}", reply.status));
    }
    serde_json::from_str(&told).map_err(|fault| format!("{path}: {fault}"))
}
