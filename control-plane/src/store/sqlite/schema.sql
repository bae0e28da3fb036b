CREATE TABLE topology (
    id    INTEGER PRIMARY KEY CHECK (id = 0),
    body  TEXT NOT NULL
);
CREATE TABLE epochs (
    epoch  INTEGER PRIMARY KEY,
    body   TEXT NOT NULL
);
CREATE TABLE counters (
    name   TEXT PRIMARY KEY,
    value  INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('next_task_uid', 0), ('first_live_epoch', 0);
CREATE TABLE stale_replicas (
    node   TEXT NOT NULL,
    shard  INTEGER NOT NULL,
    PRIMARY KEY (node, shard)
) WITHOUT ROWID;
CREATE TABLE indexes (
    uid   TEXT PRIMARY KEY,
    body  TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE pending_deletions (
    node       TEXT NOT NULL,
    index_uid  TEXT NOT NULL,
    PRIMARY KEY (node, index_uid)
) WITHOUT ROWID;
CREATE TABLE node_settings_version (
    index_uid  TEXT NOT NULL,
    node       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    PRIMARY KEY (index_uid, node)
) WITHOUT ROWID;
-- Dates are nanoseconds since 1970; they and the other columns are there to be filtered by, `body` is the task.
CREATE TABLE tasks (
    uid          INTEGER PRIMARY KEY,
    index_uid    TEXT,
    kind         TEXT NOT NULL,
    status       TEXT NOT NULL,
    canceled_by  INTEGER,
    enqueued_at  INTEGER NOT NULL,
    started_at   INTEGER,
    finished_at  INTEGER,
    body         TEXT NOT NULL
);
CREATE INDEX tasks_by_index ON tasks (index_uid);
CREATE INDEX tasks_unfinished ON tasks (uid) WHERE status IN ('enqueued', 'processing');
