//! The clicks in PostgreSQL, which all controls of a store share. Of several one folds and tidies at a time. What is read is read
//! in one snapshot.

mod rows;

use super::Postgres;
use super::connection::{BEGIN, COMMIT, Db, READ, TryFault, WRITE, corrupt};
use crate::clicks::times::{DAY, HOUR};
use crate::clicks::{self, Memory};
use crate::model::StoreFault;
use crate::port::clicks::{
    AppendOutcome, Appended, ClickAnswer, ClickDeletion, ClickQuestion, ClickStore, DAY_KEY, EdgeUntil,
    FoldReport, LossRow, RawPage, RawQuestion, Reclassified, TopAnswer, TopQuestion, UnknownCodes,
    UnknownQuestion,
};
use ::clicks::Agents;
use link::Seq;
use rows::Rows;
use tokio_postgres::types::Type;

/// What every question about clicks begins with.
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// How long the key of a day is kept behind its end.
const KEY_KEPT: i64 = HOUR;

/// What a process remembers of the clicks.
pub(super) type ClickMemory = Memory;

impl Postgres {
    /// A question, in one snapshot.
    fn ask<T>(
        &self,
        mut question: impl AsyncFnMut(&Rows<'_, '_>) -> Result<T, TryFault>,
    ) -> Result<T, StoreFault> {
        self.db.call(READ, async |db| {
            db.run(BEGIN_READ).await?;
            let answer = question(&Rows(db)).await?;
            db.run("COMMIT").await?;
            Ok(answer)
        })
    }

    /// A transaction that writes.
    fn change<T>(
        &self,
        mut change: impl AsyncFnMut(&Rows<'_, '_>) -> Result<T, TryFault>,
    ) -> Result<T, StoreFault> {
        self.db.call(WRITE, async |db| {
            db.run(BEGIN).await?;
            let done = change(&Rows(db)).await?;
            db.run(COMMIT).await?;
            Ok(done)
        })
    }
}

impl ClickStore for Postgres {
    /// One whose answer was lost is tried again, and then the cursors say what was taken.
    fn append(&self, offered: &[Appended], now: i64) -> Result<Vec<AppendOutcome>, StoreFault> {
        let done = self.change(async |rows| clicks::append(rows, offered, now).await)?;
        self.clicks.taken(done.taken);
        Ok(done.outcomes)
    }

    fn fold(&self, now: i64) -> Result<FoldReport, StoreFault> {
        let done = self.change(async |rows| clicks::fold(rows, &self.clicks, now).await)?;
        done.note(&self.clicks);
        Ok(done.report)
    }

    fn tidy(&self, now: i64) -> Result<bool, StoreFault> {
        self.db.call(WRITE, async |db| forget_keys(db, now).await)?;
        let done = self.change(async |rows| clicks::tidy(rows, &self.clicks, now).await)?;
        done.note(&self.clicks);
        Ok(done.more)
    }

    fn counts(&self, question: &ClickQuestion) -> Result<ClickAnswer, StoreFault> {
        self.ask(async |rows| clicks::counts(rows, &self.clicks, question).await)
    }

    fn top_links(&self, question: &TopQuestion) -> Result<TopAnswer, StoreFault> {
        self.ask(async |rows| clicks::top_links(rows, &self.clicks, question).await)
    }

    fn raw(&self, question: &RawQuestion) -> Result<RawPage, StoreFault> {
        self.ask(async |rows| clicks::raw_page(rows, &self.clicks, question).await)
    }

    fn raw_end(&self) -> Result<u64, StoreFault> {
        self.ask(async |rows| clicks::raw_end(rows).await)
    }

    fn agents(&self, hashes: &[u64]) -> Result<Vec<Option<String>>, StoreFault> {
        self.ask(async |rows| clicks::agents(rows, hashes).await)
    }

    fn unknown_codes(&self, question: &UnknownQuestion) -> Result<UnknownCodes, StoreFault> {
        self.ask(async |rows| clicks::unknown_codes(rows, &self.clicks, question).await)
    }

    fn losses(&self, from: i64, until: i64) -> Result<Vec<LossRow>, StoreFault> {
        self.ask(async |rows| clicks::losses(rows, &self.clicks, from, until).await)
    }

    fn delete_clicks(&self, deletion: &ClickDeletion, now: i64) -> Result<u64, StoreFault> {
        let deleted = self.change(async |rows| clicks::delete(rows, &self.clicks, deletion, now).await)?;
        for _ in 0..clicks::STEPS {
            if !self.change(async |rows| clicks::work(rows).await)? {
                break;
            }
        }
        Ok(deleted)
    }

    fn reclassify(&self, agents: &Agents, place: u64, now: i64) -> Result<Reclassified, StoreFault> {
        let done =
            self.change(async |rows| clicks::reclassify(rows, &self.clicks, agents, place, now).await)?;
        done.note(&self.clicks);
        Ok(done.report)
    }

    /// The first control that needs one makes it for all.
    fn day_key(&self, day: u32, fresh: [u8; DAY_KEY], now: i64) -> Result<[u8; DAY_KEY], StoreFault> {
        let (day, key) = (i64::from(day), &fresh[..]);
        self.db.call(WRITE, async |db| {
            forget_keys(db, now).await?;
            let put = "INSERT INTO click_day_keys (day, key) VALUES ($1, $2) ON CONFLICT (day) DO NOTHING";
            db.rows(put, &[(&day, Type::INT8), (&key, Type::BYTEA)]).await?;
            let rows =
                db.rows("SELECT key FROM click_day_keys WHERE day = $1", &[(&day, Type::INT8)]).await?;
            let none = || StoreFault::Unavailable("the key of the day is gone again: ask once more".into());
            let key: Vec<u8> = rows.first().ok_or_else(none)?.try_get(0).map_err(|e| corrupt(&e))?;
            let wrong = |_| StoreFault::Corrupt("the key of a day has another length".into());
            Ok(<[u8; DAY_KEY]>::try_from(key).map_err(wrong)?)
        })
    }

    fn was_clicked(&self, uid: Seq) -> Result<bool, StoreFault> {
        self.ask(async |rows| clicks::was_clicked(rows, &self.clicks, uid).await)
    }

    fn note_until(&self, edges: &[EdgeUntil], now: i64) -> Result<(), StoreFault> {
        self.change(async |rows| clicks::note_until(rows, edges, now).await)
    }

    fn until(&self) -> Result<Vec<EdgeUntil>, StoreFault> {
        self.ask(async |rows| clicks::until(rows).await)
    }

    fn forget_edge(&self, edge: &str, process: Option<u64>) -> Result<(), StoreFault> {
        self.change(async |rows| clicks::forget_edge(rows, edge, process).await)
    }
}

/// The keys of days that are over.
async fn forget_keys(db: &Db<'_>, now: i64) -> Result<(), TryFault> {
    // The end of a day is the beginning of the next.
    let before = (now - KEY_KEPT).div_euclid(DAY);
    db.rows("DELETE FROM click_day_keys WHERE day < $1", &[(&before, Type::INT8)]).await.map(drop)
}
