-- Why: who made or ended a key, and who changed a domain, must be known as exactly as who changed a link.

-- One row for each write, in the order in which they were made: of the key or domain called name, before (but for the
-- first one) and after, as linkr.v1.Key without its secret or as linkr.v1.Domain. at: Unix milliseconds.
CREATE TABLE admin_audit (
    number     INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    at         INTEGER NOT NULL,
    principal  TEXT NOT NULL,
    method     TEXT NOT NULL,
    request_id TEXT NOT NULL,
    before     BLOB,
    after      BLOB NOT NULL
);
