//! Settings that could never do what they were given for, secrets that would be shown, and names that are none: told
//! before anything starts.

use crate::causes::says;
use crate::support::{Dir, FREE_PORTS, LINKR, Linkr, beside_others, command, text};
use std::fs;
use std::process::Output;
use std::time::{Duration, Instant};

fn run(dir: &Dir, words: &[&str], env: &[(&str, &str)]) -> Output {
    command(LINKR, dir.path()).args(words).envs(env.iter().copied()).output().unwrap()
}

#[test]
fn settings_without_an_effect_are_errors() {
    let _turn = beside_others();
    let dir = Dir::new();
    assert!(run(&dir, &["certs", "certs"], &[]).status.success());
    let postgres = "postgres://u@127.0.0.1:1/d";
    for (words, wanted) in [
        (
            &["up", "--more-schemes", "javascript"][..],
            &["--more-schemes", "javascript", "never a target"][..],
        ),
        (&["up", "--more-schemes", "JavaScript"], &["--more-schemes", "never a target"]),
        (&["up", "--more-schemes", "my app"], &["--more-schemes", "my app", "no scheme"]),
        (&["up", "--more-schemes", "myapp://"], &["--more-schemes", "without ://"]),
        (&["up", "--more-schemes", ""], &["--more-schemes"]),
        (&["up", "--more-schemes", "HTTPS"], &["--more-schemes", "allowed anyhow"]),
        (&["up", "--own-hosts", "https://go.example"], &["--own-hosts", "no host name"]),
        (&["up", "--own-hosts", "go.example:8080"], &["--own-hosts", "go.example:8080"]),
        (&["up", "--own-hosts", "go.example,a b"], &["--own-hosts", "a b"]),
        (&["up", "--own-hosts", "go.example/x"], &["--own-hosts", "go.example/x"]),
        (&["up", "--reserved-codes", "/admin"], &["--reserved-codes", "/admin"]),
        (&["up", "--reserved-codes", "robots.txt"], &["--reserved-codes", "reserved anyhow"]),
        (&["up", "--reserved-codes", "a b"], &["--reserved-codes", "a b"]),
        (&["up", "--redis-shards", "4"], &["--redis-shards", "there is none", "--redis"]),
        (&["edge", "--redis-ca", "certs/ca.pem"], &["--redis-ca", "there is none"]),
        (&["edge", "--redis", "redis://h", "--redis-ca", "certs/ca.pem"], &["--redis-ca", "rediss://"]),
        (&["up", "--hot-set-bytes", "1024"], &["--hot-set-bytes", "16KiB"]),
        (&["up", "--workers", "1025"], &["1025", "1024"]),
        (&["up", "--listen", "127.0.0.1:8082"], &["--admin and --listen are the same address"]),
        (&["up", "--api", "127.0.0.1:8080"], &["--api and --listen are the same address"]),
        (&["edge", "--admin", "127.0.0.1:8080"], &["--admin and --listen are the same address"]),
        (&["control", "--admin", "127.0.0.1:8081"], &["--admin and --api are the same address"]),
        (&["up", "--listen", "here"], &["--listen", "ADDRESS:PORT"]),
        (&["up", "--tls-key", "certs/server.key"], &["--tls-cert and --tls-key go together"]),
        (&["up", "--listen-tls", "127.0.0.1:0"], &["--listen-tls wants a certificate"]),
        (&["up", "--api-client-ca", "certs/ca.pem"], &["--api-tls-cert"]),
        (&["control", "--auto-fork"], &["--auto-fork is for PostgreSQL"]),
        (&["control", "--fenced"], &["--fenced is for PostgreSQL"]),
        (&["control", "--store-password-file", "f"], &["--store-password-file is for PostgreSQL"]),
        (&["control", "--store-direct", postgres], &["--store-direct is for PostgreSQL"]),
        (
            &["control", "--store", postgres, "--store-direct-password-file", "f"],
            &["--store-direct, which is not given"],
        ),
        (&["control", "--store", postgres, "--store-direct", "sqlite:x"], &["the same database as --store"]),
        (&["edge", "--control", "http://a:1,http://b:1,http://a:1/"], &["http://a:1/ twice"]),
        (&["edge", "--control", "http://a:1/api"], &["a path, which does nothing"]),
        (&["edge", "--control", "http://u:p@a:1"], &["a user name, which does nothing"]),
        (&["edge", "--control-ca", "certs/ca.pem"], &["--control-ca is for TLS", "https://"]),
        (&["edge", "--control-cert", "certs/server.pem"], &["--control-cert-key"]),
        (&["edge", "--snapshot", "none/edge.snapshot"], &["--snapshot", "no directory none"]),
        (&["edge", "--snapshot", "certs"], &["--snapshot", "certs is a directory"]),
        (&["edge", "--name", " "], &["--name"]),
        (&["edge", "--geo", "f"], &["--geo", "--clicks-dir", "--snapshot"]),
        (&["edge", "--ignore-clicks-from", "10.0.0.0/8"], &["--ignore-clicks-from", "--clicks-dir"]),
        (&["edge", "--clicks-spool-bytes", "1GiB"], &["--clicks-spool-bytes", "--clicks-dir"]),
        (&["edge", "--clicks-dir", "none/clicks"], &["--clicks-dir", "no directory none"]),
        (&["edge", "--clicks-dir", "certs/ca.pem"], &["--clicks-dir", "is a file"]),
        (&["up", "--clicks-spool-bytes", "1000"], &["--clicks-spool-bytes", "1MiB or more"]),
        (&["up", "--geo", "none.mmdb"], &["--geo none.mmdb", "no such file"]),
        (&["up", "--geo", "certs"], &["--geo certs is a directory"]),
        (&["up", "--ignore-clicks-from", "here"], &["--ignore-clicks-from", "10.0.0.0/8"]),
        (&["edge", "--control-key", "lk_x", "--control-key-file", "f"], &["cannot be used with"]),
        (&["link", "list", "--server", "http://a:1/v1"], &["a path, which does nothing"]),
        (&["link", "list", "--key", "lk_x", "--key-file", "f"], &["cannot be used with"]),
    ] {
        says(&run(&dir, words, &[]), wanted);
    }
    for command in ["edge", "up", "control"] {
        let divided = run(&dir, &[command], &[("LINKR_REDIS", "redis://u:p,w@127.0.0.1:1")]);
        says(&divided, &["--redis", "comma", "%2C"]);
    }
    for (file, wanted) in [
        ("[up]\nmore-schemes = [\"javascript\"]\n", &["linkr up", "never a target"][..]),
        ("[up]\napi-tls-cert = \"certs/server.pem\"\n", &["go together"]),
        ("[edge]\ncontrol = [\"http://a:1\", \"http://a:1\"]\n", &["linkr edge", "twice"]),
        ("[control]\nfenced = true\n", &["linkr control", "--fenced"]),
        ("[control]\nredis-shards = 3\n", &["--redis-shards"]),
        (
            "[edge]\nredis = \"redis://h\"\nredis-file = \"f\"\n",
            &["redis", "redis-file", "only one can count"],
        ),
    ] {
        dir.write("linkr.toml", file);
        says(&run(&dir, &["config", "check"], &[]), wanted);
    }
    fs::remove_file(dir.file("linkr.toml")).unwrap();
    for (filter, wanted) in [("verbose", "verbose"), ("linkr=debug,contrl=info", "contrl")] {
        says(
            &run(&dir, &["config", "check"], &[("LINKR_LOG", filter)]),
            &["LINKR_LOG", wanted, "debug", "control"],
        );
    }
    let good =
        [("LINKR_LOG", "warn,control::service=debug,edge[x]=trace"), ("LINKR_MORE_SCHEMES", "MyApp,web+x")];
    assert!(run(&dir, &["config", "check"], &good).status.success());
}

#[test]
fn a_scheme_is_allowed_in_any_case() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up_with(&dir, &[("LINKR_MORE_SCHEMES", "MyApp")]);
    let made = linkr.ok(&dir, &["link", "create", "myapp://open/1", "--code", "/app"]);
    assert!(made.contains("myapp://open/1"), "{made}");
    assert!(linkr.ok(&dir, &["link", "get", "app"]).contains("myapp://open/1"));
}

#[test]
fn names_of_the_environment_that_are_none() {
    let _turn = beside_others();
    let dir = Dir::new();
    let check = |env: &[(&str, &str)]| text(&run(&dir, &["config", "check"], env).stderr);
    let said = check(&[
        ("LINKR_HOTSET_BYTES", "1GiB"),
        ("LINKR_TEST_REDIS", "x"),
        ("LINKR_PORT", "tcp://10.0.0.1:80"),
    ]);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("LINKR_HOTSET_BYTES") && said.contains("LINKR_HOT_SET_BYTES was meant?"), "{said}");
    let linkr = Linkr::up_with(&dir, &[("LINKR_WORKER", "3")]);
    assert!(linkr.stderr().contains("LINKR_WORKERS was meant?"), "{}", linkr.stderr());
    let client = run(&dir, &["link", "list", "--server", &linkr.api().to_string()], &[("LINKR_SERVRE", "x")]);
    assert!(client.status.success() && text(&client.stderr).contains("LINKR_SERVER was meant?"));
}

/// Found by attack: what is refused was shown whole, and with it the password.
#[test]
fn a_refusal_shows_no_secret() {
    let _turn = beside_others();
    let dir = Dir::new();
    let control: &[&str] = &["control"];
    for (words, name, value) in [
        (control, "LINKR_STORE", "mysql://root:hunter2@h/d"),
        (control, "LINKR_STORE", "postgres:hunter2@h/d"),
        (control, "LINKR_REDIS", "redis:hunter2@h"),
        (&["config", "check"], "LINKR_STORE", "mysql://root:hunter2@h/d"),
        (&["config", "print"], "LINKR_STORE", "mysql://root:hunter2@h/d"),
        (&["edge"], "LINKR_CONTROL", "http://u:hunter2@h:1"),
        (&["link", "list"], "LINKR_SERVER", "http://u:hunter2@h:1"),
    ] {
        let refused = run(&dir, words, &[(name, value)]);
        let said = text(&refused.stdout) + &text(&refused.stderr);
        assert!(!refused.status.success() && !said.contains("hunter2"), "{name}={value}: {said}");
    }
    let file = dir.write("linkr.toml", "[control]\nstore = \"mysql://root:hunter2@h/d\"\n");
    let refused = run(&dir, &["control"], &[]);
    let said = text(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("store cannot be") && !said.contains("hunter2"),
        "{file}: {said}"
    );
}

#[test]
fn secrets_are_not_shown() {
    let _turn = beside_others();
    let dir = Dir::new();
    let env = [
        ("LINKR_REDIS", "redis://u:hunter2@h1,redis://u:hunter2@h2/3"),
        ("LINKR_STORE", "postgres://linkr:hunter2@db/linkr?sslmode=require"),
        ("LINKR_STORE_DIRECT", "postgres://owner:hunter2@db/linkr"),
        ("LINKR_KEY", "lk_hunter2"),
        ("LINKR_CONTROL_KEY", "lk_hunter2"),
    ];
    let printed = run(&dir, &["config", "print"], &env);
    let file = text(&printed.stdout);
    assert!(printed.status.success() && !file.contains("hunter2"), "{file}");
    for part in [
        "\nstore = \"postgres://linkr@db/linkr?sslmode=require\"\n",
        "# store-password-file = \"FILE\"",
        "\nstore-direct = \"postgres://owner@db/linkr\"\n",
        "# store-direct-password-file = \"FILE\"",
        "# redis-file = \"FILE\"",
    ] {
        assert!(file.contains(part), "{part:?} is not in:\n{file}");
    }
    dir.write("linkr.toml", &file);
    let checked = run(&dir, &["config", "check"], &[]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    for words in [&["up"][..], &["edge"], &["control"], &["link", "list"], &["keys", "create"], &["import"]] {
        let help = run(&dir, &[words, &["--help"]].concat(), &env);
        assert!(help.status.success() && !text(&help.stdout).contains("hunter2"), "{words:?}");
    }
    // What stands on a command line is read by everybody.
    let store = "postgres://u:hunter2@127.0.0.1:1/d";
    let said = text(&run(&dir, &[&["control", "--store", store][..], &FREE_PORTS].concat(), &[]).stderr);
    let first = said.lines().next().unwrap_or_default();
    assert!(
        first.contains("--store can be read by every user") && first.contains("--store-password-file"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
    let said =
        text(&run(&dir, &["link", "list", "--server", "127.0.0.1:1", "--key", "lk_hunter2"], &[]).stderr);
    assert!(said.contains("--key can be read by every user") && !said.contains("hunter2"), "{said}");
}

/// Found by attack: what reads this machine's authorities waited for the end of a pipe, and read a device until no memory
/// was left.
#[test]
fn authorities_that_do_not_end_are_told_and_not_waited_for() {
    let _turn = beside_others();
    let dir = Dir::new();
    let pipe = dir.file("pipe");
    assert!(command("mkfifo", dir.path()).arg(&pipe).status().unwrap().success());
    for file in [&*pipe, "/dev/zero"] {
        for words in [
            &["link", "list", "--server", "https://127.0.0.1:1", "--key", "lk_x"][..],
            &["control", "--redis", "rediss://127.0.0.1:1"],
            &["edge", "--redis", "rediss://127.0.0.1:1"],
        ] {
            let began = Instant::now();
            let done = run(&dir, words, &[("SSL_CERT_FILE", file)]);
            let said = text(&done.stderr);
            assert!(!done.status.success() && said.contains(file), "{words:?}: {said}");
            assert!(began.elapsed() < Duration::from_secs(20), "{words:?}: {:?}", began.elapsed());
        }
    }
}
