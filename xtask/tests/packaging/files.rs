//! The files of a release: the same bytes each time, and all that is promised in them.

use super::{lacks, ok, pack, release, root, skip, turn};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

fn read(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().to_string_lossy().into_owned(), fs::read(e.path()).unwrap())).collect()
}

/// Two times, with other rights for new files and another zone.
#[test]
#[ignore = "packs two releases: make test-long"]
fn a_release_is_the_same_bytes_again() {
    if lacks("a_release_is_the_same_bytes_again", &["strip", "dpkg-deb", "objdump", "sha256sum"]) {
        return;
    }
    let _turn = turn();
    let folder = services::Folder::new("release", None).unwrap();
    let again = folder.path().join("again");
    pack(&again, "077", "Asia/Tokyo");
    let (one, other) = (read(release()), read(&again));
    let names: Vec<&String> = one.keys().collect();
    assert_eq!(names, other.keys().collect::<Vec<_>>());
    let differ: Vec<&String> =
        names.iter().copied().filter(|name| *name != "SHA256SUMS" && one[*name] != other[*name]).collect();
    assert!(differ.is_empty() && one["SHA256SUMS"] == other["SHA256SUMS"], "{differ:?} differ");
    let kinds = [".cdx.json", ".oci.tar", "-linux.tar.gz", ".deb", "SHA256SUMS"];
    for kind in kinds {
        assert!(names.iter().any(|name| name.ends_with(kind)), "no {kind} in {names:?}");
    }
    assert_eq!(names.len(), kinds.len(), "{names:?}");
    let out = release();
    ok(services::command("sha256sum", out).args(["--check", "--strict", "--quiet", "SHA256SUMS"]));
    holds_what_it_promises(out, folder.path());
    is_an_inventory(out);
}

/// The tarball, unpacked: the program runs, the licences are there.
fn holds_what_it_promises(out: &Path, folder: &Path) {
    let unpack = "tar -xzf *-linux.tar.gz -C \"$1\" && mv \"$1\"/linkr-*-linux \"$1/unpacked\"";
    ok(services::command("sh", out).args(["-c", unpack, "sh"]).arg(folder));
    let inside = folder.join("unpacked");
    let version = ok(services::command(inside.join("linkr"), &inside).arg("--version"));
    assert_eq!(version, format!("linkr {}\n", env!("CARGO_PKG_VERSION")));
    let licences = fs::read_to_string(inside.join("THIRD-PARTY.txt")).unwrap();
    for part in ["tokio ", "rustls ", "Permission is hereby granted", "Apache License"] {
        assert!(licences.contains(part), "{part}");
    }
    for build in ["\nproptest ", "\nprotox ", "\nclap_derive "] {
        assert!(!licences.contains(build), "{build} is not in the binary");
    }
    let files = [
        "LICENSE-MIT",
        "CHANGELOG.md",
        "docs/http.md",
        "deploy/compose.yaml",
        "deploy/systemd/linkr-up.service",
    ];
    for file in files.into_iter().chain(["man/linkr-edge.1", "completions/_linkr", "linkr.cdx.json"]) {
        assert!(inside.join(file).is_file(), "{file}");
    }
    ok(services::command("bash", &inside).args(["-n", "completions/linkr.bash"]));
}

/// By the schema of CycloneDX, in the hands of its own library.
fn is_an_inventory(out: &Path) {
    let inventory = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
    let inventory = inventory.into_iter().find(|path| path.to_string_lossy().ends_with(".cdx.json")).unwrap();
    let python = root().join("target/tools/python/bin/python");
    let script = "import sys\nfrom cyclonedx.schema import SchemaVersion\nfrom cyclonedx.validation.json import JsonStrictValidator\n\
                  fault = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read())\nsys.exit(str(fault) if fault else 0)";
    if !Command::new(&python)
        .args(["-c", "import cyclonedx.validation"])
        .output()
        .is_ok_and(|d| d.status.success())
    {
        return skip(
            "is_an_inventory",
            "the Python library cyclonedx is not in target/tools (make test-long fetches it)",
        );
    }
    ok(services::command(&python, out).args(["-c", script]).arg(inventory));
}
