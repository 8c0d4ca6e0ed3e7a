//! What bounds memory and new texts under a flood: a cache of a fixed size, and an allowance that grows with time.

/// Entries of one set, the one used last first.
const WAYS: usize = 8;

/// Values by a hash, at most as many as it was made for; of a full set the one longest unused is left out.
pub(crate) struct Bounded<V> {
    entries: Vec<Option<Entry<V>>>,
    /// How many sets there are, less one: a mask of hashes.
    mask: usize,
}

struct Entry<V> {
    hash: u64,
    value: V,
}

impl<V> Bounded<V> {
    /// For `sets` times eight values; `sets` is a power of two.
    pub(crate) fn new(sets: usize) -> Self {
        assert!(sets.is_power_of_two(), "{sets} sets are no power of two");
        let mut entries = Vec::new();
        entries.resize_with(sets * WAYS, || None);
        Self { entries, mask: sets - 1 }
    }

    /// The value of this hash, which is the last of its set to be left out from now on.
    pub(crate) fn get(&mut self, hash: u64) -> Option<&V> {
        let set = self.set(hash);
        let way = set.iter().position(|entry| entry.as_ref().is_some_and(|entry| entry.hash == hash))?;
        set[..=way].rotate_right(1);
        set[0].as_ref().map(|entry| &entry.value)
    }

    /// Puts a value in the place of what was there of this hash, or of the one of its set that was longest unused.
    pub(crate) fn put(&mut self, hash: u64, value: V) {
        let set = self.set(hash);
        let way = set.iter().position(|entry| entry.as_ref().is_none_or(|entry| entry.hash == hash));
        set[..=way.unwrap_or(WAYS - 1)].rotate_right(1);
        set[0] = Some(Entry { hash, value });
    }

    fn set(&mut self, hash: u64) -> &mut [Option<Entry<V>>] {
        // The upper half too: how even the lower bits are is for the hash to say, and this costs nothing.
        let set = (hash ^ (hash >> 32)) as usize & self.mask;
        &mut self.entries[set * WAYS..][..WAYS]
    }
}

/// How many new texts are let in: a store of them, filled by one a second.
pub(crate) struct Allowance {
    most: u32,
    left: u32,
    /// Up to when it was filled, in Unix milliseconds.
    filled: i64,
}

impl Allowance {
    /// Full, for `most` at once.
    pub(crate) fn new(most: u32) -> Self {
        Self { most, left: most, filled: i64::MIN }
    }

    /// Takes one, unless none is left. A clock that goes back fills nothing; it fills again from there on.
    pub(crate) fn take(&mut self, now: i64) -> bool {
        let since = now.saturating_sub(self.filled);
        if since < 0 || self.filled == i64::MIN {
            self.filled = now;
        } else if since >= 1000 {
            let more = u32::try_from(since / 1000).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(more).min(self.most);
            self.filled = now - since % 1000;
        }
        let some = self.left > 0;
        self.left -= u32::from(some);
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_longest_unused_is_left_out() {
        let mut cache = Bounded::new(1);
        for hash in 1..=8 {
            cache.put(hash, hash);
        }
        assert_eq!(cache.get(1), Some(&1));
        cache.put(9, 9);
        assert_eq!([1, 2].map(|hash| cache.get(hash).copied()), [Some(1), None]);
        cache.put(10, 10);
        assert_eq!([3, 1, 9].map(|hash| cache.get(hash).copied()), [None, Some(1), Some(9)]);
        cache.put(9, 90);
        cache.put(10, 100);
        assert_eq!([9, 1, 10].map(|hash| cache.get(hash).copied()), [Some(90), Some(1), Some(100)]);
        assert_eq!(cache.entries.iter().flatten().count(), 8);
    }

    #[test]
    fn an_allowance_grows_by_one_a_second_up_to_its_most() {
        let mut allowance = Allowance::new(3);
        let taken = |allowance: &mut Allowance, now| (0..10).filter(|_| allowance.take(now)).count();
        assert_eq!(taken(&mut allowance, 1_000_000), 3);
        assert_eq!(taken(&mut allowance, 1_000_999), 0);
        assert_eq!(taken(&mut allowance, 1_002_000), 2);
        assert_eq!(taken(&mut allowance, 1_002_900), 0);
        assert_eq!(taken(&mut allowance, 1_003_100), 1);
        assert_eq!(taken(&mut allowance, 0), 0);
        assert_eq!(taken(&mut allowance, 1_000), 1);
        assert_eq!(taken(&mut allowance, i64::MAX), 3);
        assert_eq!(taken(&mut allowance, i64::MIN), 0);
    }
}
