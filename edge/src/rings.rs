//! The rings of all workers: a file each, in a folder that this edge has alone, mapped into memory; and what else workers
//! leave for whoever gathers clicks.

use crate::addresses::AddressKey;
use crate::sys::Mapping;
use clicks::{Ring, RingBeginning, TextSeed};
use exposition::StartFault;
use hot::{UnknownCodes, UnknownNote};
use proto::own;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Records of one worker: at 50,000 clicks a second, what a disk may take 3.6 s for. A power of two.
const RING_BYTES: usize = 16 << 20;
/// Of a click in a ring.
const CLICK_BYTES: u64 = 88;
/// Unknown codes that wait to be fetched; more stay with their worker, which has a bound of its own.
const MOST_NOTES: usize = 4_096;
/// The name of a ring's file, in front of its number.
const NAME: &str = "ring-";

/// See the module.
pub struct Rings {
    rings: Box<[WorkerRing]>,
    boot: u128,
    key: AddressKey,
    seed: TextSeed,
    /// As long as this is open, no other process uses the folder.
    _lock: File,
}

/// The ring of one worker, of this process or of one before it that had more of them.
pub struct WorkerRing {
    index: usize,
    memory: Mapping,
    start: u64,
    unknown: Mutex<Vec<UnknownNote>>,
}

impl Rings {
    /// Takes the folder, which is made if it is not there, and opens a ring for each worker. What a process before left in
    /// them is kept.
    ///
    /// # Errors
    /// [`StartFault`] when another process has the folder, or nothing can be written there.
    pub fn open(dir: &Path, workers: usize) -> Result<Self, StartFault> {
        let cannot = |fault: io::Error| {
            let words = format!("cannot keep clicks in {}: {fault}: see --clicks-dir", dir.display());
            StartFault::with(words, fault)
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(cannot)?;
        let lock = own::open(&dir.join("lock")).map_err(cannot)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let dir = dir.display();
                return Err(StartFault::new(format!(
                    "another edge keeps its clicks in {dir}: give this one another --clicks-dir"
                )));
            }
            Err(TryLockError::Error(fault)) => return Err(cannot(fault)),
        }
        let id = boot_id().map_err(cannot)?;
        let boot = [id as u64, (id >> 64) as u64];
        let mut rings = Vec::new();
        for index in 0..workers {
            rings.push(WorkerRing::open(&path(dir, index), index, boot).map_err(cannot)?);
        }
        for index in former(dir, workers).map_err(cannot)? {
            let path = path(dir, index);
            let ring = WorkerRing::open(&path, index, boot).map_err(cannot)?;
            if ring.ring().taken() == ring.ring().tail() {
                fs::remove_file(&path).map_err(cannot)?;
            } else {
                rings.push(ring);
            }
        }
        let seed = TextSeed::new(random().map_err(cannot)?, random().map_err(cannot)?);
        let key = AddressKey::new().map_err(cannot)?;
        Ok(Self { rings: rings.into(), boot: id, key, seed, _lock: lock })
    }

    /// Those of this process's workers first, then what is left of others.
    pub fn all(&self) -> &[WorkerRing] {
        &self.rings
    }

    /// This boot of the machine, the same as long as the process runs: rings and spool must not be of two.
    pub fn boot(&self) -> u128 {
        self.boot
    }

    /// The key of the addresses in clicks of this process.
    pub fn key(&self) -> &AddressKey {
        &self.key
    }

    /// What the numbers of texts in clicks of this process are made with. Whoever reads them needs it not: a ring has each
    /// text with its number.
    pub fn seed(&self) -> TextSeed {
        self.seed
    }

    /// The client's address, as IPv6, that a worker of this process sealed.
    pub fn address(&self, sealed: [u8; 16]) -> [u8; 16] {
        self.key.open(sealed)
    }

    /// The unknown codes that a worker has counted since the last call.
    pub fn take_unknown(&self, worker: usize) -> Vec<UnknownNote> {
        let notes =
            self.rings.get(worker).map(|ring| ring.unknown.lock().unwrap_or_else(PoisonError::into_inner));
        notes.map(|mut notes| std::mem::take(&mut *notes)).unwrap_or_default()
    }
}

impl WorkerRing {
    fn open(path: &Path, index: usize, boot: [u64; 2]) -> io::Result<Self> {
        let file = own::open(path)?;
        own::narrow(&file)?;
        let bytes = Ring::memory_bytes(RING_BYTES);
        if file.metadata()?.len() != bytes as u64 {
            file.set_len(0)?; // of another version: what is in it cannot be read
        }
        let memory = Mapping::of(&file, bytes)?;
        let ring = Ring::over(&memory).ok_or(ErrorKind::InvalidData)?;
        let unread = ring.tail() - ring.taken().min(ring.tail());
        let beginning = ring.begin(boot, random()?);
        if beginning == RingBeginning::Anew && unread > 0 {
            let at_most = unread / CLICK_BYTES;
            tracing::warn!(
                name: "clicks_not_read", ring = index, at_most,
                "the last clicks before the machine went down, or of another version of linkr, cannot be read and are not counted"
            );
        }
        let start = ring.tail();
        Ok(Self { index, memory, start, unknown: Mutex::default() })
    }

    /// Which worker's it is, or was.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The ring.
    #[inline]
    pub fn ring(&self) -> Ring<'_> {
        // Its size was looked at when it was opened.
        Ring::over(&self.memory).unwrap_or_else(|| unreachable!("a ring of another size"))
    }

    /// Its own number, new whenever it begins anew.
    pub fn id(&self) -> u64 {
        self.ring().id()
    }

    /// Where this process began: addresses in clicks before it cannot be opened.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Clicks that found no room, since it began anew.
    pub fn lost(&self) -> u64 {
        self.ring().lost()
    }

    /// Takes over what a worker has counted. A worker does not wait: if somebody fetches just now, the next tick does it.
    pub fn publish(&self, unknown: &mut UnknownCodes) {
        if !unknown.is_empty()
            && let Ok(mut notes) = self.unknown.try_lock()
            && notes.len() < MOST_NOTES
        {
            notes.extend(unknown.take());
        }
    }
}

fn path(dir: &Path, index: usize) -> PathBuf {
    dir.join(format!("{NAME}{index}"))
}

/// Rings of workers that there were, and are no more.
fn former(dir: &Path, workers: usize) -> io::Result<Vec<usize>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(NAME))
            .and_then(|number| number.parse::<usize>().ok());
        found.extend(number.filter(|number| *number >= workers));
    }
    found.sort_unstable();
    Ok(found)
}

/// Which boot of this machine it is: what was in a file's pages when the machine went down is not known. Where the system
/// does not say, it is one that nobody knows again: then a process finds nothing of the one before it, and says so.
fn boot_id() -> io::Result<u128> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).or_else(|_| Ok(u128::from(random()?) << 64 | u128::from(random()?)))
}

/// A number that nobody else has: of a ring, of a spool, of a seed.
pub fn random() -> io::Result<u64> {
    getrandom::u64().map_err(|fault| io::Error::other(fault.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clicks::{Captured, RingReader, RingWriter};
    use link::DomainId;

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("linkr-rings-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        dir
    }

    fn click(rings: &Rings, worker: usize, uid: u64) {
        let ring = &rings.all()[worker];
        let mut writer = RingWriter::new(ring.ring(), rings.seed());
        writer.begin(ring.ring());
        writer.click(ring.ring(), &Captured { uid, ..Captured::default() }, b"", b"", 1);
        let turn = writer.publish(ring.ring());
        turn.into_iter().for_each(|turn| writer.settle(ring.ring(), turn));
    }

    #[test]
    fn what_a_process_left_is_read_by_the_next_one_whatever_workers_it_has() {
        let dir = folder("next");
        let first = Rings::open(&dir, 2).unwrap();
        assert!(Rings::open(&dir, 2).is_err_and(|fault| fault.to_string().contains("--clicks-dir")));
        (0..2).for_each(|worker| click(&first, worker, worker as u64 + 1));
        let (ids, boot) = (first.all().iter().map(WorkerRing::id).collect::<Vec<_>>(), first.boot());
        drop(first);
        let next = Rings::open(&dir, 1).unwrap();
        assert_eq!((next.all().iter().map(WorkerRing::id).collect::<Vec<_>>(), next.boot()), (ids, boot));
        for (ring, uid) in next.all().iter().zip(1..) {
            let mut reader = RingReader::new(ring.ring());
            let click = reader.next(ring.ring()).unwrap();
            assert_eq!((click.uid, reader.position()), (uid, ring.start()));
            reader.release(ring.ring(), reader.position());
        }
        drop(next);
        assert_eq!(Rings::open(&dir, 1).unwrap().all().len(), 1);
        assert!(!path(&dir, 1).exists(), "of a worker that is no more, and empty");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_is_no_ring_begins_anew() {
        let dir = folder("anew");
        DirBuilder::new().mode(0o700).create(&dir).unwrap();
        fs::write(path(&dir, 0), "no ring").unwrap();
        let rings = Rings::open(&dir, 1).unwrap();
        assert_eq!((rings.all()[0].start(), rings.all()[0].lost()), (0, 0));
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn unknown_codes_are_fetched_once_and_wait_while_somebody_fetches() {
        let dir = folder("unknown");
        let (rings, mut own) = (Rings::open(&dir, 1).unwrap(), UnknownCodes::default());
        own.note(DomainId(3), b"poster");
        {
            let _fetching = rings.all()[0].unknown.lock().unwrap();
            rings.all()[0].publish(&mut own);
            assert!(!own.is_empty());
        }
        rings.all()[0].publish(&mut own);
        assert!(own.is_empty());
        let [note] = &rings.take_unknown(0)[..] else { panic!() };
        assert_eq!((note.domain, note.code.as_deref(), note.count), (DomainId(3), Some(&b"poster"[..]), 1));
        assert!(rings.take_unknown(0).is_empty() && rings.take_unknown(9).is_empty());
        fs::remove_dir_all(&dir).unwrap();
    }
}
