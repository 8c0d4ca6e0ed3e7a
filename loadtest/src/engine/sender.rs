//! One thread's loop: send what is due, take what came, wait for whichever is next.

use super::connection::{Answer, Connection, ConnectionFate, Flight, RequestFrame};
use super::schedule::Schedule;
use super::transport::Transport;
use super::{LiveCounts, RunResult};
use crate::keys::{KeyStream, RequestedCode};
use crate::measure::{Fate, Measurement};
use crate::plan::{Connections, Plan};
use mio::{Events, Interest, Poll, Token};
use rustls::ClientConfig;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// So long before a request is due the thread stops sleeping and spins: the kernel wakes it a millisecond too late, or
/// more.
const SPIN: u64 = 2_000_000;
/// How often timeouts are looked at and counts are published.
const TICK: u64 = 50_000_000;

/// A server has so long to close a connection that it said is the last.
const SLOW_CLOSE: u64 = 1_000_000_000;

/// See the module. Times are nanoseconds from the start of the run.
pub struct Sender {
    plan: Plan,
    stream: KeyStream,
    schedule: Schedule,
    parts: RequestFrame,
    tls: Option<Arc<ClientConfig>>,
    poll: Poll,
    connections: Vec<Connection>,
    /// Places that can take a request, longest free first. One with room for several stands here several times.
    free: VecDeque<usize>,
    /// Sent behind the request that a server had announced to be the last: sent again, as RFC 9112, section 9.3.1,
    /// lets a client. They keep their intended times.
    again: VecDeque<(u64, RequestedCode)>,
    clock: quanta::Clock,
    start: quanta::Instant,
    warm_from: u64,
    cold: Measurement,
    warm: Measurement,
    under_way: usize,
    live: Arc<LiveCounts>,
    published: PublishedCounts,
}

/// One moment on the clock of the run, and on the one by which the kernel stamps what arrives.
#[derive(Clone, Copy)]
struct WakeTime {
    now: u64,
    wall: SystemTime,
}

impl WakeTime {
    /// When an answer came that was read since: as the kernel says, if it does.
    fn arrival(self, answer: &Answer) -> u64 {
        let Some(arrived) = answer.arrived else { return self.now };
        match self.wall.duration_since(arrived) {
            Ok(before) => self.now.saturating_sub(before.as_nanos() as u64),
            Err(after) => self.now + after.duration().as_nanos() as u64,
        }
    }
}

/// What this thread has added to the counts that all share.
#[derive(Default)]
struct PublishedCounts {
    right: u64,
    wrong: u64,
    behind: u64,
}

impl Sender {
    pub fn new(
        plan: Plan,
        connections: usize,
        stream: KeyStream,
        schedule: Schedule,
        tls: Option<Arc<ClientConfig>>,
        live: Arc<LiveCounts>,
    ) -> Result<Self, String> {
        let clock = quanta::Clock::new();
        Ok(Self {
            parts: RequestFrame::new(&plan),
            connections: (0..connections).map(|_| Connection::new(plan.url.redis)).collect(),
            warm_from: plan.warmup.as_nanos() as u64,
            plan,
            stream,
            schedule,
            tls,
            poll: Poll::new().map_err(|fault| format!("cannot poll: {fault}"))?,
            free: VecDeque::new(),
            again: VecDeque::new(),
            start: clock.now(),
            clock,
            cold: Measurement::default(),
            warm: Measurement::default(),
            under_way: 0,
            live,
            published: PublishedCounts::default(),
        })
    }

    /// Makes all connections before the run begins, if they are kept. If they are not, tries one with TLS: whether it
    /// can be made at all is known before the first request. Not measured.
    pub fn connect(&mut self) -> Result<(), String> {
        for _ in 0..self.plan.pipeline {
            self.free.extend(0..self.connections.len());
        }
        let count = match (self.plan.keep, &self.tls) {
            (Connections::Keep, _) => self.connections.len(),
            (Connections::One, Some(_)) => 1,
            (Connections::One, None) => return Ok(()),
        };
        let url = self.plan.url.text.clone();
        let cannot = |why: &dyn std::fmt::Display| format!("cannot connect to {url}: {why}");
        (0..count).try_for_each(|at| self.open(at).map_err(|fault| cannot(&fault)))?;
        let mut events = Events::with_capacity(1024);
        let deadline = std::time::Instant::now() + self.plan.timeout;
        let mut waiting: Vec<usize> = (0..count).collect();
        while !waiting.is_empty() {
            if std::time::Instant::now() > deadline {
                return Err(cannot(&"no answer in time"));
            }
            let _ = self.poll.poll(&mut events, Some(Duration::from_millis(10)));
            for event in &events {
                let at = event.token().0;
                let keys = self.stream.keys();
                let connection = &mut self.connections[at];
                let gone = connection.write().is_err()
                    || matches!(connection.read(keys, true, |_, _| {}), ConnectionFate::Gone(_));
                if gone {
                    let complaint = connection.transport.as_mut().and_then(Transport::complaint);
                    return Err(cannot(&complaint.as_deref().unwrap_or("connection refused or closed")));
                }
            }
            waiting.retain(|&at| {
                self.connections[at].transport.as_mut().is_some_and(|transport| {
                    !(transport.is_ready() && transport.socket().peer_addr().is_ok())
                })
            });
        }
        if self.plan.keep == Connections::One {
            self.connections[0].transport = None;
        }
        Ok(())
    }

    fn open(&mut self, at: usize) -> std::io::Result<()> {
        let mut transport = Transport::connect(&self.plan.url, self.tls.as_ref(), self.plan.shares_core)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(transport.socket(), Token(at), interest)?;
        self.connections[at].open(transport);
        Ok(())
    }

    /// Runs the schedule to its end, then waits for what is under way.
    pub fn run(mut self) -> Result<RunResult, String> {
        self.start = self.clock.now();
        let mut events = Events::with_capacity(1024);
        let (mut next_tick, mut ended_at) = (TICK, None);
        loop {
            let now = self.now();
            self.send_due(now);
            if self.schedule.due(now).is_none() {
                let ended = *ended_at.get_or_insert(now);
                if self.under_way == 0 || now - ended > self.plan.timeout.as_nanos() as u64 {
                    break;
                }
            }
            if now >= next_tick {
                self.tick(now);
                next_tick = now + TICK;
            }
            let mut wait = self.wait(now, next_tick);
            if self.plan.shares_core {
                crate::sys::wait_readable(&self.poll, wait);
                wait = Duration::ZERO;
            }
            if let Err(fault) = self.poll.poll(&mut events, Some(wait))
                && fault.kind() != std::io::ErrorKind::Interrupted
            {
                return Err(format!("cannot poll: {fault}"));
            }
            if !events.is_empty() {
                let woke = WakeTime { now: self.now(), wall: SystemTime::now() };
                for event in &events {
                    self.on_event(event.token().0, event.is_read_closed() || event.is_error(), woke);
                }
            }
        }
        let now = self.now();
        self.give_up(now);
        self.publish(now);
        let took = Duration::from_nanos(ended_at.unwrap_or(now).saturating_sub(self.warm_from));
        Ok(RunResult { cold: self.cold, warm: self.warm, took })
    }

    /// How long to wait for an event at most.
    fn wait(&self, now: u64, next_tick: u64) -> Duration {
        let until_due = match self.schedule.due(now) {
            _ if !self.again.is_empty() && !self.free.is_empty() => 0,
            Some(due) if !self.free.is_empty() => due.saturating_sub(now),
            _ => u64::MAX,
        };
        let spin = if self.plan.shares_core { 0 } else { SPIN };
        Duration::from_nanos(until_due.saturating_sub(spin).min(next_tick.saturating_sub(now)))
    }

    fn send_due(&mut self, now: u64) {
        while !self.again.is_empty() {
            let Some(at) = self.free.pop_front() else { return };
            let (intended, ask) = self.again.pop_front().unwrap_or((now, RequestedCode::Unknown(0)));
            self.send(at, intended, ask);
        }
        while let Some(due) = self.schedule.due(now).filter(|&due| due <= now) {
            let Some(at) = self.free.pop_front() else { return };
            self.send_next(at, due);
        }
    }

    /// Sends the next request of the schedule.
    fn send_next(&mut self, at: usize, due: u64) {
        let ask = self.schedule.take().map_or_else(|| self.stream.draw(), RequestedCode::Known);
        self.under_way += 1;
        self.send(at, due, ask);
    }

    /// Sends one request on the connection at this place, which is made first if there is none.
    fn send(&mut self, at: usize, due: u64, ask: RequestedCode) {
        if self.connections[at].closing && self.connections[at].flights.is_empty() {
            self.drop_transport(at, due); // the server is about to close it
        }
        let opened = if self.connections[at].transport.is_none() { self.open(at) } else { Ok(()) };
        let sent = self.now();
        let due = if self.schedule.is_closed_loop() { sent } else { due };
        let late = sent.saturating_sub(due.max(self.connections[at].free_since));
        self.phase(due).lateness.saturating_record(late);
        let late = sent.saturating_sub(due.max(self.connections[at].free_in_time));
        let connection = &mut self.connections[at];
        connection.enqueue(Flight { intended: due, sent, late, ask }, self.stream.keys(), &self.parts);
        match opened {
            Err(_) => self.lose(at, Fate::Refused, sent),
            Ok(()) => {
                if let Err(fate) = self.connections[at].write() {
                    self.lose(at, fate, sent);
                }
            }
        }
    }

    fn on_event(&mut self, at: usize, closed: bool, woke: WakeTime) {
        let now = woke.now;
        if let Err(fate) = self.connections[at].write() {
            return self.lose(at, fate, now);
        }
        let (warm_from, mut answered, mut last_arrival, mut in_time) = (self.warm_from, 0, now, now);
        let (cold, warm) = (&mut self.cold, &mut self.warm);
        let after = self.connections[at].read(self.stream.keys(), closed, |flight, answer| {
            let phase = if flight.intended < warm_from { &mut *cold } else { &mut *warm };
            let from = if flight.intended < warm_from { 0 } else { warm_from };
            phase.statuses[usize::from(answer.status / 100).min(5)] += 1;
            last_arrival = woke.arrival(&answer);
            in_time = last_arrival.saturating_sub(flight.late);
            phase.ended(flight.end(answer.fate, last_arrival, from));
            answered += 1;
        });
        self.under_way -= answered;
        if answered > 0 {
            self.connections[at].free_since = last_arrival;
            self.connections[at].free_in_time = in_time;
        }
        match after {
            ConnectionFate::Gone(fate) => {
                self.connections[at].owed += answered;
                return self.lose(at, fate, now);
            }
            // The server ends this connection: its places are free when it has.
            ConnectionFate::Open if self.connections[at].closing || self.plan.keep == Connections::One => {
                self.connections[at].owed += answered;
            }
            ConnectionFate::Open => {
                for _ in 0..answered {
                    // Flat out, the next one goes at once on the same connection.
                    if self.schedule.is_closed_loop() && self.schedule.due(now).is_some() {
                        self.send_next(at, now);
                    } else {
                        self.free.push_back(at);
                    }
                }
            }
        }
        // The handshake ended with what was just read: nothing else will wake what waited for it.
        if self.connections[at].has_to_write()
            && let Err(fate) = self.connections[at].write()
        {
            self.lose(at, fate, now);
        }
    }

    /// The connection is gone, and with it what was under way on it. Its places take the next requests.
    fn lose(&mut self, at: usize, fate: Fate, now: u64) {
        let announced = self.connections[at].closing && matches!(fate, Fate::Closed);
        let mut places = std::mem::take(&mut self.connections[at].owed);
        while let Some(flight) = self.connections[at].flights.pop_front() {
            if announced {
                self.again.push_back((flight.intended, flight.ask));
            } else {
                self.record(flight, fate, now);
            }
            places += 1;
        }
        self.drop_transport(at, now);
        let connection = &mut self.connections[at];
        let late = connection.free_since.saturating_sub(connection.free_in_time);
        (connection.free_since, connection.free_in_time) = (now, now.saturating_sub(late));
        self.free.extend(std::iter::repeat_n(at, places));
    }

    fn drop_transport(&mut self, at: usize, now: u64) {
        if let Some(mut transport) = self.connections[at].transport.take() {
            let phase = self.phase(now);
            phase.connections += 1;
            phase.resumed += u64::from(transport.is_resumed());
            let _ = self.poll.registry().deregister(transport.socket()); // closed with its socket anyway
        }
        self.connections[at].closing = false;
    }

    fn record(&mut self, flight: Flight, fate: Fate, now: u64) {
        self.under_way -= 1;
        let from = if flight.intended < self.warm_from { 0 } else { self.warm_from };
        self.phase(flight.intended).ended(flight.end(fate, now, from));
    }

    fn phase(&mut self, intended: u64) -> &mut Measurement {
        if intended < self.warm_from { &mut self.cold } else { &mut self.warm }
    }

    fn tick(&mut self, now: u64) {
        let timeout = self.plan.timeout.as_nanos() as u64;
        for at in 0..self.connections.len() {
            let oldest = self.connections[at].flights.front();
            if oldest.is_some_and(|flight| now.saturating_sub(flight.sent) > timeout) {
                self.connections[at].closing = false;
                self.lose(at, Fate::Timeout, now);
            }
            // A server that says it closes and does not would hold the place for ever.
            let idle = now.saturating_sub(self.connections[at].free_since) > SLOW_CLOSE;
            if self.connections[at].owed > 0 && self.connections[at].flights.is_empty() && idle {
                self.lose(at, Fate::Closed, now);
            }
        }
        self.publish(now);
    }

    /// What never got an answer, and what was due and never even sent, has waited until now.
    fn give_up(&mut self, now: u64) {
        for at in 0..self.connections.len() {
            self.connections[at].closing = false;
            self.lose(at, Fate::Timeout, now);
        }
        while let Some((intended, ask)) = self.again.pop_front() {
            self.record(Flight { intended, sent: intended, late: 0, ask }, Fate::Timeout, now);
        }
        while let Some(due) = self.schedule.due(now).filter(|_| !self.schedule.is_closed_loop()) {
            if due > now {
                break;
            }
            self.schedule.take();
            self.under_way += 1;
            self.record(
                Flight { intended: due, sent: due, late: 0, ask: RequestedCode::Unknown(0) },
                Fate::Timeout,
                now,
            );
        }
    }

    fn publish(&mut self, now: u64) {
        let right = self.cold.right() + self.warm.right();
        let wrong = self.cold.all() + self.warm.all() - right;
        let behind = self.schedule.behind(now);
        let before = std::mem::replace(&mut self.published, PublishedCounts { right, wrong, behind });
        self.live.right.fetch_add(right - before.right, Ordering::Relaxed);
        self.live.wrong.fetch_add(wrong - before.wrong, Ordering::Relaxed);
        self.live.behind.fetch_add(behind.wrapping_sub(before.behind), Ordering::Relaxed); // less: it wraps
    }

    fn now(&self) -> u64 {
        self.clock.now().saturating_duration_since(self.start).as_nanos() as u64
    }
}
