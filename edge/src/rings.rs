//! The rings of all workers: a file each, in a folder that this edge has alone, mapped into memory; and what else workers
//! leave for whoever gathers clicks.

use crate::addresses::AddressKey;
use crate::sys::Mapping;
use clicks::{Ring, RingBeginning, TextSeed};
use exposition::StartFault;
use hot::{UnknownCodes, UnknownNote};
use proto::own;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Records of one worker: at 50,000 clicks a second, what a disk may take 3.6 s for. A power of two.
const RING_BYTES: usize = 16 << 20;
/// Of a click in a ring.
const CLICK_BYTES: u64 = 88;
/// Unknown codes that wait to be fetched; more stay with their worker, which has a bound of its own.
const MOST_NOTES: usize = 4_096;
/// The name of a ring's file, in front of its number.
const NAME: &str = "ring-";

/// Files of rings that are looked at: more than there are workers of all processes that may live at once.
const MOST_FILES: usize = 100_000;

/// See the module.
pub struct Rings {
    /// Of this process's workers.
    own: Box<[Arc<WorkerRing>]>,
    /// Of processes before it: what is left of those that have ended, and those of one that was handed over from and still
    /// answers its last connections.
    others: Mutex<Vec<Arc<WorkerRing>>>,
    boot: u128,
    key: AddressKey,
    /// As long as this is open, no other process gathers what is in the folder.
    lock: Mutex<Option<File>>,
    seed: TextSeed,
}

/// The ring of one worker, of this process or of another.
pub struct WorkerRing {
    path: PathBuf,
    /// Locked by the process whose worker writes to it, as long as it lives; then by whoever reads what is left.
    file: File,
    is_held: AtomicBool,
    boot: [u64; 2],
    memory: Mapping,
    start: u64,
    unknown: Mutex<Vec<UnknownNote>>,
}

/// What a process passes on with its rings.
pub struct InheritedRings {
    /// The lock of the folder.
    pub lock: File,
    /// What hides addresses in all of them.
    pub key: [u8; 16],
    /// By their numbers: where addresses in them begin to be hidden by that key.
    pub starts: Vec<RingStart>,
}

/// See [`InheritedRings::starts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingStart {
    pub ring: u64,
    pub start: u64,
}

impl Rings {
    /// Takes the folder, which is made if it is not there, and opens a ring for each worker. What a process before left in
    /// them is kept.
    ///
    /// # Errors
    /// [`StartFault`] when another process has the folder, or nothing can be written there.
    pub fn open(dir: &Path, workers: usize) -> Result<Self, StartFault> {
        let cannot = |fault| cannot(dir, fault);
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
        let key = AddressKey::new().map_err(cannot)?;
        Self::with(dir, workers, lock, key, &[])
    }

    /// Beside a process that lives, and whose workers go on writing to theirs: with rings of this process's own.
    ///
    /// # Errors
    /// [`StartFault`] when nothing can be written there, or the rings of that process cannot be read by this version.
    pub fn inherit(dir: &Path, workers: usize, inherited: InheritedRings) -> Result<Self, StartFault> {
        let key = AddressKey::of(inherited.key).map_err(|fault| cannot(dir, fault))?;
        Self::with(dir, workers, inherited.lock, key, &inherited.starts)
    }

    fn with(
        dir: &Path,
        workers: usize,
        lock: File,
        key: AddressKey,
        starts: &[RingStart],
    ) -> Result<Self, StartFault> {
        let cannot = |fault| cannot(dir, fault);
        let id = boot_id().map_err(cannot)?;
        let boot = [id as u64, (id >> 64) as u64];
        let (mut own, mut others) = (Vec::new(), Vec::new());
        let mut held = Vec::new();
        for index in 0..MOST_FILES {
            if own.len() == workers {
                break;
            }
            let path = path(dir, index);
            if let Some(file) = hold(&path).map_err(cannot)? {
                own.push(Arc::new(WorkerRing::begin(path, file, boot, starts).map_err(cannot)?));
                held.push(index);
            }
        }
        for index in numbers(dir).map_err(cannot)?.into_iter().filter(|index| !held.contains(index)) {
            let path = path(dir, index);
            match hold(&path).map_err(cannot)? {
                Some(file) => {
                    let ring = WorkerRing::begin(path, file, boot, starts).map_err(cannot)?;
                    if ring.is_drained() {
                        ring.remove().map_err(cannot)?;
                    } else {
                        others.push(Arc::new(ring));
                    }
                }
                None => others.extend(WorkerRing::follow(path, boot, starts)?.map(Arc::new)),
            }
        }
        let seed = TextSeed::new(random().map_err(cannot)?, random().map_err(cannot)?);
        let (own, others, lock) = (own.into(), Mutex::new(others), Mutex::new(Some(lock)));
        Ok(Self { own, others, boot: id, key, seed, lock })
    }

    /// Those of this process's workers.
    pub fn own(&self) -> &[Arc<WorkerRing>] {
        &self.own
    }

    /// Those first, then what there is of others.
    pub fn all(&self) -> Vec<Arc<WorkerRing>> {
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        self.own.iter().chain(others.iter()).cloned().collect()
    }

    /// One of others whose process has ended, and of which everything is on disk in the spool: its file goes.
    pub fn forget(&self, ring: &Arc<WorkerRing>) {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.retain(|other| !Arc::ptr_eq(other, ring));
        drop(others);
        if let Err(fault) = ring.remove() {
            // It is empty, and the next start removes it.
            tracing::debug!(name: "ring_not_removed", file = %ring.path.display(), %fault, "the ring of a process that has ended cannot be removed");
        }
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

    /// The client's address, as IPv6, that a worker of this process, or of one that it goes on for, sealed.
    pub fn address(&self, sealed: [u8; 16]) -> [u8; 16] {
        self.key.open(sealed)
    }

    /// What the process that goes on in the place of this one gets.
    ///
    /// # Errors
    /// No descriptor is left, or another process has got it already.
    pub fn handed(&self) -> io::Result<InheritedRings> {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = lock.as_ref().ok_or(ErrorKind::NotFound)?.try_clone()?;
        let starts = self.all().iter().map(|ring| RingStart { ring: ring.id(), start: ring.start }).collect();
        Ok(InheritedRings { lock, key: self.key.reveal(), starts })
    }

    /// Another process gathers what is in the folder from now on, and what this one's workers still note.
    pub fn pass_on(&self) {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl WorkerRing {
    /// Whoever wrote to it has ended, and this process holds its file.
    fn begin(path: PathBuf, file: File, boot: [u64; 2], starts: &[RingStart]) -> io::Result<Self> {
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
                name: "clicks_not_read", ring = %path.display(), at_most,
                "the last clicks before the machine went down, or of another version of linkr, cannot be read and are not counted"
            );
        }
        let start = started(starts, ring.id()).unwrap_or(ring.tail());
        Ok(Self {
            path,
            file,
            is_held: AtomicBool::new(true),
            boot,
            memory,
            start,
            unknown: Mutex::default(),
        })
    }

    /// A process that lives writes to it. `None`: it has just ended, and its file is gone.
    fn follow(path: PathBuf, boot: [u64; 2], starts: &[RingStart]) -> Result<Option<Self>, StartFault> {
        let cannot = |fault| cannot(own::folder_of(&path), fault);
        let file = match own::shared(&path, OpenOptions::new().read(true).write(true)) {
            Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(cannot)?,
        };
        let other = || {
            let path = path.display();
            StartFault::new(format!(
                "the clicks that the process that runs has noted in {path} cannot be read by this version of linkr: stop that                  process, and then start this one"
            ))
        };
        let bytes = Ring::memory_bytes(RING_BYTES);
        if file.metadata().map_err(cannot)?.len() != bytes as u64 {
            return Err(other());
        }
        let memory = Mapping::of(&file, bytes).map_err(cannot)?;
        let ring = Ring::over(&memory).filter(|ring| ring.is_of(boot)).ok_or_else(other)?;
        // By which key it hides addresses may not be known: then none of them is opened.
        let start = started(starts, ring.id()).unwrap_or(u64::MAX);
        let is_held = AtomicBool::new(false);
        Ok(Some(Self { path, file, is_held, boot, memory, start, unknown: Mutex::default() }))
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

    /// Addresses in clicks before it cannot be opened.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Clicks that found no room, since it began anew.
    pub fn lost(&self) -> u64 {
        self.ring().lost()
    }

    /// Whether nobody writes to it any more: from then on this process holds it, and all that is in it may be taken. Not to be
    /// asked of one's own.
    pub fn is_left(&self) -> bool {
        if !self.is_held.load(Ordering::Relaxed) && self.file.try_lock().is_ok() {
            self.ring().begin(self.boot, self.id());
            self.is_held.store(true, Ordering::Relaxed);
        }
        self.is_held.load(Ordering::Relaxed)
    }

    /// Whether everything in it is on disk in the spool.
    pub fn is_drained(&self) -> bool {
        self.ring().taken() == self.ring().tail()
    }

    fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
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

    /// The unknown codes that its worker has counted since the last call; of another process's nothing is known.
    pub fn take_unknown(&self) -> Vec<UnknownNote> {
        std::mem::take(&mut *self.unknown.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn cannot(dir: &Path, fault: io::Error) -> StartFault {
    let words = format!("cannot keep clicks in {}: {fault}: see --clicks-dir", dir.display());
    StartFault::with(words, fault)
}

fn started(starts: &[RingStart], ring: u64) -> Option<u64> {
    starts.iter().find(|known| known.ring == ring).map(|known| known.start)
}

/// Makes the file if it is not there, and holds it. `None`: a process that lives does.
fn hold(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = own::open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(fault)) => return Err(fault),
        }
        // Whoever held it may have removed it meanwhile.
        let named = match fs::symlink_metadata(path) {
            Err(fault) if fault.kind() == ErrorKind::NotFound => continue,
            named => named?,
        };
        let held = file.metadata()?;
        if (held.dev(), held.ino()) == (named.dev(), named.ino()) {
            return Ok(Some(file));
        }
    }
}

fn path(dir: &Path, index: usize) -> PathBuf {
    dir.join(format!("{NAME}{index}"))
}

/// The rings that there are.
fn numbers(dir: &Path) -> io::Result<Vec<usize>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(NAME))
            .and_then(|number| number.parse::<usize>().ok());
        found.extend(number);
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
        let ring = &rings.own()[worker];
        let mut writer = RingWriter::new(ring.ring(), rings.seed());
        writer.begin(ring.ring());
        writer.click(&ring.ring(), &Captured { uid, ..Captured::default() }, 1);
        let turn = writer.publish(ring.ring());
        turn.into_iter().for_each(|turn| writer.settle(ring.ring(), turn));
    }

    #[test]
    fn what_a_process_left_is_read_by_the_next_one_whatever_workers_it_has() {
        let dir = folder("next");
        let first = Rings::open(&dir, 2).unwrap();
        assert!(Rings::open(&dir, 2).is_err_and(|fault| fault.to_string().contains("--clicks-dir")));
        (0..2).for_each(|worker| click(&first, worker, worker as u64 + 1));
        let ids = |rings: &Rings| rings.all().iter().map(|ring| ring.id()).collect::<Vec<_>>();
        let (were, boot) = (ids(&first), first.boot());
        drop(first);
        let next = Rings::open(&dir, 1).unwrap();
        assert_eq!((ids(&next), next.boot()), (were, boot));
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

    fn read(ring: &WorkerRing, reader: &mut RingReader) -> Option<u64> {
        Some(reader.next(ring.ring())?.uid)
    }

    #[test]
    fn an_heir_reads_on_what_the_one_before_it_still_writes() {
        let dir = folder("heir");
        let old = Rings::open(&dir, 2).unwrap();
        click(&old, 0, 1);
        let heir = Rings::inherit(&dir, 1, old.handed().unwrap()).unwrap();
        let sealed = old.key().seal("192.0.2.7".parse().unwrap()).unwrap();
        assert_eq!(heir.address(sealed), old.address(sealed));
        assert!(old.own().iter().all(|ring| ring.id() != heir.own()[0].id()), "it has a ring of its own");
        let rings = heir.all();
        let [_, ring, idle] = &rings[..] else { panic!() };
        assert_eq!((ring.id(), ring.start()), (old.own()[0].id(), 0));
        assert!(!ring.is_left() && !idle.is_left(), "the old one lives");
        let mut reader = RingReader::new(ring.ring());
        assert_eq!(read(ring, &mut reader), Some(1));
        click(&old, 0, 2);
        assert_eq!(read(ring, &mut reader), Some(2));
        // It is killed with an answer on its way to the kernel, which counts.
        let mut writer = RingWriter::new(old.own()[0].ring(), old.seed());
        writer.begin(old.own()[0].ring());
        writer.click(&old.own()[0].ring(), &Captured { uid: 3, ..Captured::default() }, 1);
        let _ = writer.publish(old.own()[0].ring());
        assert_eq!(read(ring, &mut reader), None);
        old.pass_on();
        assert!(old.handed().is_err(), "there is one heir");
        drop(old);
        assert!(ring.is_left() && idle.is_left());
        assert_eq!(read(ring, &mut reader), Some(3));
        assert!(!ring.is_drained());
        reader.release(ring.ring(), reader.position());
        assert!(ring.is_drained());
        [ring, idle].into_iter().for_each(|ring| heir.forget(ring));
        assert_eq!((heir.all().len(), numbers(&dir).unwrap().len()), (1, 1));
        // The lock of the folder was passed on, too.
        assert!(Rings::open(&dir, 1).is_err());
        drop((heir, rings));
        assert_eq!(Rings::open(&dir, 1).unwrap().all().len(), 1);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn rings_of_a_process_that_lives_and_of_another_version_are_refused_and_left_alone() {
        let dir = folder("version");
        let old = Rings::open(&dir, 1).unwrap();
        fs::write(path(&dir, 7), "a ring as it may be one day").unwrap();
        let other = File::options().read(true).write(true).open(path(&dir, 7)).unwrap();
        other.lock().unwrap();
        let fault = Rings::inherit(&dir, 1, old.handed().unwrap()).err().unwrap().to_string();
        assert!(fault.contains("cannot be read by this version"), "{fault}");
        assert_eq!(fs::read(path(&dir, 7)).unwrap(), b"a ring as it may be one day");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_is_no_ring_begins_anew() {
        let dir = folder("anew");
        DirBuilder::new().mode(0o700).create(&dir).unwrap();
        fs::write(path(&dir, 0), "no ring").unwrap();
        let rings = Rings::open(&dir, 1).unwrap();
        assert_eq!((rings.own()[0].start(), rings.own()[0].lost()), (0, 0));
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn unknown_codes_are_fetched_once_and_wait_while_somebody_fetches() {
        let dir = folder("unknown");
        let (rings, mut own) = (Rings::open(&dir, 1).unwrap(), UnknownCodes::default());
        own.note(DomainId(3), b"poster");
        {
            let _fetching = rings.own()[0].unknown.lock().unwrap();
            rings.own()[0].publish(&mut own);
            assert!(!own.is_empty());
        }
        rings.own()[0].publish(&mut own);
        assert!(own.is_empty());
        let [note] = &rings.own()[0].take_unknown()[..] else { panic!() };
        assert_eq!((note.domain, note.code.as_deref(), note.count), (DomainId(3), Some(&b"poster"[..]), 1));
        assert!(rings.own()[0].take_unknown().is_empty());
        fs::remove_dir_all(&dir).unwrap();
    }
}
