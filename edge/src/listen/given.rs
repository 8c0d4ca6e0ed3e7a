//! Sockets that listen already when this process starts: of systemd's socket activation, or of the process whose place it takes.
//! Whoever gave them holds them, too: this process never ends one, it only closes its own descriptors.

use super::{Address, InheritedListener, ListenAddress, set_up, set_up_listening};
use crate::sys;
use exposition::StartFault;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;

/// One socket.
#[derive(Debug)]
struct GivenSocket {
    socket: Socket,
    address: Address,
    /// Who gave it, for people: of systemd, the name of its unit.
    name: String,
}

/// Sockets that were given and that no flag has taken yet.
#[derive(Debug, Default)]
pub struct GivenSockets {
    left: Vec<GivenSocket>,
    /// There was one at least.
    any: bool,
}

impl GivenSockets {
    /// Those that systemd passed to this process (`LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES`), if any. The descriptors that
    /// came stay open beside those that are used.
    ///
    /// # Errors
    /// They are not as systemd says, or no sockets that listen.
    pub fn passed() -> Result<Self, StartFault> {
        let cannot = |fault| {
            StartFault::because("cannot take the sockets that systemd says it passed (LISTEN_FDS)", fault)
        };
        let passed = sd_notify::listen_fds_with_names().map_err(cannot)?;
        let owned = passed.map(|(number, name)| Ok((sys::passed(number)?, name)));
        Self::of(owned.collect::<io::Result<_>>().map_err(cannot)?)
    }

    /// Those behind these descriptors, each with a name for people.
    ///
    /// # Errors
    /// One of them is no TCP or Unix socket that listens.
    pub fn of(all: Vec<(OwnedFd, String)>) -> Result<Self, StartFault> {
        let any = !all.is_empty();
        let left = all.into_iter().map(|(fd, name)| GivenSocket::of(fd.into(), name));
        Ok(Self { left: left.collect::<Result<_, _>>()?, any })
    }

    /// Whether there is one at this address.
    #[must_use]
    pub fn has(&self, address: &Address) -> bool {
        self.left.iter().any(|given| given.address == *address)
    }

    /// Takes the one for a listener that has a single queue, such as that of the API; says so where others were given and
    /// none for this flag.
    #[must_use]
    pub fn take_one(&mut self, flag: &str, address: SocketAddr) -> Option<TcpListener> {
        let wanted = Address::Tcp(address);
        match self.left.iter().position(|given| given.address == wanted) {
            Some(at) => Some(self.left.remove(at).socket.into()),
            None => {
                self.tell_missing(flag, &wanted);
                None
            }
        }
    }

    /// Those at the addresses that a flag asks for; says so where others were given and none at one of these.
    #[must_use]
    pub fn take(&mut self, flag: &str, wanted: &[ListenAddress]) -> Vec<InheritedListener> {
        let addresses = wanted.iter().flat_map(|listen| match listen {
            ListenAddress::File(path) => vec![Address::File(path.clone())],
            listen => listen.addresses().into_iter().map(Address::Tcp).collect(),
        });
        let mut taken = Vec::new();
        for address in addresses {
            let given = self.left.extract_if(.., |given| given.address == address);
            let sockets: Vec<_> = given.map(|given| given.socket).collect();
            match sockets.is_empty() {
                true => self.tell_missing(flag, &address),
                false => taken.push(InheritedListener { address, sockets, given: true }),
            }
        }
        taken
    }

    fn tell_missing(&self, flag: &str, address: &Address) {
        if self.any {
            tracing::info!(
                name: "socket_not_given", flag, %address,
                "none of the sockets that were given listens on this address: linkr listens there itself"
            );
        }
    }

    /// Whether each was taken.
    ///
    /// # Errors
    /// One that no flag asks for: whoever connects there would wait for ever.
    pub fn all_taken(&self, flags: &str) -> Result<(), StartFault> {
        let Some(GivenSocket { address, name, .. }) = self.left.first() else { return Ok(()) };
        Err(StartFault::new(format!(
            "the socket {name} listens on {address}, and no flag asks for that address: give it with one of {flags}, or take it \
             out of the socket unit"
        )))
    }
}

impl GivenSocket {
    fn of(socket: Socket, name: String) -> Result<Self, StartFault> {
        let is_stream = socket.r#type().is_ok_and(|kind| kind == Type::STREAM);
        if !is_stream || !socket.is_listener().unwrap_or(false) {
            return Err(StartFault::new(format!(
                "the socket {name} does not listen for connections: ListenStream= and Accept=no are wanted in its unit"
            )));
        }
        let address = address_of(&socket)
            .map_err(|fault| StartFault::because(format!("cannot use the socket {name}"), fault))?;
        let ready = match socket.domain() {
            Ok(Domain::UNIX) => Ok(()),
            _ => set_up(&socket).and_then(|()| set_up_listening(&socket)),
        };
        ready.map_err(|fault| {
            StartFault::because(format!("cannot set up the socket {name} on {address}"), fault)
        })?;
        Ok(Self { socket, address, name })
    }
}

fn address_of(socket: &Socket) -> io::Result<Address> {
    let local = socket.local_addr()?;
    let file = || local.as_pathname().map(Path::to_owned).map(Address::File);
    let address = local.as_socket().map(Address::Tcp).or_else(file);
    address.ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "neither TCP nor a socket file"))
}

#[cfg(test)]
mod tests {
    use super::super::open_all;
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn a_flag_takes_what_was_given_at_its_address_and_listens_itself_elsewhere() {
        let given = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = given.local_addr().unwrap();
        let mut sockets = GivenSockets::of(vec![(given.into(), "linkr-edge.socket".into())]).unwrap();
        let why = sockets.all_taken("--listen, --admin").unwrap_err().to_string();
        assert!(why.contains("linkr-edge.socket") && why.contains(&address.to_string()), "{why}");
        let other = "127.0.0.1:0".parse().unwrap();
        let wanted = [ListenAddress::At(address), ListenAddress::At(other)];
        let mut taken = sockets.take("--listen", &wanted);
        let opened = open_all("--listen", &wanted, 2, &mut taken).unwrap();
        assert_eq!(opened.addresses[0], Address::Tcp(address));
        for own in &opened.listeners {
            assert_eq!(own.iter().map(|listener| listener.given).collect::<Vec<_>>(), [true, false]);
        }
        sockets.all_taken("--listen").unwrap();
        assert!(sockets.take_one("--admin", address).is_none());
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let stream = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        for fd in [OwnedFd::from(datagrams), stream.into()] {
            let why = GivenSockets::of(vec![(fd, "odd".into())]).unwrap_err().to_string();
            assert!(why.starts_with("the socket odd does not listen"), "{why}");
        }
    }
}
