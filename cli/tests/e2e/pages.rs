//! The pages as a browser without script sees them: every page, every form, and what is wrong with what was typed.

#[path = "pages/browser.rs"]
mod browser;
#[path = "pages/clicks.rs"]
mod clicks;
#[path = "pages/driver.rs"]
mod driver;
#[path = "pages/files.rs"]
mod files;
#[path = "pages/person.rs"]
pub mod person;

use crate::support::{Connection, Dir, Linkr, beside_others, text};
use person::{Person, unescaped};
use std::fs;

/// `linkr up` that asks for keys, and its first key.
fn up(dir: &Dir) -> (Linkr, String) {
    let linkr = Linkr::up_with_keys(dir);
    let key = fs::read_to_string(dir.path().join("linkr-data/admin.key")).unwrap();
    (linkr, key.trim().to_owned())
}

fn signed_in(linkr: &Linkr, key: &str) -> Person {
    let mut person = Person::new(linkr.api());
    let way = person.get("/ui/links");
    assert_eq!((way.status, way.location()), (303, "/ui/sign-in?then=%2Fui%2Flinks"));
    let page = person.get(way.location());
    let done = person.submit(&page.body, "/ui/sign-in", &[("key", key)]);
    assert_eq!((done.status, done.location()), (303, "/ui/links"), "{}", done.body);
    person
}

const PAGES: [&str; 21] = [
    "/ui/links",
    "/ui/links?deleted=1&order=update_time+desc&tag=x&begins=a&target=b",
    "/ui/links/new",
    "/ui/links/import",
    "/ui/clicks",
    "/ui/clicks?last=90d&by=hour&kind=all&country=DE&zone=Europe/Berlin",
    "/ui/clicks?domain=*&from=2026-01-01T00:00&to=2026-01-02T00:00",
    "/ui/clicks?tag=none",
    "/ui/clicks?last=today",
    "/ui/clicks/unknown?last=30d",
    "/ui/tags",
    "/ui/domains",
    "/ui/domains/new",
    "/ui/domain?domain=-",
    "/ui/blocks",
    "/ui/fleet",
    "/ui/link/explain?code=none",
    "/ui/keys",
    "/ui/keys/new",
    "/ui/audit",
    "/ui/session",
];

#[test]
fn every_page_is_whole_without_script_and_holds_none_of_its_own() {
    let _beside = beside_others();
    let dir = Dir::new();
    let (linkr, key) = up(&dir);
    let mut person = signed_in(&linkr, &key);
    for path in PAGES {
        let page = person.get(path);
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        assert!(page.body.contains("</html>") && page.body.matches("<h1>").count() == 1, "{path}");
        assert_eq!(
            page.body.matches("<script").count(),
            1,
            "{path}: the policy forbids what stands in a page"
        );
        for never in [" style=", " onclick", "http-equiv", "javascript:"] {
            assert!(!page.body.contains(never), "{path} has {never}");
        }
        assert!(page.body.len() < 64 * 1024, "{path} has {} bytes", page.body.len());
        assert_eq!(page.field("cache-control"), Some("no-store"), "{path}");
        let policy = page.field("content-security-policy").unwrap_or_default();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("form-action 'self'"),
            "{path}: {policy}"
        );
        for asset in page.body.split(['"']).filter(|part| part.starts_with("/ui/assets/")) {
            assert_eq!(person.get(asset).status, 200, "{asset}");
        }
    }
    assert_eq!(person.get("/ui").location(), "/ui/links");
    assert_eq!(person.get("/ui/nothing").status, 404);
}

#[test]
fn a_link_is_made_changed_found_put_back_and_deleted_by_forms() {
    let _beside = beside_others();
    let dir = Dir::new();
    let (linkr, key) = up(&dir);
    let mut person = signed_in(&linkr, &key);
    let new = person.get("/ui/links/new").body;
    let made = person.submit(
        &new,
        "/ui/links/new",
        &[
            ("code", "friday"),
            ("target", "https://a.example/one"),
            ("tags", "spring, press kit"),
            ("expire_time", "2099-12-04T12:00"),
            ("zone", "Europe/Berlin"),
        ],
    );
    assert_eq!((made.status, made.location()), (303, "/ui/link?domain=-&code=friday"), "{}", made.body);
    let page = person.get(made.location()).body;
    assert!(page.contains("Created /friday. The only edge has it, after"), "{page}");
    assert!(page.contains("datetime=\"2099-12-04T11:00:00Z\""), "noon in Berlin: {page}");
    assert!(page.contains("It ends at 2099-12-04 12:00:00 Europe/Berlin."), "as it was typed: {page}");
    assert!(page.contains("<body data-zone=\"Europe/Berlin\">"), "the script shows times in it: {page}");
    assert!(!person.get(made.location()).body.contains("Created /friday."), "it is told once");
    assert_eq!(linkr.get("/friday").location(), "https://a.example/one");

    let edit = person.get("/ui/link/edit?domain=-&code=friday").body;
    assert!(
        edit.contains("value=\"2099-12-04T12:00:00\"") && edit.contains("value=\"Europe/Berlin\""),
        "the zone that was typed is kept: {edit}"
    );
    let saved = person.submit(&edit, "/ui/link/edit", &[]);
    assert!(person.get(saved.location()).body.contains("Nothing was changed."));
    let saved =
        person.submit(&edit, "/ui/link/edit", &[("target", "https://a.example/two"), ("expire_time", "")]);
    let page = person.get(saved.location()).body;
    assert!(page.contains("Saved. The only edge has it"), "{page}");
    assert_eq!(linkr.get("/friday").location(), "https://a.example/two");

    let found = person.get("/ui/links?tag=press+kit").body;
    assert!(found.contains("https://a.example/two"), "{found}");
    assert!(person.get("/ui/links?tag=none").body.contains("No link is found."));

    let history = person.get("/ui/link/history?domain=-&code=friday").body;
    assert!(
        history.contains("<del>https://a.example/one</del> → <ins>https://a.example/two</ins>"),
        "{history}"
    );
    assert!(history.contains("</strong> (key <code>"), "who it was is told by name: {history}");
    let revision = history.split("name=\"revision\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let back = person.submit(&history, "/ui/link/restore", &[("revision", revision), ("time", "")]);
    let page = person.get(back.location()).body;
    assert!(page.contains("Restored: it leads to https://a.example/one."), "{page}");
    assert_eq!(linkr.get("/friday").location(), "https://a.example/one");

    for (what, status, state) in [
        ("disable", 410, "disabled"),
        ("enable", 302, "live"),
        ("delete", 410, "deleted"),
        ("undelete", 302, "live"),
    ] {
        let page = person.get("/ui/link?domain=-&code=friday").body;
        let done = person.submit(&page, "/ui/link/state", &[("do", what)]);
        let page = person.get(done.location()).body;
        assert!(page.contains(&format!(">{state}</span>")), "{what}: {page}");
        assert_eq!(linkr.get("/friday").status, status, "{what}");
    }
}

#[test]
fn what_is_refused_stands_beside_its_field_and_nothing_typed_is_lost() {
    let _beside = beside_others();
    let dir = Dir::new();
    let (linkr, key) = up(&dir);
    let mut person = signed_in(&linkr, &key);
    let new = person.get("/ui/links/new").body;
    let typed = [("code", "taken"), ("title", "My \"title\" <b>"), ("note", "one\ntwo")];
    let wrong = [
        ("target", "nowhere", "target"),
        ("expire_time", "Friday", "expire_time"),
        ("max_age", "-1", "max_age"),
    ];
    for (field, value, beside) in wrong {
        let fields: Vec<_> =
            typed.into_iter().chain([(field, value), ("target", "https://a.example/")]).collect();
        let refused = person.submit(&new, "/ui/links/new", &fields);
        assert_eq!(refused.status, 400, "{}", refused.body);
        assert!(refused.body.contains(&format!("id=\"{beside}-error\"")), "{field}: {}", refused.body);
        assert!(refused.body.contains("value=\"My &quot;title&quot; &lt;b&gt;\""), "{}", refused.body);
        assert!(refused.body.contains("one\ntwo</textarea>"), "{}", refused.body);
    }
    let fields: Vec<_> = typed.into_iter().chain([("target", "https://a.example/")]).collect();
    assert_eq!(person.submit(&new, "/ui/links/new", &fields).status, 303);
    let again = person.get("/ui/links/new").body;
    let refused = person.submit(&again, "/ui/links/new", &fields);
    assert_eq!(refused.status, 409);
    assert!(refused.body.contains("The code taken has a link already."), "{}", refused.body);
    assert!(refused.body.contains("href=\"/ui/link?domain=-&amp;code=taken\""), "{}", refused.body);
    // A second press of the same button is the same request.
    let twice = person.get("/ui/links/new").body;
    let drawn = [("target", "https://drawn.example/")];
    let (first, second) =
        (person.submit(&twice, "/ui/links/new", &drawn), person.submit(&twice, "/ui/links/new", &drawn));
    assert_eq!(first.location(), second.location());
    assert!(first.location().starts_with("/ui/link?domain=-&code="), "{}", first.location());
}

#[test]
fn two_who_edit_the_same_link_see_both_and_nobody_is_overwritten() {
    let _beside = beside_others();
    let dir = Dir::new();
    let (linkr, key) = up(&dir);
    let mut person = signed_in(&linkr, &key);
    linkr.ok(&dir, &["link", "create", "https://a.example/", "--code", "both", "--title", "old"]);
    let mine = person.get("/ui/link/edit?domain=-&code=both").body;
    linkr.ok(&dir, &["link", "update", "both", "--title", "theirs", "--note", "their note"]);
    let refused =
        person.submit(&mine, "/ui/link/edit", &[("target", "https://mine.example/"), ("title", "mine")]);
    assert_eq!(refused.status, 409, "{}", refused.body);
    let page = &refused.body;
    for cell in ["You read\">old<", "You typed\">mine<", "It is now\">theirs<", "It is now\">their note<"] {
        assert!(page.contains(cell), "{cell}: {page}");
    }
    let saved = person.submit(page, "/ui/link/edit", &[]);
    assert_eq!(saved.status, 303, "{}", saved.body);
    let link = linkr.ok(&dir, &["link", "get", "both", "-o", "json"]);
    for kept in ["https://mine.example/", "\"mine\"", "their note"] {
        assert!(link.contains(kept), "{kept}: {link}");
    }
}

#[test]
fn many_links_are_tagged_disabled_deleted_and_brought_back_at_once() {
    let _beside = beside_others();
    let dir = Dir::new();
    let (linkr, key) = up(&dir);
    let mut person = signed_in(&linkr, &key);
    for code in ["a", "b", "c"] {
        linkr.ok(&dir, &["link", "create", "https://a.example/", "--code", code, "--tag", "first"]);
    }
    let mut bulk = |from: &str, what: &str, tag: &str| {
        let list = person.get(from).body;
        let done = person.submit(
            &list,
            "/ui/links/bulk",
            &[("pick", "a"), ("pick", "b"), ("do", what), ("tag", tag)],
        );
        assert_eq!(done.status, 303, "{}", done.body);
        person.get(done.location()).body
    };
    assert!(bulk("/ui/links", "tag", "").contains("Say which tag."));
    assert!(bulk("/ui/links", "tag", "spring").contains("Changed 2 links."));
    assert!(bulk("/ui/links?tag=spring", "disable", "").contains("Disabled 2 links."));
    assert_eq!((linkr.get("/a").status, linkr.get("/c").status), (410, 302));
    assert!(bulk("/ui/links", "enable", "").contains("Enabled 2 links."));
    assert!(bulk("/ui/links", "untag", "spring").contains("Changed 2 links."));
    assert!(bulk("/ui/links", "delete", "").contains("Deleted 2 links."));
    assert!(bulk("/ui/links?deleted=1", "undelete", "").contains("Brought back 2 links."));
    let tags = linkr.ok(&dir, &["tag", "list"]);
    assert!(tags.contains("first") && !tags.contains("spring"), "{tags}");
    let list = person.get("/ui/links").body;
    let none = person.submit(&list, "/ui/links/bulk", &[("do", "delete")]);
    assert!(person.get(none.location()).body.contains("No link is selected"));
    let tags = person.get("/ui/tags").body;
    let renamed = person.submit(&tags, "/ui/tags/rename", &[("tag", "first"), ("new_tag", "last")]);
    assert!(person.get(renamed.location()).body.contains("first is last now: 3 links changed."));
}

/// Somebody disabled all 63 links of a tag, and 13 on the second page were left without a word.
#[test]
fn what_a_list_has_on_other_pages_is_told_done_and_taken_back() {
    let _beside = beside_others();
    let dir = Dir::new();
    let (linkr, key) = up(&dir);
    let mut person = signed_in(&linkr, &key);
    let mut rows = String::from("code,target,tags\nother,https://a.example/,\n");
    (0..63).for_each(|at| rows.push_str(&format!("c{at:02},https://a.example/,internal\n")));
    dir.write("links.csv", rows);
    linkr.ok(&dir, &["import", "links.csv"]);
    linkr.catch_up();
    let codes: Vec<String> = (0..50).map(|at| format!("c{at:02}")).collect();
    let some = |deed: &'static str| -> Vec<(&str, &str)> {
        codes.iter().map(|code| ("pick", code.as_str())).chain([("do", deed)]).collect()
    };
    let list = person.get("/ui/links?tag=internal").body;
    let done = person.submit(&list, "/ui/links/bulk", &some("disable"));
    let page = person.get(done.location()).body;
    assert!(page.contains("Disabled 50 links. The only edge has it, after"), "{page}");
    assert!(page.contains("13 links more that this list finds were not selected."), "{page}");
    assert_eq!((linkr.get("/c49").status, linkr.get("/c50").status), (410, 302));
    // The form of the notice comes first.
    let undone = person.submit(&page, "/ui/links/bulk", &[]);
    assert!(person.get(undone.location()).body.contains("Enabled 50 links."));
    assert_eq!(linkr.get("/c49").status, 302);

    linkr.ok(&dir, &["link", "update", "c07", "--disabled", "true"]);
    let list = person.get("/ui/links?tag=internal").body;
    let asked = person.submit(&list, "/ui/links/bulk", &[("all", "1"), ("do", "disable")]);
    assert!(asked.status == 200 && asked.body.contains("Disable: all 63 links"), "{}", asked.body);
    assert_eq!(linkr.get("/c62").status, 302, "nothing is done before it was asked again");
    let done = person.submit(&asked.body, "/ui/links/bulk", &[("do", "disable")]);
    let page = person.get(done.location()).body;
    assert!(page.contains("Disabled 62 links. The only edge has it"), "{page}");
    assert!(page.contains("1 link was so before, or cannot be changed."), "{page}");
    assert_eq!((linkr.get("/c62").status, linkr.get("/other").status), (410, 302));
    let undone = person.submit(&page, "/ui/links/bulk", &[]);
    assert!(person.get(undone.location()).body.contains("Enabled 62 links."));
    assert_eq!(
        (linkr.get("/c62").status, linkr.get("/c07").status),
        (302, 410),
        "what was so before stays so"
    );
}

#[test]
fn hostile_texts_are_text() {
    let _beside = beside_others();
    let dir = Dir::new();
    let (linkr, key) = up(&dir);
    let mut person = signed_in(&linkr, &key);
    let evil = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}\u{202e}";
    let new = person.get("/ui/links/new").body;
    let target = "https://a.example/?x=<script>alert(1)</script>";
    let fields = [
        ("code", "evil"),
        ("target", target),
        ("title", evil),
        ("note", evil),
        ("tags", "<b>,\"><svg/onload=x>"),
    ];
    let made = person.submit(&new, "/ui/links/new", &fields);
    assert_eq!(made.status, 303, "{}", made.body);
    for path in [
        "/ui/links",
        "/ui/links?tag=%3Cscript%3E&begins=%22%3E%3Cscript%3E&filter=%3Cscript%3E",
        "/ui/link?code=evil",
        "/ui/link/edit?code=evil",
        "/ui/link/history?code=evil",
        "/ui/link?code=%3Cscript%3Ealert(1)%3C/script%3E",
        "/ui/links/new?title=%3Cscript%3E&domain=%22%3E%3Cscript%3E",
        "/ui/tags?prefix=%22%3E%3Cscript%3E",
        "/ui/audit?name=%22%3E%3Cscript%3E",
        "/ui/clicks?code=evil",
        "/ui/clicks?code=%3Cscript%3Ealert(1)%3C/script%3E",
        "/ui/clicks?tag=%3Cscript%3E&country=%3Cscript%3E&referrer=%22%3E%3Cscript%3E&browser=%3Csvg/onload=x%3E",
        "/ui/clicks?kind=%3Cscript%3E&last=%3Cscript%3E&by=%3Cscript%3E",
        "/ui/clicks?zone=%3Cscript%3E&from=%3Cscript%3E&to=%22%3E%3Cscript%3E",
        "/ui/clicks/unknown?zone=%3Cscript%3E",
        "/ui/links/import?rows=%3C/textarea%3E%3Cscript%3E&base=%22%3E%3Cscript%3E",
    ] {
        let page = person.get(path).body;
        assert_eq!(page.matches("<script").count(), 1, "{path}: {page}");
        for never in ["<img src=x", "<b>,", "<svg/"] {
            assert!(!page.contains(never), "{path} holds {never}");
        }
    }
    assert!(unescaped(&person.get("/ui/link?code=evil").body).contains(evil));
}

#[test]
fn the_pages_of_admins_make_and_end_keys_domains_and_blocks() {
    let _beside = beside_others();
    let dir = Dir::new();
    let (linkr, key) = up(&dir);
    let mut person = signed_in(&linkr, &key);
    let new = person.get("/ui/keys/new").body;
    let refused = person.submit(&new, "/ui/keys/new", &[("client", "bob")]);
    assert!(refused.status == 400 && refused.body.contains("id=\"scopes-error\""), "{}", refused.body);
    let made = person.submit(&new, "/ui/keys/new", &[("client", "bob"), ("scope", "links:read")]);
    let secret = made.body.split("lk_").nth(1).unwrap_or_else(|| panic!("{}", made.body));
    let secret = format!("lk_{}", secret.split('<').next().unwrap());
    assert!(
        made.body.contains(&format!("signs in at <code>http://{}/ui</code>", linkr.api())),
        "{}",
        made.body
    );
    let soon = person.submit(
        &new,
        "/ui/keys/new",
        &[("client", "eve"), ("scope", "clicks:read"), ("ends_in", "30")],
    );
    assert!(soon.body.contains("<dt>Ends</dt><dd><time datetime="), "{}", soon.body);
    let both =
        [("client", "eve"), ("scope", "clicks:read"), ("ends_in", "30"), ("expire_time", "2099-01-01T00:00")];
    assert!(person.submit(&new, "/ui/keys/new", &both).body.contains("Say one of both"));
    let mut bob = signed_in(&linkr, &secret);
    assert!(bob.get("/ui/session").body.contains("<a href=\"/ui/session\">bob</a>"), "he is called by name");
    assert_eq!(bob.get("/ui/keys").status, 403);
    assert!(!bob.get("/ui/links").body.contains("New link"), "only what his key allows is offered");
    let id =
        bob.get("/ui/session").body.split("<code>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let way = format!("/ui/keys/revoke?key={id}");
    assert!(person.get("/ui/keys").body.contains(&way), "to revoke takes a second look");
    let asked = person.get(&way).body;
    assert!(
        asked.contains("Revoke the key of bob") && asked.contains("never, unless it is revoked"),
        "{asked}"
    );
    let ended = person.submit(&asked, "/ui/keys/end", &[("do", "revoke")]);
    let told = format!("The key of bob ({id}) is refused everywhere within a second.");
    assert!(person.get(ended.location()).body.contains(&told));
    assert_eq!(person.get(&way).status, 404);
    let out = crate::support::until("his session to end", || {
        let page = bob.get("/ui/links");
        (page.status == 303).then_some(page)
    });
    assert!(bob.get(out.location()).body.contains("The key of your session was revoked"));
    let audit = person.get("/ui/audit").body;
    for part in ["<strong>Revoked</strong>", "<dt>Domains</dt><dd><ins>all</ins>", "</strong> (key <code>"] {
        assert!(audit.contains(part), "{part}: {audit}");
    }

    let new = person.get("/ui/domains/new").body;
    let refused = person.submit(&new, "/ui/domains/new", &[("host", "not a host")]);
    assert!(refused.status == 400 && refused.body.contains("id=\"host-error\""), "{}", refused.body);
    let made = person.submit(&new, "/ui/domains/new", &[("host", "go.example"), ("trailing_slash", "1")]);
    assert_eq!(made.status, 303, "{}", made.body);
    let edit = person.get("/ui/domain?domain=go.example").body;
    let saved = person.submit(&edit, "/ui/domain", &[("not_found", "https://a.example/{path}")]);
    assert!(person.get(saved.location()).body.contains("Saved go.example."), "{}", saved.body);
    let edit = person.get("/ui/domain?domain=go.example").body;
    let gone = person.submit(&edit, "/ui/domain/delete", &[]);
    assert!(person.get(gone.location()).body.contains("Deleted go.example."));

    linkr.ok(&dir, &["link", "create", "https://evil.example/", "--code", "evil"]);
    let blocks = person.get("/ui/blocks").body;
    let blocked = person.submit(&blocks, "/ui/blocks", &[("host", "evil.example")]);
    assert!(
        person.get(blocked.location()).body.contains("Blocked evil.example: 1 links lead there."),
        "{}",
        blocked.body
    );
    let blocks = person.get("/ui/blocks").body;
    let ended = person.submit(&blocks, "/ui/blocks/end", &[("host", "evil.example")]);
    assert!(person.get(ended.location()).body.contains("is blocked no more"), "{}", ended.body);
}

#[test]
fn a_qr_code_is_drawn_by_rest_for_a_terminal_and_on_the_page() {
    let _beside = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up_with(&dir, &[("LINKR_BASE_URL", "https://go.example")]);
    linkr.ok(&dir, &["link", "create", "https://a.example/", "--code", "poster"]);
    let mut rest = Connection::to(linkr.api());
    let svg = rest.ask("GET", "/v1/links/poster:qr");
    assert_eq!((svg.status, svg.field("content-type")), (200, Some("image/svg+xml")), "{}", svg.body);
    assert!(svg.body.starts_with("<svg ") && svg.body.contains("https://go.example/poster"), "{}", svg.body);
    let json =
        rest.call_with("GET", "/v1/links/poster:qr", &[("Accept", "application/json")], "").unwrap().unwrap();
    assert!(json.body.contains("\"rows\":[\"1111111"), "{}", json.body);
    assert_eq!(rest.ask("GET", "/v1/links/none:qr").status, 404);
    let blocks = linkr.ok(&dir, &["link", "qr", "poster"]);
    assert!(blocks.contains('\u{2588}') && blocks.contains("https://go.example/poster"), "{blocks}");
    linkr.ok(&dir, &["link", "qr", "poster", "--svg", "qr.svg"]);
    assert_eq!(fs::read_to_string(dir.path().join("qr.svg")).unwrap(), svg.body);
    let mut person = Person::new(linkr.api());
    let page = person.get("/ui/link?code=poster").body;
    assert!(page.contains("src=\"/ui/link/qr.svg?domain=-&amp;code=poster\""), "{page}");
    assert!(page.contains("download=\"qr-poster.svg\""), "a file is named after its code: {page}");
    let picture = person.get("/ui/link/qr.svg?domain=-&code=poster");
    assert_eq!((picture.status, picture.body), (200, svg.body));
    let plain = Dir::new();
    let linkr = Linkr::up(&plain);
    linkr.ok(&plain, &["link", "create", "https://a.example/", "--code", "poster"]);
    let refused = linkr.run(&plain, &["link", "qr", "poster"]);
    assert!(
        !refused.status.success() && text(&refused.stderr).contains("--base-url"),
        "{}",
        text(&refused.stderr)
    );
}
