//! Which codes are free again once the time of their tombstones is over: those of links that nobody ever clicked. Nothing is
//! read or written here.

use crate::model::StoreFault;
use journal::{Intent, Item, Request};
use link::{Key, Seq};

/// A deleted link whose time is over.
pub(super) struct Tombstone {
    pub(super) key: Vec<u8>,
    pub(super) uid: Seq,
}

/// What becomes of some of them.
#[derive(Default)]
pub(super) struct TombstoneFates {
    /// How many were looked at.
    pub(super) count: usize,
    /// The purges of those that were never clicked.
    pub(super) purges: Vec<Request>,
    /// The keys of those that were: a code that was printed or sent leads nobody to a stranger's link.
    pub(super) clicked: Vec<Vec<u8>>,
}

impl TombstoneFates {
    /// Of links that were deleted at `before`, in Unix milliseconds, or earlier.
    pub(super) fn of(
        buried: Vec<Tombstone>,
        before: i64,
        was_clicked: impl Fn(Seq) -> Result<bool, StoreFault>,
    ) -> Result<Self, StoreFault> {
        let mut fates = Self { count: buried.len(), ..Self::default() };
        for Tombstone { key, uid } in buried {
            if was_clicked(uid)? {
                fates.clicked.push(key);
                continue;
            }
            let key =
                Key::from_bytes(&key).map_err(|e| StoreFault::Corrupt(format!("a deleted link: {e}")))?;
            fates.purges.push(Request::from(Item { key, intent: Intent::Purge { before } }));
        }
        Ok(fates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_link_that_was_clicked_is_not_freed() {
        let buried = |codes: &[(&[u8], Seq)]| {
            codes.iter().map(|(key, uid)| Tombstone { key: key.to_vec(), uid: *uid }).collect::<Vec<_>>()
        };
        let all = buried(&[(b"\0\0\0\0a", 1), (b"\0\0\0\0b", 2), (b"\0\0\0\0c", 3)]);
        let fates = TombstoneFates::of(all, 9, |uid| Ok(uid == 2)).unwrap();
        assert_eq!((fates.count, &fates.clicked[..]), (3, &[b"\0\0\0\0b".to_vec()][..]));
        let purged: Vec<_> =
            fates.purges.iter().map(|request| request.items[0].key.code().to_vec()).collect();
        assert_eq!(purged, [b"a", b"c"]);
        let broken = TombstoneFates::of(buried(&[(b"\0", 1)]), 9, |_| Ok(false));
        assert!(matches!(broken, Err(StoreFault::Corrupt(_))));
        let unknown =
            TombstoneFates::of(buried(&[(b"\0\0\0\0a", 1)]), 9, |_| Err(StoreFault::Corrupt("x".into())));
        assert!(unknown.is_err(), "what is not known frees nothing");
    }
}
