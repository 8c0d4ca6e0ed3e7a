//! R2: whether the database still holds the history that this process has seen, and what is done when it does not.

use super::connection::{Db, Params, TryFault, corrupt};
use super::position::{self, tag_of};
use crate::clock::unix_ms;
use crate::model::StoreFault;
use crate::port::SECRET;
use link::{Epoch, Position, Seq};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// Whether `head`, read after `known` was, proves that history was replaced; `tag` is the one stored for the seq of
/// `known`. A row that is no longer kept proves nothing.
fn is_replaced(known: Option<Position>, head: Position, tag: Option<u64>) -> bool {
    let Some(known) = known.filter(|known| head.epoch.counter <= known.epoch.counter) else { return false };
    head.epoch != known.epoch
        || head.seq < known.seq
        || (known.seq > 0 && tag.is_some_and(|tag| tag != known.tag))
}

/// Looks at a new connection before anything is asked of it.
pub(super) async fn greet(db: &Db<'_>) -> Result<(), TryFault> {
    let known = db.all().known().last();
    let sql = format!(
        "SELECT epoch_counter, epoch_random, head, tag, {}, current_setting('synchronous_commit'), \
         current_setting('synchronous_standby_names') <> '' FROM log_head",
        tag_of("$1")
    );
    let seq = known.map_or(0, |known| known.seq.cast_signed());
    let rows = db.rows(&sql, &[(&seq, Type::INT8)]).await?;
    let row = rows.first().ok_or_else(|| StoreFault::Corrupt("the log has no head".into()))?;
    let commit: &str = row.try_get(5).map_err(|e| corrupt(&e))?;
    if !["on", "remote_apply"].contains(&commit) {
        let why = format!(
            "synchronous_commit is {commit} for this role or database, so a commit could be lost that was \
             acknowledged: ALTER ROLE CURRENT_USER SET synchronous_commit = on (or ALTER DATABASE), as that role"
        );
        return Err(StoreFault::Unavailable(why).into());
    }
    db.all().set_synchronous(row.try_get(6).map_err(|e| corrupt(&e))?);
    check(db, known, row).await.map(drop)
}

/// The head of a row that has the tag of the seq of `known` behind it, if it is of the history that `known` is of.
pub(super) async fn check(db: &Db<'_>, known: Option<Position>, row: &Row) -> Result<Position, TryFault> {
    let (head, tag) = (position::of(row)?, row.try_get::<_, Option<i64>>(4).map_err(|e| corrupt(&e))?);
    match known.filter(|_| is_replaced(known, head, tag.map(i64::cast_unsigned))) {
        None => Ok(db.note(head)),
        Some(known) => Err(replaced(db, known, head).await),
    }
}

/// A new history begins, or a person has to say that it may.
async fn replaced(db: &Db<'_>, known: Position, head: Position) -> TryFault {
    db.all().drop_idle();
    if !db.fresh {
        // It may lead to a server that is the primary no more. What new ones lead to counts.
        return TryFault::Passing("another history is behind new connections".into());
    }
    let text = |at: Position| Position::revision(at.epoch, at.seq);
    if !db.all().auto_fork() {
        let why = format!(
            "the database ends at {}, and this control has seen {} (tag {:016x}): another state of it was put in its \
             place. If that was meant: linkr control bump-epoch --above {}",
            text(head),
            text(known),
            known.tag,
            known.epoch.counter
        );
        if !db.all().set_replaced(true) {
            tracing::error!(name: "store_replaced", "{why}");
        }
        return StoreFault::Unavailable(why).into();
    }
    match bump(db, known, head.epoch).await {
        Err(trouble) => trouble,
        Ok((shared, new)) => {
            if db.all().known().told.replace(new.epoch) != Some(new.epoch) {
                tracing::warn!(
                    name: "writes_lost",
                    "history {} takes the place of what this control knew up to {}: acknowledged writes behind {shared} \
                     that are not in the database are gone",
                    text(new),
                    text(known),
                );
            }
            TryFault::Passing("a new history has begun".into())
        }
    }
}

/// Begins a history behind the last change that both are proved to share, unless another control has done so.
async fn bump(db: &Db<'_>, known: Position, current: Epoch) -> Result<(Seq, Position), TryFault> {
    // Not over the wait: a lock that is held.
    let (seqs, tags): (Vec<i64>, Vec<i64>) =
        db.all().known().tags.iter().map(|(seq, tag)| (seq.cast_signed(), tag.cast_signed())).unzip();
    let sql = "SELECT max(seq) FROM change_log JOIN unnest($1::bigint[], $2::bigint[]) k(seq, tag) USING (seq, tag)";
    let rows = db.rows(sql, &[(&seqs, Type::INT8_ARRAY), (&tags, Type::INT8_ARRAY)]).await?;
    let shared =
        rows.first().map_or(Ok(None), |row| row.try_get::<_, Option<i64>>(0)).map_err(|e| corrupt(&e))?;
    let shared = shared.unwrap_or(0).cast_unsigned();
    db.all().known().leave(shared);
    let new = fork(db, known.epoch.counter, shared, Some(current), unix_ms()).await?;
    Ok((shared, new))
}

/// The secret of the store; made by the first who asks.
pub(super) async fn secret(db: &Db<'_>) -> Result<[u8; SECRET], TryFault> {
    let new = crate::random::bytes::<SECRET>();
    let new = &new[..];
    db.rows("INSERT INTO secret VALUES (1, $1) ON CONFLICT DO NOTHING", &[(&new, Type::BYTEA)]).await?;
    let rows = db.rows("SELECT secret FROM secret", &[]).await?;
    let secret: Option<&[u8]> =
        rows.first().map(|row| row.try_get(0)).transpose().map_err(|e| corrupt(&e))?;
    let secret = secret.and_then(|secret| secret.try_into().ok());
    Ok(secret.ok_or_else(|| StoreFault::Corrupt("the store has no secret of 32 bytes".into()))?)
}

/// Begins a history above `counter`. With `only` in that one's place: when it has gone already nothing is done, and the
/// answer is where the log stands.
pub(super) async fn fork(
    db: &Db<'_>,
    counter: u32,
    shared: Seq,
    only: Option<Epoch>,
    now: i64,
) -> Result<Position, TryFault> {
    let sql = "WITH new AS (UPDATE log_head SET parent_counter = epoch_counter, parent_random = epoch_random, \
               fork_seq = least($1, head), epoch_counter = greatest(epoch_counter, $2) + 1, epoch_random = $3 \
               WHERE greatest(epoch_counter, $2) < 4294967295 \
               AND ($5::bigint IS NULL OR (epoch_counter, epoch_random) = ($5, $6)) RETURNING *), \
               noted AS (INSERT INTO epochs SELECT epoch_counter, epoch_random, parent_counter, parent_random, \
               fork_seq, head, $4 FROM new) \
               SELECT epoch_counter, epoch_random, head, tag FROM new";
    let (counter, random) = (i64::from(counter), i64::from(crate::random::u32()));
    let only = only.map(|only| (i64::from(only.counter), i64::from(only.random))).unzip();
    let shared = shared.cast_signed();
    let params: Params<'_> = &[
        (&shared, Type::INT8),
        (&counter, Type::INT8),
        (&random, Type::INT8),
        (&now, Type::INT8),
        (&only.0, Type::INT8),
        (&only.1, Type::INT8),
    ];
    match db.rows(sql, params).await?.first() {
        Some(row) => Ok(db.note(position::of(row)?)),
        None if only.0.is_some() => position::head(db).await,
        None => Err(StoreFault::Unavailable("histories are used up".into()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proves_another_history() {
        let at = |counter, seq, tag| Position { epoch: Epoch { counter, random: 7 }, seq, tag };
        let known = Some(at(2, 10, 5));
        assert!(!is_replaced(None, at(1, 0, 0), None));
        assert!(!is_replaced(known, at(2, 10, 5), Some(5)));
        assert!(!is_replaced(known, at(2, 90, 6), None), "the row is not kept any more");
        assert!(!is_replaced(known, at(3, 1, 1), None), "somebody has begun a new one");
        assert!(is_replaced(known, at(2, 90, 6), Some(6)), "another tag");
        assert!(is_replaced(known, at(2, 9, 4), None), "the end is gone");
        assert!(is_replaced(known, at(1, 90, 6), Some(5)), "an earlier history");
        let other = Position { epoch: Epoch { counter: 2, random: 8 }, ..at(2, 90, 6) };
        assert!(is_replaced(known, other, Some(5)), "begun separately");
        assert!(!is_replaced(Some(at(2, 0, 0)), at(2, 5, 1), None));
    }
}
