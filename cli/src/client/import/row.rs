//! A row of a file: the link that it means, or the reason why it is none.

use proto::v1::Link;

/// One row.
pub struct Row {
    /// Where it begins in the file, from 1.
    pub line: u64,
    /// The cells as they stand in the file.
    pub cells: Vec<String>,
    /// The link, or a reason for programs and for people.
    pub link: Result<Option<Link>, (&'static str, String)>,
}

impl Row {
    /// The link, once; the row remembers that there was one.
    pub fn take_link(&mut self) -> Option<Link> {
        self.link.as_mut().ok().and_then(Option::take)
    }
}
