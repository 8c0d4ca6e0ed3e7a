//! What runs on a worker thread: one core, one monoio runtime, one listener, its connections. Never tokio.

mod capture;
mod clock;
mod connection;
mod deadlines;
mod keeper;
mod redis;
mod runtime;
mod socket;
mod tailing;
mod task;
mod ticks;
mod timing;
mod wire;

use crate::listen::{Listener, QUEUE};
use crate::proxy::Proxies;
use crate::shared::{AcceptedReading, Meters, OriginQuestion, OriginReply, OriginTold, Shared};
use crate::sys;
use crate::traces::TraceIds;
use capture::WorkerClicks;
use deadlines::Connections;
use futures_channel::{mpsc as questions, oneshot};
use hot::{Miss, MissRoute, Source, View};
use keeper::Trail;
use monoio::net::TcpListener;
use redis::{RedisReply, RedisTier};
use rustls::ServerConfig;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};
use tailing::Tailing;
use ticks::Ticks;
use timing::Timing;

use crate::driver::Driver;

pub use clock::measured_beside;
pub use runtime::best_driver;

/// At the end of a drain, for connections that are silent to be told, and for answers that are being written.
pub const LAST_WORDS: Duration = Duration::from_secs(1);
/// Between the last handshake that begins and the end of the listener: two ticks, more than the way there and back on a
/// continent.
const HANDSHAKE_TICKS: usize = 2;
/// How often deadlines are looked at: they are kept to within one of these.
const TICK: Duration = Duration::from_millis(100);
/// Between two goes at those past their deadline, for whoever else has asked.
const BREATH: Duration = Duration::from_millis(1);
/// For so long the idle of all workers make room for somebody who waits: until the next tick of each.
const FULL: Duration = Duration::from_millis(150);
/// Between two looks at whether connections are accepted yet.
const OPENING: Duration = Duration::from_millis(2);
/// Whoever waits in the queue of a socket that was there before this process may wait for the right answer so long.
const LOADING: Duration = Duration::from_secs(5);
/// Accepted in one turn; those who wait longer come after what is under way.
const ACCEPTS: usize = 64;
/// Answer buffers kept for the next turn; more are given back to the allocator.
const KEPT_BUFFERS: usize = 64;
/// An answer buffer that grew beyond this is given back.
const KEPT_BUFFER_BYTES: usize = 64 * 1024;

/// Everything on this thread that connections share.
struct Worker {
    index: usize,
    shared: Arc<Shared>,
    timing: Timing,
    /// Who watches what this worker answers.
    tailing: RefCell<Tailing>,
    domains: RefCell<View>,
    connections: Connections,
    buffers: RefCell<Vec<Vec<u8>>>,
    ask: RefCell<questions::Sender<OriginQuestion>>,
    /// `None`: they are not noted.
    clicks: Option<RefCell<WorkerClicks>>,
    redis: Option<Rc<RedisTier>>,
    proxies: Proxies,
    /// Descriptors, of the whole process, beyond which no more connections are taken.
    most_files: usize,
}

/// A worker's listeners.
pub struct Listeners {
    /// Without TLS.
    pub plain: Vec<Listener>,
    /// With.
    pub tls: Vec<Listener>,
    /// What those speak.
    pub config: Option<Arc<ServerConfig>>,
}

/// How every worker takes connections.
#[derive(Clone)]
pub struct WorkerOptions {
    /// To a core of its own.
    pub pinned: bool,
    /// Descriptors that no client gets.
    pub files_kept_back: usize,
    /// For a connection between two requests.
    pub idle_timeout: Duration,
    /// The proxies in front.
    pub proxies: Proxies,
}

/// Runs a worker until the edge stops. Reports its driver, or why it has none, once.
pub fn run(
    index: usize,
    manner: WorkerOptions,
    listeners: Listeners,
    shared: Arc<Shared>,
    report: &mpsc::Sender<std::io::Result<Driver>>,
) {
    let cores = sys::allowed_cores();
    if manner.pinned && !cores.is_empty() && !sys::pin_to_core(cores[index % cores.len()]) {
        tracing::warn!(name: "not_pinned", worker = index, "a worker cannot be pinned to a core of its own, and runs on all: --unpinned says that this is meant");
    }
    sys::take_short_turns(); // where they are not to be had, it waits for its turn
    let ask = RefCell::new(shared.ask());
    let files = sys::file_limit();
    runtime::run(report, move || async move {
        let worker = Rc::new(Worker {
            index,
            redis: RedisTier::start(&shared, index),
            domains: RefCell::new(View::new(Arc::clone(&shared.domains))),
            clicks: WorkerClicks::new(&shared, index).map(RefCell::new),
            shared,
            timing: Timing::new(),
            tailing: RefCell::default(),
            connections: Connections::new(manner.idle_timeout),
            buffers: RefCell::default(),
            ask,
            proxies: manner.proxies,
            most_files: files - manner.files_kept_back.min(files / 2),
        });
        if let Err(fault) = worker.serve(listeners).await {
            tracing::error!(name: "worker_failed", worker = index, %fault, "redirects cannot be answered: the edge ends");
            sys::die();
        }
    });
}

/// A listener, and what those who come by it are spoken to with.
struct Door {
    listener: Listener,
    tls: Option<Arc<ServerConfig>>,
    closed: Cell<bool>,
    accepting: RefCell<Option<Waker>>,
}

impl Door {
    fn new(listener: Listener, tls: Option<Arc<ServerConfig>>) -> Rc<Self> {
        Rc::new(Self { listener, tls, closed: Cell::new(false), accepting: RefCell::default() })
    }

    /// Whoever accepts here ends. The socket itself is left as it is: shut down, it would end for every process that has it.
    fn close(&self) {
        self.closed.set(true);
        if let Some(accepting) = self.accepting.take() {
            accepting.wake();
        }
    }

    /// Waits until somebody may be waiting, or until it is closed.
    async fn readable(&self, waiting: &TcpListener) {
        let mut readable = pin!(waiting.readable(false));
        poll_fn(|context| {
            if self.closed.get() {
                return Poll::Ready(());
            }
            self.accepting.replace(Some(context.waker().clone()));
            readable.as_mut().poll(context).map(drop)
        })
        .await;
    }
}

impl Worker {
    /// Accepts until the edge stops, then drains.
    async fn serve(self: Rc<Self>, listeners: Listeners) -> std::io::Result<()> {
        let Listeners { plain, tls, config } = listeners;
        let plain = plain.into_iter().map(|listener| Door::new(listener, None));
        let tls = tls.into_iter().map(|listener| Door::new(listener, config.clone()));
        let doors: Vec<_> = plain.chain(tls).collect();
        let (mut accepting, mut ticks) = (Vec::new(), Ticks::new(TICK)?);
        let given = doors.iter().any(|door| door.listener.given);
        let began = Instant::now();
        let loads = || given && !self.shared.feed.loaded.load(Ordering::Acquire) && began.elapsed() < LOADING;
        while !self.shared.is_open() || (loads() && !self.shared.is_stopping()) {
            self.shared.pulses.worker_turns(self.index);
            monoio::time::sleep(OPENING).await;
        }
        for door in &doors {
            let socket = &door.listener.socket;
            socket.set_nonblocking(true)?;
            let waiting = TcpListener::from_std(socket.try_clone()?.into())?;
            accepting.push(monoio::spawn(accept(Rc::clone(&self), Rc::clone(door), waiting)));
        }
        let by = loop {
            ticks.next().await;
            self.tick().await;
            if self.shared.is_draining() {
                self.connections.drain();
            }
            if let Some(by) = self.shared.stop_by() {
                break by;
            }
        };
        self.close(doors, &mut ticks).await;
        for accepting in accepting {
            accepting.await;
        }
        self.end_connections(by, &mut ticks).await;
        self.shared.pulses.worker_ended(self.index);
        if let (Some(clicks), Some(ring)) = (&self.clicks, self.ring()) {
            clicks.borrow_mut().end(ring);
        }
        self.look_around();
        self.timing.hand_over_last(&self.shared.traces);
        Ok(())
    }

    /// Closes the listeners behind the last connection. The kernel resets what it holds for a listener that is closed,
    /// and its client may have sent a request already. At addresses that another process goes on at, or whose
    /// sockets the service manager holds, this one leaves what is queued to that: closing its descriptors resets nobody as long as the other has them.
    async fn close(self: &Rc<Self>, doors: Vec<Rc<Door>>, ticks: &mut Ticks) {
        let (left, doors): (Vec<_>, Vec<_>) = doors
            .into_iter()
            .partition(|door| door.listener.given || self.shared.is_passed_on(&door.listener.address));
        for door in left {
            if let Some(file) = &door.listener.file {
                file.pass_on();
            }
            door.close();
        }
        if doors.is_empty() {
            return;
        }
        for door in &doors {
            if let Some(file) = &door.listener.file {
                file.remove();
            } else if let Err(fault) = exposition::begin_no_handshake(&door.listener.socket) {
                tracing::warn!(name: "handshakes_cut", worker = self.index, %fault, "connections for redirects that begin now may be reset");
            }
        }
        for _ in 0..HANDSHAKE_TICKS {
            ticks.next().await;
            self.tick().await;
        }
        for door in &doors {
            for _ in 0..QUEUE / ACCEPTS {
                if !matches!(self.accept_waiting(door), Ok((true, _))) {
                    break;
                }
            }
            door.close();
            sys::end(door.listener.socket.as_raw_fd(), sys::Half::Read); // a driver may still look at it, and keep it
        }
    }

    /// Waits until each connection has ended with an answer; ends those that are silent until `by`.
    async fn end_connections(&self, by: Instant, ticks: &mut Ticks) {
        while !self.connections.is_empty() && Instant::now() < by {
            ticks.next().await;
            self.tick().await;
        }
        for _ in 0..LAST_WORDS.as_millis() / TICK.as_millis() {
            if self.connections.is_empty() {
                return;
            }
            self.connections.end_silent();
            ticks.next().await;
            self.tick().await;
        }
        if !self.connections.is_empty() {
            let (worker, left) = (self.index, self.connections.len());
            tracing::warn!(name: "connections_cut", worker, left, "connections cut: they did not end within --drain-timeout");
        }
    }

    /// Accepts who is waiting: whether there may be more, and the newest descriptor.
    fn accept_waiting(self: &Rc<Self>, door: &Door) -> std::io::Result<(bool, Option<RawFd>)> {
        let mut newest = None;
        for _ in 0..ACCEPTS {
            let (socket, peer) = match door.listener.socket.accept() {
                Ok(accepted) => accepted,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok((false, newest)),
                Err(fault) => return Err(fault),
            };
            if self.shared.is_stopping() {
                exposition::hear_again(&socket);
            }
            let number = socket.as_raw_fd();
            newest = Some(number);
            let (worker, stream) = (Rc::clone(self), socket.into());
            let peer = peer.as_socket().map(|peer| peer.ip().to_canonical());
            match door.tls.clone() {
                None => drop(monoio::spawn(task::contained(connection::serve(worker, stream, peer)))),
                Some(tls) => {
                    drop(monoio::spawn(task::contained(connection::serve_tls(worker, stream, peer, tls))));
                }
            }
            if number as usize >= self.most_files {
                break;
            }
        }
        Ok((true, newest))
    }

    async fn tick(&self) {
        self.shared.pulses.worker_turns(self.index);
        self.look_around();
        if self.shared.is_full(sys::boottime_ms()) {
            self.connections.shed();
        }
        if self.connections.is_crowded() && sys::files_in_use() < self.most_files / 2 {
            self.has_room_again();
        }
        let mut sweep = self.connections.tick();
        if let Some(redis) = &self.redis {
            redis.tick();
        }
        if let (Some(clicks), Some(ring)) = (&self.clicks, self.ring()) {
            clicks.borrow_mut().tick(ring);
        }
        while self.connections.sweep(&mut sweep) {
            monoio::time::sleep(BREATH).await;
        }
    }

    /// Hands over what was timed, kept and shown.
    fn look_around(&self) {
        let mut tailing = self.tailing.borrow_mut();
        tailing.tick(&self.shared.tails, sys::boottime_ms());
        self.timing.tick(&self.shared.durations[self.index], &self.shared.traces, tailing.is_on());
    }

    fn meters(&self) -> &Meters {
        &self.shared.meters[self.index]
    }

    /// An empty buffer for answers.
    fn take_buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(4096))
    }

    fn give_buffer(&self, mut buffer: Vec<u8>) {
        let mut kept = self.buffers.borrow_mut();
        if kept.len() < KEPT_BUFFERS && buffer.capacity() <= KEPT_BUFFER_BYTES {
            buffer.clear();
            kept.push(buffer);
        }
    }

    /// After each accept: waits while clients have all the descriptors that they may. The kernel gives the lowest
    /// number that is free, so the newest one says how many are open.
    async fn leave_room_behind(&self, newest: RawFd) {
        let (mut open, most) = (newest as usize, self.most_files);
        let crowded = &self.shared.troubles.crowded;
        while open >= most && !self.shared.is_stopping() {
            let now = sys::boottime_ms();
            if let Some(tell) = crowded.met(now, "descriptors") {
                let lasts_ms = tell.lasts_ms;
                tracing::warn!(
                    name: "descriptors_exhausted", most, lasts_ms,
                    "as many connections are open as the limit of descriptors allows, and others wait; those that are idle \
                     for longest are closed: raise it (ulimit -n, LimitNOFILE=)"
                );
            }
            self.shared.full_until(now + FULL.as_millis() as u64);
            self.connections.crowd(true);
            monoio::time::sleep(TICK).await;
            open = sys::files_in_use();
        }
    }

    /// A connection is closed that does not begin as it should.
    fn tell_unproxied(&self, peer: Option<IpAddr>, why: &'static str) {
        if let Some(tell) = self.shared.troubles.unproxied.met(sys::boottime_ms(), why) {
            let (peer, untold) = (peer.map_or("unix".to_owned(), |peer| peer.to_string()), tell.untold);
            tracing::warn!(
                name: "proxy_header_refused", peer, why, untold,
                "a connection was closed that does not begin as --proxy-protocol and --trusted-peers say"
            );
        }
    }

    fn has_room_again(&self) {
        self.connections.crowd(false);
        if let Some(over) = self.shared.troubles.crowded.over(sys::boottime_ms()) {
            let lasted_ms = over.lasted_ms;
            tracing::info!(name: "descriptors_free", lasted_ms, "there is room for connections again");
        }
    }

    /// Asks for a link, from the nearest on; `None` when nobody could say. Who was asked is noted in `trail`.
    async fn ask(&self, miss: &Miss, trail: &mut Trail) -> Option<(Source, Arc<AcceptedReading>)> {
        self.meters().missed();
        // A copy may be late by any time: only who can see it is believed by.
        let blind = || self.shared.set.freshness(sys::boottime_ms()).is_blind();
        let redis = self.redis.as_ref();
        let redis = redis.filter(|redis| redis.is_well(&miss.key) && !miss.needs_origin() && !blind());
        let mut hunt = MissRoute::new(miss.token(), redis.is_some());
        while let Some((source, _)) = hunt.next(&self.shared.set, miss.key.as_bytes()) {
            let hop = self.hop(trail);
            let (said, asked_in) = match redis.filter(|_| source == Source::Redis) {
                Some(redis) => (redis.ask(&miss.key, miss.token()).await, None),
                None => match self.ask_origin(miss, hop.ids).await {
                    OriginTold { reply: OriginReply::Known(answer), asked_in } => {
                        (RedisReply::Known(answer), asked_in)
                    }
                    OriginTold { reply: OriginReply::Unavailable, asked_in } => {
                        (RedisReply::Silent, asked_in)
                    }
                },
            };
            self.hopped(trail, hop, source, said.label(), asked_in);
            match said {
                RedisReply::Known(answer) => return Some((source, answer)),
                RedisReply::OtherCopy => hunt.other_copy(),
                RedisReply::Unknown | RedisReply::Silent => {}
                RedisReply::Busy => return None,
            }
        }
        None
    }

    /// Asks control, by way of the background thread.
    async fn ask_origin(&self, miss: &Miss, trace: TraceIds) -> OriginTold {
        let (answer, told) = oneshot::channel();
        let question = OriginQuestion {
            key: miss.key.clone(),
            token: miss.token(),
            alone: miss.needs_origin(),
            trace: Some(trace),
            answer,
        };
        if self.ask.borrow_mut().try_send(question).is_err() {
            return OriginReply::Unavailable.into(); // too many wait already
        }
        told.await.unwrap_or_else(|_| OriginReply::Unavailable.into())
    }
}

async fn accept(worker: Rc<Worker>, door: Rc<Door>, waiting: TcpListener) {
    while !door.closed.get() {
        match worker.accept_waiting(&door) {
            Ok((more, newest)) => {
                if newest.is_some()
                    && let Some(over) = worker.shared.troubles.not_accepting.over(sys::boottime_ms())
                {
                    let lasted_ms = over.lasted_ms;
                    tracing::info!(name: "accepts_again", lasted_ms, "connections are accepted again");
                }
                if let Some(newest) = newest {
                    worker.leave_room_behind(newest).await;
                }
                if newest.is_none() && door.listener.is_shared && worker.shared.is_stopping() {
                    // Its one queue may have been closed by another worker: it is readable for ever then, and not every
                    // kernel calls that an error (6.18 says that nobody waits).
                    monoio::time::sleep(TICK).await;
                } else if more && monoio::utils::is_legacy() {
                    // The driver would say at once that there are more.
                    task::yield_now().await;
                } else {
                    door.readable(&waiting).await;
                }
            }
            // A socket file's one queue was closed by another worker.
            Err(_) if worker.shared.is_stopping() => monoio::time::sleep(TICK).await,
            Err(fault) => {
                // Out of descriptors all the same, or of memory: the queue keeps those who wait.
                if let Some(tell) = worker.shared.troubles.not_accepting.met(sys::boottime_ms(), "accept") {
                    let (lasts_ms, untold) = (tell.lasts_ms, tell.untold);
                    tracing::warn!(name: "accept_failed", %fault, lasts_ms, untold, "no connection can be accepted now; it is tried again");
                }
                monoio::time::sleep(TICK).await;
            }
        }
    }
}
