//! The newcomer: it asks the process that runs for everything, and goes on in its place.

use super::companion::CompanionOffer;
use super::message::{Ask, Channel, Message, Offer, OfferedAddress, OfferedListener, Ready, in_words};
use super::{MOST, PROTOCOL, own_network, own_uid, step};
use crate::listen::{Address, InheritedListener};
use crate::rings::{InheritedRings, RingStart};
use crate::sys;
use crate::tls::TicketSecret;
use exposition::StartFault;
use socket2::Socket;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// For a process that has ended without a word to be gone.
const ENDING: Duration = Duration::from_secs(5);

/// What a process begins with that goes on in the place of another; nothing, if there was none.
#[derive(Default)]
pub struct Inheritance {
    pub listen: Vec<InheritedListener>,
    pub listen_tls: Vec<InheritedListener>,
    pub admin: Vec<InheritedListener>,
    /// Beside the snapshot; `None`: that process could not write it.
    pub note: Option<File>,
    /// Where that process keeps its clicks, and what they are read with.
    pub rings: Option<(PathBuf, InheritedRings)>,
    pub ticket_keys: Vec<TicketSecret>,
    /// Of what shares that process.
    pub companion: Option<CompanionOffer>,
}

/// The way to the process that runs.
pub struct Heir {
    way: Channel,
    pid: i32,
    until: Instant,
    /// The other process has ended without a word, and everything that it had is here.
    is_alone: bool,
}

/// What comes of a question.
pub enum Answer {
    /// No process runs that could be asked.
    Nobody,
    /// One has ended before it had given anything: the kernel gives back what it had within a moment.
    Ended,
    /// One has agreed.
    Offered(Box<(Heir, Inheritance)>),
}

/// Asks the process that runs. `has_companion`: something shares this one.
///
/// # Errors
/// [`StartFault`], in words, when it refuses, or cannot be understood.
pub fn ask(path: &Path, name: &str, has_companion: bool) -> Result<Answer, StartFault> {
    let until = Instant::now() + MOST;
    let cannot = |fault: io::Error| {
        let words = match fault.kind() {
            ErrorKind::PermissionDenied => format!(
                "the process that runs is of another user, and may not be asked by {}: start the newcomer as that user",
                path.display()
            ),
            _ => format!("the process that runs cannot be asked by {}: {}", path.display(), in_words(&fault)),
        };
        StartFault::with(words, fault)
    };
    let stream = match UnixStream::connect(path) {
        Err(fault) if matches!(fault.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(Answer::Nobody);
        }
        stream => stream.map_err(cannot)?,
    };
    let peer = sys::peer(&stream).map_err(cannot)?;
    if peer.uid != own_uid().map_err(cannot)? {
        return Err(cannot(ErrorKind::PermissionDenied.into()));
    }
    let mut heir = Heir { way: Channel::new(stream, MOST), pid: peer.pid, until, is_alone: false };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    step("new-connected");
    let (name, network) = (name.to_owned(), own_network());
    let asked = Ask { protocol: PROTOCOL, name, version, has_companion, network };
    let answer = heir.way.say(&Message::Ask(asked)).and_then(|()| heir.way.hear());
    let offer = match answer {
        Ok(Message::Offer(offer)) => offer,
        Ok(Message::Refused { why }) => return Err(StartFault::new(why)),
        Ok(_) => return Err(cannot(ErrorKind::InvalidData.into())),
        Err(fault) if has_ended(&fault) && heir.is_gone() => return Ok(Answer::Ended),
        Err(fault) => return Err(cannot(fault)),
    };
    let inherited = match heir.way.files(offer.files()) {
        Ok(files) => inheritance(offer, files),
        Err(fault) if has_ended(&fault) && heir.is_gone() => return Ok(Answer::Ended),
        Err(fault) => return Err(cannot(fault)),
    };
    step("new-offered");
    Ok(Answer::Offered(Box::new((heir, inherited))))
}

fn has_ended(fault: &io::Error) -> bool {
    matches!(fault.kind(), ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

/// `files`: as many as the offer says.
fn inheritance(offer: Offer, files: Vec<OwnedFd>) -> Inheritance {
    let mut files = files.into_iter();
    let mut listeners = |offered: Vec<OfferedListener>| -> Vec<InheritedListener> {
        let mut all = Vec::new();
        for OfferedListener { address, sockets, given } in offered {
            let sockets: Vec<Socket> = files.by_ref().take(sockets).map(Socket::from).collect();
            all.push(InheritedListener { address: address.into_address(), sockets, given });
        }
        all
    };
    let (listen, listen_tls) = (listeners(offer.listen), listeners(offer.listen_tls));
    let admin = listeners(offer.admin);
    let note = if offer.has_note { files.next().map(File::from) } else { None };
    let lock = offer.rings.is_some().then(|| files.next()).flatten();
    let rings = offer.rings.zip(lock).map(|(offered, lock)| {
        let starts = offered.starts.into_iter().map(|(ring, start)| RingStart { ring, start }).collect();
        (offered.dir, InheritedRings { lock: lock.into(), key: offered.key, starts })
    });
    let ticket_keys = offer.ticket_keys.into_iter();
    let ticket_keys =
        ticket_keys.map(|key| TicketSecret { bytes: key.key, since_ms: key.since_ms }).collect();
    let companion = offer.companion.map(|offered| {
        let files = files.by_ref().take(offered.files).collect();
        CompanionOffer { words: offered.words, files }
    });
    Inheritance { listen, listen_tls, admin, note, rings, ticket_keys, companion }
}

impl Heir {
    /// Until when it has to be ready.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Whether the other process has ended without a word, and everything that it had is here.
    pub fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// This process ends, and says why: the other one serves on.
    pub fn give_up(mut self, why: &str) {
        let _ = self.way.say(&Message::GivesUp { why: why.to_owned() }); // it may be gone
    }

    /// This process has all links, is current, and takes these addresses. When this returns, the other one accepts no more and
    /// gathers no clicks.
    ///
    /// # Errors
    /// [`StartFault`], in words: the other one serves on.
    pub fn take_over(mut self, takes: &[Address]) -> Result<(), StartFault> {
        let ready = self.ready(takes);
        self.step(&ready, |said| matches!(said, Message::Go))?;
        self.serve()
    }

    /// The same of a process that has a companion: when this returns, that of the other one is closed.
    ///
    /// # Errors
    /// [`StartFault`], in words: the other one serves on.
    pub fn wait_closed(&mut self, takes: &[Address]) -> Result<(), StartFault> {
        let ready = self.ready(takes);
        self.way.allow(MOST);
        self.step(&ready, |said| matches!(said, Message::Closed))?;
        step("new-closed");
        Ok(())
    }

    /// Behind [`Heir::wait_closed`]: this process's companion serves. When this returns, the other one accepts no more and gathers
    /// no clicks.
    ///
    /// # Errors
    /// [`StartFault`], in words: the other one serves on.
    pub fn take_over_opened(mut self) -> Result<(), StartFault> {
        step("new-opened");
        self.step(&Message::Opened, |said| matches!(said, Message::Go))?;
        self.serve()
    }

    fn ready(&self, takes: &[Address]) -> Message {
        step("new-loaded");
        Message::Ready(Ready { takes: takes.iter().map(OfferedAddress::of).collect() })
    }

    fn serve(mut self) -> Result<(), StartFault> {
        step("new-go");
        self.step(&Message::Serving, |said| matches!(said, Message::Left))
    }

    fn step(&mut self, say: &Message, wanted: impl FnOnce(&Message) -> bool) -> Result<(), StartFault> {
        if self.is_alone {
            return Ok(());
        }
        let heard = self.way.say(say).and_then(|()| self.way.hear());
        match heard {
            Ok(said) if wanted(&said) => Ok(()),
            Ok(Message::Refused { why }) => {
                Err(StartFault::new(format!("the process that runs serves on: {why}")))
            }
            Ok(_) => Err(StartFault::new("the process that runs says what was not asked, and serves on")),
            Err(fault) if has_ended(&fault) && self.is_gone() => {
                tracing::warn!(
                    name: "handover_cut",
                    "the process that ran has ended in the middle of handing over: this one goes on with what it has got of it"
                );
                self.is_alone = true;
                Ok(())
            }
            Err(fault) => Err(StartFault::with(
                format!("the process that runs does not hand over, and serves on: {}", in_words(&fault)),
                fault,
            )),
        }
    }

    /// Whether the process at the other end has ended.
    pub fn has_ended(&self) -> bool {
        if self.pid == 0 {
            return false; // of another container: nobody here can know
        }
        // The state stands behind the name, which may hold anything.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        state.is_none_or(|state| matches!(state, 'Z' | 'X'))
    }

    /// The same; waits for that for a while.
    fn is_gone(&self) -> bool {
        let until = Instant::now() + ENDING;
        loop {
            if self.has_ended() {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
