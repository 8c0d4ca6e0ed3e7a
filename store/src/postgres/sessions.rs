//! The table of edges that all controls share, and a commit that proves whose database this is. What a row means is not
//! known here.

use super::connection::{BEGIN, COMMIT, Db, TryFault, corrupt, half};
use super::{history, position};
use crate::port::SessionRow;
use link::{Epoch, Position};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// As SQL: now by the server's clock, which is the only one that rows of different controls are compared by.
pub(super) const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
/// Milliseconds after which an edge that nobody has answered is blind beyond any doubt: two bounds.
const BLIND: i64 = 2 * feed::BOUND_MS as i64;
/// Milliseconds after which it is forgotten: no link is served that long without control.
const GONE: i64 = 24 * 60 * 60 * 1000;

pub(super) async fn all(db: &Db<'_>, control: i64) -> Result<Vec<SessionRow>, TryFault> {
    let sql = format!(
        "SELECT edge, incarnation, epoch_counter, epoch_random, applied, greatest(0, {NOW} - last_pong), control \
         FROM edge_session ORDER BY id"
    );
    let session = |row: &Row| {
        let edge: Vec<u8> = row.try_get(0).map_err(|e| corrupt(&e))?;
        Ok(SessionRow {
            edge: String::from_utf8_lossy(&edge).into_owned(),
            incarnation: row.try_get::<_, i64>(1).map_err(|e| corrupt(&e))?.cast_unsigned(),
            epoch: Epoch { counter: half(row, 2)?, random: half(row, 3)? },
            applied: row.try_get::<_, Option<i64>>(4).map_err(|e| corrupt(&e))?.map(i64::cast_unsigned),
            age: row.try_get::<_, i64>(5).map_err(|e| corrupt(&e))?.cast_unsigned(),
            own: row.try_get::<_, i64>(6).map_err(|e| corrupt(&e))? == control,
        })
    };
    db.rows(&sql, &[]).await?.iter().map(session).collect()
}

/// Writes this control's rows. Of all others those go that are blind and replaced, or have been blind for too long: an
/// edge may have left us and live on.
///
/// Two controls may hold streams of the same edges, and one may forget a process while another writes its row. So whoever
/// writes takes a turn, forgetting locks the rows that are there in the order of their keys as writing does, and nothing
/// that somebody writes is cleared away. Else they would wait for each other in a circle until PostgreSQL ends one, a
/// second later, and every edge would be blind. A turn for those alone who saw that a row is missing is not enough: it may
/// go missing behind their look.
pub(super) async fn replace(
    db: &Db<'_>,
    control: i64,
    own: &[SessionRow],
) -> Result<Vec<SessionRow>, TryFault> {
    let edges: Vec<&[u8]> = own.iter().map(|row| row.edge.as_bytes()).collect();
    let incarnations: Vec<i64> = own.iter().map(|row| row.incarnation.cast_signed()).collect();
    let counters: Vec<i64> = own.iter().map(|row| row.epoch.counter.into()).collect();
    let randoms: Vec<i64> = own.iter().map(|row| row.epoch.random.into()).collect();
    let applied: Vec<Option<i64>> = own.iter().map(|row| row.applied.map(u64::cast_signed)).collect();
    let ages: Vec<i64> = own.iter().map(|row| row.age.cast_signed()).collect();
    let turn = "SELECT pg_advisory_xact_lock(hashtext('edge_session'))";
    let lock = "SELECT FROM edge_session WHERE (edge, incarnation) IN (SELECT * FROM unnest($1::bytea[], $2::bigint[])) \
                ORDER BY edge, incarnation FOR UPDATE";
    let gone = format!(
        "DELETE FROM edge_session WHERE (edge, incarnation) IN (SELECT edge, incarnation FROM edge_session s WHERE \
         last_pong < {NOW} - {GONE} OR (last_pong < {NOW} - {BLIND} AND \
         (edge, incarnation) NOT IN (SELECT * FROM unnest($1::bytea[], $2::bigint[])) AND \
         EXISTS (SELECT FROM edge_session l WHERE l.edge = s.edge AND l.id > s.id)) FOR UPDATE SKIP LOCKED)"
    );
    let put = format!(
        "INSERT INTO edge_session (edge, incarnation, epoch_counter, epoch_random, applied, last_pong, control) \
         SELECT edge, incarnation, counter, random, applied, {NOW} - age, $1 FROM unnest($2::bytea[], $3::bigint[], \
         $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) WITH ORDINALITY \
         a(edge, incarnation, counter, random, applied, age, number) ORDER BY number \
         ON CONFLICT (edge, incarnation) DO UPDATE SET control = EXCLUDED.control, \
         epoch_counter = EXCLUDED.epoch_counter, epoch_random = EXCLUDED.epoch_random, applied = EXCLUDED.applied, \
         last_pong = greatest(edge_session.last_pong, EXCLUDED.last_pong)"
    );
    let whose = [(&edges as _, Type::BYTEA_ARRAY), (&incarnations as _, Type::INT8_ARRAY)];
    let rows = [
        (&control as _, Type::INT8),
        (&edges as _, Type::BYTEA_ARRAY),
        (&incarnations as _, Type::INT8_ARRAY),
        (&counters as _, Type::INT8_ARRAY),
        (&randoms as _, Type::INT8_ARRAY),
        (&applied as _, Type::INT8_ARRAY),
        (&ages as _, Type::INT8_ARRAY),
    ];
    let (begun, turn, locked, put, gone, all, committed) = tokio::join!(
        biased;
        db.run(BEGIN),
        db.run(turn),
        db.rows(lock, &whose),
        db.rows(&put, &rows),
        db.rows(&gone, &whose),
        all(db, control),
        db.run(COMMIT),
    );
    begun.and(turn)?;
    locked.and(put).and(gone)?;
    let all = all?;
    committed.map(|()| all)
}

/// They have said goodbye, or a person says that they are gone.
pub(super) async fn forget(db: &Db<'_>, gone: &[(String, u64)]) -> Result<(), TryFault> {
    let edges: Vec<&[u8]> = gone.iter().map(|(edge, _)| edge.as_bytes()).collect();
    let incarnations: Vec<i64> = gone.iter().map(|(_, incarnation)| incarnation.cast_signed()).collect();
    let sql = "DELETE FROM edge_session WHERE (edge, incarnation) IN (SELECT edge, incarnation FROM edge_session WHERE \
               (edge, incarnation) IN (SELECT * FROM unnest($1::bytea[], $2::bigint[])) \
               ORDER BY edge, incarnation FOR UPDATE)";
    db.rows(sql, &[(&edges, Type::BYTEA_ARRAY), (&incarnations, Type::INT8_ARRAY)]).await.map(drop)
}

/// The head, from a transaction that was committed after it was read: a server that another one has taken the place of
/// cannot do that where a commit waits for a quorum (R9).
pub(super) async fn heartbeat(db: &Db<'_>, control: i64) -> Result<Position, TryFault> {
    let beat = format!(
        "INSERT INTO heartbeat (control, at) VALUES ($1, {NOW}) ON CONFLICT (control) DO UPDATE SET at = EXCLUDED.at"
    );
    let known = db.all().known().last();
    let sql =
        format!("SELECT epoch_counter, epoch_random, head, tag, {} FROM log_head", position::tag_of("$1"));
    let seq = known.map_or(0, |known| known.seq.cast_signed());
    let (seq, control) = ([(&seq as _, Type::INT8)], [(&control as _, Type::INT8)]);
    let (begun, head, beat, committed) = tokio::join!(
        biased;
        db.run(BEGIN),
        db.rows(&sql, &seq),
        db.rows(&beat, &control),
        db.run(COMMIT),
    );
    begun?;
    let head = head?;
    beat.map(drop).and(committed)?;
    match head.first() {
        Some(row) => history::check(db, known, row).await,
        None => position::head(db).await,
    }
}
