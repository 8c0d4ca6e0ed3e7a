//! `linkr doctor` on real files, processes and servers: each trouble is planted, found alone, and gone with its cause.

use crate::signals::certificates::Pair;
use crate::signals::clock::Clock;
use crate::support::{
    Connection, Dir, FREE_PORTS, IO_URING, LINKR, Linkr, beside_others, command, skip, text, until, workspace,
};
use services::{Disk, Postgres, Redis, ServerFault};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// What a machine of tests may lack without a fault of linkr's: told, and not counted.
const OF_THIS_MACHINE: [&str; 9] = [
    "clock_not_kept",
    "no_io_uring",
    "io_uring_plain",
    "locked_memory_short",
    "files_few",
    "queue_short",
    "disk_full",
    "spool_room",
    "not_on_disk",
];

/// Nobody listens there.
const NOBODY: [&str; 2] = ["--admin", "127.0.0.1:1"];

type Names = BTreeSet<String>;

/// `linkr doctor` and these words.
fn doctor(dir: &Dir, words: &[&str]) -> Command {
    let mut doctor = command(LINKR, dir.path());
    doctor.args(["doctor", "-o", "json"]).args(words).env(IO_URING.0, IO_URING.1);
    doctor
}

/// The names of all troubles; the exit status says whether there are any.
fn told(mut doctor: Command) -> Names {
    let done = doctor.output().unwrap();
    let said = text(&done.stdout);
    let told: serde_json::Value =
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{}", text(&done.stderr)));
    let troubles = told["troubles"].as_array().unwrap();
    assert_eq!(done.status.code(), Some(i32::from(!troubles.is_empty())), "{said}");
    for one in troubles {
        assert!(!one["cause"].as_str().unwrap().is_empty() && !one["way_out"].as_str().unwrap().is_empty());
    }
    troubles.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

fn names(of: &[&str]) -> Names {
    of.iter().map(|&name| name.to_owned()).collect()
}

/// What is sound here: nothing but what this machine lacks.
fn sound(dir: &Dir, words: &[&str]) -> Names {
    let found = told(doctor(dir, words));
    let others: Vec<_> = found.iter().filter(|name| !OF_THIS_MACHINE.contains(&name.as_str())).collect();
    assert!(others.is_empty(), "{words:?}: {others:?}");
    if !found.is_empty() {
        eprintln!("this machine: {found:?}");
    }
    found
}

/// With what was planted there is this one trouble more.
#[track_caller]
fn finds(before: &Names, found: &Names, name: &str) {
    let new: Names = found.difference(before).cloned().collect();
    assert_eq!(new, names(&[name]), "{found:?}");
}

fn secret(dir: &Dir, name: &str, text: &str) -> String {
    let file = dir.write(name, text);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

#[test]
fn settings_files_and_the_machine() {
    let _turn = beside_others();
    let dir = Dir::new();
    Pair::that_expires_in(90 * 86_400).write(&dir);
    fs::set_permissions(dir.file("tls.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let tls = ["--tls-cert", "tls.pem", "--tls-key", "tls.key"];
    let usual =
        [&["edge", "--snapshot", "edge.snapshot", "--clicks-spool-bytes", "1MiB"], &NOBODY[..]].concat();
    let edge = |more: &[&str]| doctor(&dir, &[&usual[..], &tls, more].concat());
    let before = sound(&dir, &[&usual[..], &tls].concat());
    let planted: [(&str, &[&str]); 5] = [
        ("control_in_clear", &["--control", "http://192.0.2.1:8081"]),
        ("workers_many", &["--workers", "1024"]),
        ("memory_short", &["--hot-set-bytes", "100000GiB"]),
        ("settings_refused", &["--proxy-protocol", "require"]),
        ("other_silent", &["--also", "127.0.0.1:1"]),
    ];
    for (name, words) in planted {
        finds(&before, &told(edge(words)), name);
    }
    let without = told(doctor(&dir, &[&["edge"], &NOBODY[..], &tls].concat()));
    finds(&before, &without, "no_snapshot");
    let in_memory = ["edge", "--snapshot", "/dev/shm/linkr-doctor", "--clicks-dir", "clicks"];
    let in_memory = [&in_memory[..], &["--clicks-spool-bytes", "1MiB"], &NOBODY, &tls].concat();
    finds(&before, &told(doctor(&dir, &in_memory)), "not_on_disk");
    let large = ["edge", "--snapshot", "edge.snapshot", "--clicks-spool-bytes", "1000000GiB"];
    finds(&before, &told(doctor(&dir, &[&large[..], &NOBODY, &tls].concat())), "spool_room");
    let few =
        format!("ulimit -n 1000; exec {LINKR} doctor -o json {}", [&usual[..], &tls].concat().join(" "));
    let mut shell = command("sh", dir.path());
    shell.args(["-c", &few]).env(IO_URING.0, IO_URING.1);
    if !before.contains("files_few") {
        finds(&before, &told(shell), "files_few");
    }
    if !before.contains("no_io_uring") {
        let mut forced = edge(&[]);
        forced.env(IO_URING.0, "1");
        finds(&before, &told(forced), "no_io_uring");
    }
    fs::set_permissions(dir.file("tls.key"), fs::Permissions::from_mode(0o644)).unwrap();
    finds(&before, &told(edge(&[])), "secret_readable");
    fs::set_permissions(dir.file("tls.key"), fs::Permissions::from_mode(0o600)).unwrap();
    Pair::that_expires_in(10 * 86_400).write(&dir);
    fs::set_permissions(dir.file("tls.key"), fs::Permissions::from_mode(0o600)).unwrap();
    finds(&before, &told(edge(&[])), "certificate_ends");
    Pair::that_expires_in(90 * 86_400).write(&dir);
    fs::set_permissions(dir.file("tls.key"), fs::Permissions::from_mode(0o600)).unwrap();
    dir.write("edge.snapshot.bad", "");
    finds(&before, &told(edge(&[])), "left_over");
    fs::remove_file(dir.file("edge.snapshot.bad")).unwrap();
    assert_eq!(told(edge(&[])), before, "all is as it was");
}

#[test]
fn the_settings_file_counts_as_for_the_server() {
    let _turn = beside_others();
    let dir = Dir::new();
    let words = [&["up", "--data-dir", "data"], &NOBODY[..]].concat();
    let before = sound(&dir, &words);
    dir.write("linkr.toml", "[up]\ninsecure = true\n");
    finds(&before, &told(doctor(&dir, &words)), "api_keyless");
    dir.write("linkr.toml", "[up]\ninsecure = true\napi = \"0.0.0.0:8081\"\n");
    finds(&before, &told(doctor(&dir, &words)), "api_open");
    fs::remove_file(dir.file("linkr.toml")).unwrap();
    fs::create_dir(dir.file("data")).unwrap();
    dir.write("data/linkr.db.new-00c0ffee", "half of a backup");
    finds(&before, &told(doctor(&dir, &words)), "left_over");
    // For people it is words, and a command that is no server is told so.
    let mut plain = command(LINKR, dir.path());
    let said = plain.args(["doctor"]).args(&words).output().unwrap();
    let said = text(&said.stdout);
    assert!(said.contains("left_over: data/linkr.db.new-00c0ffee was left"), "{said}");
    assert!(said.contains("it does not run"), "{said}");
    let other = command(LINKR, dir.path()).args(["doctor", "control", "mint-key"]).output().unwrap();
    assert_eq!(other.status.code(), Some(2), "{}", text(&other.stderr));
}

#[test]
fn a_disk_without_room() {
    let _turn = beside_others();
    let dir = Dir::new();
    let disk = match Disk::in_file(&dir.path().join("data")) {
        Err(fault @ ServerFault::Missing(_)) => return skip("a_disk_without_room", &fault.to_string()),
        disk => disk.unwrap(),
    };
    let words = [&["control", "--store", "sqlite:data/linkr.db"], &NOBODY[..]].concat();
    let before = sound(&dir, &words);
    let mut file = fs::File::create(dir.file("data/large")).unwrap();
    while file.write_all(&[0; 4096]).and_then(|()| file.sync_data()).is_ok() {}
    finds(&before, &told(doctor(&dir, &words)), "disk_full");
    drop((file, disk));
}

/// An admin listener of another version, for as long as somebody asks.
fn other_version() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let mut stream = stream.unwrap();
            // To the end of the head: who closes with something unread resets the connection.
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            let body = "linkr_build_info{version=\"0.0.1\",commit=\"old\"} 1\n";
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}");
        }
    });
    address
}

#[test]
fn halves_that_run() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let start = || {
        let mut control = command(LINKR, dir.path());
        control
            .args(["control", "--store", "sqlite:linkr.db"])
            .args(FREE_PORTS)
            .env("LINKR_INSECURE", "false");
        Linkr::start(control, &dir, &["api", "admin"])
    };
    let mut mint = command(LINKR, dir.path());
    mint.args(["control", "--store", "sqlite:linkr.db", "mint-key", "--scopes", "feed", "--edge", "fra-1"]);
    let key = text(&mint.output().unwrap().stdout);
    let mut server = start();
    secret(&own, "edge.key", &key);
    let url = format!("http://{}", server.api());
    let words = ["--name", "fra-1", "--control", &url, "--control-key-file", "edge.key"];
    let words =
        [&words[..], &["--snapshot", "edge.snapshot", "--clicks-spool-bytes", "1MiB", "--workers", "1"]]
            .concat();
    let mut edge = command(LINKR, own.path());
    edge.arg("edge").args(&words).args(["--unpinned", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    edge.env(IO_URING.0, IO_URING.1);
    let edge = Linkr::start(edge, &own, &["edge", "admin"]);
    until("all links", || (Connection::to(edge.admin()).ask("GET", "/readyz").status == 200).then_some(()));
    until("it to see", || edge.metric("linkr_edge_staleness_seconds").filter(|stale| *stale < 0.9));

    let (at_edge, at_control) = (edge.admin().to_string(), server.admin().to_string());
    let of_edge = [&["edge"], &words[..], &["--admin", &at_edge, "--also", &at_control]].concat();
    let before = sound(&own, &of_edge);
    let of_control = ["control", "--store", "sqlite:linkr.db", "--admin", &at_control, "--also", &at_edge];
    let before_control = sound(&dir, &of_control);

    let other = other_version().to_string();
    finds(
        &before_control,
        &told(doctor(&dir, &[&of_control[..5], &["--also", &other]].concat())),
        "version_differs",
    );
    if let Some(clock) = Clock::new(&own) {
        clock.set(7_200);
        let mut ahead = doctor(&own, &of_edge);
        clock.given_to(&mut ahead);
        finds(&before, &told(ahead), "clocks_apart");
    }
    // Control goes: the edge is blind.
    server.kill();
    drop(server);
    until("it to be blind", || edge.metric("linkr_edge_staleness_seconds").filter(|stale| *stale > 1.0));
    let alone = [&["edge"], &words[..], &["--admin", &at_edge]].concat();
    finds(&before, &told(doctor(&own, &alone)), "edge_blind");
}

#[test]
fn a_real_postgres() {
    let _turn = beside_others();
    let test = "doctor::a_real_postgres";
    let server = match Postgres::start(&[]) {
        Err(fault @ ServerFault::Missing(_)) => return skip(test, &fault.to_string()),
        server => server.unwrap(),
    };
    let Some(port) = server.port() else { return skip(test, "LINKR_TEST_POSTGRES is not set up anew") };
    let dir = Dir::new();
    server.create("linkr").unwrap();
    let roles =
        [("owner", "linkr_owner"), ("owner_password", "own"), ("app", "linkr_app"), ("app_password", "app")];
    server.script("linkr", &workspace().join("deploy/postgres-roles.sql"), &roles).unwrap();
    let (app, owner) = (secret(&dir, "app", "app"), secret(&dir, "own", "own"));
    let (store, direct) = (
        format!("postgres://linkr_app@127.0.0.1:{port}/linkr"),
        format!("postgres://linkr_owner@127.0.0.1:{port}/linkr"),
    );
    let passwords =
        ["--store-password-file", &app, "--store-direct", &direct, "--store-direct-password-file", &owner];
    let mint = [&["control", "--store", &store], &passwords[..], &["mint-key"]].concat();
    let made = command(LINKR, dir.path()).args(&mint).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let of = |store: &str| {
        let words = [&["control", "--store", store], &passwords[..], &NOBODY[..]].concat();
        told(doctor(&dir, &words))
    };
    let before = sound(&dir, &[&["control", "--store", &store], &passwords[..], &NOBODY[..]].concat());
    let two = format!("postgres://linkr_app@127.0.0.1:{port},127.0.0.1:1/linkr");
    finds(&before, &of(&two), "failover_loses");
    finds(&before, &of("postgres://linkr_app@127.0.0.1:1/linkr"), "store_unreachable");
    let reload = "SELECT pg_reload_conf()";
    let planted: [(&str, &[&str], &[&str]); 6] = [
        (
            "commits_unsynced",
            &["ALTER ROLE linkr_app SET synchronous_commit = local"],
            &["ALTER ROLE linkr_app SET synchronous_commit = on"],
        ),
        ("role_superuser", &["ALTER ROLE linkr_app SUPERUSER"], &["ALTER ROLE linkr_app NOSUPERUSER"]),
        (
            "database_unsafe",
            &["ALTER SYSTEM SET full_page_writes = off", reload],
            &["ALTER SYSTEM RESET full_page_writes", reload],
        ),
        // The second one would wait as well: it is not made to.
        (
            "commits_wait",
            &["ALTER SYSTEM SET synchronous_standby_names = 'nobody'", reload],
            &["ALTER SYSTEM RESET synchronous_standby_names", reload],
        ),
        (
            "tables_newer",
            &["INSERT INTO refinery_schema_history VALUES (99999, 'later', '2999-01-01T00:00:00Z', '1')"],
            &["DELETE FROM refinery_schema_history WHERE version = 99999"],
        ),
        (
            "tables_older",
            &[
                "CREATE TABLE last_step AS SELECT * FROM refinery_schema_history ORDER BY version DESC LIMIT 1",
                "DELETE FROM refinery_schema_history WHERE version = (SELECT version FROM last_step)",
            ],
            &["INSERT INTO refinery_schema_history SELECT * FROM last_step", "DROP TABLE last_step"],
        ),
    ];
    for (name, plant, mend) in planted {
        plant.iter().for_each(|sql| drop(server.psql("linkr", sql).unwrap()));
        let wanted: Names = before.union(&names(&[name])).cloned().collect();
        until(name, || (of(&store) == wanted).then_some(())); // the server reads its settings when it comes to it
        mend.iter().for_each(|sql| drop(server.psql("linkr", sql).unwrap()));
        until("it to be mended", || (of(&store) == before).then_some(()));
    }
}

/// A file that an earlier linkr left, one that nothing can read, and a folder in the place of the clicks.
#[test]
fn a_store_of_before() {
    let _turn = beside_others();
    let dir = Dir::new();
    let mut up = Linkr::up(&dir);
    up.ok(&dir, &["link", "create", "https://example.com/", "--code", "x"]);
    up.ask_to_stop();
    assert!(up.exited().success());
    let words = [&["up", "--data-dir", "data", "--clicks-spool-bytes", "1MiB"], &NOBODY[..]].concat();
    let before = sound(&dir, &words);
    let clicks = dir.file("data/linkr.db.clicks");
    let _ = fs::remove_file(&clicks); // the first batch makes it
    fs::create_dir(&clicks).unwrap(); // root opens every file, and no folder
    finds(&before, &told(doctor(&dir, &words)), "clicks_unusable");
    fs::remove_dir(&clicks).unwrap();
    let store = rusqlite::Connection::open(dir.file("data/linkr.db")).unwrap();
    let last = "DELETE FROM refinery_schema_history WHERE version = (SELECT max(version) FROM refinery_schema_history)";
    store.execute(last, []).unwrap();
    store.close().unwrap();
    finds(&before, &told(doctor(&dir, &words)), "tables_older");
    let said = text(&command(LINKR, dir.path()).arg("doctor").args(&words).output().unwrap().stdout);
    assert!(said.contains("hold 1 links: the next start changes them"), "{said}");
    dir.write("data/linkr.db", "no database");
    finds(&before, &told(doctor(&dir, &words)), "store_unreadable");
}

#[test]
fn a_real_redis() {
    let _turn = beside_others();
    let lines = [
        "maxmemory 64mb",
        "maxmemory-policy volatile-lru",
        "user other on >pw ~linkr:* +get +eval +ping +info",
    ];
    let redis = match Redis::start(&lines) {
        Err(fault @ ServerFault::Missing(_)) => return skip("doctor::a_real_redis", &fault.to_string()),
        redis => redis.unwrap(),
    };
    let dir = Dir::new();
    let of = |server: &str, url: &str| {
        let file = secret(&dir, "redis", url);
        let more = match server {
            "edge" => ["--snapshot", "edge.snapshot"],
            _ => ["--store", "sqlite:linkr.db"],
        };
        told(doctor(&dir, &[&[server, "--redis-file", &file], &more[..], &NOBODY].concat()))
    };
    let before = of("control", redis.url());
    let of_edge = of("edge", redis.url());
    for found in before.union(&of_edge) {
        assert!(OF_THIS_MACHINE.contains(&found.as_str()), "{found}");
    }
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).unwrap();
    finds(&before, &of("control", redis.url()), "redis_policy");
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    finds(&before, &of("control", redis.url()), "redis_unbounded");
    redis.cli(&["CONFIG", "SET", "maxmemory", "64mb", "maxmemory-policy", "volatile-lru"]).unwrap();
    let other = redis.url().replace("redis://", "redis://other:pw@");
    finds(&before, &of("control", &other), "redis_rights");
    finds(&of_edge, &of("edge", &other), "redis_rights");
    finds(&before, &of("control", "redis://127.0.0.1:1"), "redis_unreachable");
    assert_eq!(redis.cli(&["KEYS", "*"]).unwrap(), "", "nothing is written");
}
