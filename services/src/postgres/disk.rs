//! A file system of its own for the data of a server, in memory, which can be made full.

use crate::Fault;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Far more than anybody writes: memory is only taken for what is there.
const ROOM: &str = "16g";
/// The server may write between the two steps of making it full.
const ATTEMPTS: usize = 50;

/// Where a server keeps its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The disk that temporary files are on.
    Disk,
    /// A file system of its own, which can be made full. Only root may make one.
    Own,
}

/// A mounted file system, gone when it is dropped.
#[derive(Debug)]
pub(super) struct Disk(PathBuf);

impl Disk {
    /// [`Fault::Missing`] where mounting is not permitted.
    pub(super) fn mount(path: &Path, owner: Option<(u32, u32)>) -> Result<Self, Fault> {
        std::fs::create_dir_all(path).map_err(|e| Fault::Failed(e.to_string()))?;
        let (uid, gid) = owner.unwrap_or_default();
        let options = format!("size={ROOM},mode=0700,uid={uid},gid={gid}");
        let mounted = tool("mount", &["-t", "tmpfs", "-o", &options, "linkr"], path);
        mounted.map_err(|_| Fault::Missing("a file system of its own cannot be mounted: it".into()))?;
        Ok(Self(path.to_owned()))
    }

    /// From now on it is no larger than what it holds.
    pub(super) fn fill(&self) -> Result<(), Fault> {
        let mut last = Err(Fault::Failed("no attempt was made".into()));
        for _ in 0..ATTEMPTS {
            let said = tool("df", &["--block-size=1", "--output=used"], &self.0)?;
            let used = said.lines().last().unwrap_or_default().trim();
            last = tool("mount", &["-o", &format!("remount,size={used}")], &self.0).map(drop);
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// It has room again.
    pub(super) fn empty(&self) -> Result<(), Fault> {
        tool("mount", &["-o", &format!("remount,size={ROOM}")], &self.0).map(drop)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = tool("umount", &["--lazy"], &self.0); // the folder says so if it is still there
    }
}

fn tool(name: &str, words: &[&str], path: &Path) -> Result<String, Fault> {
    let done = Command::new(name).args(words).arg(path).output();
    let done = done.map_err(|e| Fault::Failed(format!("cannot run {name}: {e}")))?;
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() {
        Ok(told(&done.stdout))
    } else {
        Err(Fault::Failed(format!("{name}: {}", told(&done.stderr))))
    }
}
