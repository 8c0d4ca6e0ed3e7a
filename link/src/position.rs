//! Where in which history: the words with which two values are compared.

/// Number of a change in its history: 1, 2, 3 … without holes. 0 is "before the first". Below 2⁴⁸.
pub type Seq = u64;

/// One history of the log. Equal only if both parts are; of two, the higher counter is the later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// Counts the histories of a store.
    pub counter: u32,
    /// Tells two histories apart that reached the same counter separately.
    pub random: u32,
}

/// A place in a history that can be proved: whoever holds `tag` has seen the commit that made `seq`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Which history.
    pub epoch: Epoch,
    /// The last change.
    pub seq: Seq,
    /// Drawn at random by the commit that made that change; 0 where `seq` is 0.
    pub tag: u64,
}

impl Position {
    /// The revision string that an API answer carries: opaque to callers, `counter-random-seq` to us.
    pub fn revision(epoch: Epoch, seq: Seq) -> String {
        format!("{}-{:08x}-{seq}", epoch.counter, epoch.random)
    }

    /// The inverse of [`Position::revision`]; `None` for anything it cannot have made.
    pub fn parse_revision(text: &str) -> Option<(Epoch, Seq)> {
        let mut parts = text.splitn(3, '-');
        let counter = parts.next()?.parse().ok()?;
        let random = u32::from_str_radix(parts.next()?, 16).ok()?;
        let seq = parts.next()?.parse().ok()?;
        Some((Epoch { counter, random }, seq)).filter(|&(epoch, seq)| Self::revision(epoch, seq) == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_comes_back() {
        let epoch = Epoch { counter: 3, random: 0xab };
        assert_eq!(Position::revision(epoch, 17), "3-000000ab-17");
        assert_eq!(Position::parse_revision("3-000000ab-17"), Some((epoch, 17)));
        for wrong in
            ["", "3", "3-ab-17", "3-000000AB-17", "03-000000ab-17", "3-000000ab-+17", "3-000000ab-17-"]
        {
            assert_eq!(Position::parse_revision(wrong), None, "{wrong}");
        }
    }
}
