//! `deploy/seccomp.json`, enforced: everything works under it on both drivers, and what it does not name is refused.
#![cfg(target_arch = "x86_64")] // the profile is the same elsewhere; the names of old system calls are not

use crate::support::{
    Dir, EPOLL, FREE_PORTS, IO_URING, LINKR, Linkr, beside_others, command, until, workspace,
};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

/// The profile as the kernel takes it, without these: what has an answer of its own, and then what is allowed.
fn filters(without: &[&str]) -> [seccompiler::BpfProgram; 2] {
    let text = std::fs::read_to_string(workspace().join("deploy/seccomp.json")).unwrap();
    let profile: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&profile["defaultAction"], &profile["defaultErrnoRet"]),
        (&json!("SCMP_ACT_ERRNO"), &json!(1))
    );
    let (mut answered, mut allowed) = (Vec::new(), Vec::new());
    for group in profile["syscalls"].as_array().unwrap() {
        let names = group["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
        for name in names.filter(|name| !without.contains(name)) {
            let args = group["args"].as_array().into_iter().flatten().map(|arg| {
                assert_eq!(arg["op"], "SCMP_CMP_MASKED_EQ");
                json!({ "index": arg["index"], "type": "qword", "op": { "masked_eq": arg["value"] }, "val": arg["valueTwo"] })
            });
            let args: Vec<Value> = args.collect();
            allowed.push(if args.is_empty() {
                json!({ "syscall": name })
            } else {
                json!({ "syscall": name, "args": args })
            });
            if group["action"] == "SCMP_ACT_ERRNO" {
                assert_eq!(group["errnoRet"], 38);
                answered.push(json!({ "syscall": name }));
            }
        }
    }
    [
        json!({ "mismatch_action": "allow", "match_action": { "errno": 38 }, "filter": answered }),
        json!({ "mismatch_action": { "errno": 1 }, "match_action": "allow", "filter": allowed }),
    ]
    .map(|filter| {
        let text = json!({ "linkr": filter }).to_string();
        let mut programs =
            seccompiler::compile_from_json(text.as_bytes(), seccompiler::TargetArch::x86_64).unwrap();
        programs.remove("linkr").unwrap()
    })
}

/// Runs a start on a thread of its own, which is under the profile, and so is what it starts.
fn confined<T: Send>(without: &[&str], start: impl FnOnce() -> T + Send) -> T {
    let filters = filters(without);
    std::thread::scope(|scope| {
        let confined = scope.spawn(move || {
            // The stricter one of two decides; the second could not be set under itself.
            filters.iter().for_each(|filter| seccompiler::apply_filter(filter).unwrap());
            start()
        });
        confined.join().unwrap()
    })
}

/// From an empty directory to a link that is served, a restart and a clean stop, by an edge of its own with a snapshot.
fn serves(driver: &str, without: &[&str], env: &[(&str, &str)]) {
    let dir = Dir::new();
    for start in 0..2 {
        let mut control = command(LINKR, dir.path());
        control.args(["control", "--store", "sqlite:linkr.db"]).args(FREE_PORTS);
        let mut control = confined(without, || Linkr::start_here(control, &dir, &["api", "admin"]));
        let mut edge = command(LINKR, dir.path());
        edge.args([
            "edge",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--workers",
            "2",
            "--unpinned",
        ]);
        edge.args(["--snapshot", "links", "--control", &format!("http://{}", control.api())]);
        edge.envs(env.iter().copied());
        let mut edge = confined(without, || Linkr::start_here(edge, &dir, &["edge", "admin"]));
        assert!(edge.said("edge").contains(driver), "{}", edge.said("edge"));
        if start == 0 {
            control.ok(&dir, &["link", "create", "https://example.com/", "--code", "x"]);
        }
        until("the link", || (edge.get("/x").status == 302).then_some(()));
        // A set that is not loaded yet has none.
        until("a snapshot", || dir.path().join("links").is_file().then_some(()));
        for linkr in [&mut edge, &mut control] {
            linkr.ask_to_stop();
            assert_eq!(linkr.exited().code(), Some(0), "{}", linkr.stderr());
        }
        for said in [edge.stderr(), control.stderr()] {
            assert!(!said.contains("not permitted"), "{said}");
        }
    }
}

#[test]
fn everything_works_under_the_profile() {
    let _turn = beside_others();
    serves("io_uring", &[], &[IO_URING]);
    serves("epoll", &[], &[EPOLL]);
}

/// As under the profile that comes with Docker.
#[test]
fn without_io_uring_the_workers_run_on_epoll() {
    let _turn = beside_others();
    serves("epoll", &["io_uring_setup"], &[IO_URING]);
}

#[test]
fn what_the_profile_does_not_name_is_refused() {
    let _turn = beside_others();
    let dir = Dir::new();
    let pipe = dir.file("pipe");
    for words in [["mkfifo", &pipe], ["unshare", "--user"]] {
        let started = confined(&[], || Command::new(words[0]).arg(words[1]).stderr(Stdio::piped()).spawn());
        let done = started.unwrap().wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(!done.status.success() && said.contains("Operation not permitted"), "{words:?}: {said}");
    }
}
