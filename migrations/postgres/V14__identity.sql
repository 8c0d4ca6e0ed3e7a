-- Why: a click belongs to one link, and codes are given out again: a link is known by the change that created it.

-- The seq of that change; NULL: it is version. That is so for each link of before: it counts as created by its last change.
-- The record says the same, and is what is believed; by this column a link is found.
-- A control of before that is still running names neither column. What it changes keeps its uid in both if it has one there,
-- and counts as created by that change if it has none. Replaced by an import of such a control a link may lose the uid in
-- its record. Count no clicks before every control knows them.
ALTER TABLE links ADD COLUMN uid BIGINT;
CREATE INDEX links_uid ON links (coalesce(uid, version));
-- true: the link is deleted and was clicked, so that its code is never free again. NULL: not known yet.
ALTER TABLE links ADD COLUMN clicked BOOLEAN;
-- The sweep asks for the oldest tombstones, and for none twice that stays.
DROP INDEX links_deleted;
CREATE INDEX links_deleted ON links (delete_time) WHERE delete_time IS NOT NULL AND clicked IS NULL;
