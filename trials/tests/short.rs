//! The short form of the trials: every fault once (with `LINKR_LONG` five times), an outage of control behind
//! HAProxy, and real clicks beside Redis, with real processes.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// One after the other: each takes what the machine has.
static TURN: Mutex<()> = Mutex::new(());

fn trial(words: &[&str]) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let done = Command::new(env!("CARGO_BIN_EXE_linkr-trials")).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    println!("{said}");
    assert!(done.status.success(), "{words:?}:\n{said}{}", String::from_utf8_lossy(&done.stderr));
}

fn has_servers(test: &str) -> bool {
    let there = Path::new("/usr/lib/postgresql").is_dir() && Path::new("/usr/bin/redis-server").is_file();
    if !there {
        eprintln!("SKIPPED {test}: there is no postgres, or no redis-server");
    }
    there
}

/// What fits this world: of that these faults once, if some are named, or, with `LINKR_LONG`, all five times.
fn run(world: &[&str], faults: &[&str]) {
    let rates = ["--reads", "300", "--writes", "100", "--connections", "8", "--links", "400"];
    let words = match std::env::var_os("LINKR_LONG") {
        None => [&["run", "--trials", "1", "--window", "1500"], world, faults].concat(),
        Some(_) => [&["run", "--trials", "5", "--window", "3000"], world].concat(),
    };
    trial(&[&words[..], &rates].concat());
}

#[test]
#[ignore = "load for minutes: make test-long"]
fn every_fault_once() {
    run(&[], &[]);
}

#[test]
#[ignore = "load for minutes: make test-long"]
fn postgres_and_redis_fail() {
    if has_servers("postgres_and_redis_fail") {
        let faults = "control-killed,lying-edge,old-database,postgres-killed,promoted,promoted-async,switchover,\
                      redis-killed,redis-stopped,redis-flushed,redis-older,postgres-full";
        run(&["--stack", "production"], &["--faults", faults]);
    }
}

#[test]
#[ignore = "load for minutes: make test-long"]
fn one_of_two_controls_and_a_node_of_a_redis_cluster_are_lost() {
    if has_servers("one_of_two_controls_and_a_node_of_a_redis_cluster_are_lost") {
        let faults = "a-control-lost,lying-edge,redis-node-lost,control-stopped,drop";
        run(&["--stack", "cluster", "--controls", "2"], &["--faults", faults]);
    }
}

#[test]
#[ignore = "load for minutes: make test-long"]
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
#[ignore = "load for minutes: make test-long"]
fn hostile_clients_get_no_wrong_answer_and_no_memory() {
    let words =
        ["attacks", "--untimed", "--clients", "10", "--rounds", "1", "--seconds", "0.5", "--hits", "400"];
    for driver in ["uring", "epoll"] {
        trial(&[&words[..], &["--driver", driver]].concat());
    }
}

#[test]
#[ignore = "load for minutes: make test-long"]
fn an_import_and_a_snapshot_disturb_no_answer() {
    for driver in ["uring", "epoll"] {
        trial(&["beside", "--untimed", "--links", "20000", "--rounds", "1", "--driver", driver]);
    }
}

#[test]
#[ignore = "load for minutes: make test-long"]
fn real_clicks_are_answered_right_from_memory_and_redis() {
    // On a busy machine a question to Redis may take too long, and control is asked.
    trial(&["clicks", "--first", "20000", "--from-redis", "90"]);
}
