-- What the placement is on the way to.
CREATE TABLE rebalance (
    id    INTEGER PRIMARY KEY CHECK (id = 0),
    body  TEXT NOT NULL
);
-- Another number after each write that was missed.
ALTER TABLE stale_replicas ADD COLUMN miss INTEGER NOT NULL DEFAULT 0;
INSERT INTO counters (name, value) VALUES ('next_miss', 1);
