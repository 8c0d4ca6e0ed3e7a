//! What tasks of one worker owe each other: turns, and an end of their own.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// Lets every other runnable task and the driver have a turn. Only for epoll, where the runtime polls the driver
/// between rounds; on io_uring every operation waits for the ring by itself.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A panic ends this task and no other; without this it would end the worker.
pub async fn contained(task: impl Future<Output = ()>) {
    let mut task = pin!(task);
    poll_fn(|context| {
        let poll = AssertUnwindSafe(|| task.as_mut().poll(context));
        catch_unwind(poll).unwrap_or_else(|_| {
            tracing::error!(name: "connection_panicked", "a connection was ended by a panic: the line of the panic says where; please report it");
            Poll::Ready(())
        })
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use monoio::{LegacyDriver, RuntimeBuilder};
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn a_panic_ends_one_task_and_what_it_held_is_let_go() {
        struct DropCount(Rc<Cell<u32>>);
        impl Drop for DropCount {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let let_go = Rc::new(Cell::new(0));
        RuntimeBuilder::<LegacyDriver>::new().build().unwrap().block_on(async {
            for breaks in [true, false] {
                let held = DropCount(Rc::clone(&let_go));
                let task = monoio::spawn(contained(async move {
                    yield_now().await;
                    assert!(!breaks, "as a broken connection would");
                    drop(held);
                }));
                task.await;
            }
        });
        assert_eq!(let_go.get(), 2);
    }
}
