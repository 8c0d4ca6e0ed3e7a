//! Where redirects are answered: addresses and socket files, and the sockets that listen there, one for each worker.

mod given;

use exposition::{StartFault, cannot_listen};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fmt;
use std::fs::{Permissions, remove_file, set_permissions, symlink_metadata};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use given::GivenSockets;

/// The longest queue of a listener.
pub const QUEUE: usize = 4096;
/// What the kernel may hold for one connection in each direction (it doubles this, for its own book-keeping): several
/// turns of answers, and of requests.
const KERNEL_BUFFER_BYTES: usize = 64 * 1024;
/// Of a socket file: its owner and group may connect, such as a proxy of the same group.
const MODE: u32 = 0o660;

/// Where to listen, as somebody wrote it. Port 0: any free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// One address.
    At(SocketAddr),
    /// A port on loopback, for IPv4 and, where there is any, IPv6.
    Localhost(u16),
    /// A port on all addresses of this machine.
    Everywhere(u16),
    /// A socket file.
    File(PathBuf),
}

impl ListenAddress {
    /// The addresses that it takes, as far as this machine has them; none for a file.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        match *self {
            Self::At(address) => vec![address],
            Self::Localhost(port) => {
                let all = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
                all.into_iter()
                    .filter(|ip| ip.is_ipv4() || is_here(*ip))
                    .map(|ip| (ip, port).into())
                    .collect()
            }
            Self::Everywhere(port) => {
                let both = IpAddr::from(Ipv6Addr::UNSPECIFIED);
                vec![(if is_here(both) { both } else { Ipv4Addr::UNSPECIFIED.into() }, port).into()]
            }
            Self::File(_) => Vec::new(),
        }
    }
}

/// Whether this machine has such an address.
fn is_here(ip: IpAddr) -> bool {
    bound((ip, 0).into(), false).is_ok()
}

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A socket file.
    File(PathBuf),
}

impl Address {
    /// Its address, unless it is a file.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::File(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::File(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A worker's own end of a listener.
pub struct Listener {
    pub address: Address,
    /// Other workers accept from the same queue.
    pub is_shared: bool,
    /// The service manager holds it, too, for the next process: it is left, and never ended.
    pub given: bool,
    /// Of a socket file, whose workers share one queue. Dropped before the socket, which keeps its inode from being
    /// another file's.
    pub file: Option<Arc<SocketFile>>,
    pub socket: Socket,
}

#[cfg(test)]
impl Listener {
    /// One of a test's own.
    pub fn own(listener: std::net::TcpListener) -> Self {
        let address = Address::Tcp(listener.local_addr().expect("it is bound"));
        Self { address, is_shared: false, given: false, file: None, socket: listener.into() }
    }
}

/// All that was asked for with one flag.
pub struct ListenerSet {
    pub addresses: Vec<Address>,
    /// Of each worker.
    pub listeners: Vec<Vec<Listener>>,
}

/// Sockets of one address that another process listens with, and passes on.
pub struct InheritedListener {
    pub address: Address,
    /// At least one. Each has a queue of its own.
    pub sockets: Vec<Socket>,
    /// By the service manager.
    pub given: bool,
}

/// The first that is at this address; any port of it will do where none is given.
fn take_inherited(inherited: &mut Vec<InheritedListener>, wanted: &Address) -> Option<InheritedListener> {
    let fits = |own: &InheritedListener| match (&own.address, wanted) {
        (Address::Tcp(own), Address::Tcp(wanted)) if wanted.port() == 0 => own.ip() == wanted.ip(),
        (own, wanted) => own == wanted,
    };
    let at = inherited.iter().position(|own| fits(own) && !own.sockets.is_empty())?;
    Some(inherited.remove(at))
}

/// The admin listener: that of the process before this one if it is at the same address.
pub fn open_admin(wanted: SocketAddr, inherited: &mut Vec<InheritedListener>) -> Result<Socket, StartFault> {
    let taken = take_inherited(inherited, &Address::Tcp(wanted));
    if let Some(socket) = taken.and_then(|mut taken| taken.sockets.pop()) {
        return Ok(socket);
    }
    // Its queue is as long as that of visitors: a probe must not be lost among strangers.
    listener(wanted, false).map_err(|fault| cannot_listen("--admin", wanted, fault))
}

/// Listens on all of these, once for each worker. What another process passes on is taken in the place of a socket of the
/// same address.
pub fn open_all(
    flag: &str,
    all: &[ListenAddress],
    workers: usize,
    inherited: &mut Vec<InheritedListener>,
) -> Result<ListenerSet, StartFault> {
    let listeners = (0..workers).map(|_| Vec::new()).collect();
    let mut opened = ListenerSet { addresses: Vec::new(), listeners };
    for listen in all {
        if let ListenAddress::File(path) = listen {
            let taken = take_inherited(inherited, &Address::File(path.clone()));
            let done = match taken {
                Some(taken) => opened.inherit(taken),
                None => opened.open_file(path),
            };
            done.map_err(|fault| cannot_use(flag, path, fault))?;
            continue;
        }
        let mut free = None; // that the first got, if any would do
        for mut address in listen.addresses() {
            if address.port() == 0 {
                address.set_port(free.unwrap_or(0));
            }
            if let Some(taken) = take_inherited(inherited, &Address::Tcp(address)) {
                let port = taken.address.tcp().map_or(0, |own| own.port());
                opened.inherit(taken).map_err(|fault| cannot_listen(flag, address, fault))?;
                free.get_or_insert(port);
                continue;
            }
            let port = opened.open_tcp(address).map_err(|fault| cannot_listen(flag, address, fault))?;
            free.get_or_insert(port);
        }
    }
    Ok(opened)
}

/// Whether [`open_all`] would find nothing in its way. Nobody can connect meanwhile, and nothing is changed.
pub fn check(flag: &str, all: &[ListenAddress], given: &GivenSockets) -> Result<(), StartFault> {
    for listen in all {
        if let ListenAddress::File(path) = listen
            && !given.has(&Address::File(path.clone()))
        {
            is_left_over(path).map_err(|fault| cannot_use(flag, path, fault))?;
        }
        for address in listen.addresses().into_iter().filter(|&address| !given.has(&Address::Tcp(address))) {
            bound(address, false).map_err(|fault| cannot_listen(flag, address, fault))?;
        }
    }
    Ok(())
}

impl ListenerSet {
    fn open_tcp(&mut self, address: SocketAddr) -> io::Result<u16> {
        // Without SO_REUSEPORT first: with it, the port of another process of the same user would be shared in silence.
        drop(listener(address, false)?);
        let mut bound = address;
        for (at, own) in self.listeners.iter_mut().enumerate() {
            let socket = listener(bound, true)?;
            if at == 0 {
                bound = socket.local_addr()?.as_socket().ok_or(ErrorKind::Unsupported)?;
            }
            let address = Address::Tcp(bound);
            own.push(Listener { address, is_shared: false, given: false, socket, file: None });
        }
        self.addresses.push(Address::Tcp(bound));
        Ok(bound.port())
    }

    fn open_file(&mut self, path: &Path) -> io::Result<()> {
        let (socket, file) = listener_at(path)?;
        let address = Address::File(path.to_owned());
        for own in &mut self.listeners {
            let (socket, file) = (socket.try_clone()?, Some(Arc::clone(&file)));
            own.push(Listener { address: address.clone(), is_shared: true, given: false, socket, file });
        }
        self.addresses.push(address);
        Ok(())
    }

    /// Every socket is served, however many workers there are: the kernel resets the queue of one that is closed. Of more
    /// workers than sockets some share a queue.
    fn inherit(
        &mut self,
        InheritedListener { address, sockets, given }: InheritedListener,
    ) -> io::Result<()> {
        let file = match &address {
            Address::File(path) if !given => Some(Arc::new(SocketFile::of(path)?)),
            _ => None,
        };
        let workers = self.listeners.len();
        for at in 0..workers.max(sockets.len()) {
            let socket = sockets[at % sockets.len()].try_clone()?;
            let (address, is_shared) = (address.clone(), workers > sockets.len());
            let file = file.clone();
            self.listeners[at % workers].push(Listener { address, is_shared, given, socket, file });
        }
        self.addresses.push(address);
        Ok(())
    }

    /// What another process would listen with in the place of this one: each queue once.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn handed(&self) -> io::Result<Vec<InheritedListener>> {
        let mut all = Vec::new();
        for address in &self.addresses {
            let own = self.listeners.iter().flatten().filter(|own| own.address == *address);
            let (mut sockets, mut given): (Vec<Socket>, bool) = (Vec::new(), false);
            let mut cookies = Vec::new();
            for own in own {
                given |= own.given;
                let cookie = own.socket.cookie()?;
                if !cookies.contains(&cookie) {
                    cookies.push(cookie);
                    sockets.push(own.socket.try_clone()?);
                }
            }
            all.push(InheritedListener { address: address.clone(), sockets, given });
        }
        Ok(all)
    }
}

/// How long an address may be in use at a start. A process that was killed leaves its sockets for a moment longer than itself: the
/// kernel takes down what an io_uring still had to do after the process has ended.
const LEFT_BEHIND: Duration = Duration::from_secs(2);

fn bound(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?; // whatever this machine's default is
    }
    let began = Instant::now();
    while let Err(fault) = socket.bind(&address.into()) {
        if shared || fault.kind() != ErrorKind::AddrInUse || began.elapsed() >= LEFT_BEHIND {
            return Err(fault);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(socket)
}

/// Listens on an address.
pub fn listener(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = bound(address, shared)?;
    set_up(&socket)?;
    socket.listen(QUEUE as i32)?;
    set_up_listening(&socket)?;
    Ok(socket)
}

/// Inherited by every accepted connection.
fn set_up(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?; // one system call less for each
    // Otherwise the kernel takes up to 4 MiB of answers from each client that never reads, and as much of requests: that much
    // work, and memory that no count here shows.
    socket.set_send_buffer_size(KERNEL_BUFFER_BYTES)?;
    socket.set_recv_buffer_size(KERNEL_BUFFER_BYTES)
}

/// Inherited as well, but only from a socket that listens: a request is acknowledged by its answer, not by a packet of its own.
/// See `Socket::expect_more` for requests that come in parts.
fn set_up_listening(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_quickack(false)
}

/// Listens by a socket file, in the place of one that nobody listens at any more.
fn listener_at(path: &Path) -> io::Result<(Socket, Arc<SocketFile>)> {
    let address = SockAddr::unix(path)?;
    if is_left_over(path)? {
        remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&address)?;
    let file = SocketFile::of(path)?;
    set_permissions(path, Permissions::from_mode(MODE))?; // before anybody can connect
    socket.listen(QUEUE as i32)?;
    Ok((socket, Arc::new(file)))
}

/// Whether a socket lies there at which nobody listens any more.
///
/// # Errors
/// `AddrInUse`: somebody does. `AlreadyExists`: something else lies there.
fn is_left_over(path: &Path) -> io::Result<bool> {
    let address = SockAddr::unix(path)?;
    match symlink_metadata(path) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(false),
        Err(fault) => return Err(fault),
        Ok(found) if !found.file_type().is_socket() => return Err(ErrorKind::AlreadyExists.into()),
        Ok(_) => {}
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?; // its queue may be full
    match probe.connect(&address) {
        Err(fault) if fault.kind() == ErrorKind::ConnectionRefused => Ok(true),
        Err(fault) if fault.kind() == ErrorKind::PermissionDenied => Err(fault),
        _ => Err(ErrorKind::AddrInUse.into()),
    }
}

/// A socket file of this process, removed with the last listener at the latest.
pub struct SocketFile {
    path: PathBuf,
    is: (u64, u64),
    removed: AtomicBool,
}

impl SocketFile {
    /// The one that is there.
    fn of(path: &Path) -> io::Result<Self> {
        let found = symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), is: (found.dev(), found.ino()), removed: AtomicBool::new(false) })
    }

    /// Another process listens by it: it stays.
    pub fn pass_on(&self) {
        self.removed.store(true, Ordering::Relaxed);
    }

    /// Nobody connects by it any more. What somebody else has put in its place stays.
    pub fn remove(&self) {
        let is_own = || symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.is);
        if !self.removed.swap(true, Ordering::Relaxed) && is_own() {
            let _ = remove_file(&self.path); // the next start finds that nobody listens there
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

fn cannot_use(flag: &str, path: &Path, fault: io::Error) -> StartFault {
    let path = path.display();
    let words = match fault.kind() {
        ErrorKind::AddrInUse => {
            format!(
                "unix:{path} is in use by another process: stop that one, or give another file with {flag}"
            )
        }
        ErrorKind::AlreadyExists => {
            format!("{path} is no socket: move it away, or give another file with {flag}")
        }
        ErrorKind::NotFound => format!("there is no directory for {path}: make it first ({flag})"),
        ErrorKind::InvalidInput => {
            format!("unix:{path} cannot be a socket: its path has 1 to 107 bytes; give another with {flag}")
        }
        _ => format!("cannot listen on unix:{path} ({flag}): {fault}"),
    };
    StartFault::with(words, fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn fault(listen: ListenAddress) -> String {
        open_all("--listen", &[listen], 2, &mut Vec::new()).err().expect("it is refused").to_string()
    }

    #[test]
    fn a_port_in_use_is_named_even_if_the_other_one_shares_it() {
        let other = listener("127.0.0.1:0".parse().unwrap(), true).unwrap();
        let address = other.local_addr().unwrap().as_socket().unwrap();
        let fault = fault(ListenAddress::At(address));
        assert!(
            fault.starts_with(&format!("{address} is in use")) && fault.ends_with("with --listen"),
            "{fault}"
        );
    }

    #[test]
    fn whatever_workers_there_are_they_serve_every_queue_that_is_passed_on() {
        let first = open_all("--listen", &[ListenAddress::Localhost(0)], 3, &mut Vec::new()).unwrap();
        let families = first.addresses.len();
        for workers in [1, 2, 3, 5] {
            let mut passed = first.handed().unwrap();
            assert!(passed.iter().all(|own| own.sockets.len() == 3));
            let next = open_all("--listen", &[ListenAddress::Localhost(0)], workers, &mut passed).unwrap();
            assert!(passed.is_empty());
            assert_eq!(next.addresses, first.addresses);
            assert!(next.listeners.iter().all(|own| own.len() >= families), "{workers}");
            let queues = |set: &ListenerSet| {
                let cookies = set.listeners.iter().flatten().map(|own| own.socket.cookie().unwrap());
                cookies.collect::<std::collections::BTreeSet<_>>()
            };
            assert_eq!(queues(&next), queues(&first), "{workers}");
            assert_eq!(next.listeners.iter().flatten().any(|own| own.is_shared), workers > 3);
        }
        // At another address a socket of its own is opened, and what was passed on is left.
        let mut passed = first.handed().unwrap();
        let other =
            open_all("--listen", &[ListenAddress::At("127.0.0.2:0".parse().unwrap())], 1, &mut passed);
        assert_ne!(other.unwrap().addresses, first.addresses);
        assert_eq!(passed.len(), families);
    }

    /// Found by a test of killed edges: the next start was refused while the kernel took down the ring of the one before.
    #[test]
    fn an_address_that_a_killed_process_is_just_leaving_is_waited_for() {
        let left = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = left.local_addr().unwrap();
        let (held, began) = (Duration::from_millis(200), Instant::now());
        let leaving = std::thread::spawn(move || {
            std::thread::sleep(held); // as long as the kernel may take
            drop(left);
        });
        bound(address, false).unwrap();
        assert!(began.elapsed() >= held);
        leaving.join().unwrap();
    }

    #[test]
    fn localhost_is_one_port_of_both_families() {
        let opened = open_all("--listen", &[ListenAddress::Localhost(0)], 2, &mut Vec::new()).unwrap();
        let ports: Vec<u16> = opened.addresses.iter().map(|address| address.tcp().unwrap().port()).collect();
        assert!(ports.iter().all(|port| *port == ports[0] && *port > 0), "{ports:?}");
        assert!(opened.listeners.iter().all(|own| own.len() == ports.len()));
        for address in &opened.addresses {
            assert!(address.tcp().unwrap().ip().is_loopback());
            std::net::TcpStream::connect(address.tcp().unwrap()).unwrap();
        }
    }

    #[test]
    fn everywhere_is_both_families() {
        let opened = open_all("--listen", &[ListenAddress::Everywhere(0)], 1, &mut Vec::new()).unwrap();
        let port = opened.addresses[0].tcp().unwrap().port();
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        if opened.addresses[0].tcp().unwrap().is_ipv6() {
            std::net::TcpStream::connect(("::1", port)).unwrap();
        }
    }

    #[test]
    fn a_socket_file_is_its_owners_and_groups_and_goes_with_them() {
        let dir = std::env::temp_dir().join(format!("linkr-listen-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("sock");
        drop(UnixListener::bind(&path).unwrap()); // nobody listens there any more
        let listen = || ListenAddress::File(path.clone());
        check("--listen", &[listen()], &GivenSockets::default()).unwrap();
        let opened = open_all("--listen", &[listen()], 2, &mut Vec::new()).unwrap();
        assert_eq!(symlink_metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        UnixStream::connect(&path).unwrap();
        assert!(fault(listen()).contains("in use by another process"));
        assert!(check("--listen", &[listen()], &GivenSockets::default()).is_err());
        drop(opened);
        assert!(!path.exists());
        // Another process has taken its place.
        let opened = open_all("--listen", &[listen()], 1, &mut Vec::new()).unwrap();
        remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(opened);
        let is_own = symlink_metadata(&path).is_ok();
        assert!(is_own, "it is the other's");
        drop(other);
        remove_file(&path).unwrap();
        std::fs::write(&path, "somebody's").unwrap();
        assert!(fault(listen()).contains("is no socket"));
        assert_eq!(std::fs::read(&path).unwrap(), b"somebody's");
        assert!(fault(ListenAddress::File(dir.join("none/sock"))).contains("no directory"));
        assert!(fault(ListenAddress::File(dir.join("x".repeat(120)))).contains("107 bytes"));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
