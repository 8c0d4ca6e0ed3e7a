//! One connection: read, answer every whole request, write once, again.

use super::Worker;
use super::capture::{Asker, WriteClicks};
use super::deadlines::{ConnectionWatch, Phase};
use super::keeper::{EndedTurn, Trail};
use super::socket::Socket;
use super::task::yield_now;
use super::wire::{HandshakeOutcome, PlainWire, TlsWire, Wire};
use crate::proxy::{self, ProxyHeader, ProxyProtocol};
use crate::sys;
use crate::tls::TlsSession;
use hot::limits::MAX_HEAD_BYTES;
use hot::{AnswerContext, Conversation, Counts, Miss, MissAnswer, Policy, Step, TurnMarks};
use rustls::ServerConfig;
use std::net::{IpAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes that are read and dropped after the last answer.
const MAX_LINGER_BYTES: usize = 64 * 1024;

/// Serves one connection until it ends. `peer`: its address; `None`: it comes by a socket file.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: Option<IpAddr>) {
    let watch = enter(&worker, &stream);
    let mut socket = Socket::new(stream);
    let entered = ConnectionGuard { worker: &worker, watch: &watch };
    let Some(mut client) = Client::of(&worker, &watch, &mut socket, peer).await else {
        return drop((entered, socket));
    };
    let early = std::mem::take(&mut client.early);
    let mut connection = Connection::new(&worker, &watch, PlainWire(socket), &client);
    connection.input = early;
    let _entered = entered;
    connection.serve().await;
}

/// The same over TLS.
pub async fn serve_tls(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: Option<IpAddr>,
    config: Arc<ServerConfig>,
) {
    let watch = enter(&worker, &stream);
    let mut socket = Socket::new(stream);
    let entered = ConnectionGuard { worker: &worker, watch: &watch };
    let Some(mut client) = Client::of(&worker, &watch, &mut socket, peer).await else {
        return drop((entered, socket));
    };
    worker.connections.turn(&watch, Phase::Handshake);
    // Refused only with a configuration that can be used for nothing.
    let Ok(mut session) = TlsSession::new(config) else { return drop((entered, socket)) };
    session.sealed = std::mem::take(&mut client.early);
    let wire = TlsWire::new(&worker, socket, session);
    let mut connection = Connection::new(&worker, &watch, wire, &client);
    let _entered = entered;
    match connection.wire.shake().await {
        HandshakeOutcome::Done => connection.serve().await,
        HandshakeOutcome::Refused => connection.linger().await,
        HandshakeOutcome::Plain => connection.refuse_plain().await,
        HandshakeOutcome::Gone => {}
    }
}

fn enter(worker: &Worker, stream: &TcpStream) -> Rc<ConnectionWatch> {
    worker.meters().accepted();
    worker.connections.enter(stream.as_raw_fd())
}

/// Leaves when dropped, whatever happened: before the connection, and with it its descriptor, which is somebody else's
/// next.
struct ConnectionGuard<'a> {
    worker: &'a Worker,
    watch: &'a ConnectionWatch,
}

impl Drop for ConnectionGuard<'_> {
    fn drop(&mut self) {
        self.worker.meters().closed();
        self.worker.connections.leave(self.watch);
    }
}

/// Who asks, as far as it is known before the first request.
struct Client {
    /// It is on this machine, and may ask where an answer came from.
    debug: bool,
    /// As clicks carry it.
    asker: Asker,
    /// Its peer is a proxy of ours.
    trusted: bool,
    /// What it has sent already.
    early: Vec<u8>,
}

impl Client {
    /// By the address of its peer, or by what a proxy there says in front. `None`: the connection is to be closed.
    async fn of(
        worker: &Worker,
        watch: &ConnectionWatch,
        socket: &mut Socket,
        peer: Option<IpAddr>,
    ) -> Option<Self> {
        let proxies = &worker.proxies;
        if proxies.protocol == ProxyProtocol::Off {
            // For whom a proxy asks is not known.
            let debug = peer.is_some_and(|peer| peer.is_loopback() && !proxies.trusts(Some(peer)));
            let trusted = proxies.trusts(peer);
            return Some(Self { debug, asker: Asker::of(worker, peer), trusted, early: Vec::new() });
        }
        // Boxed: what is kept of every connection should not be larger for it.
        Box::pin(Self::introduced(worker, watch, socket, peer)).await
    }

    async fn introduced(
        worker: &Worker,
        watch: &ConnectionWatch,
        socket: &mut Socket,
        peer: Option<IpAddr>,
    ) -> Option<Self> {
        let (trusted, required) =
            (worker.proxies.trusts(peer), worker.proxies.protocol == ProxyProtocol::Require);
        let refuse = |why| {
            worker.tell_unproxied(peer, why);
            None
        };
        if required && !trusted {
            return refuse("--trusted-peers does not name its address");
        }
        let mut early = Vec::new();
        loop {
            match proxy::read(&early) {
                ProxyHeader::Incomplete => {}
                ProxyHeader::Absent if required => return refuse("it begins without a PROXY header"),
                ProxyHeader::Absent => {
                    let debug = peer.is_some_and(|peer| peer.is_loopback()) && !trusted;
                    return Some(Self { debug, asker: Asker::of(worker, peer), trusted, early });
                }
                _ if !trusted => {
                    return refuse(
                        "it begins with a PROXY header, and --trusted-peers does not name its address",
                    );
                }
                ProxyHeader::Whole(length, client) => {
                    early.drain(..length);
                    socket.be_patient();
                    let debug = client.is_some_and(|client| client.is_loopback());
                    return Some(Self { debug, asker: Asker::of(worker, client), trusted, early });
                }
                ProxyHeader::Bad(why) => return refuse(why),
            }
            if !early.is_empty() {
                worker.connections.turn_to_head(watch, early.len());
                socket.expect_more();
            }
            let (result, read) = socket.read(early, MAX_HEAD_BYTES).await;
            if result.unwrap_or(0) == 0 {
                return None;
            }
            early = read;
        }
    }
}

struct Connection<'a, W> {
    worker: &'a Worker,
    watch: &'a ConnectionWatch,
    wire: W,
    input: Vec<u8>,
    conversation: Conversation,
    /// Who is on this machine may ask where an answer came from.
    debug: bool,
    asker: Asker,
    /// What it says of traces counts.
    trusted: bool,
    /// Something was read: it waits for the next request, not for the first.
    begun: bool,
    batch: Batch,
}

/// What is timed: from the first look at the bytes of a read to the kernel's taking of each answer to them.
#[derive(Default)]
struct Batch {
    began: Option<quanta::Instant>,
    answers: u64,
    /// What they came to.
    marks: TurnMarks,
    /// Bytes at the front of the input that they are answers to, or a miss will be.
    taken: usize,
}

/// The last answer is out, and the client may still be sending.
struct LingerEnd;

impl<'a, W: Wire> Connection<'a, W> {
    fn new(worker: &'a Worker, watch: &'a ConnectionWatch, wire: W, client: &Client) -> Self {
        let (input, conversation, batch) = (Vec::new(), Conversation::default(), Batch::default());
        let Client { debug, asker, trusted, .. } = *client;
        Self { worker, watch, wire, input, conversation, debug, asker, trusted, begun: false, batch }
    }

    async fn serve(&mut self) {
        match self.converse().await {
            Some(LingerEnd) => self.linger().await,
            None => self.wire.leave(),
        }
    }

    /// Ends with `None` when the connection can be closed at once.
    async fn converse(&mut self) -> Option<LingerEnd> {
        loop {
            // What came with a proxy's header is here already.
            let here = !self.begun && !self.input.is_empty();
            self.begun |= here;
            if !here && self.read().await == 0 {
                return if self.watch.timed_out() { self.time_out().await } else { None };
            }
            self.batch = Batch::default();
            loop {
                let mut out = self.worker.take_buffer();
                let ((taken, step), clicks) = self.answer(&mut out);
                self.batch.taken = taken;
                let mut written = self.write(out, matches!(step, Step::Close { .. }), clicks, None).await;
                let step = match step {
                    Step::Miss(miss) => {
                        let (step, more) = self.ask(&miss).await;
                        written = written.and(more);
                        step
                    }
                    step => step,
                };
                self.input.drain(..taken);
                written?;
                match step {
                    Step::Close { linger } => return linger.then_some(LingerEnd),
                    Step::Wait if taken == 0 || self.input.is_empty() => break,
                    // On epoll a socket that is always ready would never let others run.
                    Step::Yield if monoio::utils::is_legacy() => yield_now().await,
                    _ => {}
                }
            }
        }
    }

    /// Reads behind what is there. 0: the client, or a deadline, ended it.
    async fn read(&mut self) -> usize {
        match self.input.len() {
            0 => self.worker.connections.turn(self.watch, if self.begun { Phase::Idle } else { Phase::New }),
            received => {
                self.worker.connections.turn_to_head(self.watch, received);
                self.wire.socket().expect_more();
            }
        }
        if self.watch.was_idle() {
            self.wire.socket().be_patient();
        }
        let (count, input) = self.wire.read(std::mem::take(&mut self.input)).await;
        self.input = input;
        self.begun = true;
        count
    }

    fn answer(&mut self, out: &mut Vec<u8>) -> ((usize, Step), Option<WriteClicks<'a>>) {
        self.conversation.draining = self.watch.draining();
        let (conversation, batch) = (&mut self.conversation, &mut self.batch);
        let input = &self.input;
        in_turn(self.worker, self.debug, self.asker, batch, |turn| {
            hot::answer(conversation, input, out, turn)
        })
    }

    /// `None` when the client is gone. `last`: nothing is written behind it. `clicks`: of what is written.
    /// `trail`: of the miss that it answers.
    async fn write(
        &mut self,
        out: Vec<u8>,
        last: bool,
        clicks: Option<WriteClicks<'a>>,
        trail: Option<&Trail>,
    ) -> Option<()> {
        if out.is_empty() {
            self.worker.give_buffer(out);
            return Some(());
        }
        self.worker.connections.turn(self.watch, Phase::Write);
        let (written, out) = self.wire.write(out, last).await;
        if let Some(clicks) = clicks {
            clicks.written(&written);
        }
        if written.result.is_ok()
            && let Batch { began: Some(began), answers: 1.., .. } = self.batch
        {
            let (answers, marks) = (self.batch.answers, self.batch.marks);
            (self.batch.answers, self.batch.marks) = (0, TurnMarks::default());
            if let Some(ns) = self.worker.timing.end(began, answers, marks) {
                let (input, trusted) = (&self.input[..self.batch.taken], self.trusted);
                let turn = EndedTurn { began, ns, answers, marks, input, out: &out, trail, trusted };
                self.worker.look_at(&turn);
            }
        }
        self.worker.give_buffer(out);
        written.result.ok()
    }

    async fn ask(&mut self, miss: &Miss) -> (Step, Option<()>) {
        self.worker.connections.turn(self.watch, Phase::Asking);
        let mut trail = self.worker.trail(self.batch.marks, &self.input[..self.batch.taken], self.trusted);
        let told = self.worker.ask(miss, &mut trail).await;
        self.batch.marks = self.batch.marks.and(trail.marks());
        let mut out = self.worker.take_buffer();
        let (step, clicks) =
            in_turn(self.worker, self.debug, self.asker, &mut self.batch, |turn| match &told {
                Some((source, answer)) => {
                    hot::finish(miss, MissAnswer::Told(*source, &answer.told()), &mut out, turn)
                }
                None => hot::finish(miss, MissAnswer::Nobody, &mut out, turn),
            });
        let last = matches!(step, Step::Close { .. });
        (step, self.write(out, last, clicks, Some(&*trail)).await)
    }

    async fn time_out(&mut self) -> Option<LingerEnd> {
        let mut out = self.worker.take_buffer();
        let mut untimed = Batch::default(); // nothing arrived that it answers
        let ((), clicks) =
            in_turn(self.worker, false, self.asker, &mut untimed, |turn| hot::time_out(&mut out, turn));
        self.write(out, true, clicks, None).await.map(|()| LingerEnd)
    }

    /// Tells who speaks HTTP without TLS to a listener that wants it.
    async fn refuse_plain(&mut self) {
        let mut out = self.worker.take_buffer();
        let mut untimed = Batch::default();
        let _none =
            in_turn(self.worker, false, self.asker, &mut untimed, |turn| hot::refuse_plain(&mut out, turn));
        if self.wire.socket().write(out, true).await.0.result.is_ok() {
            self.linger().await;
        }
    }

    /// Shuts down the write side and reads what still comes, so that no reset overtakes the answer.
    async fn linger(&mut self) {
        self.worker.connections.turn(self.watch, Phase::Linger);
        if self.wire.socket().end_writing().is_err() {
            return;
        }
        let (mut buffer, mut left) = (std::mem::take(&mut self.input), MAX_LINGER_BYTES);
        while left > 0 {
            buffer.clear();
            let (result, back) = self.wire.socket().read(buffer, MAX_LINGER_BYTES).await;
            buffer = back;
            match result {
                Ok(count) if count > 0 => left = left.saturating_sub(count),
                _ => return,
            }
        }
    }
}

/// One reading of the clocks, one turn, and its counts and clicks handed over. The bytes of the turn are here already.
fn in_turn<'w, R>(
    worker: &'w Worker,
    debug: bool,
    asker: Asker,
    batch: &mut Batch,
    then: impl FnOnce(&mut AnswerContext<'_>) -> R,
) -> (R, Option<WriteClicks<'w>>) {
    let mut counts = Counts::default();
    let (mut clock, mut domains) = (worker.timing.clock.borrow_mut(), worker.domains.borrow_mut());
    let (now, stamp) = clock.now();
    let (set, policy, boot_ms) = (&worker.shared.set, Policy::default(), sys::boottime_ms());
    let domains = &mut *domains;
    let done = worker.noting(asker, |clicks| {
        let counts = &mut counts;
        then(&mut AnswerContext { set, domains, now, boot_ms, policy, debug, stamp, counts, clicks })
    });
    let (answers, marks) = worker.meters().turned(&mut counts);
    batch.answers += answers;
    batch.marks = batch.marks.and(marks);
    if counts.traced() {
        batch.marks = batch.marks.and(TurnMarks::TRACED);
    }
    batch.began.get_or_insert(clock.last());
    done
}
