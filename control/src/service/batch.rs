//! Many writes at once, all or none. What each of them is, is asked of the calls that write one.

use super::write::WriteTerms;
use super::{DRAWS, Service, uncoded};
use crate::{Caller, Fault};
use journal::{Intent, Item, RequestKind};
use proto::v1;

/// Writes of one batch.
const MOST: usize = proto::bounds::BATCH;

/// Links of a batch that are looked at in one go. Where many wait for a thread, each yield is behind all of them: one for
/// each link made a batch of 100 wait for 4 s.
const GO: usize = 32;

/// Lets others go in between: a thousand targets are parsed.
async fn give_way(at: usize) {
    if at % GO == GO - 1 {
        tokio::task::yield_now().await;
    }
}

impl Service {
    /// See `BatchCreateLinks`.
    pub async fn batch_create(
        &self,
        caller: &Caller,
        request: &v1::BatchCreateLinksRequest,
    ) -> Result<v1::BatchLinksResponse, Fault> {
        sized(request.requests.len())?;
        let asked = WriteTerms::new(caller, request)?;
        caller.rows(request.requests.len()).await?;
        let domain = self.parent(caller, &request.parent).await?;
        let mut wanted = Vec::with_capacity(request.requests.len());
        for (at, one) in request.requests.iter().enumerate() {
            give_way(at).await;
            let given = self.wanted(&asked, &domain, one).await.map_err(|fault| fault.in_batch(at, "link."));
            let parent = one.parent.is_empty() || one.parent == request.parent;
            let stray =
                [(!parent, "parent")].into_iter().chain(options(&one.request_id, one.validate_only, one.ack));
            wanted.push(only_outside(at, stray).and(given)?);
        }
        let mut keys = wanted.iter().map(|one| self.key_of(&domain, one)).collect::<Result<Vec<_>, _>>()?;
        for _ in 0..DRAWS {
            let items = wanted
                .iter()
                .zip(&keys)
                .map(|(one, key)| Item { key: key.clone(), intent: Intent::Create(one.draft.clone()) });
            match self.all(&asked, items.collect(), RequestKind::Batch).await {
                Err((at, Fault::Exists(_) | Fault::CodeDeleted { .. })) if wanted[at].given.is_none() => {
                    keys[at] = self.key_of(&domain, &wanted[at])?;
                }
                Ok(mut done) => {
                    if request.validate_only {
                        let links = done.links.into_iter().zip(&wanted);
                        let shown = |(link, one): (v1::Link, &super::NewLink)| match one.given {
                            Some(_) => link,
                            None => uncoded(link),
                        };
                        done.links = links.map(shown).collect();
                    }
                    return Ok(done);
                }
                Err((at, fault)) => return Err(fault.in_batch(at, "link.")),
            }
        }
        Err(Fault::Exists(format!("each of {DRAWS} drawn codes")))
    }

    /// See `BatchUpdateLinks`.
    pub async fn batch_update(
        &self,
        caller: &Caller,
        request: &v1::BatchUpdateLinksRequest,
    ) -> Result<v1::BatchLinksResponse, Fault> {
        sized(request.requests.len())?;
        let asked = WriteTerms::new(caller, request)?;
        caller.rows(request.requests.len()).await?;
        let domain = self.parent(caller, &request.parent).await?;
        let mut items = Vec::with_capacity(request.requests.len());
        for (at, one) in request.requests.iter().enumerate() {
            give_way(at).await;
            only_outside(at, options(&one.request_id, one.validate_only, one.ack).into_iter())?;
            let item = self.changed(caller, &asked, one).await;
            items.push(
                item.and_then(|item| within(domain.id, item)).map_err(|fault| fault.in_batch(at, "link."))?,
            );
        }
        self.all(&asked, items, RequestKind::Batch).await.map_err(|(at, fault)| fault.in_batch(at, "link."))
    }

    /// See `BatchDeleteLinks`.
    pub async fn batch_delete(
        &self,
        caller: &Caller,
        request: &v1::BatchDeleteLinksRequest,
    ) -> Result<v1::BatchLinksResponse, Fault> {
        sized(request.requests.len())?;
        let asked = WriteTerms::new(caller, request)?;
        caller.rows(request.requests.len()).await?;
        let domain = self.parent(caller, &request.parent).await?;
        let mut items = Vec::with_capacity(request.requests.len());
        for (at, one) in request.requests.iter().enumerate() {
            give_way(at).await;
            only_outside(at, options(&one.request_id, one.validate_only, one.ack).into_iter())?;
            let item = self.deleted(caller, one).await;
            items
                .push(item.and_then(|item| within(domain.id, item)).map_err(|fault| fault.in_batch(at, ""))?);
        }
        self.all(&asked, items, RequestKind::Batch).await.map_err(|(at, fault)| fault.in_batch(at, ""))
    }
}

fn sized(requests: usize) -> Result<(), Fault> {
    match requests {
        0 => Err(Fault::invalid("requests", "is empty")),
        1..=MOST => Ok(()),
        _ => Err(Fault::TooLarge("1,000 links in a batch")),
    }
}

fn options(id: &str, only_check: bool, ack: i32) -> [(bool, &'static str); 3] {
    [(!id.is_empty(), "request_id"), (only_check, "validate_only"), (ack != 0, "ack")]
}

/// What is said once for the whole batch is not said again.
fn only_outside(at: usize, mut stray: impl Iterator<Item = (bool, &'static str)>) -> Result<(), Fault> {
    let Some((_, field)) = stray.find(|(given, _)| *given) else { return Ok(()) };
    Err(Fault::invalid(field, "is given for the whole batch, not for one of it").in_batch(at, ""))
}

fn within(domain: link::DomainId, item: Item) -> Result<Item, Fault> {
    let inside = item.key.domain() == domain;
    inside.then_some(item).ok_or_else(|| Fault::invalid("name", "is not in the domain of the batch"))
}
