//! The table of what edges say of themselves, which all controls share. What is in a report is not known here.

use super::connection::{BEGIN, COMMIT, Db, TryFault, corrupt};
use super::sessions::NOW;
use crate::port::ReportRow;
use bytes::Bytes;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// Writes what was heard by this control, clears away what is of no edge that is known, and reads what others have heard.
///
/// Two controls may have heard the same edge, so each writes in the order of the keys, and nothing that somebody writes is
/// cleared away: nobody waits for another in a circle.
pub(super) async fn exchange(
    db: &Db<'_>,
    control: i64,
    heard: &[ReportRow],
) -> Result<Vec<ReportRow>, TryFault> {
    let edges: Vec<&[u8]> = heard.iter().map(|row| row.edge.as_bytes()).collect();
    let incarnations: Vec<i64> = heard.iter().map(|row| row.incarnation.cast_signed()).collect();
    let reports: Vec<&[u8]> = heard.iter().map(|row| &row.report[..]).collect();
    let ages: Vec<i64> = heard.iter().map(|row| row.age.cast_signed()).collect();
    let put = format!(
        "INSERT INTO edge_report (edge, incarnation, control, at, report) \
         SELECT edge, incarnation, $1, {NOW} - age, report \
         FROM unnest($2::bytea[], $3::bigint[], $4::bytea[], $5::bigint[]) a(edge, incarnation, report, age) \
         ORDER BY edge, incarnation ON CONFLICT (edge, incarnation) DO UPDATE SET control = EXCLUDED.control, \
         at = EXCLUDED.at, report = EXCLUDED.report WHERE edge_report.at <= EXCLUDED.at"
    );
    let gone = "DELETE FROM edge_report WHERE (edge, incarnation) IN (SELECT edge, incarnation FROM edge_report r WHERE \
                NOT EXISTS (SELECT FROM edge_session s WHERE s.edge = r.edge AND s.incarnation = r.incarnation) \
                FOR UPDATE SKIP LOCKED)";
    let others = format!(
        "SELECT edge, incarnation, report, greatest(0, {NOW} - at) FROM edge_report WHERE control <> $1"
    );
    let rows = [
        (&control as _, Type::INT8),
        (&edges as _, Type::BYTEA_ARRAY),
        (&incarnations as _, Type::INT8_ARRAY),
        (&reports as _, Type::BYTEA_ARRAY),
        (&ages as _, Type::INT8_ARRAY),
    ];
    let whose = [(&control as _, Type::INT8)];
    let (begun, put, gone, others, committed) = tokio::join!(
        biased;
        db.run(BEGIN),
        db.rows(&put, &rows),
        db.rows(gone, &[]),
        db.rows(&others, &whose),
        db.run(COMMIT),
    );
    begun?;
    put.and(gone)?;
    let others = others?;
    committed?;
    others.iter().map(report).collect()
}

fn report(row: &Row) -> Result<ReportRow, TryFault> {
    let edge: Vec<u8> = row.try_get(0).map_err(|e| corrupt(&e))?;
    let report: Vec<u8> = row.try_get(2).map_err(|e| corrupt(&e))?;
    Ok(ReportRow {
        edge: String::from_utf8_lossy(&edge).into_owned(),
        incarnation: row.try_get::<_, i64>(1).map_err(|e| corrupt(&e))?.cast_unsigned(),
        report: Bytes::from(report),
        age: row.try_get::<_, i64>(3).map_err(|e| corrupt(&e))?.cast_unsigned(),
    })
}
