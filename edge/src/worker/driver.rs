//! Which driver a worker runs on: io_uring with the flags that make it fast, without them, or epoll, in this order.

use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
use std::io;
use std::sync::mpsc::Sender;

/// A driver, and how much of it the kernel granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Driver {
    /// io_uring with SINGLE_ISSUER and COOP_TASKRUN (Linux 6.0).
    IoUring = 0,
    /// io_uring without flags: 1.6 times the CPU for each redirect.
    IoUringPlain = 1,
    /// epoll: where io_uring is not there or not allowed, as in most containers.
    Epoll = 2,
}

impl Driver {
    /// In the order of their numbers.
    pub const ALL: [Self; 3] = [Self::IoUring, Self::IoUringPlain, Self::Epoll];

    /// For people and the `driver` label.
    pub fn name(self) -> &'static str {
        ["io_uring", "io_uring without flags", "epoll"][self as usize]
    }
}

/// Submission queue entries: a turn of many ready connections submits several.
const ENTRIES: u32 = 4096;

/// Runs `main` on the best driver there is, which it reports first. Builds the ring on the thread that uses it.
pub fn run<F: Future<Output = ()>>(report: &Sender<io::Result<Driver>>, main: impl FnOnce() -> F) {
    macro_rules! run_on {
        ($runtime:expr, $driver:expr) => {
            if let Ok(mut runtime) = $runtime {
                let _ = report.send(Ok($driver));
                return runtime.block_on(main());
            }
        };
    }
    // Looks at MONOIO_FORCE_LEGACY_DRIVER, and at whether the kernel knows every operation that is used.
    if monoio::utils::detect_uring() {
        let mut flags = io_uring::IoUring::builder();
        flags.setup_single_issuer().setup_coop_taskrun();
        run_on!(uring(flags), Driver::IoUring);
        run_on!(uring(io_uring::IoUring::builder()), Driver::IoUringPlain);
    }
    match RuntimeBuilder::<LegacyDriver>::new().enable_timer().build() {
        Ok(mut runtime) => {
            let _ = report.send(Ok(Driver::Epoll));
            runtime.block_on(main());
        }
        Err(fault) => drop(report.send(Err(fault))),
    }
}

fn uring(flags: io_uring::Builder) -> io::Result<monoio::Runtime<monoio::time::TimeDriver<IoUringDriver>>> {
    RuntimeBuilder::<IoUringDriver>::new().uring_builder(flags).with_entries(ENTRIES).enable_timer().build()
}
