//! The pages of clicks without script: they show what REST counts, of a link, a tag, a domain and all of them, and hand it out.

use super::{signed_in, up};
use crate::clicks::{FIREFOX, settle_all, visit};
use crate::support::{Connection, Dir, Linkr, beside_others, until};

const BOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// Two links that were clicked, one that was not, and a code that was asked for in vain.
pub fn clicked(linkr: &Linkr, dir: &Dir) {
    for (code, tag) in [("x", "spring"), ("y", "spring"), ("quiet", "autumn")] {
        linkr.ok(dir, &["link", "create", "https://example.com/", "--code", code, "--tag", tag]);
    }
    linkr.catch_up();
    let mut edge = Connection::to(linkr.edge());
    let person =
        [("User-Agent", FIREFOX), ("Referer", "https://news.example/a?b"), ("Accept-Language", "de-AT")];
    (0..7).for_each(|_| visit(&mut edge, "GET", "/x", &person));
    visit(&mut edge, "GET", "/x", &[("User-Agent", BOT)]);
    visit(&mut edge, "GET", "/y", &person);
    // What calls itself and where it comes from as it likes.
    let hostile =
        [("User-Agent", "<script>alert(1)</script>/1.0"), ("Referer", "https://<script>alert(1)</script>/")];
    visit(&mut edge, "GET", "/y", &hostile);
    for code in ["/printed", "/printed", "/%3Cscript%3E", "/<b>"] {
        assert_eq!(edge.ask("GET", code).status, 404, "{code}");
    }
    settle_all(linkr);
}

/// Waits until the codes that were asked for in vain are told.
pub fn told(linkr: &Linkr, dir: &Dir) {
    until("the unknown codes", || linkr.ok(dir, &["clicks", "--unknown"]).contains("printed ").then_some(()));
}

/// The number that a page begins with.
fn total(page: &str) -> &str {
    let behind = page.split("data-watch-total=\"").nth(1).unwrap_or_else(|| panic!("{page}"));
    behind.split('"').next().unwrap()
}

/// The text of the row of a table that begins with a name.
fn row(page: &str, name: &str) -> String {
    let begins = [format!(">{name}<"), format!("\">{name}</a>")];
    let rows = page.split("<tr>").filter(|row| begins.iter().any(|begins| row.contains(begins)));
    let row = rows.last().unwrap_or_else(|| panic!("no row of {name}: {page}"));
    row.split("</tr>")
        .next()
        .unwrap()
        .split('<')
        .filter_map(|part| part.split_once('>'))
        .map(|(_, text)| format!("{text} "))
        .collect()
}

#[test]
fn the_pages_of_clicks_show_what_is_counted() {
    let _beside = beside_others();
    let dir = Dir::new();
    let (linkr, key) = up(&dir);
    clicked(&linkr, &dir);
    let mut person = signed_in(&linkr, &key);
    let page = person.get("/ui/clicks?code=x&last=24h&zone=Europe/Berlin").body;
    assert_eq!(total(&page), "7", "{page}");
    for part in [
        "clicks of people</strong>".replace("</strong>", ""),
        "in the last 24 hours".to_owned(),
        "Times are in Europe/Berlin.".to_owned(),
        "<path class=\"bars\" d=\"M".to_owned(),
        "0 in the time before it".to_owned(),
        "Complete up to <time".to_owned(),
        "No click of this time is known to be lost.".to_owned(),
        "its <code>stats</code> are <code>counts</code> now".to_owned(),
        "leads to <code>https://example.com/</code>".to_owned(),
    ] {
        assert!(page.contains(&part), "{part}: {page}");
    }
    for (name, count) in
        [("Firefox", " 7 "), ("news.example", " 7 "), ("bots", " 1 "), ("de", " 7 "), ("Linux", " 7 ")]
    {
        assert!(row(&page, name).contains(count), "{name}: {}", row(&page, name));
    }
    assert_eq!(page.matches("<tr><th scope=\"row\">20").count(), 24, "an hour each: {page}");
    let all = person.get("/ui/clicks?code=x&kind=all").body;
    assert_eq!(total(&all), "8");
    let bots = person.get("/ui/clicks?code=/x&kind=bot").body;
    assert!(total(&bots) == "1" && row(&bots, "Googlebot").contains(" 1 "), "{bots}");

    let domain = person.get("/ui/clicks").body;
    assert!(total(&domain) == "9" && row(&domain, "x").contains(" 7 "), "{domain}");
    assert!(domain.contains("href=\"/ui/clicks?domain=-&amp;code=x\""), "{domain}");
    let tag = person.get("/ui/clicks?tag=spring").body;
    assert_eq!((total(&tag), total(&person.get("/ui/clicks?tag=autumn").body)), ("9", "0"));
    let narrow = person.get("/ui/clicks?referrer=news.example&browser=Firefox&kind=all").body;
    assert!(total(&narrow) == "8" && narrow.contains("aria-label=\"Not only Browser Firefox\""), "{narrow}");
    assert_eq!(total(&person.get("/ui/clicks?referrer=other&kind=human").body), "1");

    linkr.ok(&dir, &["domain", "create", "go.example", "--stats", "full"]);
    let both = person.get("/ui/clicks?domain=*").body;
    assert!(total(&both) == "9" && row(&both, "go.example").contains(" 0 "), "{both}");
    assert!(both.contains("<option value=\"*\" selected>all domains</option>"), "{both}");
    let wrong = person.get("/ui/clicks?domain=*&code=x");
    assert!(wrong.status == 400 && wrong.body.contains("of which domain x is"), "{}", wrong.body);
    let full = person.get("/ui/clicks?domain=go.example").body;
    assert!(!full.contains("These are clicks and not visitors"), "{full}");
}

#[test]
fn codes_that_are_dead_are_found_and_made() {
    let _beside = beside_others();
    let dir = Dir::new();
    let (linkr, key) = up(&dir);
    clicked(&linkr, &dir);
    let mut person = signed_in(&linkr, &key);
    told(&linkr, &dir);
    let page = person.get("/ui/clicks/unknown").body;
    assert!(
        row(&page, "/printed").contains(" 2 ") && page.contains("4 requests for codes without a link"),
        "{page}"
    );
    assert!(!page.contains("<b>") && page.contains("/%3Cscript%3E"), "{page}");
    assert!(page.contains("href=\"/ui/links/new?domain=-&amp;code=printed\""), "{page}");
    assert!(person.get("/ui/links/new?domain=-&code=printed").body.contains("value=\"printed\""));
    // One that has a link now is told as such.
    linkr.ok(&dir, &["link", "create", "https://example.com/", "--code", "printed"]);
    let page = person.get("/ui/clicks/unknown").body;
    assert!(row(&page, "/printed").contains("has a link  since "), "{}", row(&page, "/printed"));
    assert!(
        page.contains("href=\"/ui/link?domain=-&amp;code=printed\"")
            && !page.contains("code=printed\" aria-label=\"Make"),
        "{page}"
    );
    let few = person.get("/ui/clicks").body;
    assert!(row(&few, "/printed").contains(" 2 ") && few.contains("/ui/clicks/unknown?domain=-"), "{few}");
}

#[test]
fn what_is_asked_wrong_of_clicks_is_said_and_the_rest_is_kept() {
    let _beside = beside_others();
    let dir = Dir::new();
    let (linkr, key) = up(&dir);
    let mut person = signed_in(&linkr, &key);
    for (path, status, said) in [
        ("/ui/clicks?from=Friday&tag=spring", 400, "id=\"from-error\""),
        ("/ui/clicks?zone=Europe/Bonn&tag=spring", 400, "zone is none that is known"),
        ("/ui/clicks?from=2026-01-02T00:00&to=2026-01-01T00:00&tag=spring", 400, "from is not before until"),
        ("/ui/clicks?code=none&tag=spring", 404, "domains/-/links/none"),
        ("/ui/clicks?country=Germany&tag=spring", 400, "countries"),
    ] {
        let page = person.get(path);
        assert!(page.status == status && page.body.contains(said), "{path}: {} {}", page.status, page.body);
        assert!(page.body.contains("name=\"tag\" value=\"spring\""), "{path}: {}", page.body);
    }
    let quiet = person.get("/ui/clicks").body;
    assert!(quiet.contains("No click.") && quiet.contains("<path class=\"bars\" d=\"\">"), "{quiet}");
    assert!(quiet.contains("Nobody asked for a code that no link has."), "{quiet}");
}

#[test]
fn single_clicks_are_files_and_the_list_has_the_clicks_of_its_links() {
    let _beside = beside_others();
    let dir = Dir::new();
    let (linkr, key) = up(&dir);
    clicked(&linkr, &dir);
    let mut person = signed_in(&linkr, &key);
    let table = person.download("/ui/clicks/export?code=x&form=csv&kind=all");
    assert_eq!((table.name.as_str(), table.body.lines().count()), ("clicks-x.csv", 9), "{}", table.body);
    assert!(table.body.starts_with("id,time,code,version,kind,"), "{}", table.body);
    let people = person.download("/ui/clicks/export?form=jsonl");
    assert_eq!((people.name.as_str(), people.body.lines().count()), ("clicks--.jsonl", 9), "{}", people.body);
    assert!(people.body.lines().all(|line| line.contains("\"human\"")), "{}", people.body);
    assert_eq!(person.get("/ui/clicks/export?code=none").status, 404);

    let list = person.get("/ui/links").body;
    for (code, count) in [("x", ">7</a>"), ("y", ">2</a>"), ("quiet", ">0</a>")] {
        let row = list.split("<tr>").find(|row| row.contains(&format!("code={code}\">{code}</a>")));
        assert!(row.is_some_and(|row| row.contains(count)), "{code}: {list}");
    }
    let secret = linkr.ok(&dir, &["keys", "create", "bob", "--scopes", "links:read"]);
    let mut bob = signed_in(&linkr, secret.trim());
    assert!(!bob.get("/ui/links").body.contains("Clicks"), "his key may not read clicks");
    assert_eq!(bob.get("/ui/clicks").status, 403);
}
