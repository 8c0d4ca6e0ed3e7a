-- Why: two live edges with one name, each at its own control, wrote over each other's time, and answers said to be complete up to the later
-- one. A row is of one process of an edge; 0: a version that did not tell them apart wrote it. Controls of that version cannot write
-- theirs any more: until they are upgraded, too, answers say an earlier time than is so.
ALTER TABLE click_edges ADD COLUMN process BIGINT NOT NULL DEFAULT 0;
ALTER TABLE click_edges DROP CONSTRAINT click_edges_pkey;
ALTER TABLE click_edges ADD PRIMARY KEY (edge, process);
