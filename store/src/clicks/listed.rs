//! Which links of a domain are in any list.

use super::lists::{self, ListPart, list};
use super::rows::{ClickRows, Table};
use clicks::Kind;
use link::{DomainId, Seq};
use std::collections::BTreeSet;

/// The first links of a domain behind one that are in any list, by their uids.
pub(crate) async fn clicked_links<R: ClickRows>(
    rows: &R,
    domain: DomainId,
    behind: Seq,
    most: usize,
) -> Result<Vec<Seq>, R::Fault> {
    let mut uids: BTreeSet<Seq> = BTreeSet::new();
    for part in [ListPart::Hour, ListPart::Day] {
        for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_total()) {
            let number = list(part, kind);
            let (mut from, before) = ([number, i64::MIN, i64::MIN], [number + 1, i64::MIN, i64::MIN]);
            while let Some(&[_, period, _]) = rows.keys(Table::Lists, from, before, 1).await?.first() {
                let value =
                    rows.cells(Table::Lists, &[[number, period, domain.0.into()]]).await?.pop().flatten();
                lists::scan(value.as_deref().unwrap_or_default(), |entry| {
                    if entry.uid > behind {
                        uids.insert(entry.uid);
                    }
                })?;
                while uids.len() > most {
                    uids.pop_last();
                }
                from = [number, period + 1, i64::MIN];
            }
        }
    }
    Ok(uids.into_iter().collect())
}
