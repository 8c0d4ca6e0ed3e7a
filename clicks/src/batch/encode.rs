//! A batch as bytes: a column for each thing that a click has, with what repeats in dictionaries of the batch.
//!
//! ```text
//! u8       layout 1
//! number   first_no, classifier
//! number   clicks, and unless there are none:
//!   column   times: each against the one before, signed
//!   number   links; columns of their domains (against the one before), uids (against the one before in the same
//!            domain) and versions (against the uid, signed), in rising order; indexes of the clicks
//!   column   kinds
//!   number   countries; column of two bytes each; indexes
//!   number   languages; the same
//!   number   texts; column of their lengths, column of their bytes
//!   number   clients; columns of agents' hashes, browsers (texts), systems (texts), devices; indexes
//!   number   referrers; column of texts; indexes
//!   column   visitors: 0 none, 1 the next of the column behind it, n the (n - 1)th before that one
//!   column   visitors that are met for the first time, eight bytes each
//! number   totals; column of domain, kind, minute (against the one before, signed), count
//! number   losses; column of reason, minute (the same), count
//! number   unknown codes; column of domain, hour (the same), count, length + 1 and code (0: none)
//! number   texts of agents; columns of hashes, lengths, bytes
//! ```
//!
//! Numbers are LEB128. Countries, languages, clients and referrers stand in falling order of how often they are met, so
//! that most bytes of their indexes are small. A click has its browser and system with its agent, since that says them.

use super::columns::ColumnWriter;
use super::{Batch, MAX_TEXT};
use crate::varint::{put, put_signed};
use crate::{Click, Device};
use link::{DomainId, Seq};
use std::collections::HashMap;
use std::hash::Hash;

/// What a batch begins with.
pub const LAYOUT: u8 = 1;

/// Hashes are drawn anew for each map: a visitor must not choose agents that all fall together. The bytes do not depend on it.
type Map<K> = HashMap<K, u32, foldhash::fast::RandomState>;

/// The bytes of a batch that [fits](Batch::fits); [`decode`](super::decode()) refuses those of another. A text beyond
/// [`MAX_TEXT`] bytes is cut.
pub fn encode(batch: &Batch) -> Vec<u8> {
    let mut columns = ColumnWriter::default();
    columns.out.push(LAYOUT);
    columns.number(batch.first_no);
    columns.number(u64::from(batch.classifier));
    columns.number(batch.clicks.len() as u64);
    if !batch.clicks.is_empty() {
        write_clicks(&mut columns, &batch.clicks);
    }
    write_notes(&mut columns, batch);
    debug_assert!(columns.decoded <= batch.size(), "{} > {}", columns.decoded, batch.size());
    columns.out
}

fn write_clicks(columns: &mut ColumnWriter, clicks: &[Click]) {
    let (mut times, mut before) = (Vec::with_capacity(clicks.len() * 2), 0);
    for click in clicks {
        put_signed(&mut times, click.at.wrapping_sub(before));
        before = click.at;
    }
    columns.column(&times);
    write_links(columns, clicks);
    let kinds: Vec<u8> = clicks.iter().map(|click| click.kind as u8).collect();
    columns.column(&kinds);
    write_letters(
        columns,
        &Distinct::by_frequency(clicks.iter().map(|click| u16::from_be_bytes(click.country.0))),
    );
    write_letters(
        columns,
        &Distinct::by_frequency(clicks.iter().map(|click| u16::from_be_bytes(click.language.0))),
    );
    write_texts(columns, clicks);
    write_visitors(columns, clicks);
}

/// Which link, and which version of it.
fn write_links(columns: &mut ColumnWriter, clicks: &[Click]) {
    let links = Distinct::rising(clicks.iter().map(|click| (click.domain, click.uid, click.version)));
    let [mut domains, mut uids, mut versions] = [const { Vec::new() }; 3];
    let mut before: (DomainId, Seq) = (DomainId(0), 0);
    for &(domain, uid, version) in &links.values {
        put(&mut domains, u64::from(domain.0 - before.0.0));
        put(&mut uids, uid - if domain == before.0 { before.1 } else { 0 });
        put_signed(&mut versions, version.wrapping_sub(uid) as i64);
        before = (domain, uid);
    }
    columns.number(links.values.len() as u64);
    for column in [domains, uids, versions] {
        columns.column(&column);
    }
    links.write_indexes(columns);
}

fn write_letters(columns: &mut ColumnWriter, letters: &Distinct<u16>) {
    let pairs: Vec<u8> = letters.values.iter().flat_map(|pair| pair.to_be_bytes()).collect();
    columns.number(letters.values.len() as u64);
    columns.column(&pairs);
    letters.write_indexes(columns);
}

/// The agents with what they say, and the referrers.
fn write_texts(columns: &mut ColumnWriter, clicks: &[Click]) {
    let client = |click: &'_ Click| -> (u64, Device) { (click.agent, click.device) };
    let clients = Distinct::by_frequency(
        clicks.iter().map(|click| (client(click), cut(&click.browser), cut(&click.os))),
    );
    let referrers = Distinct::by_frequency(clicks.iter().map(|click| cut(&click.referrer)));
    let said = clients.values.iter().flat_map(|(_, browser, os)| [*browser, *os]);
    let texts = Distinct::rising(said.chain(referrers.values.iter().copied()));
    write_strings(columns, &texts.values);
    // The indexes of the texts lie in the order of the uses: two for each client, then one for each referrer.
    let (of_clients, of_referrers) = texts.indexes.split_at(2 * clients.values.len());
    let [mut agents, mut browsers, mut systems, mut devices] = [const { Vec::new() }; 4];
    for (((agent, device), _, _), said) in clients.values.iter().zip(of_clients.chunks_exact(2)) {
        agents.extend_from_slice(&agent.to_le_bytes());
        put(&mut browsers, u64::from(said[0]));
        put(&mut systems, u64::from(said[1]));
        devices.push(*device as u8);
    }
    columns.number(clients.values.len() as u64);
    columns.column_of_chance(&agents);
    for column in [browsers, systems, devices] {
        columns.column(&column);
    }
    clients.write_indexes(columns);
    let mut hosts = Vec::new();
    of_referrers.iter().for_each(|text| put(&mut hosts, u64::from(*text)));
    columns.number(referrers.values.len() as u64);
    columns.column(&hosts);
    referrers.write_indexes(columns);
}

/// Their number, their lengths, their bytes.
fn write_strings(columns: &mut ColumnWriter, texts: &[&str]) {
    let (mut lengths, mut bytes) = (Vec::new(), Vec::new());
    for text in texts {
        put(&mut lengths, text.len() as u64);
        bytes.extend_from_slice(text.as_bytes());
    }
    columns.number(texts.len() as u64);
    columns.column(&lengths);
    columns.column(&bytes);
}

fn write_visitors(columns: &mut ColumnWriter, clicks: &[Click]) {
    let mut met: Map<u64> = Map::default();
    let (mut references, mut new) = (Vec::with_capacity(clicks.len()), Vec::new());
    for visitor in clicks.iter().map(|click| click.visitor) {
        if visitor == 0 {
            references.push(0);
            continue;
        }
        let count = met.len() as u32;
        let first = *met.entry(visitor).or_insert(count);
        if first == count {
            references.push(1);
            new.extend_from_slice(&visitor.to_le_bytes());
        } else {
            put(&mut references, u64::from(count - first) + 1);
        }
    }
    columns.column(&references);
    columns.column_of_chance(&new);
}

fn write_notes(columns: &mut ColumnWriter, batch: &Batch) {
    let (mut totals, mut before) = (Vec::new(), 0);
    for total in &batch.totals {
        put(&mut totals, u64::from(total.domain.0));
        totals.push(total.kind as u8);
        put_signed(&mut totals, total.minute.wrapping_sub(before));
        put(&mut totals, total.count);
        before = total.minute;
    }
    columns.number(batch.totals.len() as u64);
    columns.column(&totals);
    let (mut losses, mut before) = (Vec::new(), 0);
    for loss in &batch.losses {
        losses.push(loss.reason as u8);
        put_signed(&mut losses, loss.minute.wrapping_sub(before));
        put(&mut losses, loss.count);
        before = loss.minute;
    }
    columns.number(batch.losses.len() as u64);
    columns.column(&losses);
    let (mut unknown, mut before) = (Vec::new(), 0);
    for asked in &batch.unknown {
        put(&mut unknown, u64::from(asked.domain.0));
        put_signed(&mut unknown, asked.hour.wrapping_sub(before));
        put(&mut unknown, asked.count);
        let code = asked.code.as_deref().map(|code| &code[..code.len().min(MAX_TEXT)]);
        put(&mut unknown, code.map_or(0, |code| code.len() as u64 + 1));
        unknown.extend_from_slice(code.unwrap_or_default());
        before = asked.hour;
    }
    columns.number(batch.unknown.len() as u64);
    columns.column(&unknown);
    let hashes: Vec<u8> = batch.agents.iter().flat_map(|agent| agent.hash.to_le_bytes()).collect();
    let texts: Vec<&str> = batch.agents.iter().map(|agent| cut(&agent.text)).collect();
    write_strings(columns, &texts);
    columns.column_of_chance(&hashes);
}

/// At most [`MAX_TEXT`] bytes of it, in whole characters.
fn cut(text: &str) -> &str {
    if text.len() <= MAX_TEXT { text } else { &text[..text.floor_char_boundary(MAX_TEXT)] }
}

/// Room for so many distinct values is made at once.
const USUAL: usize = 4_096;

/// The distinct ones among many values, and for each of the many which of them it is.
struct Distinct<T> {
    values: Vec<T>,
    indexes: Vec<u32>,
}

impl<T: Copy + Hash + Ord> Distinct<T> {
    /// In falling order of how often they are met.
    fn by_frequency(all: impl Iterator<Item = T>) -> Self {
        let (met, counts) = Self::as_met(all);
        met.sorted(|a, b| counts[b.1].cmp(&counts[a.1]).then(a.0.cmp(&b.0)))
    }

    /// In rising order.
    fn rising(all: impl Iterator<Item = T>) -> Self {
        Self::as_met(all).0.sorted(|a, b| a.0.cmp(&b.0))
    }

    /// In the order in which they are met, and how often each is.
    fn as_met(all: impl Iterator<Item = T>) -> (Self, Vec<u32>) {
        let expected = all.size_hint().0;
        let mut known: Map<T> = Map::with_capacity_and_hasher(expected.min(USUAL), Default::default());
        let mut met = Self { values: Vec::new(), indexes: Vec::with_capacity(expected) };
        let mut counts = Vec::new();
        for value in all {
            let index = *known.entry(value).or_insert_with(|| {
                met.values.push(value);
                counts.push(0);
                counts.len() as u32 - 1
            });
            counts[index as usize] += 1;
            met.indexes.push(index);
        }
        (met, counts)
    }

    /// In another order, of values with their indexes so far.
    fn sorted(self, order: impl Fn(&(T, usize), &(T, usize)) -> std::cmp::Ordering) -> Self {
        let mut values: Vec<(T, usize)> = self.values.into_iter().zip(0..).collect();
        values.sort_unstable_by(|a, b| order(a, b));
        let mut index_of = vec![0; values.len()];
        for (index, (_, before)) in values.iter().enumerate() {
            index_of[*before] = index as u32;
        }
        Self {
            values: values.into_iter().map(|(value, _)| value).collect(),
            indexes: self.indexes.into_iter().map(|before| index_of[before as usize]).collect(),
        }
    }

    fn write_indexes(&self, columns: &mut ColumnWriter) {
        columns.indexes(&self.indexes, self.values.len());
    }
}
