//! What a container image holds: the one binary, the libraries it loads, authorities, one user, one empty directory. Nothing else.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The user that the image runs as.
const USER: u32 = 65_532;
/// The authorities that browsers believe, of Debian's package ca-certificates; not those that this machine has besides.
const AUTHORITIES: &str = "/usr/share/ca-certificates/mozilla";

/// Puts all of it into `dir`, which must be empty or absent.
pub fn stage(dir: &Path, binary: &Path) -> Result<(), String> {
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(format!("{} is not empty", dir.display()));
    }
    let libraries = libraries(&ldd(binary)?)?;
    fs::create_dir_all(dir).map_err(|fault| at(dir, &fault))?;
    strip(binary, &dir.join("linkr"))?;
    for library in &libraries {
        install(library, &under(dir, library))?;
    }
    write(&dir.join("etc/passwd"), &format!("linkr:x:{USER}:{USER}:linkr:/data:/nonexistent\n"))?;
    write(&dir.join("etc/group"), &format!("linkr:x:{USER}:\n"))?;
    write(&dir.join("etc/ssl/certs/ca-certificates.crt"), &authorities()?)?;
    open_to_all(dir)?;
    let data = dir.join("data");
    fs::create_dir_all(&data).map_err(|fault| at(&data, &fault))?;
    fs::set_permissions(&data, Permissions::from_mode(0o700)).map_err(|fault| at(&data, &fault))?;
    chown(&data, Some(USER), Some(USER))
        .map_err(|fault| format!("{} (giving it to the image's user takes root)", at(&data, &fault)))?;
    println!("{}: linkr, {} libraries, user {USER}, /data", dir.display(), libraries.len());
    Ok(())
}

/// Copies a program without its symbols.
pub fn strip(binary: &Path, to: &Path) -> Result<(), String> {
    let mut command = Command::new("strip");
    let done = command.arg("-o").args([to, binary]).output();
    let done = done.map_err(|fault| format!("cannot run strip: {fault}: apt-get install binutils"))?;
    match done.status.success() {
        true => Ok(()),
        false => Err(format!("strip {}: {}", binary.display(), String::from_utf8_lossy(&done.stderr).trim())),
    }
}

/// Whatever the umask is: the same rights everywhere, and none to write but the owner's.
fn open_to_all(dir: &Path) -> Result<(), String> {
    let done = Command::new("chmod").args(["-R", "u=rwX,go=rX"]).arg(dir).status();
    match done.is_ok_and(|status| status.success()) {
        true => Ok(()),
        false => Err(format!("cannot change the rights of {}", dir.display())),
    }
}

/// All of them in one file, in the order of their names.
fn authorities() -> Result<String, String> {
    let folder = Path::new(AUTHORITIES);
    let cannot = |fault: std::io::Error| format!("{}: apt-get install ca-certificates", at(folder, &fault));
    let entries: Result<Vec<PathBuf>, _> =
        fs::read_dir(folder).map_err(cannot)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files = entries.map_err(cannot)?;
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).map_err(|fault| at(file, &fault))).collect()
}

fn ldd(binary: &Path) -> Result<String, String> {
    let done =
        Command::new("ldd").arg(binary).output().map_err(|fault| format!("cannot run ldd: {fault}"))?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let said = format!("{text}{}", String::from_utf8_lossy(&done.stderr));
    match done.status.success() || said.contains("not a dynamic executable") {
        true => Ok(text),
        false => Err(format!("ldd {}: {}", binary.display(), said.trim())),
    }
}

/// The files that ldd names, the loader among them: `name => /path (0x…)` or `/path (0x…)`.
fn libraries(ldd: &str) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for line in ldd.lines().map(str::trim) {
        let file = line.split_once("=>").map_or(line, |(_, file)| file.trim());
        if file.starts_with("not found") {
            return Err(format!("a library is missing here: {line}"));
        }
        let file = file.split(" (").next().unwrap_or_default();
        if file.starts_with('/') {
            found.push(PathBuf::from(file));
        }
    }
    Ok(found)
}

fn under(dir: &Path, file: &Path) -> PathBuf {
    dir.join(file.strip_prefix("/").unwrap_or(file))
}

/// Copies what a name leads to, links followed: the image has the name that the loader will look for.
fn install(from: &Path, to: &Path) -> Result<(), String> {
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).map_err(|fault| at(dir, &fault))?;
    }
    fs::copy(from, to).map_err(|fault| format!("{} to {}", at(from, &fault), to.display()))?;
    fs::set_permissions(to, Permissions::from_mode(0o755)).map_err(|fault| at(to, &fault))
}

fn write(to: &Path, text: &str) -> Result<(), String> {
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).map_err(|fault| at(dir, &fault))?;
    }
    fs::write(to, text).map_err(|fault| at(to, &fault))
}

/// A fault and where it was.
pub fn at(path: &Path, fault: &std::io::Error) -> String {
    format!("{}: {fault}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ldd_names() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x0000)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x0000)\n";
        let want = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(libraries(text).unwrap(), want);
        assert_eq!(libraries("\tstatically linked\n").unwrap(), Vec::<PathBuf>::new());
        assert!(libraries("\tlibx.so => not found\n").is_err());
    }
}
