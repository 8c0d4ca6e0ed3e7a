//! `linkr man`: the help of every command as man pages, for packages.

use crate::args::Linkr;
use crate::fault::CommandFault;
use clap::CommandFactory;
use std::path::Path;

/// Writes `linkr.1`, `linkr-up.1`, … into `dir`.
///
/// # Errors
/// A file cannot be written.
pub fn write(dir: &Path) -> Result<(), CommandFault> {
    let written = std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Linkr::command(), dir));
    written.map_err(|fault| CommandFault::new(format_args!("cannot write into {}: {fault}", dir.display())))
}
