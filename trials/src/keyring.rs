//! The keys of a trial: of whoever writes, of each edge, and of the one that is robbed.

use crate::process::command;
use proto::client::{Access, KeySource, KeyedChannel};
use std::path::{Path, PathBuf};
use tonic::transport::Channel;

/// Whose key reads and writes.
pub const ADMIN: &str = "admin";

/// Where they lie; without them nobody is asked for one.
#[derive(Clone, Debug, Default)]
pub struct Keyring(Option<PathBuf>);

impl Keyring {
    /// Makes them in `dir`, in a store that no control has opened yet.
    ///
    /// # Errors
    /// The binary says why not.
    pub fn new(binary: &Path, dir: &Path, store: &str, edges: &[String]) -> Result<Self, String> {
        let ring = Self(Some(dir.to_owned()));
        ring.mint(binary, store, ADMIN, &[])?;
        for edge in edges {
            ring.mint(binary, store, edge, &["--scopes", "feed", "--edge", edge])?;
        }
        Ok(ring)
    }

    fn mint(&self, binary: &Path, store: &str, name: &str, more: &[&str]) -> Result<(), String> {
        let Some(file) = self.file(name) else { return Ok(()) };
        let words = [&["control", "--store", store, "mint-key", "--name", name], more].concat();
        let dir = file.parent().unwrap_or(Path::new("."));
        let done = command(binary, dir, &words).output().map_err(|fault| fault.to_string())?;
        if !done.status.success() {
            return Err(format!("no key for {name}: {}", String::from_utf8_lossy(&done.stderr).trim()));
        }
        std::fs::write(&file, done.stdout)
            .map_err(|fault| format!("cannot write {}: {fault}", file.display()))
    }

    /// The file with the key of an edge, or of the admin.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        self.0.as_ref().map(|dir| dir.join(format!("{name}.key")))
    }

    /// A connection on which every call shows that key.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn way(&self, channel: Channel, name: &str) -> Result<KeyedChannel, String> {
        let key = self.file(name).map_or(KeySource::None, KeySource::File);
        Access { key, ..Access::default() }.way(channel)
    }
}
