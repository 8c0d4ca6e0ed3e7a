//! The values of one group of an answer, numbered as they are met.

use super::{ClickGroup, GroupKey};
use crate::letters;
use crate::rollup::{Dictionary, Tuple};
use crate::{Click, Kind};
use link::Seq;
use std::collections::HashMap;
use std::sync::Arc;

type Map<K> = HashMap<K, u32, foldhash::fast::RandomState>;

/// Numbers below it are most of those that are met, since they were given first.
const SMALL: usize = 1 << 16;
/// No slot.
const NONE: u32 = u32::MAX;

/// The values of one group so far.
#[derive(Debug)]
pub struct Slots {
    pub group: ClickGroup,
    keys: Vec<GroupKey>,
    by_key: Map<GroupKey>,
    /// The slots of numbers in tuples, so that each is looked up once: of small numbers in their places, and of others.
    by_small: Vec<u32>,
    by_number: Map<u32>,
    /// The last link that was met: its roll-ups come one behind the other.
    last_link: Option<(Seq, u32)>,
}

impl Slots {
    pub fn new(group: ClickGroup) -> Self {
        Self {
            group,
            keys: Vec::new(),
            by_key: Map::default(),
            by_small: Vec::new(),
            by_number: Map::default(),
            last_link: None,
        }
    }

    /// The value in this slot.
    pub fn key(&self, slot: u32) -> &GroupKey {
        &self.keys[slot as usize]
    }

    /// The slot of a value.
    pub fn slot(&mut self, key: GroupKey) -> u32 {
        if let Some(slot) = self.by_key.get(&key) {
            return *slot;
        }
        let slot = self.keys.len() as u32;
        self.keys.push(key.clone());
        self.by_key.insert(key, slot);
        slot
    }

    /// The slot of a link.
    pub fn link(&mut self, uid: Seq) -> u32 {
        if let Some((last, slot)) = self.last_link
            && last == uid
        {
            return slot;
        }
        let slot = self.slot(GroupKey::Link(uid));
        self.last_link = Some((uid, slot));
        slot
    }

    /// The slot of a number that a tuple has for this group.
    pub fn number(&mut self, number: u32, dictionary: &(impl Dictionary + ?Sized)) -> u32 {
        match self.by_small.get(number as usize) {
            Some(slot) if *slot != NONE => *slot,
            _ => self.new_number(number, dictionary),
        }
    }

    fn new_number(&mut self, number: u32, dictionary: &(impl Dictionary + ?Sized)) -> u32 {
        if let Some(slot) = self.by_number.get(&number) {
            return *slot;
        }
        let slot = self.slot(self.key_of(number, dictionary));
        let place = number as usize;
        if place < SMALL {
            self.by_small.resize(self.by_small.len().max(place + 1), NONE);
            self.by_small[place] = slot;
        } else {
            self.by_number.insert(number, slot);
        }
        slot
    }

    fn key_of(&self, number: u32, dictionary: &(impl Dictionary + ?Sized)) -> GroupKey {
        let mut tuple = Tuple::default();
        if let Some(dimension) = self.group.dimension() {
            tuple.0[dimension as usize] = number;
        }
        GroupKey::Text(match self.group {
            ClickGroup::Kind => return GroupKey::Kind(tuple.kind()),
            ClickGroup::Country => tuple.country().as_str().into(),
            ClickGroup::Device => tuple.device().label().into(),
            ClickGroup::Language => tuple.language().as_str().into(),
            _ => dictionary.text(number),
        })
    }

    /// The slot of a click; of its time, that of the interval which begins at `start`.
    pub fn click(&mut self, click: &Click, start: i64) -> u32 {
        let text = |text: &Arc<str>| GroupKey::Text(Arc::clone(text));
        let key = match self.group {
            ClickGroup::Time => GroupKey::Time(start),
            ClickGroup::Link => return self.link(click.uid),
            ClickGroup::Kind => GroupKey::Kind(click.kind),
            // As a roll-up has it: what is no pair of letters is unknown there.
            ClickGroup::Country => {
                let country = letters::country(letters::country_code(click.country)).unwrap_or_default();
                GroupKey::Text(country.as_str().into())
            }
            ClickGroup::Language => {
                let language = letters::language(letters::language_code(click.language)).unwrap_or_default();
                GroupKey::Text(language.as_str().into())
            }
            ClickGroup::Device => GroupKey::Text(click.device.label().into()),
            ClickGroup::Browser => text(&click.browser),
            ClickGroup::Os => text(&click.os),
            ClickGroup::Referrer => text(&click.referrer),
        };
        self.slot(key)
    }

    /// The slot of what is kept as a total.
    pub fn total(&mut self, kind: Kind, start: i64) -> u32 {
        self.slot(match self.group {
            ClickGroup::Time => GroupKey::Time(start),
            ClickGroup::Link => GroupKey::Link(0),
            ClickGroup::Kind => GroupKey::Kind(kind),
            _ => GroupKey::Text(Arc::default()),
        })
    }
}
