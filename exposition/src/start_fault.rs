//! Why a half of linkr does not start.

use std::error::Error;
use std::fmt::Display;

/// One line for the person who started it, which says what is wrong and how to mend it. The cause is in the words; programs
/// find it by `source` as well.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub struct StartFault {
    words: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StartFault {
    /// What is wrong by itself.
    pub fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), source: None }
    }

    /// What could not be done, and why not.
    pub fn because(what: impl Display, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source = cause.into();
        Self { words: format!("{what}: {source}"), source: Some(source) }
    }

    /// Words in which the cause is told already.
    pub fn with(words: String, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { words, source: Some(cause.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    #[test]
    fn the_cause_is_in_the_words_and_can_be_asked_for() {
        let fault = StartFault::because("cannot read x", std::io::Error::from(ErrorKind::NotFound));
        assert_eq!(fault.to_string(), "cannot read x: entity not found");
        let cause = fault.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
        assert_eq!(cause.unwrap().kind(), ErrorKind::NotFound);
        assert!(StartFault::new("no control").source().is_none());
    }
}
