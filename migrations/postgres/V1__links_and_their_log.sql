-- Why: as in SQLite, a link and the change that announces it are on disk together or not at all. Several controls write
-- here: whoever has locked the row of log_head numbers its changes, and nobody else does until it has committed.

-- One row. fillfactor: it is updated by every commit, and stays on its page.
CREATE TABLE log_head (
    one            SMALLINT PRIMARY KEY CHECK (one = 1),
    epoch_counter  BIGINT NOT NULL,
    epoch_random   BIGINT NOT NULL,
    head           BIGINT NOT NULL,
    tag            BIGINT NOT NULL,
    parent_counter BIGINT,
    parent_random  BIGINT,
    fork_seq       BIGINT
) WITH (fillfactor = 10);
-- 32 bits from a strong source: two stores never share a history.
INSERT INTO log_head (one, epoch_counter, epoch_random, head, tag)
    VALUES (1, 1, ('x' || substr(md5(gen_random_uuid()::text), 1, 8))::bit(32)::bigint, 0, 0);

-- seq has no holes. tag is drawn at random by each commit: who holds (seq, tag) can prove which history it has seen.
-- Tags are 64 bits without a sign, stored in the same 64 bits with one.
CREATE TABLE change_log (
    seq           BIGINT PRIMARY KEY,
    tag           BIGINT NOT NULL,
    epoch_counter BIGINT NOT NULL,
    epoch_random  BIGINT NOT NULL,
    kind          SMALLINT NOT NULL,
    key           BYTEA NOT NULL,
    record        BYTEA NOT NULL,
    committed_at  BIGINT NOT NULL
);

-- Every 10,000th (seq, tag) of what was purged from the log.
CREATE TABLE log_marks (
    seq BIGINT PRIMARY KEY,
    tag BIGINT NOT NULL
);

-- Every history that took the place of another one. fork_seq: the last seq that both are known to share. head: where
-- the log stood. at: Unix milliseconds.
CREATE TABLE epochs (
    counter        BIGINT PRIMARY KEY,
    random         BIGINT NOT NULL,
    parent_counter BIGINT NOT NULL,
    parent_random  BIGINT NOT NULL,
    fork_seq       BIGINT NOT NULL,
    head           BIGINT NOT NULL,
    at             BIGINT
);

-- Domain 0 answers for every host that no other domain claims.
CREATE TABLE domains (
    id   BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
INSERT INTO domains (id, name) VALUES (0, '-');

-- key: domain id (u32, big-endian) and the code's bytes; the order of keys is the order of lists and walks. record: what
-- travels. kept: the last live record of a deleted link, whose own record is a tombstone without fields. Texts are UTF-8
-- bytes: a text of PostgreSQL cannot hold all that a title may, and one bad row must not end a whole group. Times are
-- Unix milliseconds.
CREATE TABLE links (
    key         BYTEA PRIMARY KEY,
    record      BYTEA NOT NULL,
    kept        BYTEA,
    version     BIGINT NOT NULL,
    title       BYTEA NOT NULL,
    tags        BYTEA NOT NULL,
    note        BYTEA NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    delete_time BIGINT
);
-- The sweep asks for the oldest tombstones.
CREATE INDEX links_deleted ON links (delete_time) WHERE delete_time IS NOT NULL;

-- What a retry is answered with, for 48 hours; written in the transaction of the write it answers for.
CREATE TABLE idempotency (
    principal    TEXT NOT NULL,
    method       TEXT NOT NULL,
    key          TEXT NOT NULL,
    request_hash BYTEA NOT NULL,
    response     BYTEA NOT NULL,
    seq          BIGINT NOT NULL,
    created      BIGINT NOT NULL,
    PRIMARY KEY (principal, method, key)
);
CREATE INDEX idempotency_created ON idempotency (created);

-- The edges, in the order in which they joined. Each control writes those that follow it, 5 times a second. last_pong:
-- Unix milliseconds by this server's clock; control: the process that wrote it.
CREATE TABLE edge_session (
    id            BIGINT GENERATED ALWAYS AS IDENTITY,
    edge          BYTEA NOT NULL,
    incarnation   BIGINT NOT NULL,
    control       BIGINT NOT NULL,
    epoch_counter BIGINT NOT NULL,
    epoch_random  BIGINT NOT NULL,
    applied       BIGINT,
    last_pong     BIGINT NOT NULL,
    PRIMARY KEY (edge, incarnation)
) WITH (fillfactor = 50);

-- A commit here proves that this server is still the one that commits.
CREATE TABLE heartbeat (
    control BIGINT PRIMARY KEY,
    at      BIGINT NOT NULL
) WITH (fillfactor = 50);
