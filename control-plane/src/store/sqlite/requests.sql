-- What clients were answered, by a digest of the idempotency key and who used it. Dates are nanoseconds since 1970.
CREATE TABLE idempotency_cache (
    id          TEXT PRIMARY KEY,
    expires_at  INTEGER NOT NULL,
    body        TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX idempotency_cache_by_expiry ON idempotency_cache (expires_at);
-- The writes of each session that were not over when the next one came, and its last one.
CREATE TABLE sessions (
    id          TEXT NOT NULL,
    task_uid    INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (id, task_uid)
) WITHOUT ROWID;
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
