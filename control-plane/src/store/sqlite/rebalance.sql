-- What the placement is on the way to.
CREATE TABLE rebalance (
    id    INTEGER PRIMARY KEY CHECK (id = 0),
    body  TEXT NOT NULL
);
-- The Envoys that were connected lately, with when they were last seen, in seconds since 1970.
CREATE TABLE envoys (
    node     TEXT PRIMARY KEY,
    seen_at  INTEGER NOT NULL
) WITHOUT ROWID;
-- Another number after each write that was missed.
ALTER TABLE stale_replicas ADD COLUMN miss INTEGER NOT NULL DEFAULT 0;
INSERT INTO counters (name, value) VALUES ('next_miss', 1);
