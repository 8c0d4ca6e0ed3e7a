//! A row of a file: the link that it means, or the reason why it is none.

use super::hosts::SourceDomain;
use proto::v1::Link;

pub use super::words::Reason;

/// What a file of rejected rows has besides the columns of the file they came from: it can be imported once it is mended.
pub const REJECT_COLUMNS: [&str; 3] = ["line", "reason", "message"];

/// The column of such a file for the statements of a map.
pub const MAP_COLUMN: &str = "statement";

/// What a row of another server's file means.
pub struct SourceLink {
    /// The link.
    pub link: Link,
    /// Where that server has it.
    pub place: SourceDomain,
}

/// One row. A line of a file that means several links is as many rows.
pub struct Row {
    /// Where it begins in the file, from 1.
    pub line: u64,
    /// The cells as they stand in the file.
    pub cells: Vec<String>,
    /// The link, in the domain that the file has it in (empty: it does not say), or why there is none.
    pub link: Result<Link, Reason>,
}

/// What stands in one place of a file: a row for each link that it means.
pub struct Record {
    /// Where it begins in the file, from 1.
    pub line: u64,
    /// The cells as they stand in the file.
    pub cells: Vec<String>,
    /// The links, or the reason why there is none.
    pub found: Vec<Result<SourceLink, Reason>>,
}

impl SourceLink {
    /// A link of a form that says in `domain` which host it has it under, if it does.
    pub fn of(link: Link) -> Self {
        let place =
            if link.domain.is_empty() { SourceDomain::Unsaid } else { SourceDomain::host(&link.domain) };
        Self { link, place }
    }
}

impl From<Row> for Record {
    fn from(Row { line, cells, link }: Row) -> Self {
        Self { line, cells, found: vec![link.map(SourceLink::of)] }
    }
}
