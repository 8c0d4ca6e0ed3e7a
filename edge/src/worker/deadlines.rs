//! Which connections this worker has, what each waits for and since when: deadlines are looked at in one coarse sweep,
//! never by a timer for each read.
//!
//! A connection past its deadline has a half of its socket ended: its pending operation returns, and its own code
//! closes it. Nothing is cancelled, so no byte is lost in a cancelled read.

use crate::sys::{Half, end};
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The rest of a TLS handshake, from the connection's begin on.
    Handshake,
    /// The first byte of its first request.
    New,
    /// The first byte of the next request.
    Idle,
    /// The rest of a request head.
    Head,
    /// An answer from elsewhere; that has a deadline of its own.
    Asking,
    /// The client, to take an answer.
    Write,
    /// The client, to close after the last answer.
    Linger,
}

/// A head that keeps coming gets more time, at this rate: its sender is slow, not stalling. The longest head (16 KiB)
/// gets 38 seconds.
const HEAD_BYTES_PER_SECOND: u32 = 500;

/// For a first request, whatever may pass between two.
const FIRST: Duration = Duration::from_secs(30);

/// For a handshake, a head or a first request, while clients have all the descriptors that they may: half a thousand half
/// heads must not keep a visitor waiting. And whoever has been idle for so long may have to make room.
const CROWDED: Duration = Duration::from_secs(1);

/// Idle connections that make room in one tick, of each worker.
const SHED: usize = 64;

/// Ended in the first go, and goes after which it is one more: hundreds take no longer than a tick, thousands a few.
const ENDED_AT_ONCE: usize = 4;
const GOES_UNTIL_MORE: usize = 4;

/// The way through all connections behind one tick.
#[derive(Debug, Default)]
pub struct Sweep {
    place: usize,
    goes: usize,
}

/// In [`super::TICK`]s.
const fn ticks(time: Duration) -> u32 {
    (time.as_millis() / super::TICK.as_millis()) as u32 // 13 years of them
}

/// The state of one connection.
pub struct ConnectionWatch {
    fd: RawFd,
    phase: Cell<Phase>,
    since: Cell<u32>,
    received: Cell<u32>,
    expired: Cell<bool>,
    draining: Cell<bool>,
    idle: Cell<bool>,
    place: usize,
}

pub struct Connections {
    /// Ticks that a connection may wait between two requests.
    idle: u32,
    table: RefCell<Vec<Option<Rc<ConnectionWatch>>>>,
    free: RefCell<Vec<usize>>,
    now: Cell<u32>,
    draining: Cell<bool>,
    crowded: Cell<bool>,
}

impl Connections {
    /// `idle`: how long a connection may wait between two requests.
    pub fn new(idle: Duration) -> Self {
        Self {
            idle: ticks(idle),
            table: RefCell::default(),
            free: RefCell::default(),
            now: Cell::new(0),
            draining: Cell::new(false),
            crowded: Cell::new(false),
        }
    }

    /// Ticks that it may wait for what it waits for. Asked for each connection in each tick.
    fn limit(&self, watch: &ConnectionWatch) -> u32 {
        const SECOND: u32 = ticks(Duration::from_secs(1));
        match watch.phase.get() {
            Phase::New | Phase::Handshake | Phase::Head if self.crowded.get() => const { ticks(CROWDED) },
            Phase::Idle => self.idle,
            Phase::New => self.idle.min(const { ticks(FIRST) }),
            Phase::Handshake => 5 * SECOND,
            Phase::Head => 5 * SECOND + SECOND * watch.received.get() / HEAD_BYTES_PER_SECOND,
            Phase::Asking => u32::MAX,
            Phase::Write => 10 * SECOND,
            Phase::Linger => SECOND,
        }
    }

    fn waited(&self, watch: &ConnectionWatch) -> u32 {
        self.now.get().wrapping_sub(watch.since.get())
    }

    /// Watches a connection until [`Connections::leave`].
    pub fn enter(&self, fd: RawFd) -> Rc<ConnectionWatch> {
        let mut table = self.table.borrow_mut();
        let place = self.free.borrow_mut().pop().unwrap_or_else(|| {
            table.push(None);
            table.len() - 1
        });
        let watch = Rc::new(ConnectionWatch {
            fd,
            phase: Cell::new(Phase::New),
            since: Cell::new(self.now.get()),
            received: Cell::new(0),
            expired: Cell::new(false),
            draining: Cell::new(self.draining.get()),
            idle: Cell::new(false),
            place,
        });
        table[place] = Some(Rc::clone(&watch));
        watch
    }

    /// Before the descriptor is closed.
    pub fn leave(&self, watch: &ConnectionWatch) {
        self.table.borrow_mut()[watch.place] = None;
        self.free.borrow_mut().push(watch.place);
    }

    /// The connection waits for something else from now on.
    #[inline]
    pub fn turn(&self, watch: &ConnectionWatch, phase: Phase) {
        // A head's time runs from its first byte, however many reads it takes.
        if watch.phase.replace(phase) != phase || phase != Phase::Head {
            watch.since.set(self.now.get());
        }
    }

    /// The connection waits for the rest of a head of which it has so many bytes.
    #[inline]
    pub fn turn_to_head(&self, watch: &ConnectionWatch, received: usize) {
        watch.received.set(received as u32); // at most a head's worth and one read
        self.turn(watch, Phase::Head);
    }

    /// Whether others wait for a descriptor: then whoever has not asked yet has less time.
    pub fn crowd(&self, crowded: bool) {
        self.crowded.set(crowded);
    }

    /// See [`Connections::crowd`].
    pub fn is_crowded(&self) -> bool {
        self.crowded.get()
    }

    /// Another tick has passed: all that is past its deadline is to be swept.
    pub fn tick(&self) -> Sweep {
        self.now.set(self.now.get().wrapping_add(1));
        Sweep::default()
    }

    /// Ends some of what is past its deadline, and says whether there may be more: all that were ended are closed before
    /// anybody else is answered.
    pub fn sweep(&self, sweep: &mut Sweep) -> bool {
        let (mut ended, most) = (0, ENDED_AT_ONCE + sweep.goes / GOES_UNTIL_MORE);
        sweep.goes += 1;
        for (place, watch) in self.table.borrow().iter().enumerate().skip(sweep.place) {
            if ended == most {
                sweep.place = place;
                return true;
            }
            let Some(watch) = watch else { continue };
            let waited = self.waited(watch);
            if waited > 1 {
                watch.idle.set(true);
            }
            if waited <= self.limit(watch) {
                continue;
            }
            ended += 1;
            match watch.phase.get() {
                Phase::New | Phase::Idle => watch.let_go(),
                Phase::Head if !watch.expired.replace(true) => end(watch.fd, Half::Read),
                Phase::Head => {}
                _ => end(watch.fd, Half::Both),
            }
        }
        false
    }

    /// Ends those that have been idle for longest: others wait for their descriptors.
    pub fn shed(&self) {
        let table = self.table.borrow();
        let idle = |watch: &&Rc<ConnectionWatch>| {
            watch.phase.get() == Phase::Idle && self.waited(watch) > ticks(CROWDED)
        };
        let mut all: Vec<&Rc<ConnectionWatch>> = table.iter().flatten().filter(idle).collect();
        if all.len() > SHED {
            all.select_nth_unstable_by_key(SHED, |watch| Reverse(self.waited(watch)));
            all.truncate(SHED);
        }
        all.iter().for_each(|watch| watch.let_go());
    }

    /// Asks every connection to end with its next answer.
    pub fn drain(&self) {
        if !self.draining.replace(true) {
            self.table.borrow().iter().flatten().for_each(|watch| watch.draining.set(true));
        }
    }

    /// Ends every connection whose client says nothing; answers that are being made or written are left alone.
    pub fn end_silent(&self) {
        for watch in self.table.borrow().iter().flatten() {
            match watch.phase.get() {
                Phase::Asking | Phase::Write => {}
                Phase::Handshake | Phase::Linger => end(watch.fd, Half::Both),
                Phase::New | Phase::Idle => end(watch.fd, Half::Read),
                Phase::Head => {
                    watch.expired.set(true);
                    end(watch.fd, Half::Read);
                }
            }
        }
    }

    pub fn len(&self) -> usize {
        self.table.borrow().len() - self.free.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ConnectionWatch {
    /// Whether its read was ended because a head did not arrive in time.
    pub fn timed_out(&self) -> bool {
        self.expired.get() && self.phase.get() == Phase::Head
    }

    /// Whether it waited for more than a tick since this was last asked.
    pub fn was_idle(&self) -> bool {
        self.idle.replace(false)
    }

    /// A request that is on its way now still gets an answer, its last; and TLS can say goodbye.
    fn let_go(&self) {
        self.draining.set(true);
        end(self.fd, Half::Read);
    }

    /// Whether the next answer is the last.
    pub fn draining(&self) -> bool {
        self.draining.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    const IDLE: Duration = Duration::from_secs(620);

    fn connections() -> Connections {
        Connections::new(IDLE)
    }

    fn is_ended(server: &TcpStream) -> bool {
        server.set_nonblocking(true).unwrap();
        let mut server = server;
        server.read(&mut [0]).is_ok_and(|count| count == 0)
    }

    fn pass(connections: &Connections) {
        let mut sweep = connections.tick();
        while connections.sweep(&mut sweep) {}
    }

    #[test]
    fn a_head_has_five_seconds_from_its_first_byte() {
        let (_client, mut server) = pair();
        let connections = connections();
        let watch = connections.enter(server.as_raw_fd());
        for tick in 0..=50 {
            assert!(!watch.timed_out(), "{tick}");
            connections.turn_to_head(&watch, 1 + tick / 10); // a byte a second
            pass(&connections);
        }
        assert!(watch.timed_out());
        assert_eq!(server.read(&mut [0]).unwrap(), 0, "its read returns");
    }

    #[test]
    fn a_head_that_keeps_coming_gets_more_time_but_not_for_ever() {
        let (_client, server) = pair();
        let connections = connections();
        let watch = connections.enter(server.as_raw_fd());
        let ticks = (1..1000).find(|tick| {
            connections.turn_to_head(&watch, (tick * 100).min(16 * 1024)); // 1,000 bytes a second
            pass(&connections);
            watch.timed_out()
        });
        assert_eq!(ticks, Some(50 + 16 * 1024 / 50 + 1));
    }

    #[test]
    fn a_first_request_has_thirty_seconds_and_the_next_the_idle_timeout() {
        for idle in [IDLE, Duration::from_secs(1), Duration::from_secs(86_400)] {
            for (phase, limit) in [(Phase::New, idle.min(FIRST)), (Phase::Idle, idle)] {
                let (_client, server) = pair();
                let connections = Connections::new(idle);
                let watch = connections.enter(server.as_raw_fd());
                connections.turn(&watch, phase);
                connections.now.set(connections.now.get() + ticks(limit) - 1);
                pass(&connections);
                assert!(!is_ended(&server), "{phase:?} of {idle:?}");
                pass(&connections);
                assert!(is_ended(&server) && watch.draining(), "{phase:?} of {idle:?}");
            }
        }
    }

    #[test]
    fn whoever_is_idle_for_longest_makes_room_and_nobody_who_just_asked() {
        let pairs: Vec<_> = (0..SHED + 3).map(|_| pair()).collect();
        let connections = connections();
        let watches: Vec<_> = pairs.iter().map(|(_, server)| connections.enter(server.as_raw_fd())).collect();
        for watch in watches.iter().rev() {
            connections.turn(watch, Phase::Idle); // the last has waited for longest
            connections.tick();
        }
        for _ in 0..ticks(CROWDED) {
            connections.tick();
        }
        connections.turn(&watches[SHED + 2], Phase::Write);
        connections.turn(&watches[SHED + 1], Phase::Idle);
        connections.shed();
        let ended: Vec<usize> = (0..pairs.len()).filter(|&at| is_ended(&pairs[at].1)).collect();
        assert_eq!(ended, (1..=SHED).collect::<Vec<_>>());
    }

    #[test]
    fn progress_starts_the_other_deadlines_anew() {
        let (_client, server) = pair();
        let connections = connections();
        let watch = connections.enter(server.as_raw_fd());
        for _ in 0..1000 {
            connections.turn(&watch, Phase::Idle);
            pass(&connections);
        }
        assert!(!watch.expired.get());
    }

    #[test]
    fn many_at_once_are_ended_a_few_at_a_time() {
        let pairs: Vec<_> = (0..ENDED_AT_ONCE + 1).map(|_| pair()).collect();
        let connections = connections();
        for (_, server) in &pairs {
            connections.turn(&connections.enter(server.as_raw_fd()), Phase::Handshake);
        }
        assert!((0..50).all(|_| !connections.sweep(&mut connections.tick())));
        let mut sweep = connections.tick();
        assert!(connections.sweep(&mut sweep));
        let mut last = &pairs[ENDED_AT_ONCE].1;
        last.set_nonblocking(true).unwrap();
        assert!(last.read(&mut [0]).is_err(), "it is still there");
        assert!(!connections.sweep(&mut sweep));
        assert_eq!(last.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn places_are_used_again() {
        let (_client, server) = pair();
        let connections = connections();
        for _ in 0..3 {
            let watch = connections.enter(server.as_raw_fd());
            assert_eq!(connections.len(), 1);
            connections.leave(&watch);
        }
        assert!(connections.is_empty());
        assert_eq!(connections.table.borrow().len(), 1);
    }

    #[test]
    fn draining_ends_nobody_and_then_who_is_silent_is_ended() {
        let pairs: Vec<_> = (0..4).map(|_| pair()).collect();
        let connections = connections();
        let watches: Vec<_> = pairs.iter().map(|(_, server)| connections.enter(server.as_raw_fd())).collect();
        let phases = [Phase::Idle, Phase::Head, Phase::Handshake, Phase::Write];
        watches.iter().zip(phases).for_each(|(watch, phase)| connections.turn(watch, phase));
        let ended = || {
            let ended = pairs.iter().map(|(_, server)| {
                server.set_nonblocking(true).unwrap();
                let mut server = server;
                server.read(&mut [0]).is_ok_and(|count| count == 0)
            });
            ended.collect::<Vec<_>>()
        };
        connections.drain();
        assert!(watches.iter().all(|watch| watch.draining()));
        assert_eq!(ended(), [false; 4]);
        let (_late, late) = pair();
        assert!(connections.enter(late.as_raw_fd()).draining());
        connections.end_silent();
        assert_eq!(ended(), [true, true, true, false]);
        assert!(watches[1].timed_out(), "it is told");
        connections.turn(&watches[3], Phase::Idle); // its answer was taken
        connections.end_silent();
        assert_eq!(ended(), [true; 4]);
    }
}
