//! Runs a worker on the best driver there is: io_uring with the flags that make it fast, without them, or epoll.

use crate::driver::Driver;
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
use std::io;
use std::sync::mpsc::Sender;

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

/// The best driver that a process of this user may have here: what [`run`] would report.
pub fn best_driver() -> Driver {
    const FEW: u32 = 8; // whether a ring may be had does not depend on its size
    if !monoio::utils::detect_uring() {
        return Driver::Epoll;
    }
    let mut flags: io_uring::Builder = io_uring::IoUring::builder();
    flags.setup_single_issuer().setup_coop_taskrun();
    match (flags.build(FEW), io_uring::IoUring::new(FEW)) {
        (Ok(_), _) => Driver::IoUring,
        (_, Ok(_)) => Driver::IoUringPlain,
        _ => Driver::Epoll,
    }
}

fn uring(flags: io_uring::Builder) -> io::Result<monoio::Runtime<monoio::time::TimeDriver<IoUringDriver>>> {
    RuntimeBuilder::<IoUringDriver>::new().uring_builder(flags).with_entries(ENTRIES).enable_timer().build()
}
