//! How a half stands, and what each probe says of it: one line for each check that has something to say.

use std::fmt;
use std::pin::Pin;

/// What a probe found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    faults: Vec<String>,
    notes: Vec<String>,
}

impl Findings {
    /// A check: why it fails, in one line.
    pub fn check(&mut self, verdict: Result<(), String>) {
        self.faults.extend(verdict.err());
    }

    /// What is not as it should be, and no reason to fail.
    pub fn note(&mut self, line: String) {
        self.notes.push(line);
    }

    /// With what another half found.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.faults.extend(other.faults);
        self.notes.extend(other.notes);
        self
    }

    /// Without what failed: whoever asks has other checks.
    #[must_use]
    pub fn notes_alone(self) -> Self {
        Self { faults: Vec::new(), ..self }
    }

    /// Whether no check failed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }

    /// The most telling line, if there is any.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.faults.iter().chain(&self.notes).next().map(String::as_str)
    }
}

impl From<Result<(), String>> for Findings {
    fn from(verdict: Result<(), String>) -> Self {
        let mut findings = Self::default();
        findings.check(verdict);
        findings
    }
}

/// As a probe answers: `ok` when no check failed; then the faults and notes, each on a line.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_good() {
            f.write_str("ok\n")?;
        }
        self.faults.iter().chain(&self.notes).try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// How a half stands. Nothing here may wait for a store, but [`Health::ready`] asked for writes.
pub trait Health: Send + Sync + 'static {
    /// Whether its threads make progress. Only a new process would help one that fails here, so no store, no other half and no
    /// network counts.
    fn live(&self) -> Findings;

    /// Whether its start is complete. Once it is, it stays so.
    fn started(&self) -> Findings;

    /// Whether it serves. `to_write`: whether it takes writes as well.
    fn ready(&self, to_write: bool) -> HealthFuture<'_>;
}

/// Finds out what is missing, if anything, without holding others up.
pub type HealthFuture<'a> = Pin<Box<dyn Future<Output = Findings> + Send + 'a>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_has_its_line_and_faults_come_first() {
        let mut findings = Findings::default();
        assert_eq!((findings.to_string().as_str(), findings.first()), ("ok\n", None));
        findings.note("blind: for 2 s".into());
        assert_eq!(findings.to_string(), "ok\nblind: for 2 s\n");
        let both = findings.and(Findings::from(Err("draining: asked to".into())));
        assert_eq!(both.to_string(), "draining: asked to\nblind: for 2 s\n");
        assert_eq!((both.is_good(), both.first()), (false, Some("draining: asked to")));
    }
}
