//! Everything that is known of a deployment before any of it is judged. Nothing is asked here.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What was found out.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Unix time in seconds, by the clock of this machine.
    pub now: i64,
    /// This program.
    pub own: Build,
    pub settings: Settings,
    pub machine: Machine,
    /// Where files are kept.
    pub places: Vec<Place>,
    /// Files of secrets.
    pub secrets: Vec<SecretFile>,
    pub certificates: Vec<Certificate>,
    /// What a backup, a restore or a start left behind.
    pub left: Vec<PathBuf>,
    /// What answers at the admin address of the settings; `None`: nothing does.
    pub running: Option<Running>,
    /// What answers at the addresses of `--also`, or why nothing does.
    pub others: Vec<(String, Result<Running, String>)>,
    /// Why this user cannot use the file of the clicks beside that of SQLite; `None`: he can, or there is none.
    pub clicks_unusable: Option<String>,
    /// What PostgreSQL says of itself, or why it says nothing; `None`: there is none.
    pub postgres: Option<Result<store::postgres::Survey, String>>,
    /// Tables in the file of SQLite as a start finds them, or why the file cannot be read; `None`: the links are in no file.
    pub sqlite: Option<Result<store::TableSurvey, String>>,
    /// Answers of Redis about itself, or why none came; `None`: no Redis is given.
    pub redis: Option<Result<control::RedisSurvey, String>>,
}

/// A version, and the commit it was built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    pub version: String,
    pub commit: String,
}

/// What the flags, the environment and `linkr.toml` ask for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Why a start would refuse them.
    pub refused: Option<String>,
    /// Where the API is, of a server that has one.
    pub api: Option<SocketAddr>,
    /// Whether the API asks nobody for a key.
    pub insecure: bool,
    /// Which controls an edge follows.
    pub control: Vec<String>,
    /// Of a server that answers redirects.
    pub front: Option<Front>,
    /// Hosts that the address of PostgreSQL names.
    pub store_hosts: usize,
    /// Whether an old primary is always stopped first.
    pub fenced: bool,
    /// Hosts of Redis beyond this machine that are asked without a password.
    pub redis_open: Vec<String>,
}

/// Settings of a server that answers redirects.
#[derive(Clone, Debug)]
pub struct Front {
    pub hot_set_bytes: u64,
    /// 0: one for each core.
    pub workers: usize,
    /// Whether a start needs no control, and another process can go on in its place.
    pub snapshot: bool,
    /// Whether control is in the same process, so that a start never lacks it.
    pub with_control: bool,
    /// What clicks may take on disk; `None`: none are counted.
    pub spool_bytes: Option<u64>,
    /// Whether Redis is asked for what does not fit.
    pub redis: bool,
    /// Whether a database of countries is named.
    pub geo: bool,
}

/// The machine, as a process of this user sees it.
#[derive(Clone, Debug)]
pub struct Machine {
    /// `None`: the kernel does not say.
    pub clock_is_kept: Option<bool>,
    /// The release of the kernel, such as 6.1.0-18-amd64.
    pub kernel: String,
    /// The best driver of an edge here, and why it is no better one.
    pub driver: edge::Driver,
    pub driver_because: String,
    /// Descriptors that a process may have.
    pub files: u64,
    /// Bytes that a process may lock in memory.
    pub locked_bytes: u64,
    /// Bytes of memory: of the machine, or of the group of processes if that may have less.
    pub memory: u64,
    /// Bytes that are free or can be freed.
    pub memory_free: u64,
    pub cores: usize,
    /// Connections that the queue of a listener may hold (`net.core.somaxconn`).
    pub queue: u64,
}

/// A directory that something is kept in.
#[derive(Clone, Debug)]
pub struct Place {
    pub what: PlaceUse,
    pub path: PathBuf,
    pub kind: FileSystem,
    pub bytes: u64,
    pub free: u64,
    /// Files that may still be made, of how many; 0 of 0: any number.
    pub files_free: u64,
    pub files: u64,
}

/// What it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceUse {
    Store,
    Snapshot,
    Clicks,
}

impl PlaceUse {
    pub fn name(self) -> &'static str {
        match self {
            Self::Store => "the links",
            Self::Snapshot => "the snapshot",
            Self::Clicks => "clicks",
        }
    }
}

/// What kind of file system it is, as far as that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    Disk,
    /// In memory: gone with the machine.
    Memory,
    /// The layer of a container: gone with it.
    Layer,
    Network,
}

/// A file that only its owner should read.
#[derive(Clone, Debug)]
pub struct SecretFile {
    /// The flag that names it.
    pub flag: &'static str,
    pub path: PathBuf,
    /// Whether others may read it.
    pub is_open: bool,
}

#[derive(Clone, Debug)]
pub struct Certificate {
    /// The flag that names it.
    pub flag: &'static str,
    pub path: PathBuf,
    /// Unix time in seconds.
    pub ends: i64,
}

/// A server that answers at its admin address.
#[derive(Clone, Debug)]
pub struct Running {
    pub admin: String,
    /// Seconds that its clock is ahead of this machine's, to about 1 s.
    pub ahead_s: f64,
    /// What it waits for, if it is not ready.
    pub not_ready: Option<String>,
    /// Each series of `/metrics`, as it is written there, and its value.
    pub series: Vec<(String, f64)>,
}

impl Running {
    /// The value of the series of this name and these labels.
    pub fn value(&self, series: &str) -> Option<f64> {
        self.series.iter().find(|(known, _)| known == series).map(|(_, value)| *value)
    }

    /// All series of a family: their labels, as they are written, and their values.
    pub fn family<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.series.iter().filter_map(move |(series, value)| {
            let labels = series.strip_prefix(name)?.strip_prefix('{')?.strip_suffix('}')?;
            Some((labels, *value))
        })
    }

    /// What was built into it.
    pub fn build(&self) -> Option<Build> {
        let labels = self.family("linkr_build_info").find_map(|(labels, _)| {
            Some((label(labels, "version")?.to_owned(), label(labels, "commit")?.to_owned()))
        });
        labels.map(|(version, commit)| Build { version, commit })
    }
}

/// The value of one of the labels of a series. Names of edges hold no quotes.
pub fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = labels;
    while let Some((known, behind)) = rest.split_once("=\"") {
        let (value, behind) = behind.split_once('"')?;
        if known == name {
            return Some(value);
        }
        rest = behind.trim_start_matches(',');
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_by_their_names() {
        let labels = "version=\"1.0.0\",commit=\"abc\"";
        assert_eq!((label(labels, "commit"), label(labels, "version")), (Some("abc"), Some("1.0.0")));
        assert_eq!(label(labels, "other"), None);
        assert_eq!(label("", "version"), None);
    }
}
