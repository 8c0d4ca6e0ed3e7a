//! Files of links on the pages, without script: what the list exports is what the command line exports, and what is imported
//! is told row by row.

use super::person::{Person, unescaped};
use super::{signed_in, up};
use crate::support::{Dir, beside_others};
use std::fs;

#[test]
fn the_list_is_exported_as_the_command_line_does_it() {
    let _beside = beside_others();
    let dir = Dir::new();
    let (linkr, key) = up(&dir);
    let mut rows =
        String::from("code,target,status,max_age,tags,title,note,query,expire_time,imported_clicks\n");
    for at in 0..1_100 {
        rows.push_str(&format!("c{at:04},https://a.example/{at},,,spring,,,,,\n"));
    }
    rows.push_str("odd,https://a.example/?a=b,301,60,\"a b,=c\",=1+1,\"two\nlines, \"\"x\"\"\",append,2099-01-01T00:00:00Z,7\n");
    dir.write("links.csv", rows);
    linkr.ok(&dir, &["import", "links.csv"]);
    let mut person = signed_in(&linkr, &key);
    for form in ["csv", "jsonl"] {
        let file = format!("all.{form}");
        linkr.ok(&dir, &["export", &file]);
        let page = person.download(&format!("/ui/links/export?form={form}"));
        assert_eq!(page.name, format!("links--.{form}"));
        assert!(page.body == fs::read_to_string(dir.file(&file)).unwrap(), "{form} differs");
    }
    let some = person.download("/ui/links/export?form=csv&begins=odd");
    assert_eq!(
        some.body.lines().count(),
        3,
        "what the list is narrowed to, two lines of a note: {}",
        some.body
    );
    assert!(
        person
            .get("/ui/links?begins=odd")
            .body
            .contains("/ui/links/export?begins=odd&amp;domain=-&amp;form=csv")
    );
    assert_eq!(person.get("/ui/links/export?filter=nonsense").status, 400);
}

/// The page after the last row: one that comes sooner, on a machine that has much to do, is gone on with, as its script does.
fn imported(person: &mut Person, form: &str, fields: &[(&str, &str)]) -> String {
    let mut done = person.submit(form, "/ui/links/import", fields);
    let mut times = 0;
    while done.body.contains("data-go-on") && times < 20 {
        done = person.submit(&done.body, "/ui/links/import", &[]);
        times += 1;
    }
    assert_eq!(done.status, 200, "{}", done.body);
    done.body
}

#[test]
fn files_become_links_and_rejected_rows_are_mended_in_place() {
    let _beside = beside_others();
    let dir = Dir::new();
    let (linkr, key) = up(&dir);
    linkr.ok(&dir, &["link", "create", "https://other.example/", "--code", "taken"]);
    let mut person = signed_in(&linkr, &key);
    let form = person.get("/ui/links/import").body;
    let mut rows = String::from("code,target,title\n");
    (0..450).for_each(|at| rows.push_str(&format!("c{at},https://a.example/{at},<b>{at}\n")));
    rows.push_str(
        "taken,https://a.example/,\nbad,nowhere,\n,https://a.example/,no code\nshort,https://a.example/\n",
    );
    let page = &imported(&mut person, &form, &[("form", "csv"), ("rows", &rows)]);
    assert!(
        page.contains("454 of 454 rows: <strong>450 created</strong>, 0 there already, 4 rejected."),
        "{page}"
    );
    for part in ["<th scope=\"row\">452</th>", "exists already", "code is missing", "has 2 columns"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    linkr.catch_up();
    assert_eq!(linkr.get("/c449").location(), "https://a.example/449");
    // The same once more: nothing is made twice.
    let again = imported(&mut person, &form, &[("form", "csv"), ("rows", &rows)]);
    assert!(again.contains("<strong>0 created</strong>, 450 there already, 4 rejected."), "{again}");
    // Mended where they stand.
    let standing = page.split("<textarea id=\"rows\"").nth(1).unwrap().split("</textarea>").next().unwrap();
    let standing = unescaped(standing.split_once('>').unwrap().1.trim_start());
    assert!(standing.starts_with("line,reason,message,code,target,title\n"), "{standing}");
    let mended = standing
        .replace(",taken,", ",free,")
        .replace(",nowhere,", ",https://b.example/,")
        .replace(",,https://a.example/,no code", ",named,https://a.example/,now");
    let done = person.submit(page, "/ui/links/import", &[("rows", &mended)]).body;
    assert!(done.contains("4 of 4 rows: <strong>3 created</strong>, 0 there already, 1 rejected."), "{done}");

    // As it was pasted: without a form, and without a header.
    let bare = [("rows", "bare,https://a.example/bare\nworse,nowhere\n"), ("headless", "1")];
    let done = person.submit(&form, "/ui/links/import", &bare).body;
    assert!(done.contains("2 of 2 rows: <strong>1 created</strong>, 0 there already, 1 rejected."), "{done}");
    assert!(done.contains("<th scope=\"row\">2</th>"), "{done}");

    let map = "map $uri $target {\n  /old https://a.example/new;\n  /vars $scheme://a.example/;\n}\n";
    let done = person.submit(&form, "/ui/links/import", &[("form", "nginx-map"), ("rows", map)]).body;
    assert!(done.contains("2 of 2 rows: <strong>1 created</strong>, 0 there already, 1 rejected."), "{done}");
    assert!(done.contains("a map says neither"), "what was decided is told: {done}");
    for (fields, said) in [
        (&[("rows", "nonsense\n")][..], "Choose the form"),
        (&[("rows", " ")], "There are no rows"),
        (&[("form", "csv"), ("rows", "a,b\n1,2\n")], "names no column code"),
        (&[("form", "csv"), ("rows", "code,target\n"), ("base", "nowhere")], "the host of targets"),
    ] {
        let refused = person.submit(&form, "/ui/links/import", fields);
        assert!(refused.status == 400 && unescaped(&refused.body).contains(said), "{said}: {}", refused.body);
        assert!(
            refused.body.contains(fields.iter().find(|(name, _)| *name == "rows").unwrap().1.trim()),
            "what was typed stays"
        );
    }
}
