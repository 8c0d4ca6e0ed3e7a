//! What must hold of a set, stated once.

use super::Set;

impl Set {
    /// States what must hold when nothing is under way.
    ///
    /// # Panics
    /// When it does not.
    pub fn validate(&self) {
        let (mut bytes, mut absent_bytes) = (0, 0);
        let number = self.slot_generation();
        assert!(number.is_multiple_of(2), "no reset is under way");
        for entry in &self.map {
            let slot = entry.key();
            *(if slot.is_absent() { &mut absent_bytes } else { &mut bytes }) += slot.cost();
            assert!(slot.version() <= slot.as_of(), "no value is from the future");
            assert!(slot.generation() <= number, "no entry is from the future");
            let confirmed = slot.generation() == number;
            assert!(confirmed || !self.is_complete(), "a complete set holds nothing unconfirmed");
            assert!(!confirmed || slot.as_of() <= self.seen(), "what is held was relied on");
        }
        assert_eq!(bytes + self.eviction.bytes(), self.link_bytes(), "bytes of links are counted");
        assert_eq!(absent_bytes + self.absent_eviction.bytes(), self.known_absent_bytes(), "and of absences");
        assert_eq!(self.map.len(), self.entries(), "entries are counted");
        let links = self.budget() - self.absent_budget();
        assert!(self.link_bytes() <= links || bytes == 0, "the budget of links is kept");
        assert!(
            self.known_absent_bytes() <= self.absent_budget() || absent_bytes == 0,
            "and that of absences"
        );
        assert!(self.seen() >= self.applied(), "what was applied was seen");
    }
}
