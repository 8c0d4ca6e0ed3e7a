//! What an operator looks at, as one list: which metric stands in which panel, which alert is raised by it, and what is to be
//! done then. Dashboards, rules and the runbook are written from it. Nothing is measured here.

mod alerts;
mod faults;
mod grafana;
mod model;
mod objectives;
mod panels;
mod promql;
mod rules;
mod runbook;

pub use alerts::ALERTS;
pub use faults::{FAULTS, Told};
pub use model::{Alert, AlertGroup, Dashboard, Objective, Panel, Query, Row, Severity};
pub use objectives::{BURN_ALERTS, OBJECTIVES};
pub use panels::DASHBOARDS;
pub use promql::{Pace, Selector, selectors};
pub use rules::{unit_tests, write as rules};

/// A file of the tree.
#[derive(Clone, Debug)]
pub struct TextFile {
    /// From the root of the tree on.
    pub path: String,
    pub text: String,
}

/// Every file that is written from the list.
pub fn files() -> Vec<TextFile> {
    let file = |path: &str, text: String| TextFile { path: path.to_owned(), text };
    let rules_and_runbook =
        [file("deploy/alerts.yml", rules(Pace::REAL)), file("docs/runbook.md", runbook::write())];
    let dashboards = DASHBOARDS
        .iter()
        .map(|dashboard| file(&format!("deploy/grafana/{}.json", dashboard.uid), grafana::write(dashboard)));
    rules_and_runbook.into_iter().chain(dashboards).collect()
}

/// The names of all alerts.
pub fn alert_names() -> Vec<String> {
    let of_objectives = OBJECTIVES
        .iter()
        .flat_map(|objective| BURN_ALERTS.iter().map(|burn| format!("{}{}", objective.name, burn.suffix)));
    let others = ALERTS.iter().flat_map(|group| group.alerts).map(|alert| alert.name.to_owned());
    of_objectives.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
    }

    #[test]
    fn the_files_are_as_the_list_has_them() {
        for file in files() {
            let there = std::fs::read_to_string(root().join(&file.path)).unwrap_or_default();
            assert!(
                there == file.text,
                "{} is not what the list says: cargo run -p xtask -- dashboards",
                file.path
            );
        }
    }

    #[test]
    fn every_fault_of_the_table_has_an_alert_or_a_reason() {
        let page = std::fs::read_to_string(root().join("docs/reliability.md")).unwrap();
        let table = page.split_once("## Every fault tells of itself").unwrap().1;
        let rows = table.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
        let faults: BTreeSet<_> = rows
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.split('`').nth(1).unwrap())
            .collect();
        assert_eq!(faults, FAULTS.iter().map(|(fault, _)| *fault).collect());
        let names = alert_names();
        for (fault, told) in FAULTS {
            match told {
                Told::By(alert) => assert!(names.iter().any(|name| name == alert), "{fault}: {alert}"),
                Told::ByNone(why) => assert!(!why.is_empty(), "{fault}"),
            }
        }
    }

    #[test]
    fn names_stand_once_and_texts_are_whole() {
        let names = alert_names();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for alert in ALERTS.iter().flat_map(|group| group.alerts) {
            assert!(alert.name.starts_with("Linkr") && !alert.steps.is_empty(), "{}", alert.name);
            assert!(!alert.bad.is_empty() && !alert.good.is_empty(), "{}", alert.name);
            for text in alert.steps.iter().chain([&alert.means]) {
                assert!(!text.contains("  ") && text.ends_with('.'), "{}: {text}", alert.name);
            }
        }
        let page = files().into_iter().find(|file| file.path == "docs/runbook.md").unwrap().text;
        for name in names {
            assert!(page.contains(&format!("### {name}\n")), "{name}");
        }
    }

    /// Alerts that the texts of others name are there.
    #[test]
    fn the_runbook_names_only_alerts_that_there_are() {
        let page = files().into_iter().find(|file| file.path == "docs/runbook.md").unwrap().text;
        let names = alert_names();
        for word in page.split(|letter: char| !letter.is_ascii_alphanumeric()) {
            let is_alert = word.len() > 5 && word.starts_with("Linkr");
            assert!(!is_alert || names.iter().any(|name| name == word), "{word}");
        }
    }
}
