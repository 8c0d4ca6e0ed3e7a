//! Why an address cannot be listened on, for the person who gave it.

use crate::StartFault;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;

/// One line: what is wrong with the address, and the flag that gives another.
pub fn cannot_listen(flag: &str, address: SocketAddr, fault: Error) -> StartFault {
    let words = match fault.kind() {
        ErrorKind::AddrInUse => {
            format!(
                "{address} is in use by another process: stop that one, or give another address with {flag}"
            )
        }
        ErrorKind::AddrNotAvailable => {
            format!("{} is no address of this machine: give one of its own with {flag}", address.ip())
        }
        ErrorKind::PermissionDenied => format!(
            "may not listen on {address}: ports below 1024 take root or the capability NET_BIND_SERVICE; give another \
             with {flag}"
        ),
        _ => format!("cannot listen on {address} ({flag}): {fault}"),
    };
    StartFault::with(words, fault)
}
