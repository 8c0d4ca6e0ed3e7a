//! A kept connection on which one request follows the other, for threads that wait.

use crate::http::{self, Reply};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// For an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The connection, and its last answer.
pub struct Connection {
    server: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
    length: usize,
}

impl Connection {
    /// To this server.
    ///
    /// # Errors
    /// It does not listen.
    pub fn new(server: SocketAddr) -> Result<Self, String> {
        Ok(Self { server, stream: connect(server)?, buffer: vec![0; 1 << 16], length: 0 })
    }

    /// The answer to a whole request, and how many milliseconds it took. Where the server had closed the connection meanwhile,
    /// since nobody used it, it is asked on a new one: RFC 9112, section 9.3.1.
    ///
    /// # Errors
    /// The connection ends, or what comes is no answer.
    pub fn ask(&mut self, request: &str) -> Result<(Reply, f64), String> {
        if let Some(answered) = self.asked(request)? {
            return Ok(answered);
        }
        self.stream = connect(self.server)?;
        self.asked(request)?.ok_or_else(|| "the connection ended".to_owned())
    }

    /// `None`: the connection had ended before anything came.
    fn asked(&mut self, request: &str) -> Result<Option<(Reply, f64)>, String> {
        let began = Instant::now();
        let (sent, mut filled) = (self.stream.write_all(request.as_bytes()), 0);
        loop {
            if filled == self.buffer.len() {
                self.buffer.resize(2 * filled, 0);
            }
            let count = match (&sent, self.stream.read(&mut self.buffer[filled..])) {
                (Ok(()), Ok(count)) => count,
                (_, Err(fault)) if !is_end(&fault) => return Err(fault.to_string()),
                _ => 0,
            };
            filled += count;
            if let Some(reply) = http::reply(&self.buffer[..filled])? {
                self.length = reply.length;
                return Ok(Some((reply, began.elapsed().as_secs_f64() * 1e3)));
            }
            match (count, filled) {
                (0, 0) => return Ok(None),
                (0, _) => return Err("the connection ended".to_owned()),
                _ => {}
            }
        }
    }

    /// The last answer, with its head.
    pub fn answer(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// What is behind its head.
    pub fn body(&self) -> &[u8] {
        let answer = self.answer();
        let end = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
        &answer[end..]
    }
}

fn connect(server: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(server).map_err(text)?;
    stream.set_nodelay(true).map_err(text)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
    Ok(stream)
}

fn is_end(fault: &std::io::Error) -> bool {
    matches!(fault.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

#[allow(clippy::needless_pass_by_value)] // as errors are mapped
fn text(fault: impl std::fmt::Display) -> String {
    fault.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Found by the trial of pages: control closes a connection that nobody used for fifteen seconds.
    #[test]
    fn a_connection_that_was_closed_meanwhile_is_made_anew() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 18];
                stream.read_exact(&mut request).unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            }
        });
        let mut connection = Connection::new(address).unwrap();
        for _ in 0..2 {
            let (reply, _) = connection.ask("GET / HTTP/1.1\r\n\r\n").unwrap();
            assert_eq!((reply.status, connection.body()), (200, &b"ok"[..]));
        }
        server.join().unwrap();
    }
}
