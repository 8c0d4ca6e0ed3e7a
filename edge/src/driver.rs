//! The drivers that a worker can run on.

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
