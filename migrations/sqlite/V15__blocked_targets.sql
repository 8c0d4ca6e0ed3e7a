-- Why: a host that has gone bad is blocked as a whole. No link is led there any more, and those that are there are found by
-- an index, disabled, and enabled again by the undo.

-- The host of the target with its labels turned round and a dot behind each (example.evil.a.), so that a host and its
-- subdomains are one range; NULL: the target names none, or the row is of before and not read yet. A deleted link keeps it.
ALTER TABLE links ADD COLUMN host TEXT;
CREATE INDEX links_host ON links (host, key) WHERE host IS NOT NULL;
-- The block that keeps a link disabled, out of more.
ALTER TABLE links ADD COLUMN blocked_by TEXT;
CREATE INDEX links_blocked_by ON links (blocked_by, key) WHERE blocked_by IS NOT NULL;

-- One row: behind which key the hosts of links of before are still to be read; NULL: of none.
CREATE TABLE hosts_read (one INTEGER PRIMARY KEY CHECK (one = 1), behind BLOB);
INSERT INTO hosts_read VALUES (1, CASE WHEN EXISTS (SELECT 1 FROM links) THEN x'' END);

-- host: turned round. state: 1 links are being disabled, 2 done, 3 links are being enabled again. round: raised with each
-- sweep. disabled: links that it keeps disabled, written with them. principal, request_id: who began the sweep. Times are
-- Unix milliseconds.
CREATE TABLE blocked_targets (
    host        TEXT PRIMARY KEY,
    state       INTEGER NOT NULL,
    round       INTEGER NOT NULL,
    note        TEXT NOT NULL,
    disabled    INTEGER NOT NULL,
    create_time INTEGER NOT NULL,
    principal   TEXT NOT NULL,
    request_id  TEXT NOT NULL
) WITHOUT ROWID;
