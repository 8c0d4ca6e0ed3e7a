-- Why: each click is counted once, whoever of the controls takes it, and what is old goes as a whole. Tables of a value in
-- bytes are found by the numbers in front of it; what the bytes are is said in store/src/clicks. Times are Unix milliseconds,
-- quarters those of an hour, and all parts of time are UTC and numbered from 1970 on. A subject is a link (its uid) or, below
-- 0, a domain. See migrations/clicks for the same in SQLite.

-- One row: the running numbers of the next batch and of the next click. Whoever takes batches holds it until they are there,
-- so that none is seen before one with a lower number.
CREATE TABLE click_of (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    next_batch BIGINT NOT NULL,
    next_click BIGINT NOT NULL
);
INSERT INTO click_of VALUES (1, 1, 1);

-- Up to where each spool of an edge is taken. seq 0: nothing is yet.
CREATE TABLE click_cursors (
    spool   BIGINT PRIMARY KEY,
    edge    TEXT NOT NULL,
    seq     BIGINT NOT NULL,
    last_no BIGINT NOT NULL,
    at      BIGINT NOT NULL
);

-- Batches that are acknowledged and not folded yet.
CREATE TABLE click_inbox (
    number BIGINT PRIMARY KEY,
    first  BIGINT NOT NULL,
    span   BIGINT NOT NULL,
    edge   TEXT NOT NULL,
    spool  BIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    at     BIGINT NOT NULL,
    hole   BIGINT NOT NULL,
    bytes  BYTEA NOT NULL
);
ALTER TABLE click_inbox ALTER COLUMN bytes SET STORAGE EXTERNAL; -- compressed already

-- Clicks one by one, many in a row. A partition for each day on which they were folded.
CREATE TABLE click_raw (
    first    BIGINT NOT NULL,
    span     BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    day      BIGINT NOT NULL,
    bytes    BYTEA NOT NULL,
    PRIMARY KEY (first, day)
) PARTITION BY LIST (day);
ALTER TABLE click_raw ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE click_edges (
    edge  TEXT PRIMARY KEY,
    until BIGINT NOT NULL,
    noted BIGINT NOT NULL
);

-- The keys of days. They are in no backup (pg_dump --no-unlogged-table-data), and gone after a crash of the server or a
-- failover: then that day has two, and its visitors are counted anew.
CREATE UNLOGGED TABLE click_day_keys (
    day BIGINT PRIMARY KEY,
    key BYTEA NOT NULL CHECK (length(key) = 32)
);

-- Rows of the quarters that are under way are written again and again: there is room for that on their pages.
CREATE TABLE click_recent (
    quarter BIGINT NOT NULL,
    subject BIGINT NOT NULL,
    value   BYTEA NOT NULL,
    PRIMARY KEY (quarter, subject)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE click_recent_visitors (
    day     BIGINT NOT NULL,
    subject BIGINT NOT NULL,
    value   BYTEA NOT NULL,
    PRIMARY KEY (day, subject)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);

-- A partition for each month.
CREATE TABLE click_runs (
    month   BIGINT NOT NULL,
    subject BIGINT NOT NULL,
    start   BIGINT NOT NULL,
    value   BYTEA NOT NULL,
    PRIMARY KEY (month, subject, start)
) PARTITION BY LIST (month);
CREATE TABLE click_crosses (
    month   BIGINT NOT NULL,
    subject BIGINT NOT NULL,
    start   BIGINT NOT NULL,
    value   BYTEA NOT NULL,
    PRIMARY KEY (month, subject, start)
) PARTITION BY LIST (month);

CREATE TABLE click_lists (
    list   BIGINT NOT NULL,
    period BIGINT NOT NULL,
    domain BIGINT NOT NULL,
    value  BYTEA NOT NULL,
    PRIMARY KEY (list, period, domain)
);
CREATE TABLE click_totals (
    domain  BIGINT NOT NULL,
    quarter BIGINT NOT NULL,
    kind    BIGINT NOT NULL,
    value   BYTEA NOT NULL,
    PRIMARY KEY (domain, quarter, kind)
);
CREATE TABLE click_unknown (
    hour   BIGINT NOT NULL,
    domain BIGINT NOT NULL,
    value  BYTEA NOT NULL,
    PRIMARY KEY (hour, domain)
);
CREATE TABLE click_clicked (
    block BIGINT PRIMARY KEY,
    value BYTEA NOT NULL
);
CREATE TABLE click_texts (
    number BIGINT PRIMARY KEY,
    value  BYTEA NOT NULL
);
CREATE TABLE click_agents (
    hash  BIGINT PRIMARY KEY,
    value BYTEA NOT NULL
);
CREATE TABLE click_losses (
    minute BIGINT NOT NULL,
    edge   BIGINT NOT NULL,
    reason BIGINT NOT NULL,
    value  BYTEA NOT NULL,
    PRIMARY KEY (minute, edge, reason)
);
CREATE TABLE click_deletions (
    number BIGINT PRIMARY KEY,
    value  BYTEA NOT NULL
);
CREATE TABLE click_aged (
    month BIGINT PRIMARY KEY,
    value BYTEA NOT NULL
);

-- Partitions are made and dropped by the owner of the tables, whoever asks: control's own role can change no table. A number
-- is all that is given, and nothing but the partitions of these tables can be named with it.
CREATE FUNCTION click_ready_month(month BIGINT) RETURNS VOID LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF to_regclass(format('click_crosses_%s', replace(month::text, '-', 'm'))) IS NULL THEN
        EXECUTE format('CREATE TABLE IF NOT EXISTS click_runs_%s PARTITION OF click_runs FOR VALUES IN (%L)',
            replace(month::text, '-', 'm'), month);
        EXECUTE format('CREATE TABLE IF NOT EXISTS click_crosses_%s PARTITION OF click_crosses FOR VALUES IN (%L)',
            replace(month::text, '-', 'm'), month);
    END IF;
END $$;
CREATE FUNCTION click_ready_day(day BIGINT) RETURNS VOID LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF to_regclass(format('click_raw_%s', replace(day::text, '-', 'm'))) IS NULL THEN
        EXECUTE format('CREATE TABLE IF NOT EXISTS click_raw_%s PARTITION OF click_raw FOR VALUES IN (%L)',
            replace(day::text, '-', 'm'), day);
    END IF;
END $$;
CREATE FUNCTION click_forget_days(before BIGINT) RETURNS VOID LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    partition TEXT;
BEGIN
    FOR partition IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'click_raw'::regclass AND c.relname ~ '^click_raw_m?[0-9]+$'
            AND replace(substr(c.relname, 11), 'm', '-')::bigint < before
    LOOP
        EXECUTE format('DROP TABLE %I', partition);
    END LOOP;
END $$;
