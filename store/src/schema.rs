//! Tables that another linkr made: which fit this one, and what to do about those that do not.

use refinery::error::Kind;

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
    fn a_newer_schema_is_refused_and_an_older_one_is_not() {
        check(None, 9).unwrap();
        check(Some(9), 9).unwrap();
        let why = check(Some(12), 9).unwrap_err();
        assert!(why.contains("a newer linkr (schema 12, this one knows 9)"), "{why}");
    }
}
