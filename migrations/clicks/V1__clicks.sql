-- Why: clicks have a file of their own, so that a write of a link never waits for them. Tables of a value in bytes are found by
-- the numbers in front of it; what the bytes are is said in store/src/clicks. Times are Unix milliseconds, quarters those of an
-- hour, and all parts of time are UTC and numbered from 1970 on. A subject is a link (its uid) or, below 0, a domain.

-- One row: the store of links that these clicks are of (SHA-256 of its secret), and the running numbers of the next batch and
-- of the next click.
CREATE TABLE clicks_of (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    store      BLOB NOT NULL,
    next_batch INTEGER NOT NULL,
    next_click INTEGER NOT NULL
);

-- Up to where each spool of an edge is taken: written with the batch that it names, so that none is taken twice.
CREATE TABLE cursors (
    spool   INTEGER PRIMARY KEY,
    edge    TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    last_no INTEGER NOT NULL,
    at      INTEGER NOT NULL
);

-- Batches that are acknowledged and not folded yet. first, span: the running number of its first click, and how many it has.
-- hole: clicks before it that no edge holds any more.
CREATE TABLE inbox (
    number INTEGER PRIMARY KEY,
    first  INTEGER NOT NULL,
    span   INTEGER NOT NULL,
    edge   TEXT NOT NULL,
    spool  INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    hole   INTEGER NOT NULL,
    bytes  BLOB NOT NULL
);

-- Clicks one by one, many in a row. span: running numbers that it takes, more than it has clicks where some were deleted.
-- day: on which they were folded.
CREATE TABLE raw (
    first    INTEGER PRIMARY KEY,
    span     INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    day      INTEGER NOT NULL,
    bytes    BLOB NOT NULL
);

-- Up to when each edge has sent everything. noted: when that was written.
CREATE TABLE edges (
    edge  TEXT PRIMARY KEY,
    until INTEGER NOT NULL,
    noted INTEGER NOT NULL
) WITHOUT ROWID;

-- Roll-ups and sketches of visitors of days that are not over, in the order of time: what is folded lies together.
CREATE TABLE recent (
    quarter INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    value   BLOB NOT NULL,
    PRIMARY KEY (quarter, subject)
) WITHOUT ROWID;
CREATE TABLE recent_visitors (
    day     INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    value   BLOB NOT NULL,
    PRIMARY KEY (day, subject)
) WITHOUT ROWID;

-- Those of days that are over, in the order of links: what is asked of one lies together. start: the first quarter of a run.
-- What is large has its whole roll-ups in crosses. place: month, subject and start of a run in one number, which is in
-- store/src/clicks/place.rs: here are most of all rows, and so they take a tenth less.
CREATE TABLE runs (
    place INTEGER PRIMARY KEY,
    value BLOB NOT NULL
);
CREATE TABLE crosses (
    month   INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    start   INTEGER NOT NULL,
    value   BLOB NOT NULL,
    PRIMARY KEY (month, subject, start)
) WITHOUT ROWID;

-- How often which links of a domain were clicked. list: 16 × (0 hour, 1 day, 2 week) + the number of a kind.
CREATE TABLE lists (
    list   INTEGER NOT NULL,
    period INTEGER NOT NULL,
    domain INTEGER NOT NULL,
    value  BLOB NOT NULL,
    PRIMARY KEY (list, period, domain)
) WITHOUT ROWID;

-- Clicks of which only the number is kept.
CREATE TABLE totals (
    domain  INTEGER NOT NULL,
    quarter INTEGER NOT NULL,
    kind    INTEGER NOT NULL,
    value   BLOB NOT NULL,
    PRIMARY KEY (domain, quarter, kind)
) WITHOUT ROWID;

-- Requests for codes that are none.
CREATE TABLE unknown (
    hour   INTEGER NOT NULL,
    domain INTEGER NOT NULL,
    value  BLOB NOT NULL,
    PRIMARY KEY (hour, domain)
) WITHOUT ROWID;

-- Which links were ever clicked: bits of 4,096 uids.
CREATE TABLE clicked (
    block INTEGER PRIMARY KEY,
    value BLOB NOT NULL
);

-- The dictionary: numbers from 2 on without a hole, and never another text for a number.
CREATE TABLE texts (
    number INTEGER PRIMARY KEY,
    value  BLOB NOT NULL
);

-- Texts of agents by their hashes, each behind the day on which it was last seen.
CREATE TABLE agents (
    hash  INTEGER PRIMARY KEY,
    value BLOB NOT NULL
);

-- What was lost. edge: the number of its name in the dictionary.
CREATE TABLE losses (
    minute INTEGER NOT NULL,
    edge   INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    value  BLOB NOT NULL,
    PRIMARY KEY (minute, edge, reason)
) WITHOUT ROWID;

-- Deletions that are not done everywhere yet.
CREATE TABLE deletions (
    number INTEGER PRIMARY KEY,
    value  BLOB NOT NULL
);

-- How far the roll-ups of a month are aged to hours and days.
CREATE TABLE aged (
    month INTEGER PRIMARY KEY,
    value BLOB NOT NULL
);
