-- Why: an answer that leaves out batches says up to when it is complete, and may not read them for that. Times of clicks are at most 40
-- days before those at which they were taken.
ALTER TABLE inbox ADD COLUMN first_at INTEGER NOT NULL DEFAULT 0;
UPDATE inbox SET first_at = at - 3456000000;
CREATE INDEX inbox_first_at ON inbox (number, first_at);
