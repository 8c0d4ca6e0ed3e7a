//! A deletion as it is asked for: what goes is counted, and noted. What it does then is said beside this.

use super::ask::counts;
use super::deletions::{cut, note};
use super::memory::Memory;
use super::rows::ClickRows;
use super::unfolded::LATEST;
use crate::port::clicks::{ClickDeletion, ClickQuestion};

/// Steps of a deletion that whoever asks for it waits for: most are done then.
pub(crate) const STEPS: usize = 32;

/// Deletes clicks; how many there were.
pub(crate) async fn delete<R: ClickRows>(
    rows: &R,
    memory: &Memory,
    asked: &ClickDeletion,
    now: i64,
) -> Result<u64, R::Fault> {
    rows.claim(true).await?;
    let (cut, so_far) = cut(asked, now);
    let question = ClickQuestion {
        domain: asked.domain,
        links: asked.links.clone(),
        until: if so_far { LATEST } else { cut },
        ..ClickQuestion::default()
    };
    let counted = counts(rows, memory, &question).await?.total;
    note(rows, asked, now).await?;
    Ok(counted)
}

/// Does some of what is deleted; `false`: nothing is left that can be done.
pub(crate) async fn work<R: ClickRows>(rows: &R) -> Result<bool, R::Fault> {
    rows.claim(true).await?;
    super::delete::work(rows).await
}
