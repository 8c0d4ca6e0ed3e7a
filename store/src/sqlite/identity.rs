//! Which file a file is, whatever it is called.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

/// Which file this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub inode: u64,
    pub device: u64,
    /// Nanoseconds since 1970, where the file system knows. An inode is given to another file once it is free.
    pub born: Option<i64>,
    /// Of the kernel: devices have other numbers after the next start of some machines.
    pub boot: String,
}

impl Identity {
    pub fn of(file: &Metadata) -> Self {
        let born = file.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self {
            inode: file.ino(),
            device: file.dev(),
            born: born.and_then(|born| i64::try_from(born.as_nanos()).ok()),
            boot: boot.trim().to_owned(),
        }
    }
}

/// Whether what was noted is this file. While a device is mounted it keeps its number: under another one lies another file,
/// as in a snapshot of a volume that is mounted beside it. After the next start of the kernel, and where a volume was
/// mounted again, the inode and the moment of its birth have to do.
pub(super) fn is_same(was: &Identity, now: &Identity) -> bool {
    is_same_among(was, now, || {
        String::from_utf8_lossy(&std::fs::read("/proc/self/mountinfo").unwrap_or_default()).into_owned()
    })
}

fn is_same_among(was: &Identity, now: &Identity, mounts: impl FnOnce() -> String) -> bool {
    let born = was.born.zip(now.born).map(|(was, now)| was == now);
    if was.inode != now.inode || born == Some(false) {
        return false;
    }
    let rebooted = !was.boot.is_empty() && !now.boot.is_empty() && was.boot != now.boot;
    if was.device == now.device || rebooted {
        return true;
    }
    let mounts = mounts();
    let is_mounted =
        |device| mounts.lines().any(|line| line.split(' ').nth(2) == Some(numbers(device).as_str()));
    // Where not even the file's own device is in the list (btrfs), the list says nothing.
    born == Some(true) && is_mounted(now.device) && !is_mounted(was.device)
}

/// A device as the list of mounts has it, from how `stat` does.
fn numbers(device: u64) -> String {
    let major = (device >> 8) & 0xfff | (device >> 32) & !0xfff;
    let minor = device & 0xff | (device >> 12) & !0xff;
    format!("{}:{}", major & 0xffff_ffff, minor & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by attack: a volume that was mounted again had a store that was refused.
    #[test]
    fn a_device_has_another_number_when_it_is_mounted_again_and_a_copy_beside_it_has_another_one_too() {
        let mounts = "22 27 0:21 / /proc rw - proc proc rw\n27 1 254:0 / / rw - ext4 /dev/vda rw\n\
                      28 27 7:300 / /data rw - ext4 /dev/loop300 rw\n";
        let of = |device, born, boot: &str| Identity { inode: 12, device, born, boot: boot.into() };
        let (root, looped, gone) = (0xfe00, 0x10072c, 0xfe01);
        assert_eq!([root, looped, gone].map(numbers), ["254:0", "7:300", "254:1"]);
        for (was, now, same) in [
            (of(gone, Some(5), "a"), of(root, Some(5), "a"), true),
            (of(looped, Some(5), "a"), of(root, Some(5), "a"), false),
            (of(root, Some(5), "a"), of(looped, Some(5), "a"), false),
            (of(looped, Some(5), "a"), of(root, Some(5), "b"), true),
            (of(gone, Some(5), "a"), of(root, Some(6), "a"), false),
            (of(gone, None, "a"), of(root, Some(5), "a"), false),
            (of(gone, None, "a"), of(gone, Some(5), "a"), true),
            (of(gone, Some(5), "a"), of(gone + 1, Some(5), "a"), false), // neither is in the list
        ] {
            assert_eq!(is_same_among(&was, &now, || mounts.into()), same, "{was:?} {now:?}");
        }
        let other = Identity { inode: 13, ..of(root, Some(5), "a") };
        assert!(!is_same_among(&of(root, Some(5), "a"), &other, || mounts.into()));
    }
}
