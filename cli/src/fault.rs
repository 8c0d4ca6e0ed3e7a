//! What went wrong, for the person who asked: one line that says what and how to mend it, and an exit status.

use std::fmt::Display;
use std::process::ExitCode;

/// Why a command ends early.
#[derive(Debug, PartialEq, Eq)]
pub struct CommandFault {
    message: String,
    status: u8,
}

impl CommandFault {
    /// A fault that the caller can mend: exit status 2.
    pub fn new(message: impl Display) -> Self {
        Self { message: message.to_string(), status: 2 }
    }

    /// A check that said no: exit status 1.
    pub fn no(message: impl Display) -> Self {
        Self { message: message.to_string(), status: 1 }
    }

    /// It is done, but not everywhere: exit status 3.
    pub fn partial(message: impl Display) -> Self {
        Self { message: message.to_string(), status: 3 }
    }

    /// Whoever reads our output has gone (`linkr export | head`): end without a word.
    pub fn reader_gone() -> Self {
        Self { message: String::new(), status: 0 }
    }

    /// The line, without the name of the program in front.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The exit status of the process.
    pub fn status(&self) -> ExitCode {
        ExitCode::from(self.status)
    }
}
