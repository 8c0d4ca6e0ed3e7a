//! The span of a call under way, and of its parts. Each notes a name, two times and little else: what is said of it to a receiver
//! is made when its trace is kept.

use super::Traces;
use super::traced::{CallPart, TracedCall};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

tokio::task_local! {
    static CURRENT: CallSpan;
}

/// The span of a call. It ends when the last of its copies and parts is dropped. Without a receiver it notes nothing.
#[derive(Clone, Debug, Default)]
pub struct CallSpan(Option<Arc<OpenCall>>);

#[derive(Debug)]
struct OpenCall {
    traces: Traces,
    began: Instant,
    call: Mutex<TracedCall>,
}

impl CallSpan {
    /// One that begins now.
    pub fn begin(traces: Traces, call: TracedCall) -> Self {
        Self(Some(Arc::new(OpenCall { traces, began: Instant::now(), call: Mutex::new(call) })))
    }

    /// That of the call of this task, or of what this thread does for a call.
    pub fn current() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_default()
    }

    /// The trace that it belongs to.
    pub fn trace(&self) -> Option<[u8; 16]> {
        self.0.as_ref().map(|open| open.call().trace)
    }

    /// Runs this as what the call does.
    pub fn around<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }

    /// Does this as what the call does, on a thread that may wait.
    pub fn within<T>(self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, work)
    }

    /// The call is this method.
    pub fn named(&self, method: &'static str) {
        self.note(|call| call.method = method);
    }

    /// What the call came to.
    pub fn came_to(&self, code: &'static str) {
        self.note(|call| call.came_to(code));
    }

    /// The call goes on behind its answer: that it takes long says nothing.
    pub fn streams(&self) {
        self.note(|call| call.streams = true);
    }

    /// The call has brought so many rows.
    pub fn rows(&self, count: u64) {
        self.note(|call| call.rows = Some(count));
    }

    /// A part of the call that begins now.
    pub fn part(&self, name: &'static str) -> PartSpan {
        PartSpan(self.0.is_some().then(|| OpenPart {
            of: self.clone(),
            name,
            began: Instant::now(),
            rows: None,
            failed: false,
        }))
    }

    fn note(&self, what: impl FnOnce(&mut TracedCall)) {
        if let Some(open) = &self.0 {
            what(&mut open.call());
        }
    }
}

impl OpenCall {
    fn call(&self) -> MutexGuard<'_, TracedCall> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let mut call = std::mem::take(self.call.get_mut().unwrap_or_else(PoisonError::into_inner));
        call.took = self.began.elapsed();
        self.traces.ended(call);
    }
}

/// The span of a part of a call: a statement, a wait. It ends when it is dropped.
#[derive(Debug, Default)]
pub struct PartSpan(Option<OpenPart>);

#[derive(Debug)]
struct OpenPart {
    of: CallSpan,
    name: &'static str,
    began: Instant,
    rows: Option<u64>,
    failed: bool,
}

impl PartSpan {
    /// It failed.
    pub fn failed(&mut self) {
        if let Some(part) = &mut self.0 {
            part.failed = true;
        }
    }

    /// So many rows were read or written.
    pub fn rows(&mut self, count: usize) {
        if let Some(part) = &mut self.0 {
            part.rows = Some(count as u64);
        }
    }
}

impl Drop for OpenPart {
    fn drop(&mut self) {
        let Some(open) = &self.of.0 else { return };
        let (name, rows, failed) = (self.name, self.rows, self.failed);
        let (after, took) = (self.began.duration_since(open.began), self.began.elapsed());
        open.call().has(CallPart { name, after, took, rows, failed });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exposition::TraceContext;

    fn span(traces: &Traces) -> CallSpan {
        let asker = TraceContext { trace: [7; 16], span: [3; 8], sampled: true };
        traces.call(Some(asker), Some("a=1"))
    }

    #[tokio::test]
    async fn a_call_ends_with_its_last_part_wherever_that_runs() {
        let traces = Traces::to("http://127.0.0.1:1").unwrap();
        let work = async {
            let call = CallSpan::current();
            call.named("CreateLink");
            let wait = call.part("wait for the writer");
            let elsewhere = std::thread::spawn(move || {
                drop(wait);
                call.within(|| {
                    let mut statement = CallSpan::current().part("records");
                    statement.rows(2);
                    statement.failed();
                    (CallSpan::current(), statement)
                })
            });
            let (call, statement) = elsewhere.join().unwrap();
            call.came_to("OK");
            statement
        };
        let last = span(&traces).around(work).await;
        assert!(CallSpan::current().0.is_none() && traces.calls().is_empty(), "its last part is under way");
        drop(last);
        let [call] = <[_; 1]>::try_from(traces.calls()).unwrap();
        assert_eq!((call.method, call.trace), ("CreateLink", [7; 16]));
    }

    #[test]
    fn without_a_receiver_nothing_is_noted() {
        let none = CallSpan::default();
        none.named("x");
        none.came_to("INTERNAL");
        assert!(none.part("y").0.is_none() && CallSpan::current().part("z").0.is_none());
    }
}
