//! What the set is compared with: least recently used, and the optimum of one who knows the future. Their own
//! bookkeeping costs them nothing.

use crate::Tally;
use crate::requests::{Event, Requests};
use std::collections::BTreeSet;

/// Objects in an order, with what they take together.
struct OrderedObjects<'a> {
    costs: &'a [usize],
    order: BTreeSet<(usize, usize)>,
    place: Vec<Option<usize>>,
    bytes: usize,
}

impl<'a> OrderedObjects<'a> {
    fn new(costs: &'a [usize]) -> Self {
        Self { costs, order: BTreeSet::new(), place: vec![None; costs.len()], bytes: 0 }
    }

    /// Puts the object in its new place; whether it was there.
    fn put(&mut self, object: usize, place: usize) -> bool {
        let old = self.place[object].replace(place);
        match old {
            Some(old) => _ = self.order.remove(&(old, object)),
            None => self.bytes += self.costs[object],
        }
        self.order.insert((place, object));
        old.is_some()
    }

    fn gone(&mut self, (_, object): (usize, usize)) {
        self.place[object] = None;
        self.bytes -= self.costs[object];
    }
}

/// Least recently used; what is pushed counts as used.
pub fn lru(requests: &Requests, costs: &[usize], budget: usize) -> f64 {
    let (mut held, mut tally) = (OrderedObjects::new(costs), Tally::default());
    for (now, event) in requests.events.iter().enumerate() {
        let hit = held.put(event.object(), now);
        if matches!(event, Event::Asked(_)) {
            tally.count(hit);
        }
        while held.bytes > budget
            && let Some(oldest) = held.order.pop_first()
        {
            held.gone(oldest);
        }
    }
    tally.percent()
}

/// Belady's: whoever is asked for last goes first, at once if need be. With objects of different sizes it is very near
/// the optimum, not exactly it.
pub fn belady(requests: &Requests, costs: &[usize], budget: usize) -> f64 {
    let mut later = vec![usize::MAX; costs.len()];
    let mut next = vec![0; requests.events.len()];
    for (now, event) in requests.events.iter().enumerate().rev() {
        next[now] = later[event.object()];
        if let Event::Asked(object) = event {
            later[*object as usize] = now;
        }
    }
    let (mut held, mut tally) = (OrderedObjects::new(costs), Tally::default());
    for (event, next) in requests.events.iter().zip(next) {
        let hit = held.put(event.object(), next);
        if matches!(event, Event::Asked(_)) {
            tally.count(hit);
        }
        while held.bytes > budget
            && let Some(last) = held.order.pop_last()
        {
            held.gone(last);
        }
    }
    tally.percent()
}
