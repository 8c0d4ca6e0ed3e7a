//! `linkr healthcheck`: asks an admin listener whether its process is ready. Made for container health checks.

use crate::fault::CommandFault;
use crate::{admin, out};
use std::io::ErrorKind;

/// Where an admin listener is unless somebody says otherwise: of an edge or of both halves, and of control alone.
const USUAL: [&str; 2] = ["127.0.0.1:8082", "127.0.0.1:8083"];

/// Succeeds when `/readyz` at `admin` answers 200; without one, at the first usual place where somebody listens.
///
/// # Errors
/// Not ready, nobody there, or no address.
pub fn check(admin: Option<&str>) -> Result<(), CommandFault> {
    let [first, second] = USUAL;
    if let Some(admin) = admin {
        return judged(admin, admin::get(admin, "/readyz"));
    }
    match admin::get(first, "/readyz") {
        Err(fault) if fault.kind() == ErrorKind::ConnectionRefused => {
            judged(second, admin::get(second, "/readyz"))
        }
        answer => judged(first, answer),
    }
}

fn judged(admin: &str, answer: std::io::Result<(u16, String)>) -> Result<(), CommandFault> {
    match answer {
        Ok((200, _)) => out::line("ready"),
        Ok((status @ (404 | 401), _)) => Err(CommandFault::no(format_args!(
            "what answers at {admin} has no /readyz ({status}): is it the redirect or the API port? --admin names the admin \
             listener, usually 127.0.0.1:8082"
        ))),
        Ok((status, _)) => Err(CommandFault::no(format_args!("{admin} is not ready: it answers {status}"))),
        Err(fault) if fault.kind() == ErrorKind::InvalidData => {
            Err(CommandFault::no(format_args!("what answers at {admin} is not linkr's admin listener")))
        }
        Err(fault) if fault.kind() == ErrorKind::InvalidInput => Err(CommandFault::new(format_args!(
            "--admin {admin} is no address of an admin listener: {fault}"
        ))),
        Err(fault) => {
            Err(CommandFault::no(format_args!("nothing answers at {admin} ({fault}): is linkr running?")))
        }
    }
}
