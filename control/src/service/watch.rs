//! Watches: every change of a domain's links from a revision on, read from the log at the watcher's own pace.

use super::source::MessageSource;
use super::{Service, name};
use crate::tail::Tail;
use crate::{Caller, Fault};
use journal::names;
use link::{
    Change, ChangeKind, DomainId, Epoch, Key, Link, LinkIdentity, LinkState, Position, Seq, VersionedState,
};
use proto::v1;
use std::sync::Arc;
use std::time::Duration;
use store::model::{Info, Row, StoreFault};
use store::wire;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

/// Watches at once. Each holds one batch of the log while its watcher takes it.
const WATCHES: usize = 256;
/// Reads of the store for them at once: others read, too.
const READS: usize = 2;
/// While only other domains change a watcher is told this often how far it has come.
const PROGRESS: Duration = Duration::from_secs(1);

/// What all watches share.
pub struct Watches {
    tail: Arc<Tail>,
    stop: watch::Receiver<bool>,
    places: Arc<Semaphore>,
    reads: Semaphore,
}

impl Watches {
    /// Over the log, until `stop`.
    pub fn new(tail: Arc<Tail>, stop: watch::Receiver<bool>) -> Self {
        Self { tail, stop, places: Arc::new(Semaphore::new(WATCHES)), reads: Semaphore::new(READS) }
    }
}

/// One watch: ask it for message after message.
pub struct Watch {
    service: Arc<Service>,
    domain: DomainId,
    /// What the domain is called, also once it is not there any more.
    name: String,
    /// Its end was read: nothing follows.
    gone: bool,
    epoch: Epoch,
    /// The last change that was read.
    seq: Seq,
    /// When it was last told something, and up to which change.
    told: Option<(Instant, Seq)>,
    _place: OwnedSemaphorePermit,
}

impl Service {
    /// See `WatchLinks`.
    ///
    /// # Errors
    /// [`Fault::Resync`] when what follows the revision can no longer be told.
    pub async fn watch(
        self: &Arc<Self>,
        caller: &Caller,
        request: v1::WatchLinksRequest,
    ) -> Result<Watch, Fault> {
        self.counted("WatchLinks", self.try_watch(caller, &request).await)
    }

    async fn try_watch(
        self: &Arc<Self>,
        caller: &Caller,
        request: &v1::WatchLinksRequest,
    ) -> Result<Watch, Fault> {
        let name = name::parent(&request.parent, "parent")?;
        let domain = self.domain(caller, &name).await?.id;
        let name = name.as_str().to_owned();
        let place = self.watches.places.clone().try_acquire_owned().map_err(|_| Fault::Overloaded)?;
        let given = match request.revision.as_str() {
            "" => None,
            text => {
                let wrong = || Fault::invalid("revision", "is none that an answer carried");
                Some(Position::parse_revision(text).ok_or_else(wrong)?)
            }
        };
        let (epoch, seq) = match given {
            Some((epoch, seq)) => (self.same_history(epoch, seq).await?, seq),
            None => {
                let head = self.reach.head().await?;
                (head.epoch, head.seq)
            }
        };
        Ok(Watch { service: self.clone(), domain, name, gone: false, epoch, seq, told: None, _place: place })
    }

    /// The current history, if all changes behind `seq` of the given one are in it and in the log.
    async fn same_history(&self, of: Epoch, seq: Seq) -> Result<Epoch, Fault> {
        let log = self.reach.log_view(seq, Some(of)).await?;
        let last = match log.ancestor {
            _ if of == log.head.epoch => log.head.seq,
            Some((_, shared)) => shared,
            None => return Err(Fault::Resync("it is of a history that this store did not come from".into())),
        };
        if seq > last {
            return Err(Fault::Resync(format!("what was written after {last} of its history is gone")));
        }
        if seq + 1 < log.oldest {
            return Err(Fault::Resync(format!("the log begins with change {}", log.oldest)));
        }
        Ok(log.head.epoch)
    }
}

impl MessageSource for Watch {
    type Message = v1::WatchLinksResponse;

    async fn next(&mut self) -> Result<Option<Self::Message>, Fault> {
        self.message().await
    }
}

impl Watch {
    /// The next message, once there is one; `None` when control stops. Nothing is read ahead of it.
    ///
    /// # Errors
    /// [`Fault::Resync`] when the history was replaced, or the watcher was so slow that the log was cut before it;
    /// [`Fault::DomainNotFound`] when the domain was deleted.
    async fn message(&mut self) -> Result<Option<v1::WatchLinksResponse>, Fault> {
        let service = self.service.clone();
        let (mut tail, mut stop) = (service.watches.tail.head(), service.watches.stop.clone());
        loop {
            if *stop.borrow() {
                return Ok(None);
            }
            if self.gone {
                return Err(Fault::DomainNotFound(names::domain(&self.name)));
            }
            let head = *tail.borrow_and_update();
            if head.epoch != self.epoch {
                self.epoch = service.same_history(self.epoch, self.seq).await?;
            }
            let changes = match head {
                head if head.epoch != self.epoch || head.seq <= self.seq => Vec::new(),
                _ => self.read(&service).await?,
            };
            if let Some(last) = changes.last() {
                self.seq = last.seq;
            }
            let prefix = self.domain.prefix();
            self.gone = changes.iter().any(|c| c.kind == ChangeKind::DOMAIN_GONE && c.key[..] == prefix);
            let own = changes.iter().filter_map(|change| self.told_of(change).transpose());
            let changes: Vec<_> = own.collect::<Result<_, _>>()?;
            let due = self.told.is_none_or(|(at, seq)| seq < self.seq && at.elapsed() >= PROGRESS);
            if !changes.is_empty() || due {
                self.told = Some((Instant::now(), self.seq));
                let revision = Position::revision(self.epoch, self.seq);
                return Ok(Some(v1::WatchLinksResponse { changes, revision }));
            }
            if self.gone || head.epoch == self.epoch && self.seq < head.seq {
                continue;
            }
            tokio::select! {
                _ = tail.changed() => {} // the tail lives as long as the service
                _ = stop.wait_for(|&stop| stop) => return Ok(None),
            }
        }
    }

    async fn read(&self, service: &Service) -> Result<Vec<Change>, Fault> {
        let (epoch, after) = (self.epoch, self.seq);
        // Of another history it is read again, once the tail knows that one.
        let read = service.watches.tail.changes(epoch, after, &service.watches.reads).await?;
        let changes = read.unwrap_or_default();
        match changes.first() {
            Some(first) if first.seq != after + 1 => {
                Err(Fault::Resync(format!("the log begins with change {}", first.seq)))
            }
            _ => Ok(changes),
        }
    }

    /// The change as a watcher is told of it, if it is one of its links.
    fn told_of(&self, change: &Change) -> Result<Option<v1::LinkChange>, Fault> {
        if ![ChangeKind::LINK, ChangeKind::PURGE].contains(&change.kind)
            || !change.key.starts_with(&self.domain.0.to_be_bytes())
        {
            return Ok(None);
        }
        let wrong =
            |what: &dyn std::fmt::Display| StoreFault::Corrupt(format!("change {}: {what}", change.seq));
        let key = Key::from_bytes(&change.key).map_err(|e| wrong(&e))?;
        let told = v1::LinkChange {
            revision: Position::revision(self.epoch, change.seq),
            name: names::link(&key, &self.name),
            ..v1::LinkChange::default()
        };
        if change.kind == ChangeKind::PURGE {
            return Ok(Some(v1::LinkChange { purged: true, ..told }));
        }
        let VersionedState { uid, state, .. } = record::decode(&change.record).map_err(|e| wrong(&e))?;
        Ok(Some(match state {
            LinkState::Deleted => v1::LinkChange { deleted: true, ..told },
            LinkState::Live(link) => {
                let identity = LinkIdentity { uid, version: change.seq };
                v1::LinkChange { link: Some(self.state(key, link, identity)), ..told }
            }
        }))
    }

    /// What the log knows of a link.
    fn state(&self, key: Key, link: Link, LinkIdentity { uid, version }: LinkIdentity) -> v1::Link {
        let info = Info::default();
        let row = Row { key, version, uid, link, info, create_time: 0, update_time: 0, delete_time: None };
        let shown = self.service.with_address(wire::link(&row, &self.name, self.epoch));
        v1::Link { create_time: None, update_time: None, ..shown }
    }
}
