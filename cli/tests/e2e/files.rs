//! Import and export: what goes in comes out, bad rows never stop good ones.

use crate::manual::{Page, Terminal};
use crate::support::{Dir, LINKR, Linkr, beside_others, command, text, workspace};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

const CSV: &str = "code,target,status,max_age,title,tags,create_time\n\
    b/c,https://example.com/b,301,60,\"a, \"\"b\"\"\",\"x,y\",2013-01-02T03:04:05Z\n\
    a,https://example.com/a b,,,,,\n\
    bad,ftp://example.com/,,,,,\n\
    robots.txt,https://example.com/,,,,,\n\
    short,https://example.com/\n\
    late,https://example.com/,,,,,yesterday\n\
    a,https://example.com/other,,,,,\n\
    last,https://example.com/z,308,0,,,1999-12-31T23:59:59.5Z\n";

#[test]
fn csv_with_bad_rows_and_again() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let file = dir.write("links.csv", CSV);
    let done = linkr.run(&dir, &["import", &file]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let said = text(&done.stdout);
    assert!(said.starts_with("created 3, updated 0, skipped 0, rejected 5 in "), "{said}");
    let said = text(&done.stderr);
    assert!(said.lines().count() == 1 && said.contains("5 rows") && said.contains(".rejected.csv"), "{said}");
    let rejected = fs::read_to_string(dir.file("links.csv.rejected.csv")).unwrap();
    let mut lines = rejected.lines();
    assert_eq!(lines.next(), Some("line,reason,message,code,target,status,max_age,title,tags,create_time"));
    for (line, reason, part) in [
        ("4,", "INVALID,", "ftp"),
        ("5,", "INVALID,", "robots.txt"),
        ("6,", "COLUMNS,", "2 columns"),
        ("7,", "INVALID,", "yesterday"),
        ("8,", "EXISTS,", "/other"),
    ] {
        let got = lines.next().unwrap();
        let rest = got.strip_prefix(line).unwrap_or_else(|| panic!("{got}"));
        assert!(rest.starts_with(reason) && rest.contains(part), "{got}");
    }

    let export = linkr.ok(&dir, &["export"]);
    let codes: Vec<&str> = export.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(codes, ["code", "a", "b/c", "last"]);
    assert!(export.contains("https://example.com/a%20b"), "{export}");
    assert!(export.contains("\"a, \"\"b\"\"\",\"x,y\",,2013-01-02T03:04:05Z"), "{export}");

    // The same file again changes nothing at all.
    let head = linkr.metric("linkr_control_log_head").unwrap();
    let again = linkr.ok(&dir, &["import", &file]);
    assert!(again.starts_with("created 0, updated 0, skipped 3, rejected 5 in "), "{again}");
    assert_eq!(linkr.ok(&dir, &["export"]), export);
    assert_eq!(linkr.ok(&dir, &["export", "-"]), export, "as an import takes it");
    assert_eq!(linkr.metric("linkr_control_log_head"), Some(head));

    // With --update the row that differs wins, and only it is written.
    let changed =
        dir.write("changed.csv", "code,target\na,https://example.com/new\nb/c,https://example.com/b\n");
    let said = linkr.ok(&dir, &["import", &changed, "--update"]);
    assert!(said.starts_with("created 0, updated 2, skipped 0, rejected 0 in "), "{said}");
    assert!(linkr.ok(&dir, &["link", "get", "a"]).contains("https://example.com/new"));
}

#[test]
fn an_export_makes_the_same_server_again() {
    let _turn = beside_others();
    let (dir, other) = (Dir::new(), Dir::new());
    let (one, two) = (Linkr::up(&dir), Linkr::up(&other));
    let lines = [
        r#"{"code":"a","target":"https://example.com/ü","tags":["x","y,z"],"note":"two\nlines","class":"strict","external_id":"-17","imported_clicks":41}"#,
        r#"{"code":"b","target":"https://example.com/","query":"override","disabled":true,"expire_time":"2099-01-01T00:00:00Z"}"#,
        r#"{"code":"c","target":7}"#,
        "not json",
        r#"{"code":"bücher/(1):a","target":"https://example.com/"}"#,
        r#"{"code":"d","target":"https://example.com/","not_before":"2020-01-01T00:00:00.001Z","title":"t"}"#,
    ];
    let file = dir.write("links.jsonl", lines.join("\n"));
    let done = one.run(&dir, &["import", &file]);
    assert!(text(&done.stdout).starts_with("created 4, updated 0, skipped 0, rejected 2 in "), "{done:?}");
    let rejected = fs::read_to_string(dir.file("links.jsonl.rejected.csv")).unwrap();
    assert!(rejected.starts_with("line,reason,message,row\n3,INVALID,target"), "{rejected}");
    for format in ["csv", "jsonl"] {
        let name = format!("export.{format}");
        one.ok(&dir, &["export", &name]);
        let export = fs::read(dir.file(&name)).unwrap();
        assert_eq!(text(&export), one.ok(&dir, &["export", "--format", format]));
        assert!(text(&export).contains("b\u{fc}cher/(1):a"), "{}", text(&export));
        two.ok(&other, &["import", &dir.file(&name)]);
        assert_eq!(text(&export), two.ok(&other, &["export", "--format", format]));
    }
    let twice = "code,target,external_id\ne,https://example.com/,-17\nf,https://example.com/,18\n";
    let file = dir.write("twice.csv", twice);
    let done = one.run(&dir, &["import", &file]);
    assert!(text(&done.stdout).starts_with("created 1, updated 0, skipped 0, rejected 1 in "), "{done:?}");
    let rejected = fs::read_to_string(dir.file("twice.csv.rejected.csv")).unwrap();
    assert!(rejected.contains("\n2,EXTERNAL_ID_TAKEN,") && rejected.contains("links/a has"), "{rejected}");
    one.ok(&dir, &["link", "delete", "a"]);
    assert!(one.ok(&dir, &["import", &file]).starts_with("created 1, updated 0, skipped 1, rejected 0 in "));
    assert!(!one.ok(&dir, &["export"]).contains("\na,"));
    let all = one.ok(&dir, &["export", "--show-deleted"]);
    assert!(
        all.starts_with("code,")
            && all.lines().next().unwrap().ends_with(",delete_time")
            && all.contains("\na,")
    );
}

#[test]
fn an_import_of_which_nothing_is_taken_says_no_and_its_rejects_can_be_mended() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let file = dir.write("links.csv", "code,target\na,ftp://example.com/\nb,\"https://example.com/cut");
    let done = linkr.run(&dir, &["import", &file]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stdout).starts_with("created 0, updated 0, skipped 0, rejected 2 in "), "{done:?}");
    let said = text(&done.stderr);
    assert!(said.lines().count() == 1 && said.contains("links.csv.rejected.csv"), "{said}");
    let rejected = fs::read_to_string(dir.file("links.csv.rejected.csv")).unwrap();
    assert!(rejected.contains("3,UNCLOSED_QUOTE,") && rejected.contains("/cut\n"), "{rejected}");
    let mended = rejected.replace("ftp:", "https:").replace("/cut", "/whole");
    dir.write("links.csv.rejected.csv", mended);
    let said = linkr.ok(&dir, &["import", &dir.file("links.csv.rejected.csv")]);
    assert!(said.starts_with("created 2, updated 0, skipped 0, rejected 0 in "), "{said}");
    let empty = dir.write("empty.csv", "code,target\n");
    assert!(linkr.ok(&dir, &["import", &empty]).contains("rejected 0"));
}

#[test]
fn from_a_pipe_and_what_is_compressed() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let mut child = command(LINKR, dir.path())
        .args(["import", "-", "--format", "csv", "--server", &format!("http://{}", linkr.api())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut rows = String::from("target,code\n");
    for row in 0..12_000 {
        rows.push_str(&format!("https://example.com/{row},p/{row}\n"));
    }
    child.stdin.take().unwrap().write_all(rows.as_bytes()).unwrap();
    let said = text(&child.wait_with_output().unwrap().stdout);
    assert!(said.starts_with("created 12000, updated 0, skipped 0, rejected 0 in "), "{said}");
    linkr.catch_up();
    assert_eq!(linkr.get("/p/11999").location(), "https://example.com/11999");

    let packed = dir.write("links.csv.zst", b"\x28\xb5\x2f\xfdrest");
    let done = linkr.run(&dir, &["import", &packed]);
    assert_eq!(done.status.code(), Some(2));
    let line = format!("zstdcat {packed} | linkr import - --format csv");
    assert!(text(&done.stderr).contains(&line), "{}", text(&done.stderr));
}

#[test]
fn rejected_rows_replace_what_an_import_wrote_and_nothing_else() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let file = dir.write("links.csv", CSV);
    let (precious, rejected) = (dir.write("precious", "mine"), dir.file("links.csv.rejected.csv"));
    let refused = |what: &str| {
        let done = linkr.run(&dir, &["import", &file]);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{said}");
        assert!(said.lines().count() == 1 && said.contains(what) && said.contains("remove it"), "{said}");
        assert_eq!(linkr.ok(&dir, &["export"]).lines().count(), 1, "no row was sent");
    };
    std::os::unix::fs::symlink(&precious, &rejected).unwrap();
    refused("a symbolic link");
    fs::remove_file(&rejected).unwrap();
    fs::create_dir(&rejected).unwrap();
    refused("no regular file");
    fs::remove_dir(&rejected).unwrap();
    fs::hard_link(&precious, &rejected).unwrap();
    fs::set_permissions(&precious, fs::Permissions::from_mode(0o640)).unwrap();
    let mode = || fs::metadata(&rejected).unwrap().permissions().mode() & 0o777;
    linkr.ok(&dir, &["import", &file]);
    assert_eq!((fs::read_to_string(&precious).unwrap().as_str(), mode()), ("mine", 0o640));
    fs::remove_file(&rejected).unwrap();
    linkr.ok(&dir, &["import", &file]);
    assert_eq!(mode(), 0o600);
}

/// By the commands of docs/importing.md, which shows the file as it is.
#[test]
fn rejected_rows_are_corrected_and_imported_as_the_page_says() {
    let _turn = beside_others();
    let (page, dir) = (Page::at("docs/importing.md"), Dir::new());
    let terminal = Terminal::new(&dir);
    let _linkr = terminal.start("linkr up --workers 1", &["edge", "api", "admin", "then"]);
    let blocks = page.blocks("Rows that were rejected");
    let [import, correct, domain] = blocks.as_slice() else { panic!("{blocks:?}") };
    let done = terminal.run(import);
    assert!(text(&done.stdout).starts_with("created 1, updated 0, skipped 0, rejected 2 in "), "{done:?}");
    let shown = fs::read_to_string(workspace().join("docs/importing.md")).unwrap();
    let (said, rejected) =
        (text(&done.stderr), fs::read_to_string(dir.file("bitly.csv.rejected.csv")).unwrap());
    let told = "2 rows were rejected: bitly.csv.rejected.csv says why (1 DOMAIN, 1 INVALID)";
    assert!(said.contains(told) && shown.contains(told), "{said}");
    assert!(shown.contains(&format!("\n```\n{rejected}```\n")), "{rejected}");
    let said = terminal.ok(correct);
    assert!(said.starts_with("created 1, updated 0, skipped 0, rejected 1 in "), "{said}");
    let said = terminal.ok(domain);
    assert!(said.contains("created 1, updated 0, skipped 0, rejected 0 in "), "{said}");
}

/// What stands behind `message` in a file of rejected rows depends on the form, as docs/importing.md has it, and each such file is
/// imported once it is corrected.
#[test]
fn rejected_rows_of_every_form_can_be_imported() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    for (number, (file, row, column, words)) in [
        ("a.csv", "code,target\nNR,BAD\n", "code,target", &[][..]),
        ("a.jsonl", "{\"code\":\"NR\",\"target\":\"BAD\"}\n", "row", &[]),
        ("a.map", "/NR BAD;\n", "statement", &["--format", "nginx-map"]),
        ("b.map", "/NR BAD\n", "statement", &["--format", "haproxy-map"]),
        ("_redirects", "/NR BAD\n", "statement", &["--format", "redirects"]),
        (
            "vercel.json",
            "{\"redirects\":[{\"source\":\"/NR\",\"destination\":\"BAD\",\"permanent\":true}]}",
            "statement",
            &["--format", "vercel-json"],
        ),
        ("c.csv", "https://go.example/NR,BAD\n", "source_url,target_url", &["--format", "cloudflare-csv"]),
        ("s.csv", "shortCode,longUrl\nNR,BAD\n", "shortCode,longUrl", &["--format", "shlink-csv"]),
        ("y.csv", "keyword,url\nNR,BAD\n", "keyword,url", &["--format", "yourls-csv"]),
        ("k.csv", "address,target\nNR,BAD\n", "address,target", &["--format", "kutt-csv"]),
    ]
    .into_iter()
    .enumerate()
    {
        let bad = row.replace("NR", &format!("c{number}")).replace("BAD", "ftp://example.com/x");
        let rejected = format!("{}.rejected.csv", dir.write(file, bad));
        let said = text(&linkr.run(&dir, &[&["import", &dir.file(file)][..], words].concat()).stdout);
        assert!(said.starts_with("created 0, updated 0, skipped 0, rejected 1 in "), "{file}: {said}");
        let listed = fs::read_to_string(&rejected).unwrap();
        assert!(listed.starts_with(&format!("line,reason,message,{column}")), "{file}: {listed}");
        fs::write(&rejected, listed.replace("ftp://", "https://")).unwrap();
        let said = linkr.ok(&dir, &[&["import", &rejected][..], words].concat());
        assert!(said.starts_with("created 1, updated 0, skipped 0, rejected 0 in "), "{file}: {said}");
    }
}
