//! Tables that another linkr made: which fit this one, and what to do about those that do not.

use refinery::error::Kind;

/// What a program finds of tables before it starts on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSurvey {
    /// Why this program refuses them.
    pub refused: Option<String>,
    /// What a start changes; `None`: nothing, or there are no tables yet.
    pub older: Option<OlderTables>,
}

/// Tables of an earlier linkr: the next start of this one brings them up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OlderTables {
    /// The last step that they have.
    pub there: i32,
    /// The last step of this program.
    pub known: i32,
    /// Links that the steps go through, deleted ones too; of PostgreSQL as it estimates them.
    pub links: u64,
}

impl TableSurvey {
    /// Of tables with the steps up to `there` (`None`: there are none) and so many links, which count where a start has steps to do.
    pub(crate) fn new(there: Option<i32>, known: i32, links: u64) -> Self {
        let older = there.filter(|_| is_older(there, known));
        Self {
            refused: check(there, known).err(),
            older: older.map(|there| OlderTables { there, known, links }),
        }
    }
}

/// Whether a start has steps to do on tables that are there.
pub fn is_older(there: Option<i32>, known: i32) -> bool {
    there.is_some_and(|there| there < known)
}

/// Says that tables are brought up to date, which may take minutes and waits for nobody; a new store has none yet.
pub fn tell_begin(store: &str, there: Option<i32>, known: i32) {
    if let Some(there) = there.filter(|_| is_older(there, known)) {
        tracing::info!(
            name: "tables_upgrading", %store, from = there, to = known,
            "the tables are of an earlier linkr and are brought up to date in one transaction: nothing is read or written until that is done"
        );
    }
}

/// The same when it is done.
pub fn tell_end(store: &str, there: Option<i32>, known: i32, took: std::time::Duration) {
    if is_older(there, known) {
        let took_ms = took.as_millis() as u64;
        tracing::info!(name: "tables_upgraded", %store, to = known, took_ms, "the tables are up to date");
    }
}

/// Tables of a newer linkr are refused: what it wrote into them is not known here.
///
/// # Errors
/// What to do about it, in one line.
pub fn check(there: Option<i32>, known: i32) -> Result<(), String> {
    match there.filter(|&there| there > known) {
        None => Ok(()),
        Some(there) => Err(format!(
            "it was written by a newer linkr (schema {there}, this one knows {known}): start that version, or restore the \
             backup made before the upgrade"
        )),
    }
}

/// The number of the newest migration.
pub fn latest(runner: &refinery::Runner) -> i32 {
    runner.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or_default()
}

/// Why tables were not brought up to date, if their own history says so; other faults are the driver's.
pub fn told(fault: &refinery::Error) -> Option<String> {
    match fault.kind() {
        Kind::DivergentVersion(there, _) => Some(format!(
            "its tables were made by another program or an unreleased linkr (step {} is not this one's): start the linkr that \
             made them, or give another store",
            there.version()
        )),
        Kind::MissingVersion(there) => Some(format!(
            "its tables were made by another program or an unreleased linkr (this one knows no step {}): start the linkr \
             that made them, or give another store",
            there.version()
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_survey_tells_of_tables_that_are_older_and_of_such_that_are_refused() {
        for there in [None, Some(9)] {
            assert_eq!(TableSurvey::new(there, 9, 0), TableSurvey::default());
        }
        assert!(TableSurvey::new(Some(10), 9, 0).refused.is_some());
        let older = OlderTables { there: 8, known: 9, links: 5 };
        assert_eq!(TableSurvey::new(Some(8), 9, 5), TableSurvey { refused: None, older: Some(older) });
    }

    #[test]
    fn a_newer_schema_is_refused_and_an_older_one_is_not() {
        check(None, 9).unwrap();
        check(Some(9), 9).unwrap();
        let why = check(Some(12), 9).unwrap_err();
        assert!(why.contains("a newer linkr (schema 12, this one knows 9)"), "{why}");
    }
}
