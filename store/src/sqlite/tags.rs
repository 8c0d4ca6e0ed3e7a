//! The index of tags: which links have one, written with each link. Links from before it are taken in by and by.

use super::{Sqlite, fault, read, row};
use crate::kept;
use crate::model::StoreFault;
use crate::port::{Limit, LinkTag, ListPage, TagCount, TagLimit, TagPage, TagRename, Tags, TimeOrder};
use crate::tags::indexed;
use journal::Write;
use link::{DomainId, Key};
use rusqlite::{Connection, OptionalExtension, params};

/// Whether links are missing in the index.
pub(super) fn are_behind(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM tags_behind)")?.query_row([], |row| row.get(0))
}

/// What a write makes of the link's rows. `behind`: links are missing in the index, this one perhaps.
pub(super) fn put(db: &Connection, write: &Write, behind: bool) -> rusqlite::Result<()> {
    let key = write.row.key.as_bytes();
    let was_missing =
        behind && db.prepare_cached("DELETE FROM tags_behind WHERE link = ?1")?.execute([key])? > 0;
    let there = write.before.as_ref().filter(|_| !was_missing).map(indexed).unwrap_or_default();
    let due = if write.purge { Default::default() } else { indexed(&write.row) };
    for gone in there.difference(&due) {
        db.prepare_cached("DELETE FROM link_tags WHERE domain = ?1 AND tag = ?2 AND link = ?3")?
            .execute(params![write.row.key.domain().prefix(), gone, key])?;
    }
    due.into_iter().try_for_each(|tag| stand(db, &write.row, tag))
}

fn stand(db: &Connection, row: &crate::model::Row, tag: &str) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO link_tags (domain, tag, link, created, updated) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (domain, tag, link) DO UPDATE SET created = excluded.created, updated = excluded.updated",
    )?
    .execute(params![
        row.key.domain().prefix(),
        tag,
        row.key.as_bytes(),
        row.create_time,
        row.update_time
    ])
    .map(drop)
}

/// Takes some of the missing links in; how many.
pub(super) fn catch_up(db: &Connection) -> Result<usize, StoreFault> {
    let missing = || {
        db.prepare_cached("SELECT link FROM tags_behind ORDER BY link LIMIT ?1")?
            .query_map([kept::TAGGED_AT_ONCE], |row| row.get::<_, Vec<u8>>(0))?
            .collect::<rusqlite::Result<Vec<_>>>()
    };
    let missing = missing().map_err(|e| fault(&e))?;
    for bytes in &missing {
        match Key::from_bytes(bytes).ok().map(|key| row::one(db, &key)).transpose() {
            Ok(Some(Some(row))) => {
                indexed(&row).into_iter().try_for_each(|tag| stand(db, &row, tag)).map_err(|e| fault(&e))?;
            }
            // One that cannot be read is in no list: whoever meets it is told so.
            Ok(_) | Err(StoreFault::Corrupt(_)) => {}
            Err(fault) => return Err(fault),
        }
        let gone = db.prepare_cached("DELETE FROM tags_behind WHERE link = ?1");
        gone.and_then(|mut gone| gone.execute([bytes])).map_err(|e| fault(&e))?;
    }
    Ok(missing.len())
}

impl Tags for Sqlite {
    fn tagged(
        &self,
        tag: &LinkTag,
        prefix: &[u8],
        after: &[u8],
        limit: Limit,
    ) -> Result<ListPage, StoreFault> {
        self.listed(|db| tagged(db, tag, prefix, after, limit))
    }

    fn newest_tagged(
        &self,
        tag: &LinkTag,
        time: TimeOrder,
        behind: (i64, &[u8]),
        limit: Limit,
    ) -> Result<ListPage, StoreFault> {
        self.listed(|db| newest_tagged(db, tag, time, behind, limit))
    }

    fn count_tagged(&self, tag: &LinkTag, most: usize) -> Result<Option<u64>, StoreFault> {
        self.listed(|db| count_tagged(db, tag, most).map_err(|e| fault(&e)))
    }

    fn tags(
        &self,
        domain: DomainId,
        prefix: &str,
        after: &str,
        limit: TagLimit,
    ) -> Result<Option<TagPage>, StoreFault> {
        self.listed(|db| tags(db, domain, prefix, after, limit).map_err(|e| fault(&e)))
    }

    fn is_renaming(&self, TagRename { from, to }: &TagRename) -> Result<bool, StoreFault> {
        let sql = "SELECT EXISTS (SELECT 1 FROM tag_renames WHERE domain = ?1 AND tag = ?2 AND new_tag = ?3)";
        self.listed(|db| {
            let mut statement = db.prepare_cached(sql).map_err(|e| fault(&e))?;
            let found = statement.query_row(params![from.domain.prefix(), from.tag, to], |row| row.get(0));
            found.map_err(|e| fault(&e))
        })
    }

    fn note_renaming(&self, TagRename { from, to }: &TagRename, ends: bool) -> Result<(), StoreFault> {
        let sql = match ends {
            true => "DELETE FROM tag_renames WHERE domain = ?1 AND tag = ?2 AND new_tag = ?3",
            false => "INSERT OR IGNORE INTO tag_renames (domain, tag, new_tag) VALUES (?1, ?2, ?3)",
        };
        self.write(|db| {
            let noted = db.execute(sql, params![from.domain.prefix(), from.tag, to]);
            noted.map(drop).map_err(|e| fault(&e))
        })
    }
}

impl Sqlite {
    /// What is not found is not there, which only a file that is whole can say.
    fn listed<T>(&self, f: impl FnOnce(&Connection) -> Result<T, StoreFault>) -> Result<T, StoreFault> {
        self.health.whole()?;
        self.read(|snapshot| f(snapshot))
    }
}

fn tagged(
    db: &Connection,
    LinkTag { domain, tag }: &LinkTag,
    prefix: &[u8],
    after: &[u8],
    limit: Limit,
) -> Result<ListPage, StoreFault> {
    if are_behind(db).map_err(|e| fault(&e))? {
        return read::list(db, prefix, after, false, limit);
    }
    let epoch = read::head(db)?.epoch;
    let sql = format!(
        "SELECT {} FROM link_tags CROSS JOIN links ON key = link WHERE domain = ?1 AND tag = ?2 AND link >= ?3 \
         AND link <> ?4 ORDER BY link",
        row::COLUMNS
    );
    let given = params![domain.prefix(), tag, after.max(prefix), after];
    let (mut rows, mut more) = read::links(db, &sql, given, limit)?;
    let inside = rows.iter().take_while(|row| row.key.as_bytes().starts_with(prefix)).count();
    more &= inside == rows.len();
    rows.truncate(inside);
    Ok(ListPage { epoch, rows, more })
}

fn newest_tagged(
    db: &Connection,
    LinkTag { domain, tag }: &LinkTag,
    time: TimeOrder,
    (at, key): (i64, &[u8]),
    limit: Limit,
) -> Result<ListPage, StoreFault> {
    if are_behind(db).map_err(|e| fault(&e))? {
        return read::newest(db, *domain, time, (at, key), false, limit);
    }
    let epoch = read::head(db)?.epoch;
    let column = time.tag_column();
    let sql = format!(
        "SELECT {} FROM link_tags INDEXED BY link_tags_{column} CROSS JOIN links ON key = link \
         WHERE domain = ?1 AND tag = ?2 AND ({column}, link) < (?3, ?4) ORDER BY {column} DESC, link DESC",
        row::COLUMNS
    );
    let (rows, more) = read::links(db, &sql, params![domain.prefix(), tag, at, key], limit)?;
    Ok(ListPage { epoch, rows, more })
}

fn count_tagged(
    db: &Connection,
    LinkTag { domain, tag }: &LinkTag,
    most: usize,
) -> rusqlite::Result<Option<u64>> {
    if are_behind(db)? {
        return Ok(None);
    }
    let sql = "SELECT count(*) FROM (SELECT 1 FROM link_tags WHERE domain = ?1 AND tag = ?2 LIMIT ?3)";
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    db.prepare_cached(sql)?.query_row(params![domain.prefix(), tag, most], |row| row.get(0)).map(Some)
}

/// From tag to tag, and of each the count: other tags are not looked at.
fn tags(
    db: &Connection,
    domain: DomainId,
    prefix: &str,
    after: &str,
    limit: TagLimit,
) -> rusqlite::Result<Option<TagPage>> {
    if are_behind(db)? {
        return Ok(None);
    }
    let next = |from: &str, or_that: bool| {
        let operator = if or_that { ">=" } else { ">" };
        let sql =
            format!("SELECT tag FROM link_tags WHERE domain = ?1 AND tag {operator} ?2 ORDER BY tag LIMIT 1");
        let found = db.prepare_cached(&sql)?.query_row(params![domain.prefix(), from], |row| row.get(0));
        Ok::<_, rusqlite::Error>(found.optional()?.filter(|tag: &String| tag.starts_with(prefix)))
    };
    let mut page = TagPage { tags: Vec::new(), more: false };
    let mut counted = 0;
    let mut tag = if after >= prefix { next(after, false)? } else { next(prefix, true)? };
    while let Some(found) = tag {
        let is_full = page.tags.len() >= limit.tags || counted >= limit.links;
        if is_full && !page.tags.is_empty() {
            page.more = true;
            break;
        }
        let links: u64 = db
            .prepare_cached("SELECT count(*) FROM link_tags WHERE domain = ?1 AND tag = ?2")?
            .query_row(params![domain.prefix(), found], |row| row.get(0))?;
        counted += links;
        tag = next(&found, false)?;
        page.tags.push(TagCount { tag: found, links });
    }
    Ok(Some(page))
}
