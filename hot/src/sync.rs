//! The words and locks that threads share. With the feature `shuttle` (tests only) every use of one is a place where
//! another thread may go on: `tests/threads.rs` runs the set through the orders in which that can happen.

use std::marker::PhantomData;

#[cfg(not(feature = "shuttle"))]
pub use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, AtomicUsize},
};

#[cfg(feature = "shuttle")]
pub use shuttle::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, AtomicUsize},
};

/// A turn at each shard. The map's own locks are the real ones, and in a product this is nothing at all; under
/// shuttle, where threads take turns on one, it is what they wait for instead.
#[derive(Debug)]
pub struct ShardTurns {
    #[cfg(feature = "shuttle")]
    shards: Vec<shuttle::sync::Mutex<()>>,
}

/// One turn, to be taken before the lock of its shard and kept as long.
#[must_use]
pub struct ShardTurn<'a> {
    #[cfg(feature = "shuttle")]
    _own: Vec<shuttle::sync::MutexGuard<'a, ()>>,
    _shard: PhantomData<&'a ()>,
}

#[cfg(not(feature = "shuttle"))]
impl ShardTurns {
    pub const fn new(_shards: usize) -> Self {
        Self {}
    }

    #[inline(always)]
    pub const fn of(&self, _shard: impl Fn() -> usize + Copy) -> ShardTurn<'_> {
        ShardTurn { _shard: PhantomData }
    }

    /// Of every shard.
    #[inline(always)]
    pub const fn all(&self) -> ShardTurn<'_> {
        ShardTurn { _shard: PhantomData }
    }
}

#[cfg(feature = "shuttle")]
impl ShardTurns {
    pub fn new(shards: usize) -> Self {
        Self { shards: (0..shards).map(|_| shuttle::sync::Mutex::new(())).collect() }
    }

    pub fn of(&self, shard: impl Fn() -> usize + Copy) -> ShardTurn<'_> {
        ShardTurn { _own: vec![self.shards[shard()].lock().unwrap()], _shard: PhantomData }
    }

    pub fn all(&self) -> ShardTurn<'_> {
        ShardTurn {
            _own: self.shards.iter().map(|shard| shard.lock().unwrap()).collect(),
            _shard: PhantomData,
        }
    }
}
