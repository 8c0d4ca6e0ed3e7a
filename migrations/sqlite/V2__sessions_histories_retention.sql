-- Why: an acknowledgement may say "every edge" only if a restart forgets none of them, a replaced history must not be
-- forgotten either, and a log that is cut at its old end must still tell apart who has seen which history.

-- The edges, in the order in which they joined (rowid). Written when one joins or leaves: this process alone owns the
-- file, so what changes with every ping is kept in its memory. last_pong: Unix milliseconds when the row was written.
CREATE TABLE edge_session (
    edge          TEXT NOT NULL,
    incarnation   INTEGER NOT NULL,
    epoch_counter INTEGER NOT NULL,
    epoch_random  INTEGER NOT NULL,
    applied       INTEGER,
    last_pong     INTEGER NOT NULL
);

-- Every history that took the place of another one. fork_seq: the last seq that both are known to share. head: where
-- the log stood. at: Unix milliseconds, NULL for one from before this table.
CREATE TABLE epochs (
    counter        INTEGER PRIMARY KEY,
    random         INTEGER NOT NULL,
    parent_counter INTEGER NOT NULL,
    parent_random  INTEGER NOT NULL,
    fork_seq       INTEGER NOT NULL,
    head           INTEGER NOT NULL,
    at             INTEGER
);
INSERT INTO epochs
    SELECT epoch_counter, epoch_random, parent_counter, parent_random, fork_seq, head, NULL FROM log_head
    WHERE parent_counter IS NOT NULL;

-- Every 10,000th (seq, tag) of what was purged from the log.
CREATE TABLE log_marks (
    seq INTEGER PRIMARY KEY,
    tag INTEGER NOT NULL
);

-- The sweep asks for the oldest tombstones.
CREATE INDEX links_deleted ON links (delete_time) WHERE delete_time IS NOT NULL;
