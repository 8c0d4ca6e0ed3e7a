//! A file system of its own for the data of a server: one in memory, which can be made full, or one in a file, which can
//! turn read-only under whoever has files open there, as it does when the kernel meets an error on its disk.

use crate::{ServerFault, program};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Far more than anybody writes: memory is only taken for what is there.
const ROOM: &str = "16g";
/// Bytes of one in a file.
const IN_FILE: u64 = 32 << 20;
/// The server may write between the two steps of making it full.
const ATTEMPTS: usize = 50;

/// The file system that a server keeps its data on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volume {
    /// The disk that temporary files are on.
    Disk,
    /// A file system of its own, which can be made full. Only root may make one.
    Own,
}

impl Volume {
    /// It, at this path.
    pub(crate) fn made(self, path: &Path, owner: Option<(u32, u32)>) -> Result<Option<Disk>, ServerFault> {
        match self {
            Self::Disk => Ok(None),
            Self::Own => Disk::mount(path, owner).map(Some),
        }
    }
}

/// A mounted file system, gone when it is dropped.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// One in memory, of this owner (uid, gid).
    ///
    /// # Errors
    /// [`ServerFault::Missing`] where mounting is not permitted.
    pub fn mount(path: &Path, owner: Option<(u32, u32)>) -> Result<Self, ServerFault> {
        std::fs::create_dir_all(path).map_err(|e| ServerFault::Failed(e.to_string()))?;
        let (uid, gid) = owner.unwrap_or_default();
        let options = format!("size={ROOM},mode=0700,uid={uid},gid={gid}");
        let mounted = tool("mount", &["-t", "tmpfs", "-o", &options, "linkr"], path);
        mounted.map_err(|_| ServerFault::Missing("a file system of its own cannot be mounted: it".into()))?;
        Ok(Self(path.to_owned()))
    }

    /// One in a file beside its path.
    ///
    /// # Errors
    /// [`ServerFault::Missing`] where mounting is not permitted, or there is no `mkfs.ext4`.
    pub fn in_file(path: &Path) -> Result<Self, ServerFault> {
        let (file, mkfs) = (path.with_extension("ext4"), program("mkfs.ext4", &["/sbin".into()])?);
        let failed = |e: std::io::Error| ServerFault::Failed(e.to_string());
        std::fs::create_dir_all(path).map_err(failed)?;
        std::fs::File::create(&file).and_then(|file| file.set_len(IN_FILE)).map_err(failed)?;
        tool(&mkfs.to_string_lossy(), &["-q"], &file)?;
        let mounted = tool("mount", &["-o", "loop", &file.to_string_lossy()], path);
        mounted.map_err(|_| ServerFault::Missing("a file system in a file cannot be mounted: it".into()))?;
        Ok(Self(path.to_owned()))
    }

    /// It is read-only from now on, whatever is open there: what the kernel does behind an error of the disk.
    ///
    /// # Errors
    /// [`ServerFault::Failed`]: it is not one in a file.
    pub fn turn_read_only(&self) -> Result<(), ServerFault> {
        tool("mount", &["-o", "remount,abort"], &self.0).map(drop)
    }

    /// From now on it is no larger than what it holds.
    ///
    /// # Errors
    /// [`ServerFault::Failed`]
    pub fn fill(&self) -> Result<(), ServerFault> {
        let mut last = Err(ServerFault::Failed("no attempt was made".into()));
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
    ///
    /// # Errors
    /// [`ServerFault::Failed`]
    pub fn empty(&self) -> Result<(), ServerFault> {
        tool("mount", &["-o", &format!("remount,size={ROOM}")], &self.0).map(drop)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = tool("umount", &["--lazy"], &self.0); // the folder says so if it is still there
    }
}

fn tool(name: &str, words: &[&str], path: &Path) -> Result<String, ServerFault> {
    let done = Command::new(name).args(words).arg(path).output();
    let done = done.map_err(|e| ServerFault::Failed(format!("cannot run {name}: {e}")))?;
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() {
        Ok(told(&done.stdout))
    } else {
        Err(ServerFault::Failed(format!("{name}: {}", told(&done.stderr))))
    }
}
