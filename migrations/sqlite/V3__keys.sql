-- Why: whoever may write links has to show a key. Only the SHA-256 of one is kept, so that nobody can use what he reads here.

-- The keys, in the order in which they were made (rowid). scopes and domains: names with a space between; no domain: all.
-- Times in Unix milliseconds.
CREATE TABLE keys (
    id          TEXT NOT NULL UNIQUE,
    hash        BLOB NOT NULL UNIQUE,
    client      TEXT NOT NULL,
    scopes      TEXT NOT NULL,
    domains     TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    expire_time INTEGER,
    revoke_time INTEGER,
    last_use    INTEGER
);

-- One row: raised with every key that is made or revoked, and asked for often.
CREATE TABLE key_version (version INTEGER NOT NULL);
INSERT INTO key_version VALUES (1);
