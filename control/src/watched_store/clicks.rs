//! The calls to the store of clicks, watched like those to the store of links.

use super::{CallEffect, WatchedStore};
use clicks::Agents;
use link::Seq;
use store::model::StoreFault;
use store::port::clicks::{
    AppendOutcome, Appended, ClickAnswer, ClickDeletion, ClickQuestion, ClickStore, DAY_KEY, EdgeUntil,
    FoldReport, LossRow, RawPage, RawQuestion, Reclassified, TopAnswer, TopQuestion, UnknownCodes,
    UnknownQuestion,
};

/// Clicks have a place of their own, and may have a disk of their own: links can be read and written whatever they lack.
impl ClickStore for WatchedStore {
    fn append(&self, offered: &[Appended], now: i64) -> Result<Vec<AppendOutcome>, StoreFault> {
        self.of_clicks(CallEffect::Write, "clicks_append", |clicks| clicks.append(offered, now))
    }

    fn fold(&self, now: i64) -> Result<FoldReport, StoreFault> {
        self.upkeep("clicks_fold", |clicks| clicks.fold(now))
    }

    fn tidy(&self, now: i64) -> Result<bool, StoreFault> {
        self.upkeep("clicks_tidy", |clicks| clicks.tidy(now))
    }

    fn counts(&self, question: &ClickQuestion) -> Result<ClickAnswer, StoreFault> {
        self.of_clicks(CallEffect::Read, "clicks_counts", |clicks| clicks.counts(question))
    }

    fn top_links(&self, question: &TopQuestion) -> Result<TopAnswer, StoreFault> {
        self.of_clicks(CallEffect::Read, "clicks_top", |clicks| clicks.top_links(question))
    }

    fn raw(&self, question: &RawQuestion) -> Result<RawPage, StoreFault> {
        self.of_clicks(CallEffect::Read, "clicks_raw", |clicks| clicks.raw(question))
    }

    fn raw_end(&self) -> Result<u64, StoreFault> {
        self.of_clicks(CallEffect::Read, "clicks_raw", |clicks| clicks.raw_end())
    }

    fn agents(&self, hashes: &[u64]) -> Result<Vec<Option<String>>, StoreFault> {
        self.of_clicks(CallEffect::Read, "clicks_agents", |clicks| clicks.agents(hashes))
    }

    fn unknown_codes(&self, question: &UnknownQuestion) -> Result<UnknownCodes, StoreFault> {
        self.of_clicks(CallEffect::Read, "clicks_unknown", |clicks| clicks.unknown_codes(question))
    }

    fn losses(&self, from: i64, until: i64) -> Result<Vec<LossRow>, StoreFault> {
        self.of_clicks(CallEffect::Read, "clicks_losses", |clicks| clicks.losses(from, until))
    }

    fn delete_clicks(&self, deletion: &ClickDeletion, now: i64) -> Result<u64, StoreFault> {
        self.of_clicks(CallEffect::Write, "clicks_delete", |clicks| clicks.delete_clicks(deletion, now))
    }

    fn reclassify(&self, agents: &Agents, place: u64, now: i64) -> Result<Reclassified, StoreFault> {
        self.of_clicks(CallEffect::Write, "clicks_reclassify", |clicks| clicks.reclassify(agents, place, now))
    }

    fn day_key(&self, day: u32, fresh: [u8; DAY_KEY], now: i64) -> Result<[u8; DAY_KEY], StoreFault> {
        self.upkeep("clicks_day_key", |clicks| clicks.day_key(day, fresh, now))
    }

    fn was_clicked(&self, uid: Seq) -> Result<bool, StoreFault> {
        self.of_clicks(CallEffect::Read, "clicks_was_clicked", |clicks| clicks.was_clicked(uid))
    }

    fn note_until(&self, rows: &[EdgeUntil], now: i64) -> Result<(), StoreFault> {
        self.of_clicks(CallEffect::Write, "clicks_until", |clicks| clicks.note_until(rows, now))
    }

    fn until(&self) -> Result<Vec<EdgeUntil>, StoreFault> {
        self.of_clicks(CallEffect::Read, "clicks_until", |clicks| clicks.until())
    }

    fn forget_edge(&self, edge: &str, process: Option<u64>) -> Result<(), StoreFault> {
        self.of_clicks(CallEffect::Write, "clicks_until", |clicks| clicks.forget_edge(edge, process))
    }
}
