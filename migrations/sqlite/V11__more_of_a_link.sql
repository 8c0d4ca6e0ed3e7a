-- Why: what people note about a link, but for title, tags and note, has no column of its own, so that one more field is no
-- step of the tables. One message, StoredInfo in control/src/adapter/stored_info.rs, whose tags are never used again.
ALTER TABLE links ADD COLUMN more BLOB NOT NULL DEFAULT x'';
