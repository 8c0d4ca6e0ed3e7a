-- Why: one link of a domain that is not deleted has an external id, and is found by it.

-- The id out of more; NULL: it has none. A deleted link keeps it, and gives it up all the same.
ALTER TABLE links ADD COLUMN external_id TEXT;
CREATE UNIQUE INDEX links_external_id_once ON links (substr(key, 1, 4), external_id)
    WHERE external_id IS NOT NULL AND delete_time IS NULL;
CREATE INDEX links_external_id ON links (substr(key, 1, 4), external_id, key) WHERE external_id IS NOT NULL;
