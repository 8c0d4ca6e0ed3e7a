//! Under which tags a link stands in the index of tags of every store. No store is here.

use crate::model::Row;
use std::collections::BTreeSet;

/// Each of its tags once; none of a link that is deleted.
pub(super) fn indexed(row: &Row) -> BTreeSet<&str> {
    let live = row.delete_time.is_none();
    row.info.tags.iter().filter(|_| live).map(String::as_str).collect()
}
