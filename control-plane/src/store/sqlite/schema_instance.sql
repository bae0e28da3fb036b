CREATE TABLE api_keys (
    uid   TEXT PRIMARY KEY,
    body  TEXT NOT NULL
) WITHOUT ROWID;
-- The nodes whose own keys were taken over: what they hold beyond `api_keys` is to go.
CREATE TABLE key_nodes (
    node  TEXT PRIMARY KEY
) WITHOUT ROWID;
CREATE TABLE experimental_features (
    id    INTEGER PRIMARY KEY CHECK (id = 0),
    body  TEXT NOT NULL
);
CREATE TABLE search_rules (
    uid   TEXT PRIMARY KEY,
    body  TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE webhooks (
    uuid  TEXT PRIMARY KEY,
    body  TEXT NOT NULL
) WITHOUT ROWID;
-- The finished tasks that a webhook was not told of yet.
CREATE TABLE webhook_debts (
    webhook   TEXT NOT NULL,
    task_uid  INTEGER NOT NULL,
    PRIMARY KEY (webhook, task_uid)
) WITHOUT ROWID;
