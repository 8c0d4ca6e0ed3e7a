//! How bytes come in and go out: as they are, or through TLS. What they mean is not known here.

use super::Worker;
use crate::sys::send_now;
use crate::tls::Session;
use hot::limits::MAX_HEAD_BYTES;
use monoio::buf::{IoBufMut, SliceMut};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use rustls::ServerConfig;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// Room for a request head, to begin with: a browser's takes about 700 bytes.
const FIRST_BUFFER_BYTES: usize = 2 * 1024;

/// One end of a connection.
pub trait Wire {
    /// Reads behind what is there. 0: nothing more comes.
    async fn read(&mut self, input: Vec<u8>) -> (usize, Vec<u8>);

    /// Writes all of it; `last`: nothing comes after it.
    async fn write(&mut self, out: Vec<u8>, last: bool) -> (io::Result<()>, Vec<u8>);

    /// The other side may be told that this is the end.
    fn leave(&mut self);

    /// What is below.
    fn stream(&mut self) -> &mut TcpStream;
}

/// As they are.
pub struct Plain(pub TcpStream);

impl Wire for Plain {
    async fn read(&mut self, mut input: Vec<u8>) -> (usize, Vec<u8>) {
        // At most twice a head: the parser decides at the latest when one is full.
        make_room(&mut input, MAX_HEAD_BYTES + FIRST_BUFFER_BYTES);
        receive(&mut self.0, input).await
    }

    async fn write(&mut self, out: Vec<u8>, _: bool) -> (io::Result<()>, Vec<u8>) {
        let (result, out) = self.0.write_all(out).await;
        (result.map(drop), out)
    }

    fn leave(&mut self) {}

    fn stream(&mut self) -> &mut TcpStream {
        &mut self.0
    }
}

/// Through TLS.
pub struct Tls<'a> {
    worker: &'a Worker,
    stream: TcpStream,
    session: Session,
    /// What came with the end of the handshake.
    early: Vec<u8>,
}

/// What a handshake came to.
pub enum Shaken {
    /// Requests can be read.
    Done,
    /// It is refused, which the other side was told.
    Refused,
    /// This is HTTP without TLS.
    Plain,
    /// The other side is gone.
    Gone,
}

impl<'a> Tls<'a> {
    /// # Errors
    /// As [`Session::new`].
    pub fn new(
        worker: &'a Worker,
        stream: TcpStream,
        config: Arc<ServerConfig>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self { worker, stream, session: Session::new(config)?, early: Vec::new() })
    }

    /// Shakes hands, and counts what it came to.
    pub async fn shake(&mut self) -> Shaken {
        let (mut received, mut sent) = (0, 0);
        let shaken = loop {
            match self.receive().await {
                0 => break Shaken::Gone,
                count => received += count,
            }
            let opened = self.session.open(&mut self.early);
            if opened.is_err() && sent == 0 && self.session.sealed.first().is_some_and(u8::is_ascii_uppercase)
            {
                break Shaken::Plain;
            }
            let owed = self.session.take_owed(!self.early.is_empty());
            sent += owed.len();
            if !owed.is_empty() && self.stream.write_all(owed).await.0.is_err() {
                break Shaken::Gone;
            }
            if opened.is_err() {
                break Shaken::Refused;
            }
            if !self.session.is_handshaking() {
                break Shaken::Done;
            }
        };
        // Who only looks whether somebody listens has not begun one.
        if received > 0 {
            let done = matches!(shaken, Shaken::Done).then(|| self.session.is_resumed());
            self.worker.meters().shaken(done);
        }
        shaken
    }

    /// An alert.
    fn send_owed(&mut self) {
        let owed = self.session.take_owed(false);
        if !owed.is_empty() {
            send_now(self.stream.as_raw_fd(), &owed);
        }
    }

    async fn receive(&mut self) -> usize {
        let mut sealed = std::mem::take(&mut self.session.sealed);
        if sealed.is_empty() && sealed.capacity() > FIRST_BUFFER_BYTES {
            sealed = Vec::new();
        }
        make_room(&mut sealed, usize::MAX); // the session says when it is too much
        let (count, sealed) = receive(&mut self.stream, sealed).await;
        self.session.sealed = sealed;
        count
    }
}

impl Wire for Tls<'_> {
    async fn read(&mut self, mut input: Vec<u8>) -> (usize, Vec<u8>) {
        if !self.early.is_empty() {
            input.append(&mut self.early);
            return (input.len(), input);
        }
        if input.is_empty() {
            self.worker.give_buffer(input);
            input = Vec::new();
        }
        while !self.session.is_ended() && self.receive().await > 0 {
            if input.capacity() == 0 {
                input = self.worker.take_buffer();
            }
            match self.session.open(&mut input) {
                Ok(0) => self.send_owed(),
                Ok(count) => return (count, input),
                Err(_) => {
                    self.send_owed();
                    break;
                }
            }
        }
        (0, input)
    }

    async fn write(&mut self, out: Vec<u8>, last: bool) -> (io::Result<()>, Vec<u8>) {
        let mut sealed = self.worker.take_buffer();
        if let Err(fault) = self.session.seal(&out, last, &mut sealed) {
            return (Err(io::Error::other(fault)), out);
        }
        let (result, sealed) = self.stream.write_all(sealed).await;
        self.worker.give_buffer(sealed);
        (result.map(drop), out)
    }

    fn leave(&mut self) {
        let goodbye = self.session.goodbye();
        if !goodbye.is_empty() {
            send_now(self.stream.as_raw_fd(), &goodbye);
        }
    }

    fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}

/// Twice as much as before when little is left, up to so many bytes in all.
fn make_room(buffer: &mut Vec<u8>, most: usize) {
    let (length, capacity) = (buffer.len(), buffer.capacity());
    if capacity - length < FIRST_BUFFER_BYTES / 4 {
        buffer.reserve_exact((capacity * 2).max(FIRST_BUFFER_BYTES).min(most) - length);
    }
}

async fn receive(stream: &mut TcpStream, mut buffer: Vec<u8>) -> (usize, Vec<u8>) {
    let (start, end) = (buffer.len(), buffer.bytes_total());
    let (result, slice) = stream.read(SliceMut::new(buffer, start, end)).await;
    buffer = slice.into_inner();
    (result.unwrap_or(0), buffer)
}
