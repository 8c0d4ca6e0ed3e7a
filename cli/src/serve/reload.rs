//! `systemctl reload`: systemd waits for the end of what `ExecReload=` runs, and a process that takes over has to stay. So the
//! one that systemd runs starts that one in the background, and ends once it serves.

use super::supervisor::{self, WAITED_FOR};
use crate::fault::CommandFault;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

/// The number of the main process: systemd sets it in whatever else it runs for a unit.
const MAIN: &str = "MAINPID";
/// Only the main process of a unit is told how often it has to say that it lives.
const WATCHDOG: &str = "WATCHDOG_USEC";

/// Run by systemd for a reload: starts the same command in the background, and returns once that has taken over or ended. `None`:
/// this process is not run by systemd for a reload, and takes over itself.
pub fn in_background() -> Option<Result<(), CommandFault>> {
    let main = std::env::var(MAIN).ok()?;
    Some(start(&main))
}

fn start(main: &str) -> Result<(), CommandFault> {
    let cannot = |fault| CommandFault::new(format_args!("cannot start the process that takes over: {fault}"));
    let (mut told, tells) = UnixStream::pair().map_err(cannot)?;
    let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
    command.args(std::env::args_os().skip(1)).stdin(OwnedFd::from(tells)).env(WAITED_FOR, "1");
    command.env_remove(MAIN).env_remove("WATCHDOG_PID");
    if let Some(every) = watchdog_of(main) {
        command.env(WATCHDOG, every);
    }
    let mut newcomer = command.spawn().map_err(cannot)?;
    drop(command); // and with it our copy of what the newcomer tells by
    if told.read_exact(&mut [0]).is_ok() {
        return Ok(());
    }
    let ended = newcomer.wait().map_err(cannot)?;
    supervisor::nothing_changes();
    Err(CommandFault::new(format_args!(
        "the process that should take over has ended ({ended}), and said why above: the one that runs serves on"
    )))
}

/// `WATCHDOG_USEC` as systemd gave it to the main process, from that one's environment.
fn watchdog_of(main: &str) -> Option<String> {
    let all = std::fs::read(format!("/proc/{main}/environ")).ok()?;
    let mut all = all.split(|byte| *byte == 0).filter_map(|pair| std::str::from_utf8(pair).ok());
    all.find_map(|pair| Some(pair.strip_prefix(WATCHDOG)?.strip_prefix('=')?.to_owned()))
}
