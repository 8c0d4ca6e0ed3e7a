//! What must become of writes (R1), said a second time and without any code of `journal`: from the states of keys as the
//! log and what was written with it tell them, one request after the other.

use crate::mark;
use bytes::Bytes;
use journal::{Draft, Field, Intent, Item, Request, RequestKind, RetryName, Verdict};
use link::{DomainId, Epoch, Seq};

/// The state that a key should be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedState {
    /// Nothing.
    None,
    /// A link that leads to a mark, with the number of its external id.
    Live { version: Seq, mark: u32, id: usize },
    /// A tombstone, of a link that led to a mark and had an external id.
    Deleted { version: Seq, mark: u32, id: usize, at: i64 },
}

/// A request that came with an id and wrote something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredRequest {
    /// Its id, with who asked.
    pub name: RetryName,
    /// Of the request.
    pub hash: [u8; 16],
    /// What it wrote.
    pub seqs: Vec<Seq>,
    /// In this history.
    pub epoch: Epoch,
}

/// The answer that a store keeps for a request.
pub fn answer(epoch: Epoch, seqs: &[Seq]) -> Bytes {
    format!("{epoch:?} {seqs:?}").into()
}

/// The verdict that an item should get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedVerdict {
    /// It is written.
    Wrote,
    /// It is that already.
    Same,
    /// The whole request was answered so before.
    Before(Bytes),
    /// It is refused.
    Refused,
    /// Another item of its batch is.
    Held,
}

impl From<&Verdict> for ExpectedVerdict {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Created(_) | Verdict::Changed(_) => Self::Wrote,
            Verdict::Same => Self::Same,
            Verdict::Before(answer) => Self::Before(answer.clone()),
            Verdict::Refused(_) => Self::Refused,
            Verdict::Held => Self::Held,
        }
    }
}

/// What should become of a group.
#[derive(Debug)]
pub struct Expectation {
    /// One for each item.
    pub told: Vec<ExpectedVerdict>,
    /// Keys and their new states, in the order of the log: the first has the number behind the head.
    pub writes: Vec<(usize, ExpectedState)>,
    /// Requests that came with an id.
    pub answered: Vec<AnsweredRequest>,
}

/// The world as the group finds it.
#[derive(Debug)]
pub struct PriorState<'a> {
    /// By key.
    pub states: Vec<ExpectedState>,
    /// Every request that came with an id and wrote something in this history.
    pub answered: Vec<&'a AnsweredRequest>,
    /// The end of the log.
    pub head: Seq,
    /// Its history.
    pub epoch: Epoch,
    /// Unix milliseconds.
    pub now: i64,
    /// Whether no link may be led to [`mark::blocked`].
    pub blocks: bool,
}

/// What must become of a group.
pub fn expect(group: &[Request], before: PriorState<'_>, number: impl Fn(&Item) -> usize) -> Expectation {
    let mut all = Expectation { told: Vec::new(), writes: Vec::new(), answered: Vec::new() };
    let mut states = before.states;
    for request in group {
        let earlier = request.retry.as_ref().and_then(|retry| {
            let name = retry.name();
            let mut known = before.answered.iter().copied().chain(&all.answered);
            Some((known.find(|answered| answered.name == name)?, retry.hash))
        });
        if let Some((answered, hash)) = earlier {
            let told = match answered.hash == hash {
                true => ExpectedVerdict::Before(answer(answered.epoch, &answered.seqs)),
                false => ExpectedVerdict::Refused,
            };
            all.told.extend(request.items.iter().map(|_| told.clone()));
            continue;
        }
        let (mut trial, mut told, mut writes) = (states.clone(), Vec::new(), Vec::new());
        for item in &request.items {
            let version = before.head + (all.writes.len() + writes.len()) as Seq + 1;
            let key = number(item);
            told.push(match next(item, trial[key], version, before.now) {
                Ok(Some(state)) if before.blocks && is_led_there(trial[key], state) => {
                    ExpectedVerdict::Refused
                }
                Ok(Some(state)) if is_taken(state, key, &trial) => ExpectedVerdict::Refused,
                Ok(Some(state)) => {
                    trial[key] = state;
                    writes.push((key, state));
                    ExpectedVerdict::Wrote
                }
                Ok(None) => ExpectedVerdict::Same,
                Err(()) => ExpectedVerdict::Refused,
            });
        }
        if let Some(refused) = told
            .iter()
            .position(|told| *told == ExpectedVerdict::Refused)
            .filter(|_| request.kind == RequestKind::Batch)
        {
            told = vec![ExpectedVerdict::Held; request.items.len()];
            told[refused] = ExpectedVerdict::Refused;
            (trial, writes) = (states.clone(), Vec::new());
        }
        if let Some(retry) = request.retry.as_ref().filter(|_| !writes.is_empty()) {
            let first = before.head + all.writes.len() as Seq + 1;
            let seqs = (first..first + writes.len() as Seq).collect();
            all.answered.push(AnsweredRequest {
                name: retry.name(),
                hash: retry.hash,
                seqs,
                epoch: before.epoch,
            });
        }
        states = trial;
        all.told.extend(told);
        all.writes.extend(writes);
    }
    all
}

/// Whether a link leads to where none may lead, and did not before.
fn is_led_there(before: ExpectedState, after: ExpectedState) -> bool {
    let ExpectedState::Live { mark, .. } = after else { return false };
    let led = matches!(before, ExpectedState::Live { mark: led, .. } if led == mark);
    mark::is_blocked(mark) && !led
}

/// Whether another link has the external id.
fn is_taken(state: ExpectedState, key: usize, states: &[ExpectedState]) -> bool {
    let ExpectedState::Live { id: wanted @ 1.., .. } = state else { return false };
    let mut others = states.iter().enumerate().filter(|(other, _)| *other != key);
    others.any(|(_, other)| matches!(other, ExpectedState::Live { id, .. } if *id == wanted))
}

/// The state that an item makes; nothing if it is that already, an error if it is refused.
fn next(item: &Item, state: ExpectedState, version: Seq, now: i64) -> Result<Option<ExpectedState>, ()> {
    let live = |mark: Option<u32>, id| Ok(mark.map(|mark| ExpectedState::Live { version, mark, id }));
    let of = |draft: &Draft| mark::of(&draft.link);
    let id_of = |draft: &Draft| mark::number_of(&draft.info.external_id);
    // The world has no other domain with links.
    if item.key.domain() != DomainId::DEFAULT {
        return if matches!(item.intent, Intent::Purge { .. }) { Ok(None) } else { Err(()) };
    }
    let at_version = |etag: &Option<Seq>| match state {
        ExpectedState::None => Err(()),
        ExpectedState::Live { version, .. } | ExpectedState::Deleted { version, .. }
            if etag.is_some_and(|etag| etag != version) =>
        {
            Err(())
        }
        other => Ok(other),
    };
    match &item.intent {
        Intent::Create(draft) => {
            if state == ExpectedState::None {
                live(of(draft), id_of(draft))
            } else {
                Err(())
            }
        }
        Intent::Import { draft, update, .. } => match state {
            ExpectedState::None => live(of(draft), id_of(draft)),
            ExpectedState::Live { mark, id, .. } if of(draft) == Some(mark) && id_of(draft) == id => Ok(None),
            ExpectedState::Live { .. } if *update => live(of(draft), id_of(draft)),
            _ => Err(()),
        },
        // No link is disabled here, and nothing is swept.
        Intent::Block { .. } | Intent::Lift { .. } => Ok(None),
        Intent::Purge { before } => match state {
            ExpectedState::Deleted { at, .. } if at <= *before => Ok(Some(ExpectedState::None)),
            _ => Ok(None),
        },
        Intent::Restore { draft, etag } => at_version(etag).and_then(|_| live(of(draft), id_of(draft))),
        Intent::Undelete { etag } => match at_version(etag)? {
            ExpectedState::Deleted { mark, id, .. } => live(Some(mark), id),
            _ => Err(()),
        },
        Intent::Delete { etag } => match at_version(etag)? {
            ExpectedState::Live { mark, id, .. } => {
                Ok(Some(ExpectedState::Deleted { version, mark, id, at: now }))
            }
            _ => Err(()),
        },
        Intent::Update { fields, etag } => match (at_version(etag)?, &fields[..]) {
            (ExpectedState::Live { id, .. }, [Field::Target(target)]) => {
                live(mark::named(target.as_bytes()), id)
            }
            (ExpectedState::Live { mark, .. }, [Field::ExternalId(id)]) => {
                live(Some(mark), mark::number_of(id))
            }
            _ => Err(()),
        },
    }
}
