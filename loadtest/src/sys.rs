//! The system calls that no library here makes for us.
#![allow(unsafe_code)]

/// Pins the calling thread to one core; `false` when the system does not let us.
pub fn pin_to_core(core: usize) -> bool {
    // SAFETY: `set` is a plain bit set, zero is a valid value of it, and both calls only use it during the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core % (8 * size_of::<libc::cpu_set_t>()), &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) == 0
    }
}

/// Clock ticks a second, the unit of CPU times in /proc.
pub fn clock_ticks() -> f64 {
    // SAFETY: no memory is involved.
    unsafe { libc::sysconf(libc::_SC_CLK_TCK) as f64 }
}
