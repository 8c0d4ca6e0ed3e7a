//! How a write is asked for, made and answered, whatever it writes.

use super::claims::Pass;
use super::write_request::{WriteOptions, WriteRequest};
use super::{Service, fnv};
use crate::bound::Bound;
use crate::{Caller, Fault};
use bytes::Bytes;
use journal::{Field, Intent, Item, Request, RequestKind, Retry, Verdict};
use link::{Epoch, Position, Seq};
use prost::Message;
use proto::v1;
use record::Features;
use std::sync::{Mutex, MutexGuard, PoisonError};
use store::model::{Author, StoreFault};

/// When a write is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ack {
    OnlyCheck,
    Durable,
    Propagated,
}

/// The terms of a write, besides what is to be written: who, how a retry is known, when it is answered.
pub struct WriteTerms {
    pub(super) by: Author,
    pub(super) retry: Option<Retry>,
    pub(super) ack: Ack,
    pub(super) bound: Bound,
    pass: Mutex<Option<Pass>>,
}

impl WriteTerms {
    /// Checks what the request says.
    ///
    /// # Errors
    /// The request is too large, or one of its options is none.
    pub fn new<R: WriteRequest>(caller: &Caller, request: &R) -> Result<Self, Fault> {
        if request.encoded_len() > R::SIZE.bytes {
            return Err(Fault::TooLarge(R::SIZE.shown));
        }
        let WriteOptions { request_id: id, ack, validate_only } = request.options();
        let ack = match v1::Ack::try_from(ack) {
            Err(_) => return Err(Fault::invalid("ack", "is none that this server knows")),
            Ok(_) if validate_only => Ack::OnlyCheck,
            Ok(v1::Ack::Unspecified | v1::Ack::Durable) => Ack::Durable,
            Ok(v1::Ack::Propagated) => Ack::Propagated,
        };
        if id.len() > 128 || !id.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Err(Fault::invalid("request_id", "is not at most 128 printable ASCII characters"));
        }
        let (principal, request_id) = (caller.principal.clone(), caller.request_id.clone());
        let retry = (!id.is_empty()).then(|| Retry {
            principal: principal.to_string(),
            method: R::METHOD,
            id: id.to_owned(),
            hash: fnv(&request.encode_to_vec()).to_be_bytes(),
        });
        Ok(Self {
            by: Author { principal, method: R::METHOD, request_id },
            retry,
            ack,
            bound: caller.bound.clone(),
            pass: Mutex::default(),
        })
    }

    /// Keeps a pass until all is committed.
    pub fn hold(&self, pass: impl FnOnce() -> Pass) {
        self.held().get_or_insert_with(pass);
    }

    fn held(&self) -> MutexGuard<'_, Option<Pass>> {
        self.pass.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Writes one link.
    pub(super) async fn one(&self, asked: &WriteTerms, item: Item) -> Result<v1::Link, Fault> {
        let done = self.all(asked, vec![item], RequestKind::One).await.map_err(|(_, fault)| fault)?;
        let missing = || StoreFault::Corrupt("a stored answer: it is empty".into());
        let link = done.links.into_iter().next().ok_or_else(missing)?;
        Ok(v1::Link { propagation: done.propagation, ..link })
    }

    /// Writes all or nothing. A refusal says which item it is about.
    pub(super) async fn all(
        &self,
        asked: &WriteTerms,
        items: Vec<Item>,
        kind: RequestKind,
    ) -> Result<v1::BatchLinksResponse, (usize, Fault)> {
        for (at, item) in items.iter().enumerate() {
            self.known_everywhere(asked, needed(&item.intent)).map_err(|fault| (at, fault))?;
        }
        let (whole, view) = (|fault: Fault| (0, fault), self.reach.within(&asked.bound));
        let mut request = Request { items, kind, by: Some(asked.by.clone()), retry: asked.retry.clone() };
        if asked.ack == Ack::OnlyCheck {
            request.retry = None;
            let (epoch, verdicts) = view.only_check(request).await.map_err(whole)?;
            let new: Vec<bool> =
                verdicts.iter().map(|verdict| matches!(verdict, Verdict::Created(_))).collect();
            let done = self.answered(epoch, verdicts, kind)?.links.into_iter();
            let links = done.zip(new).map(|(link, new)| {
                // Which number a new link would get is not known.
                let uid = if new { 0 } else { link.uid };
                v1::Link { revision: String::new(), etag: String::new(), uid, ..link }
            });
            return Ok(v1::BatchLinksResponse { links: links.collect(), propagation: None });
        }
        let pass = asked.held().clone();
        let done = view.submit(request, pass).map_err(whole)?.answer().await.map_err(whole)?;
        let mut answer = self.answered(done.epoch, done.verdicts, kind)?;
        asked.held().take();
        crate::call::wrote(answer.links.last().map_or("", |link| &link.revision));
        if asked.ack == Ack::Propagated {
            let last = last(&answer).map_err(|fault| whole(fault.into()))?;
            answer.propagation = Some(self.edges.sessions.propagated(done.epoch, last).await);
        }
        Ok(answer)
    }

    /// Refuses what an edge that follows does not know; from here on none is let in that does not.
    ///
    /// # Errors
    /// [`Fault::EdgeTooOld`]
    pub(super) fn known_everywhere(&self, asked: &WriteTerms, needed: Features) -> Result<(), Fault> {
        let gate = &self.edges.sessions.gate;
        if asked.ack == Ack::OnlyCheck { gate.check(needed) } else { gate.take(needed) }
    }

    /// The answer that the verdicts of one request make.
    fn answered(
        &self,
        epoch: Epoch,
        verdicts: Vec<Verdict>,
        kind: RequestKind,
    ) -> Result<v1::BatchLinksResponse, (usize, Fault)> {
        let mut links = Vec::with_capacity(verdicts.len());
        for (at, verdict) in verdicts.into_iter().enumerate() {
            match verdict {
                Verdict::Created(row) | Verdict::Changed(row) => links.push(self.shown(&row, epoch)),
                Verdict::Before(bytes) => {
                    let mut answer = before(bytes, kind).map_err(|fault| (0, fault.into()))?;
                    answer.links = answer.links.into_iter().map(|link| self.with_address(link)).collect();
                    return Ok(answer);
                }
                Verdict::Refused(why) => return Err((at, why.into())),
                // The refused one comes behind it.
                Verdict::Held => {}
                Verdict::Same => unreachable!("only imports leave things as they are"),
            }
        }
        Ok(v1::BatchLinksResponse { links, propagation: None })
    }
}

/// What edges have to know of the link that this makes, as far as it says so itself: what comes back is looked at where it
/// is read.
pub(super) fn needed(intent: &Intent) -> Features {
    match intent {
        Intent::Create(draft) | Intent::Restore { draft, .. } | Intent::Import { draft, .. } => {
            Features::of_link(&draft.link.as_ref())
        }
        Intent::Update { fields, .. }
            if fields.iter().any(|field| matches!(field, Field::ExpiredTarget(Some(_)))) =>
        {
            Features::EXPIRED_TARGET
        }
        Intent::Update { .. }
        | Intent::Delete { .. }
        | Intent::Undelete { .. }
        | Intent::Purge { .. }
        | Intent::Block { .. }
        | Intent::Lift { .. } => Features::default(),
    }
}

/// The stored answer.
fn before(bytes: Bytes, kind: RequestKind) -> Result<v1::BatchLinksResponse, StoreFault> {
    let answer = match kind {
        RequestKind::Batch => v1::BatchLinksResponse::decode(bytes),
        RequestKind::One | RequestKind::Chunk => v1::Link::decode(bytes)
            .map(|link| v1::BatchLinksResponse { links: vec![link], propagation: None }),
    };
    answer.map_err(|e| StoreFault::Corrupt(format!("a stored answer: {e}")))
}

/// The seq of the last write that was answered so.
fn last(answer: &v1::BatchLinksResponse) -> Result<Seq, StoreFault> {
    let revision = answer.links.last().map_or("", |link| &link.revision);
    let wrong = || StoreFault::Corrupt(format!("a stored answer: revision {revision}"));
    Position::parse_revision(revision).map(|(_, seq)| seq).ok_or_else(wrong)
}

/// The version of no link.
pub const NO_VERSION: Seq = 0;

/// The version an etag names; [`NO_VERSION`] for one that we cannot have given out.
pub fn etag(text: &str) -> Option<Seq> {
    let version = |text: &str| text.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
    (!text.is_empty()).then(|| version(text).unwrap_or(NO_VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags() {
        assert_eq!(etag(""), None);
        assert_eq!(etag("\"17\""), Some(17));
        for foreign in ["17", "\"", "\"x\"", "W/\"17\"", "\"17\", \"18\""] {
            assert_eq!(etag(foreign), Some(0), "{foreign}");
        }
    }
}
