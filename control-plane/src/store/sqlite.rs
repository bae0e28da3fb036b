//! The embedded store: one SQLite file.

mod aliases;
mod changes;
mod copies;
mod export;
mod idempotency;
mod instance;
mod removal;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use miroir_core::rebalance::{Epoch, Refused, Stale};
use miroir_core::shard::ShardId;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Params, Transaction, TransactionBehavior, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use super::copies::Copies;
use super::{
    BatchPage, Fence, IndexChange, IndexRecord, IndexesChange, NewTask, NodeChange, Origin, PendingChange,
    RebalanceRecord, Store, StoreError, TaskDeletion, TaskPage, TaskPart, TaskQuery, TaskRecord, Topology,
};

/// What takes a store from each schema version to the next. Never change one that was released: add one.
const MIGRATIONS: &[&str] = &[
    include_str!("sqlite/schema.sql"),
    include_str!("sqlite/schema_instance.sql"),
    include_str!("sqlite/changes.sql"),
    include_str!("sqlite/tickets.sql"),
    include_str!("sqlite/rebalance.sql"),
    include_str!("sqlite/aliases.sql"),
    include_str!("sqlite/requests.sql"),
];

/// How long a store that was just let go of may stay locked: a process that was being started then has the lock's file open too,
/// until it is executed.
const GRACE: Duration = Duration::from_secs(1);
/// How often it is looked whether it still is.
const PAUSE: Duration = Duration::from_millis(10);

/// A [`Store`] in one SQLite file, for one control plane.
#[derive(Clone)]
pub struct SqliteStore {
    connection: Arc<Mutex<Connection>>,
    /// Locked for as long as we use the store.
    _lock: Option<Arc<File>>,
}

impl SqliteStore {
    /// Opens the store at `path`, creates it if it isn't there, and migrates it if it is older.
    ///
    /// # Errors
    /// [`StoreError::TooNew`] for a store of a newer Miroir, [`StoreError::Conflict`] for one that another control plane uses,
    /// else [`StoreError::Backend`].
    pub fn open(path: &Path) -> Result<SqliteStore, StoreError> {
        let lock = lock(path)?.map(Arc::new);
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // An acknowledged write must survive a power cut, its stale marks included.
        connection.pragma_update(None, "synchronous", "full")?;
        migrate(&mut connection)?;
        Ok(SqliteStore { connection: Arc::new(Mutex::new(connection)), _lock: lock })
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

    /// Changes which copies can be relied on.
    async fn change_copies<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Copies) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.transact(move |transaction| copies::change(transaction, change)).await
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

/// Sees to it that nobody else uses the store: what one control plane knows of writes under way, another one does not.
fn lock(path: &Path) -> Result<Option<File>, StoreError> {
    if path == Path::new(":memory:") {
        return Ok(None);
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options().create(true).write(true).truncate(false).open(&name);
    let file = file.map_err(|error| StoreError::Backend(format!("{}: {error}", name.display())))?;
    let deadline = Instant::now() + GRACE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(PAUSE),
            Err(TryLockError::WouldBlock) => {
                let message =
                    "another control plane uses this store; several need `task_store.backend: redis`";
                return Err(StoreError::Conflict(message.into()));
            }
            Err(TryLockError::Error(error)) => {
                return Err(StoreError::Backend(format!("{}: {error}", name.display())));
            }
        }
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
        let topology = topology.clone();
        self.transact(move |transaction| copies::save_topology(transaction, Some(&topology))).await
    }

    async fn change_topology(
        &self,
        topology: &Topology,
        rebalance: &RebalanceRecord,
    ) -> Result<(), StoreError> {
        let members: BTreeSet<String> = topology.nodes.iter().map(|node| node.id.clone()).collect();
        let (topology, rebalance) = (topology.clone(), rebalance.clone());
        self.transact(move |transaction| {
            copies::change(transaction, |copies| copies.lose_all_but(&members))?;
            copies::save_topology(transaction, Some(&topology))?;
            copies::save_rebalance(transaction, Some(&rebalance))
        })
        .await
    }

    async fn current_epoch(&self) -> Result<Option<Epoch>, StoreError> {
        self.transact(copies::current_epoch).await
    }

    async fn add_epoch(&self, epoch: &Epoch) -> Result<(), StoreError> {
        let epoch = epoch.clone();
        self.change_copies(move |copies| copies.add_epoch(&epoch)).await
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
        self.change_copies(move |copies| {
            copies.remove_leftovers(&node, &shards);
            Ok(())
        })
        .await
    }

    async fn stale_replicas(&self) -> Result<Stale, StoreError> {
        self.transact(copies::stale_replicas).await
    }

    async fn mark_stale(&self, node: &str, shards: &[ShardId], of: ShardId) -> Result<(), StoreError> {
        let (node, shards) = (node.to_owned(), shards.to_vec());
        self.change_copies(move |copies| {
            copies.mark_stale(&node, shards, of);
            Ok(())
        })
        .await
    }

    async fn leave(&self, write: &Refused) -> Result<(), StoreError> {
        let write = write.clone();
        self.change_copies(move |copies| {
            copies.leave(&write);
            Ok(())
        })
        .await
    }

    async fn mark_lost(&self, node: &str, shards: &[ShardId], of: ShardId) -> Result<(), StoreError> {
        let (node, shards) = (node.to_owned(), shards.to_vec());
        self.change_copies(move |copies| {
            copies.mark_lost(&node, &shards, of);
            Ok(())
        })
        .await
    }

    async fn mark_clean(
        &self,
        node: &str,
        seen: &BTreeMap<ShardId, u64>,
        source: Option<&str>,
    ) -> Result<Vec<ShardId>, StoreError> {
        let (node, seen, source) = (node.to_owned(), seen.clone(), source.map(str::to_owned));
        self.change_copies(move |copies| Ok(copies.mark_clean(&node, &seen, source.as_deref()))).await
    }

    async fn rebalance(&self) -> Result<Option<RebalanceRecord>, StoreError> {
        Ok(self.bodies("SELECT body FROM rebalance", []).await?.pop())
    }

    async fn save_rebalance(&self, rebalance: &RebalanceRecord) -> Result<(), StoreError> {
        let rebalance = rebalance.clone();
        self.transact(move |transaction| copies::save_rebalance(transaction, Some(&rebalance))).await
    }

    async fn indexes(&self) -> Result<BTreeMap<String, IndexRecord>, StoreError> {
        let indexes: Vec<IndexRecord> = self.bodies("SELECT body FROM indexes", []).await?;
        Ok(indexes.into_iter().map(|index| (index.uid.clone(), index)).collect())
    }

    async fn index(&self, uid: &str) -> Result<Option<IndexRecord>, StoreError> {
        Ok(self.bodies("SELECT body FROM indexes WHERE uid = ?1", [uid.to_owned()]).await?.pop())
    }

    async fn save_index(&self, index: &IndexRecord) -> Result<(), StoreError> {
        let index = index.clone();
        self.transact(move |transaction| changes::save_index(transaction, &index)).await
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

    async fn register_change(
        &self,
        change: IndexesChange,
        task: NewTask,
    ) -> Result<(TaskRecord, Vec<u64>), StoreError> {
        self.transact(move |transaction| {
            let pending = match &change {
                IndexesChange::Create(index) => {
                    changes::save_index(transaction, index)?;
                    Vec::new()
                }
                IndexesChange::Names(names) => changes::change_names(transaction, names)?,
            };
            Ok((register_new_task(transaction, task)?, pending))
        })
        .await
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
            register_new_task(transaction, task)
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
        self.transact(move |transaction| removal::register_deletion(transaction, &query, task)).await
    }

    async fn prune_tasks(
        &self,
        ended_before: Option<OffsetDateTime>,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.transact(move |transaction| removal::prune(transaction, ended_before, limit)).await
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
    copies::change(transaction, |copies| copies.take_write(parts, &fence.missed, fence.of))
}

fn first_live_epoch(transaction: &Transaction) -> Result<u64, StoreError> {
    let sql = "SELECT value FROM counters WHERE name = 'first_live_epoch'";
    Ok(transaction.query_row(sql, [], |row| row.get(0))?)
}

/// The uid of the next task.
fn allot_uid(transaction: &Transaction) -> Result<u64, StoreError> {
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

fn register_new_task(transaction: &Transaction, mut task: NewTask) -> Result<TaskRecord, StoreError> {
    let origin = std::mem::take(&mut task.origin);
    let task = TaskRecord::new(allot_uid(transaction)?, task);
    insert_new_task(transaction, &task, &origin)?;
    Ok(task)
}

pub(super) fn insert_new_task(
    transaction: &Transaction,
    task: &TaskRecord,
    origin: &Origin,
) -> Result<(), StoreError> {
    insert_task(transaction, task)?;
    if let Some(key) = &origin.idempotency {
        idempotency::remember(transaction, key, task)?;
    }
    if let Some(session) = &origin.session {
        sessions::remember(transaction, session, task.uid)?;
    }
    Ok(())
}

fn insert_task(transaction: &Transaction, task: &TaskRecord) -> Result<(), StoreError> {
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
fn condition(query: &TaskQuery) -> Result<(String, Vec<rusqlite::types::Value>), StoreError> {
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

fn bodies<T: DeserializeOwned>(
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

fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
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
    use crate::store::{InstanceStore, TaskStatus, conformance, properties};

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
    fn agrees_with_its_model() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        properties::run(&runtime, |case| {
            let path = directory.path().join(case.to_string());
            async move { SqliteStore::open(&path).expect("the store opens") }
        });
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn writers_do_not_lose_each_other() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("miroir.db");
        properties::writers_do_not_lose_each_other(async || {
            SqliteStore::open(&path).expect("the store opens")
        })
        .await;
    }

    #[test]
    fn a_store_is_used_by_one_control_plane_alone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("miroir.db");
        let first = SqliteStore::open(&path).expect("the store opens");
        let error = SqliteStore::open(&path).err().expect("it is in use");
        assert!(matches!(error, StoreError::Conflict(_)), "{error}");
        drop(first);
        SqliteStore::open(&path).expect("it is free again");
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

    /// What a Miroir of this schema version left: a cluster with an index, a task and what else it knew by then.
    fn written_by(version: usize, path: &Path) {
        let connection = Connection::open(path).expect("the file opens");
        for migration in &MIGRATIONS[..version] {
            connection.execute_batch(migration).expect("its schema");
        }
        connection.pragma_update(None, "user_version", version).expect("its version");
        let task = r#"{"uid": 6, "index_uid": "movies", "kind": "indexCreation", "status": "enqueued", "details": {},
            "error": null, "parts": [], "canceled_by": null, "enqueued_at": "2026-01-01T00:00:00Z", "started_at": null,
            "finished_at": null}"#;
        let index = r#"{"uid": "movies", "primary_key": "id", "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z", "settings": {}, "settings_version": 3}"#;
        let epoch = r#"{"epoch": 1, "owners": {"1": [["a", "b"]]}}"#;
        let insert = "INSERT INTO tasks (uid, index_uid, kind, status, enqueued_at, body)
                      VALUES (6, 'movies', 'indexCreation', 'enqueued', 0, ?1)";
        connection.execute(insert, [task]).expect("a task");
        connection.execute("INSERT INTO indexes VALUES ('movies', ?1)", [index]).expect("an index");
        connection.execute("INSERT INTO epochs VALUES (1, ?1)", [epoch]).expect("an epoch");
        connection
            .execute("INSERT INTO stale_replicas (node, shard) VALUES ('b', 0)", [])
            .expect("a replica");
        connection
            .execute("UPDATE counters SET value = 7 WHERE name = 'next_task_uid'", [])
            .expect("a counter");
        if version < 3 {
            connection
                .execute("INSERT INTO pending_deletions VALUES ('b', 'books')", [])
                .expect("a deletion");
        } else {
            let body = r#"{"delete": "books"}"#;
            let insert = "INSERT INTO pending_changes (node, body) VALUES ('b', ?1)";
            connection.execute(insert, [body]).expect("a change");
        }
    }

    #[tokio::test]
    async fn a_store_of_every_earlier_version_is_migrated() {
        for version in 1..=MIGRATIONS.len() {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let path = directory.path().join("miroir.db");
            written_by(version, &path);
            let store = SqliteStore::open(&path).expect("the store opens");
            assert_eq!(
                store.task(6).await.unwrap().unwrap().index_uid.as_deref(),
                Some("movies"),
                "{version}"
            );
            assert_eq!(store.index("movies").await.unwrap().unwrap().settings_version, 3);
            assert_eq!(store.current_epoch().await.unwrap().unwrap().epoch, 1);
            assert!(store.stale_replicas().await.unwrap()["b"].contains_key(&0));
            let pending = store.pending_changes("b").await.unwrap();
            assert_eq!(pending[0].change, NodeChange::Delete("books".into()));
            assert!(InstanceStore::keys(&store).await.unwrap().is_empty());
            let next = conformance::task("movies", TaskStatus::Enqueued);
            assert_eq!(store.register_task(next, None).await.unwrap().uid, 7);
        }
    }

    #[test]
    fn statuses_are_stored_by_the_name_that_json_gives_them() {
        for status in TaskStatus::ALL {
            assert_eq!(json(&status).ok(), Some(format!("\"{}\"", status.name())));
        }
    }
}
