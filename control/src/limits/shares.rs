//! Places for calls that last: how many of each there are, and how many of them one caller may hold.

use crate::Fault;
use crate::bound::Bound;
use proto::described;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

/// For a page to be taken by whoever asked for it; then his connection ends.
const TAKEN: Duration = Duration::from_secs(30);

/// Calls that are counted together: all of them that may be under way, and those of one key or edge.
#[derive(Debug)]
pub(super) struct CallKind {
    /// The call, or what they have in common.
    name: &'static str,
    most: usize,
    one: usize,
    /// As long as their caller likes; else they end by themselves.
    last: bool,
    /// Of one holder, those that are being answered, up to the last byte, at once: the others wait.
    turns: Option<usize>,
    /// They are large, in or out: a caller who neither ends what he sends nor reads what he is sent holds their memory.
    pages: bool,
}

const fn lasting(name: &'static str, most: usize, one: usize) -> CallKind {
    CallKind { name, most, one, last: true, turns: None, pages: false }
}

const fn pages(name: &'static str) -> CallKind {
    CallKind { name, most: 96, one: 32, last: false, turns: Some(8), pages: true }
}

/// Those whose calls one may begin faster than they end, by the names that calls give in the `.proto`. (An answer that nobody takes lasts, too. One process of an edge
/// never has more than 200 questions under way, which is what HTTP/2 gives it.)
static KINDS: [CallKind; 12] = [
    lasting("WatchLinks", 256, 32),
    lasting("ExportLinks", 64, 8),
    lasting("ImportLinks", 64, 8),
    lasting("WatchClicks", 256, 32),
    lasting("ExportClicks", 64, 8),
    lasting("Follow", 4_096, 16),
    CallKind { name: "Fetch", most: 16_384, one: 512, last: false, turns: Some(32), pages: false },
    // An edge has one batch of clicks under way; another process of it may come while it stops.
    CallKind { name: "Append", most: 4_096, one: 8, last: false, turns: Some(2), pages: false },
    pages("lists"),
    pages("batches"),
    // Nobody is asked for a key.
    lasting("ServerReflectionInfo", 64, 32),
    lasting("Watch", 4_096, 32),
];

/// Who holds a place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Whoever shows this key.
    Key(Arc<str>),
    /// All keys that are counted as one: see [`Bound::counted_as`].
    Domain(Arc<str>),
    /// All keys for some domains, so that keys for every domain have places left.
    Bound,
    /// An edge, by its certificate or whichever key of its own.
    Edge(Arc<str>),
    /// Where no key is asked for, all behind an address, which may be a proxy: half of all places.
    Address(u64),
    /// Some edges with one key or none, which cannot be told apart: all places.
    Edges,
    /// Everybody.
    All,
}

impl Holder {
    /// All that hold what this one does.
    pub fn and_all(self, bound: &Bound) -> Vec<Self> {
        let mut all = vec![self, Self::All];
        if let Some(name) = bound.counted_as() {
            all.extend([Self::Domain(name.clone()), Self::Bound]);
        }
        all
    }
}

/// What a caller has already: by his key, and with all who are counted as one with him.
#[derive(Clone, Copy, Debug)]
pub(super) struct HolderCounts {
    key: usize,
    domain: usize,
}

impl HolderCounts {
    pub(super) fn of(holders: &[Holder], held: impl Fn(&Holder) -> usize) -> Self {
        let domain = holders.iter().find(|holder| matches!(holder, Holder::Domain(_)));
        Self { key: holders.first().map_or(0, &held), domain: domain.map_or(0, &held) }
    }
}

type PlaceKey = (&'static str, Holder);

#[derive(Debug, Default)]
pub struct CallPlaces {
    held: Mutex<HashMap<PlaceKey, usize>>,
    turns: Mutex<HashMap<PlaceKey, Arc<Semaphore>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct CallPlace {
    places: Arc<CallPlaces>,
    kind: &'static CallKind,
    holders: Vec<Holder>,
    turn: Option<OwnedSemaphorePermit>,
    untaken: Option<AbortHandle>,
}

impl CallPlaces {
    /// A place for a call of this name; none is needed for one that is not counted.
    ///
    /// # Errors
    /// [`Fault::Full`], or [`Fault::Share`] when the holder has all that one may have.
    pub fn take(
        self: &Arc<Self>,
        call: &'static str,
        holder: Holder,
        bound: &Bound,
    ) -> Result<Option<CallPlace>, Fault> {
        let places = described::call(call).map_or(call, |call| &call.rule.places);
        let Some(kind) = KINDS.iter().find(|kind| kind.name == places) else {
            return Ok(None);
        };
        let holders = holder.and_all(bound);
        let mut held = self.held();
        let of = |holder: &Holder| held.get(&(kind.name, holder.clone())).copied().unwrap_or(0);
        let own = HolderCounts::of(&holders, of);
        for holder in &holders {
            let share = kind.share(holder, own);
            if of(holder) >= share {
                return Err(kind.full(holder, share));
            }
        }
        for holder in &holders {
            *held.entry((kind.name, holder.clone())).or_default() += 1;
        }
        Ok(Some(CallPlace { places: self.clone(), kind, holders, turn: None, untaken: None }))
    }

    fn held(&self) -> MutexGuard<'_, HashMap<PlaceKey, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<PlaceKey, Arc<Semaphore>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CallPlace {
    /// Waits until its holder has few enough of these calls under way, if there is a bound.
    pub async fn turn(&mut self) {
        let Some(most) = self.kind.turns else { return };
        let Some(holder) = self.holders.first() else { return };
        // Pages wait for callers with keys, questions for edges. Edges that cannot be told apart would wait for each other.
        let is_edge = matches!(holder, Holder::Edge(_));
        if is_edge == self.kind.pages || matches!(holder, Holder::Edges) {
            return;
        }
        let line = {
            let mut turns = self.places.turns();
            let line = turns.entry((self.kind.name, holder.clone()));
            line.or_insert_with(|| Arc::new(Semaphore::new(most))).clone()
        };
        self.turn = line.acquire_owned().await.ok(); // it is never closed
    }

    /// From now on the page is there to be taken; a connection that does not take it in time is given up.
    pub fn offer(&mut self, give_up: impl FnOnce() + Send + 'static) {
        if self.kind.pages {
            let untaken = tokio::spawn(async move {
                tokio::time::sleep(TAKEN).await;
                give_up();
            });
            self.untaken = Some(untaken.abort_handle());
        }
    }
}

impl CallKind {
    /// What takes memory, and no turns.
    pub(super) const fn of_bytes(name: &'static str, most: usize, one: usize) -> Self {
        Self { name, most, one, last: false, turns: None, pages: false }
    }

    /// What a holder may have at most. Whoever has few of his own gets another one, however many others have: of what all
    /// may have a quarter is for those.
    pub(super) fn share(&self, holder: &Holder, own: HolderCounts) -> usize {
        match holder {
            Holder::Key(_) | Holder::Edge(_) => self.one,
            Holder::Domain(_) => (self.one * 2).min(self.most / 2),
            Holder::Bound if own.domain * 8 >= self.one => self.most / 2,
            Holder::Bound => self.most / 4 * 3,
            Holder::All if self.pages && own.key * 8 >= self.one => self.most / 4 * 3,
            Holder::Address(_) => self.most / 2,
            Holder::Edges | Holder::All => self.most,
        }
    }

    pub(super) fn full(&self, holder: &Holder, share: usize) -> Fault {
        let whose = match holder {
            Holder::All => return Fault::Full { what: self.name, most: share, last: self.last },
            Holder::Domain(domain) => format!("the keys for {domain}"),
            Holder::Bound => "all keys that are for some domains".to_owned(),
            Holder::Edge(edge) => format!("edge {edge}"),
            Holder::Key(_) | Holder::Address(_) | Holder::Edges => "this caller".to_owned(),
        };
        Fault::Share { what: self.name, share, whose, last: self.last }
    }
}

impl Drop for CallPlace {
    fn drop(&mut self) {
        if let Some(untaken) = self.untaken.take() {
            untaken.abort();
        }
        self.turn = None;
        let mut held = self.places.held();
        for holder in self.holders.drain(..) {
            if let Entry::Occupied(mut count) = held.entry((self.kind.name, holder)) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    let (held, _) = count.remove_entry();
                    self.places.turns().remove(&held);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::time::Duration;
    use store::model::Scopes;

    #[test]
    fn every_call_names_places_that_there_are() {
        let named: HashSet<&str> = described::calls().iter().map(|call| &*call.rule.places).collect();
        let others = ["ServerReflectionInfo", "Watch"];
        let there: HashSet<&str> = KINDS.iter().map(|kind| kind.name).chain([""]).collect();
        assert_eq!(named.iter().copied().chain(others).collect::<HashSet<_>>(), there);
        for call in described::calls().iter().filter(|call| call.gives_stream) {
            assert!(!call.rule.places.is_empty(), "{} may last, and any number may be begun", call.name);
        }
    }

    #[test]
    fn one_holds_its_share_and_gives_it_back() {
        let places = Arc::<CallPlaces>::default();
        let all = Bound::default();
        let take = |holder: &str| places.take("WatchLinks", Holder::Key(holder.into()), &all);
        let mut held: Vec<_> = (0..32).map(|_| take("a").unwrap().unwrap()).collect();
        let whose = "this caller".to_owned();
        assert_eq!(take("a").unwrap_err(), Fault::Share { what: "WatchLinks", share: 32, whose, last: true });
        held.pop();
        held.push(take("a").unwrap().unwrap());
        for holder in ["b", "c", "d", "e", "f", "g", "h"] {
            held.extend((0..32).map(|_| take(holder).unwrap().unwrap()));
        }
        assert_eq!(take("i").unwrap_err(), Fault::Full { what: "WatchLinks", most: 256, last: true });
        let other = places.take("ExportLinks", Holder::Key("a".into()), &all);
        assert!(other.unwrap().is_some(), "of another kind");
        assert!(places.take("GetLink", Holder::Key("a".into()), &all).unwrap().is_none());
        held.clear();
        assert!(places.held().is_empty());
        let address = || places.take("WatchLinks", Holder::Address(1), &all);
        assert_eq!((0..).map_while(|_| address().ok()).collect::<Vec<_>>().len(), 128);
    }

    /// Found by attack: with keys:admin for one domain, a caller made keys until he had every watch.
    #[test]
    fn many_keys_for_one_domain_hold_no_more_than_two() {
        let places = Arc::<CallPlaces>::default();
        let bound = |domains: &[&str]| {
            let domains: Vec<_> = domains.iter().map(|&domain| domain.to_owned()).collect();
            Bound::new(&domains, Scopes::admin(), None)
        };
        let take = |call, key: usize, bound: &Bound| {
            places.take(call, Holder::Key(key.to_string().into()), bound).map(Option::unwrap)
        };
        for (call, share) in [("WatchLinks", 64), ("ListLinks", 48), ("ExportLinks", 16)] {
            let mine = |key| take(call, key, &bound(if key % 2 == 0 { &["a"] } else { &["a", "b"] }));
            let mut held: Vec<_> = (0..).map_while(|key| mine(key).ok()).collect();
            assert_eq!(held.len(), share, "{call}");
            assert!(mine(0).unwrap_err().to_string().contains("the keys for domains/a"));
            held.push(take(call, 1_000, &bound(&["c"])).unwrap());
            // Whoever has many domains leaves some to those who have all.
            let many = |key: usize| take(call, key, &bound(&[&format!("d{key}")]));
            held.extend((2_000..).map_while(|key| many(key).ok()));
            held.push(take(call, 1_001, &Bound::default()).unwrap());
        }
        assert!(places.held().is_empty());
    }

    /// Found by attack: three domains held every watch that keys for some domains can have.
    #[test]
    fn greedy_domains_leave_places_for_those_that_have_few() {
        let places = Arc::<CallPlaces>::default();
        let take = |call, key: &str, domain: &str| {
            places.take(
                call,
                Holder::Key(key.into()),
                &Bound::new(&[domain.to_owned()], Scopes::admin(), None),
            )
        };
        for call in ["WatchLinks", "ListLinks", "ExportLinks"] {
            let mut held = Vec::new();
            for domain in ["a", "b", "c", "d"] {
                for key in ["1", "2"] {
                    held.extend((0..).map_while(|_| take(call, &format!("{domain}{key}"), domain).ok()));
                }
            }
            (0..4).for_each(|new| held.push(take(call, &format!("{new}"), &format!("e{new}")).unwrap()));
        }
    }

    /// Found by attack: 800 lists of one key at once kept everybody from the store.
    #[test]
    fn lists_are_counted_together() {
        let places = Arc::<CallPlaces>::default();
        let take = |call| places.take(call, Holder::Key("a".into()), &Bound::default());
        let calls = ["ListLinks", "ListKeys", "ListAudit", "ListLinkHistory"];
        let held: Vec<_> = calls.iter().cycle().map_while(|call| take(call).ok()).collect();
        assert_eq!(held.len(), 32);
        let fault = take("ListDomains").unwrap_err();
        assert_eq!((fault.names().http.as_u16(), fault.retry_after()), (429, Some(Duration::from_secs(1))));
        assert_eq!(
            fault.to_string(),
            "32 lists of this caller are under way, and there may be no more: try again when one has ended"
        );
    }

    /// Found by attack: twelve keys with eight lists each had all places, and one list of another key was refused.
    #[test]
    fn many_lists_of_many_keys_leave_places_for_whoever_has_few() {
        let places = Arc::<CallPlaces>::default();
        let take = |key: &str| places.take("ListLinks", Holder::Key(key.into()), &Bound::default());
        let mut held = Vec::new();
        for round in 0..8 {
            for key in 0..12 {
                held.extend(take(&key.to_string()).map(|place| (round, place)).ok());
            }
        }
        assert_eq!(held.len(), 72);
        (0..4).for_each(|round| held.push((round, take("other").unwrap())));
        assert!(take("other").is_err() && take("another").is_ok());
    }

    #[tokio::test]
    async fn questions_of_one_edge_wait_for_each_other_and_for_those_of_no_other() {
        let places = Arc::<CallPlaces>::default();
        let take =
            |edge: &str| places.take("Fetch", Holder::Edge(edge.into()), &Bound::default()).unwrap().unwrap();
        let mut held: Vec<_> = (0..512).map(|_| take("a")).collect();
        let refused = places.take("Fetch", Holder::Edge("a".into()), &Bound::default()).unwrap_err();
        assert!(refused.to_string().starts_with("512 Fetch of edge a are under way"), "{refused}");
        for place in &mut held[..32] {
            place.turn().await;
        }
        let (first, rest) = held.split_at_mut(32);
        let mut waiting = Box::pin(rest[0].turn());
        assert!(futures_now(&mut waiting).await.is_none());
        let mut other = take("b");
        assert!(futures_now(&mut Box::pin(other.turn())).await.is_some());
        first[7].turn = None;
        assert!(futures_now(&mut waiting).await.is_some());
        drop(waiting);
        drop((held, other));
        assert!(places.held().is_empty() && places.turns().is_empty());
    }

    /// Found by attack: 800 pages of one key that nobody read took 4 GB.
    #[tokio::test]
    async fn pages_of_one_key_wait_for_each_other_and_for_those_of_no_other() {
        for call in ["ListLinks", "ListLinkHistory", "BatchCreateLinks"] {
            let places = Arc::<CallPlaces>::default();
            let all = Bound::default();
            let take = |key: &str| places.take(call, Holder::Key(key.into()), &all).unwrap().unwrap();
            let mut held: Vec<_> = (0..32).map(|_| take("a")).collect();
            let refused = places.take(call, Holder::Key("a".into()), &all).unwrap_err();
            assert!(matches!(refused, Fault::Share { share: 32, .. }), "{refused}");
            let (first, rest) = held.split_at_mut(8);
            for place in &mut *first {
                place.turn().await;
            }
            let mut waiting = Box::pin(rest[0].turn());
            assert!(futures_now(&mut waiting).await.is_none());
            let mut other = take("b");
            assert!(futures_now(&mut Box::pin(other.turn())).await.is_some());
            first[3].turn = None;
            assert!(futures_now(&mut waiting).await.is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_is_not_taken_costs_its_connection() {
        let floor = crate::places::ConnectionPlaces::new(1_024);
        let places = Arc::<CallPlaces>::default();
        for (call, taken_after, ends) in
            [("ListLinks", 29, false), ("ListLinks", 31, true), ("Follow", 99, false)]
        {
            let seat = floor.seat([127, 0, 0, 1].into());
            let mut place = places.take(call, Holder::Key("a".into()), &Bound::default()).unwrap().unwrap();
            let offered = seat.clone();
            place.offer(move || offered.give_up());
            let lost = tokio::time::timeout(Duration::from_secs(taken_after), seat.lost()).await.is_ok();
            drop(place);
            let later = tokio::time::timeout(TAKEN * 2, seat.lost()).await.is_ok();
            assert_eq!((lost, later), (ends, false), "{call}, {taken_after} s");
        }
    }

    /// What it gives without waiting.
    async fn futures_now<F: Future + Unpin>(wait: &mut F) -> Option<F::Output> {
        tokio::time::timeout(std::time::Duration::ZERO, wait).await.ok()
    }
}
