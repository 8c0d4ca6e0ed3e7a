-- Why: what people note about a link, but for title, tags and note, has no column of its own, so that one more field is no
-- step of the tables. One message, StoredInfo in control/src/adapter/stored_info.rs, whose tags are never used again.
-- A control of before that is still running does not name it: a link that it makes has none, one that it changes keeps it.
ALTER TABLE links ADD COLUMN more BYTEA NOT NULL DEFAULT '';
