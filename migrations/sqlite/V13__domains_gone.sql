-- Why: an empty domain can be deleted. Links, the audit and edges know a domain by its number, so that a number that was
-- given out is given to no other; and whoever asks for the last change of a domain is told of the end of one, too.

-- version: the seq of the change that deleted it.
CREATE TABLE domains_gone (
    id      INTEGER PRIMARY KEY,
    version INTEGER NOT NULL
);
CREATE INDEX domains_gone_version ON domains_gone (version);
