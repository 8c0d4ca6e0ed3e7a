//! Files of links, which whoever makes the site writes and reads: the forms are those of the command line. None is known here.

use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// What writes and reads them.
#[derive(Clone)]
pub struct LinkFiles(pub Arc<dyn LinkFileForms>);

/// The forms of files. Links are as REST has them.
pub trait LinkFileForms: Send + Sync {
    /// The forms that are read: name, and what it is to people.
    fn forms(&self) -> Vec<(String, String)>;

    /// Reads a whole file.
    ///
    /// # Errors
    /// Why it is no such file, and how to mend that.
    fn read(&self, file: &LinkFile) -> Result<LinkRows, String>;

    /// Rows that were not taken as a file that can be read again, each behind its line and the reason.
    fn rejected(&self, rows: &LinkRows, rejected: &[RejectedRow]) -> String;

    /// What an export begins with.
    fn head(&self, form: ExportForm, with_deleted: bool) -> Vec<u8>;

    /// The line of a link.
    ///
    /// # Errors
    /// It is no link.
    fn line(&self, form: ExportForm, with_deleted: bool, link: &Value) -> Result<Vec<u8>, String>;
}

/// How links are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportForm {
    /// A header, then a link a line.
    Csv,
    /// A JSON object a line.
    JsonLines,
}

/// A file that somebody hands over.
#[derive(Clone, Debug, Default)]
pub struct LinkFile {
    /// Its name; empty where it was typed.
    pub name: String,
    /// The name of its form; empty: as its name says, or what it looks like where it has none.
    pub form: String,
    /// What is in it.
    pub text: String,
    /// The domain that it is for.
    pub domain: String,
    /// Columns that hold fields under other names, such as `code=slug,target=url`; may be empty.
    pub columns: String,
    /// The host of targets that have none; may be empty.
    pub base: String,
    /// Whether its first line is a row already, and each row is a code and a target.
    pub headless: bool,
}

/// What a file says.
#[derive(Clone, Debug, Default)]
pub struct LinkRows {
    /// What was decided of the whole, for people; may be empty.
    pub decided: String,
    /// The columns.
    pub header: Vec<String>,
    /// The form in which rejected rows are read again.
    pub form_again: String,
    /// The rows, in their order.
    pub rows: Vec<LinkRow>,
}

/// A row of a file.
#[derive(Clone, Debug)]
pub struct LinkRow {
    /// Where it begins, from 1.
    pub line: u64,
    /// Its cells as they stand there.
    pub cells: Vec<String>,
    /// The link, or why it is none.
    pub link: Result<Value, RowFault>,
}

/// Why a row is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// For programs, such as `INVALID`.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// A row that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRow {
    /// Its place among the rows.
    pub at: usize,
    /// Why.
    pub fault: RowFault,
}

impl fmt::Debug for LinkFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkFiles")
    }
}
