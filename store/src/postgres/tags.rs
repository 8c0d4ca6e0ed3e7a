//! The index of tags: which links have one, written with each link. Links that are missing there are taken in by and by.

use super::Postgres;
use super::connection::{BEGIN, COMMIT, Db, Params, READ, TryFault, WRITE, number};
use super::read::{self, LINK, LIVE, bounded, get};
use crate::kept;
use crate::model::{Row, StoreFault};
use crate::port::{Limit, LinkTag, ListPage, TagCount, TagLimit, TagPage, TagRename, Tags, TimeOrder};
use crate::tags::indexed;
use journal::Write;
use link::{DomainId, Key};
use std::collections::{BTreeSet, HashMap, HashSet};
use tokio_postgres::types::Type;

/// Whether links are missing in the index, as a condition. The server asks it once for a statement.
const BEHIND: &str = "EXISTS (SELECT 1 FROM tags_behind)";

/// Under which tags the links of a group stand in the index before it is written.
#[derive(Default)]
pub(super) struct IndexedTags {
    tags: HashMap<Key, BTreeSet<String>>,
    /// Those that are missing, or stand there under other tags than their own.
    behind: HashSet<Key>,
}

impl IndexedTags {
    /// A link that was found, with the tags that it stands under if these are not its own, as JSON.
    pub(super) fn found(&mut self, row: &Row, behind: Option<&[u8]>) {
        let tags: BTreeSet<String> = match behind {
            Some(json) => parsed(json),
            None => indexed(row).into_iter().map(str::to_owned).collect(),
        };
        if behind.is_some() {
            self.behind.insert(row.key.clone());
        }
        if !tags.is_empty() {
            self.tags.insert(row.key.clone(), tags);
        }
    }
}

/// A row of the index.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct TagEntry {
    domain: [u8; 4],
    tag: String,
    link: Vec<u8>,
    created: i64,
    updated: i64,
}

/// What changes in the index.
#[derive(Default)]
pub(super) struct IndexMoves {
    gone: Vec<TagEntry>,
    there: Vec<TagEntry>,
    /// Links that stand right from now on.
    caught_up: Vec<Vec<u8>>,
}

impl IndexMoves {
    /// What a group makes of the index; `last` are the last writes of its links.
    pub(super) fn new<'a>(before: &IndexedTags, last: impl Iterator<Item = &'a Write>) -> Self {
        let mut moved = Self::default();
        for write in last {
            let (key, times) = (&write.row.key, (write.row.create_time, write.row.update_time));
            let due = if write.purge { BTreeSet::new() } else { indexed(&write.row) };
            let there = before.tags.get(key);
            if there.is_some() || !due.is_empty() {
                moved.link(key, there.unwrap_or(&BTreeSet::new()), &due, times);
            }
            if before.behind.contains(key) {
                moved.caught_up.push(key.as_bytes().to_vec());
            }
        }
        moved.sort();
        moved
    }

    fn link(
        &mut self,
        key: &Key,
        there: &BTreeSet<String>,
        due: &BTreeSet<&str>,
        (created, updated): (i64, i64),
    ) {
        let entry = |tag: &str| TagEntry {
            domain: key.domain().prefix(),
            tag: tag.to_owned(),
            link: key.as_bytes().to_vec(),
            created,
            updated,
        };
        self.gone.extend(there.iter().filter(|tag| !due.contains(tag.as_str())).map(|tag| entry(tag)));
        self.there.extend(due.iter().map(|tag| entry(tag)));
    }

    /// As the index has them.
    fn sort(&mut self) {
        self.gone.sort_unstable();
        self.there.sort_unstable();
    }
}

/// The tags of a link as its row has them; none where they cannot be read: whoever meets that row is told so.
fn parsed(json: &[u8]) -> BTreeSet<String> {
    serde_json::from_slice(json).unwrap_or_default()
}

/// Writes it, in a transaction that is under way.
pub(super) async fn put(db: &Db<'_>, moved: &IndexMoves) -> Result<(), TryFault> {
    let (gone, there, caught_up) = tokio::join!(
        biased;
        leave(db, &moved.gone),
        stand(db, &moved.there),
        async {
            if moved.caught_up.is_empty() {
                return Ok(());
            }
            let links: Vec<&[u8]> = moved.caught_up.iter().map(Vec::as_slice).collect();
            let sql = "DELETE FROM tags_behind WHERE link = ANY($1)";
            db.rows(sql, &[(&links, Type::BYTEA_ARRAY)]).await.map(drop)
        },
    );
    gone.and(there).and(caught_up)
}

async fn leave(db: &Db<'_>, gone: &[TagEntry]) -> Result<(), TryFault> {
    if gone.is_empty() {
        return Ok(());
    }
    let Columns { domains, tags, links } = Columns::of(gone);
    // Row by row by the index: for thousands at once the planner would read the whole table. Nobody moves one meanwhile:
    // whoever writes has the head.
    let sql = "DELETE FROM link_tags WHERE ctid = ANY (ARRAY (SELECT t.place \
               FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) a(domain, tag, link) CROSS JOIN LATERAL \
               (SELECT ctid AS place FROM link_tags WHERE (domain, tag, link) = (a.domain, a.tag, a.link) LIMIT 1) t))";
    let params: Params<'_> =
        &[(&domains, Type::BYTEA_ARRAY), (&tags, Type::BYTEA_ARRAY), (&links, Type::BYTEA_ARRAY)];
    db.rows(sql, params).await.map(drop)
}

async fn stand(db: &Db<'_>, there: &[TagEntry]) -> Result<(), TryFault> {
    if there.is_empty() {
        return Ok(());
    }
    let Columns { domains, tags, links } = Columns::of(there);
    let created: Vec<i64> = there.iter().map(|entry| entry.created).collect();
    let updated: Vec<i64> = there.iter().map(|entry| entry.updated).collect();
    let sql = "INSERT INTO link_tags (domain, tag, link, created, updated) \
               SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[]) \
               ON CONFLICT (domain, tag, link) DO UPDATE SET created = EXCLUDED.created, updated = EXCLUDED.updated";
    let params: Params<'_> = &[
        (&domains, Type::BYTEA_ARRAY),
        (&tags, Type::BYTEA_ARRAY),
        (&links, Type::BYTEA_ARRAY),
        (&created, Type::INT8_ARRAY),
        (&updated, Type::INT8_ARRAY),
    ];
    db.rows(sql, params).await.map(drop)
}

/// Entries of the index by column.
struct Columns<'a> {
    domains: Vec<&'a [u8]>,
    tags: Vec<&'a [u8]>,
    links: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn of(entries: &'a [TagEntry]) -> Self {
        let all = |of: fn(&TagEntry) -> &[u8]| entries.iter().map(of).collect();
        Self {
            domains: all(|entry| &entry.domain),
            tags: all(|entry| entry.tag.as_bytes()),
            links: all(|entry| &entry.link),
        }
    }
}

/// Takes some of the missing links in, while nobody else writes; whether there may be more.
pub(super) async fn catch_up(db: &Db<'_>) -> Result<bool, TryFault> {
    let asked = db.rows(&format!("SELECT {BEHIND}"), &[]).await?;
    if !asked.first().map_or(Ok(false), |row| get(row, 0))? {
        return Ok(false);
    }
    let most = i64::from(kept::TAGGED_AT_ONCE);
    let sql = "SELECT b.link, b.tags, l.tags, l.create_time, l.update_time \
               FROM (SELECT link, tags FROM tags_behind ORDER BY link LIMIT $1) b LEFT JOIN LATERAL \
               (SELECT tags, create_time, update_time FROM links WHERE key = b.link AND delete_time IS NULL LIMIT 1) l \
               ON true";
    let params: Params<'_> = &[(&most, Type::INT8)];
    let (begun, locked, rows) = tokio::join!(
        biased;
        db.run(BEGIN),
        db.rows("SELECT FROM log_head FOR UPDATE", &[]),
        db.rows(sql, params),
    );
    begun?;
    locked?;
    let (rows, mut moved) = (rows?, IndexMoves::default());
    for row in &rows {
        let link: Vec<u8> = get(row, 0)?;
        let there = parsed(get(row, 1)?);
        let due = get::<Option<&[u8]>>(row, 2)?.map(parsed).unwrap_or_default();
        let times = (get::<Option<i64>>(row, 3)?.unwrap_or(0), get::<Option<i64>>(row, 4)?.unwrap_or(0));
        if let Ok(key) = Key::from_bytes(&link) {
            moved.link(&key, &there, &due.iter().map(String::as_str).collect(), times);
        }
        moved.caught_up.push(link);
    }
    moved.sort();
    let (written, committed) = tokio::join!(biased; put(db, &moved), db.run(COMMIT));
    written?;
    committed?;
    Ok(rows.len() as i64 == most)
}

impl Tags for Postgres {
    fn tagged(
        &self,
        tag: &LinkTag,
        prefix: &[u8],
        after: &[u8],
        limit: Limit,
    ) -> Result<ListPage, StoreFault> {
        self.db.call(READ, async |db| tagged(db, tag, prefix, after, limit).await)
    }

    fn newest_tagged(
        &self,
        tag: &LinkTag,
        time: TimeOrder,
        behind: (i64, &[u8]),
        limit: Limit,
    ) -> Result<ListPage, StoreFault> {
        self.db.call(READ, async |db| newest_tagged(db, tag, time, behind, limit).await)
    }

    fn count_tagged(&self, tag: &LinkTag, most: usize) -> Result<Option<u64>, StoreFault> {
        self.db.call(READ, async |db| count_tagged(db, tag, most).await)
    }

    fn tags(
        &self,
        domain: DomainId,
        prefix: &str,
        after: &str,
        limit: TagLimit,
    ) -> Result<Option<TagPage>, StoreFault> {
        self.db.call(READ, async |db| tags(db, domain, prefix, after, limit).await)
    }

    fn is_renaming(&self, rename: &TagRename) -> Result<bool, StoreFault> {
        let sql = "SELECT EXISTS (SELECT 1 FROM tag_renames WHERE (domain, tag, new_tag) = ($1, $2, $3))";
        self.db.call(READ, async |db| {
            let rows = named(db, sql, rename).await?;
            rows.first().map_or(Ok(false), |row| get(row, 0))
        })
    }

    fn note_renaming(&self, rename: &TagRename, ends: bool) -> Result<(), StoreFault> {
        let sql = match ends {
            true => "DELETE FROM tag_renames WHERE (domain, tag, new_tag) = ($1, $2, $3)",
            false => {
                "INSERT INTO tag_renames (domain, tag, new_tag) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
            }
        };
        self.db.call(WRITE, async |db| named(db, sql, rename).await.map(drop))
    }
}

async fn named(
    db: &Db<'_>,
    sql: &str,
    TagRename { from, to }: &TagRename,
) -> Result<Vec<tokio_postgres::Row>, TryFault> {
    let (domain, tag, to) = (from.domain.prefix(), from.tag.as_bytes(), to.as_bytes());
    db.rows(sql, &[(&&domain[..], Type::BYTEA), (&tag, Type::BYTEA), (&to, Type::BYTEA)]).await
}

/// The next rows of the index in its order, in one range of it: of how many links have a tag the planner may have no idea
/// yet, and would rather sort what it takes for a few. Those of other tags stand behind it. While links are missing, the
/// links themselves instead.
async fn tagged(
    db: &Db<'_>,
    LinkTag { domain, tag }: &LinkTag,
    prefix: &[u8],
    after: &[u8],
    limit: Limit,
) -> Result<ListPage, TryFault> {
    let (begin, operator) = if after >= prefix { (after, ">") } else { (prefix, ">=") };
    let from = format!(
        "(SELECT link FROM (SELECT domain, tag, link FROM link_tags WHERE (domain, tag, link) {operator} ($1, $5, $6) \
         AND NOT {BEHIND} ORDER BY domain, tag, link LIMIT $2 + 1) i WHERE domain = $1 AND tag = $5 UNION ALL \
         (SELECT key FROM links WHERE key {operator} $6 AND {BEHIND} AND {LIVE} ORDER BY key LIMIT $2 + 1)) found \
         CROSS JOIN LATERAL (SELECT {LINK} FROM links WHERE links.key = found.link LIMIT 1) l"
    );
    let (own, tag) = (domain.prefix(), tag.as_bytes());
    let more = &[(&tag as _, Type::BYTEA), (&begin as _, Type::BYTEA)][..];
    let what = (LINK, from.as_str(), "key", read::LINK_BYTES);
    inside(db, what, ((&&own[..], Type::BYTEA), more), prefix, limit).await
}

async fn newest_tagged(
    db: &Db<'_>,
    LinkTag { domain, tag }: &LinkTag,
    time: TimeOrder,
    (at, key): (i64, &[u8]),
    limit: Limit,
) -> Result<ListPage, TryFault> {
    let (column, own) = (time.column(), time.tag_column());
    let order = format!("substr(key, 1, 4) DESC, {column} DESC, key DESC");
    let from = format!(
        "(SELECT link FROM (SELECT domain, tag, {own}, link FROM link_tags \
         WHERE (domain, tag, {own}, link) < ($1, $5, $6, $7) AND NOT {BEHIND} \
         ORDER BY domain DESC, tag DESC, {own} DESC, link DESC LIMIT $2 + 1) i WHERE domain = $1 AND tag = $5 UNION ALL \
         (SELECT key FROM links WHERE (substr(key, 1, 4), {column}, key) < ($1, $6, $7) AND {BEHIND} AND {LIVE} \
         ORDER BY {order} LIMIT $2 + 1)) found \
         CROSS JOIN LATERAL (SELECT {LINK} FROM links WHERE links.key = found.link LIMIT 1) l"
    );
    let (domain, tag) = (domain.prefix(), tag.as_bytes());
    let more = &[(&tag as _, Type::BYTEA), (&at as _, Type::INT8), (&key as _, Type::BYTEA)][..];
    let what = (LINK, from.as_str(), order.as_str(), read::LINK_BYTES);
    inside(db, what, ((&&domain[..], Type::BYTEA), more), &domain, limit).await
}

/// A part of a list, up to the first link whose key begins otherwise.
async fn inside(
    db: &Db<'_>,
    what: (&str, &str, &str, &str),
    params: (super::connection::Param<'_>, Params<'_>),
    prefix: &[u8],
    limit: Limit,
) -> Result<ListPage, TryFault> {
    let (head, rows, mut more) = bounded(db, what, params, limit).await?;
    let mut rows = rows.iter().map(|row| read::raw(row, read::BEHIND)).collect::<Result<Vec<_>, _>>()?;
    let inside = rows.iter().take_while(|row| row.key.as_bytes().starts_with(prefix)).count();
    more &= inside == rows.len();
    rows.truncate(inside);
    Ok(ListPage { epoch: head.epoch, rows, more })
}

async fn count_tagged(
    db: &Db<'_>,
    LinkTag { domain, tag }: &LinkTag,
    most: usize,
) -> Result<Option<u64>, TryFault> {
    let sql = format!(
        "SELECT {BEHIND}, (SELECT count(*) FROM \
         (SELECT FROM link_tags WHERE domain = $1 AND tag = $2 LIMIT $3) a)"
    );
    let (domain, tag, most) = (domain.prefix(), tag.as_bytes(), i64::try_from(most).unwrap_or(i64::MAX));
    let params: Params<'_> = &[(&&domain[..], Type::BYTEA), (&tag, Type::BYTEA), (&most, Type::INT8)];
    let rows = db.rows(&sql, params).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    if get(row, 0)? { Ok(None) } else { number(row, 1).map(Some) }
}

/// From tag to tag, and of each the count: other tags are not looked at. The last row is the tag behind the page, without a
/// count. (OFFSET 0: else each count is made twice.)
async fn tags(
    db: &Db<'_>,
    domain: DomainId,
    prefix: &str,
    after: &str,
    limit: TagLimit,
) -> Result<Option<TagPage>, TryFault> {
    let next = |operator: &str, from: &str| {
        format!(
            "(SELECT tag FROM (SELECT domain, tag FROM link_tags WHERE (domain, tag) {operator} ($1, {from}) \
             ORDER BY domain, tag LIMIT 1) one WHERE domain = $1 AND substr(tag, 1, length($2)) = $2)"
        )
    };
    let count = "(SELECT count(*) FROM link_tags c WHERE c.domain = $1 AND c.tag = f.tag)";
    let (begin, operator) = if after >= prefix { (after, ">") } else { (prefix, ">=") };
    let (first, then) = (next(operator, "$3"), next(">", "page.tag"));
    let sql = format!(
        "WITH RECURSIVE page AS (SELECT 1 AS number, tag, links, links AS counted FROM \
         (SELECT f.tag, {count} AS links FROM {first} f OFFSET 0) one UNION ALL SELECT number + 1, tag, links, counted + coalesce(links, 0) FROM (SELECT page.number, f.tag, \
         page.counted, CASE WHEN page.number < $4 AND page.counted < $5 THEN {count} END AS links \
         FROM page CROSS JOIN LATERAL {then} f WHERE page.links IS NOT NULL OFFSET 0) more) \
         SELECT {BEHIND}, tag, links FROM (SELECT 1) one LEFT JOIN page ON true ORDER BY number"
    );
    let (own, prefix, from) = (domain.prefix(), prefix.as_bytes(), begin.as_bytes());
    let clamped = |most: u64| i64::try_from(most).unwrap_or(i64::MAX);
    let (most, links) = (clamped(limit.tags as u64), clamped(limit.links));
    let params: Params<'_> = &[
        (&&own[..], Type::BYTEA),
        (&prefix, Type::BYTEA),
        (&from, Type::BYTEA),
        (&most, Type::INT8),
        (&links, Type::INT8),
    ];
    // By the index, whatever the planner believes: of a tag that it does not know it takes as many links as tags have on
    // average, and where few tags have many links it would read the whole table for each, and compile that, too.
    let begin = "BEGIN READ ONLY; SET LOCAL enable_seqscan = off; SET LOCAL jit = off";
    let (begun, rows, ended) = tokio::join!(
        biased;
        db.run(begin),
        db.rows(&sql, params),
        db.run("COMMIT"),
    );
    begun?;
    let rows = rows?;
    ended?;
    let mut page = TagPage { tags: Vec::new(), more: false };
    for row in &rows {
        if get(row, 0)? {
            return Ok(None);
        }
        let Some(tag) = get::<Option<Vec<u8>>>(row, 1)? else { break }; // there is none at all
        let tag = String::from_utf8(tag).map_err(|e| StoreFault::Corrupt(format!("a tag: {e}")))?;
        match get::<Option<i64>>(row, 2)? {
            Some(links) => page.tags.push(TagCount { tag, links: links.cast_unsigned() }),
            None => page.more = true,
        }
    }
    Ok(Some(page))
}
