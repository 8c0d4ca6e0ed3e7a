//! Keys: every one in memory by its hash, so that a guess costs no look-up in the store, and read again soon after one
//! changed anywhere. What a call asks of a key is not known here.

mod audit;
mod calls;
mod expiry;
mod secret;
mod stored;

pub use calls::{KeyDraft, mint};
pub use secret::Secret;

use crate::bound::Bound;
use crate::limits::Limits;
use crate::{Fault, clock};
use expiry::Clock;
use feed::Spell;
use secret::Hash;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use store::model::{KeyRow, PoolCounts, Scope, Scopes, StoreFault};
use store::port::{KeyMark, Repository};
use stored::StoredKeys;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Between two looks whether a key changed.
const POLL: Duration = Duration::from_millis(300);
/// The oldest that what is known of keys may be: a key that was revoked anywhere is refused everywhere after so long.
const CURRENT: Duration = Duration::from_secs(1);
/// Milliseconds between two words about one key that is refused.
const TELL_MS: i64 = 60_000;
/// Between two notes of when keys were last used.
const NOTE: Duration = Duration::from_secs(60);

/// The keys as one control knows them.
pub struct Keys {
    kept: StoredKeys,
    clock: Arc<Clock>,
    table: RwLock<KeyTable>,
}

struct KeyTable {
    mark: KeyMark,
    read_at: Instant,
    /// Hashes are of 256 bits: how long a look-up takes says nothing of how much of a guess was right.
    by_hash: HashMap<Hash, Arc<KeyEntry>>,
}

/// A key or certificate that may be used.
#[derive(Debug)]
pub struct KeyEntry {
    /// As [`crate::Caller::principal`].
    pub principal: Arc<str>,
    /// Who uses it; empty where no store says.
    pub client: Arc<str>,
    /// As [`crate::Caller::bound`].
    pub bound: Bound,
    /// As [`crate::Caller::edge`].
    pub edge: Option<Arc<str>>,
    scopes: Scopes,
    expire_time: Option<i64>,
    clock: Arc<Clock>,
    /// Whether a store has it.
    kept: bool,
    revoked: AtomicBool,
    used: AtomicI64,
    noted: AtomicI64,
    /// When it was last told that it is shown although it may not be used.
    told: AtomicI64,
}

impl KeyEntry {
    fn of(row: &KeyRow, clock: &Arc<Clock>) -> Self {
        let used = row.last_use.unwrap_or(0);
        Self {
            principal: Arc::from(row.id.as_str()),
            client: Arc::from(row.client.as_str()),
            bound: Bound::new(&row.domains, row.scopes, row.expire_time),
            edge: row.edge.as_deref().map(Arc::from),
            scopes: row.scopes,
            expire_time: row.expire_time,
            clock: clock.clone(),
            kept: true,
            revoked: AtomicBool::new(row.revoke_time.is_some()),
            used: AtomicI64::new(used),
            noted: AtomicI64::new(used),
            told: AtomicI64::new(0),
        }
    }

    /// One that may only follow, fetch and report.
    fn feed(principal: &str, edge: Option<Arc<str>>) -> Self {
        Self {
            principal: Arc::from(principal),
            client: Arc::from(""),
            bound: Bound::default(),
            edge,
            scopes: Scopes::of(&[Scope::Feed]),
            expire_time: None,
            clock: Arc::default(),
            kept: false,
            revoked: AtomicBool::new(false),
            used: AtomicI64::new(0),
            noted: AtomicI64::new(0),
            told: AtomicI64::new(0),
        }
    }

    /// One of this principal.
    #[cfg(test)]
    pub fn feed_for_test(principal: &str) -> Self {
        Self::feed(principal, None)
    }

    /// One for a domain.
    #[cfg(test)]
    pub fn for_test(principal: &str, domain: &str) -> Self {
        let bound = Bound::new(&[domain.to_owned()], Scopes::admin(), None);
        Self { bound, ..Self::feed(principal, None) }
    }

    /// One that was.
    #[cfg(test)]
    pub fn revoked() -> Self {
        Self { revoked: AtomicBool::new(true), ..Self::feed("revoked", None) }
    }

    /// Whether the log told of its end.
    #[cfg(test)]
    pub fn was_told(&self) -> bool {
        self.told.load(Relaxed) > 0
    }

    /// Whether it has the scope.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.has(scope)
    }

    /// Why it may not be used any more.
    pub fn ended(&self) -> Option<&'static str> {
        match self.revoked.load(Relaxed) {
            true => Some("the key or certificate was revoked"),
            false => self.has_expired().then_some("the key has expired"),
        }
    }

    fn has_expired(&self) -> bool {
        self.expire_time.is_some_and(|at| at <= self.clock.now())
    }

    /// As [`KeyEntry::tell`], to whoever shows it.
    fn refused(&self, why: &'static str) -> Fault {
        self.tell(why);
        Fault::Unauthenticated(why)
    }

    /// It may not be used any more, and somebody shows it, or showed it before a call that goes on. That is told: whoever
    /// changed its end does not see it otherwise.
    pub fn tell(&self, why: &'static str) {
        let (now, told) = (self.clock.now(), self.told.load(Relaxed));
        if now - told >= TELL_MS && self.told.compare_exchange(told, now, Relaxed, Relaxed).is_ok() {
            let (key_id, edge) = (&*self.principal, self.edge.as_deref());
            tracing::info!(
                name: "key_refused", key_id, edge, why,
                "who showed this is not let in: he needs another key (linkr keys create) or certificate"
            );
        }
    }

    /// It is used now.
    pub fn note_use(&self) {
        self.used.store(self.clock.now(), Relaxed);
    }

    /// Who is counted as one with it: see [`Bound::counted_as`].
    pub fn counted_as(&self) -> &Arc<str> {
        self.bound.counted_as().unwrap_or(&self.principal)
    }
}

impl Keys {
    /// Reads them. `own`: what the edge in this process shows. Blocks.
    ///
    /// # Errors
    /// Those of the store.
    pub fn open(store: Arc<dyn Repository>, own: Option<&Secret>) -> Result<Self, StoreFault> {
        let read_at = Instant::now();
        let (mark, rows) = store.key_rows().keys_since(KeyMark::NONE)?;
        let clock = Arc::new(Clock::default());
        note_times(&clock, &rows);
        tell_of_old(&rows, clock.now());
        let mut by_hash: HashMap<_, _> =
            rows.iter().map(|row| (row.hash, Arc::new(KeyEntry::of(row, &clock)))).collect();
        by_hash.extend(own.map(|secret| (secret.hash(), Arc::new(KeyEntry::feed("own-edge", None)))));
        let table = RwLock::new(KeyTable { mark, read_at, by_hash });
        Ok(Self { kept: StoredKeys::new(store), clock, table })
    }

    /// The key that was shown, if it may be used.
    ///
    /// # Errors
    /// [`Fault::Unauthenticated`]
    pub fn find(&self, text: &str) -> Result<Arc<KeyEntry>, Fault> {
        let mistyped = Fault::Unauthenticated("what was given is no key: is a character missing or wrong?");
        let hash = Secret::parse(text).ok_or(mistyped)?.hash();
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        match table.by_hash.get(&hash) {
            Some(known) if known.revoked.load(Relaxed) => Err(known.refused("the key was revoked")),
            Some(known) if known.has_expired() => Err(known.refused("the key has expired")),
            Some(known) => Ok(known.clone()),
            None => Err(Fault::Unauthenticated("the key is not known here")),
        }
    }

    /// The edge that a key is for, whether it may be used or not.
    pub fn edge_of(&self, text: &str) -> Option<Arc<str>> {
        let hash = Secret::parse(text)?.hash();
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.by_hash.get(&hash).and_then(|known| known.edge.clone())
    }

    /// What a certificate for this edge allows: one for all of its calls, so that streams end when it is revoked. (There
    /// are no more than the authority has signed names.)
    ///
    /// # Errors
    /// [`Fault::Unauthenticated`]
    pub fn of_edge(&self, edge: &Arc<str>) -> Result<Arc<KeyEntry>, Fault> {
        let (id, hash) = secret::of_edge(edge);
        let known = self.table.read().unwrap_or_else(PoisonError::into_inner).by_hash.get(&hash).cloned();
        let known = known.unwrap_or_else(|| {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(KeyEntry::feed(&id, Some(edge.clone())));
            table.by_hash.entry(hash).or_insert_with(new).clone()
        });
        match known.ended() {
            Some(_) => Err(known.refused("the certificate of this edge was revoked")),
            None => Ok(known),
        }
    }

    /// Whether a key that was revoked more than 1 s ago is sure to be known as such.
    pub fn are_current(&self) -> bool {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.read_at.elapsed() < CURRENT
    }

    /// Looks whether a key changed, until `stop`, on a thread of its own: however much the others have to do, what was
    /// revoked is known in time, and nobody is refused because it is not.
    pub fn start(self: Arc<Self>, limits: Arc<Limits>, stop: watch::Receiver<bool>) -> JoinHandle<()> {
        let (run, shared) = (self.run(limits, stop), Handle::current());
        tokio::task::spawn_blocking(move || match Builder::new_current_thread().enable_time().build() {
            Ok(own) => {
                own.block_on(run);
                own.shutdown_background(); // a store that does not answer is not waited for
            }
            Err(_) => shared.block_on(run),
        })
    }

    async fn run(self: Arc<Self>, limits: Arc<Limits>, mut stop: watch::Receiver<bool>) {
        let (mut noted, mut trouble) = (Instant::now(), Spell::default());
        loop {
            self.clock.look();
            match self.refreshed(&mut trouble).await {
                Ok(()) => {
                    if let Some(over) = trouble.over(clock::ms()) {
                        let lasted_ms = over.lasted_ms;
                        tracing::info!(name: "keys_readable", lasted_ms, "keys can be read again");
                    }
                }
                Err(fault) => {
                    unreadable(&mut trouble, &fault);
                }
            }
            if noted.elapsed() >= NOTE {
                noted = Instant::now();
                self.note_uses().await;
                limits.tidy();
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                _ = stop.wait_for(|&stop| stop) => break,
            }
        }
        self.note_uses().await;
    }

    /// The same, and tells of a store that does not answer in time: calls are refused long before it fails.
    async fn refreshed(&self, trouble: &mut Spell) -> Result<(), StoreFault> {
        let mut refresh = pin!(self.refresh());
        loop {
            if let Ok(read) = tokio::time::timeout(CURRENT, &mut refresh).await {
                return read;
            }
            let PoolCounts { in_use, most, waiting, .. } = self.kept.pool();
            let why = format!(
                "the store has not answered for a second: {in_use} of its {most} connections for reads are in use, and \
                 {waiting} reads wait for one"
            );
            unreadable(trouble, &StoreFault::Unavailable(why));
        }
    }

    /// Looks whether a key changed.
    pub async fn refresh(&self) -> Result<(), StoreFault> {
        let (began, seen) = (Instant::now(), self.table.read().unwrap_or_else(PoisonError::into_inner).mark);
        let read = self.kept.changed(seen).await?;
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((mark, rows)) = read.filter(|(mark, _)| mark.version > table.mark.version) {
            note_times(&self.clock, &rows);
            for row in rows {
                match table.by_hash.get(&row.hash) {
                    // Streams that it began look at the same one.
                    Some(known) => known.revoked.store(row.revoke_time.is_some(), Relaxed),
                    None => drop(table.by_hash.insert(row.hash, Arc::new(KeyEntry::of(&row, &self.clock)))),
                }
            }
            table.mark = mark;
        }
        table.read_at = table.read_at.max(began);
        Ok(())
    }

    /// Writes down when keys were used since the last time; best effort.
    async fn note_uses(&self) {
        let mut uses = Vec::new();
        {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            for known in table.by_hash.values().filter(|known| known.kept) {
                let used = known.used.load(Relaxed);
                if known.noted.swap(used, Relaxed) < used {
                    uses.push((known.principal.to_string(), used));
                }
            }
        }
        if !uses.is_empty() {
            let noted = self.kept.used(uses).await;
            noted.unwrap_or_else(
                |fault| tracing::debug!(name: "uses_not_noted", %fault, "when keys were used is not noted"),
            );
        }
    }
}

fn unreadable(trouble: &mut Spell, fault: &StoreFault) {
    if let Some(tell) = trouble.met(clock::ms(), "store") {
        let lasts_ms = tell.lasts_ms;
        tracing::warn!(
            name: "keys_unreadable", %fault, lasts_ms,
            "keys cannot be read: but for edges, calls are refused until they can"
        );
    }
}

/// The latest time that the store has seen by its keys: they are used as long as anything is.
fn note_times(clock: &Clock, rows: &[KeyRow]) {
    let times = rows.iter().flat_map(|row| [Some(row.create_time), row.revoke_time, row.last_use]);
    clock.note(times.flatten().max().unwrap_or(0));
}

/// Keys with scope feed from before they named an edge: they go on working, but pass for any edge.
fn tell_of_old(rows: &[KeyRow], now: i64) {
    let live = |row: &&KeyRow| row.revoke_time.is_none() && row.expire_time.is_none_or(|at| at > now);
    let feed = rows.iter().filter(live).filter(|row| row.scopes.has(Scope::Feed));
    let (bound, any): (Vec<_>, Vec<_>) =
        feed.filter(|row| row.edge.is_none()).partition(|row| !row.domains.is_empty());
    let named = |rows: &[&KeyRow]| {
        let names = rows.iter().map(|row| format!("{} of {}", row.id, row.client));
        names.take(10).collect::<Vec<_>>().join(", ")
    };
    if !any.is_empty() {
        tracing::warn!(
            name: "keys_of_any_edge",
            "{} keys with scope feed name no edge, and whoever holds one passes for any edge: {}. Make one for each edge \
             (linkr keys create --scopes feed --edge NAME), give it to that edge, and revoke these",
            any.len(),
            named(&any)
        );
    }
    if !bound.is_empty() {
        tracing::warn!(
            name: "keys_of_no_use",
            "{} keys for some domains have the scope feed, which is of every domain, and are refused there: {}. Make one \
             for each edge: linkr keys create --scopes feed --edge NAME",
            bound.len(),
            named(&bound)
        );
    }
}

#[cfg(test)]
impl Keys {
    /// Another key that begins like this one.
    pub fn guess(&self, of: &str, right: usize) -> String {
        loop {
            let guess = secret::like(of, right);
            if matches!(self.find(&guess), Err(Fault::Unauthenticated("the key is not known here"))) {
                return guess;
            }
        }
    }
}
