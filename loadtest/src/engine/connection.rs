//! One connection: what it has under way, and what came back. Judges every answer.

use super::resp;
use super::response::{self, ResponseParse};
use super::transport::Transport;
use crate::keys::{Expectation, Keys, RequestedCode};
use crate::measure::{Fate, RequestEnd};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::SystemTime;

/// Room for answers; grows when one is longer.
const BUFFER_BYTES: usize = 4 * 1024;
/// An answer that is longer is malformed.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// A request under way. Times are nanoseconds from the start of the run.
#[derive(Clone, Copy, Debug)]
pub struct Flight {
    /// When it was meant to be sent.
    pub intended: u64,
    /// When it was.
    pub sent: u64,
    /// How much earlier a generator would have sent it that is never late.
    pub late: u64,
    /// What it asked for.
    pub ask: RequestedCode,
}

impl Flight {
    /// Its end `at` a time, in a phase that began at another.
    pub fn end(self, fate: Fate, at: u64, phase_from: u64) -> RequestEnd {
        let [intended, sent, at] = [self.intended, self.sent, at].map(|time| time.saturating_sub(phase_from));
        RequestEnd { fate, intended, sent, late: self.late, at }
    }
}

/// A whole answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// What was right or wrong with it.
    pub fate: Fate,
    /// Its status.
    pub status: u16,
    /// When the kernel took in its last byte, if the plan asks for that.
    pub arrived: Option<SystemTime>,
}

pub struct Connection {
    /// `None` between two connections of this place.
    pub transport: Option<Transport>,
    /// In order.
    pub flights: VecDeque<Flight>,
    /// Since when it could take another request.
    pub free_since: u64,
    /// The same with a generator that is never late: what piles up behind a late one is not the server's.
    pub free_in_time: u64,
    /// The server said that it ends the connection, or has ended it.
    pub closing: bool,
    /// Places of answered requests, given back when the connection is gone.
    pub owed: usize,
    input: Vec<u8>,
    filled: usize,
    output: Vec<u8>,
    written: usize,
    parse: ParseFn,
}

type ParseFn = for<'a> fn(&'a [u8], bool) -> ResponseParse<'a>;

/// What became of a connection after it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionFate {
    /// It stays.
    Open,
    /// It is gone; what was under way ended with this fate.
    Gone(Fate),
}

impl Connection {
    /// One that is not made yet, to a Redis or to a redirector.
    pub fn new(redis: bool) -> Self {
        Self {
            parse: if redis { resp::parse } else { response::parse },
            transport: None,
            flights: VecDeque::new(),
            free_since: 0,
            free_in_time: 0,
            closing: false,
            owed: 0,
            input: vec![0; BUFFER_BYTES],
            filled: 0,
            output: Vec::new(),
            written: 0,
        }
    }

    /// Begins anew on another socket.
    pub fn open(&mut self, transport: Transport) {
        self.transport = Some(transport);
        (self.filled, self.written, self.closing) = (0, 0, false);
        self.output.clear();
    }

    /// Puts a request behind those that wait to be written.
    pub fn enqueue(&mut self, flight: Flight, keys: &Keys, parts: &RequestFrame) {
        self.flights.push_back(flight);
        let unknown;
        let code = match flight.ask {
            RequestedCode::Known(at) => keys.get(at).code.as_bytes(),
            RequestedCode::Unknown(number) => {
                unknown = format!("unknown-{number:016x}");
                unknown.as_bytes()
            }
        };
        match parts {
            RequestFrame::Http { rest } => {
                [b"GET /", code, rest].map(|part| self.output.extend_from_slice(part))
            }
            RequestFrame::Redis => {
                let length = format!("*2\r\n$3\r\nGET\r\n${}\r\n", code.len());
                [length.as_bytes(), code, b"\r\n"].map(|part| self.output.extend_from_slice(part))
            }
        };
    }

    /// Whether a part of what was enqueued still waits to be written.
    pub fn has_to_write(&self) -> bool {
        self.written < self.output.len()
    }

    /// Writes what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// The fate of what is under way.
    pub fn write(&mut self) -> Result<(), Fate> {
        let Some(transport) = &mut self.transport else { return Ok(()) };
        while self.written < self.output.len() && transport.is_ready() {
            match transport.write(&self.output[self.written..]) {
                Ok(count) => self.written += count,
                Err(fault) if matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(());
                }
                Err(fault) => return Err(fate_of(&fault)),
            }
        }
        if self.written == self.output.len() {
            self.output.clear();
            self.written = 0;
        }
        transport.flush().map_err(|fault| fate_of(&fault))
    }

    /// Reads what is there and hands every whole answer to `ended`. `to_the_end`: the server has closed its side, which
    /// is said only once.
    pub fn read(
        &mut self,
        keys: &Keys,
        to_the_end: bool,
        mut ended: impl FnMut(Flight, Answer),
    ) -> ConnectionFate {
        loop {
            if self.filled == self.input.len() {
                if self.input.len() >= MAX_ANSWER_BYTES {
                    return ConnectionFate::Gone(Fate::Malformed);
                }
                self.input.resize(self.input.len() * 2, 0);
            }
            let Some(transport) = &mut self.transport else { return ConnectionFate::Open };
            let room = self.input.len() - self.filled;
            match transport.read(&mut self.input[self.filled..]) {
                Ok(0) => return self.ended_by_server(keys, ended),
                Ok(count) => {
                    self.filled += count;
                    if !self.take_answers(keys, false, &mut ended) {
                        return ConnectionFate::Gone(Fate::Malformed);
                    }
                    if !to_the_end
                        && count < room
                        && matches!(transport_kind(&self.transport), TransportKind::Plain)
                    {
                        return ConnectionFate::Open; // it was all there was: a further read would only say so
                    }
                }
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return ConnectionFate::Open,
                Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
                Err(fault) => return ConnectionFate::Gone(fate_of(&fault)),
            }
        }
    }

    fn ended_by_server(&mut self, keys: &Keys, mut ended: impl FnMut(Flight, Answer)) -> ConnectionFate {
        self.take_answers(keys, true, &mut ended);
        ConnectionFate::Gone(if self.filled > 0 { Fate::Short } else { Fate::Closed })
    }

    /// `false` when the bytes are no answers.
    fn take_answers(&mut self, keys: &Keys, end: bool, ended: &mut impl FnMut(Flight, Answer)) -> bool {
        let arrived = self.transport.as_ref().and_then(Transport::arrived);
        let mut start = 0;
        while start < self.filled {
            match (self.parse)(&self.input[start..self.filled], end) {
                ResponseParse::Incomplete => break,
                ResponseParse::Malformed => return false,
                ResponseParse::Response { status, location, close, length } => {
                    // An answer that nobody asked for.
                    let Some(flight) = self.flights.pop_front() else { return false };
                    ended(
                        flight,
                        Answer { fate: judge(flight.ask, keys, status, location), status, arrived },
                    );
                    self.closing |= close;
                    start += length;
                }
            }
        }
        self.input.copy_within(start..self.filled, 0);
        self.filled -= start;
        true
    }
}

enum TransportKind {
    Plain,
    Tls,
}

fn transport_kind(transport: &Option<Transport>) -> TransportKind {
    match transport {
        Some(Transport::Tls(_)) => TransportKind::Tls,
        _ => TransportKind::Plain,
    }
}

/// Everything of a request but its code.
pub enum RequestFrame {
    /// What stands behind the code.
    Http { rest: Vec<u8> },
    /// A GET.
    Redis,
}

impl RequestFrame {
    /// For this plan's heads and connections.
    pub fn new(plan: &crate::plan::Plan) -> Self {
        if plan.url.redis {
            return Self::Redis;
        }
        let mut rest = format!(" HTTP/1.1\r\nHost: {}\r\n", plan.url.host);
        if plan.keep == crate::plan::Connections::One {
            rest.push_str("Connection: close\r\n");
        }
        if plan.heads == crate::plan::Heads::Browser {
            rest.push_str(include_str!("browser-fields.txt"));
        }
        rest.push_str("\r\n");
        Self::Http { rest: rest.into() }
    }
}

fn judge(ask: RequestedCode, keys: &Keys, status: u16, location: Option<&[u8]>) -> Fate {
    let expect = match ask {
        RequestedCode::Known(at) => &keys.get(at).expect,
        RequestedCode::Unknown(_) => &Expectation::Nothing,
    };
    match (expect, status, location) {
        (_, 500.., _) => Fate::ServerError,
        (Expectation::To(want), 300..=399, Some(location)) if location == want.as_bytes() => Fate::Right,
        (Expectation::Nothing, 404 | 410, None) => Fate::Right,
        (Expectation::Anything, 200..=499, _) => Fate::Right,
        (Expectation::To(_), 300..=399, _) | (Expectation::Nothing, _, Some(_)) => Fate::WrongLocation,
        _ => Fate::WrongStatus,
    }
}

fn fate_of(fault: &std::io::Error) -> Fate {
    match fault.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::AddrNotAvailable | ErrorKind::TimedOut => Fate::Refused,
        ErrorKind::InvalidData => Fate::Tls,
        _ => Fate::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Distribution, Key};

    #[test]
    fn nothing_wrong_is_right() {
        let key = |expect| Key { code: "a".into(), expect };
        let keys = vec![
            key(Expectation::To("https://a/".into())),
            key(Expectation::Nothing),
            key(Expectation::Anything),
        ];
        let keys = Keys::new(keys, Distribution::Order, 0.0, 0.0, 1).unwrap();
        let table = [
            (0, 302, Some("https://a/"), Fate::Right),
            (0, 308, Some("https://a/"), Fate::Right),
            (0, 302, Some("https://a"), Fate::WrongLocation),
            (0, 302, None, Fate::WrongLocation),
            (0, 200, Some("https://a/"), Fate::WrongStatus),
            (0, 404, None, Fate::WrongStatus),
            (0, 503, Some("https://a/"), Fate::ServerError),
            (1, 404, None, Fate::Right),
            (1, 410, None, Fate::Right),
            (1, 404, Some("x"), Fate::WrongLocation),
            (1, 302, Some("x"), Fate::WrongLocation),
            (1, 200, None, Fate::WrongStatus),
            (2, 200, None, Fate::Right),
            (2, 500, None, Fate::ServerError),
            (2, 100, None, Fate::WrongStatus),
        ];
        for (at, status, location, want) in table {
            assert_eq!(
                judge(RequestedCode::Known(at), &keys, status, location.map(str::as_bytes)),
                want,
                "{at} {status}"
            );
        }
        assert_eq!(judge(RequestedCode::Unknown(1), &keys, 200, None), Fate::WrongStatus);
    }
}
