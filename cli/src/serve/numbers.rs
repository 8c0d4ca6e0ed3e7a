//! What this process counts besides its halves: itself.

use crate::log;
use exposition::{Build, Collector, Encoder, Families, certificates, clock};
use std::fmt;
use std::fs::{read_dir, read_to_string};

/// Of `/proc`: it is 100 on every machine that Linux runs on (`USER_HZ`).
const TICKS: f64 = 100.0;

/// The program.
pub const BUILD: Build = Build { version: env!("CARGO_PKG_VERSION"), commit: env!("LINKR_COMMIT") };

/// The process as a whole.
#[derive(Debug)]
pub struct Process;

impl Collector for Process {
    fn encode(&self, encoder: Encoder<'_>) -> fmt::Result {
        let mut families = Families::new(encoder);
        let help = "Lines of the log that could not be written.";
        families.counter("linkr_log_lines_dropped_total", help, log::dropped())?;
        certificates::encode(&mut families)?;
        clock::encode(&mut families)?;
        let stat = read_to_string("/proc/self/stat").unwrap_or_default();
        let (cpu, start) = times(&stat).unwrap_or_default();
        families.counter_of(
            "process_cpu_seconds_total",
            "Seconds on processors, those of the kernel for this process included.",
            cpu / TICKS,
        )?;
        let booted = number(&read_to_string("/proc/stat").unwrap_or_default(), "btime ").unwrap_or(0.0);
        let help = "When the process began, in seconds of the Unix epoch.";
        families.gauge("process_start_time_seconds", help, booted + start / TICKS)?;
        let status = read_to_string("/proc/self/status").unwrap_or_default();
        for (name, help, line) in [
            ("process_resident_memory_bytes", "Bytes of memory that are resident.", "VmRSS:"),
            ("process_virtual_memory_bytes", "Bytes of address space.", "VmSize:"),
        ] {
            families.gauge(name, help, number(&status, line).unwrap_or(0.0) * 1024.0)?;
        }
        let open = read_dir("/proc/self/fd").map_or(0, |all| all.count().saturating_sub(1)); // but that of the reading
        families.gauge("process_open_fds", "Open file descriptors.", open as f64)?;
        let limits = read_to_string("/proc/self/limits").unwrap_or_default();
        let most = number(&limits, "Max open files").unwrap_or(f64::INFINITY);
        families.gauge("process_max_fds", "File descriptors there may be.", most)?;
        let threads = number(&status, "Threads:").unwrap_or(0.0);
        families.gauge("process_threads", "Threads of this process.", threads)
    }
}

/// The first number behind these words at the beginning of a line.
fn number(text: &str, words: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(words))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Ticks on processors, and from the boot to the start. The name of the program, in brackets, may hold anything.
fn times(stat: &str) -> Option<(f64, f64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok(); // as proc(5) counts them
    Some((field(14)? + field(15)?, field(22)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process() {
        let (cpu, start) = times(&read_to_string("/proc/self/stat").unwrap()).unwrap();
        assert!(cpu >= 0.0 && start > 0.0);
        assert_eq!(
            times("7 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"),
            Some((23.0, 19.0))
        );
        assert!(number(&read_to_string("/proc/self/status").unwrap(), "VmRSS:").unwrap() > 100.0);
        assert!(number(&read_to_string("/proc/self/limits").unwrap(), "Max open files").unwrap() > 1.0);
    }
}
