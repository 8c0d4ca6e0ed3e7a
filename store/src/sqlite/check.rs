//! Whether a file is whole: its pages, and that links, domains, log and the index of tags tell the same. Nothing is written here.

use super::{fault, read};
use crate::model::StoreFault;
use link::{ChangeKind, Position};
use rusqlite::{Connection, Row, params};
use std::collections::BTreeSet;

/// Faults that are named.
const NAMED: u32 = 3;

/// What is wrong with the pages and indexes, if anything is.
pub(super) fn pages(db: &Connection) -> rusqlite::Result<Option<String>> {
    let mut statement = db.prepare(&format!("PRAGMA integrity_check({NAMED})"))?;
    let found = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>();
    let found = match found {
        Ok(found) => found,
        // Too damaged to be looked through to its end.
        Err(e) => match fault(&e) {
            StoreFault::Corrupt(why) => vec![why],
            _ => return Err(e),
        },
    };
    let text = found.join("; ").replace('\n', " ");
    Ok(Some(text).filter(|text| text != "ok"))
}

/// Everything: the pages, a log without holes that ends at its head, and every link and domain as the log left it. Says
/// where it ends, or what is wrong.
pub(super) fn whole(db: &Connection) -> Result<Result<Position, String>, StoreFault> {
    if let Some(damage) = pages(db).map_err(|e| fault(&e))? {
        return Ok(Err(damage));
    }
    let head = read::head(db)?;
    for look in [log, rows, histories, partial_indexes, tags] {
        if let Some(why) = look(db, head).map_err(|e| fault(&e))? {
            return Ok(Err(why));
        }
    }
    Ok(Ok(head))
}

/// Finds a history or an audit row that names a change behind the head. An old store has not all of these tables.
fn histories(db: &Connection, head: Position) -> rusqlite::Result<Option<String>> {
    let has = |table: &str| db.prepare(&format!("SELECT 1 FROM {table}")).is_ok();
    let most = |sql: &str| db.query_row(sql, [], |row| row.get::<_, u64>(0));
    if has("epochs") && most("SELECT coalesce(max(counter), 0) FROM epochs")? > head.epoch.counter.into() {
        return Ok(Some("its histories are ahead of its head".to_owned()));
    }
    if has("epochs") && most("SELECT coalesce(max(head), 0) FROM epochs")? > head.seq {
        return Ok(Some("a history of it begins ahead of its head".to_owned()));
    }
    if has("audit") && most("SELECT coalesce(max(seq), 0) FROM audit")? > head.seq {
        return Ok(Some("its audit is ahead of its head".to_owned()));
    }
    Ok(None)
}

/// SQLite does not count the entries of an index that leaves rows out.
fn partial_indexes(db: &Connection, _: Position) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'index' AND sql LIKE '% WHERE %'";
    let read = |row: &Row<'_>| Ok([row.get::<_, String>(0)?, row.get(1)?, row.get(2)?]);
    let indexes = db.prepare(sql)?.query_map([], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    for [index, table, made] in indexes {
        let Some((_, which)) = made.split_once(" WHERE ") else { continue };
        let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, u64>(0));
        let entries = count(&format!("SELECT count(*) FROM {table} INDEXED BY {index} WHERE {which}"))?;
        // Not behind WHERE: a table without rowid is looked for in the index all the same.
        let rows = count(&format!(
            "SELECT coalesce(sum(CASE WHEN {which} THEN 1 ELSE 0 END), 0) FROM {table} NOT INDEXED"
        ))?;
        if entries != rows {
            return Ok(Some(format!("its index {index} has {entries} entries for {rows} rows")));
        }
    }
    Ok(None)
}

/// As many rows in the index of tags as the links have tags, but for those that are still to be taken in. An old store has
/// none.
fn tags(db: &Connection, _: Position) -> rusqlite::Result<Option<String>> {
    if db.prepare("SELECT 1 FROM link_tags").is_err() {
        return Ok(None);
    }
    let entries = db.query_row("SELECT count(*) FROM link_tags", [], |row| row.get::<_, usize>(0))?;
    let sql = "SELECT tags FROM links WHERE delete_time IS NULL AND tags <> '[]' \
               AND NOT EXISTS (SELECT 1 FROM tags_behind WHERE link = key)";
    let (mut statement, mut due) = (db.prepare(sql)?, 0);
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let tags = serde_json::from_str::<BTreeSet<String>>(row.get_ref(0)?.as_str()?);
        due += tags.map_or(0, |tags| tags.len());
    }
    Ok((entries != due).then(|| format!("its index of tags has {entries} entries for {due} tags of links")))
}

fn log(db: &Connection, head: Position) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT count(*), coalesce(min(seq), 1), coalesce(max(seq), 0) FROM change_log";
    let (count, first, last): (u64, u64, u64) =
        db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    if last != head.seq {
        return Ok(Some(format!("its log ends with change {last}, and its head says {}", head.seq)));
    }
    if count != last + 1 - first {
        return Ok(Some(format!("of the changes {first} to {last} only {count} are in its log")));
    }
    if last == 0 {
        return Ok(None);
    }
    let tag: i64 = db.query_row("SELECT tag FROM change_log WHERE seq = ?1", [last], |row| row.get(0))?;
    let other = tag.cast_unsigned() != head.tag;
    Ok(other.then(|| format!("its last change {last} is not the one that its head names")))
}

/// Each link and domain against the last change of it, as far as the log goes back.
fn rows(db: &Connection, head: Position) -> rusqlite::Result<Option<String>> {
    let count = |sql: &str, kind: ChangeKind| db.query_row(sql, [kind.0], |row| row.get::<_, u64>(0));
    let ahead: u64 = db.query_row(
        "SELECT (SELECT count(*) FROM links WHERE version > ?1) + (SELECT count(*) FROM domains WHERE version > ?1)",
        params![head.seq],
        |row| row.get(0),
    )?;
    if ahead > 0 {
        return Ok(Some(format!("{ahead} of its links or domains are ahead of its log")));
    }
    let last = "(SELECT key, max(seq) AS seq, kind, record FROM change_log WHERE kind <> ?1 GROUP BY key)";
    let links = format!(
        "SELECT count(*) FROM {last} c LEFT JOIN links l ON l.key = c.key WHERE CASE c.kind WHEN {} \
         THEN l.version IS NOT c.seq OR l.record IS NOT c.record WHEN {} THEN l.key IS NOT NULL ELSE 0 END",
        ChangeKind::LINK.0,
        ChangeKind::PURGE.0
    );
    let apart = count(&links, ChangeKind::DOMAIN)?;
    if apart > 0 {
        return Ok(Some(format!("{apart} of its links are not as its log left them")));
    }
    // Of one that was deleted nothing is left: what made or changed it before is not compared.
    let domains = "SELECT count(*) FROM (SELECT key, max(seq) AS seq, kind, record FROM change_log WHERE kind IN (?1, 132) \
                   GROUP BY key) c WHERE c.kind = ?1 AND NOT EXISTS (SELECT 1 FROM domains d WHERE d.version = c.seq AND \
                   d.record = c.record)";
    const _: () = assert!(ChangeKind::DOMAIN_GONE.0 == 132, "as it stands in the query");
    let apart = count(domains, ChangeKind::DOMAIN)?;
    Ok((apart > 0).then(|| format!("{apart} of its domains are not as its log left them")))
}
