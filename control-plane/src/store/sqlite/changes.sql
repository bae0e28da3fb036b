-- What each node has still to take, in order. From `sent_from` on the node may have a task of the change.
CREATE TABLE pending_changes (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    node        TEXT NOT NULL,
    sent_from  INTEGER,
    body        TEXT NOT NULL
);
CREATE INDEX pending_changes_by_node ON pending_changes (node);
INSERT INTO pending_changes (node, body)
    SELECT node, json_object('delete', index_uid) FROM pending_deletions ORDER BY node, index_uid;
DROP TABLE pending_deletions;
-- A task is alone in its batch, but what was canceled is in the batch of what canceled it.
ALTER TABLE tasks ADD COLUMN batch_uid INTEGER GENERATED ALWAYS AS (
    CASE WHEN status = 'canceled' THEN canceled_by WHEN started_at IS NOT NULL THEN uid END
) VIRTUAL;
CREATE INDEX tasks_by_batch ON tasks (batch_uid);
