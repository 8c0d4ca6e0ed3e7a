-- What controls of this store seal the positions with that edges show them (docs/decisions/0005). One row, made at the
-- first start: 32 random bytes.
CREATE TABLE secret (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    secret BLOB NOT NULL CHECK (length(secret) = 32)
) STRICT;
