//! How long the pages of a list are, in rows and in bytes.

use crate::Fault;

/// Rows of a page when none are asked for.
const DEFAULT_PAGE: i32 = 50;

/// Bytes of a page, so that it stays below the 4 MiB that gRPC clients take by default.
pub const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// How many rows a page is to have, when so many were asked for.
pub fn page_size(asked: i32, largest: i32) -> Result<usize, Fault> {
    let size = if asked == 0 { DEFAULT_PAGE } else { asked.min(largest) };
    usize::try_from(size).map_err(|_| Fault::invalid("page_size", "is negative"))
}
