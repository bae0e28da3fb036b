//! The embedded store: one SQLite file.

mod instance;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use miroir_core::rebalance::{Epoch, Refused, Stale};
use miroir_core::shard::ShardId;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Params, Transaction, TransactionBehavior, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use super::{
    BatchPage, Fence, IndexChange, IndexRecord, NamesChange, NewTask, NodeChange, PendingChange,
    RebalanceRecord, Store, StoreError, TaskDeletion, TaskPage, TaskPart, TaskQuery, TaskRecord, Topology,
};
use super::{sqlite_changes as changes, sqlite_copies as copies};

/// What takes a store from each schema version to the next. Never change one that was released: add one.
const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("schema_instance.sql"),
    include_str!("changes.sql"),
    include_str!("tickets.sql"),
    include_str!("rebalance.sql"),
];

/// A [`Store`] in one SQLite file, for one control plane.
#[derive(Clone)]
pub struct SqliteStore {
    connection: Arc<Mutex<Connection>>,
}

impl SqliteStore {
    /// Opens the store at `path`, creates it if it isn't there, and migrates it if it is older.
    ///
    /// # Errors
    /// [`StoreError::TooNew`] for a store of a newer Miroir, else [`StoreError::Backend`].
    pub fn open(path: &Path) -> Result<SqliteStore, StoreError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // An acknowledged write must survive a power cut, its stale marks included.
        connection.pragma_update(None, "synchronous", "full")?;
        migrate(&mut connection)?;
        Ok(SqliteStore { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Runs one transaction off the async threads.
    async fn transact<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = self.connection.clone();
        let work = move || {
            // A panic of an earlier transaction rolled it back; the connection is fine.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| StoreError::Backend(error.to_string()))?
    }

    async fn execute(
        &self,
        sql: &'static str,
        params: impl Params + Send + 'static,
    ) -> Result<(), StoreError> {
        self.transact(move |transaction| {
            transaction.execute(sql, params)?;
            Ok(())
        })
        .await
    }

    /// The JSON bodies that a query selects.
    async fn bodies<T: DeserializeOwned + Send + 'static>(
        &self,
        sql: &'static str,
        params: impl Params + Send + 'static,
    ) -> Result<Vec<T>, StoreError> {
        self.transact(move |transaction| bodies(transaction, sql, params)).await
    }
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = MIGRATIONS.len() as u64;
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for migration in &MIGRATIONS[found as usize..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

#[async_trait]
impl Store for SqliteStore {
    async fn topology(&self) -> Result<Option<Topology>, StoreError> {
        Ok(self.bodies("SELECT body FROM topology", []).await?.pop())
    }

    async fn save_topology(&self, topology: &Topology) -> Result<(), StoreError> {
        self.execute("INSERT OR REPLACE INTO topology (id, body) VALUES (0, ?1)", [json(topology)?]).await
    }

    async fn change_topology(
        &self,
        topology: &Topology,
        rebalance: &RebalanceRecord,
    ) -> Result<(), StoreError> {
        let members: BTreeSet<String> = topology.nodes.iter().map(|node| node.id.clone()).collect();
        let (topology, rebalance) = (json(topology)?, json(rebalance)?);
        self.transact(move |transaction| {
            copies::lose_all_but(transaction, &members)?;
            transaction.execute("INSERT OR REPLACE INTO topology (id, body) VALUES (0, ?1)", [topology])?;
            transaction.execute("INSERT OR REPLACE INTO rebalance (id, body) VALUES (0, ?1)", [rebalance])?;
            Ok(())
        })
        .await
    }

    async fn current_epoch(&self) -> Result<Option<Epoch>, StoreError> {
        self.transact(copies::current_epoch).await
    }

    async fn add_epoch(&self, epoch: &Epoch) -> Result<(), StoreError> {
        let epoch = epoch.clone();
        self.transact(move |transaction| copies::add_epoch(transaction, &epoch)).await
    }

    async fn retire_epochs_below(&self, epoch: u64) -> Result<(), StoreError> {
        let sql = "UPDATE counters SET value = max(value, ?1) WHERE name = 'first_live_epoch'";
        self.execute(sql, [epoch]).await
    }

    async fn first_live_epoch(&self) -> Result<u64, StoreError> {
        self.transact(first_live_epoch).await
    }

    async fn envoys(&self) -> Result<BTreeMap<String, OffsetDateTime>, StoreError> {
        self.transact(|transaction| {
            let mut statement = transaction.prepare_cached("SELECT node, seen_at FROM envoys")?;
            let seen = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            seen.map(|row| {
                let (node, seconds) = row?;
                Ok((node, OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)))
            })
            .collect()
        })
        .await
    }

    async fn saw_envoys(&self, envoys: &[String], forget_before: OffsetDateTime) -> Result<(), StoreError> {
        let (envoys, now) = (json(&envoys)?, OffsetDateTime::now_utc().unix_timestamp());
        self.transact(move |transaction| {
            let sql = "INSERT OR REPLACE INTO envoys (node, seen_at) SELECT value, ?2 FROM json_each(?1)";
            transaction.execute(sql, params![envoys, now])?;
            let before = forget_before.unix_timestamp();
            transaction.execute("DELETE FROM envoys WHERE seen_at < ?1", [before])?;
            Ok(())
        })
        .await
    }

    async fn remove_leftovers(&self, node: &str, shards: &[ShardId]) -> Result<(), StoreError> {
        let (node, shards) = (node.to_owned(), shards.to_vec());
        self.transact(move |transaction| copies::remove_leftovers(transaction, &node, &shards)).await
    }

    async fn stale_replicas(&self) -> Result<Stale, StoreError> {
        self.transact(copies::stale_replicas).await
    }

    async fn mark_stale(&self, node: &str, shards: &[ShardId], of: ShardId) -> Result<(), StoreError> {
        let (node, shards) = (node.to_owned(), shards.to_vec());
        self.transact(move |transaction| copies::mark_stale(transaction, &node, &shards, of)).await
    }

    async fn leave(&self, write: &Refused) -> Result<(), StoreError> {
        let write = write.clone();
        self.transact(move |transaction| copies::leave(transaction, &write)).await
    }

    async fn mark_lost(&self, node: &str, shards: &[ShardId], of: ShardId) -> Result<(), StoreError> {
        let (node, shards) = (node.to_owned(), shards.to_vec());
        self.transact(move |transaction| copies::mark_lost(transaction, &node, &shards, of)).await
    }

    async fn mark_clean(
        &self,
        node: &str,
        seen: &BTreeMap<ShardId, u64>,
    ) -> Result<Vec<ShardId>, StoreError> {
        let (node, seen) = (node.to_owned(), seen.clone());
        self.transact(move |transaction| copies::mark_clean(transaction, &node, &seen)).await
    }

    async fn rebalance(&self) -> Result<Option<RebalanceRecord>, StoreError> {
        Ok(self.bodies("SELECT body FROM rebalance", []).await?.pop())
    }

    async fn save_rebalance(&self, rebalance: &RebalanceRecord) -> Result<(), StoreError> {
        self.execute("INSERT OR REPLACE INTO rebalance (id, body) VALUES (0, ?1)", [json(rebalance)?]).await
    }

    async fn indexes(&self) -> Result<BTreeMap<String, IndexRecord>, StoreError> {
        let indexes: Vec<IndexRecord> = self.bodies("SELECT body FROM indexes", []).await?;
        Ok(indexes.into_iter().map(|index| (index.uid.clone(), index)).collect())
    }

    async fn index(&self, uid: &str) -> Result<Option<IndexRecord>, StoreError> {
        Ok(self.bodies("SELECT body FROM indexes WHERE uid = ?1", [uid.to_owned()]).await?.pop())
    }

    async fn save_index(&self, index: &IndexRecord) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO indexes (uid, body) VALUES (?1, ?2)";
        self.execute(sql, (index.uid.clone(), json(index)?)).await
    }

    async fn update_index(&self, uid: &str, change: IndexChange) -> Result<Option<IndexRecord>, StoreError> {
        let uid = uid.to_owned();
        self.transact(move |transaction| {
            let found = bodies(transaction, "SELECT body FROM indexes WHERE uid = ?1", [&uid])?.pop();
            let Some(index) = found.map(|index: IndexRecord| index.changed(change)) else { return Ok(None) };
            transaction.execute("UPDATE indexes SET body = ?2 WHERE uid = ?1", (&uid, json(&index)?))?;
            Ok(Some(index))
        })
        .await
    }

    async fn delete_index(&self, uid: &str) -> Result<(), StoreError> {
        let uid = uid.to_owned();
        self.transact(move |transaction| changes::delete_index(transaction, &uid)).await
    }

    async fn change_names(&self, change: NamesChange) -> Result<Vec<u64>, StoreError> {
        self.transact(move |transaction| changes::change_names(transaction, &change)).await
    }

    async fn add_pending_change(&self, node: &str, change: &NodeChange) -> Result<(), StoreError> {
        let sql = "INSERT INTO pending_changes (node, body) VALUES (?1, ?2)";
        self.execute(sql, (node.to_owned(), json(change)?)).await
    }

    async fn pending_changes(&self, node: &str) -> Result<Vec<PendingChange>, StoreError> {
        let node = node.to_owned();
        self.transact(move |transaction| changes::pending(transaction, &node)).await
    }

    async fn set_sent_from(&self, change: u64, first_uid: u64) -> Result<(), StoreError> {
        let sql = "UPDATE pending_changes SET sent_from = ?2 WHERE id = ?1";
        self.execute(sql, (change, first_uid)).await
    }

    async fn remove_pending_change(&self, change: u64) -> Result<(), StoreError> {
        self.execute("DELETE FROM pending_changes WHERE id = ?1", [change]).await
    }

    async fn node_settings_versions(&self, index: &str) -> Result<BTreeMap<String, u64>, StoreError> {
        let index = index.to_owned();
        self.transact(move |transaction| {
            let sql = "SELECT node, version FROM node_settings_version WHERE index_uid = ?1";
            let mut statement = transaction.prepare_cached(sql)?;
            let versions = statement.query_map([index], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(versions.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn set_node_settings_version(
        &self,
        index: &str,
        node: &str,
        version: u64,
    ) -> Result<(), StoreError> {
        let sql =
            "INSERT OR REPLACE INTO node_settings_version (index_uid, node, version) VALUES (?1, ?2, ?3)";
        self.execute(sql, (index.to_owned(), node.to_owned(), version)).await
    }

    async fn register_task(&self, mut task: NewTask, fence: Option<Fence>) -> Result<TaskRecord, StoreError> {
        self.transact(move |transaction| {
            if let Some(ticket) = &task.ticket
                && let Some(known) =
                    bodies(transaction, "SELECT body FROM tasks WHERE ticket = ?1", [ticket])?.pop()
            {
                return Ok(known);
            }
            if let Some(fence) = fence {
                pass_fence(transaction, &fence, &mut task.parts)?;
            }
            let task = TaskRecord::new(allot_uid(transaction)?, task);
            insert_task(transaction, &task)?;
            Ok(task)
        })
        .await
    }

    async fn task(&self, uid: u64) -> Result<Option<TaskRecord>, StoreError> {
        let Ok(uid) = i64::try_from(uid) else { return Ok(None) };
        Ok(self.bodies("SELECT body FROM tasks WHERE uid = ?1", [uid]).await?.pop())
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<TaskPage, StoreError> {
        let query = query.clone();
        self.transact(move |transaction| page(transaction, &query)).await
    }

    async fn unfinished_tasks(&self, limit: usize) -> Result<Vec<TaskRecord>, StoreError> {
        let sql = "SELECT body FROM tasks WHERE status IN ('enqueued', 'processing') ORDER BY uid LIMIT ?1";
        self.bodies(sql, [i64::try_from(limit).unwrap_or(i64::MAX)]).await
    }

    async fn save_task(&self, task: &TaskRecord) -> Result<(), StoreError> {
        let task = task.clone();
        self.transact(move |transaction| save_task(transaction, task)).await
    }

    async fn register_cancelation(
        &self,
        query: &TaskQuery,
        cancelable: &'static [&'static str],
        task: NewTask,
    ) -> Result<(TaskRecord, Vec<TaskRecord>), StoreError> {
        let query = query.clone();
        self.transact(move |transaction| changes::register_cancelation(transaction, &query, cancelable, task))
            .await
    }

    async fn register_deletion(&self, query: &TaskQuery, task: NewTask) -> Result<TaskDeletion, StoreError> {
        let query = query.clone();
        self.transact(move |transaction| changes::register_deletion(transaction, &query, task)).await
    }

    async fn batches(&self, query: &TaskQuery) -> Result<BatchPage, StoreError> {
        let query = query.clone();
        self.transact(move |transaction| changes::batches(transaction, &query)).await
    }
}

fn pass_fence(transaction: &Transaction, fence: &Fence, parts: &mut [TaskPart]) -> Result<(), StoreError> {
    if fence.epoch < first_live_epoch(transaction)? {
        return Err(StoreError::EpochRetired(fence.epoch));
    }
    if let Some((uid, generation)) = &fence.index
        && !changes::names_the_same(transaction, uid, *generation)?
    {
        return Err(StoreError::IndexChanged(uid.clone()));
    }
    copies::take_write(transaction, parts, &fence.missed, fence.of)
}

fn first_live_epoch(transaction: &Transaction) -> Result<u64, StoreError> {
    let sql = "SELECT value FROM counters WHERE name = 'first_live_epoch'";
    Ok(transaction.query_row(sql, [], |row| row.get(0))?)
}

/// The uid of the next task.
pub(super) fn allot_uid(transaction: &Transaction) -> Result<u64, StoreError> {
    let sql = "UPDATE counters SET value = value + 1 WHERE name = 'next_task_uid' RETURNING value - 1";
    Ok(transaction.query_row(sql, [], |row| row.get(0))?)
}

fn save_task(transaction: &Transaction, mut task: TaskRecord) -> Result<(), StoreError> {
    let sql = "SELECT index_uid FROM tasks WHERE uid = ?1";
    if let Some(index_uid) = one(transaction, sql, [task.uid])? {
        task.index_uid = index_uid;
    }
    insert_task(transaction, &task)
}

pub(super) fn insert_task(transaction: &Transaction, task: &TaskRecord) -> Result<(), StoreError> {
    if task.status.is_final() {
        instance::owe_to_webhooks(transaction, task.uid)?;
    }
    let sql = "INSERT OR REPLACE INTO tasks
               (uid, index_uid, kind, status, canceled_by, enqueued_at, started_at, finished_at, body)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    transaction.prepare_cached(sql)?.execute(params![
        task.uid,
        task.index_uid,
        task.kind,
        task.status.name(),
        task.canceled_by,
        nanoseconds(task.enqueued_at),
        task.started_at.map(nanoseconds),
        task.finished_at.map(nanoseconds),
        json(task)?,
    ])?;
    Ok(())
}

fn page(transaction: &Transaction, query: &TaskQuery) -> Result<TaskPage, StoreError> {
    let (condition, mut values) = condition(query)?;
    let values_of_condition = rusqlite::params_from_iter(&values);
    let sql = format!("SELECT count(*) FROM tasks WHERE {condition}");
    let total = transaction.prepare_cached(&sql)?.query_row(values_of_condition, |row| row.get(0))?;

    let (comparison, direction) = if query.reverse { (">=", "ASC") } else { ("<=", "DESC") };
    let from = query.from.map_or_else(String::new, |from| format!("AND uid {comparison} {from}"));
    // One more, to know where the next page begins.
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX).saturating_add(1);
    let sql = format!("SELECT body FROM tasks WHERE {condition} {from} ORDER BY uid {direction} LIMIT ?");
    values.push(limit.into());
    let mut tasks: Vec<TaskRecord> = bodies(transaction, &sql, rusqlite::params_from_iter(&values))?;
    let next = (tasks.len() > query.limit).then(|| tasks.pop()).flatten().map(|task| task.uid);
    Ok(TaskPage { tasks, total, next })
}

/// A query as an SQL condition and the values of its parameters.
pub(super) fn condition(query: &TaskQuery) -> Result<(String, Vec<rusqlite::types::Value>), StoreError> {
    let mut conditions = vec!["true"];
    let mut values = Vec::new();
    let mut add = |condition: &'static str, value: rusqlite::types::Value| {
        conditions.push(condition);
        values.push(value);
    };
    if let Some(uids) = &query.uids {
        add("uid IN (SELECT value FROM json_each(?))", json(uids)?.into());
    }
    if let Some(batch_uids) = &query.batch_uids {
        add("batch_uid IN (SELECT value FROM json_each(?))", json(batch_uids)?.into());
    }
    if let Some(statuses) = &query.statuses {
        add("status IN (SELECT value FROM json_each(?))", json(statuses)?.into());
    }
    if let Some(types) = &query.types {
        add("kind IN (SELECT value FROM json_each(?))", json(types)?.into());
    }
    if let Some(index_uids) = &query.index_uids {
        add("index_uid IN (SELECT value FROM json_each(?))", json(index_uids)?.into());
    }
    if let Some(patterns) = &query.visible_indexes {
        add("EXISTS (SELECT 1 FROM json_each(?) WHERE index_uid GLOB value)", json(patterns)?.into());
    }
    if let Some(canceled_by) = &query.canceled_by {
        add("canceled_by IN (SELECT value FROM json_each(?))", json(canceled_by)?.into());
    }
    let dates = &query.dates;
    for (condition, bound) in [
        ("enqueued_at < ?", dates.before_enqueued_at),
        ("enqueued_at > ?", dates.after_enqueued_at),
        ("started_at < ?", dates.before_started_at),
        ("started_at > ?", dates.after_started_at),
        ("finished_at < ?", dates.before_finished_at),
        ("finished_at > ?", dates.after_finished_at),
    ] {
        if let Some(bound) = bound {
            add(condition, nanoseconds(bound).into());
        }
    }
    Ok((conditions.join(" AND "), values))
}

pub(super) fn bodies<T: DeserializeOwned>(
    transaction: &Transaction,
    sql: &str,
    params: impl Params,
) -> Result<Vec<T>, StoreError> {
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut bodies = Vec::new();
    while let Some(row) = rows.next()? {
        let body = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        bodies.push(serde_json::from_str(body).map_err(|error| StoreError::Backend(error.to_string()))?);
    }
    Ok(bodies)
}

fn one<T: FromSql>(
    transaction: &Transaction,
    sql: &str,
    params: impl Params,
) -> Result<Option<T>, StoreError> {
    Ok(transaction.query_row(sql, params, |row| row.get(0)).optional()?)
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Backend(error.to_string()))
}

/// A date as SQLite can compare it; dates beyond what fits are as good as the last one that does.
fn nanoseconds(date: OffsetDateTime) -> i64 {
    date.unix_timestamp_nanos().clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        StoreError::Backend(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{InstanceStore, TaskStatus, conformance};

    #[tokio::test]
    async fn conforms() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        conformance::run(|name| {
            let path = directory.path().join(name);
            async move { SqliteStore::open(&path).expect("the store opens") }
        })
        .await;
    }

    #[test]
    fn a_newer_store_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("miroir.db");
        drop(SqliteStore::open(&path).expect("the store opens"));
        let connection = Connection::open(&path).expect("the file opens");
        connection.pragma_update(None, "user_version", 99).expect("a newer version");
        drop(connection);

        let error = SqliteStore::open(&path).err().expect("it is refused");
        let known = MIGRATIONS.len();
        assert_eq!(
            error.to_string(),
            format!(
                "the store has schema version 99, this Miroir knows versions up to {known}: run a newer Miroir"
            )
        );
    }

    #[tokio::test]
    async fn an_older_store_is_migrated() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("miroir.db");
        let connection = Connection::open(&path).expect("the file opens");
        connection.execute_batch(MIGRATIONS[0]).expect("the first schema");
        connection
            .execute("UPDATE counters SET value = 7 WHERE name = 'next_task_uid'", [])
            .expect("a counter");
        connection.pragma_update(None, "user_version", 1).expect("its version");
        drop(connection);

        let store = SqliteStore::open(&path).expect("the store opens");
        assert!(InstanceStore::keys(&store).await.expect("the keys").is_empty());
        let next: u64 = store
            .transact(|transaction| {
                let sql = "SELECT value FROM counters WHERE name = 'next_task_uid'";
                Ok(transaction.query_row(sql, [], |row| row.get(0))?)
            })
            .await
            .expect("what was there");
        assert_eq!(next, 7);
    }

    #[test]
    fn statuses_are_stored_by_the_name_that_json_gives_them() {
        for status in TaskStatus::ALL {
            assert_eq!(json(&status).ok(), Some(format!("\"{}\"", status.name())));
        }
    }
}
