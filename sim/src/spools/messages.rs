//! What is under way between edges and controls of clicks.

use clicks::ledger::Offer;
use std::fmt;

/// A batch as it is sent.
#[derive(Clone, Debug)]
pub struct SentBatch {
    /// Who sends it.
    pub edge: usize,
    /// Which process of it.
    pub process: u64,
    /// Of which spool.
    pub spool: u64,
    /// Its numbers.
    pub offer: Offer,
    /// Its clicks.
    pub clicks: Vec<u64>,
    /// Numbers in it that are lost.
    pub lost: u64,
}

impl fmt::Display for SentBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Offer { seq, first_no, last_no, first } = self.offer;
        let (edge, spool, clicks, lost) = (self.edge, self.spool, self.clicks.len(), self.lost);
        let first = if first { ", the first that is left" } else { "" };
        write!(
            f,
            "batch {seq} of {edge}/{spool:04x} ({first_no} to {last_no}: {clicks} clicks, {lost} lost{first})"
        )
    }
}

/// What control answers.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// Everything up to this seq is taken.
    pub acked: u64,
    /// This one is wanted next; 0: what follows.
    pub want: u64,
}
