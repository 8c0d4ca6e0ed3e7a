//! A kept connection on which one request follows the other, for threads that wait.

use crate::http::{self, Reply};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// For an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The connection, and its last answer.
pub struct Connection {
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
        let stream = TcpStream::connect(server).map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
        Ok(Self { stream, buffer: vec![0; 1 << 16], length: 0 })
    }

    /// The answer to a whole request, and how many milliseconds it took.
    ///
    /// # Errors
    /// The connection ends, or what comes is no answer.
    pub fn ask(&mut self, request: &str) -> Result<(Reply, f64), String> {
        let began = Instant::now();
        self.stream.write_all(request.as_bytes()).map_err(text)?;
        let mut filled = 0;
        loop {
            if filled == self.buffer.len() {
                self.buffer.resize(2 * filled, 0);
            }
            let count = self.stream.read(&mut self.buffer[filled..]).map_err(text)?;
            filled += count;
            if let Some(reply) = http::reply(&self.buffer[..filled])? {
                self.length = reply.length;
                return Ok((reply, began.elapsed().as_secs_f64() * 1e3));
            }
            if count == 0 {
                return Err("the connection ended".to_owned());
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

#[allow(clippy::needless_pass_by_value)] // as errors are mapped
fn text(fault: impl std::fmt::Display) -> String {
    fault.to_string()
}
