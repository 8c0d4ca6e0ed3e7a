-- Why: two live edges with one name, each at its own control, wrote over each other's time, and answers said to be complete up to the later
-- one. A row is of one process of an edge; 0: a version that did not tell them apart wrote it.
CREATE TABLE edges_by_process (
    edge    TEXT NOT NULL,
    process INTEGER NOT NULL,
    until   INTEGER NOT NULL,
    noted   INTEGER NOT NULL,
    PRIMARY KEY (edge, process)
) WITHOUT ROWID;
INSERT INTO edges_by_process SELECT edge, 0, until, noted FROM edges;
DROP TABLE edges;
ALTER TABLE edges_by_process RENAME TO edges;
