//! Which links were ever clicked: a bit for each uid, so that a million links take 125 KB.

use super::rows::{CellKey, ClickRows, Table, merge};
use link::Seq;
use std::collections::{BTreeMap, BTreeSet};

/// Links of one row.
const BLOCK: u64 = 4_096;

fn key(uid: Seq) -> CellKey {
    [(uid / BLOCK).cast_signed(), 0, 0]
}

fn bit(uid: Seq) -> (usize, u8) {
    let at = uid % BLOCK;
    ((at / 8) as usize, 1 << (at % 8))
}

/// Notes that these were clicked.
pub(crate) async fn put<R: ClickRows>(rows: &R, uids: &BTreeSet<Seq>) -> Result<(), R::Fault> {
    let mut blocks: BTreeMap<CellKey, Vec<Seq>> = BTreeMap::new();
    uids.iter().for_each(|&uid| blocks.entry(key(uid)).or_default().push(uid));
    merge(rows, Table::Clicked, blocks.keys().copied().collect(), |key, there| {
        let mut bits = there.unwrap_or_default();
        for &uid in &blocks[key] {
            let (at, bit) = bit(uid);
            if bits.len() <= at {
                bits.resize(at + 1, 0);
            }
            bits[at] |= bit;
        }
        Ok(bits)
    })
    .await
}

/// Whether one was, as far as it is folded.
pub(crate) async fn has<R: ClickRows>(rows: &R, uid: Seq) -> Result<bool, R::Fault> {
    let bits = rows.cells(Table::Clicked, &[key(uid)]).await?.pop().flatten().unwrap_or_default();
    let (at, bit) = bit(uid);
    Ok(bits.get(at).is_some_and(|byte| byte & bit != 0))
}
