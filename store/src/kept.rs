//! For how long what is kept, in every store, and how much goes at once.

pub(super) use journal::TOMBSTONES;

use link::Seq;

const DAY: i64 = 24 * 60 * 60 * 1000;
/// Milliseconds for which a change stays in the log. An edge that was away for longer begins anew.
pub(super) const LOG: i64 = 7 * DAY;
const _: () = assert!(TOMBSTONES >= LOG, "a deletion is in the log for as long as anybody may resume there");
/// Milliseconds for which a retry is answered like the first try.
pub(super) const ANSWERS: i64 = 2 * DAY;
/// Milliseconds for which it is known who wrote what, and what it was before.
pub(super) const AUDIT: i64 = 400 * DAY;
/// Of the changes that go, every so manieth is kept as a proof of its history.
pub(super) const MARKED: Seq = 10_000;
/// Changes that go at once: some milliseconds.
pub(super) const CHANGES_AT_ONCE: u32 = 1_000;
/// Rows of the audit that go at once.
pub(super) const AUDITS_AT_ONCE: u32 = 1_000;
/// Tombstones that go at once; each is a change of its own.
pub(super) const TOMBSTONES_AT_ONCE: u32 = 256;
/// Links that are taken into the index of tags at once: some milliseconds.
pub(super) const TAGGED_AT_ONCE: u32 = 1_000;
/// Links of before whose hosts are read at once: some milliseconds.
pub(super) const HOSTS_AT_ONCE: u32 = 1_000;
/// Old answers cleared away by one commit: more than one commit usually adds, less than anyone waits for.
pub(super) const ANSWERS_AT_ONCE: u32 = 512;
