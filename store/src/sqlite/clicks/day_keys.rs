//! The keys of days, in a small file beside the store that no backup takes: a day's visitors cannot be told from a copy of
//! the clicks once its key is gone.

use super::super::locked;
use crate::clicks::times::{DAY, HOUR};
use crate::model::StoreFault;
use crate::port::clicks::DAY_KEY;
use crate::unfinished_file::UnfinishedFile;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::sync::Mutex;

/// How long a key is kept behind the end of its day: clicks of its last minutes are still to be put into kinds.
const KEPT: i64 = HOUR;

/// The file.
#[derive(Debug)]
pub(super) struct DayKeys {
    path: PathBuf,
    turn: Mutex<()>,
}

type Keys = BTreeMap<u32, [u8; DAY_KEY]>;

impl DayKeys {
    pub fn new(path: PathBuf) -> Self {
        Self { path, turn: Mutex::default() }
    }

    /// The key of a day: that which there is, or else this one.
    pub fn key(&self, day: u32, fresh: [u8; DAY_KEY], now: i64) -> Result<[u8; DAY_KEY], StoreFault> {
        let _turn = locked(&self.turn);
        let mut keys = self.read()?;
        keys.retain(|day, _| is_kept(*day, now));
        if let Some(key) = keys.get(&day) {
            return Ok(*key);
        }
        keys.insert(day, fresh);
        self.write(&keys)?;
        Ok(fresh)
    }

    /// Removes the keys of days that are over.
    pub fn forget(&self, now: i64) -> Result<(), StoreFault> {
        let _turn = locked(&self.turn);
        let mut keys = self.read()?;
        let all = keys.len();
        keys.retain(|day, _| is_kept(*day, now));
        if keys.len() == all { Ok(()) } else { self.write(&keys) }
    }

    fn fault(&self, what: &dyn std::fmt::Display) -> StoreFault {
        StoreFault::Unavailable(format!("the keys of days in {}: {what}", self.path.display()))
    }

    fn read(&self) -> Result<Keys, StoreFault> {
        let mut text = String::new();
        match proto::own::read(&self.path).and_then(|mut file| file.read_to_string(&mut text)) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Keys::new()),
            Err(e) => return Err(self.fault(&e)),
        }
        let keys = text.lines().map(parsed).collect::<Option<Keys>>();
        keys.ok_or_else(|| {
            self.fault(&"a line is none: remove the file, and visitors of today are counted anew")
        })
    }

    fn write(&self, keys: &Keys) -> Result<(), StoreFault> {
        let mut text = String::new();
        for (day, key) in keys {
            let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            text.push_str(&format!("{day} {hex}\n"));
        }
        let write = || {
            let new = UnfinishedFile::new(&self.path)?;
            std::fs::write(new.path(), text)?;
            new.becomes(&self.path)
        };
        write().map_err(|e: std::io::Error| match e.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreFault::Full,
            _ => self.fault(&e),
        })
    }
}

fn is_kept(day: u32, now: i64) -> bool {
    now < (i64::from(day) + 1) * DAY + KEPT
}

fn parsed(line: &str) -> Option<(u32, [u8; DAY_KEY])> {
    let (day, hex) = line.split_once(' ')?;
    let mut key = [0; DAY_KEY];
    if hex.len() != 2 * DAY_KEY || !hex.is_ascii() {
        return None;
    }
    for (byte, at) in key.iter_mut().zip((0..hex.len()).step_by(2)) {
        *byte = u8::from_str_radix(&hex[at..at + 2], 16).ok()?;
    }
    Some((day.parse().ok()?, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_day_has_one_key_which_its_owner_alone_can_read_and_which_is_gone_an_hour_later() {
        let folder = std::env::temp_dir().join(format!("linkr-day-keys-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let keys = DayKeys::new(folder.join("keys"));
        assert_eq!(keys.key(10, [1; DAY_KEY], 10 * DAY).unwrap(), [1; DAY_KEY]);
        assert_eq!(keys.key(10, [2; DAY_KEY], 10 * DAY).unwrap(), [1; DAY_KEY]);
        assert_eq!(keys.key(11, [3; DAY_KEY], 11 * DAY - 1).unwrap(), [3; DAY_KEY]);
        let mode = std::fs::metadata(folder.join("keys")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        keys.forget(11 * DAY + HOUR - 1).unwrap();
        assert_eq!(keys.read().unwrap().len(), 2);
        keys.forget(11 * DAY + HOUR).unwrap();
        assert_eq!(keys.read().unwrap().into_keys().collect::<Vec<_>>(), [11]);
        std::fs::write(folder.join("keys"), "11 beef\n").unwrap();
        assert!(keys.key(11, [0; DAY_KEY], 0).unwrap_err().to_string().contains("remove the file"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
