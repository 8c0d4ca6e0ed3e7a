//! Clicks that earlier lists classed, put into the classes of these: about a second of it a call, so that a call is answered
//! soon, and whoever asks may stop and go on as he likes. What a step does is the store's.

use super::super::Service;
use crate::metrics::ClickNumbers;
use crate::{Caller, Fault};
use clicks::{Agents, CLASSIFIER};
use proto::v1;
use std::time::{Duration, Instant};
use store::clock::unix_ms;
use store::model::StoreFault;
use store::port::Repository;
use store::port::clicks::Reclassified;
use store::wire;

/// How long a call works, behind the step that is under way then.
const CALL: Duration = Duration::from_secs(1);
/// Between two steps: batches of edges want to be taken, too.
const PAUSE: Duration = Duration::from_millis(20);

impl Service {
    /// See `ReclassifyClicks`.
    pub async fn reclassify_clicks(
        &self,
        caller: &Caller,
        request: &v1::ReclassifyClicksRequest,
    ) -> Result<v1::ReclassifyClicksResponse, Fault> {
        // A row of single clicks has those of every domain.
        caller.bound.everywhere()?;
        let (place, numbers) = (place(&request.after)?, self.metrics.clicks.clone());
        let work = move |store: &dyn Repository| work(store, &numbers, place);
        let done = self.reach.of(caller).everywhere(work).await?;
        self.metrics.clicks.reclassified(&done.changes);
        let Reclassified { clicks, renamed, unknown, missing, .. } = done;
        if clicks > 0 {
            let (by, changed) = (&caller.principal, done.changes.values().sum::<u64>());
            tracing::info!(
                name: "clicks_reclassified", clicks, changed, renamed, unknown, %by, "clicks were classed by the lists of this linkr"
            );
        }
        if missing > 0 {
            tracing::error!(
                name: "clicks_uncounted", missing,
                "single clicks are in no count of their link: the store is damaged, and these counts are as they were; restore a \
                 backup, or delete the clicks of the link"
            );
        }
        Ok(told(done))
    }
}

/// Does some of the work from a place on.
fn work(store: &dyn Repository, numbers: &ClickNumbers, place: u64) -> Result<Reclassified, StoreFault> {
    let began = Instant::now();
    let mut done = Reclassified { next: Some(place), ..Reclassified::default() };
    // What waits to be folded is no row of single clicks yet; and of several controls the one that folds finds its turn taken.
    loop {
        let folded = store.clicks().fold(unix_ms())?;
        numbers.folded(folded.batches as u64);
        if began.elapsed() > CALL {
            return Ok(done);
        }
        if !folded.more {
            break;
        }
    }
    let agents = Agents::new();
    while let Some(place) = done.next.filter(|_| began.elapsed() < CALL) {
        done += store.clicks().reclassify(&agents, place, unix_ms())?;
        std::thread::sleep(PAUSE);
    }
    Ok(done)
}

fn told(done: Reclassified) -> v1::ReclassifyClicksResponse {
    let Reclassified { clicks, changes, renamed, unknown, missing, newer, since, next } = done;
    let change = |((from, to), count): ((clicks::Kind, clicks::Kind), u64)| v1::KindChange {
        from: from.label().to_owned(),
        to: to.label().to_owned(),
        count,
    };
    v1::ReclassifyClicksResponse {
        clicks,
        changes: changes.into_iter().map(change).collect(),
        renamed,
        unknown,
        missing,
        newer,
        classifier: CLASSIFIER.into(),
        since: since.map(wire::timestamp),
        next: next.map_or_else(String::new, |next| next.to_string()),
    }
}

/// The place that an answer said; that of the first click where there is none.
fn place(after: &str) -> Result<u64, Fault> {
    match after {
        "" => Ok(0),
        after => after
            .parse::<u64>()
            .ok()
            .filter(|place| i64::try_from(*place).is_ok())
            .ok_or_else(|| Fault::invalid("after", "is no `next` of an answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_where_an_answer_says() {
        let done = Reclassified { next: Some(42), ..Reclassified::default() };
        assert_eq!((place(""), place(&told(done).next)), (Ok(0), Ok(42)));
        for wrong in ["x", "-1", "1.5", "9223372036854775808"] {
            assert_eq!(place(wrong).unwrap_err().field(), Some("after"), "{wrong}");
        }
    }
}
