-- Why: the links that have a tag are found, listed in any order and counted without looking at others.

-- One row for each tag of each link that is not deleted, written with the link; a link without tags has none and costs
-- nothing. domain: the first four bytes of link, which is the key. tag: as UTF-8. created, updated: as in links.
CREATE TABLE link_tags (
    domain  BYTEA NOT NULL,
    tag     BYTEA NOT NULL,
    link    BYTEA NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (domain, tag, link)
);
CREATE INDEX link_tags_created ON link_tags (domain, tag, created, link);
CREATE INDEX link_tags_updated ON link_tags (domain, tag, updated, link);

-- Links whose rows in link_tags are not those of their tags, and the tags (as in links) that they stand under there. A
-- database of before may hold millions: they are taken in little by little while linkr runs, and until the last one is
-- in, lists go without the index.
CREATE TABLE tags_behind (
    link BYTEA PRIMARY KEY,
    tags BYTEA NOT NULL
);
INSERT INTO tags_behind SELECT key, '[]' FROM links WHERE delete_time IS NULL AND tags <> '[]';

-- A control of before that is still running does not know link_tags: what it writes is behind. This one says in each
-- transaction that it keeps them.
CREATE FUNCTION note_tags_behind() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.delete_time IS NULL THEN
        INSERT INTO tags_behind VALUES (NEW.key, OLD.tags) ON CONFLICT DO NOTHING;
    ELSE
        INSERT INTO tags_behind VALUES (NEW.key, '[]') ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER links_tags_made AFTER INSERT ON links FOR EACH ROW
    WHEN (NEW.delete_time IS NULL AND NEW.tags <> '[]'
        AND current_setting('linkr.keeps_tags', true) IS DISTINCT FROM 'yes')
    EXECUTE FUNCTION note_tags_behind();
CREATE TRIGGER links_tags_changed AFTER UPDATE ON links FOR EACH ROW
    WHEN ((OLD.delete_time IS NULL AND OLD.tags <> '[]' OR NEW.delete_time IS NULL AND NEW.tags <> '[]')
        AND current_setting('linkr.keeps_tags', true) IS DISTINCT FROM 'yes')
    EXECUTE FUNCTION note_tags_behind();

-- Renames that were begun and have not ended: who asks for the same again goes on with it.
CREATE TABLE tag_renames (
    domain  BYTEA NOT NULL,
    tag     BYTEA NOT NULL,
    new_tag BYTEA NOT NULL,
    PRIMARY KEY (domain, tag, new_tag)
);
