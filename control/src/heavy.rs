//! Work that takes a core for more than a moment: on threads that nobody else waits for, a few pieces at a time, and one of a
//! caller, so that nobody waits for more than a piece of each other.

use crate::by_name::ByName;
use crate::lanes::Lanes;
use crate::{Caller, Fault};
use std::sync::{Arc, LazyLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Pieces at once. It is about cores, so all controls of a process share them.
const PIECES: usize = 2;
/// Large bodies of one caller that wait, and of all.
const OWN: usize = 16;
const ALL: usize = 192;
/// Behind those there is room for the first one of a caller.
const SPARE: usize = 64;

static LANES: LazyLock<Lanes> = LazyLock::new(|| Lanes::new(PIECES));
static LINE: LazyLock<BodyQueue> = LazyLock::new(|| BodyQueue::new(ALL, SPARE));

/// Large bodies that wait to be read, with their bytes in memory.
struct BodyQueue {
    own: ByName<Semaphore>,
    all: Arc<Semaphore>,
    spare: Arc<Semaphore>,
}

/// The right of one large body to be read.
#[derive(Debug)]
pub struct BodyPermit {
    _all: OwnedSemaphorePermit,
    _own: Option<OwnedSemaphorePermit>,
}

/// Lets a large body wait for its turn, until what is given is dropped.
///
/// # Errors
/// [`Fault::Share`] when too many of the caller wait already, or [`Fault::Overloaded`] when too many do.
pub fn wait(caller: &Caller) -> Result<BodyPermit, Fault> {
    LINE.enter(caller.counted_as())
}

/// Does it there.
///
/// # Errors
/// [`Fault::Internal`] when this process ends.
pub async fn heavy<T: Send + 'static>(
    caller: &Caller,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    let part = LANES.enter(caller).await.part().await;
    // The place is given back when the work ends, not when the caller goes: what is begun cannot be stopped.
    let done = tokio::task::spawn_blocking(move || {
        let _part = part;
        work()
    });
    // A panic is the call's, which says so.
    done.await
        .map_err(|error| error.try_into_panic().map_or(Fault::Internal, |why| std::panic::resume_unwind(why)))
}

impl BodyQueue {
    fn new(all: usize, spare: usize) -> Self {
        let [all, spare] = [all, spare].map(|most| Arc::new(Semaphore::new(most)));
        Self { own: ByName::default(), all, spare }
    }

    /// `name`: who is counted as one; empty where nobody can be told apart.
    fn enter(&self, name: &str) -> Result<BodyPermit, Fault> {
        let own = if name.is_empty() { None } else { Some(self.own.of(name, || Semaphore::new(OWN))) };
        let is_first = own.as_ref().is_some_and(|own| own.available_permits() == OWN);
        let own = own.map(|own| {
            own.try_acquire_owned().map_err(|_| Fault::Share {
                what: "large bodies",
                share: OWN,
                whose: "this caller".into(),
                last: false,
            })
        });
        let own = own.transpose()?;
        let all = self.all.clone().try_acquire_owned();
        let all = if is_first { all.or_else(|_| self.spare.clone().try_acquire_owned()) } else { all };
        Ok(BodyPermit { _all: all.map_err(|_| Fault::Overloaded)?, _own: own })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Found by attack: one key for one domain filled the line, and 45 of 56 lists and batches of others were refused.
    #[test]
    fn the_bodies_of_one_caller_leave_room_for_others() {
        let line = BodyQueue::new(40, 4);
        let mut held: Vec<_> = (0..OWN).map(|_| line.enter("a").unwrap()).collect();
        assert_eq!(line.enter("a").unwrap_err().names().reason, "SHARE_USED_UP");
        held.extend((0..OWN).map(|_| line.enter("b").unwrap()));
        held.extend((0..8).map(|_| line.enter("c").unwrap()));
        assert_eq!(line.enter("c").unwrap_err(), Fault::Overloaded);
        let first = line.enter("d").unwrap();
        assert_eq!(line.enter("d").unwrap_err(), Fault::Overloaded, "he has one");
        assert_eq!(line.enter("").unwrap_err(), Fault::Overloaded);
        drop((first, held.pop()));
        line.enter("d").unwrap();
    }

    #[tokio::test]
    async fn one_caller_has_one_piece_under_way() {
        let caller = |key: &str| Caller { principal: key.into(), ..Caller::anyone("") };
        let (a, b) = (caller("heavy-a"), caller("heavy-b"));
        let (end, until) = mpsc::channel::<()>();
        let first = tokio::spawn({
            let a = a.clone();
            async move { heavy(&a, move || until.recv()).await }
        });
        let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
        let second = tokio::spawn(async move { heavy(&a, move || begun.send(())).await });
        assert_eq!(heavy(&b, || 5).await, Ok(5), "another is not behind it");
        assert!(begins.try_recv().is_err(), "one of a caller at a time");
        end.send(()).unwrap();
        first.await.unwrap().unwrap().unwrap();
        second.await.unwrap().unwrap().unwrap();
    }
}
