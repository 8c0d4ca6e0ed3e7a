//! Work that takes a core for more than a moment: on threads that nobody else waits for, and a few pieces at a time.

use crate::Fault;
use tokio::sync::Semaphore;

/// Pieces at once. It is about cores, so all controls of a process share them.
const PLACES: usize = 2;
/// Pieces that wait for a place.
const WAITING: usize = 64;

static PLACE: Semaphore = Semaphore::const_new(PLACES);
static QUEUE: Semaphore = Semaphore::const_new(PLACES + WAITING);

/// Does it there.
///
/// # Errors
/// [`Fault::Overloaded`] when too many wait already.
pub async fn heavy<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    let _queued = QUEUE.try_acquire().map_err(|_| Fault::Overloaded)?;
    let place = PLACE.acquire().await.map_err(|_| Fault::Internal)?;
    // The place is given back when the work ends, not when the caller goes: what is begun cannot be stopped.
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    // A panic is the call's, which says so.
    done.await
        .map_err(|error| error.try_into_panic().map_or(Fault::Internal, |why| std::panic::resume_unwind(why)))
}
