//! The store as it is run: a role without more rights than it needs, behind a PgBouncer, over TLS.

use super::contract::{create, suite};
use super::postgres::{self, Database};
use std::path::Path;
use std::process::Command;
use store::port::Repository;
use store::postgres::{Options, Postgres};

const ROLES: [(&str, &str); 2] = [("linkr_owner", "one"), ("linkr_app", "two")];

/// The roles that are shipped, in this database.
fn with_roles(db: &Database) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/postgres-roles.sql");
    let [(owner, owner_password), (app, app_password)] = ROLES;
    let variables =
        [("owner", owner), ("owner_password", owner_password), ("app", app), ("app_password", app_password)];
    db.server.script(&db.name, &script, &variables).unwrap();
}

fn url(db: &Database, role: usize) -> String {
    db.server.url_as(ROLES[role].0, ROLES[role].1, &db.name)
}

#[test]
fn the_contract_holds_for_a_role_with_few_rights_behind_a_pgbouncer() {
    let Some(first) = Database::new() else { return };
    if first.server.port().is_none() {
        return println!("SKIPPED: LINKR_TEST_POSTGRES gets no PgBouncer");
    }
    let bouncer = match services::PgBouncer::start(&first.server, &ROLES) {
        Ok(bouncer) => bouncer,
        Err(fault @ services::ServerFault::Missing(_)) => return println!("SKIPPED: {fault}"),
        Err(fault) => panic!("{fault}"),
    };
    suite(|case| {
        let db = Database::new().unwrap();
        with_roles(&db);
        let url_of_app = bouncer.url(ROLES[1].0, &db.name);
        let options = Options { url: url_of_app, direct: Some(url(&db, 0)), ..Options::default() };
        case(&Postgres::open(&options).unwrap());
    });
    // Several at once on its three connections: no statement may rely on an earlier one's connection.
    with_roles(&first);
    let options = Options {
        url: bouncer.url(ROLES[1].0, &first.name),
        direct: Some(url(&first, 0)),
        ..Options::default()
    };
    let writers: Vec<_> = (0..6)
        .map(|n| {
            let store = Postgres::open(&options).unwrap();
            std::thread::spawn(move || {
                for i in 0..50 {
                    store.commit(&[create(&format!("{n}/{i}"))], 1).unwrap();
                    store.records(&[]).unwrap();
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(first.sql("SELECT count(*), max(seq) FROM change_log"), "300|300");
}

#[test]
fn the_role_can_change_no_table_and_a_password_may_come_from_elsewhere() {
    let Some(db) = Database::new() else { return };
    with_roles(&db);
    drop(Postgres::open(&Options { url: url(&db, 0), ..Options::default() }).unwrap());
    // Once the tables are there no other role is needed.
    let without = url(&db, 1).replace(":two@", "@");
    let password = |text: &str| Some(text.to_owned());
    let open = |password| Postgres::open(&Options { url: without.clone(), password, ..Options::default() });
    let store = open(password("two")).unwrap();
    assert_eq!(store.commit(&[create("a")], 1).unwrap().head.seq, 1);
    assert!(open(password("wrong")).unwrap_err().contains("password"));
    for forbidden in
        ["DROP TABLE links", "TRUNCATE change_log", "CREATE TABLE x ()", "ALTER TABLE links ADD x int"]
    {
        let refused = Command::new("psql").args(["-Xqc", forbidden, &url(&db, 1)]).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("permission denied") || said.contains("must be owner"), "{forbidden}: {said}");
    }
}

#[test]
fn over_tls_who_answers_is_looked_at() {
    let Ok(openssl) = services::program("openssl", &[]) else {
        return println!("SKIPPED: openssl is not installed");
    };
    let folder = super::world::Folder::new();
    let (key, certificate) = (folder.db().with_file_name("key"), folder.db().with_file_name("crt"));
    let words =
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext"];
    let names = ["subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout"];
    let made = Command::new(openssl)
        .args(words)
        .args(names)
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let Some(mut server) = postgres::server(&["fsync=off"]) else { return };
    if server.port().is_none() {
        return println!("SKIPPED: LINKR_TEST_POSTGRES gets no certificate");
    }
    // By its own hand: the server reads only what belongs to it.
    for (file, text) in [("server.key", &key), ("server.crt", &certificate)] {
        let text = std::fs::read_to_string(text).unwrap();
        let copy = format!(
            "COPY (SELECT regexp_split_to_table('{}', E'\\n')) TO PROGRAM 'umask 077; cat > {file}'",
            text.trim()
        );
        server.psql("postgres", &copy).unwrap();
    }
    server.psql("postgres", "ALTER SYSTEM SET ssl = on").unwrap();
    server.stop().unwrap();
    server.start_again().unwrap();
    let url = server.create("tls").unwrap().replace("127.0.0.1", "localhost");
    let open = |more: &str| Postgres::open(&Options { url: format!("{url}?{more}"), ..Options::default() });
    let full = format!("sslmode=verify-full&sslrootcert={}", certificate.display());
    for good in ["sslmode=require", &full] {
        let store = open(good).unwrap();
        let sql = "SELECT count(*) > 0 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND datname = 'tls'";
        assert_eq!(server.psql("tls", sql).unwrap(), "t", "{good}");
        store.close();
    }
    let other = url.replace("localhost", "127.0.0.1");
    let refused =
        Postgres::open(&Options { url: format!("{other}?{full}"), ..Options::default() }).unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
}
