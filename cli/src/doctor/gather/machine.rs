//! The machine, and the file systems of a few directories.

use crate::doctor::facts::{FileSystem, Machine, Place, PlaceUse};
use edge::Driver;
use rustix::process::{Resource, getrlimit};
use std::fs::read_to_string;
use std::path::Path;

/// Magic numbers of file systems (statfs(2)).
const MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
const LAYERS: [u64; 1] = [0x794c_7630];
const NETWORKS: [u64; 7] = [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x517b, 0x0102_1997, 0x00c3_6400, 0x5346_414f];

/// This machine, as a process of this user sees it.
pub fn machine() -> Machine {
    let kernel = first_line("/proc/sys/kernel/osrelease");
    let driver = edge::best_driver();
    let (memory, memory_free) = memory();
    Machine {
        clock_is_kept: edge::clock_is_kept(),
        driver,
        driver_because: because(driver, &kernel),
        kernel,
        files: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
        locked_bytes: getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX),
        memory,
        memory_free,
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        queue: first_line("/proc/sys/net/core/somaxconn").parse().unwrap_or(u64::MAX),
    }
}

fn first_line(file: &str) -> String {
    read_to_string(file).unwrap_or_default().lines().next().unwrap_or_default().trim().to_owned()
}

/// Why it is no better driver.
fn because(driver: Driver, kernel: &str) -> String {
    let forced = std::env::var("MONOIO_FORCE_LEGACY_DRIVER").is_ok_and(|value| value != "0");
    let disabled = first_line("/proc/sys/kernel/io_uring_disabled");
    let filtered = number(&read_to_string("/proc/self/status").unwrap_or_default(), "Seccomp:") == Some(2);
    match driver {
        Driver::IoUring => String::new(),
        Driver::Epoll if forced => "MONOIO_FORCE_LEGACY_DRIVER is set".to_owned(),
        Driver::Epoll if !["", "0"].contains(&&*disabled) => {
            format!("kernel.io_uring_disabled is {disabled}")
        }
        Driver::Epoll if filtered => "a filter of system calls (seccomp) forbids io_uring".to_owned(),
        Driver::Epoll | Driver::IoUringPlain => format!("Linux {kernel}"),
    }
}

/// Bytes there are, and bytes that are free or can be freed: of the machine, or of this group if that may have less.
fn memory() -> (u64, u64) {
    let info = read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = |line: &str| number(&info, line).unwrap_or(u64::MAX / 1024).saturating_mul(1024);
    let (all, free) = (bytes("MemTotal:"), bytes("MemAvailable:"));
    let of_group = |file: &str| first_line(&format!("/sys/fs/cgroup/{file}")).parse::<u64>().ok();
    match of_group("memory.max") {
        Some(most) => {
            let used = of_group("memory.current").unwrap_or(0);
            (all.min(most), free.min(most.saturating_sub(used)))
        }
        None => (all, free),
    }
}

/// The first number behind these words at the beginning of a line.
fn number(text: &str, words: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(words))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The file system of a directory, or of the one that it will be made in; `None`: it cannot be asked.
pub fn place(what: PlaceUse, dir: &Path) -> Option<Place> {
    let whole = std::path::absolute(dir).ok()?;
    let there = whole.ancestors().find(|above| above.exists())?;
    let (room, of) = (rustix::fs::statvfs(there).ok()?, rustix::fs::statfs(there).ok()?);
    let kind = of.f_type.cast_unsigned() & 0xffff_ffff;
    Some(Place {
        what,
        path: dir.to_owned(),
        kind: match kind {
            kind if MEMORY.contains(&kind) => FileSystem::Memory,
            kind if LAYERS.contains(&kind) => FileSystem::Layer,
            kind if NETWORKS.contains(&kind) => FileSystem::Network,
            _ => FileSystem::Disk,
        },
        bytes: room.f_blocks.saturating_mul(room.f_frsize),
        free: room.f_bavail.saturating_mul(room.f_frsize),
        files_free: room.f_favail,
        files: room.f_files,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine() {
        let machine = machine();
        assert!(machine.cores > 0 && machine.memory > machine.memory_free && machine.memory_free > 1 << 20);
        assert!(machine.files > 16 && machine.kernel.contains('.') && machine.queue > 0);
    }

    #[test]
    fn places_that_are_not_there_yet_are_those_above_them() {
        let place = place(PlaceUse::Clicks, Path::new("/dev/shm/linkr/not/there")).unwrap();
        assert_eq!(
            (place.kind, place.path.as_path()),
            (FileSystem::Memory, Path::new("/dev/shm/linkr/not/there"))
        );
        assert!(place.bytes >= place.free);
    }
}
