//! What uids name, cancelations, and batches.

use rusqlite::{OptionalExtension, Transaction, params, params_from_iter};

use super::{allot_uid, bodies, condition, insert_new_task, json};
use crate::store::{
    Batch, BatchPage, IndexRecord, IndexSwap, NamesChange, NewTask, NodeChange, PendingChange, StoreError,
    TaskQuery, TaskRecord,
};

pub fn pending(transaction: &Transaction, node: &str) -> Result<Vec<PendingChange>, StoreError> {
    let sql = "SELECT id, sent_from, body FROM pending_changes WHERE node = ?1 ORDER BY id";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query([node])?;
    let mut pending = Vec::new();
    while let Some(row) = rows.next()? {
        let body: String = row.get(2)?;
        let change = serde_json::from_str(&body).map_err(|error| StoreError::Backend(error.to_string()))?;
        pending.push(PendingChange { id: row.get(0)?, sent_from: row.get(1)?, change });
    }
    Ok(pending)
}

pub fn change_names(transaction: &Transaction, names: &NamesChange) -> Result<Vec<u64>, StoreError> {
    match &names.change {
        NodeChange::Delete(uid) => delete_index(transaction, uid)?,
        NodeChange::Swap(swaps) => {
            for swap in swaps {
                swap_indexes(transaction, swap, names)?;
            }
        }
    }
    let sql = "INSERT INTO pending_changes (node, sent_from, body) VALUES (?1, ?2, ?3) RETURNING id";
    let mut statement = transaction.prepare_cached(sql)?;
    let body = json(&names.change)?;
    let insert = |(node, sent_from): &(String, Option<u64>)| {
        Ok(statement.query_row(params![node, sent_from, body], |row| row.get(0))?)
    };
    names.nodes.iter().map(insert).collect()
}

pub fn save_index(transaction: &Transaction, index: &IndexRecord) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO indexes (uid, body) VALUES (?1, ?2)";
    transaction.execute(sql, (&index.uid, json(index)?))?;
    Ok(())
}

pub fn delete_index(transaction: &Transaction, uid: &str) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM indexes WHERE uid = ?1", [uid])?;
    transaction.execute("DELETE FROM node_settings_version WHERE index_uid = ?1", [uid])?;
    Ok(())
}

/// The records, what nodes hold of their settings, and all tasks up to now go by the new uids.
fn swap_indexes(transaction: &Transaction, swap: &IndexSwap, names: &NamesChange) -> Result<(), StoreError> {
    let [left, right] = swap.uids();
    let mut records = Vec::new();
    for uid in [left, right] {
        let found = bodies::<IndexRecord>(transaction, "SELECT body FROM indexes WHERE uid = ?1", [uid])?;
        records.extend(found);
    }
    for uid in [left, right] {
        transaction.execute("DELETE FROM indexes WHERE uid = ?1", [uid])?;
    }
    for record in records {
        save_index(transaction, &names.swapped(record, swap))?;
    }
    // No index has an empty uid.
    for (from, to) in [(left, ""), (right, left), ("", right)] {
        let sql = "UPDATE node_settings_version SET index_uid = ?2 WHERE index_uid = ?1";
        transaction.execute(sql, [from, to])?;
    }
    let sql = "UPDATE tasks SET
                   index_uid = iif(index_uid = ?1, ?2, ?1),
                   body = json_set(body, '$.index_uid', iif(index_uid = ?1, ?2, ?1))
               WHERE index_uid IN (?1, ?2)";
    transaction.execute(sql, [left, right])?;
    Ok(())
}

pub fn register_cancelation(
    transaction: &Transaction,
    query: &TaskQuery,
    cancelable: &[&str],
    task: NewTask,
) -> Result<(TaskRecord, Vec<TaskRecord>), StoreError> {
    let (condition, values) = condition(query)?;
    let sql = format!("SELECT count(*) FROM tasks WHERE {condition}");
    let matched: u64 = transaction.query_row(&sql, params_from_iter(&values), |row| row.get(0))?;
    let unfinished = "status IN ('enqueued', 'processing')";
    let sql = format!("SELECT body FROM tasks WHERE {condition} AND {unfinished} ORDER BY uid");
    let mut targets: Vec<TaskRecord> = bodies(transaction, &sql, params_from_iter(&values))?;
    targets.retain(|target| cancelable.contains(&&*target.kind));
    let origin = task.origin.clone();
    let mut task = TaskRecord::new(allot_uid(transaction)?, task);
    task.details["matchedTasks"] = matched.into();
    task.cancels = targets.iter().map(|target| target.uid).collect();
    insert_new_task(transaction, &task, &origin)?;
    Ok((task, targets))
}

pub fn batches(transaction: &Transaction, query: &TaskQuery) -> Result<BatchPage, StoreError> {
    let (condition, mut values) = condition(query)?;
    let sql = format!("SELECT count(DISTINCT batch_uid) FROM tasks WHERE {condition}");
    let total = transaction.query_row(&sql, params_from_iter(&values), |row| row.get(0))?;

    let (comparison, direction) = if query.reverse { (">=", "ASC") } else { ("<=", "DESC") };
    let from = query.from.map_or_else(String::new, |from| format!("AND batch_uid {comparison} {from}"));
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX).saturating_add(1);
    let sql = format!(
        "SELECT DISTINCT batch_uid FROM tasks WHERE {condition} AND batch_uid IS NOT NULL {from}
         ORDER BY batch_uid {direction} LIMIT ?"
    );
    values.push(limit.into());
    let mut statement = transaction.prepare_cached(&sql)?;
    let uids = statement.query_map(params_from_iter(&values), |row| row.get(0))?;
    let mut uids: Vec<u64> = uids.collect::<Result<_, _>>()?;
    let next = if uids.len() > query.limit { uids.pop() } else { None };
    let batch = |uid| {
        let tasks = bodies(transaction, "SELECT body FROM tasks WHERE batch_uid = ?1 ORDER BY uid", [uid])?;
        Ok(Batch { uid, tasks })
    };
    let batches = uids.into_iter().map(batch).collect::<Result<_, StoreError>>()?;
    Ok(BatchPage { batches, total, next })
}

/// Whether the uid still names the index of this generation.
pub fn names_the_same(transaction: &Transaction, uid: &str, generation: u64) -> Result<bool, StoreError> {
    let sql = "SELECT coalesce(body ->> '$.generation', 0) FROM indexes WHERE uid = ?1";
    let found: Option<u64> = transaction.query_row(sql, [uid], |row| row.get(0)).optional()?;
    Ok(found == Some(generation))
}
