//! Checks of the machine: limits, kernel, disk, memory, clock.

use super::{Check, Finding, size};
use crate::doctor::facts::{Facts, FileSystem, Place, PlaceUse, label};
use edge::Driver;

pub const CHECKS: &[Check] =
    &[clock_kept, clocks_apart, files, driver, locked, queue, workers, budget, handover, disks, spool, kinds];

/// Seconds that two clocks may differ; those of HTTP go by whole seconds.
const APART_S: f64 = 3.0;
/// Each visitor's connection is a descriptor.
const FILES: u64 = 8_192;
/// From this kernel on io_uring takes no memory that has to be locked.
const UNLOCKED: (u32, u32) = (5, 12);
/// The rings of one worker.
const RINGS_BYTES: u64 = 512 << 10;
/// A twentieth of a disk should be free, but no more than these bytes are asked for.
const FREE: u64 = 1 << 30;

fn clock_kept(facts: &Facts) -> Vec<Finding> {
    let found = (facts.machine.clock_is_kept == Some(false)).then(|| {
        Finding::new(
            "clock_not_kept",
            "nobody keeps the clock of this machine in step: links expire by it, and clicks are counted under its time",
            "start a client of NTP, such as systemd-timesyncd or chrony",
        )
    });
    found.into_iter().collect()
}

fn clocks_apart(facts: &Facts) -> Vec<Finding> {
    let servers = facts.others.iter().filter_map(|(_, other)| other.as_ref().ok()).chain(&facts.running);
    let servers = servers.map(|server| (server.admin.clone(), server.ahead_s));
    let postgres = facts.postgres.iter().flatten().map(|survey| ("PostgreSQL".to_owned(), survey.ahead_s));
    let apart = servers.chain(postgres).filter(|(_, ahead)| ahead.abs() > APART_S);
    let found = apart.map(|(name, ahead)| {
        let way = if ahead > 0.0 { "ahead of" } else { "behind" };
        Finding::new(
            "clocks_apart",
            format!(
                "the clock of {name} is {:.0} s {way} this machine's: a link expires at another moment there",
                ahead.abs()
            ),
            "keep the clocks of all machines in step (NTP); set right the one that is wrong",
        )
    });
    found.collect()
}

fn files(facts: &Facts) -> Vec<Finding> {
    let Some(_) = facts.settings.front else { return Vec::new() };
    let running = facts.running.as_ref().and_then(|running| running.value("process_max_fds"));
    let most = running.map_or(facts.machine.files, |most| most as u64);
    let found = (most < FILES).then(|| {
        Finding::new(
            "files_few",
            format!("a process may have {most} descriptors here, and each visitor's connection is one: more than that wait"),
            "raise the limit: LimitNOFILE=1048576 in the unit, --ulimit nofile=1048576 of a container, or ulimit -n",
        )
    });
    found.into_iter().collect()
}

fn driver(facts: &Facts) -> Vec<Finding> {
    let Some(_) = facts.settings.front else { return Vec::new() };
    let running = facts.running.as_ref().and_then(|running| {
        running.family("linkr_runtime_info").find_map(|(labels, _)| label(labels, "driver"))
    });
    let driver = running.unwrap_or(facts.machine.driver.name());
    let because = match facts.machine.driver.name() == driver {
        true => facts.machine.driver_because.as_str(),
        false => "its process may do less than this one",
    };
    if driver == Driver::Epoll.name() {
        return vec![Finding::new(
            "no_io_uring",
            format!("an edge runs on epoll here, at more of the processor for each redirect: {because}"),
            "allow io_uring: Linux 5.6 or later, kernel.io_uring_disabled = 0, and in a container --security-opt \
             seccomp=deploy/seccomp.json",
        )];
    }
    if driver == Driver::IoUringPlain.name() {
        return vec![Finding::new(
            "io_uring_plain",
            format!(
                "the kernel grants io_uring without SINGLE_ISSUER and COOP_TASKRUN, at 1.6 times the processor for each \
                     redirect: {because}"
            ),
            "run Linux 6.0 or later",
        )];
    }
    Vec::new()
}

fn locked(facts: &Facts) -> Vec<Finding> {
    let Some(front) = &facts.settings.front else { return Vec::new() };
    let workers = if front.workers == 0 { facts.machine.cores } else { front.workers } as u64;
    let needs = release(&facts.machine.kernel).is_some_and(|release| release < UNLOCKED);
    let found = (needs && facts.machine.locked_bytes < workers * RINGS_BYTES).then(|| {
        Finding::new(
            "locked_memory_short",
            format!(
                "Linux {} locks the memory of io_uring, {} for {workers} workers, and {} may be locked: the edge runs on epoll",
                facts.machine.kernel,
                size(workers * RINGS_BYTES),
                size(facts.machine.locked_bytes)
            ),
            "raise the limit (LimitMEMLOCK=64M in the unit, ulimit -l), or run Linux 5.12 or later",
        )
    });
    found.into_iter().collect()
}

/// The first two numbers of a release.
fn release(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn queue(facts: &Facts) -> Vec<Finding> {
    let wanted = edge::ACCEPT_QUEUE as u64;
    let short = facts.settings.front.is_some() && facts.machine.queue < wanted;
    let found = short.then(|| {
        Finding::new(
            "queue_short",
            format!(
                "net.core.somaxconn is {}: of more connections that come at once some wait a second for a second try",
                facts.machine.queue
            ),
            format!("sysctl net.core.somaxconn={wanted}, in /etc/sysctl.d for good; of a container with its --sysctl"),
        )
    });
    found.into_iter().collect()
}

fn workers(facts: &Facts) -> Vec<Finding> {
    let front = facts.settings.front.as_ref().filter(|front| front.workers > facts.machine.cores);
    let found = front.map(|front| {
        Finding::new(
            "workers_many",
            format!(
                "--workers {} on {} cores: workers share a core, and one waits while the other answers",
                front.workers, facts.machine.cores
            ),
            "leave --workers out: there is one for each core then",
        )
    });
    found.into_iter().collect()
}

fn budget(facts: &Facts) -> Vec<Finding> {
    let (machine, front) = (&facts.machine, facts.settings.front.as_ref());
    let found = front.filter(|front| front.hot_set_bytes > machine.memory / 10 * 9).map(|front| {
        Finding::new(
            "memory_short",
            format!(
                "--hot-set-bytes lets links take {}, and there is {} of memory: the kernel ends the process when they come",
                size(front.hot_set_bytes),
                size(machine.memory)
            ),
            "give less, or more memory (docs/sizing.md); links that do not fit are asked of Redis or control",
        )
    });
    found.into_iter().collect()
}

fn handover(facts: &Facts) -> Vec<Finding> {
    let Some(front) = facts.settings.front.as_ref().filter(|front| front.snapshot || front.with_control)
    else {
        return Vec::new();
    };
    let Some(set) = facts.running.as_ref().and_then(|running| running.value("linkr_hot_set_bytes")) else {
        return Vec::new();
    };
    // It has a share of the budget to grow by, which the next process has as well.
    let (needs, free) = (set as u64, facts.machine.memory_free);
    let found = (needs > free && front.hot_set_bytes <= facts.machine.memory / 10 * 9).then(|| {
        Finding::new(
            "handover_memory",
            format!(
                "links take {}, twice that while another process takes over (--upgrade), and {} is free: the kernel may end both",
                size(needs),
                size(free)
            ),
            "free memory before the next upgrade, or stop and start the edge behind a balancer (docs/stopping.md)",
        )
    });
    found.into_iter().collect()
}

fn disks(facts: &Facts) -> Vec<Finding> {
    let short = |place: &&Place| {
        place.free < FREE.min(place.bytes / 20) || (place.files > 0 && place.files_free < place.files / 100)
    };
    let found = facts.places.iter().filter(short).map(|place| {
        let (what, path) = (place.what.name(), place.path.display());
        Finding::new(
            "disk_full",
            format!(
                "{path}, where {what} are kept, has {} and {} files left: writes will fail",
                size(place.free),
                place.files_free
            ),
            "make room, or move it to a larger disk",
        )
    });
    found.collect()
}

fn spool(facts: &Facts) -> Vec<Finding> {
    let budget = facts.settings.front.as_ref().and_then(|front| front.spool_bytes);
    let place = facts.places.iter().find(|place| place.what == PlaceUse::Clicks);
    let (Some(budget), Some(place)) = (budget, place) else { return Vec::new() };
    let held = facts.running.as_ref().and_then(|running| running.value("linkr_clicks_spool_bytes"));
    let room = place.free + held.unwrap_or(0.0) as u64;
    let found = (room < budget).then(|| {
        Finding::new(
            "spool_room",
            format!(
                "clicks may take {} in {} while control is away (--clicks-spool-bytes), and the disk has room for {}: it is full \
                 before they are at their bound",
                size(budget),
                place.path.display(),
                size(room)
            ),
            "give a smaller --clicks-spool-bytes (a million clicks take about 30MiB), or a larger disk",
        )
    });
    found.into_iter().collect()
}

fn kinds(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for place in &facts.places {
        let (what, path) = (place.what.name(), place.path.display());
        let gone = match place.kind {
            FileSystem::Memory => "the machine is started again",
            FileSystem::Layer => "the container is made anew",
            FileSystem::Network if place.what == PlaceUse::Store => {
                found.push(Finding::new(
                    "store_on_network",
                    format!("{path} is on a network file system: SQLite's locks do not hold there, and the file may be damaged"),
                    "keep it on a disk of this machine, or use PostgreSQL",
                ));
                continue;
            }
            FileSystem::Network | FileSystem::Disk => continue,
        };
        found.push(Finding::new(
            "not_on_disk",
            format!("{what} are kept in {path}, which is in memory or in the layer of a container: they are gone when {gone}"),
            "keep them on a disk, or a volume of the container",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::{finds, shows, sound};
    use super::*;

    #[test]
    fn clocks() {
        finds("clock_not_kept", |facts| facts.machine.clock_is_kept = Some(false));
        let behind = finds("clocks_apart", |facts| facts.others[0].1.as_mut().unwrap().ahead_s = -7.0);
        assert!(behind.cause.contains("10.0.0.2:8083 is 7 s behind"), "{}", behind.cause);
        finds("clocks_apart", |facts| facts.postgres.as_mut().unwrap().as_mut().unwrap().ahead_s = 90.0);
    }

    #[test]
    fn descriptors() {
        finds("files_few", |facts| shows(facts, "process_max_fds", 1024.0));
        finds("files_few", |facts| (facts.running, facts.machine.files) = (None, 1024));
    }

    #[test]
    fn what_the_kernel_lacks() {
        finds("no_io_uring", |facts| {
            (facts.running, facts.machine.driver) = (None, Driver::Epoll);
        });
        let plain = finds("io_uring_plain", |facts| {
            facts.machine.driver = Driver::IoUringPlain;
            facts.machine.driver_because = "Linux 5.15".into();
            facts.running.as_mut().unwrap().series[1].0 =
                "linkr_runtime_info{driver=\"io_uring without flags\"}".into();
        });
        assert!(plain.cause.ends_with("Linux 5.15"), "{}", plain.cause);
        finds("locked_memory_short", |facts| {
            (facts.machine.kernel, facts.machine.locked_bytes) = ("5.10.0-8".into(), 64 << 10);
        });
        finds("queue_short", |facts| facts.machine.queue = 128);
        assert_eq!(release("6.18.44-fc"), Some((6, 18)));
    }

    #[test]
    fn processors_and_memory() {
        finds("workers_many", |facts| facts.settings.front.as_mut().unwrap().workers = 9);
        finds("memory_short", |facts| facts.settings.front.as_mut().unwrap().hot_set_bytes = 15 << 30);
        finds("handover_memory", |facts| facts.machine.memory_free = 100 << 20);
    }

    #[test]
    fn disks_without_room() {
        finds("disk_full", |facts| facts.places[0].free = 1 << 20);
        finds("disk_full", |facts| facts.places[0].files_free = 5);
        finds("spool_room", |facts| facts.places[1].free = 2 << 30);
    }

    #[test]
    fn disks_that_are_none() {
        finds("not_on_disk", |facts| facts.places[0].kind = FileSystem::Memory);
        finds("not_on_disk", |facts| facts.places[1].kind = FileSystem::Layer);
        finds("store_on_network", |facts| facts.places[0].kind = FileSystem::Network);
        let mut facts = sound();
        facts.places[1].kind = FileSystem::Network; // a spool has no locks between machines
        assert_eq!(super::super::all(&facts), []);
    }
}
