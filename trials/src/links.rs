//! Which links there are, and which of them readers should look at: shared by the writers and the readers.

use services::Random;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

const RECENT: usize = 256;

/// The links' numbers are `0..count`.
pub struct Links {
    /// Of a hundred reads, those of codes that nobody made; the others are of normal links. `None`: of all kinds.
    unknown: Option<u32>,
    count: AtomicU32,
    recent: [AtomicU32; RECENT],
    at: AtomicUsize,
}

impl Links {
    /// None yet; readers look most at what is being written.
    pub fn new() -> Self {
        let recent = [const { AtomicU32::new(0) }; RECENT];
        Self { unknown: None, count: AtomicU32::new(0), recent, at: AtomicUsize::new(0) }
    }

    /// None yet; readers look at normal links, and in `unknown` of a hundred cases at codes that nobody made.
    pub fn normal(unknown: u32) -> Self {
        Self { unknown: Some(unknown), ..Self::new() }
    }

    /// A number for a new link.
    pub fn add(&self) -> u32 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// How many numbers were given out.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// It is being written: worth reading for a while.
    pub fn touched(&self, key: u32) {
        let at = self.at.fetch_add(1, Ordering::Relaxed);
        self.recent[at % RECENT].store(key, Ordering::Relaxed);
    }

    /// What to read next: half of the reads see what is written just now, a few what does not exist yet.
    pub fn pick(&self, random: &mut Random) -> u32 {
        let draw = random.below(100);
        if let Some(unknown) = self.unknown {
            let count = self.count();
            return if draw < unknown { count + random.below(900_000) } else { random.below(count / 2) * 2 };
        }
        match draw {
            0..50 => self.recent[random.below(RECENT as u32) as usize].load(Ordering::Relaxed),
            50..95 => random.below(self.count()),
            _ => self.count() + random.below(4),
        }
    }
}
