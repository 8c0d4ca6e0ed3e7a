//! Circles among the modules of a crate. At each level, the children of one module are compared: what a child and all
//! below it name of a sibling is an arrow. Arrows between a module and what lies below it do not count.

use super::paths;
use std::collections::{BTreeMap, BTreeSet};

/// One crate's modules: the path from the crate's root (`[]` for the root itself) to the text of its file.
pub type Modules = BTreeMap<Vec<String>, String>;

/// The module that a file below `src/` holds; `None` for a binary's further roots and what is no source.
pub fn module_of(file: &str) -> Option<Vec<String>> {
    let stem = file.strip_suffix(".rs")?;
    if stem.starts_with("bin/") || stem.split('/').any(|part| part.ends_with("tests")) {
        return None;
    }
    Some(match stem {
        "lib" | "main" => Vec::new(),
        _ => stem.split('/').map(str::to_owned).collect(),
    })
}

/// What one sibling names of another, by the path of their parent.
pub type Arrows = BTreeMap<Vec<String>, BTreeSet<(String, String)>>;

/// Each circle as the names of the siblings in it, with their parent's path in front.
pub fn circles(modules: &Modules) -> Vec<String> {
    arrows(modules)
        .iter()
        .flat_map(|(parent, arrows)| {
            let front = parent.iter().fold(String::new(), |front, name| front + name + "::");
            knots(arrows).into_iter().map(move |knot| format!("{front}{{{}}}", knot.join(" ")))
        })
        .collect()
}

/// From each module to those of its siblings that it, or a module below it, names.
pub fn arrows(modules: &Modules) -> Arrows {
    let mut arrows = Arrows::new();
    let imports: BTreeMap<_, _> =
        modules.iter().map(|(module, text)| (module.clone(), paths::named(text))).collect();
    for (module, named) in &imports {
        for path in named {
            let Some(target) = resolve(&imports, module, path) else { continue };
            let shared = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (module.get(shared), target.get(shared)) {
                arrows.entry(module[..shared].to_vec()).or_default().insert((from.clone(), to.clone()));
            }
        }
    }
    arrows
}

/// The module that holds what `path`, written in `module`, names; `None` if that is no module of this crate.
fn resolve(
    imports: &BTreeMap<Vec<String>, Vec<String>>,
    module: &[String],
    path: &str,
) -> Option<Vec<String>> {
    let (mut at, mut parts) = (module.to_vec(), path.split("::").peekable());
    let mut inside = false;
    while let Some(first) = parts.next_if(|part| ["crate", "self", "super"].contains(part)) {
        inside = true;
        match first {
            "crate" => at.clear(),
            "super" => drop(at.pop()?),
            _ => {}
        }
    }
    let rest: Vec<&str> = parts.collect();
    // A path that begins with no keyword is one of this crate only if it begins with a module declared here.
    if !inside && !imports.contains_key(&child(&at, rest.first()?)) {
        return None;
    }
    descend(imports, at, &rest, 0)
}

/// Goes down module by module; a name that a module imports from one of its own is looked for there.
fn descend(
    imports: &BTreeMap<Vec<String>, Vec<String>>,
    mut at: Vec<String>,
    rest: &[&str],
    depth: usize,
) -> Option<Vec<String>> {
    for (done, part) in rest.iter().enumerate() {
        let below = child(&at, part);
        if imports.contains_key(&below) {
            at = below;
            continue;
        }
        let last = format!("::{part}");
        let own = |path: &&String| {
            let first = path.split("::").next().unwrap_or_default();
            path.ends_with(&last) && imports.contains_key(&child(&at, first))
        };
        let reexported = imports[&at].iter().find(own).filter(|_| depth < 8);
        return match reexported {
            Some(path) => {
                let mut path: Vec<&str> = path.split("::").collect();
                path.extend(&rest[done + 1..]);
                descend(imports, at, &path, depth + 1)
            }
            None => Some(at),
        };
    }
    Some(at)
}

fn child(parent: &[String], name: &str) -> Vec<String> {
    parent.iter().cloned().chain([name.to_owned()]).collect()
}

/// The strongly connected sets of more than one name.
fn knots(arrows: &BTreeSet<(String, String)>) -> Vec<Vec<String>> {
    let names: BTreeSet<&String> = arrows.iter().flat_map(|(from, to)| [from, to]).collect();
    let reached = |start: &String| {
        let (mut seen, mut left) = (BTreeSet::new(), vec![start]);
        while let Some(name) = left.pop() {
            for (_, to) in arrows.iter().filter(|(from, _)| from == name) {
                if seen.insert(to) {
                    left.push(to);
                }
            }
        }
        seen
    };
    let reach: BTreeMap<_, _> = names.iter().map(|name| (*name, reached(name))).collect();
    let knot = |name: &String| -> Vec<String> {
        let both = |other: &&&String| reach[name].contains(**other) && reach[**other].contains(name);
        names.iter().filter(both).map(|name| (*name).clone()).collect()
    };
    let all: BTreeSet<Vec<String>> =
        names.iter().map(|name| knot(name)).filter(|knot| knot.len() > 1).collect();
    all.into_iter().collect()
}
