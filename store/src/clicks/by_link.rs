//! Counts of a whole domain by its links and something else. Which links come first is known from lists; those are read some at a
//! time, until no other one can be among what is asked for.

use super::ask::{self, fault};
use super::memory::Memory;
use super::rows::ClickRows;
use super::top::top_links;
use crate::model::StoreFault;
use crate::port::clicks::{
    ClickAnswer, ClickFilter, ClickGroup, ClickQuestion, CountRow, GroupKey, LinkCount, MOST_LINKS,
    TopQuestion, too_many_links,
};
use clicks::Kind;
use clicks::ask::{MAX_ROWS, TallyFault};
use link::Seq;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Links that are read first; then twice as many, and so on.
const LINKS: usize = 256;

/// The answer to any question for counts.
pub(crate) async fn counts<R: ClickRows>(
    rows: &R,
    memory: &Memory,
    question: &ClickQuestion,
) -> Result<ClickAnswer, R::Fault> {
    if question.links.is_some() || !question.groups.contains(&ClickGroup::Link) {
        return ask::counts(rows, memory, question).await;
    }
    // Of what is kept as a total no link is known.
    let mut kinds = question.filter.kinds.clone();
    if kinds.is_empty() {
        kinds = Kind::ALL.to_vec();
    }
    kinds.retain(|kind| !kind.is_total());
    if kinds.is_empty() {
        return Ok(ClickAnswer::default());
    }
    let &ClickQuestion { domain, from, until, .. } = question;
    let asked = TopQuestion { domain, from, until, kinds: kinds.clone(), links: None, most: MOST_LINKS };
    let top = top_links(rows, memory, &asked).await?;
    let filter = ClickFilter { kinds, ..question.filter.clone() };
    let whole = ClickQuestion { groups: Vec::new(), filter: filter.clone(), ..question.clone() };
    let mut answer = ask::counts(rows, memory, &whole).await?;
    let mut groups = Groups::new(question);
    let (mut links, mut size) = (&top.links[..], LINKS);
    while let Some(next) = links.first() {
        if groups.are_enough(question.most, next.count) {
            break;
        }
        let (some, others) = links.split_at(links.len().min(size));
        let uids: Vec<Seq> = some.iter().map(|link: &LinkCount| link.uid).collect();
        let of_links = ClickQuestion {
            links: Some(uids),
            filter: filter.clone(),
            most: usize::MAX,
            visitors: false,
            splits: Vec::new(),
            ..question.clone()
        };
        groups.add(ask::counts(rows, memory, &of_links).await?.groups)?;
        (links, size) = (others, 2 * size);
    }
    let last = top.links.last().map_or(0, |link| link.count);
    if links.is_empty() && top.clicked > top.links.len() as u64 && !groups.are_enough(question.most, last) {
        return Err(StoreFault::Unavailable(too_many_links()).into());
    }
    answer.more =
        !links.is_empty() || top.clicked > top.links.len() as u64 || groups.sums.len() > question.most;
    answer.groups = groups.finish(question.most);
    Ok(answer)
}

/// Groups of the links that were read.
struct Groups {
    rows: Vec<CountRow>,
    /// Which of the keys is a time.
    time: Option<usize>,
    /// The counts of all times together, by the other keys.
    sums: BTreeMap<Vec<GroupKey>, u64>,
}

impl Groups {
    fn new(question: &ClickQuestion) -> Self {
        let time = question.groups.iter().position(|group| *group == ClickGroup::Time);
        Self { rows: Vec::new(), time, sums: BTreeMap::new() }
    }

    /// The keys of a group but for its time.
    fn key(&self, row: &CountRow) -> Vec<GroupKey> {
        let mut keys = row.keys.clone();
        if let Some(time) = self.time {
            keys.remove(time);
        }
        keys
    }

    fn add(&mut self, rows: Vec<CountRow>) -> Result<(), StoreFault> {
        for row in rows {
            let sum = self.sums.entry(self.key(&row)).or_default();
            *sum = sum.saturating_add(row.count);
            self.rows.push(row);
        }
        if self.rows.len() > MAX_ROWS { Err(fault(&TallyFault::TooManyRows)) } else { Ok(()) }
    }

    /// Whether no link with this count or less can be among the `most` highest.
    fn are_enough(&self, most: usize, count: u64) -> bool {
        self.sums.values().filter(|sum| **sum >= count).count() >= most
    }

    /// The groups with the highest sums; the highest count first.
    fn finish(mut self, most: usize) -> Vec<CountRow> {
        let mut order: Vec<(&Vec<GroupKey>, &u64)> = self.sums.iter().collect();
        order.sort_by_key(|(_, sum)| Reverse(**sum)); // stable: of the same in the order of their keys
        let first: BTreeSet<Vec<GroupKey>> =
            order.into_iter().take(most).map(|(key, _)| key.clone()).collect();
        let mut rows = std::mem::take(&mut self.rows);
        rows.retain(|row| first.contains(&self.key(row)));
        rows.sort_by(|a, b| (Reverse(a.count), &a.keys).cmp(&(Reverse(b.count), &b.keys)));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_of_the_highest_groups_are_left() {
        let mut groups = Groups::new(&ClickQuestion {
            groups: vec![ClickGroup::Time, ClickGroup::Link],
            ..ClickQuestion::default()
        });
        let row = |at, uid, count| CountRow { keys: vec![GroupKey::Time(at), GroupKey::Link(uid)], count };
        groups.add(vec![row(0, 7, 5), row(1, 7, 1), row(0, 8, 2), row(1, 8, 2), row(1, 9, 4)]).unwrap();
        assert!(groups.are_enough(2, 4) && !groups.are_enough(2, 5) && groups.are_enough(0, 9));
        assert_eq!(groups.finish(2), [row(0, 7, 5), row(0, 8, 2), row(1, 8, 2), row(1, 7, 1)]);
    }
}
