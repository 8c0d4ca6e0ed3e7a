//! The process that runs: it is asked by a socket file, gives what it has to who asks, and leaves.

use super::companion::{Companion, CompanionOffer, SharedProcess};
use super::message::{
    Ask, Channel, Message, Offer, OfferedAddress, OfferedCompanion, OfferedListener, OfferedRings,
    OfferedTicketKey, Ready, in_words,
};
use super::{MOST, PROTOCOL, own_network, own_uid, step};
use crate::background::{AdminDoor, AdminState};
use crate::clicks::ClickOffer;
use crate::gather::Gatherer;
use crate::keep::write_for_heir;
use crate::listen::{Address, InheritedListener};
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::sys;
use crate::tls::Tickets;
use exposition::StartFault;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// For the first question of who has come, and for each step that takes no time.
const SHORT: Duration = Duration::from_secs(10);
/// For the companion of the heir to open, in which time that gives up by itself.
const OPENS: Duration = Duration::from_secs(20);
/// Between two looks at whether this process stops.
const LOOK: Duration = Duration::from_millis(100);
/// Of the socket file: the same user alone.
const MODE: u32 = 0o600;

/// The sockets of an edge, each queue once.
pub struct EstateListeners {
    pub listen: Vec<InheritedListener>,
    pub listen_tls: Vec<InheritedListener>,
    pub admin: Vec<InheritedListener>,
}

/// What a process gives, and what it has to do for that.
pub struct Estate {
    /// Of this edge.
    pub name: String,
    pub shared: Arc<Shared>,
    pub tickets: Option<Arc<Tickets>>,
    /// `None`: another process has them, or they are closed.
    listeners: Mutex<Option<EstateListeners>>,
    /// Who gathers clicks.
    gatherer: Mutex<Option<Gatherer>>,
    /// Where clicks go from there.
    pub offers: mpsc::Sender<ClickOffer>,
    pub admin: AdminDoor,
    /// What shares this process, and the file by which links go to the next one where there is no snapshot.
    companion: Option<OwnCompanion>,
    /// Told when another process has taken over.
    pub handed_over: Notify,
    stopping: AtomicBool,
}

struct OwnCompanion {
    companion: Arc<dyn Companion>,
    links: Snapshot,
}

/// Who gives is asked here, until it stops or has given everything.
pub struct Giver {
    file: PathBuf,
    is: (u64, u64),
    estate: Arc<Estate>,
}

impl Estate {
    pub fn new(
        name: String,
        shared: Arc<Shared>,
        tickets: Option<Arc<Tickets>>,
        listeners: EstateListeners,
        offers: mpsc::Sender<ClickOffer>,
        admin: AdminDoor,
        shares: Option<SharedProcess>,
    ) -> Result<Self, StartFault> {
        let gatherer = Gatherer::prepare(Arc::clone(&shared), offers.clone())?;
        Ok(Self {
            name,
            shared,
            tickets,
            listeners: Mutex::new(Some(listeners)),
            gatherer: Mutex::new(gatherer),
            offers,
            admin,
            companion: shares.map(|SharedProcess { links, companion }| OwnCompanion {
                companion,
                links: Snapshot::for_heirs(&links),
            }),
            handed_over: Notify::new(),
            stopping: AtomicBool::new(false),
        })
    }

    /// Gathers clicks from here on, if they are counted.
    ///
    /// # Errors
    /// [`StartFault`]
    pub fn gather(&self) -> Result<(), StartFault> {
        let mut gatherer = self.lock_gatherer();
        match &*gatherer {
            Some(waits) => waits.begin(&self.shared),
            None => *gatherer = Gatherer::start(&self.shared, self.offers.clone())?,
        }
        Ok(())
    }

    /// Takes who gathers clicks, if anybody still does.
    pub fn take_gatherer(&self) -> Option<Gatherer> {
        self.lock_gatherer().take()
    }

    fn lock_gatherer(&self) -> MutexGuard<'_, Option<Gatherer>> {
        self.gatherer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is given any more: this process stops.
    pub fn close(&self) {
        self.stopping.store(true, Ordering::Release);
        self.lock_listeners().take();
    }

    fn lock_listeners(&self) -> MutexGuard<'_, Option<EstateListeners>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire) || self.shared.is_draining()
    }

    /// By which links go to the next process.
    fn links(&self) -> Option<&Snapshot> {
        let own = self.companion.as_ref().map(|own| &own.links);
        own.or(self.shared.snapshot.as_ref())
    }

    /// The whole talk with one who asks. `Err`: why this process serves on.
    fn give(&self, way: &mut Channel, snapshot: &Snapshot) -> Result<(), String> {
        self.hear_question(way)?;
        step("old-asked");
        // Visitors are answered on the same cores meanwhile.
        let written = sys::behind_others(|| write_for_heir(snapshot, &self.shared));
        written.flatten().map_err(|fault| format!("the snapshot cannot be written: {fault}"))?;
        step("old-written");
        way.allow(MOST);
        self.offer(way, snapshot)?;
        step("old-offered");
        let takes = match way.hear().map_err(|fault| format!("the newcomer: {}", in_words(&fault)))? {
            Message::Ready(Ready { takes }) => takes.into_iter().map(OfferedAddress::into_address).collect(),
            Message::GivesUp { why } => return Err(format!("the newcomer gives up: {why}")),
            _ => return Err("the newcomer says what was not asked".to_owned()),
        };
        if self.is_stopping() {
            return Err("this process is being stopped".to_owned());
        }
        step("old-ready");
        if let Some(own) = &self.companion {
            self.change_companions(way, &*own.companion)?;
        }
        if let Some(gatherer) = self.take_gatherer() {
            gatherer.stop(Duration::ZERO);
        }
        if let Some(clicks) = &self.shared.clicks {
            clicks.gather(false);
        }
        step("old-gathered");
        way.allow(SHORT);
        let gone = |fault: io::Error| format!("the newcomer: {}", in_words(&fault));
        way.say(&Message::Go).map_err(gone)?;
        if !matches!(way.hear().map_err(gone)?, Message::Serving) {
            return Err("the newcomer says what was not asked".to_owned());
        }
        step("old-serving");
        way.say(&Message::Left).map_err(gone)?;
        self.leave(takes, snapshot);
        Ok(())
    }

    /// From here on the heir's companion serves.
    fn change_companions(&self, way: &mut Channel, companion: &dyn Companion) -> Result<(), String> {
        companion.close()?;
        if self.is_stopping() {
            return Err("this process is being stopped".to_owned()); // callers were waited for meanwhile
        }
        step("old-closed");
        let gone = |fault: io::Error| format!("the newcomer: {}", in_words(&fault));
        way.allow(OPENS);
        way.say(&Message::Closed).map_err(gone)?;
        match way.hear().map_err(gone)? {
            Message::Opened => {}
            Message::GivesUp { why } => return Err(format!("the newcomer gives up: {why}")),
            _ => return Err("the newcomer says what was not asked".to_owned()),
        }
        step("old-opened");
        Ok(())
    }

    fn hear_question(&self, way: &mut Channel) -> Result<(), String> {
        let peer = sys::peer(way.stream()).map_err(|fault| fault.to_string())?;
        let own = own_uid().map_err(|fault| fault.to_string())?;
        if peer.uid != own {
            return Err(format!(
                "the process that runs is of another user ({own}, and user {} asks): start the newcomer as that user",
                peer.uid
            ));
        }
        let heard = way.hear().map_err(|fault| format!("the question: {}", in_words(&fault)))?;
        let Message::Ask(Ask { protocol, name, version, has_companion, network }) = heard else {
            return Err("it was not asked for anything".to_owned());
        };
        if protocol != PROTOCOL {
            return Err(format!(
                "linkr {version} hands over in another way ({protocol}) than the process that runs ({PROTOCOL}, linkr {}): stop \
                 that one and start the other",
                env!("CARGO_PKG_VERSION")
            ));
        }
        if has_companion != self.companion.is_some() {
            let which = |with: bool| if with { "linkr up" } else { "an edge alone" };
            return Err(format!(
                "the process that runs is {}, and this is {}: stop that one and start the other",
                which(self.companion.is_some()),
                which(has_companion)
            ));
        }
        if name != self.name {
            return Err(format!(
                "the process that runs is edge {}, and this is {name}: give it the same --name",
                self.name
            ));
        }
        if network.is_some() && network != own_network() {
            return Err(
                "the process that runs is in another network (that of another container), and its sockets end with that: stop it \
                 and start the other without --upgrade, or give both the network of the host"
                    .to_owned(),
            );
        }
        if self.is_stopping() {
            return Err(
                "the process that runs is being stopped: wait for its end, and start without --upgrade"
                    .to_owned(),
            );
        }
        if !self.shared.feed.loaded.load(Ordering::Acquire) {
            return Err(
                "the process that runs has not got all links yet: try again when it is ready".to_owned()
            );
        }
        tracing::info!(name: "handover_asked", %version, pid = peer.pid, "another process asks to go on in the place of this one");
        Ok(())
    }

    fn offer(&self, way: &mut Channel, snapshot: &Snapshot) -> Result<(), String> {
        let cannot = |fault: io::Error| format!("it cannot be offered: {fault}");
        let listeners = self.lock_listeners();
        let Some(all) = &*listeners else { return Err("this process is being stopped".to_owned()) };
        let note = snapshot.note.handed();
        let handed =
            self.shared.rings.as_ref().map(crate::rings::Rings::handed).transpose().map_err(cannot)?;
        let dir = self.shared.clicks.as_ref().map(|clicks| clicks.config.dir.canonicalize());
        let dir = dir.transpose().map_err(cannot)?;
        let rings = handed.as_ref().zip(dir).map(|(handed, dir)| OfferedRings {
            dir,
            key: handed.key,
            starts: handed.starts.iter().map(|start| (start.ring, start.start)).collect(),
        });
        let companion = self.companion.as_ref().map(|own| own.companion.offer());
        let companion = companion.transpose().map_err(cannot)?;
        let tickets = self.tickets.iter().flat_map(|tickets| tickets.handed());
        let of = |all: &[InheritedListener]| all.iter().map(OfferedListener::of).collect();
        let offer = Offer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listen: of(&all.listen),
            listen_tls: of(&all.listen_tls),
            admin: of(&all.admin),
            has_note: note.is_some(),
            rings,
            ticket_keys: tickets
                .map(|secret| OfferedTicketKey { key: secret.bytes, since_ms: secret.since_ms })
                .collect(),
            companion: companion.as_ref().map(|CompanionOffer { words, files }| OfferedCompanion {
                words: words.clone(),
                files: files.len(),
            }),
        };
        let sockets = all.listen.iter().chain(&all.listen_tls).chain(&all.admin);
        let mut files: Vec<BorrowedFd<'_>> =
            sockets.flat_map(|listener| &listener.sockets).map(AsFd::as_fd).collect();
        files.extend(note.as_ref().map(AsFd::as_fd));
        files.extend(handed.as_ref().map(|handed| handed.lock.as_fd()));
        files.extend(companion.iter().flat_map(|companion| &companion.files).map(AsFd::as_fd));
        way.say_with(&Message::Offer(offer), &files)
            .map_err(|fault| format!("the newcomer: {}", in_words(&fault)))
    }

    /// The other one has everything.
    fn leave(&self, takes: Vec<Address>, snapshot: &Snapshot) {
        self.shared.pass_on(takes);
        if let Some(rings) = &self.shared.rings {
            rings.pass_on();
        }
        snapshot.note.pass_on();
        self.admin.send_replace(AdminState::PassedOn);
        self.lock_listeners().take();
        self.handed_over.notify_one();
    }

    /// Nothing has come of it.
    fn serve_on(&self, snapshot: &Snapshot) {
        snapshot.keep(true);
        if let Some(own) = &self.companion {
            own.links.remove();
            if !self.is_stopping() {
                Arc::clone(&own.companion).reopen();
            }
        }
        if self.is_stopping() || self.lock_gatherer().is_some() {
            return;
        }
        if let Err(fault) = self.gather() {
            tracing::error!(name: "clicks_interrupted", %fault, "clicks are not gathered any more: they stay in their rings until this edge is started again");
        }
    }
}

impl Giver {
    /// Listens beside the snapshot. Where that cannot be done, this edge runs all the same, and a newcomer will not find it.
    pub fn start(path: &Path, estate: &Arc<Estate>) -> Option<Self> {
        match Self::listen(path, estate) {
            Ok(giver) => Some(giver),
            Err(fault) => {
                let file = path.display();
                tracing::warn!(
                    name: "handover_impossible", %file, %fault,
                    "no other process can go on in the place of this one (--upgrade): stop it and start the other instead"
                );
                None
            }
        }
    }

    fn listen(path: &Path, estate: &Arc<Estate>) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            // Of a process that has ended, or that this one was handed over from: the note beside it is this one's.
            Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => return Err(ErrorKind::AlreadyExists.into()),
            Err(_) => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        fs::set_permissions(path, Permissions::from_mode(MODE))?; // before anybody can connect
        socket.listen(8)?;
        socket.set_read_timeout(Some(LOOK))?;
        let found = fs::symlink_metadata(path)?;
        let own = Arc::clone(estate);
        std::thread::Builder::new().name("handover".into()).spawn(move || serve(&own, &socket))?;
        Ok(Self { file: path.to_owned(), is: (found.dev(), found.ino()), estate: Arc::clone(estate) })
    }

    /// Nobody is given anything any more.
    pub fn stop(self) {
        self.estate.close();
        // The number of a file that is gone may be that of the next one by now: what an heir has made there is the heir's.
        let is_own =
            fs::symlink_metadata(&self.file).is_ok_and(|found| (found.dev(), found.ino()) == self.is);
        if is_own && !self.estate.shared.has_heir() {
            let _ = fs::remove_file(&self.file); // the next start finds that nobody listens there
        }
    }
}

/// One after the other, until one has got everything.
fn serve(estate: &Estate, socket: &Socket) {
    let Some(snapshot) = estate.links() else { return };
    while !estate.stopping.load(Ordering::Acquire) {
        match socket.accept() {
            Ok((stream, _)) => {
                if SockRef::from(&stream).set_nonblocking(false).is_ok()
                    && talk(estate, snapshot, UnixStream::from(stream))
                {
                    return;
                }
            }
            Err(fault) if matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => std::thread::sleep(LOOK), // out of descriptors: who asks waits
        }
    }
}

/// `true`: it has got everything.
fn talk(estate: &Estate, snapshot: &Snapshot, stream: UnixStream) -> bool {
    let mut way = Channel::new(stream, SHORT);
    match estate.give(&mut way, snapshot) {
        Ok(()) => {
            tracing::info!(name: "handed_over", "another process goes on in the place of this one, which answers its last connections and ends");
            true
        }
        Err(why) => {
            way.allow(SHORT);
            let _ = way.say(&Message::Refused { why: why.clone() }); // it may be gone
            estate.serve_on(snapshot);
            tracing::warn!(name: "not_handed_over", why, "no other process goes on in the place of this one, which serves on");
            false
        }
    }
}
