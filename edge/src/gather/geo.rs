//! From which country an address is: a database (MMDB) that the operator names, read again when the file changes. One that
//! cannot be used leaves the one before in use.

use crate::records;
use clicks::Country;
use maxminddb::{Reader, path};
use std::fs::Metadata;
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

/// How often it is looked whether the file is another one.
const LOOK: Duration = Duration::from_secs(10);
/// A database of countries takes some 10 MB, one of cities 100 MB.
const MAX_BYTES: u64 = 1 << 30;

/// The database that is in use, if one is.
pub struct Geo {
    path: Option<PathBuf>,
    reader: Option<Countries>,
    /// The file that was read last, whatever came of it.
    seen: Option<FileIdentity>,
    loading: Option<Receiver<Loaded>>,
    looked: Option<Instant>,
    failures: u64,
}

/// What tells two states of a file apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

type Countries = Reader<Vec<u8>>;
/// Why not, in words.
type Loaded = Result<Countries, String>;

impl Geo {
    /// Nothing is read yet.
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path, reader: None, seen: None, loading: None, looked: None, failures: 0 }
    }

    /// Whether countries are known.
    pub fn is_in_use(&self) -> bool {
        self.reader.is_some()
    }

    /// Times that a file could not be used.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Looks now and then whether the file changed; another thread reads it.
    pub fn tick(&mut self) {
        let Some(path) = self.path.clone() else { return };
        if let Some(loading) = &self.loading {
            match loading.try_recv() {
                Err(TryRecvError::Empty) => return,
                Ok(loaded) => self.loaded(&path, loaded),
                Err(TryRecvError::Disconnected) => self.loaded(&path, Err("its reader panicked".into())),
            }
            self.loading = None;
        }
        if self.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        let identity = std::fs::metadata(&path).ok().map(|there| FileIdentity::of(&there));
        if identity.is_some() && identity == self.seen {
            return;
        }
        // One that is not there is told once, and looked for again.
        if identity.is_none() && self.seen.is_none() && self.failures > 0 {
            return;
        }
        self.seen = identity;
        let (done, loading) = channel();
        let thread = std::thread::Builder::new().name("geo".into()).spawn(move || {
            crate::sys::let_others_go_first();
            let _ = done.send(load(&path)); // this process may be ending
        });
        match thread {
            Ok(_) => self.loading = Some(loading),
            Err(_) => self.seen = None, // no thread is to be had now: at the next look
        }
    }

    fn loaded(&mut self, path: &Path, loaded: Loaded) {
        let file = path.display();
        match loaded {
            Ok(reader) => {
                let built = reader.metadata().build_epoch;
                tracing::info!(name: "geo_loaded", %file, built, "countries of clicks are told by this database");
                self.reader = Some(reader);
            }
            Err(why) => {
                self.failures += 1;
                let goes_on = if self.reader.is_some() {
                    "the one before stays in use"
                } else {
                    "countries are unknown"
                };
                tracing::warn!(
                    name: "geo_unusable", %file, why, goes_on,
                    "the database of countries cannot be used: give --geo an MMDB file that has countries"
                );
            }
        }
    }

    /// The country of an address (IPv4 mapped to IPv6); zeros: unknown.
    pub fn country(&self, address: [u8; 16]) -> Country {
        let address = Ipv6Addr::from(address).to_canonical();
        self.reader.as_ref().and_then(|reader| country(reader, address)).unwrap_or_default()
    }
}

impl FileIdentity {
    fn of(there: &Metadata) -> Self {
        let (device, inode, bytes) = (there.dev(), there.ino(), there.len());
        Self { device, inode, bytes, changed: (there.mtime(), there.mtime_nsec()) }
    }
}

/// Under the two names that it has in the databases there are.
fn country(reader: &Countries, address: IpAddr) -> Option<Country> {
    let found = reader.lookup(address).ok()?;
    let code = found.decode_path::<&str>(&path!["country", "iso_code"]).ok().flatten();
    let code = code.or_else(|| found.decode_path::<&str>(&path!["country_code"]).ok().flatten())?;
    let code: [u8; 2] = code.as_bytes().try_into().ok()?;
    code.iter().all(u8::is_ascii_alphabetic).then(|| Country(code.map(|letter| letter.to_ascii_uppercase())))
}

fn load(path: &Path) -> Loaded {
    let there = std::fs::metadata(path).map_err(|fault| fault.to_string())?;
    let bytes = there.len();
    if !there.is_file() {
        return Err("it is no regular file".into()); // a pipe may never end, nor give anything
    }
    if bytes > MAX_BYTES {
        return Err(format!("it takes {bytes} bytes, more than {MAX_BYTES}"));
    }
    let bytes = std::fs::read(path).map_err(|fault| fault.to_string())?;
    records::guarded(|| check(bytes)).unwrap_or_else(|| Err("its content makes the reader panic".into()))
}

/// A file that is being written, or damaged in its middle, must not push out a good one.
fn check(bytes: Vec<u8>) -> Loaded {
    let reader = Reader::from_source(bytes).map_err(|fault| fault.to_string())?;
    let mut countries = 0_u64;
    for found in reader.networks(maxminddb::WithinOptions::default()).map_err(|fault| fault.to_string())? {
        let found = found.map_err(|fault| fault.to_string())?;
        let code =
            found.decode_path::<&str>(&path!["country", "iso_code"]).map_err(|fault| fault.to_string())?;
        let code = match code {
            None => found.decode_path::<&str>(&path!["country_code"]).map_err(|fault| fault.to_string())?,
            code => code,
        };
        countries += u64::from(code.is_some());
    }
    if countries == 0 {
        return Err("no network in it has a country".into());
    }
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&[0x40 | text.len() as u8], text.as_bytes()].concat()
    }

    /// A database of IPv4 whose lower half is of one country, which is said under this path.
    fn database(country: &str, path: &[&str]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 17, 0, 0, 1]; // one node: the data behind the separator; nothing
        bytes.extend([0; 16]);
        for name in path {
            bytes.push(0xe1);
            bytes.extend(text(name));
        }
        bytes.extend(text(country));
        bytes.extend(b"\xab\xcd\xefMaxMind.com\xe9");
        let fields: [(&str, &[u8]); 9] = [
            ("binary_format_major_version", &[0xa1, 2]),
            ("binary_format_minor_version", &[0xa0]),
            ("build_epoch", &[1, 2, 5]),
            ("database_type", &[0x41, b'c']),
            ("description", &[0xe0]),
            ("ip_version", &[0xa1, 4]),
            ("languages", &[0, 4]),
            ("node_count", &[0xc1, 1]),
            ("record_size", &[0xa1, 24]),
        ];
        for (name, value) in fields {
            bytes.extend(text(name));
            bytes.extend(value);
        }
        bytes
    }

    fn mapped(address: [u8; 4]) -> [u8; 16] {
        std::net::Ipv4Addr::from(address).to_ipv6_mapped().octets()
    }

    #[test]
    fn a_database_tells_countries_under_either_name_and_a_broken_one_leaves_it_in_use() {
        let path = std::env::temp_dir().join(format!("linkr-geo-good-{}", std::process::id()));
        std::fs::write(&path, database("DE", &["country", "iso_code"])).unwrap();
        let mut geo = Geo::new(Some(path.clone()));
        let until = |geo: &mut Geo, done: &dyn Fn(&Geo) -> bool| {
            geo.looked = None;
            geo.tick();
            while !done(geo) {
                std::thread::yield_now();
                geo.tick();
            }
        };
        until(&mut geo, &Geo::is_in_use);
        assert_eq!(geo.country(mapped([10, 0, 0, 1])), Country(*b"DE"));
        assert_eq!(geo.country(mapped([192, 0, 2, 1])), Country::default());
        assert_eq!(geo.country([0x20; 16]), Country::default(), "it has no IPv6");
        let whole = database("FR", &["country_code"]);
        std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        until(&mut geo, &|geo| geo.failures() == 1);
        assert_eq!(geo.country(mapped([10, 0, 0, 1])), Country(*b"DE"));
        std::fs::write(&path, whole).unwrap();
        until(&mut geo, &|geo| geo.country(mapped([10, 0, 0, 1])) == Country(*b"FR"));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn without_a_database_every_country_is_unknown() {
        let mut geo = Geo::new(None);
        geo.tick();
        assert_eq!((geo.country([7; 16]), geo.is_in_use(), geo.failures()), (Country::default(), false, 0));
    }

    #[test]
    fn what_is_no_database_is_refused_in_words() {
        let path = std::env::temp_dir().join(format!("linkr-geo-{}", std::process::id()));
        std::fs::write(&path, b"no database").unwrap();
        assert!(load(&path).is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(load(&path).unwrap_err().contains("No such file"));
        assert!(load(Path::new("/dev/zero")).unwrap_err().contains("no regular file"));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_counted_once_until_it_changes() {
        let path = std::env::temp_dir().join(format!("linkr-geo-once-{}", std::process::id()));
        std::fs::write(&path, b"no database").unwrap();
        let mut geo = Geo::new(Some(path.clone()));
        geo.tick();
        while geo.failures() == 0 {
            std::thread::yield_now();
            geo.tick();
        }
        geo.looked = None;
        geo.tick();
        assert!(geo.loading.is_none(), "the same file is not read again");
        std::fs::write(&path, b"no database either").unwrap();
        geo.looked = None;
        geo.tick();
        assert!(geo.loading.is_some());
        std::fs::remove_file(&path).unwrap();
    }
}
