//! Tests: every `linkr …` that a page shows has commands and flags that there are.

use super::Linkr;
use clap::{Command, CommandFactory};
use std::path::Path;

/// The commands of a page, of its blocks and then of its lines; without what a shell does with them.
fn shown(page: &str) -> Vec<String> {
    let (mut code, mut prose, mut fenced) = (Vec::new(), String::new(), false);
    for line in page.replace("\\\n", " ").lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            code.push(line.trim().to_owned());
        } else {
            prose += &format!("{line}\n");
        }
    }
    let inline = prose.split('`').skip(1).step_by(2);
    code.extend(inline.map(|part| part.split_whitespace().collect::<Vec<_>>().join(" ")));
    let mut found = Vec::new();
    for line in code {
        let line = line.split(" #").next().unwrap_or_default();
        let alone = line.split(" | ").flat_map(|part| part.split("; ")).flat_map(|part| part.split(" && "));
        let commands = alone.map(|part| part.trim().trim_start_matches("target/release/"));
        found.extend(commands.filter(|part| part.starts_with("linkr ")).map(str::to_owned));
    }
    found
}

fn has_flag(command: &Command, flag: &str) -> bool {
    command.get_arguments().any(|arg| arg.get_long() == Some(flag))
        || command.get_subcommands().any(|below| has_flag(below, flag))
}

/// Says what is wrong with a command that a page shows, or `None`. A word that names no command is a value where values may stand, and so is
/// every word behind an ellipsis, which stands for any command below.
fn wrong(shown: &str, root: &Command) -> Option<String> {
    let (mut at, mut above, mut any) = (root, Vec::new(), false);
    let shown = shown.replace("\\|", "|");
    for word in shown.split_whitespace().skip(1) {
        let word = word.trim_matches(|c| "[]'\"".contains(c));
        if let Some(flag) = word.strip_prefix("--") {
            let flag = flag.split(['=', '|', ']']).next().unwrap_or_default();
            let known = ["help", "version"].contains(&flag) || has_flag(at, flag);
            if !known
                && !above
                    .iter()
                    .any(|one: &&Command| one.get_arguments().any(|arg| arg.get_long() == Some(flag)))
            {
                return Some(format!("{} has no --{flag}", at.get_name()));
            }
        } else if let Some(below) = at.find_subcommand(word.split('|').next().unwrap_or_default()) {
            if let Some(other) = word.split('|').find(|other| at.find_subcommand(other).is_none()) {
                return Some(format!("{} has no command {other}", at.get_name()));
            }
            above.push(at);
            at = below;
        } else if word == "…" {
            any = true;
        } else if at.is_subcommand_required_set() && !any && !word.starts_with('-') {
            return Some(format!("{} has no command {word}", at.get_name()));
        }
    }
    None
}

#[test]
fn what_is_wrong_is_seen() {
    let mut root = Linkr::command();
    root.build();
    for (shown, fault) in [
        ("linkr link create URL --code c --ack propagated", None),
        ("linkr link … --ack propagated", None),
        ("linkr link create\\|update CODE [--title T]", None),
        ("linkr doctor edge --also ADDR --snapshot FILE", None),
        ("linkr control --store S bump-epoch --above N", None),
        ("linkr lnk create", Some("linkr has no command lnk")),
        ("linkr link make URL", Some("link has no command make")),
        ("linkr link create URL --kode c", Some("create has no --kode")),
        ("linkr keys create|mend", Some("keys has no command mend")),
    ] {
        assert_eq!(wrong(shown, &root).as_deref(), fault, "{shown}");
    }
    let page = "`linkr up` and\n\n    A=1; linkr import x && curl y | linkr export -   # all\n    target/release/linkr tail\n";
    assert_eq!(self::shown(page), ["linkr import x", "linkr export -", "linkr tail", "linkr up"]);
}

#[test]
fn pages_show_commands_and_flags_that_there_are() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut pages = vec![tree.join("README.md")];
    let docs = std::fs::read_dir(tree.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    pages.extend(docs.filter(|path| path.extension().is_some_and(|end| end == "md")));
    let mut root = Linkr::command();
    root.build();
    let (mut count, mut faults) = (0, Vec::new());
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for command in shown(&text) {
            count += 1;
            faults.extend(wrong(&command, &root).map(|why| format!("{}: {command}: {why}", page.display())));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(count > 100, "only {count} commands were found");
}
