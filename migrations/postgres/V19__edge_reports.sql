-- Why: any control shows what every edge says of itself (docs/decisions/0035). An edge says it to the control that it follows,
-- and controls do not know each other's addresses.

-- One row for each process of an edge. control: that which heard it last. at: Unix milliseconds by the server's clock. report:
-- as the edge wrote it, at most 4 KiB. A row goes when its process is no more in edge_session.
CREATE TABLE edge_report (
    edge        BYTEA NOT NULL,
    incarnation BIGINT NOT NULL,
    control     BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    report      BYTEA NOT NULL,
    PRIMARY KEY (edge, incarnation)
);
