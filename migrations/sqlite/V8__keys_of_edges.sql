-- Why: a stolen key of one edge must not pass for another edge, so a key with scope feed names the one that it is for.

-- The edge's name; NULL: the key has no scope feed, or is from before.
ALTER TABLE keys ADD COLUMN edge TEXT;
