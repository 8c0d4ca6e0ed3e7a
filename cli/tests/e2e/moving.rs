//! Moving in and out: maps of nginx and HAProxy, exports of others, imports that are killed, and the check of an edge.

use crate::stores::{Store, catch_up, control, edge};
use crate::support::{Dir, LINKR, Linkr, beside_others, command, text, until};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Stdio;

/// 100,000 as the task has it; a debug build of a test gets fewer.
const LINES: usize = if cfg!(debug_assertions) { 10_000 } else { 100_000 };

fn lines() -> usize {
    if std::env::var_os("LINKR_LONG").is_some() { 100_000 } else { LINES }
}

/// A map as one finds it: sections, dates, file names; targets with queries, fragments and what needs quotes.
fn nginx_map(count: usize) -> (String, BTreeMap<String, String>) {
    let (mut text, mut links) =
        (String::from("# moved in 2019\nmap $uri $new_uri {\n    default \"\";\n"), BTreeMap::new());
    for n in 0..count {
        let path = match n % 5 {
            0 => format!("/blog/{}/{:02}/post-{n}.html", 2005 + n % 17, n % 12 + 1),
            1 => format!("/p/{n}"),
            2 => format!("/Produkte/artikel_{n}"),
            3 => format!("/old~{n}/index.php"),
            _ => format!("/media/{n:08}/a.b-c"),
        };
        let target = match n % 4 {
            0 => format!("https://www.example.com/archive/{n}?from=old&id={n}#top"),
            1 => format!("http://shop.example.com:8080/item/{n};v=2"),
            2 => format!("https://example.com/say/\"{n}\"/\\x"),
            _ => format!("https://example.com/{n}/"),
        };
        let quoted = target.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = match n % 4 {
            3 => writeln!(text, "    {path} {target};"),
            1 => writeln!(text, "    {path}    '{target}';"),
            _ => writeln!(text, "    {path} \"{quoted}\";"),
        };
        links.insert(path, target);
    }
    text.push_str("}\n");
    (text, links)
}

/// What an exported map says, read by other rules than linkr's own: a line, a key, a quoted value.
fn read_map(text: &str) -> BTreeMap<String, String> {
    let entries = text.lines().filter_map(|line| line.strip_prefix("    /")?.strip_suffix("\";"));
    let pairs = entries.map(|entry| {
        let (key, value) = entry.split_once(" \"").unwrap();
        (format!("/{key}"), value.replace("\\\"", "\"").replace("\\\\", "\\"))
    });
    pairs.collect()
}

#[test]
fn a_map_moves_in_and_out_on_sqlite() {
    a_map_moves_in_and_out_and_the_edge_conforms(&Store::Sqlite);
}

#[test]
fn a_map_moves_in_and_out_on_postgres() {
    Store::postgres("moving").iter().for_each(a_map_moves_in_and_out_and_the_edge_conforms);
}

fn a_map_moves_in_and_out_and_the_edge_conforms(store: &Store) {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = control(&dir, &store.empty("one"));
    let edge = edge(&dir, &linkr);
    let (map, links) = nginx_map(lines());
    let file = dir.write("redirects.map", &map);
    let said = linkr.ok(&dir, &["import", &file, "--format", "nginx-map"]);
    assert!(
        said.starts_with(&format!("created {}, updated 0, skipped 0, rejected 0 in ", lines())),
        "{said}"
    );
    catch_up(&edge, &linkr);
    let address = edge.edge().to_string();
    let conform = |file: &str, format: &str| {
        linkr.run(&dir, &["conform", "--links", file, "--format", format, "--edge", &address])
    };
    let done = conform(&file, "nginx-map");
    assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
    println!("{}", text(&done.stdout));
    assert!(
        text(&done.stdout).contains(&format!("asked for {} codes", lines() + 100)),
        "{}",
        text(&done.stdout)
    );

    let out = dir.file("export.map");
    linkr.ok(&dir, &["export", &out, "--format", "nginx-map"]);
    let exported = fs::read_to_string(&out).unwrap();
    assert!(read_map(&exported) == links, "the same map");
    // By way of another server, too.
    let two = control(&dir, &store.empty("two"));
    two.ok(&dir, &["import", &out, "--format", "nginx-map"]);
    assert!(two.ok(&dir, &["export", "--format", "nginx-map"]) == exported, "the same export");
    drop(two);

    // Differences are found: another target, a link that is gone, one that is not there.
    linkr.ok(&dir, &["link", "update", "p/1", "--target", "https://example.com/planted"]);
    linkr.ok(&dir, &["link", "delete", "p/6"]);
    catch_up(&edge, &linkr);
    let more = dir.write("more.map", format!("{map}\n/never/there https://example.com/;\n"));
    let done = conform(&more, "nginx-map");
    let said = text(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{said}");
    let mut differences: Vec<&str> = said.lines().filter(|line| line.starts_with("line ")).collect();
    differences.sort_unstable();
    assert_eq!(differences.len(), 3, "{said}");
    let target = &links["/p/1"];
    assert!(
        said.contains(&format!("line 5, /p/1: 302 https://example.com/planted instead of 302 {target}")),
        "{said}"
    );
    assert!(said.contains("/p/6: 410 instead of 302 "), "{said}");
    assert!(said.contains("/never/there: 404 instead of 302 https://example.com/"), "{said}");
    assert!(said.ends_with("3 differences; 0 rows are no links and were passed over\n"), "{said}");
    // The server's own export knows what is gone.
    let all = dir.file("all.jsonl");
    linkr.ok(&dir, &["export", &all, "--show-deleted"]);
    let done = conform(&all, "jsonl");
    assert!(done.status.success(), "{}", text(&done.stdout));
}

#[test]
fn what_cannot_be_carried_over_is_listed_on_sqlite() {
    what_cannot_be_carried_over_is_listed(&Store::Sqlite);
}

#[test]
fn what_cannot_be_carried_over_is_listed_on_postgres() {
    Store::postgres("moving").iter().for_each(what_cannot_be_carried_over_is_listed);
}

fn what_cannot_be_carried_over_is_listed(store: &Store) {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = control(&dir, &store.empty("listed"));
    let map = dir.write(
        "some.map",
        "map $uri $x {\n default https://example.com/;\n /good https://example.com/;\n ~^/a https://example.com/$1;\n\
         /rel /relative;\n include other.map;\n /b%20c https://example.com/;\n}\n",
    );
    let done = linkr.run(&dir, &["import", &map, "--format", "nginx-map"]);
    let said = text(&done.stdout);
    assert!(said.starts_with("created 1, updated 0, skipped 0, rejected 5 in "), "{said}");
    let rejected = fs::read_to_string(dir.file("some.map.rejected.csv")).unwrap();
    let reasons: Vec<String> =
        rejected.lines().map(|line| line.splitn(3, ',').take(2).collect::<Vec<_>>().join(",")).collect();
    assert_eq!(reasons, ["line,reason", "2,DEFAULT", "4,PATTERN", "5,INVALID", "6,INCLUDE", "7,INVALID"]);

    let haproxy = dir.write("paths.map", "# old\n/h1  https://example.com/h1\n/h2\n");
    let said = linkr.ok(&dir, &["import", &haproxy, "--format", "haproxy-map"]);
    assert!(said.starts_with("created 1, updated 0, skipped 0, rejected 1 in "), "{said}");
    for (format, rows) in [
        (
            "shlink-csv",
            "createdAt,domain,shortCode,shortUrl,longUrl,title,tags,visits\n\
             2024-01-31T12:00:00+00:00,s.test,s1,https://s.test/s1,https://example.com/s1,T,a|b,3\n\
             2024-01-31T12:00:00+00:00,t.test,s2,https://t.test/s2,https://example.com/s2,T,,3\n",
        ),
        (
            "yourls-csv",
            "keyword,url,title,timestamp,ip,clicks\ny1,https://example.com/y1,T,2014-01-31 12:00:00,127.0.0.1,9\n\
             y 2,https://example.com/y2,T,2014-01-31 12:00:00,127.0.0.1,9\n",
        ),
        (
            "bitly-csv",
            "created_at,link,long_url,title,tags\n2019-09-30T17:21:03+0000,https://bit.ly/b1,https://example.com/b1,T,x\n\
             2019-09-30T17:21:03+0000,https://bit.ly/b2,,T,x\n",
        ),
        (
            "kutt-csv",
            "id,address,target,description,banned,password,created_at,expire_in\n\
             1,k1,https://example.com/k1,N,false,,2020-01-01T00:00:00.000Z,\n\
             2,k2,https://example.com/k2,N,false,secret,2020-01-01T00:00:00.000Z,\n",
        ),
    ] {
        let file = dir.write(format, rows);
        let said = linkr.ok(&dir, &["import", &file, "--format", format]);
        assert!(said.starts_with("created 1, updated 0, skipped 0, rejected 1 in "), "{format}: {said}");
        let code = format!("{}1", &format[..1]);
        let shown = linkr.ok(&dir, &["link", "get", &code]);
        assert!(shown.contains(&format!("https://example.com/{code}\n")), "{shown}");
        let year = shown.lines().find_map(|line| line.strip_prefix("create_time  ")).unwrap();
        assert!(year[..4].parse::<u32>().unwrap() < 2025, "{shown}");
        let clicks = shown.lines().find_map(|line| line.strip_prefix("imported_clicks "));
        assert_eq!(
            clicks,
            [("shlink-csv", "3"), ("yourls-csv", "9")]
                .iter()
                .find(|(own, _)| *own == format)
                .map(|(_, count)| *count)
        );
        let done =
            linkr.run(&dir, &["conform", "--links", &file, "--format", format, "--edge", "127.0.0.1:1"]);
        assert!(done.status.code() == Some(2) && text(&done.stderr).contains("127.0.0.1:1"), "{done:?}");
    }
}

#[test]
fn an_import_that_is_killed_ends_as_one_that_is_not_on_sqlite() {
    an_import_that_is_killed_ends_as_one_that_is_not(&Store::Sqlite);
}

#[test]
#[ignore = "40 s: make test-long"]
fn an_import_that_is_killed_ends_as_one_that_is_not_on_postgres() {
    Store::postgres("moving").iter().for_each(an_import_that_is_killed_ends_as_one_that_is_not);
}

fn an_import_that_is_killed_ends_as_one_that_is_not(store: &Store) {
    let _turn = beside_others();
    let dir = Dir::new();
    let whole = control(&dir, &store.empty("whole"));
    let mut csv = String::from("code,target,create_time,tags\n");
    for n in 0..lines() * 2 {
        let _ = match n % 1_000 {
            7 => writeln!(csv, "bad {n},https://example.com/{n},2020-01-01T00:00:00Z,x"),
            8 => writeln!(csv, "p/6,https://example.com/twice/{n},2020-01-01T00:00:00Z,x"),
            _ => writeln!(csv, "p/{n},https://example.com/page/{n}?x=y,2020-01-01T00:00:00Z,\"x,y\""),
        };
    }
    let file = dir.write("links.csv", &csv);
    let unbroken = whole.ok(&dir, &["import", &file]);
    let want = whole.ok(&dir, &["export"]);
    drop(whole);

    let killed = store.empty("killed");
    let mut linkr = control(&dir, &killed);
    let import = |linkr: &Linkr| {
        let mut import = command(LINKR, dir.path());
        import.args(["import", &file, "--server", &format!("http://{}", linkr.api())]);
        import.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let head = |linkr: &Linkr| linkr.metric("linkr_control_log_head").unwrap_or(0.0) as usize;
    // The client is killed in the middle, then the server under the next one, then a third goes through.
    let mut client = import(&linkr);
    until("some rows to be there", || (head(&linkr) >= 5_000).then_some(()));
    client.kill().unwrap();
    client.wait().unwrap();
    let before = head(&linkr);
    assert!(before < lines() * 2, "it was killed too late");
    let client = import(&linkr);
    until("more rows to be there", || (head(&linkr) > before + 4_000).then_some(()));
    linkr.kill();
    let done = client.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(2), "{}", text(&done.stdout));
    let linkr = control(&dir, &killed);
    let last = linkr.ok(&dir, &["import", &file]);
    println!("unbroken: {unbroken}the last of three: {last}");
    assert!(linkr.ok(&dir, &["export"]) == want, "the same export");
    let rejected = |said: &str| said.split("rejected ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(rejected(&last), rejected(&unbroken));
    // All of it once more: nothing is written.
    let head_now = head(&linkr);
    let again = linkr.ok(&dir, &["import", &file]);
    println!("again: {again}");
    assert!(again.starts_with("created 0, updated 0, skipped "), "{again}");
    assert_eq!(head(&linkr), head_now);
}
