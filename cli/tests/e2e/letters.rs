//! Codes with letters of any script and with signs, from the command line to a visitor and back into a file.

use crate::support::{Connection, Dir, Linkr, beside_others, text};

const CODE: &str = "b\u{fc}cher/(1):a";

#[test]
fn a_code_with_letters_goes_all_the_way() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let made = linkr.ok(&dir, &["link", "create", "https://example.com/b", "--code", "bu\u{308}cher/(1):a"]);
    assert!(made.contains(&format!("code         {CODE}\n")), "{made}");
    for spelled in [CODE, "bu\u{308}cher/(1):a", "b%C3%BCcher/(1):a", "b%c3%bccher/(1):a"] {
        let shown = linkr.ok(&dir, &["link", "get", spelled]);
        assert!(shown.contains("https://example.com/b\n"), "{shown}");
    }
    linkr.catch_up();
    for (path, status) in [
        ("/b%C3%BCcher/(1):a", 302),
        ("/b%c3%bccher/(1):a?x", 302),
        ("/b\u{fc}cher/(1):a", 302),
        ("/bu%CC%88cher/(1):a", 302),
        ("/b%C3%BCcher/%281%29:a", 404),
        ("/b%C3%BCcher", 404),
        ("/b%C3cher", 404),
    ] {
        let answer = linkr.get(path);
        assert_eq!(answer.status, status, "{path}");
        assert!(status == 404 || answer.location() == "https://example.com/b", "{path}");
    }
    let admin = linkr.admin().to_string();
    let explained = linkr.ok(&dir, &["link", "explain", CODE, "--edge", &admin]);
    assert!(
        explained.contains("outcome      redirect") && explained.contains("version      1\n"),
        "{explained}"
    );
    let got = Connection::to(linkr.api()).ask("GET", "/v1/links/b%C3%BCcher/(1)%3Aa");
    assert_eq!(got.status, 200, "{}", got.body);
    let refused = linkr.run(&dir, &["link", "create", "https://example.com/", "--code", "a\u{200b}b"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("U+200B"), "{refused:?}");

    // Into each form of a file, and from there into a server of its own.
    for (format, name) in [("csv", "a.csv"), ("jsonl", "a.jsonl"), ("nginx-map", "a.map")] {
        linkr.ok(&dir, &["export", "--format", format, name]);
        let file = dir.file(name);
        let edge = linkr.edge().to_string();
        let words = ["conform", "--links", &file, "--format", format, "--edge", &edge];
        let told = linkr.ok(&dir, &words);
        assert!(told.contains(": 0 differences"), "{told}");
        let other = Dir::new();
        let second = Linkr::up(&other);
        let told = second.ok(&other, &["import", &file, "--format", format]);
        assert!(told.starts_with("created 1, updated 0, skipped 0, rejected 0 in "), "{told}");
        second.catch_up();
        assert_eq!(second.get("/b%C3%BCcher/(1):a").location(), "https://example.com/b");
    }
}
