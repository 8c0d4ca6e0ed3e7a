//! The system calls that no library here makes for us.
#![allow(unsafe_code)]

use std::os::fd::AsRawFd;
use std::time::Duration;

/// Pins the calling thread to one core; `false` when the system does not let us.
pub fn pin_to_core(core: usize) -> bool {
    // SAFETY: `set` is a plain bit set, zero is a valid value of it, and both calls only use it during the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core % (8 * size_of::<libc::cpu_set_t>()), &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) == 0
    }
}

/// CPU seconds of a process: user and system, all threads, those that have ended too. 0 when it is gone.
pub fn cpu_seconds(pid: u32) -> f64 {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: both calls only write to the variables they are given, during the call.
    let read = unsafe {
        libc::clock_getcpuclockid(pid as libc::pid_t, &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0
    };
    if read { time.tv_sec as f64 + time.tv_nsec as f64 / 1e9 } else { 0.0 }
}

/// Waits until something can be read, for so long at most: to the microsecond, where `epoll_wait` takes whole milliseconds. A signal
/// ends it earlier, which does no harm to one who looks at the clock again.
pub fn wait_readable(file: &impl AsRawFd, at_most: Duration) {
    let mut asked = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let time = libc::timespec { tv_sec: at_most.as_secs() as _, tv_nsec: at_most.subsec_nanos().into() };
    // SAFETY: both are there until the call ends, and `file` keeps its descriptor open meanwhile.
    unsafe { libc::ppoll(&raw mut asked, 1, &raw const time, std::ptr::null()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::time::Instant;

    #[test]
    fn a_wait_is_as_short_as_it_was_meant_and_ends_with_what_comes() {
        let (one, other) = UnixDatagram::pair().unwrap();
        let wait = |at_most| {
            let began = Instant::now();
            wait_readable(&one, at_most);
            began.elapsed()
        };
        let meant = Duration::from_micros(100);
        let took: Vec<Duration> = (0..50).map(|_| wait(meant)).collect();
        assert!(took.iter().all(|took| *took >= meant), "{took:?}");
        assert!(took.iter().any(|took| *took < Duration::from_millis(1)), "{took:?}");
        other.send(b"x").unwrap();
        let long = Duration::from_secs(60);
        assert!(wait(long) < long);
    }

    #[test]
    fn the_time_of_a_thread_that_has_ended_still_counts() {
        let (own, before) = (std::process::id(), cpu_seconds(std::process::id()));
        let burn = move || {
            let until = Instant::now() + Duration::from_secs(60); // a busy machine lets it wait
            while cpu_seconds(own) <= before + 0.005 && Instant::now() < until {}
        };
        std::thread::spawn(burn).join().unwrap();
        assert!(cpu_seconds(own) > before + 0.005);
        assert_eq!(cpu_seconds(4_194_305), 0.0, "no process can have this number");
    }

    #[test]
    fn a_thread_can_be_pinned() {
        assert!(std::thread::spawn(|| pin_to_core(0)).join().unwrap());
    }
}
