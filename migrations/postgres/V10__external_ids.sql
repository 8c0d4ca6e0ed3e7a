-- Why: one link of a domain that is not deleted has an external id, and is found by it.

-- The id out of more, as UTF-8; NULL: it has none. A deleted link keeps it, and gives it up all the same.
-- A control of before that is still running names neither column. A link that it changes, deletes or brings back keeps its
-- id in both, so they agree; deleted, it gives the id up. What it brings back while another link has the id by now would be
-- a second one: the index refuses that, and with it the group of writes that it stands in. Give no external ids before
-- every control knows them.
ALTER TABLE links ADD COLUMN external_id BYTEA;
CREATE UNIQUE INDEX links_external_id_once ON links (substr(key, 1, 4), external_id)
    WHERE external_id IS NOT NULL AND delete_time IS NULL;
CREATE INDEX links_external_id ON links (substr(key, 1, 4), external_id, key) WHERE external_id IS NOT NULL;
