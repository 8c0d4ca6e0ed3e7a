//! Long reads of the store: a few at once, and one of a caller, so that connections and cores are left for what everybody
//! waits for: the keys, the log, single links.

use crate::Caller;
use crate::by_name::ByName;
use std::sync::Arc;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

#[derive(Debug)]
pub struct Lanes {
    all: Arc<Semaphore>,
    of: ByName<Turn<()>>,
}

/// A caller's long read under way, in parts.
#[derive(Clone, Debug)]
pub struct Lane {
    all: Arc<Semaphore>,
    _own: Option<Arc<OwnedMutexGuard<()>>>,
}

/// One part of it, until it is dropped.
#[derive(Debug)]
pub struct PartPermit {
    _place: Option<OwnedSemaphorePermit>,
    _lane: Lane,
}

impl Lanes {
    /// So many parts at once.
    pub fn new(parts: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(parts)), of: ByName::default() }
    }

    /// As many as there are cores, and no more than leave connections free.
    pub fn for_cores() -> Self {
        Self::new(std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4)))
    }

    /// Waits until no other long read of the caller, or of who is counted with it, is under way.
    pub async fn enter(&self, caller: &Caller) -> Lane {
        let name = caller.counted_as();
        // Where no key is asked for nobody can be told apart.
        let own = if name.is_empty() {
            None
        } else {
            Some(Arc::new(self.of.of(name, Turn::default).lock_owned().await))
        };
        Lane { all: self.all.clone(), _own: own }
    }
}

impl Lane {
    /// Waits until its next part may be read. What is begun holds its place to its end, whoever has gone.
    pub async fn part(&self) -> PartPermit {
        // Nobody closes it.
        PartPermit { _place: self.all.clone().acquire_owned().await.ok(), _lane: self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bound::Bound;
    use std::time::Duration;
    use store::model::Scopes;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_millis(20);

    fn caller(key: &str) -> Caller {
        Caller { principal: key.into(), ..Caller::anyone("") }
    }

    #[tokio::test(start_paused = true)]
    async fn one_caller_reads_one_thing_and_all_read_two() {
        let lanes = Lanes::new(2);
        let (a, b, c) = (
            lanes.enter(&caller("a")).await,
            lanes.enter(&caller("b")).await,
            lanes.enter(&caller("c")).await,
        );
        assert!(timeout(SOON, lanes.enter(&caller("a"))).await.is_err());
        let (part, other) = (a.part().await, b.part().await);
        assert!(timeout(SOON, c.part()).await.is_err());
        drop(other);
        let other = c.part().await;
        // He has gone, but what he began has not ended.
        drop(a);
        assert!(timeout(SOON, lanes.enter(&caller("a"))).await.is_err());
        drop(part);
        lanes.enter(&caller("a")).await;
        drop((b, c, other));
        lanes.enter(&caller("d")).await;
        assert_eq!(lanes.of.len(), 1);
    }

    /// Found by attack: keys for a, for a and b, for a and c and so on read as many lists at once.
    #[tokio::test(start_paused = true)]
    async fn keys_with_the_same_first_domain_are_one_caller() {
        let lanes = Lanes::new(8);
        let of = |key: &str, domains: &[&str]| {
            let domains: Vec<_> = domains.iter().map(|&domain| domain.to_owned()).collect();
            Caller { bound: Bound::new(&domains, Scopes::admin(), None), ..caller(key) }
        };
        let _first = lanes.enter(&of("1", &["a"])).await;
        for same in [&["a"][..], &["a", "b"], &["c", "a"]] {
            assert!(timeout(SOON, lanes.enter(&of("2", same))).await.is_err(), "{same:?}");
        }
        lanes.enter(&of("3", &["b"])).await;
        lanes.enter(&caller("domains/b")).await;
    }
}
