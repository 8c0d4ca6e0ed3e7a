//! How bytes come in and go out: as they are, or through TLS. What they mean is not known here.

use super::Worker;
use super::socket::{FIRST_BUFFER_BYTES, Socket, Written};
use crate::tls::TlsSession;
use hot::limits::MAX_HEAD_BYTES;
use std::io;

/// One end of a connection.
pub trait Wire {
    /// Reads behind what is there. 0: nothing more comes.
    async fn read(&mut self, input: Vec<u8>) -> (usize, Vec<u8>);

    /// Writes all of it; `last`: nothing comes after it. Of a write that fails, those bytes count as taken of which it is
    /// known that the other side could read them.
    async fn write(&mut self, out: Vec<u8>, last: bool) -> (Written, Vec<u8>);

    /// The other side may be told that this is the end.
    fn leave(&mut self);

    /// What is below.
    fn socket(&mut self) -> &mut Socket;
}

/// A connection whose bytes go as they are.
pub struct PlainWire(pub Socket);

impl Wire for PlainWire {
    async fn read(&mut self, input: Vec<u8>) -> (usize, Vec<u8>) {
        // At most twice a head: the parser decides at the latest when one is full.
        let (result, input) = self.0.read(input, MAX_HEAD_BYTES + FIRST_BUFFER_BYTES).await;
        (result.unwrap_or(0), input)
    }

    async fn write(&mut self, out: Vec<u8>, last: bool) -> (Written, Vec<u8>) {
        self.0.write(out, last).await
    }

    fn leave(&mut self) {}

    fn socket(&mut self) -> &mut Socket {
        &mut self.0
    }
}

/// A connection whose bytes go through TLS.
pub struct TlsWire<'a> {
    worker: &'a Worker,
    socket: Socket,
    session: TlsSession,
    /// What came with the end of the handshake.
    early: Vec<u8>,
}

/// The outcome of a handshake.
pub enum HandshakeOutcome {
    /// Requests can be read.
    Done,
    /// It is refused, which the other side was told.
    Refused,
    /// This is HTTP without TLS.
    Plain,
    /// The other side is gone.
    Gone,
}

impl<'a> TlsWire<'a> {
    /// Before the handshake.
    pub fn new(worker: &'a Worker, socket: Socket, session: TlsSession) -> Self {
        Self { worker, socket, session, early: Vec::new() }
    }

    /// Shakes hands, and counts what it came to.
    pub async fn shake(&mut self) -> HandshakeOutcome {
        // What came with a proxy's header is here already.
        let (mut received, mut sent) = (self.session.sealed.len(), 0);
        let mut here = received > 0;
        let shaken = loop {
            if !std::mem::take(&mut here) {
                match self.receive().await {
                    0 => break HandshakeOutcome::Gone,
                    count => received += count,
                }
            }
            let opened = self.session.open(&mut self.early);
            if opened.is_err() && sent == 0 && self.session.sealed.first().is_some_and(u8::is_ascii_uppercase)
            {
                break HandshakeOutcome::Plain;
            }
            let owed = self.session.take_owed(!self.early.is_empty());
            sent += owed.len();
            if !owed.is_empty() && self.socket.write(owed, false).await.0.result.is_err() {
                break HandshakeOutcome::Gone;
            }
            if opened.is_err() {
                break HandshakeOutcome::Refused;
            }
            // Whoever sends the rest in a packet of its own must not wait for our acknowledgement.
            self.socket.expect_more();
            if !self.session.is_handshaking() {
                break HandshakeOutcome::Done;
            }
        };
        // Who only looks whether somebody listens has not begun one.
        if received > 0 {
            let done = matches!(shaken, HandshakeOutcome::Done).then(|| self.session.is_resumed());
            self.worker.meters().shaken(done);
        }
        shaken
    }

    /// An alert.
    fn send_owed(&mut self) {
        let owed = self.session.take_owed(false);
        if !owed.is_empty() {
            self.socket.say(&owed);
        }
    }

    async fn receive(&mut self) -> usize {
        let mut sealed = std::mem::take(&mut self.session.sealed);
        if sealed.is_empty() && sealed.capacity() > FIRST_BUFFER_BYTES {
            sealed = Vec::new();
        }
        // The session says when it is too much.
        let (result, sealed) = self.socket.read(sealed, usize::MAX).await;
        self.session.sealed = sealed;
        result.unwrap_or(0)
    }
}

impl Wire for TlsWire<'_> {
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
                Ok(0) => {
                    self.send_owed();
                    self.socket.expect_more();
                }
                Ok(count) => return (count, input),
                Err(_) => {
                    self.send_owed();
                    break;
                }
            }
        }
        (0, input)
    }

    async fn write(&mut self, out: Vec<u8>, last: bool) -> (Written, Vec<u8>) {
        let mut sealed = self.worker.take_buffer();
        if let Err(fault) = self.session.seal(&out, last, &mut sealed) {
            return (Written::failed(0, io::Error::other(fault)), out);
        }
        let (written, sealed) = self.socket.write(sealed, last).await;
        self.worker.give_buffer(sealed);
        // A record that is cut says nothing, and where in it an answer ends is not known here.
        let taken = if written.result.is_ok() { out.len() } else { 0 };
        (Written { taken, ..written }, out)
    }

    fn leave(&mut self) {
        let goodbye = self.session.goodbye();
        if !goodbye.is_empty() {
            self.socket.say(&goodbye);
        }
    }

    fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }
}
