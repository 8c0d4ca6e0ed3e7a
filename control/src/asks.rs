//! Questions to edges, by the streams on which they follow this control. What is asked is not known here.

use proto::v1;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// For an edge to answer: it may have to ask control for the link first, which takes 0.9 s at most.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions to one edge that wait for its stream; one more is refused.
const WAITING: usize = 4;

/// One question, and where its answer goes.
#[derive(Debug)]
pub struct Ask {
    /// What is asked. Its number is given by the stream.
    pub explain: v1::Explain,
    /// The answer; dropped, it says that there is none.
    pub answer: oneshot::Sender<Option<v1::Explanation>>,
}

/// Why an edge gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskFault {
    /// No stream of it that takes questions is here.
    NotHere,
    /// It has too many to answer.
    Busy,
    /// It did not answer in time.
    Silent,
}

/// A stream that takes questions, by its number.
type AskedStream = (u64, mpsc::Sender<Ask>);

/// The streams that take questions, by the names of their edges.
#[derive(Debug, Default)]
pub struct Asks(Mutex<HashMap<String, Vec<AskedStream>>>);

/// The place of a stream among those that take questions, as long as it is there.
#[derive(Debug)]
pub struct AskPlace {
    asks: Arc<Asks>,
    edge: String,
    stream: u64,
    /// What is asked.
    pub inbox: mpsc::Receiver<Ask>,
}

impl Asks {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<AskedStream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream of this edge takes questions from now on.
    pub fn enter(self: &Arc<Self>, edge: &str, stream: u64) -> AskPlace {
        let (questions, inbox) = mpsc::channel(WAITING);
        self.lock().entry(edge.to_owned()).or_default().push((stream, questions));
        AskPlace { asks: self.clone(), edge: edge.to_owned(), stream, inbox }
    }

    /// Asks an edge, on the latest of its streams: of two processes of a name that is the one which goes on.
    ///
    /// # Errors
    /// [`AskFault`]
    pub async fn ask(&self, edge: &str, explain: v1::Explain) -> Result<v1::Explanation, AskFault> {
        let way = self.lock().get(edge).and_then(|streams| streams.last()).map(|(_, way)| way.clone());
        let (answer, answered) = oneshot::channel();
        let way = way.ok_or(AskFault::NotHere)?;
        way.try_send(Ask { explain, answer }).map_err(|_| AskFault::Busy)?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(Some(explanation))) => Ok(explanation),
            Ok(Ok(None)) => Err(AskFault::Busy),
            Ok(Err(_)) | Err(_) => Err(AskFault::Silent),
        }
    }
}

impl Drop for AskPlace {
    fn drop(&mut self) {
        let mut all = self.asks.lock();
        if let Some(streams) = all.get_mut(&self.edge) {
            streams.retain(|(stream, _)| *stream != self.stream);
            if streams.is_empty() {
                all.remove(&self.edge);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain() -> v1::Explain {
        v1::Explain { path: "/a".into(), ..v1::Explain::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_stream_of_an_edge_is_asked_and_one_that_is_silent_is_not_waited_for() {
        let asks = Arc::new(Asks::default());
        assert_eq!(asks.ask("a", explain()).await, Err(AskFault::NotHere));
        let first = asks.enter("a", 1);
        let mut second = asks.enter("a", 2);
        let answered = async {
            let ask = second.inbox.recv().await.unwrap();
            let told = v1::Explanation { outcome: ask.explain.path, ..v1::Explanation::default() };
            ask.answer.send(Some(told)).unwrap();
        };
        let (told, ()) = tokio::join!(asks.ask("a", explain()), answered);
        assert_eq!(told.unwrap().outcome, "/a");
        drop(second);
        assert_eq!(asks.ask("a", explain()).await, Err(AskFault::Silent));
        drop(first);
        assert!(asks.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn questions_that_nobody_takes_are_few() {
        let asks = Arc::new(Asks::default());
        let _place = asks.enter("a", 1);
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..=WAITING {
            let asks = asks.clone();
            all.spawn(async move { asks.ask("a", explain()).await });
        }
        let told = all.join_all().await;
        assert_eq!(told.iter().filter(|told| **told == Err(AskFault::Busy)).count(), 1, "{told:?}");
    }
}
