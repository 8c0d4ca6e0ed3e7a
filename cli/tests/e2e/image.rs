//! What the container image holds is enough: as its user, without a capability, everything but /data read-only.

use crate::support::{Dir, LINKR, Linkr, beside_others, command, has, skip, until};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

#[path = "../../../xtask/src/image.rs"]
mod xtask_image;

const ENTER: &str = r#"
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount -t tmpfs -o uid=65532,gid=65532,mode=0700 data "$1/data"
exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+setuid,+setgid,+sys_chroot \
    chroot --userspec=65532:65532 --groups= "$1" /linkr up --data-dir /data --workers 1 \
    --listen 127.0.0.1:0 --api 127.0.0.1:0 --admin 127.0.0.1:0
"#;

#[test]
fn the_image_root_is_enough() {
    let test = "the_image_root_is_enough";
    if std::fs::metadata("/proc/self").map_or(u32::MAX, |process| process.uid()) != 0 {
        return skip(test, "it takes root");
    }
    if let Some(program) =
        ["unshare", "setpriv", "chroot", "mount", "ldd", "strip"].iter().find(|name| !has(name))
    {
        return skip(test, &format!("there is no {program}"));
    }
    let _turn = beside_others();
    let dir = Dir::new();
    if !command("unshare", dir.path()).args(["-m", "true"]).output().unwrap().status.success() {
        return skip(test, "there is no right to make a mount namespace");
    }
    let root = dir.path().join("root");
    xtask_image::stage(&root, Path::new(LINKR)).unwrap();
    let mut entries: Vec<_> = std::fs::read_dir(&root).unwrap().map(|e| e.unwrap().file_name()).collect();
    entries.retain(|name| !name.to_string_lossy().starts_with("lib") && name != "usr");
    entries.sort();
    assert_eq!(entries, ["data", "etc", "linkr"]);
    assert_eq!(std::fs::metadata(root.join("data")).unwrap().uid(), 65_532);

    let mut inside = command("unshare", dir.path());
    inside.args(["-m", "sh", "-c", ENTER, "sh", root.to_str().unwrap()]);
    let linkr = Linkr::start(inside, &dir, &["edge", "api", "admin", "then"]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", linkr.pid())).unwrap();
    let line =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    assert_eq!(line("Uid:"), "65532\t65532\t65532\t65532");
    assert_eq!((line("CapEff:"), line("CapPrm:")), ("0000000000000000", "0000000000000000"));
    linkr.ok(&dir, &["link", "create", "https://example.com/", "--code", "x"]);
    until("the redirect", || (linkr.get("/x").location() == "https://example.com/").then_some(()));
}
