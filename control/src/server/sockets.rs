//! Where the API listens: addresses that are taken before a store is opened, and sockets that another process goes on with.

use super::Config;
use super::connection::OwnListener;
use exposition::{StartFault, cannot_listen};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use tokio::net::{TcpListener, TcpSocket};

/// Connections that the kernel keeps until they are taken: as many as of an edge's visitors, since whoever has a key must
/// not be lost among strangers.
const QUEUE: u32 = 4_096;

/// An address that is ours.
#[derive(Debug)]
pub enum ReservedAddress {
    /// Nobody can connect there yet.
    Bound(TcpSocket),
    /// Somebody else listens there already, and gave us the socket: who connects waits in its queue until we are there, and
    /// stays in it when we end.
    Given(std::net::TcpListener),
    /// A control listened there that has ended for this one: who has connected since waits in its queue.
    Inherited(std::net::TcpListener),
}

/// Where a control listens.
#[derive(Debug)]
pub struct ApiSockets {
    /// For callers.
    pub api: ReservedAddress,
    /// For the edge in this process where the API has TLS: it comes over loopback, for which the API's certificate may not
    /// be.
    pub own: Option<std::net::TcpListener>,
}

/// The sockets of a control, held besides: they listen on when it has left them.
#[derive(Debug)]
pub struct HeldSockets {
    api: OwnedFd,
    given: bool,
    own: Option<OwnedFd>,
}

/// The same, taken by this runtime.
pub(super) struct OpenSockets {
    pub api: OwnListener,
    pub own: Option<OwnListener>,
}

impl From<ReservedAddress> for ApiSockets {
    fn from(api: ReservedAddress) -> Self {
        Self { api, own: None }
    }
}

impl ApiSockets {
    /// The API at an address that is ours, and what else this control listens at.
    ///
    /// # Errors
    /// [`StartFault`] when loopback has no port left.
    pub fn at(api: ReservedAddress, config: &Config) -> Result<Self, StartFault> {
        let wanted =
            (config.tls.is_some() && config.own_edge.is_some()).then_some((Ipv4Addr::LOCALHOST, 0_u16));
        let own = wanted.map(std::net::TcpListener::bind).transpose();
        Ok(Self { api, own: own.map_err(|e| cannot_listen("--api", config.api, e))? })
    }

    /// Holds them besides.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn held(&self) -> io::Result<HeldSockets> {
        let api = match &self.api {
            ReservedAddress::Bound(socket) => socket.as_fd(),
            ReservedAddress::Given(listener) | ReservedAddress::Inherited(listener) => listener.as_fd(),
        };
        let given = matches!(self.api, ReservedAddress::Given(_));
        let own = self.own.as_ref().map(|own| own.as_fd().try_clone_to_owned()).transpose()?;
        Ok(HeldSockets { api: api.try_clone_to_owned()?, given, own })
    }

    pub(super) fn listen(self) -> io::Result<OpenSockets> {
        let (listener, given) = match self.api {
            ReservedAddress::Bound(socket) => (socket.listen(QUEUE)?, false),
            ReservedAddress::Given(listener) => (taken(listener)?, true),
            ReservedAddress::Inherited(listener) => (taken(listener)?, false),
        };
        let own = self.own.map(taken).transpose()?.map(|listener| OwnListener { listener, given: false });
        Ok(OpenSockets { api: OwnListener { listener, given }, own })
    }
}

impl HeldSockets {
    /// Those of a control in another process: that of the API, and that for the edge beside it.
    #[must_use]
    pub fn of(api: OwnedFd, given: bool, own: Option<OwnedFd>) -> Self {
        Self { api, given, own }
    }

    /// For a control of this process that goes on with them.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn sockets(&self) -> io::Result<ApiSockets> {
        let api = std::net::TcpListener::from(self.api.try_clone()?);
        let api = if self.given { ReservedAddress::Given(api) } else { ReservedAddress::Inherited(api) };
        let own = self.own.as_ref().map(OwnedFd::try_clone).transpose()?;
        Ok(ApiSockets { api, own: own.map(std::net::TcpListener::from) })
    }

    /// Whether that of the API is the service manager's.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.given
    }

    /// For a control in another process: that of the API first.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        [Some(&self.api), self.own.as_ref()].into_iter().flatten().map(OwnedFd::try_clone).collect()
    }
}

fn taken(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Takes the address of the API before a store is opened: one that is opened begins a history, and a start that fails then
/// would have begun one for nothing.
///
/// # Errors
/// [`StartFault`]
pub fn take(api: SocketAddr) -> Result<ReservedAddress, StartFault> {
    let take = || {
        let socket = if api.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(api).map(|()| socket)
    };
    take().map(ReservedAddress::Bound).map_err(|e| cannot_listen("--api", api, e))
}

/// Where the edge in this process finds the API, as a URL.
pub(super) fn own_address(api: SocketAddr, own: Option<&OwnListener>) -> io::Result<String> {
    let own = own.map_or(Ok(reachable(api)), |own| own.listener.local_addr());
    own.map(|own| format!("http://{own}"))
}

/// The address by which this machine reaches a listener: loopback where it listens on every address.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(own) if own.ip().is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(own) if own.ip().is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
