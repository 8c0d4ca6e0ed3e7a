-- Why: a domain is an entry of the log like a link, with a record that travels to every edge. NULL: the default domain
-- before anybody wrote it. version: the seq of the change that made it. Times are Unix milliseconds.
ALTER TABLE domains ADD COLUMN record BLOB;
ALTER TABLE domains ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE domains ADD COLUMN create_time INTEGER;
ALTER TABLE domains ADD COLUMN update_time INTEGER;

-- An edge that asks about a link is told the last change of any domain.
CREATE INDEX domains_version ON domains (version);
