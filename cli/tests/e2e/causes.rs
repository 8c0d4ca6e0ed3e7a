//! Words that lead to the cause: what a person reads when a server, a store or a key is not what it should be. One line
//! each, with the way out, and nothing of the libraries below.

use crate::support::{Dir, FREE_PORTS, LINKR, Linkr, beside_others, command, has, skip, text, until};
use crate::tls::Certificate;
use services::{Postgres, ServerFault};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// What our libraries say among themselves.
const JARGON: [&str; 12] = [
    "transport error",
    "h2 protocol",
    "http2 error",
    "Status {",
    "status:",
    "Kind(",
    "Error {",
    "db error",
    "tonic",
    "hyper",
    "error connecting",
    "os error",
];

#[track_caller]
pub fn says(done: &Output, wanted: &[&str]) -> String {
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    for part in wanted {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    for word in JARGON {
        assert!(!said.contains(word), "{word:?} is in: {said}");
    }
    said
}

fn run(dir: &Dir, words: &[&str]) -> Output {
    command(LINKR, dir.path()).args(words).output().unwrap()
}

fn postgres(test: &str) -> Option<Postgres> {
    match Postgres::start(&["fsync=off"]) {
        Ok(server) if server.port().is_some() => Some(server),
        Ok(_) => {
            skip(test, "LINKR_TEST_POSTGRES is somebody else's server");
            None
        }
        Err(fault @ ServerFault::Missing(_)) => {
            skip(test, &fault.to_string());
            None
        }
        Err(fault) => panic!("{fault}"),
    }
}

/// Without its password, which goes into a file.
fn bare(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (user, host) = rest.split_once('@').unwrap();
    format!("{scheme}://{}@{host}", user.split(':').next().unwrap())
}

#[test]
fn a_first_start_on_postgres() {
    let _turn = beside_others();
    let Some(server) = postgres("a_first_start_on_postgres") else { return };
    let (dir, place) = (Dir::new(), format!("127.0.0.1:{}", server.port().unwrap()));
    let roles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/postgres-roles.sql");
    server.create("linkr").unwrap();
    let set =
        [("owner", "linkr_owner"), ("owner_password", "own"), ("app", "linkr_app"), ("app_password", "app")];
    server.script("linkr", &roles, &set).unwrap();
    for (name, secret) in
        [("secret", "secret\n"), ("own", "own"), ("app", "\u{feff}app\r\n"), ("wrong", "no\n")]
    {
        let file = dir.write(name, secret);
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let start = |role: &str, at: &str, more: &[&str]| {
        let store = format!("postgres://{role}@{at}");
        run(&dir, &[&["control", "--store", &store], more, &FREE_PORTS].concat())
    };
    let at = |database: &str| format!("{place}/{database}");
    let secret = ["--store-password-file", "secret"];
    says(&start("postgres", &at("none"), &secret), &["no database 'none'", "CREATE DATABASE", "--store"]);
    let wrong = ["--store-password-file", "wrong"];
    says(
        &start("postgres", &at("linkr"), &wrong),
        &["refuses the role 'postgres'", "password", "--store-password-file"],
    );
    says(&start("nobody", &at("linkr"), &wrong), &["refuses the role 'nobody'", "deploy/postgres-roles.sql"]);
    says(
        &start("postgres", &at("linkr"), &[]),
        &["asks for a password", "'postgres'", "--store-password-file"],
    );
    says(
        &start("postgres", "127.0.0.1:1/linkr", &secret),
        &["127.0.0.1:1", "connection refused", "is PostgreSQL running"],
    );
    says(
        &start("postgres", "no-such-host.invalid/linkr", &secret),
        &["no-such-host.invalid", "not known", "--store"],
    );
    let tls = format!("{}?sslmode=require", at("linkr"));
    says(&start("postgres", &tls, &secret), &["speaks no TLS", "sslmode", "--store"]);

    // Without an owner the tables cannot be made; with one they are, and the password of each stands in its own file.
    let app = ["--store-password-file", "app"];
    says(
        &start("linkr_app", &at("linkr"), &app),
        &["'linkr_app'", "deploy/postgres-roles.sql", "--store-direct", "CREATE"],
    );
    let direct = format!("postgres://linkr_owner@{}", at("linkr"));
    let owner = |file| ["--store-direct", &direct, "--store-direct-password-file", file];
    says(
        &start("linkr_app", &at("linkr"), &[&app[..], &owner("wrong")].concat()),
        &["refuses the role 'linkr_owner'", "--store-direct-password-file"],
    );
    let store = format!("postgres://linkr_app@{}", at("linkr"));
    let mut good = command(LINKR, dir.path());
    good.args(["control", "--store", &store]).args(app).args(owner("own")).args(FREE_PORTS);
    drop(Linkr::start(good, &dir, &["store", "api"]));
    assert!(!fs::read_to_string(dir.file("stderr")).unwrap().contains("others may read"));

    server.psql("linkr", "ALTER ROLE linkr_app SET synchronous_commit = off").unwrap();
    says(
        &start("linkr_app", &at("linkr"), &app),
        &["synchronous_commit is off", "SET synchronous_commit = on"],
    );
    server
        .psql(
            "linkr",
            "ALTER ROLE linkr_app RESET synchronous_commit; ALTER ROLE linkr_app SET synchronous_commit = on",
        )
        .unwrap();
    server.psql("linkr", "REVOKE SELECT ON log_head FROM linkr_app").unwrap();
    says(&start("linkr_app", &at("linkr"), &app), &["permission denied", "log_head"]);

    server.psql("linkr", "UPDATE refinery_schema_history SET version = 99 WHERE version = 2").unwrap();
    says(
        &start("linkr_app", &at("linkr"), &app),
        &["written by a newer linkr (schema 99, this one knows", "start that version, or restore the backup"],
    );
}

#[test]
fn certificates_of_postgres() {
    let _turn = beside_others();
    let Some(mut server) = postgres("certificates_of_postgres") else { return };
    let dir = Dir::new();
    let (own, other) = (
        Certificate::write(&dir, "server", &["localhost"]),
        Certificate::write(&dir, "other", &["localhost"]),
    );
    // By its own hand: the server reads only what belongs to it.
    for (file, path) in [("server.key", own.key()), ("server.crt", own.cert())] {
        let pem = fs::read_to_string(path).unwrap();
        let lines = format!("regexp_split_to_table('{}', E'\\n')", pem.trim());
        let copy = format!("COPY (SELECT {lines}) TO PROGRAM 'umask 077; cat > {file}'");
        server.psql("postgres", &copy).unwrap();
    }
    server.psql("postgres", "ALTER SYSTEM SET ssl = on").unwrap();
    server.stop().unwrap();
    server.start_again().unwrap();
    server.create("linkr").unwrap();
    let port = server.port().unwrap();
    fs::set_permissions(dir.write("secret", "secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let start = |host: &str, ca: &str| {
        let store = format!("postgres://postgres@{host}:{port}/linkr?sslmode=verify-full&sslrootcert={ca}");
        let words = ["control", "--store", &store, "--store-password-file", "secret"];
        run(&dir, &[&words[..], &FREE_PORTS].concat())
    };
    says(&start("localhost", other.cert()), &["authority that is not trusted", "sslrootcert=FILE"]);
    says(&start("127.0.0.1", own.cert()), &["another name", "--store"]);
    says(&start("localhost", "none.pem"), &["none.pem"]);
}

#[test]
fn tables_of_another_linkr() {
    let _turn = beside_others();
    let dir = Dir::new();
    let mint = |file: &str| run(&dir, &["control", "--store", &format!("sqlite:{file}"), "mint-key"]);
    for (file, change, wanted) in [
        (
            "newer.db",
            "UPDATE refinery_schema_history SET version = 99 WHERE version = 2",
            &["written by a newer linkr (schema 99, this one knows", "restore the backup"][..],
        ),
        (
            "other.db",
            "UPDATE refinery_schema_history SET checksum = '7' WHERE version = 2",
            &["another program or an unreleased linkr", "step 2"],
        ),
    ] {
        assert!(mint(file).status.success());
        rusqlite::Connection::open(dir.path().join(file)).unwrap().execute(change, []).unwrap();
        says(&mint(file), &[&[file][..], wanted].concat());
    }
    dir.write("text.db", "this is no database, and long enough to be taken for a page of one: ".repeat(20));
    says(&mint("text.db"), &["text.db", "not a database"]);
}

#[test]
fn servers_that_are_another() {
    let _turn = beside_others();
    let (dir, other) = (Dir::new(), Dir::new());
    for dir in [&dir, &other] {
        assert!(run(dir, &["certs", "certs", "--host", "127.0.0.1"]).status.success());
    }
    let plain = Linkr::up(&dir);
    let mut secured = command(LINKR, other.path());
    secured.args(["control", "--store", "sqlite:links.db", "--api-tls-cert", "certs/server.pem"]);
    secured.args(["--api-tls-key", "certs/server.key"]).args(FREE_PORTS);
    let secured = Linkr::start(secured, &other, &["api", "admin"]);
    let ask = |url: &str, more: &[&str]| run(&dir, &[&["link", "get", "x", "--server", url], more].concat());
    let (tls, api) = (secured.api().to_string(), plain.api().to_string());

    let https = format!("https://{tls}");
    says(
        &ask(&https, &["--server-ca", "certs/ca.pem"]),
        &["authority that is not trusted", "--server-ca", &tls],
    );
    says(&ask(&https, &[]), &["authority that is not trusted", "--server-ca"]);
    let named = format!("https://localhost:{}", secured.api().port());
    let ca = other.file("certs/ca.pem");
    says(&ask(&named, &["--server-ca", &ca]), &["another name", "linkr certs DIR --host"]);
    says(&ask(&format!("http://{tls}"), &[]), &["speaks TLS only", &format!("https://{tls}")]);
    says(
        &ask(&format!("https://{api}"), &["--server-ca", &ca]),
        &["speaks no TLS", &format!("http://{api}")],
    );
    says(&ask(&https, &["--server-ca", "none.pem"]), &["none.pem"]);
    let empty = dir.write("empty.pem", "");
    says(&ask(&https, &["--server-ca", &empty]), &["empty.pem", "it is empty"]);
    says(&ask("http://no-such-host.invalid:1", &[]), &["no-such-host.invalid", "not known", "--server"]);
    for listener in [plain.edge(), plain.admin()] {
        says(
            &ask(&format!("http://{listener}"), &[]),
            &["a linkr API", "redirect or the admin port", "--server"],
        );
    }

    // What an edge says of the same.
    let edge = |url: &str, more: &[&str], reason: &str, wanted: &[&str]| {
        let dir = Dir::new();
        let mut edge = command(LINKR, dir.path());
        edge.args(["edge", "--control", url, "--workers", "1", "--unpinned", "--listen", "127.0.0.1:0"]);
        edge.args(["--admin", "127.0.0.1:0"]).args(more);
        let edge = Linkr::start(edge, &dir, &["edge"]);
        let line = until("the line of an edge that cannot follow", || {
            edge.stderr().lines().find(|line| line.contains("control cannot be followed")).map(str::to_owned)
        });
        assert!(line.contains(reason) && wanted.iter().all(|part| line.contains(part)), "{line}");
        assert!(JARGON.iter().all(|word| !line.contains(word)), "{line}");
    };
    let own = dir.file("certs/ca.pem");
    edge(&https, &["--control-ca", &own], "unknown_authority", &["--control-ca"]);
    edge(&format!("http://{tls}"), &[], "wants_tls", &["https://"]);
    edge(&format!("https://{api}"), &["--control-ca", &own], "no_tls", &["http://"]);
    edge(&format!("http://{}", plain.edge()), &[], "other_protocol", &["no linkr API"]);
}

/// Ends with the test.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nginx_that_answers_where_linkr_is_expected() {
    let _turn = beside_others();
    if !has("nginx") {
        return skip("nginx_that_answers_where_linkr_is_expected", "nginx is not installed");
    }
    let dir = Dir::new();
    let [plain, proxy, dead] = [(); 3].map(|()| services::free_port().unwrap());
    let config = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr;\nevents {{}}\nhttp {{\n access_log off;\n\
         client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;\n\
         server {{ listen 127.0.0.1:{plain}; return 404; }}\n\
         server {{ listen 127.0.0.1:{proxy} http2; location / {{ grpc_pass grpc://127.0.0.1:{dead}; }} }}\n}}\n"
    );
    let config = dir.write("nginx.conf", config);
    let mut nginx = Command::new("nginx");
    nginx.args(["-p", dir.path().to_str().unwrap(), "-c", &config, "-e", "stderr"]);
    let _nginx = Nginx(nginx.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    until("nginx to listen", || std::net::TcpStream::connect(("127.0.0.1", plain)).ok());
    let ask = |port: u16| run(&dir, &["link", "list", "--server", &format!("http://127.0.0.1:{port}")]);
    says(&ask(plain), &["is not a linkr API", "another server", "--server"]);
    says(&ask(proxy), &["a proxy at", "502", "does not reach linkr"]);
}

#[test]
fn a_store_that_is_down_while_linkr_runs() {
    let _turn = beside_others();
    let Some(mut server) = postgres("a_store_that_is_down_while_linkr_runs") else { return };
    let dir = Dir::new();
    let url = bare(&server.create("linkr").unwrap());
    fs::set_permissions(dir.write("secret", "secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut control = command(LINKR, dir.path());
    control.args(["control", "--store", &url, "--store-password-file", "secret"]).args(FREE_PORTS);
    let linkr = Linkr::start(control, &dir, &["api", "admin"]);
    linkr.ok(&dir, &["link", "create", "https://example.com/", "--code", "x"]);
    server.stop().unwrap();
    let said = says(
        &linkr.run(&dir, &["link", "get", "x"]),
        &["the store does not answer", "nothing listens", "STORE_UNAVAILABLE"],
    );
    assert!(said.contains("linkr at http") && said.contains("try again"), "{said}");
    server.start_again().unwrap();
    until("the store to be found again", || {
        linkr.run(&dir, &["link", "get", "x"]).status.success().then_some(())
    });
}

#[test]
fn keys_that_open_nothing() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up_with_keys(&dir);
    let url = format!("http://{}", linkr.api());
    let ask = |file: &str| run(&dir, &["link", "list", "--server", &url, "--key-file", file]);
    let good = fs::read_to_string(dir.file("linkr-data/admin.key")).unwrap();

    says(&ask("none.key"), &["none.key", "No such file", "--key-file"]);
    dir.write("empty.key", "\n");
    says(&ask("empty.key"), &["empty.key is empty", "hold a key"]);
    dir.write("words.key", "correct horse battery staple");
    says(&ask("words.key"), &["words.key holds no key", "lk_"]);
    let other = dir.write("other.key", good.trim().chars().rev().collect::<String>().replace("_kl", ""));
    dir.write("other.key", format!("lk_{}", fs::read_to_string(&other).unwrap()));
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    says(&ask("other.key"), &["other.key", "--key-file", "mint-key"]);
    let away = Dir::new();
    let folder = away.path().file_name().unwrap().to_str().unwrap();
    let looked = format!("{folder}/linkr-data/admin.key is found: set LINKR_DATA_DIR to the --data-dir");
    let wanted = [&*looked, "--key-file", "LINKR_KEY_FILE", "mint-key"];
    says(&run(&away, &["link", "list", "--server", &url]), &wanted);

    // As Windows writes it, and open to others: it is told, and taken.
    dir.write("open.key", format!("\u{feff}{}\r\n", good.trim()));
    fs::set_permissions(dir.file("open.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let done = ask("open.key");
    let said = text(&done.stderr);
    assert!(done.status.success() && said.contains("others may read it: chmod 600 open.key"), "{said}");

    // The way back when it is lost: the next start makes another.
    drop(linkr);
    fs::write(dir.file("linkr-data/admin.key"), "").unwrap();
    let linkr = Linkr::up_with_keys(&dir);
    assert!(run(&dir, &["link", "list", "--server", &format!("http://{}", linkr.api())]).status.success());
}

#[test]
fn keys_and_certificates_that_are_good_no_longer() {
    let _turn = beside_others();
    let dir = Dir::new();
    let certs = ["certs", "certs", "--host", "127.0.0.1", "--edge", "two"];
    assert!(run(&dir, &certs).status.success());
    let store = ["control", "--store", "sqlite:links.db"];
    dir.write("admin.key", run(&dir, &[&store[..], &["mint-key"]].concat()).stdout);
    let mut control = command(LINKR, dir.path());
    control.args(store).args(FREE_PORTS).env("LINKR_INSECURE", "false");
    control.args(["--api-tls-cert", "certs/server.pem", "--api-tls-key", "certs/server.key"]);
    control.args(["--api-client-ca", "certs/ca.pem"]);
    let control = Linkr::start(control, &dir, &["api", "admin"]);
    let url = format!("https://{}", control.api());
    let at = ["--server", &url, "--server-ca", "certs/ca.pem"];
    let asked = |key: &str, words: &[&str]| run(&dir, &[words, &at, &["--key-file", key]].concat());
    let ok = |words: &[&str]| {
        let done = asked("admin.key", words);
        assert!(done.status.success(), "{words:?}: {}", text(&done.stderr));
        text(&done.stdout)
    };
    ok(&["link", "create", "https://a.example/", "--code", "x"]);
    dir.write("one.key", ok(&["keys", "create", "edges", "--scopes", "feed", "--edge", "one"]));
    let edge = |name: &str, words: &[&str]| {
        let (mut edge, own) = (command(LINKR, dir.path()), Dir::new());
        edge.args([
            "edge",
            "--control",
            &url,
            "--control-ca",
            "certs/ca.pem",
            "--name",
            name,
            "--workers",
            "1",
        ]);
        edge.args(["--unpinned", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).args(words);
        let edge = Linkr::start(edge, &own, &["edge", "admin"]);
        until("the redirect", || (edge.get("/x").location() == "https://a.example/").then_some(()));
        (edge, own)
    };
    let by_key = edge("one", &["--control-key-file", "one.key"]);
    let by_certificate =
        edge("two", &["--control-cert", "certs/two.pem", "--control-cert-key", "certs/two.key"]);

    let listed = ok(&["keys", "list"]);
    let id = listed.lines().find(|line| line.contains(" edges ")).unwrap().split(' ').next().unwrap();
    ok(&["keys", "revoke", id]);
    ok(&["keys", "revoke", "edge:two"]);
    let line = |server: &Linkr, parts: &[&str]| {
        until(&format!("a line with {parts:?}"), || {
            let said = server.stderr();
            let found = said.lines().find(|line| parts.iter().all(|part| line.contains(part)));
            assert!(JARGON.iter().all(|word| !said.contains(word)), "{said}");
            found.map(str::to_owned)
        })
    };
    for (edge, name) in [(&by_key.0, "one"), (&by_certificate.0, "two")] {
        let way_out = ["--control-key-file", "linkr keys create"];
        let cause = ["control cannot be followed", "revoked"];
        line(edge, &[&cause[..], &way_out].concat());
        line(&control, &["key_refused", &format!("edge={name}"), "was revoked", "linkr keys create"]);
    }

    let soon = Command::new("date").args(["-u", "-d", "+2 seconds", "+%FT%TZ"]).output().unwrap();
    let soon = text(&soon.stdout).trim().to_owned();
    let short = ok(&["keys", "create", "short", "--scopes", "links:read", "--expire-time", &soon]);
    fs::set_permissions(dir.write("short.key", short), fs::Permissions::from_mode(0o600)).unwrap();
    let refused = until("the key to expire", || {
        let done = asked("short.key", &["link", "get", "x"]);
        (!done.status.success()).then_some(done)
    });
    says(&refused, &["the key has expired", "short.key", "--key-file", "mint-key"]);
    line(&control, &["key_refused", "the key has expired"]);
}
