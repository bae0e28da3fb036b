//! How tasks that are over go: when a client has them deleted, and by themselves when they are old.

use rusqlite::{Transaction, params, params_from_iter};
use time::OffsetDateTime;

use super::{bodies, condition, json, nanoseconds, register_new_task};
use crate::store::{NewTask, StoreError, TaskDeletion, TaskQuery, TaskRecord, TaskStatus};

const FINISHED: &str = "status NOT IN ('enqueued', 'processing')";

pub fn register_deletion(
    transaction: &Transaction,
    query: &TaskQuery,
    task: NewTask,
) -> Result<TaskDeletion, StoreError> {
    let (condition, values) = condition(query)?;
    let sql = format!("SELECT count(*) FROM tasks WHERE {condition}");
    let matched: u64 = transaction.query_row(&sql, params_from_iter(&values), |row| row.get(0))?;
    let sql = format!("DELETE FROM tasks WHERE {condition} AND {FINISHED} RETURNING body");
    let deleted: Vec<TaskRecord> = bodies(transaction, &sql, params_from_iter(&values))?;
    let uids: Vec<u64> = deleted.iter().map(|task| task.uid).collect();
    let sql = "DELETE FROM webhook_debts WHERE webhook IN (SELECT uuid FROM webhooks)
               AND task_uid IN (SELECT value FROM json_each(?1))";
    transaction.execute(sql, [json(&uids)?])?;
    let mut task = NewTask { status: TaskStatus::Succeeded, ..task };
    task.details["matchedTasks"] = matched.into();
    task.details["deletedTasks"] = deleted.len().into();
    let task = register_new_task(transaction, task)?;
    Ok(TaskDeletion { task, parts: deleted.into_iter().flat_map(|task| task.parts).collect() })
}

pub fn prune(
    transaction: &Transaction,
    ended_before: Option<OffsetDateTime>,
    limit: usize,
) -> Result<usize, StoreError> {
    let first_owed = "SELECT min((SELECT task_uid FROM webhook_debts JOIN tasks ON uid = task_uid
                                  WHERE webhook = uuid ORDER BY task_uid LIMIT 1)) FROM webhooks";
    let first_owed: Option<i64> = transaction.query_row(first_owed, [], |row| row.get(0))?;
    let sql = format!(
        "SELECT uid, coalesce(finished_at < ?2, true) FROM tasks WHERE {FINISHED} AND uid < ?1 ORDER BY uid LIMIT ?3"
    );
    let mut statement = transaction.prepare_cached(&sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = params![first_owed.unwrap_or(i64::MAX), ended_before.map(nanoseconds), limit];
    let mut rows = statement.query(values)?;
    let mut old: Vec<u64> = Vec::new();
    while let Some(row) = rows.next()? {
        if !row.get(1)? {
            break;
        }
        old.push(row.get(0)?);
    }
    transaction.execute("DELETE FROM tasks WHERE uid IN (SELECT value FROM json_each(?1))", [json(&old)?])?;
    Ok(old.len())
}
