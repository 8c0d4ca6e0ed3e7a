//! The program that a trial is of, how it is called, and a folder for its files.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The linkr beside this program, or the one that `LINKR_BIN` names.
///
/// # Errors
/// There is none.
pub fn linkr() -> Result<PathBuf, String> {
    let beside = || {
        let own = std::env::current_exe().ok()?;
        Some(own.with_file_name("linkr"))
    };
    let path = std::env::var_os("LINKR_BIN").map(PathBuf::from).or_else(beside).unwrap_or_default();
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("there is no {}: build linkr with the same profile, or set LINKR_BIN", path.display()))
    }
}

/// A command that sees nothing of the settings of whoever runs the trial.
pub fn command(program: &Path, dir: &Path, words: &[&str]) -> Command {
    let mut command = services::command(program, dir);
    command.args(words);
    command
}

/// A directory of its own; gone at the end, unless it is kept.
pub struct Dir {
    path: PathBuf,
    kept: bool,
}

impl Dir {
    /// Makes it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("linkr-trials-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|fault| format!("cannot make {}: {fault}", path.display()))?;
        Ok(Self { path, kept: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it there, for whoever wants to know what happened.
    pub fn keep(&mut self) -> &Path {
        self.kept = true;
        &self.path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// The wall clock, for numbers that should differ from run to run.
pub fn unix_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(0)
}
