//! The programs that some tests need besides Rust, and how they come here.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program, the Debian package that holds it, and what is skipped without it.
const TOOLS: [(&str, &str, &str); 21] = [
    ("g++", "g++", "fuzz targets"),
    ("strace", "strace", "durability: syncs before acknowledgements"),
    ("valgrind", "valgrind", "instructions of a hit"),
    ("zstdcat", "zstd", "real clicks"),
    ("python3", "python3", "real clicks, HTTP corpus"),
    ("setpriv", "util-linux", "image root"),
    ("unshare", "util-linux", "image root"),
    ("prometheus", "prometheus", "metrics: a real Prometheus reads them"),
    ("chromium", "chromium", "load test: its page opens in a browser"),
    ("chromedriver", "chromium-driver", "pages in a real browser"),
    ("nginx", "nginx-light", "load test: TLS against a real server"),
    ("haproxy", "haproxy", "trials: an outage behind a real balancer"),
    ("openssl", "openssl", "load test: TLS against a real server"),
    ("pg_ctlcluster", "postgresql", "Postgres as a store"),
    ("pgbouncer", "pgbouncer", "Postgres behind PgBouncer"),
    ("redis-server", "redis-server", "Redis as a tier"),
    ("systemd-analyze", "systemd", "units of systemd"),
    ("systemd-socket-activate", "systemd", "units of systemd: started by a connection"),
    ("promtool", "prometheus", "metrics: promtool has nothing to say"),
    ("strip", "binutils", "image root"),
    ("update-ca-certificates", "ca-certificates", "image root"),
];

/// The same of what a release is tried with.
const ENGINES: [(&str, &str, &str); 6] = [
    ("buildah", "buildah", "image: built"),
    ("podman", "podman", "image: run"),
    ("runc", "runc", "image: run"),
    ("ip", "iproute2", "image: run"),
    ("nsenter", "util-linux", "image: run"),
    ("debootstrap", "debootstrap", "Debian package: installed in a clean Debian"),
];

/// Of these packages, the services that would start with the machine from then on. Tests start their own.
const SERVICES: [&str; 6] = ["prometheus", "nginx", "haproxy", "postgresql", "pgbouncer", "redis-server"];
/// What `compare` measures beside linkr, by program and package.
const PEERS: [(&str, &str); 2] = [("nginx", "nginx-light"), ("haproxy", "haproxy")];

/// Asks apt for what is missing, as root; otherwise says which tests will be skipped. Never fails: a test that lacks
/// its program says so itself.
pub fn install_what_is_missing() {
    install_tools(&TOOLS);
}

/// The same for the tests of a release.
pub fn install_engines() {
    install_tools(&ENGINES);
}

fn install_tools(tools: &[(&str, &str, &str)]) {
    let missing = || tools.iter().filter(|(program, ..)| !is_there(program));
    let mut packages: Vec<&str> = missing().map(|(_, package, _)| *package).collect();
    packages.dedup();
    install_as_root(&packages);
    for (program, package, tests) in missing() {
        println!("{program} is missing (apt-get install {package}): skipped: {tests}");
    }
}

/// Asks apt for the servers that linkr is compared with; without them the comparison says that it leaves them out.
pub fn install_peers() {
    let missing: Vec<&str> =
        PEERS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    install_as_root(&missing);
}

/// Asks apt for these packages, if there are any and this is root on Debian.
pub fn install_as_root(packages: &[&str]) {
    if !packages.is_empty() && is_root() && is_there("apt-get") {
        install(packages);
    }
}

fn install(packages: &[&str]) {
    let _held = NoServices::new();
    run("apt-get", &["update", "-qq"]);
    run("apt-get", &[&["install", "-y", "-qq", "--no-install-recommends"], packages].concat());
    for service in
        SERVICES.iter().filter(|service| packages.iter().any(|package| package.starts_with(**service)))
    {
        if is_there("systemctl") {
            run("systemctl", &["disable", "--quiet", service]);
        }
    }
}

/// While it is held, no package starts a service (Debian's policy-rc.d). If there is a policy already, it stays.
struct NoServices {
    own: bool,
}

impl NoServices {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    fn new() -> Self {
        let write = |mut file: File| {
            file.write_all(b"#!/bin/sh\nexit 101\n")?;
            file.set_permissions(Permissions::from_mode(0o755))
        };
        Self { own: File::create_new(Self::POLICY).and_then(write).is_ok() }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.own {
            let _ = fs::remove_file(Self::POLICY);
        }
    }
}

/// Runs a program and says so; whether it succeeded.
pub fn run(program: &str, words: &[&str]) -> bool {
    println!("+ {program} {}", words.join(" "));
    let done = Command::new(program).args(words).env("DEBIAN_FRONTEND", "noninteractive").status();
    let good = done.is_ok_and(|status| status.success());
    if !good {
        println!("{program} failed");
    }
    good
}

/// The same without a word.
pub fn run_quietly(program: &str, words: &[&str]) -> bool {
    Command::new(program).args(words).output().is_ok_and(|done| done.status.success())
}

/// Servers live in a folder that is not on everybody's path.
pub fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    dirs.any(|dir| dir.join(program).is_file())
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(Path::new("/proc/self")).is_ok_and(|process| process.uid() == 0)
}
