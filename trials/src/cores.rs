//! What cores and processes have done, as the kernel counts it, in hundredths of a second.

use std::fs;

/// Seconds of a core that a process has used, with all its threads.
pub fn cpu_seconds(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything: user and system time are the 12th and 13th.
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// What a core has done since the machine began, in hundredths of a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct CoreTime {
    idle: f64,
    all: f64,
}

impl CoreTime {
    /// Of the core with this number.
    pub fn of(core: &str) -> Self {
        Self::read(&fs::read_to_string("/proc/stat").unwrap_or_default(), core)
    }

    fn read(stat: &str, core: &str) -> Self {
        let name = format!("cpu{core} ");
        let line = stat.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_default();
        // user, nice, system, idle, waiting for a disk, interrupts of both kinds, taken by the host; what follows is in the first two.
        let times: Vec<f64> = line.split_whitespace().filter_map(|time| time.parse().ok()).take(8).collect();
        Self { idle: times.iter().skip(3).take(2).sum(), all: times.iter().sum() }
    }

    /// Which part of the time since `before` it was busy.
    pub fn busy_since(self, before: Self) -> f64 {
        1.0 - (self.idle - before.idle) / (self.all - before.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn what_a_core_waits_for_a_disk_is_idle() {
        let stat =
            |line: &str| format!("cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 1 1 1 1 1 1 1 1 0\ncpu1 {line}\nintr 1\n");
        let before = CoreTime::read(&stat("100 0 50 1000 10 0 5 0 7 0"), "1");
        let then = CoreTime::read(&stat("110 5 60 1060 20 0 10 0 8 0"), "1");
        assert!((then.busy_since(before) - 0.3).abs() < 1e-9, "30 of 100");
    }

    #[test]
    fn this_process_has_used_some() {
        let (own, until) = (std::process::id(), Instant::now() + Duration::from_secs(60));
        while cpu_seconds(own) == 0.0 && Instant::now() < until {}
        assert!(cpu_seconds(own) > 0.0);
    }
}
