-- Why: whoever may write links has to show a key. Only the SHA-256 of one is kept, so that nobody can use what he reads here.

-- The keys, in the order in which they were made (number). scopes and domains: names with a space between; no domain: all.
-- Times in Unix milliseconds.
CREATE TABLE keys (
    number      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    hash        BYTEA NOT NULL UNIQUE,
    client      TEXT NOT NULL,
    scopes      TEXT NOT NULL,
    domains     TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    expire_time BIGINT,
    revoke_time BIGINT,
    last_use    BIGINT
);

-- One row: raised with every key that is made or revoked, and asked for often by every control. Whoever has locked it
-- counts the keys of a client alone.
CREATE TABLE key_version (one SMALLINT PRIMARY KEY CHECK (one = 1), version BIGINT NOT NULL);
INSERT INTO key_version VALUES (1, 1);
