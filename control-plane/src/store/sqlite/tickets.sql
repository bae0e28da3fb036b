-- A write that is registered twice is one task.
ALTER TABLE tasks ADD COLUMN ticket TEXT GENERATED ALWAYS AS (body ->> '$.ticket') VIRTUAL;
CREATE UNIQUE INDEX tasks_by_ticket ON tasks (ticket) WHERE ticket IS NOT NULL;
