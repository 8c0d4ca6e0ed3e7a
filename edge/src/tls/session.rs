//! The TLS of one connection: sealed bytes in, plain ones out, and back. No socket, no clock.

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{Error, HandshakeKind, ServerConfig};
use std::sync::Arc;

/// The longest record there is (RFC 5246, 6.2.3). Nothing of a handshake needs to be longer, either.
const MAX_SEALED_BYTES: usize = 5 + 16 * 1024 + 2 * 1024;
/// More than any version and suite adds to a record.
const RECORD_OVERHEAD: usize = 64;
/// What a plain record holds at most.
const MAX_PLAIN_BYTES: usize = 16 * 1024;

pub struct TlsSession {
    connection: UnbufferedServerConnection,
    /// Received and not opened yet: the beginning of a record, or of a message of the handshake.
    pub sealed: Vec<u8>,
    /// What TLS itself has to say: goes out in front of the next answer.
    owed: Vec<u8>,
    ended: bool,
    left: bool,
}

impl TlsSession {
    /// # Errors
    /// Only for a configuration that can be used for nothing.
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Self { connection, sealed: Vec::new(), owed: Vec::new(), ended: false, left: false })
    }

    /// Opens what is whole of [`TlsSession::sealed`], and puts it behind `plain`. Says how many bytes of that there were.
    ///
    /// # Errors
    /// This is not TLS as it is spoken here. [`TlsSession::take_owed`] has the alert that says so.
    pub fn open(&mut self, plain: &mut Vec<u8>) -> Result<usize, Error> {
        let (mut used, before) = (0, plain.len());
        let done = loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut self.sealed[used..]);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        plain.extend_from_slice(record?.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => owe(&mut self.owed, data),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    self.ended = true;
                    used += discard;
                    break Ok(plain.len() - before);
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                    used += discard;
                    break Ok(plain.len() - before);
                }
                // Early data is not offered.
                Ok(_) => break Err(Error::General("a state that cannot be".into())),
                Err(fault) => {
                    // Nothing else is asked of a connection that failed but what it has to say about that.
                    while self.connection.wants_write()
                        && let Ok(ConnectionState::EncodeTlsData(data)) =
                            self.connection.process_tls_records(&mut self.sealed[used..]).state
                    {
                        owe(&mut self.owed, data);
                    }
                    self.left = true;
                    break Err(fault);
                }
            }
            used += discard;
        };
        self.sealed.drain(..used);
        let full = self.sealed.len() >= MAX_SEALED_BYTES;
        if full { done.and(Err(Error::General("a message is too long".into()))) } else { done }
    }

    /// Seals `plain` behind `out`, and what TLS had to say before it. With `last`, nothing comes after it.
    ///
    /// # Errors
    /// Nothing can be sent any more.
    pub fn seal(&mut self, plain: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.left {
            return Err(Error::HandshakeNotComplete);
        }
        out.append(&mut self.owed);
        // All that is whole was opened: this only leads to the state in which something can be written.
        match self.connection.process_tls_records(&mut self.sealed).state? {
            ConnectionState::WriteTraffic(mut traffic) => {
                let records = plain.len() / MAX_PLAIN_BYTES + 2; // one for a change of keys
                let room = plain.len() + records * RECORD_OVERHEAD;
                let sealed =
                    append(out, room, |room| traffic.encrypt(plain, room).map_err(|fault| needed(&fault)));
                if last {
                    self.left = true;
                    leave(&mut traffic, out);
                }
                sealed.ok_or(Error::EncryptError)
            }
            _ => Err(Error::HandshakeNotComplete),
        }
    }

    /// What has to be sent so that the other side knows that this was all; nothing if it knows already.
    pub fn goodbye(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if !std::mem::replace(&mut self.left, true)
            && let Ok(ConnectionState::WriteTraffic(mut traffic)) =
                self.connection.process_tls_records(&mut self.sealed).state
        {
            out.append(&mut self.owed);
            leave(&mut traffic, &mut out);
        }
        out
    }

    /// What the other side is to hear now. If an answer comes next, tickets go with it: one packet less. Otherwise at
    /// once: a client may hold its request back until it hears something (Nagle), and the kernel acknowledges late.
    pub fn take_owed(&mut self, answer_is_next: bool) -> Vec<u8> {
        if answer_is_next && !self.left { Vec::new() } else { std::mem::take(&mut self.owed) }
    }

    /// Whether no request can be read yet.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the handshake was spared by a ticket.
    pub fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Whether the other side has said that it sends nothing more.
    pub fn is_ended(&self) -> bool {
        self.ended
    }
}

fn owe<Data>(owed: &mut Vec<u8>, mut data: EncodeTlsData<'_, Data>) {
    append(owed, 0, |room| {
        data.encode(room).map_err(|fault| match fault {
            EncodeError::InsufficientSize(needed) => Some(needed.required_size),
            EncodeError::AlreadyEncoded => None,
        })
    });
}

fn leave<Data>(traffic: &mut WriteTraffic<'_, Data>, out: &mut Vec<u8>) {
    append(out, RECORD_OVERHEAD, |room| traffic.queue_close_notify(room).map_err(|fault| needed(&fault)));
}

fn needed(fault: &EncryptError) -> Option<usize> {
    match fault {
        EncryptError::InsufficientSize(needed) => Some(needed.required_size),
        EncryptError::EncryptExhausted => None,
    }
}

/// Lets `write` put bytes behind `out`, which says how many, or how many it has to have room for.
fn append(
    out: &mut Vec<u8>,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Option<()> {
    let start = out.len();
    let count = loop {
        out.resize(start + room, 0);
        match write(&mut out[start..]) {
            Ok(count) => break Some(count),
            Err(Some(needed)) if needed > room => room = needed,
            Err(_) => break None,
        }
    };
    out.truncate(start + count.unwrap_or(0));
    count.map(drop)
}
