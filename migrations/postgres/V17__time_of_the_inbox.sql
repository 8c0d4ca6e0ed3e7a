-- Why: an answer that leaves out batches says up to when it is complete, and may not read them for that. Times of clicks are at most 40
-- days before those at which they were taken.
ALTER TABLE click_inbox ADD COLUMN first_at BIGINT NOT NULL DEFAULT 0;
UPDATE click_inbox SET first_at = at - 3456000000;
CREATE INDEX click_inbox_first_at ON click_inbox (number) INCLUDE (first_at);
