//! The short form of the trials: every fault once, an outage of control behind HAProxy, and real clicks beside Redis,
//! with real processes.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

/// One after the other: each takes what the machine has.
static TURN: Mutex<()> = Mutex::new(());

fn trial(words: &[&str]) {
    let _turn = TURN.lock().unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_linkr-trials")).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    println!("{said}");
    assert!(done.status.success(), "{words:?}:\n{said}{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn every_fault_once() {
    let rates = ["--reads", "300", "--writes", "100", "--connections", "8", "--links", "400"];
    trial(&[&["run", "--seconds", "1", "--window", "1500"], &rates[..]].concat());
}

#[test]
fn postgres_and_redis_fail() {
    let (postgres, redis) =
        (Path::new("/usr/lib/postgresql").is_dir(), Path::new("/usr/bin/redis-server").is_file());
    if !postgres || !redis {
        eprintln!("SKIPPED postgres_and_redis_fail: there is no postgres, or no redis-server");
        return;
    }
    let rates = ["--reads", "300", "--writes", "100", "--connections", "8", "--links", "400"];
    let faults = "control-killed,old-database,postgres-killed,promoted,promoted-async,switchover,\
                  redis-killed,redis-stopped,redis-flushed,redis-older";
    let words = ["run", "--stack", "production", "--faults", faults, "--seconds", "1", "--window", "1500"];
    trial(&[&words[..], &rates[..]].concat());
}

#[test]
fn no_server_is_taken_out_while_control_is_dead() {
    if !["/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"]
        .iter()
        .any(|path| Path::new(path).is_file())
    {
        eprintln!("SKIPPED no_server_is_taken_out_while_control_is_dead: there is no haproxy");
        return;
    }
    trial(&["outage", "--seconds", "6", "--reads", "600", "--links", "400"]);
}

#[test]
fn real_clicks_are_answered_right_from_memory_and_redis() {
    // On a busy machine a question to Redis may take too long, and control is asked.
    trial(&["clicks", "--first", "20000", "--from-redis", "90"]);
}
