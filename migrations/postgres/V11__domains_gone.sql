-- Why: an empty domain can be deleted. Links, the audit and edges know a domain by its number, so that a number that was
-- given out is given to no other; and whoever asks for the last change of a domain is told of the end of one, too.

-- version: the seq of the change that deleted it.
-- A control of before that is still running knows a deleted domain for as long as it reads no newer one: what it writes
-- there is refused, since each write looks the number up. It may tell an edge that no domain has changed: delete none
-- before every control knows how.
CREATE TABLE domains_gone (
    id      BIGINT PRIMARY KEY,
    version BIGINT NOT NULL
);
CREATE INDEX domains_gone_version ON domains_gone (version);
