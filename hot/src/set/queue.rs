//! What eviction remembers: who is in line, and who went lately.

use std::collections::VecDeque;

/// First in, first out. It grows and shrinks by a page: it never copies itself, and takes what it holds.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pages: VecDeque<Vec<u64>>,
    /// Of the first page, so many are gone.
    gone: usize,
    len: usize,
}

/// Hashes in a page of 4 KiB.
const PAGE: usize = 512;

impl Queue {
    pub fn push(&mut self, hash: u64) {
        match self.pages.back_mut() {
            Some(page) if page.len() < PAGE => page.push(hash),
            _ => {
                let mut page = Vec::with_capacity(PAGE);
                page.push(hash);
                self.pages.push_back(page);
            }
        }
        self.len += 1;
    }

    pub fn pop(&mut self) -> Option<u64> {
        let hash = *self.pages.front()?.get(self.gone)?;
        self.gone += 1;
        self.len -= 1;
        if self.gone == PAGE {
            self.pages.pop_front();
            self.gone = 0;
        }
        Some(hash)
    }

    pub fn len(&self) -> usize {
        self.len
    }
}

/// Sixteen bits of the hash of each that went, until another takes the place: so about as many of the last as there
/// are places. One in 65,536 is taken for another, which does no harm.
#[derive(Debug, Default)]
pub(super) struct Ghosts(Box<[u16]>);

impl Ghosts {
    /// With at least so many places.
    pub fn new(places: usize) -> Self {
        Self(vec![0; places.next_power_of_two()].into())
    }

    pub fn note(&mut self, hash: u64) {
        let (place, tag) = self.place(hash);
        self.0[place] = tag;
    }

    /// Whether it is among them; not any more.
    pub fn take(&mut self, hash: u64) -> bool {
        let (place, tag) = self.place(hash);
        let known = self.0[place] == tag;
        if known {
            self.0[place] = 0;
        }
        known
    }

    fn place(&self, hash: u64) -> (usize, u16) {
        let tag = (hash >> 48) as u16;
        (hash as usize & (self.0.len() - 1), tag.max(1)) // 0: nobody
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_in_is_first_out_and_pages_go() {
        let mut queue = Queue::default();
        let (mut came, mut went) = (0, 0);
        for round in 0..50 {
            for _ in 0..100 + round {
                queue.push(came);
                came += 1;
            }
            for _ in 0..99 {
                assert_eq!(queue.pop(), Some(went));
                went += 1;
            }
            assert_eq!(queue.len() as u64, came - went);
            assert!(queue.pages.len() <= queue.len() / PAGE + 2);
        }
        while let Some(hash) = queue.pop() {
            assert_eq!(hash, went);
            went += 1;
        }
        assert_eq!((queue.len(), went), (0, came));
        assert!(queue.pages.len() <= 1);
    }

    #[test]
    fn the_last_that_went_are_known_once() {
        let mut ghosts = Ghosts::new(100);
        assert_eq!(ghosts.bytes(), 256);
        let hash = |number: u64| number << 48 | number;
        (1..=1000).for_each(|number| ghosts.note(hash(number)));
        assert!((1001 - 128..=1000).all(|number| ghosts.take(hash(number))));
        assert!((1..=1000).all(|number| !ghosts.take(hash(number))));
    }
}
