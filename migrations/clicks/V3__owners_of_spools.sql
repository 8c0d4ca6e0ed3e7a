-- Under which key the last batch of a spool came; empty: under none, or in a version that did not note it.
ALTER TABLE cursors ADD COLUMN key TEXT NOT NULL DEFAULT '';
