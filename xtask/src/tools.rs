//! The programs that some tests need besides Rust, and how they come here.

use std::path::Path;
use std::process::Command;

/// A program, the Debian package that holds it, and what is skipped without it.
const TOOLS: [(&str, &str, &str); 5] = [
    ("strace", "strace", "durability: syncs before acknowledgements"),
    ("zstdcat", "zstd", "real clicks"),
    ("python3", "python3", "real clicks, HTTP corpus"),
    ("setpriv", "util-linux", "image root"),
    ("unshare", "util-linux", "image root"),
];

/// Asks apt for what is missing, as root; otherwise says which tests will be skipped. Never fails: a test that lacks
/// its program says so itself.
pub fn install_what_is_missing() {
    let missing = || TOOLS.iter().filter(|(program, ..)| !is_there(program));
    let mut packages: Vec<&str> = missing().map(|(_, package, _)| *package).collect();
    packages.dedup();
    if !packages.is_empty() && is_root() && is_there("apt-get") {
        run("apt-get", &["update", "-qq"]);
        run("apt-get", &[&["install", "-y", "-qq", "--no-install-recommends"], packages.as_slice()].concat());
    }
    for (program, package, tests) in missing() {
        println!("{program} is missing (apt-get install {package}): skipped: {tests}");
    }
}

fn run(program: &str, words: &[&str]) {
    println!("+ {program} {}", words.join(" "));
    let done = Command::new(program).args(words).env("DEBIAN_FRONTEND", "noninteractive").status();
    if !done.is_ok_and(|status| status.success()) {
        println!("{program} failed");
    }
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(Path::new("/proc/self")).is_ok_and(|process| process.uid() == 0)
}
