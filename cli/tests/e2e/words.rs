//! Habits: what people type, paste and forget is taken where it is clear, and named where it is not.

use crate::support::{Connection, Dir, LINKR, Linkr, beside_others, bounded, command, has, skip, text};
use std::process::Output;
use std::time::{Duration, SystemTime};

#[track_caller]
fn refused(done: &Output, wanted: &[&str]) {
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    for part in wanted {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}

/// `link delete` with several codes deletes all of one domain, or none.
#[test]
fn several_links_are_deleted_at_once() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    for code in ["a", "b", "c"] {
        linkr.ok(&dir, &["link", "create", "https://a.example/", "--code", code]);
    }
    refused(&linkr.run(&dir, &["link", "delete", "a", "none"]), &["none", "NOT_FOUND"]);
    refused(&linkr.run(&dir, &["link", "delete", "a", "b", "--etag", "1"]), &["--etag", "one code"]);
    linkr.ok(&dir, &["domain", "create", "go.example"]);
    let elsewhere = linkr.run(&dir, &["link", "delete", "c", "https://go.example/x"]);
    refused(&elsewhere, &["one domain", "x is of go.example"]);
    let said = linkr.ok(&dir, &["link", "delete", "a", "/b", "a", "--ack", "propagated"]);
    for line in ["a  https://a.example/  (deleted)\n", "b  https://a.example/  (deleted)\n", "applied_by "] {
        assert!(said.contains(line), "{line:?} is not in: {said}");
    }
    assert_eq!(["/a", "/b", "/c"].map(|path| linkr.get(path).status), [410, 410, 302]);
}

/// R4: what a browser shows of a link is its path or its address.
#[test]
fn a_link_is_named_by_its_code_its_path_or_its_address() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up_with(&dir, &[("LINKR_BASE_URL", "https://s.example")]);
    linkr.ok(&dir, &["domain", "create", "go.example"]);
    let code = |words: &[&str]| {
        let told = linkr.ok(&dir, &[words, &["-o", "json"]].concat());
        let link: serde_json::Value = serde_json::from_str(&told).unwrap();
        format!("{}/{}", link["domain"].as_str().unwrap(), link["code"].as_str().unwrap())
    };
    assert_eq!(code(&["link", "create", "https://a.example/", "--code", "/promo"]), "-/promo");
    let address = "https://go.example/promo";
    assert_eq!(code(&["link", "create", "https://b.example/", "--code", address]), "go.example/promo");
    for (named, want) in [
        ("/promo", "-/promo"),
        (address, "go.example/promo"),
        ("http://GO.example:8080/promo?a=1", "go.example/promo"),
        // Its own address, as it shows it, although the default domain has no host.
        ("https://s.example/promo", "-/promo"),
    ] {
        assert_eq!(code(&["link", "get", named]), want, "{named}");
    }
    assert_eq!(code(&["link", "update", address, "--title", "t"]), "go.example/promo");
    assert_eq!(code(&["link", "delete", address]), "go.example/promo");
    assert_eq!(code(&["link", "undelete", address]), "go.example/promo");
    linkr.ok(&dir, &["link", "history", address]);
    assert!(linkr.ok(&dir, &["link", "check", address]).contains("taken"));
    let filter = ["link", "list", "--filter", "code = \"/promo\""];
    assert!(linkr.ok(&dir, &filter).starts_with("promo  https://a.example/"));

    refused(
        &linkr.run(&dir, &["link", "get", "https://other.example/promo"]),
        &["other.example", "no domain", "promo"],
    );
    let both = ["link", "get", address, "--domain", "x.example"];
    refused(&linkr.run(&dir, &both), &["go.example", "x.example", "leave one of them out"]);
    refused(&linkr.run(&dir, &["link", "get", "https://go.example/"]), &["without a code"]);

    let mut api = Connection::to(linkr.api());
    let mut call = |method: &str, path: &str, body: &str| api.call(method, path, body).unwrap().unwrap();
    let made = call("POST", "/v1/links", r#"{"target":"https://a.example/","code":"/slash"}"#);
    assert_eq!((made.status, made.field("location")), (201, Some("/v1/domains/-/links/slash")), "{made:?}");
    assert_eq!(call("GET", "/v1/links//slash", "").status, 200);
    let whole = call("POST", "/v1/links", r#"{"target":"https://a.example/","code":"https://go.example/x"}"#);
    assert!(whole.status == 400 && whole.body.contains("give the code alone, here x"), "{whole:?}");
    let hidden = call("POST", "/v1/links", "{\"target\":\"https://a.example/\",\"code\":\"\u{200b}x\"}");
    assert!(hidden.status == 400 && hidden.body.contains("U+200B"), "{hidden:?}");
    let batch = call("POST", "/v1/links:batchDelete", r#"{"requests":[{"code":"/slash"}]}"#);
    assert_eq!(batch.status, 200, "{batch:?}");
}

/// R6.
#[test]
fn a_moment_may_be_so_long_from_now_and_one_that_is_past_is_told() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let expires = |code: &str| {
        let told = linkr.ok(&dir, &["link", "get", code, "-o", "json"]);
        let link: serde_json::Value = serde_json::from_str(&told).unwrap();
        let time: prost_types::Timestamp = link["expire_time"].as_str().unwrap().parse().unwrap();
        SystemTime::try_from(time).unwrap()
    };
    let day = Duration::from_secs(86_400);
    for (code, given, days) in [("a", "30d", 30), ("b", "+30d", 30), ("c", "2w", 14), ("d", "24h", 1)] {
        let before = SystemTime::now() - Duration::from_secs(1); // it is cut to whole seconds
        linkr.ok(&dir, &["link", "create", "https://a.example/", "--code", code, "--expire-time", given]);
        let (from, to) = (before + days * day, SystemTime::now() + days * day);
        assert!((from..=to).contains(&expires(code)), "{given}");
    }
    let past = ["link", "update", "a", "--expire-time", "2020-01-31T12:00+02:00"];
    let done = linkr.run(&dir, &past);
    let said = text(&done.stderr);
    assert!(done.status.success() && said.contains("--expire-time 2020-01-31T10:00:00Z is past"), "{said}");
    assert!(said.contains("410"), "{said}");
    let shown = linkr.ok(&dir, &["link", "get", "a"]);
    assert!(shown.contains("2020-01-31T10:00:00Z"), "{shown}");
    let retried = ["link", "update", "a", "--expire-time", "30d", "--request-id", "x"];
    refused(&linkr.run(&dir, &retried), &["--request-id", "give a time"]);
    let month = ["link", "update", "a", "--expire-time", "1mo"];
    refused(&linkr.run(&dir, &month), &["--expire-time", "30d (units: s, m for minutes, h, d, w)"]);
    refused(&linkr.run(&dir, &["link", "restore", "a", "--time", "2h"]), &["--time", "write -2h"]);
    refused(&linkr.run(&dir, &["link", "restore", "a", "--time", "-2h"]), &["a"]); // it was not there yet
    linkr.ok(&dir, &["keys", "create", "k", "--scopes", "links:read", "--expire-time", "90d"]);
}

#[test]
fn an_empty_value_is_refused_wherever_it_stands() {
    let _turn = beside_others();
    let dir = Dir::new();
    let run = |words: &[&str], env: &[(&str, &str)]| {
        command(LINKR, dir.path()).args(words).envs(env.iter().copied()).output().unwrap()
    };
    for (words, flag) in [
        (&["link", "create", "https://a.example/", "--code", ""][..], "--code"),
        (&["link", "create", "https://a.example/", "--title", ""], "--title"),
        (&["link", "update", "a", "--title", ""], "--clear title"),
        (&["control", "--store", ""], "--store"),
        (&["up", "--redis", ""], "--redis"),
    ] {
        refused(&run(words, &[]), &[flag, "is empty"]);
    }
    for name in ["LINKR_API", "LINKR_KEY", "LINKR_STORE", "LINKR_REDIS", "LINKR_SERVER"] {
        let how = format!("unset {name}");
        refused(&run(&["up"], &[(name, "")]), &[name, "is empty", &how]);
        refused(&run(&["link", "list"], &[(name, "")]), &[name, "is empty", &how]);
    }
    assert!(run(&["--help"], &[("LINKR_API", "")]).status.success());
}

/// Found by users: a body that nobody needs had to be announced. A page of another site must still not send one unasked.
#[test]
fn what_needs_no_body_needs_no_word_about_it() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    linkr.ok(&dir, &["link", "create", "https://a.example/", "--code", "x"]);
    let mut api = Connection::to(linkr.api());
    for (fields, body, status) in [
        (&[][..], "", 200),
        (&[("Content-Length", "0")], "", 200),
        (&[("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "0")], "", 200),
        (&[], "{}", 200),
        (&[("Origin", "https://evil.example"), ("Content-Length", "0")], "", 415),
        (&[("Origin", "null")], "", 415),
    ] {
        linkr.run(&dir, &["link", "delete", "x"]);
        let answer = api.call_with("POST", "/v1/links/x:undelete", fields, body).unwrap().unwrap();
        assert_eq!(answer.status, status, "{fields:?} {body:?}: {}", answer.body);
    }
    let gone =
        api.call("POST", "/v1/links", r#"{"target":"https://a.example/","code":"x"}"#).unwrap().unwrap();
    assert!(gone.body.contains("REST: POST /v1/domains/-/links/x:undelete"), "{}", gone.body);
    let nothing = api.call("POST", "/v1/links/x:restore", "").unwrap().unwrap();
    assert!(nothing.status == 400 && nothing.body.contains("revision"), "{nothing:?}");
}

/// A change that is not made is refused: what was read may be sent back, and nothing else may be said of what a server sets.
#[test]
fn a_change_says_nothing_that_is_passed_over() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up_with(&dir, &[("LINKR_BASE_URL", "https://s.example")]);
    linkr.ok(&dir, &["link", "create", "https://a.example/", "--code", "x"]);
    let mut api = Connection::to(linkr.api());
    let mut call = |method: &str, path: &str, body: &str| api.call(method, path, body).unwrap().unwrap();
    let read = call("GET", "/v1/links/x", "").body;
    let mut link: serde_json::Value = serde_json::from_str(&read).unwrap();
    link["target"] = "https://b.example/".into();
    let back = call("PATCH", "/v1/links/x", &link.to_string());
    assert_eq!(back.status, 200, "what was read is sent back with another target: {}", back.body);
    let stale = call("PATCH", "/v1/links/x", &link.to_string());
    assert_eq!(stale.status, 412, "the etag in it says that it is old: {}", stale.body);
    for (member, value) in [
        ("update_time", "\"2020-01-01T00:00:00Z\""),
        ("create_time", "\"c\""),
        ("delete_time", "\"2020-01-01T00:00:00Z\""),
        ("revision", "\"x\""),
        ("short_url", "\"https://s.example/y\""),
        ("propagation", "{}"),
        ("code", "\"y\""),
        ("name", "\"domains/-/links/y\""),
        ("domain", "\"go.example\""),
        ("clicks_of_mine", "1"),
    ] {
        let answer = call("PATCH", "/v1/links/x", &format!("{{\"title\":\"t\",\"{member}\":{value}}}"));
        assert_eq!(answer.status, 400, "{member}: {}", answer.body);
        let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(problem["field"], member, "{problem}");
    }
    let named = || {
        let now: serde_json::Value =
            serde_json::from_str(&linkr.ok(&dir, &["link", "get", "x", "-o", "json"])).unwrap();
        let body = format!("{{\"title\":\"\",\"update_time\":{}}}", now["update_time"]);
        Connection::to(linkr.api())
            .call_with("PATCH", "/v1/links/x", &[("Idempotency-Key", "k")], &body)
            .unwrap()
            .unwrap()
    };
    let repeated = named();
    assert!(repeated.status == 400 && repeated.body.contains("send the etag"), "{repeated:?}");
    let mask = call("PATCH", "/v1/links/x?update_mask=title", "{\"title\":\"t\"}");
    assert!(mask.status == 400 && mask.body.contains("members of the body"), "{mask:?}");
    let domain =
        call("PATCH", "/v1/domains/-", "{\"class\":\"strict\",\"update_time\":\"2020-01-01T00:00:00Z\"}");
    assert!(domain.status == 400 && domain.body.contains("the domain has another now"), "{domain:?}");
    assert!(call("GET", "/v1/links/x", "").body.contains("\"title\":\"\""), "none of them changed anything");
}

/// R14.
#[test]
fn a_key_or_certificate_in_another_form_is_named_with_what_converts_it() {
    let _turn = beside_others();
    if !has("openssl") {
        return skip("words", "openssl is not there");
    }
    let dir = Dir::new();
    let made = command(LINKR, dir.path()).args(["certs", "."]).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let (cert, key) = ("server.pem", "server.key");
    let openssl = |words: &[&str]| {
        let done = command("openssl", dir.path()).args(words).output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", text(&done.stderr));
    };
    openssl(&["x509", "-in", cert, "-outform", "der", "-out", "cert.der"]);
    openssl(&["pkey", "-in", key, "-outform", "der", "-out", "key.der"]);
    openssl(&["pkey", "-in", key, "-aes256", "-passout", "pass:x", "-out", "locked.key"]);
    openssl(&["pkcs12", "-export", "-in", cert, "-inkey", key, "-passout", "pass:x", "-out", "both.p12"]);
    let up = |cert: &str, key: &str| {
        let words = ["up", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let mut up = command(LINKR, dir.path());
        up.args(words).args(["--listen-tls", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key]);
        up.output().unwrap()
    };
    for (cert, key, wanted) in [
        ("cert.der", key, "openssl x509 -inform der -in cert.der"),
        (cert, "key.der", "openssl pkey -inform der -in key.der"),
        (cert, "locked.key", "needs a passphrase: openssl pkey -in locked.key"),
        ("both.p12", key, "openssl pkcs12 -in both.p12 -nokeys"),
        (cert, "both.p12", "openssl pkcs12 -in both.p12 -nocerts"),
        ("key.der", key, "are two flags swapped?"),
        (cert, "cert.der", "are two flags swapped?"),
    ] {
        refused(&up(cert, key), &[wanted]);
    }
    // The commands that are named do what they say.
    openssl(&["x509", "-inform", "der", "-in", "cert.der", "-out", "new.pem"]);
    openssl(&["pkey", "-inform", "der", "-in", "key.der", "-out", "new.key"]);
    openssl(&["pkey", "-in", "locked.key", "-passin", "pass:x", "-out", "unlocked.key"]);
    let check = |key: &str| {
        let mut check = command(LINKR, dir.path());
        check.args(["config", "check"]).env("LINKR_TLS_CERT", "new.pem").env("LINKR_TLS_KEY", key);
        check.output().unwrap()
    };
    for key in ["new.key", "unlocked.key"] {
        let done = check(key);
        assert!(done.status.success(), "{key}: {}", text(&done.stderr));
    }
}

/// R7, of what clients ask.
#[test]
fn an_address_of_this_machine_may_be_a_port() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    linkr.ok(&dir, &["link", "create", "https://a.example/", "--code", "x"]);
    linkr.catch_up();
    let run = |words: &[&str]| command(LINKR, dir.path()).args(words).output().unwrap();
    let (api, admin, edge) = (linkr.api().port(), linkr.admin().port(), linkr.edge().port());
    dir.write("links.csv", "code,target\nx,https://a.example/\n");
    for form in ["{}", ":{}", "localhost:{}", "127.0.0.1:{}", "http://127.0.0.1:{}/"] {
        let at = |port: u16| form.replace("{}", &port.to_string());
        for words in [
            &["link", "get", "x", "--server", &at(api)][..],
            &["healthcheck", "--admin", &at(admin)],
            &["link", "explain", "x", "--edge", &at(admin)],
            &["conform", "--links", "links.csv", "--edge", &at(edge)],
        ] {
            let done = run(words);
            assert!(done.status.success(), "{words:?}: {}", text(&done.stderr));
        }
    }
    let page = format!("http://127.0.0.1:{admin}/metrics");
    refused(&run(&["healthcheck", "--admin", &page]), &["--admin", "nothing after"]);
    refused(&run(&["link", "explain", "x", "--edge", "https://127.0.0.1:1"]), &["no TLS"]);
}

/// The page is a program of its own in the browser; what it may load and ask is what its policy says.
#[test]
fn the_page_of_the_api_has_its_script_from_here_and_from_nowhere_else() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let mut api = Connection::to(linkr.api());
    let page = api.ask("GET", "/docs");
    assert_eq!(page.status, 200);
    let policy = page.field("content-security-policy").unwrap();
    for part in ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(page.body.contains("<nav>") && page.body.contains("id=key"), "contents and a field for the key");
    let script = api.ask("GET", "/docs.js");
    assert_eq!((script.status, script.field("content-type")), (200, Some("text/javascript; charset=utf-8")));
    assert!(
        !script.body.contains("localStorage") && !script.body.contains("cookie"),
        "the key is kept nowhere"
    );
    let other = api.call("POST", "/docs.js", "{}").unwrap().unwrap();
    assert_eq!((other.status, other.field("allow")), (405, Some("GET,HEAD")));
}

/// A policy that forbids the script, or a script that breaks, leaves what the address names closed.
#[test]
fn the_page_opens_what_its_address_names_in_a_browser() {
    let _turn = beside_others();
    let browsers = ["chromium", "chromium-headless-shell", "google-chrome"];
    let Some(browser) = browsers.into_iter().find(|program| has(program)) else {
        return skip("words", "no Chromium is there");
    };
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let mut shown = command(browser, dir.path());
    shown.args(["--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=browser", "--dump-dom"]);
    shown.arg(format!("http://{}/docs#CreateLink", linkr.api()));
    let page = bounded(shown, &dir, Duration::from_secs(60)).unwrap();
    assert!(page.contains("<details id=\"CreateLink\" open=\"\">"), "nothing was opened");
    assert!(page.contains("<details id=\"GetLink\"><summary>"), "only that was");
}
