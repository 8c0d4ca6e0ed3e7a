//! Which connections this worker has, what each waits for and since when: deadlines are looked at in one coarse sweep,
//! never by a timer for each read.
//!
//! A connection past its deadline has a half of its socket ended: its pending operation returns, and its own code
//! closes it. Nothing is cancelled, so no byte is lost in a cancelled read.

use crate::sys::{Half, end};
use std::cell::{Cell, RefCell};
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The rest of a TLS handshake, from the connection's begin on.
    Handshake,
    /// The first byte of a request.
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

/// For a handshake or a head, while clients have all the descriptors that they may: half a thousand half heads must not
/// keep a visitor waiting. Whoever keeps a connection between two requests is a visitor, and stays.
const CROWDED: Duration = Duration::from_secs(1);

/// Ended in the first go, and goes after which it is one more: hundreds take no longer than a tick, thousands a few.
const ENDED_AT_ONCE: usize = 4;
const GOES_UNTIL_MORE: usize = 4;

/// The way through all connections behind one tick.
#[derive(Debug, Default)]
pub struct Sweep {
    place: usize,
    goes: usize,
}

impl Phase {
    /// In [`super::TICK`]s, of a connection that has so many bytes of a head.
    fn limit(self, received: u32, crowded: bool) -> u32 {
        let limit = match self {
            Self::Handshake | Self::Head if crowded => CROWDED,
            Self::Handshake => Duration::from_secs(5),
            Self::Idle => Duration::from_secs(30),
            Self::Head => Duration::from_secs(5) + Duration::from_secs(1) * received / HEAD_BYTES_PER_SECOND,
            Self::Asking => return u32::MAX,
            Self::Write => Duration::from_secs(10),
            Self::Linger => Duration::from_secs(1),
        };
        (limit.as_millis() / super::TICK.as_millis()) as u32
    }
}

/// The state of one connection.
pub struct Watch {
    fd: RawFd,
    phase: Cell<Phase>,
    since: Cell<u32>,
    received: Cell<u32>,
    expired: Cell<bool>,
    draining: Cell<bool>,
    idle: Cell<bool>,
    place: usize,
}

#[derive(Default)]
pub struct Connections {
    table: RefCell<Vec<Option<Rc<Watch>>>>,
    free: RefCell<Vec<usize>>,
    now: Cell<u32>,
    draining: Cell<bool>,
    crowded: Cell<bool>,
}

impl Connections {
    /// Watches a connection until [`Connections::leave`].
    pub fn enter(&self, fd: RawFd) -> Rc<Watch> {
        let mut table = self.table.borrow_mut();
        let place = self.free.borrow_mut().pop().unwrap_or_else(|| {
            table.push(None);
            table.len() - 1
        });
        let watch = Rc::new(Watch {
            fd,
            phase: Cell::new(Phase::Idle),
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
    pub fn leave(&self, watch: &Watch) {
        self.table.borrow_mut()[watch.place] = None;
        self.free.borrow_mut().push(watch.place);
    }

    /// The connection waits for something else from now on.
    #[inline]
    pub fn turn(&self, watch: &Watch, phase: Phase) {
        // A head's time runs from its first byte, however many reads it takes.
        if watch.phase.replace(phase) != phase || phase != Phase::Head {
            watch.since.set(self.now.get());
        }
    }

    /// The connection waits for the rest of a head of which it has so many bytes.
    #[inline]
    pub fn turn_to_head(&self, watch: &Watch, received: usize) {
        watch.received.set(received as u32); // at most a head's worth and one read
        self.turn(watch, Phase::Head);
    }

    /// Whether others wait for a descriptor: then a handshake or a head has less time.
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
            let waited = self.now.get().wrapping_sub(watch.since.get());
            if waited > 1 {
                watch.idle.set(true);
            }
            if waited <= watch.phase.get().limit(watch.received.get(), self.crowded.get()) {
                continue;
            }
            ended += 1;
            match watch.phase.get() {
                // A request that is on its way now still gets an answer, its last; and TLS can say goodbye.
                Phase::Idle => {
                    watch.draining.set(true);
                    end(watch.fd, Half::Read);
                }
                Phase::Head if !watch.expired.replace(true) => end(watch.fd, Half::Read),
                Phase::Head => {}
                _ => end(watch.fd, Half::Both),
            }
        }
        false
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
                Phase::Idle => end(watch.fd, Half::Read),
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

impl Watch {
    /// Whether its read was ended because a head did not arrive in time.
    pub fn timed_out(&self) -> bool {
        self.expired.get() && self.phase.get() == Phase::Head
    }

    /// Whether it waited for more than a tick since this was last asked.
    pub fn was_idle(&self) -> bool {
        self.idle.replace(false)
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

    fn pass(connections: &Connections) {
        let mut sweep = connections.tick();
        while connections.sweep(&mut sweep) {}
    }

    #[test]
    fn a_head_has_five_seconds_from_its_first_byte() {
        let (_client, mut server) = pair();
        let connections = Connections::default();
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
        let connections = Connections::default();
        let watch = connections.enter(server.as_raw_fd());
        let ticks = (1..1000).find(|tick| {
            connections.turn_to_head(&watch, (tick * 100).min(16 * 1024)); // 1,000 bytes a second
            pass(&connections);
            watch.timed_out()
        });
        assert_eq!(ticks, Some(50 + 16 * 1024 / 50 + 1));
    }

    #[test]
    fn progress_starts_the_other_deadlines_anew() {
        let (_client, server) = pair();
        let connections = Connections::default();
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
        let connections = Connections::default();
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
        let connections = Connections::default();
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
        let connections = Connections::default();
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
