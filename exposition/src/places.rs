//! Places for the connections of one listener. Somebody new always gets one: when all are taken, the oldest connection of
//! the address that holds most of them ends. So a thousand connections that ask nothing keep nobody out.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The places of one listener.
#[derive(Debug)]
pub struct Places {
    most: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// By the order in which they were taken.
    taken: BTreeMap<u64, (IpAddr, Arc<Notify>)>,
    by_address: HashMap<IpAddr, usize>,
    last: u64,
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    number: u64,
    end: Arc<Notify>,
}

impl Places {
    /// So many places, at least one.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), table: Mutex::default() })
    }

    /// Takes one for a connection from `address`, if need be from another connection.
    #[must_use]
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Place {
        let mut table = self.table();
        if table.taken.len() >= self.most {
            table.end_one();
        }
        table.last += 1;
        let (number, end) = (table.last, Arc::new(Notify::new()));
        table.taken.insert(number, (address, end.clone()));
        *table.by_address.entry(address).or_default() += 1;
        drop(table);
        Place { places: self.clone(), number, end }
    }

    /// Connections that hold one.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.table().taken.len()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn end_one(&mut self) {
        let Some((&crowd, _)) = self.by_address.iter().max_by_key(|(_, count)| **count) else { return };
        let oldest = self.taken.iter().find(|(_, (address, _))| *address == crowd).map(|(number, _)| *number);
        if let Some(end) = oldest.and_then(|number| self.leave(number)) {
            end.notify_one();
        }
    }

    fn leave(&mut self, number: u64) -> Option<Arc<Notify>> {
        let (address, end) = self.taken.remove(&number)?;
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
        Some(end)
    }
}

impl Place {
    /// Returns when somebody else has this place.
    pub async fn lost(&self) {
        self.end.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.table().leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    async fn is_lost(place: &Place) -> bool {
        tokio::time::timeout(std::time::Duration::from_millis(1), place.lost()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_the_greatest_crowd_makes_room() {
        let places = Places::new(4);
        let quiet = places.take(address(1));
        let crowd: Vec<Place> = (0..3).map(|_| places.take(address(2))).collect();
        let new = places.take(address(3));
        assert!(is_lost(&crowd[0]).await && !is_lost(&crowd[1]).await);
        assert!(!is_lost(&quiet).await && !is_lost(&new).await);
        assert_eq!(places.taken(), 4);
        drop(crowd);
        assert_eq!(places.taken(), 2, "one that lost its place gives none back");
        drop((quiet, new));
        assert!(places.table().by_address.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_alone_keeps_its_newest() {
        let places = Places::new(2);
        let all: Vec<Place> = (0..5).map(|_| places.take(address(9))).collect();
        for (at, place) in all.iter().enumerate() {
            assert_eq!(is_lost(place).await, at < 3, "{at}");
        }
    }
}
