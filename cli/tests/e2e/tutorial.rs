//! The tutorial and the beginning of the README, typed as they stand there.

use crate::manual::{Page, Terminal};
use crate::support::{Dir, Linkr, beside_others, until, workspace};
use std::path::Path;

const READY: [&str; 4] = ["edge", "api", "admin", "then"];

/// Types a block, a line at a time; a person takes longer than a change does.
#[track_caller]
fn typed(terminal: &Terminal, linkr: &Linkr, block: &str) -> String {
    let line = |line: &str| {
        let said = terminal.ok(line);
        linkr.catch_up();
        said
    };
    block.lines().map(line).collect()
}

#[test]
fn the_tutorial_works_word_by_word() {
    let _turn = beside_others();
    let (page, dir) = (Page::at("docs/tutorial.md"), Dir::new());
    let terminal = Terminal::new(&dir);
    let linkr = terminal.start(&page.block("Start it"), &READY);
    let types = |block: &str| typed(&terminal, &linkr, block);
    let link = page.blocks("A link");
    let [create, update, past, undo] = link.as_slice() else { panic!("{link:?}") };
    let said = types(create);
    assert!(
        said.contains("HTTP/1.1 302 Found") && said.contains("Location: https://example.com/spring"),
        "{said}"
    );
    let said = types(update);
    assert!(said.contains("Location: https://example.com/summer"), "{said}");
    let said = types(past);
    for shown in ["CreateLink", "https://example.com/spring", "spring  https://example.com/summer"] {
        assert!(said.contains(shown), "{said}");
    }
    assert!(types(undo).contains("HTTP/1.1 410 Gone"));
    assert_eq!(linkr.get("/spring").location(), "https://example.com/summer");
    assert!(types(&page.block("Why it answers as it does")).contains("302"));
    let said = types(&page.block("A domain"));
    for leads in ["Location: https://example.com/jobs", "Location: https://example.com/search"] {
        assert!(said.contains(leads), "{said}");
    }
    let said = types(&page.block("Many at once"));
    assert!(said.contains("shop,https://example.com/shop") && said.contains("blog,"), "{said}");
    let clicks = page.blocks("Clicks");
    let [click, count] = clicks.as_slice() else { panic!("{clicks:?}") };
    types(click);
    until("both kinds", || {
        let said = types(count);
        (said.contains("human") && said.contains("bot") && said.contains("shop")).then_some(())
    });
    let keys = page.blocks("A key for somebody else");
    let [make, read] = keys.as_slice() else { panic!("{keys:?}") };
    types(make);
    let said = types(read);
    assert!(said.contains("https://example.com/shop"), "{said}");
    types(&page.block("Keep it"));
    assert!(dir.path().join("backup.db").exists());
}

#[test]
fn the_readme_begins_with_two_commands_that_work() {
    let _turn = beside_others();
    let (page, dir) = (Page::at("README.md"), Dir::new());
    let terminal = Terminal::new(&dir);
    let blocks = page.blocks("");
    let [start, first] = blocks.as_slice() else { panic!("{blocks:?}") };
    assert_eq!(start.trim(), "make run", "which is cargo run --release, and that is linkr up");
    let linkr = terminal.start("linkr up", &READY);
    let said = typed(&terminal, &linkr, &first.replace("target/release/linkr", "linkr"));
    assert!(said.contains("Location: https://example.com"), "{said}");
    let keys = page.blocks("Keys");
    assert!(terminal.ok(&keys[0]).contains("https://example.com"), "{}", keys[0]);
}

/// A page that names another names one that is there, and docs/README.md leads to each.
#[test]
fn pages_lead_to_pages_that_are_there() {
    let docs = workspace().join("docs");
    let mut pages = vec![workspace().join("README.md")];
    let of_docs = std::fs::read_dir(&docs).unwrap().map(|entry| entry.unwrap().path());
    pages.extend(of_docs.filter(|path| path.extension().is_some_and(|end| end == "md")));
    let index = std::fs::read_to_string(docs.join("README.md")).unwrap();
    for page in &pages {
        let (text, folder) = (std::fs::read_to_string(page).unwrap(), page.parent().unwrap());
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, part) = target.split_once('#').unwrap_or((target, ""));
            if file.contains("://") || file.starts_with('<') || target.contains(' ') {
                continue;
            }
            let named = if file.is_empty() { page.clone() } else { folder.join(file) };
            assert!(named.exists(), "{} names {target}", page.display());
            if !part.is_empty() && named.extension().is_some_and(|end| end == "md") {
                assert!(has_heading(&named, part), "{} names {target}", page.display());
            }
        }
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "README.md" || index.contains(&format!("({name}")), "docs/README.md has no {name}");
    }
}

/// Whether a page has the heading that a link names as GitHub does.
fn has_heading(page: &Path, part: &str) -> bool {
    let text = std::fs::read_to_string(page).unwrap();
    text.lines().filter_map(|line| line.strip_prefix('#')).any(|heading| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.collect::<String>().replace(' ', "-") == part
    })
}
