//! What keeps a write of links and a write of a domain from missing each other, within this process: one domain is written
//! at a time, from its checks to its commit; its host is claimed first, and every write of links that began before that is
//! waited for. Writes of links never wait.

use super::directory::Directory;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedMutexGuard, mpsc};

/// A write of links holds it from before it looks where its targets lead until it is committed.
#[derive(Clone)]
pub struct Pass(#[expect(dead_code, reason = "it is there to be dropped")] mpsc::Sender<Infallible>);

/// Each ends when the last pass that was given out with it is dropped. The last one is of those that are given out now.
type PassReceivers = Vec<mpsc::Receiver<Infallible>>;

pub struct Claims {
    pass: Mutex<Pass>,
    turn: Arc<tokio::sync::Mutex<PassReceivers>>,
}

/// Whoever holds it may write a domain. It goes along to the writer: a caller who gives up does not end it.
pub struct DomainTurn {
    given: OwnedMutexGuard<PassReceivers>,
    directory: Arc<Directory>,
}

impl Claims {
    pub fn new() -> Self {
        let (pass, given) = mpsc::channel(1);
        Self { pass: Mutex::new(Pass(pass)), turn: Arc::new(tokio::sync::Mutex::new(vec![given])) }
    }

    /// For a write of links.
    pub fn pass(&self) -> Pass {
        self.pass.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For a write of a domain.
    pub async fn turn(&self, directory: &Arc<Directory>) -> DomainTurn {
        DomainTurn { given: self.turn.clone().lock_owned().await, directory: directory.clone() }
    }

    /// From here on links that lead to the host are refused, and those that were not are committed.
    pub async fn claim(&self, turn: &mut DomainTurn, host: &str) {
        turn.directory.claim(host);
        let (pass, given) = mpsc::channel(1);
        *self.pass.lock().unwrap_or_else(PoisonError::into_inner) = Pass(pass);
        turn.given.push(given);
        while turn.given.len() > 1 {
            let _ = turn.given[0].recv().await; // nothing is ever sent
            turn.given.remove(0);
        }
    }
}

impl Drop for DomainTurn {
    fn drop(&mut self) {
        self.directory.unclaim();
    }
}
