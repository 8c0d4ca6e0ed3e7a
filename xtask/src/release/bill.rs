//! What a release is made of: an inventory of its libraries (CycloneDX), and the texts of their licences.

use super::{Release, moment, said, text};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// How files with a licence are called.
const NAMES: [&str; 6] = ["license", "licence", "copying", "notice", "unlicense", "copyright"];

/// A library that is in the binary.
struct Part {
    name: String,
    version: String,
    /// As SPDX writes it.
    licence: String,
    repository: Option<String>,
    /// SHA-256 of what was downloaded; none for a crate of this workspace.
    sum: Option<String>,
    folder: PathBuf,
    needs: BTreeSet<String>,
}

impl Part {
    fn address(&self) -> String {
        address(&self.name, &self.version)
    }
}

fn address(name: &str, version: &str) -> String {
    format!("pkg:cargo/{name}@{version}")
}

/// The libraries by address, and what else an inventory says.
pub struct Bill {
    parts: BTreeMap<String, Part>,
    version: String,
    moment: String,
}

impl Bill {
    /// Asks cargo what is built into `linkr`: neither what only builds it, nor what tests it.
    pub fn new(release: &Release) -> Result<Self, String> {
        let tree = cargo(&[
            "tree",
            "--locked",
            "--package",
            "cli",
            "--edges",
            "normal,no-proc-macro",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])?;
        let inside: BTreeSet<String> = tree.lines().filter_map(listed).collect();
        let metadata = cargo(&["metadata", "--locked", "--format-version", "1"])?;
        let metadata: Value =
            serde_json::from_str(&metadata).map_err(|fault| format!("cargo metadata: {fault}"))?;
        let sums = sums(&text(Path::new("Cargo.lock"))?);
        let mut parts = BTreeMap::new();
        let mut names = BTreeMap::new();
        for package in list(&metadata, "packages") {
            let part = part(package, &sums)?;
            names.insert(word(package, "id"), part.address());
            if inside.contains(&part.address()) {
                parts.insert(part.address(), part);
            }
        }
        for node in list(&metadata["resolve"], "nodes") {
            let Some(part) = names.get(&word(node, "id")).and_then(|own| parts.get_mut(own)) else {
                continue;
            };
            let needs = list(node, "dependencies").iter().filter_map(Value::as_str);
            part.needs =
                needs.filter_map(|id| names.get(id)).filter(|one| inside.contains(*one)).cloned().collect();
        }
        match inside.iter().find(|one| !parts.contains_key(*one)) {
            Some(missing) => Err(format!("cargo metadata does not know {missing}")),
            None => Ok(Self { parts, version: release.version.clone(), moment: moment(release)? }),
        }
    }

    /// CycloneDX 1.5.
    pub fn inventory(&self) -> String {
        let own = address("cli", &self.version);
        let libraries = self.parts.values().filter(|part| part.address() != own);
        let components: Vec<Value> = libraries.map(component).collect();
        let needs = self.parts.values().map(|part| json!({ "ref": part.address(), "dependsOn": part.needs }));
        let bill = json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": {
                "timestamp": self.moment,
                "component": {
                    "type": "application",
                    "bom-ref": own,
                    "name": "linkr",
                    "version": self.version,
                    "licenses": [{ "expression": "Apache-2.0 OR MIT" }],
                },
            },
            "components": components,
            "dependencies": needs.collect::<Vec<_>>(),
        });
        format!("{bill:#}\n")
    }

    /// Every library with its licence, then each text once with those that have it.
    pub fn licences(&self) -> Result<String, String> {
        let foreign = || self.parts.values().filter(|part| part.sum.is_some());
        let mut whole =
            String::from("Libraries that are built into linkr, each with its licence. The texts follow.\n\n");
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for part in foreign() {
            let _ = writeln!(whole, "{} {}: {}", part.name, part.version, part.licence);
            let mut files = Vec::new();
            find(&part.folder, 2, &mut files)?;
            for file in files {
                let text = String::from_utf8_lossy(&fs::read(&file).unwrap_or_default()).trim().to_owned();
                let owners = texts.entry(text).or_default();
                let name = format!("{} {}", part.name, part.version);
                if owners.last() != Some(&name) {
                    owners.push(name);
                }
            }
        }
        let mut texts: Vec<(String, Vec<String>)> = texts.into_iter().collect();
        texts.sort_by(|(_, one), (_, other)| one.cmp(other));
        for (text, owners) in texts {
            let _ = writeln!(whole, "\n{}\n{}\n\n{text}", "-".repeat(80), owners.join(", "));
        }
        Ok(whole)
    }
}

fn component(part: &Part) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": part.address(),
        "name": part.name,
        "version": part.version,
        "purl": part.address(),
        "licenses": [{ "expression": part.licence }],
    });
    if let Some(sum) = &part.sum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
    }
    if let Some(repository) = &part.repository {
        component["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
    }
    component
}

fn part(package: &Value, sums: &BTreeMap<String, String>) -> Result<Part, String> {
    let (name, version) = (word(package, "name"), word(package, "version"));
    let licence = package["license"].as_str().ok_or_else(|| format!("{name} {version} names no licence"))?;
    let manifest = PathBuf::from(word(package, "manifest_path"));
    Ok(Part {
        // An older way to write it.
        licence: licence.split('/').map(str::trim).collect::<Vec<_>>().join(" OR "),
        repository: package["repository"].as_str().map(str::to_owned),
        sum: sums.get(&address(&name, &version)).cloned(),
        folder: manifest.parent().map(Path::to_owned).unwrap_or_default(),
        needs: BTreeSet::new(),
        name,
        version,
    })
}

/// `name v1.2.3 (…)`
fn listed(line: &str) -> Option<String> {
    let mut words = line.split(' ');
    let name = words.next().filter(|name| !name.is_empty())?;
    Some(address(name, words.next()?.strip_prefix('v')?))
}

/// The check sums in `Cargo.lock`, by address.
fn sums(lock: &str) -> BTreeMap<String, String> {
    let packages = lock.split("[[package]]").filter_map(|package| {
        let field = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
            line.and_then(|value| value.strip_suffix('"'))
        };
        Some((address(field("name")?, field("version")?), field("checksum")?.to_owned()))
    });
    packages.collect()
}

/// Files with a licence, those of the C code that a crate carries among them.
fn find(folder: &Path, depth: u32, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let cannot = |fault: std::io::Error| format!("{}: {fault}", folder.display());
    let entries = fs::read_dir(folder).map_err(cannot)?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if path.is_dir() && depth > 1 {
            find(&path, depth - 1, found)?;
        } else if path.is_file()
            && NAMES.iter().any(|known| name.starts_with(known))
            && !name.ends_with(".rs")
        {
            found.push(path);
        }
    }
    Ok(())
}

fn cargo(words: &[&str]) -> Result<String, String> {
    said(crate::cargo_command().args(words))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_lists() {
        assert_eq!(listed("serde v1.0.2 (*)").as_deref(), Some("pkg:cargo/serde@1.0.2"));
        assert_eq!(listed(""), None);
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1\"\nchecksum = \"ff\"\n\n[[package]]\nname = \"b\"\nversion = \"1\"\n";
        assert_eq!(
            sums(lock).into_iter().collect::<Vec<_>>(),
            [("pkg:cargo/a@1".to_owned(), "ff".to_owned())]
        );
    }
}
