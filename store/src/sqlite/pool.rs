//! The read connections: a few, opened when they are first needed. Nothing is read here.

use super::{closed, locked};
use crate::model::StoreFault;
use rusqlite::Connection;
use std::ops::Deref;
use std::sync::{Condvar, Mutex, PoisonError};

/// Opens a connection of a pool, to the file that is open.
pub(super) type Opener = Box<dyn Fn() -> Result<Connection, StoreFault> + Send + Sync>;

pub(super) struct Pool {
    open: Opener,
    most: usize,
    state: Mutex<PoolState>,
    given_back: Condvar,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct PoolState {
    idle: Vec<Connection>,
    in_use: usize,
    waiting: usize,
    closed: bool,
}

impl Pool {
    /// So many at once, at most.
    pub(super) fn new(most: usize, open: Opener) -> Self {
        Self { open, most, state: Mutex::default(), given_back: Condvar::new() }
    }

    /// A connection, as soon as one is free.
    pub(super) fn take(&self) -> Result<PooledReader<'_>, StoreFault> {
        let full = |state: &mut PoolState| !state.closed && state.in_use >= self.most;
        let mut state = locked(&self.state);
        state.waiting += 1;
        let waited = self.given_back.wait_while(state, full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        if state.closed {
            return Err(closed());
        }
        let connection = match state.idle.pop() {
            Some(connection) => connection,
            None => (self.open)()?,
        };
        state.in_use += 1;
        Ok(PooledReader { pool: self, connection: Some(connection) })
    }

    /// As they are now.
    pub(super) fn connections(&self) -> crate::model::PoolCounts {
        let state = locked(&self.state);
        let (in_use, idle, waiting) = (state.in_use, state.idle.len(), state.waiting);
        crate::model::PoolCounts { in_use, idle, most: self.most, waiting }
    }

    /// Waits for the reads under way, and closes all connections.
    pub(super) fn close(&self) {
        let mut state = locked(&self.state);
        state.closed = true;
        self.given_back.notify_all();
        let waited = self.given_back.wait_while(state, |state| state.in_use > 0);
        waited.unwrap_or_else(PoisonError::into_inner).idle.clear();
    }
}

/// A connection that goes back when it is dropped.
pub(super) struct PooledReader<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Deref for PooledReader<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a connection is there until the drop")
    }
}

impl Drop for PooledReader<'_> {
    fn drop(&mut self) {
        let mut state = locked(&self.pool.state);
        state.in_use -= 1;
        // One whose snapshot could not be ended would show its old moment for ever.
        state.idle.extend(self.connection.take().filter(Connection::is_autocommit));
        drop(state);
        // All: one waits for a connection, another may wait for the end.
        self.pool.given_back.notify_all();
    }
}
