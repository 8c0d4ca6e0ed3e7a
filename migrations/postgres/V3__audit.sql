-- Why: who changed a link, and what it was before, must be known exactly if the change is: every write of the API notes
-- that in its own transaction.

-- One row for each write of a link: before and after are its whole state (after of a create alone). Or one for the links
-- that a chunk of an import created, with the seqs from first to seq: their state is in the links, or in the before of
-- their next writes. at: Unix milliseconds.
CREATE TABLE audit (
    seq        BIGINT PRIMARY KEY,
    first      BIGINT,
    key        BYTEA,
    at         BIGINT NOT NULL,
    principal  TEXT NOT NULL,
    method     TEXT NOT NULL,
    request_id TEXT NOT NULL,
    before     BYTEA,
    after      BYTEA,
    CHECK ((key IS NULL) = (first IS NOT NULL) AND (key IS NULL) = (after IS NULL))
);
CREATE INDEX audit_key ON audit (key, seq) WHERE key IS NOT NULL;
CREATE INDEX audit_chunk ON audit (seq) WHERE first IS NOT NULL;
