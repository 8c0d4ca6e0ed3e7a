//! A deletion as it is asked for: what goes is counted, and noted. What it does then is said beside this.

use super::ask::counts;
use super::delete::{before, note};
use super::memory::Memory;
use super::rows::ClickRows;
use super::times::QUARTER;
use crate::port::clicks::{ClickDeletion, ClickQuestion};

/// Deletes clicks that are folded; how many there were.
pub(crate) async fn delete<R: ClickRows>(
    rows: &R,
    memory: &Memory,
    asked: &ClickDeletion,
    now: i64,
) -> Result<u64, R::Fault> {
    rows.claim(true).await?;
    let question = ClickQuestion {
        domain: asked.domain,
        links: asked.links.clone(),
        until: before(asked, now) * QUARTER,
        ..ClickQuestion::default()
    };
    let counted = counts(rows, memory, &question).await?.total;
    note(rows, asked, now).await?;
    Ok(counted)
}
