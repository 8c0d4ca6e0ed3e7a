//! A call under way: what belongs to it on other tasks and threads, and what is told of it when it has ended, one line a write,
//! others on demand. Whoever makes the call is not known here.

use crate::traces::CallSpan;
use proto::described;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use store::model::StoreFault;
use store::port::Repository;

tokio::task_local! {
    static CALL: Arc<OngoingCall>;
}

/// A call under way.
#[derive(Debug)]
pub struct OngoingCall {
    method: &'static str,
    key: Arc<str>,
    began: Instant,
    /// Its request, for the log.
    request: tracing::Span,
    /// What its trace is told.
    span: CallSpan,
    state: Mutex<CallState>,
}

#[derive(Debug, Default)]
struct CallState {
    code: Option<&'static str>,
    revision: String,
    rows: u64,
    /// It goes on behind its answer.
    streams: bool,
}

impl OngoingCall {
    /// A call that begins now, by whoever shows this key.
    pub fn new(method: &'static str, key: Arc<str>) -> Arc<Self> {
        let (began, request, span) = (Instant::now(), tracing::Span::current(), CallSpan::current());
        span.named(method);
        Arc::new(Self { method, key, began, request, span, state: Mutex::default() })
    }

    /// Runs it. What came of it is told behind it, or when its stream ends.
    pub async fn run<T>(self: Arc<Self>, answer: impl Future<Output = T>) -> T {
        let answer = CALL.scope(self.clone(), answer).await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.code {
            Some(code) => self.tell(code, &state),
            None => {
                state.streams = true;
                self.span.streams();
            }
        }
        drop(state);
        answer
    }

    fn came_to(&self, code: &'static str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.streams {
            self.tell(code, &state);
        } else {
            state.code = Some(code);
        }
    }

    fn tell(&self, code: &'static str, state: &CallState) {
        self.span.came_to(code);
        let (method, key_id, ms) = (self.method, &*self.key, self.began.elapsed().as_secs_f64() * 1e3);
        let ms = (ms * 1e3).round() / 1e3;
        let revision = (!state.revision.is_empty()).then_some(state.revision.as_str());
        let rows = (state.rows > 0).then_some(state.rows);
        self.request.in_scope(|| match writes(method) {
            true => tracing::info!(
                name: "write", target: "calls", method, code, key_id, revision, rows, ms, "a write was answered"
            ),
            false => {
                tracing::debug!(name: "read", target: "calls", method, code, key_id, ms, "a read was answered");
            }
        });
    }
}

/// Whether a call changes anything.
fn writes(method: &str) -> bool {
    described::call(method).is_some_and(|call| match &call.http {
        Some(http) => http.method != "GET",
        None => call.rule.scope == "links:write",
    })
}

/// The call of this task came to this.
pub fn came_to(code: &'static str) {
    let _ = CALL.try_with(|call| call.came_to(code)); // a task without a call tells nothing
}

/// The call of this task wrote something: where the log stands with it.
pub fn wrote(revision: &str) {
    let _ = CALL.try_with(|call| {
        revision.clone_into(&mut call.state.lock().unwrap_or_else(PoisonError::into_inner).revision);
    });
}

/// The call of this task brought so many rows.
pub fn rows(count: usize) {
    let _ = CALL.try_with(|call| {
        let mut state = call.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.rows += count as u64;
        call.span.rows(state.rows);
    });
}

/// The same work as a part of the call of this task, for a task of its own.
pub fn part<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let call = CALL.try_with(Arc::clone).ok();
    async move {
        match call {
            Some(call) => CALL.scope(call, work).await,
            None => work.await,
        }
    }
}

/// Runs a blocking call of the store where blocking is allowed, as a part of the call of this task.
pub async fn blocking<T: Send + 'static>(
    store: &Arc<dyn Repository>,
    call: impl FnOnce(&dyn Repository) -> Result<T, StoreFault> + Send + 'static,
) -> Result<T, StoreFault> {
    let (store, request, span) = (store.clone(), tracing::Span::current(), CallSpan::current());
    let call = move || request.in_scope(|| span.within(|| call(&*store)));
    let answer = tokio::task::spawn_blocking(call).await;
    answer.unwrap_or_else(|e| Err(StoreFault::Unavailable(format!("a read did not end: {e}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something() {
        for read in [
            "GetLink",
            "ListKeys",
            "CheckCode",
            "WatchLinks",
            "ExportLinks",
            "Fetch",
            "Append",
            "QueryClicks",
        ] {
            assert!(!writes(read), "{read}");
        }
        for write in [
            "CreateLink",
            "BatchDeleteLinks",
            "ImportLinks",
            "RotateKey",
            "RestoreLink",
            "UpdateDomain",
            "DeleteClicks",
            "ReclassifyClicks",
        ] {
            assert!(writes(write), "{write}");
        }
    }

    #[tokio::test]
    async fn a_stream_is_told_when_it_ends() {
        let call = OngoingCall::new("ImportLinks", Arc::from("k"));
        let (begin, begun) = tokio::sync::oneshot::channel();
        let mut stream = None;
        call.clone()
            .run(async {
                stream = Some(tokio::spawn(part(async {
                    begun.await.unwrap();
                    rows(3);
                    came_to("OK");
                })));
            })
            .await;
        begin.send(()).unwrap();
        stream.unwrap().await.unwrap();
        let state = call.state.lock().unwrap();
        assert!(state.streams && state.rows == 3 && state.code.is_none());
    }
}
