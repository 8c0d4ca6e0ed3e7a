//! The pages in a real Chromium: each task by keyboard and by mouse, narrow and wide, light and dark; rules of accessibility,
//! complaints of the console, requests to elsewhere. `LINKR_PICTURES=DIR` keeps a picture of every page.

use super::clicks::{clicked, told};
use super::driver::Driver;
use super::up;
use crate::clicks::{FIREFOX, visit};
use crate::support::{Connection, Dir, Linkr, alone, has, skip, until, workspace};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

const ENTER: &str = "\u{e007}";
const SPACE: &str = " ";

struct Walk<'a> {
    driver: Driver,
    linkr: &'a Linkr,
    look: String,
    axe: Option<String>,
    pictures: Option<PathBuf>,
}

#[test]
#[ignore = "a minute of Chromium"]
fn every_task_is_done_in_a_real_browser() {
    let test = "every_task_is_done_in_a_real_browser";
    if !has("chromedriver") || !has("chromium") {
        return skip(test, "chromium or chromedriver is missing");
    }
    let _alone = alone();
    let rules = workspace().join("target/tools/axe/package/axe.min.js");
    let axe = fs::read_to_string(&rules).ok();
    if axe.is_none() {
        skip(test, "axe-core is missing (make test-long fetches it): rules of accessibility are left out");
    }
    for (width, dark) in [(1_440, false), (360, true), (360, false), (1_440, true)] {
        let dir = Dir::new();
        let (linkr, key) = up(&dir);
        furnish(&linkr, &dir);
        let mut driver = Driver::start();
        driver.looks_like(width, dark);
        let look = format!("{width}-{}", if dark { "dark" } else { "light" });
        let pictures = std::env::var_os("LINKR_PICTURES").map(PathBuf::from);
        let mut walk = Walk { driver, linkr: &linkr, look, axe: axe.clone(), pictures };
        walk.sign_in(&key);
        walk.make_a_link();
        walk.change_it_and_put_it_back();
        walk.do_many_at_once();
        walk.look_at_clicks();
        walk.watch_clicks();
        walk.find_a_dead_code();
        walk.import_a_file();
        walk.look_at_every_page();
        walk.ask_an_edge_and_watch_the_fleet();
        walk.sign_out();
    }
}

/// Links of every state, with long and hostile texts.
fn furnish(linkr: &Linkr, dir: &Dir) {
    let mut rows = String::from("code,target,title,tags,disabled,expire_time,note\n");
    for at in 0..60 {
        rows.push_str(&format!(
            "promo-{at:02},https://www.example/spring/{at}?utm_source=flyer,Spring sale {at},spring,,,\n"
        ));
    }
    let long = "averyveryverylongword".repeat(8);
    rows.push_str(&format!(
        "a-hostile,https://www.example/{long}?q=<b>,<script>alert(1)</script> {long},\"<b>,{}\",,,\n",
        "t".repeat(60)
    ));
    rows.push_str("a-disabled,https://www.example/,Disabled,,true,,\n");
    rows.push_str("a-expired,https://www.example/,Expired,,,2020-01-01T00:00:00Z,\n");
    dir.write("links.csv", rows);
    linkr.ok(dir, &["import", "links.csv"]);
    linkr.ok(dir, &["link", "create", "https://www.example/gone", "--code", "a-deleted"]);
    linkr.ok(dir, &["link", "delete", "a-deleted"]);
    linkr.ok(dir, &["domain", "create", "go.example", "--not-found", "https://www.example/{path}"]);
    linkr.ok(
        dir,
        &["link", "create", "https://www.example/poster", "--code", "poster", "--domain", "go.example"],
    );
    linkr.ok(dir, &["target", "block", "evil.example"]);
    clicked(linkr, dir);
    told(linkr, dir);
    linkr.catch_up();
}

impl Walk<'_> {
    fn open(&mut self, path: &str) {
        let address = format!("http://{}{path}", self.linkr.api());
        self.driver.open(&address);
    }

    /// Looks at what is shown now.
    fn look(&mut self, name: &str) {
        let host = self.linkr.api().to_string();
        let page = format!("{name}, {}", self.look);
        if let Some(pictures) = &self.pictures {
            fs::create_dir_all(pictures).unwrap();
            fs::write(pictures.join(format!("{name}-{}.png", self.look)), self.driver.picture()).unwrap();
        }
        let wide = self.driver.value("document.documentElement.scrollWidth - innerWidth");
        assert!(wide.as_i64().unwrap() <= 0, "{page} is {wide} px too wide");
        let complaints = self.driver.complaints(&host);
        assert!(complaints.is_empty(), "{page}: {complaints:#?}");
        if let Some(axe) = self.axe.clone() {
            self.driver.value(&format!("{axe};0"));
            let found = self.driver.value(
                "axe.run(document).then(told => told.violations.map(broken => \
                 `${broken.id}: ${broken.help}: ${broken.nodes.map(node => node.html).join(' | ')}`))",
            );
            assert_eq!(found, Value::Array(Vec::new()), "{page}");
        }
    }

    /// What came of a form is told on the page behind it.
    fn told(&mut self, words: &str) {
        self.driver.until(&format!(
            "document.readyState == 'complete' && (document.querySelector('.notice') || {{}}).textContent?.includes({})",
            serde_json::json!(words)
        ));
    }

    fn sign_in(&mut self, key: &str) {
        self.open("/ui/links?order=update_time+desc");
        self.look("sign-in");
        // A wrong key first; the field has the keyboard already.
        self.driver.keys("lk_wrong");
        self.driver.keys(ENTER);
        self.told("what was given is no key");
        // The status of a refusal is told by the console, too.
        self.driver.complaints(&self.linkr.api().to_string());
        self.driver.keys(key);
        self.driver.keys(ENTER);
        self.driver.until("location.pathname == '/ui/links' && document.querySelector('.cards') != null");
        assert!(
            self.driver.address().ends_with("order=update_time+desc"),
            "it goes on where it was asked for"
        );
        self.driver.complaints(&self.linkr.api().to_string());
    }

    /// A link that ends on a Friday at noon, Berlin time: by keyboard.
    fn make_a_link(&mut self) {
        self.open("/ui/links/new");
        self.driver.tab_to("#code");
        self.driver.keys("promo-00");
        self.driver.until(
            "document.querySelector('[data-check-says]').textContent.startsWith('This code is taken.')",
        );
        self.driver.keys("x");
        self.driver.until("document.querySelector('[data-check-says]').textContent == 'This code is free.'");
        self.driver.tab_to("#target");
        self.driver.keys("https://www.example/friday");
        assert_eq!(self.driver.value("document.querySelector('#zone').value"), "Europe/Berlin");
        self.driver.value("document.querySelector('#expire_time').value = '2099-12-04T12:00'");
        self.look("new-link");
        self.driver.tab_to("button.main");
        self.driver.keys(ENTER);
        self.told("Created");
        let ends = "document.querySelector('time[datetime=\"2099-12-04T11:00:00Z\"]').textContent";
        assert_eq!(
            self.driver.value(ends),
            "2099-12-04 12:00:00 Europe/Berlin",
            "it is shown in the visitor's zone"
        );
        self.look("link");
    }

    fn change_it_and_put_it_back(&mut self) {
        self.open("/ui/link/edit?code=promo-00x");
        self.look("edit");
        self.driver.tab_to("#target");
        self.driver.keys("\u{e010}-later");
        self.driver.keys(ENTER);
        self.told("Saved.");
        self.open("/ui/link/history?code=promo-00x");
        self.look("history");
        self.driver.click("button[name=revision]");
        self.told("Restored: it leads to https://www.example/friday.");
        // A refused write: what was typed is still there.
        self.open("/ui/link/edit?code=promo-00x");
        self.driver.value("document.querySelector('#target').value = 'nowhere'");
        self.driver.click("main button.main");
        self.driver.until("document.querySelector('#target-error') != null");
        assert_eq!(self.driver.value("document.querySelector('#target').value"), "nowhere");
        self.driver.complaints(&self.linkr.api().to_string());
        self.look("refused");
    }

    fn do_many_at_once(&mut self) {
        self.open("/ui/links?begins=promo-");
        self.driver.click("button[data-pick-all]");
        self.look("bulk");
        self.driver.tab_to("#bulk-tag");
        self.driver.keys("flyer");
        self.driver.tab_to("button[value=tag]");
        self.driver.keys(SPACE);
        self.told("Changed 50 links.");
        self.look("bulk-told");
        // Taken back: the next page says the same words.
        self.driver.value("document.body.dataset.before = 'this'");
        self.driver.click("main .notice button");
        self.driver.until("document.readyState == 'complete' && !document.body.dataset.before");
        self.told("Changed 50 links.");
        // All of the list: asked once more, and given up.
        self.driver.click("input[name=all]");
        self.driver.click("button[value=disable]");
        self.driver.until("document.querySelector('h1').textContent == 'Disable?'");
        self.look("bulk-asked");
        self.driver.click("main .buttons a");
        self.driver.until("location.pathname == '/ui/links' && document.readyState == 'complete'");
        self.open("/ui/link?domain=go.example&code=poster");
        self.driver.click("[data-copy]");
        self.driver.until("document.querySelector('[data-copy]').textContent != 'Copy'");
        self.look("poster");
    }

    /// What a link had in the last 24 hours, and of that what one referrer sent: by keyboard.
    fn look_at_clicks(&mut self) {
        self.open("/ui/link?code=x");
        self.driver.tab_to("a.button[href*='/ui/clicks']");
        self.driver.keys(ENTER);
        self.driver.until("location.pathname == '/ui/clicks' && document.readyState == 'complete'");
        assert!(self.driver.address().contains("zone=Europe%2FBerlin"), "days are the visitor's");
        self.driver.tab_to("#last");
        self.driver.keys("\u{e013}");
        self.driver.tab_to(".search button.main");
        self.driver.keys(ENTER);
        self.driver.until("location.search.includes('last=24h') && document.querySelectorAll('.numbers tbody tr').length == 24");
        self.driver.click("a[href*='referrer=news.example']");
        self.driver.until("location.search.includes('referrer=news.example') && document.querySelector('[data-watch-total]') != null");
        assert_eq!(self.driver.value("document.querySelector('.bars').getBBox().height > 100"), true);
        self.look("clicks-of-a-link");
    }

    fn watch_clicks(&mut self) {
        self.open("/ui/clicks?code=y");
        self.driver.click("[data-watch] button");
        let mut edge = Connection::to(self.linkr.edge());
        let seen = "document.querySelectorAll('[data-watch] tbody tr').length > 0";
        // The watch begins when it does: clicks go on until it has seen one.
        until("the watch to see a click", || {
            visit(&mut edge, "GET", "/y", &[("User-Agent", FIREFOX), ("Referer", "https://news.example/")]);
            (self.driver.value(seen) == true).then_some(())
        });
        let row = self.driver.value("document.querySelector('[data-watch] tbody tr').textContent");
        assert!(row.as_str().unwrap().ends_with("yhuman–Firefoxnews.example"), "{row}");
        let more = "Number(document.querySelector('[data-watch-total]').textContent) > \
                    Number(document.querySelector('[data-watch-total]').dataset.watchTotal)";
        assert_eq!(self.driver.value(more), true);
        self.driver.click("[data-watch] button");
        self.driver.until("document.querySelector('[data-watch-says]').textContent == 'You do not watch.'");
        self.look("clicks-live");
    }

    fn find_a_dead_code(&mut self) {
        self.open("/ui/clicks");
        self.look("clicks");
        self.driver.click("a[href^='/ui/clicks/unknown']");
        self.driver.until("location.pathname == '/ui/clicks/unknown' && document.readyState == 'complete'");
        self.look("dead-codes");
        self.driver.click("a[aria-label='Make a link of printed']");
        self.driver.until(
            "location.pathname == '/ui/links/new' && document.querySelector('#code').value == 'printed'",
        );
    }

    fn import_a_file(&mut self) {
        self.open("/ui/links?begins=promo-");
        self.driver.click("a[href^='/ui/links/import']");
        self.driver.until(
            "location.pathname == '/ui/links/import' && !document.querySelector('[data-file]').hidden",
        );
        self.look("import");
        // As a choice of a file does it.
        self.driver.value(
            "(() => { const data = new DataTransfer(); \
             data.items.add(new File(['code,target\\nflyer,https://www.example/flyer\\nwrong,nowhere\\n'], 'links.csv')); \
             const field = document.querySelector('#file'); field.files = data.files; \
             field.dispatchEvent(new Event('change')); })()",
        );
        self.driver.until("document.querySelector('#rows').value.includes('flyer')");
        self.driver.tab_to("main button.main");
        self.driver.keys(ENTER);
        self.told("2 of 2 rows: 1 created, 0 there already, 1 rejected.");
        self.look("rejected");
        let mend = "(() => { const rows = document.querySelector('#rows'); \
                    rows.value = rows.value.replace(',nowhere', ',https://www.example/'); })()";
        self.driver.value(mend);
        self.driver.click("main button.main");
        self.told("1 of 1 rows: 1 created");
    }

    fn look_at_every_page(&mut self) {
        for (name, path) in [
            ("links", "/ui/links"),
            ("deleted", "/ui/links?deleted=1&begins=a-"),
            ("none", "/ui/links?begins=none"),
            ("hostile", "/ui/link?code=a-hostile"),
            ("expired", "/ui/link?code=a-expired"),
            ("clicks-of-a-tag", "/ui/clicks?tag=spring&last=30d"),
            ("clicks-of-all", "/ui/clicks?domain=*&last=12m"),
            ("clicks-none", "/ui/clicks?code=quiet&from=2026-01-01T00:00&to=2026-01-02T00:00"),
            ("clicks-hostile", "/ui/clicks?code=a-hostile&country=-&browser=%3Cscript%3E"),
            ("tags", "/ui/tags"),
            ("domains", "/ui/domains"),
            ("new-domain", "/ui/domains/new"),
            ("domain", "/ui/domain?domain=go.example"),
            ("blocks", "/ui/blocks"),
            ("fleet", "/ui/fleet"),
            ("keys", "/ui/keys"),
            ("new-key", "/ui/keys/new"),
            ("audit", "/ui/audit"),
            ("session", "/ui/session"),
        ] {
            self.open(path);
            self.look(name);
        }
        self.open("/ui/keys");
        self.driver.click("a[href^='/ui/keys/revoke']");
        self.driver.until("location.pathname == '/ui/keys/revoke' && document.readyState == 'complete'");
        self.look("key");
    }

    /// Why an edge answers what it answers, by keyboard; and numbers that come by themselves.
    fn ask_an_edge_and_watch_the_fleet(&mut self) {
        self.open("/ui/link?code=promo-00");
        self.driver.click("a[href^='/ui/link/explain']");
        self.driver.until("document.querySelector('#edge') != null");
        self.driver.tab_to("#content button.main");
        self.driver.keys(ENTER);
        self.driver.until("document.querySelector('pre')?.textContent.startsWith('HTTP/1.1 302 Found')");
        self.look("explained");
        self.open("/ui/fleet");
        for _ in 0..40 {
            assert_eq!(self.linkr.get("/promo-00").status, 302);
        }
        self.driver.until("document.querySelector('.cards').textContent.includes('100 % memory')");
        // What is refreshed stays open, and the times stay in the visitor's zone.
        self.driver.click("details summary");
        self.driver.value("document.activeElement.blur()");
        self.driver.value("document.querySelector('.cards').dataset.before = '1'");
        self.driver.until("document.querySelector('.cards').dataset.before === undefined");
        assert_eq!(self.driver.value("document.querySelector('details').open"), true);
        let time = self.driver.value("document.querySelector('.cards time').textContent");
        assert!(!time.as_str().unwrap().contains("UTC"), "{time}");
        self.look("fleet-open");
    }

    fn sign_out(&mut self) {
        self.driver.click(".who button");
        self.driver.until("location.pathname == '/ui/sign-in'");
        self.open("/ui/links");
        self.driver.until("document.querySelector('#key') != null");
    }
}
