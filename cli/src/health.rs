//! `linkr healthcheck`: asks an admin listener whether its process is ready. Made for container health checks.

use crate::fault::CommandFault;
use crate::{admin, out};
use std::io::ErrorKind;

/// Succeeds when `/readyz` at `admin` answers 200.
pub fn check(admin: &str) -> Result<(), CommandFault> {
    match admin::get(admin, "/readyz") {
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
