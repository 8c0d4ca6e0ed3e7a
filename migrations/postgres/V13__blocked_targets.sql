-- Why: a host that has gone bad is blocked as a whole. No link is led there any more, and those that are there are found by
-- an index, disabled, and enabled again by the undo.

-- The host of the target with its labels turned round and a dot behind each (example.evil.a.), so that a host and its
-- subdomains are one range; NULL: the target names none, or it is not read yet. A deleted link keeps it.
-- host_version: of which version of the link it is. A control of before that is still running names neither column: what it
-- changes has another version then, and what it makes has 0, so both are in links_host_stale. NULL: the row is of before
-- these columns, and read one after the other (hosts_read). Block no host before every control knows blocks.
ALTER TABLE links ADD COLUMN host BYTEA;
ALTER TABLE links ADD COLUMN host_version BIGINT;
ALTER TABLE links ALTER COLUMN host_version SET DEFAULT 0;
CREATE INDEX links_host ON links (host, key) WHERE host IS NOT NULL;
CREATE INDEX links_host_stale ON links (key) WHERE host_version <> version;
-- The block that keeps a link disabled, out of more.
ALTER TABLE links ADD COLUMN blocked_by BYTEA;
CREATE INDEX links_blocked_by ON links (blocked_by, key) WHERE blocked_by IS NOT NULL;

-- One row: behind which key the hosts of links of before are still to be read; NULL: of none.
CREATE TABLE hosts_read (one SMALLINT PRIMARY KEY CHECK (one = 1), behind BYTEA);
INSERT INTO hosts_read VALUES (1, CASE WHEN EXISTS (SELECT FROM links) THEN ''::bytea END);

-- host: turned round. state: 1 links are being disabled, 2 done, 3 links are being enabled again. round: raised with each
-- sweep. disabled: links that it keeps disabled, written with them. principal, request_id: who began the sweep. Times are
-- Unix milliseconds.
CREATE TABLE blocked_targets (
    host        BYTEA PRIMARY KEY,
    state       SMALLINT NOT NULL,
    round       BIGINT NOT NULL,
    note        BYTEA NOT NULL,
    disabled    BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    principal   TEXT NOT NULL,
    request_id  TEXT NOT NULL
);
