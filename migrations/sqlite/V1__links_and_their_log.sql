-- Why: a link and the change that announces it must be on disk together or not at all, so both live in one database
-- and every write is one transaction over all of these tables.

-- One row. Every writer updates it, so the order of its updates is the order of the log.
CREATE TABLE log_head (
    one            INTEGER PRIMARY KEY CHECK (one = 1),
    epoch_counter  INTEGER NOT NULL,
    epoch_random   INTEGER NOT NULL,
    head           INTEGER NOT NULL,
    tag            INTEGER NOT NULL,
    parent_counter INTEGER,
    parent_random  INTEGER,
    fork_seq       INTEGER
);

-- seq has no holes. tag is drawn at random by each commit: who holds (seq, tag) can prove which history it has seen.
-- Tags are 64 bits without a sign, stored in the same 64 bits with one.
CREATE TABLE change_log (
    seq           INTEGER PRIMARY KEY,
    tag           INTEGER NOT NULL,
    epoch_counter INTEGER NOT NULL,
    epoch_random  INTEGER NOT NULL,
    kind          INTEGER NOT NULL,
    key           BLOB NOT NULL,
    record        BLOB NOT NULL,
    committed_at  INTEGER NOT NULL
);

-- Domain 0 answers for every host that no other domain claims.
CREATE TABLE domains (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
INSERT INTO domains (id, name) VALUES (0, '-');

-- key: domain id (u32, big-endian) and the code's bytes; the order of keys is the order of lists and walks, which is
-- why there is no rowid. record: what travels. kept: the last live record of a deleted link, whose own record is a
-- tombstone without fields. Times are Unix milliseconds.
CREATE TABLE links (
    key         BLOB PRIMARY KEY,
    record      BLOB NOT NULL,
    kept        BLOB,
    version     INTEGER NOT NULL,
    title       TEXT NOT NULL,
    tags        TEXT NOT NULL,
    note        TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    delete_time INTEGER
) WITHOUT ROWID;

-- What a retry is answered with, for 48 hours; written in the transaction of the write it answers for.
CREATE TABLE idempotency (
    principal    TEXT NOT NULL,
    method       TEXT NOT NULL,
    key          TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    response     BLOB NOT NULL,
    seq          INTEGER NOT NULL,
    created      INTEGER NOT NULL,
    PRIMARY KEY (principal, method, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_created ON idempotency (created);
