//! The one class that each click is in, and why one may be missing.

/// What a click is: the first that fits, in the order of the rules of `docs/clicks.md`. In the API, the CLI and metrics it is
/// called `kind`, since `class` is a field of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Somebody followed the link: none of the other kinds.
    Human = 0,
    /// The same visitor and link within the domain's window.
    Repeat = 1,
    /// A crawler or a program, or no agent at all.
    Bot = 2,
    /// A program that makes a preview for people.
    Preview = 3,
    /// A browser that fetches ahead and may never show it.
    Prefetch = 4,
    /// The method was HEAD.
    Head = 5,
    /// From an address that the operator ignores: a total only.
    Ignored = 6,
    /// Of a domain whose `stats` are off: a total only.
    Off = 7,
}

impl Kind {
    /// In the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Human,
        Self::Repeat,
        Self::Bot,
        Self::Preview,
        Self::Prefetch,
        Self::Head,
        Self::Ignored,
        Self::Off,
    ];

    /// The label.
    pub fn label(self) -> &'static str {
        ["human", "repeat", "bot", "preview", "prefetch", "head", "ignored", "off"][self as usize]
    }

    /// Whether only how many there were is kept, and of which domain.
    pub fn is_total(self) -> bool {
        matches!(self, Self::Ignored | Self::Off)
    }

    /// That with this number or label.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }
}

/// Why a recorded click is not in any count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LossReason {
    /// A worker's ring was full: the background thread did not keep up, or the disk was.
    RingFull = 0,
    /// The spool reached its bound, or its disk was full, before control had taken the batch.
    SpoolFull = 1,
    /// The file was damaged: what of it was whole is kept.
    Damaged = 2,
    /// The store was put back to a state behind what any edge still holds.
    Restored = 3,
}

impl LossReason {
    /// In the order of their numbers.
    pub const ALL: [Self; 4] = [Self::RingFull, Self::SpoolFull, Self::Damaged, Self::Restored];

    /// The label.
    pub fn label(self) -> &'static str {
        ["ring_full", "spool_full", "damaged", "restored"][self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_labels_belong_together() {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!((kind as usize, Kind::from_label(kind.label())), (number, Some(kind)));
        }
        for (number, reason) in LossReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
        assert_eq!(Kind::from_label("class"), None);
    }
}
