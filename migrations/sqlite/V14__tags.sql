-- Why: the links that have a tag are found, listed in any order and counted without looking at others.

-- One row for each tag of each link that is not deleted, written with the link; a link without tags has none and costs
-- nothing. domain: the first four bytes of link, which is the key. created, updated: as in links.
CREATE TABLE link_tags (
    domain  BLOB NOT NULL,
    tag     TEXT NOT NULL,
    link    BLOB NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (domain, tag, link)
) WITHOUT ROWID;
CREATE INDEX link_tags_created ON link_tags (domain, tag, created, link);
CREATE INDEX link_tags_updated ON link_tags (domain, tag, updated, link);

-- Links that are not in link_tags yet. A store of before may hold millions: they are taken in little by little while linkr
-- runs, and until the last one is in, lists go without the index.
CREATE TABLE tags_behind (link BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID;
INSERT INTO tags_behind SELECT key FROM links WHERE delete_time IS NULL AND tags <> '[]' ORDER BY key;

-- Renames that were begun and have not ended: who asks for the same again goes on with it.
CREATE TABLE tag_renames (
    domain  BLOB NOT NULL,
    tag     TEXT NOT NULL,
    new_tag TEXT NOT NULL,
    PRIMARY KEY (domain, tag, new_tag)
) WITHOUT ROWID;
