//! When a worker looks at its deadlines. A timer of the kernel's wakes it, so that no wait of the driver needs a limit in
//! time: setting one for each costs more than everything that it is there for.

use crate::sys;
use monoio::net::TcpListener;
use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

pub struct Ticks {
    timer: File,
    /// The same timer. The driver waits for whatever can be waited for; this is the plainest of what it has to do so.
    waiting: TcpListener,
}

impl Ticks {
    /// One in so much time.
    ///
    /// # Errors
    /// No descriptor is left, or this is not allowed.
    pub fn new(every: Duration) -> io::Result<Self> {
        let timer = sys::timer(every)?;
        let waiting = TcpListener::from_std(timer.try_clone()?.into())?;
        Ok(Self { timer: timer.into(), waiting })
    }

    /// The next one. Those that passed meanwhile are one.
    pub async fn next(&mut self) {
        while self.timer.read_exact(&mut [0; 8]).is_err() {
            drop(self.waiting.readable(false).await);
        }
    }
}
