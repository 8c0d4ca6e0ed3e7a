//! Codes that were asked for and are none: how often, for as many as there is room for, and for the others how many.

use link::{Code, DomainId};
use std::collections::HashMap;

type Map<Key> = HashMap<Key, u64, foldhash::fast::RandomState>;

/// Codes counted each for itself until they are taken; those of a flood are counted together.
const MOST_CODES: usize = 256;

/// What one worker counts between two times that it is taken.
#[derive(Debug, Default)]
pub struct UnknownCodes {
    /// By domain and code, as a key of the set has them.
    codes: Map<Box<[u8]>>,
    others: Map<DomainId>,
}

/// How often a code was asked for that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownNote {
    /// Of which domain.
    pub domain: DomainId,
    /// As it was asked for; `None`: several, or one that is too long.
    pub code: Option<Box<[u8]>>,
    /// How often.
    pub count: u64,
}

impl UnknownCodes {
    /// Counts one.
    #[cold]
    pub fn note(&mut self, domain: DomainId, code: &[u8]) {
        const DOMAIN: usize = 4;
        let mut key = [0; DOMAIN + Code::MAX_LEN];
        let length = DOMAIN + code.len();
        let Some(place) = key.get_mut(DOMAIN..length) else { return self.note_other(domain) };
        place.copy_from_slice(code);
        key[..DOMAIN].copy_from_slice(&domain.prefix());
        if let Some(count) = self.codes.get_mut(&key[..length]) {
            *count += 1;
        } else if self.codes.len() < MOST_CODES {
            self.codes.insert(key[..length].into(), 1);
        } else {
            self.note_other(domain);
        }
    }

    fn note_other(&mut self, domain: DomainId) {
        *self.others.entry(domain).or_default() += 1;
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty() && self.others.is_empty()
    }

    /// Hands over everything, and begins again.
    pub fn take(&mut self) -> Vec<UnknownNote> {
        let codes = self.codes.drain().filter_map(|(key, count)| {
            let (domain, code) = key.split_first_chunk()?;
            Some(UnknownNote {
                domain: DomainId(u32::from_be_bytes(*domain)),
                code: Some(code.into()),
                count,
            })
        });
        codes
            .chain(self.others.drain().map(|(domain, count)| UnknownNote { domain, code: None, count }))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_takes_no_more_room() {
        let mut unknown = UnknownCodes::default();
        for number in 0..10_000 {
            unknown.note(DomainId(7), format!("code{number}").as_bytes());
            unknown.note(DomainId(7), b"poster");
            unknown.note(DomainId(8), &[b'x'; Code::MAX_LEN + 1]);
        }
        let mut notes = unknown.take();
        notes.sort_by_key(|note| (note.domain.0, note.count));
        assert_eq!(notes.iter().map(|note| note.count).sum::<u64>(), 30_000);
        assert_eq!(notes.len(), MOST_CODES + 2);
        let [.., others, poster, long] = &notes[..] else { panic!() };
        assert_eq!((others.count, poster.count, long.count), (9_745, 10_000, 10_000));
        assert!(unknown.is_empty() && unknown.take().is_empty());
    }
}
