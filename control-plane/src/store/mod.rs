//! The task store: all state that must survive a restart, and that several control planes will share.

mod aliases;
mod changes;
mod contents;
mod copies;
mod idempotency;
mod instance;
mod redis;
mod sessions;
mod sqlite;

#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
mod conformance_of_changes;
#[cfg(test)]
mod properties;

pub use aliases::{AliasRecord, AliasStore, FormerAlias};
pub use changes::{IndexSwap, IndexesChange, NamesChange, NodeChange, PendingChange, generation};
pub use contents::{Contents, Internals};
pub use idempotency::{IdempotencyStore, KnownAnswer, TaskSummary, UsedKey};
pub use instance::{InstanceStore, KeyRecord, Webhook};
#[cfg(test)]
pub use redis::server::Server as RedisServer;
pub use redis::{Holder, Import, LEASE, Lease, Link, RedisStore, Standing, TICKET_LIFE};
pub use sessions::{SessionRecord, SessionStore, SessionWrite};
pub use sqlite::SqliteStore;

use std::collections::BTreeMap;

use async_trait::async_trait;
use miroir_core::control::PartOutcome;
use miroir_core::error::{ApiError, ErrorType};
use miroir_core::rebalance::{Epoch, Owners, Refused, Stale};
use miroir_core::shard::ShardId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use crate::leadership::Term;

/// What every backend can do. Each method is one transaction.
#[async_trait]
pub trait Store: AliasStore + InstanceStore + IdempotencyStore + SessionStore + Send + Sync {
    /// For how long we may act on what the store says.
    fn term(&self) -> Term {
        Term::endless()
    }

    /// The topology as last saved; `None` on a new store.
    async fn topology(&self) -> Result<Option<Topology>, StoreError>;
    /// Saves the topology.
    async fn save_topology(&self, topology: &Topology) -> Result<(), StoreError>;
    /// Saves the topology and what the placement is on the way to because of it. Nodes that are not part of it any more
    /// have lost what they held; fails with [`StoreError::Conflict`] if one of them has the last clean copy of a shard.
    async fn change_topology(
        &self,
        topology: &Topology,
        rebalance: &RebalanceRecord,
    ) -> Result<(), StoreError>;

    /// The newest epoch; `None` on a new store.
    async fn current_epoch(&self) -> Result<Option<Epoch>, StoreError>;
    /// Adds an epoch. Who joins by it is stale from then on; who owns a shard no more is not stale either. If it has another
    /// number of shards, so have the topology, the stale replicas and the target of the rebalance from then on.
    ///
    /// Fails with [`StoreError::Conflict`] if its number is not one more than the newest, or if a shard would lose its
    /// last clean reader.
    async fn add_epoch(&self, epoch: &Epoch) -> Result<(), StoreError>;
    /// From here no write routed under an epoch below `epoch` is registered.
    async fn retire_epochs_below(&self, epoch: u64) -> Result<(), StoreError>;
    /// The first epoch that is not retired.
    async fn first_live_epoch(&self) -> Result<u64, StoreError>;
    /// The Envoys that were connected lately, by `node.id`, with when they were last seen.
    async fn envoys(&self) -> Result<BTreeMap<String, OffsetDateTime>, StoreError>;
    /// Records that Envoys were seen now, and forgets those that were not for so long.
    async fn saw_envoys(&self, envoys: &[String], forget_before: OffsetDateTime) -> Result<(), StoreError>;
    /// Records that a node no longer holds what it had left over of shards.
    async fn remove_leftovers(&self, node: &str, shards: &[ShardId]) -> Result<(), StoreError>;

    /// The replicas that missed writes.
    async fn stale_replicas(&self) -> Result<Stale, StoreError>;
    /// Marks replicas stale that missed a write, or may have, as far as [`Epoch::may_become_stale`] allows it. The shards are
    /// some of `of`; 0 stands for as many as there are.
    async fn mark_stale(&self, node: &str, shards: &[ShardId], of: ShardId) -> Result<(), StoreError>;
    /// Marks what a write that is not acknowledged leaves behind, see [`Epoch::remains_of`].
    async fn leave(&self, write: &Refused) -> Result<(), StoreError>;
    /// Marks replicas stale whose documents are gone, be they the last copies.
    async fn mark_lost(&self, node: &str, shards: &[ShardId], of: ShardId) -> Result<(), StoreError>;
    /// Marks replicas clean again, those that have missed nothing since they were seen as in `seen`. If they were made
    /// equal to those of a `source`, only where that is still a clean reader: what has left gets no more writes, so a copy of
    /// it is old. Returns their shards.
    async fn mark_clean(
        &self,
        node: &str,
        seen: &BTreeMap<ShardId, u64>,
        source: Option<&str>,
    ) -> Result<Vec<ShardId>, StoreError>;

    /// What the placement is on the way to; `None` before the first change of the topology.
    async fn rebalance(&self) -> Result<Option<RebalanceRecord>, StoreError>;
    /// Saves it.
    async fn save_rebalance(&self, rebalance: &RebalanceRecord) -> Result<(), StoreError>;

    /// All indexes, by uid.
    async fn indexes(&self) -> Result<BTreeMap<String, IndexRecord>, StoreError>;
    /// One index.
    async fn index(&self, uid: &str) -> Result<Option<IndexRecord>, StoreError>;
    /// Adds or replaces an index.
    async fn save_index(&self, index: &IndexRecord) -> Result<(), StoreError>;
    /// Changes an index and returns it as it is then; `None` if it isn't there.
    async fn update_index(&self, uid: &str, change: IndexChange) -> Result<Option<IndexRecord>, StoreError>;
    /// Forgets an index and the settings versions of its nodes. Nothing happens if it isn't there.
    async fn delete_index(&self, uid: &str) -> Result<(), StoreError>;

    /// Makes a change of the indexes and registers its task, or does neither. Returns the ids of the changes that nodes have
    /// pending by it, in the order of the nodes. Fails with [`StoreError::KeyUsed`] as [`register_task`](Self::register_task) does.
    async fn register_change(
        &self,
        change: IndexesChange,
        task: NewTask,
    ) -> Result<(TaskRecord, Vec<u64>), StoreError>;
    /// Records that a node has still to take a change.
    async fn add_pending_change(&self, node: &str, change: &NodeChange) -> Result<(), StoreError>;
    /// The changes that a node has still to take, in the order in which they were made.
    async fn pending_changes(&self, node: &str) -> Result<Vec<PendingChange>, StoreError>;
    /// Records that a node is about to be sent a pending change; see [`PendingChange::sent_from`].
    async fn set_sent_from(&self, change: u64, first_uid: u64) -> Result<(), StoreError>;
    /// Records that a node has taken a change.
    async fn remove_pending_change(&self, change: u64) -> Result<(), StoreError>;

    /// The settings version that each node was last seen to hold of an index, by node id.
    async fn node_settings_versions(&self, index: &str) -> Result<BTreeMap<String, u64>, StoreError>;
    /// Records that a node holds a settings version of an index.
    async fn set_node_settings_version(
        &self,
        index: &str,
        node: &str,
        version: u64,
    ) -> Result<(), StoreError>;

    /// Allots the next task uid and saves the task. With a fence, in the same transaction: fails with
    /// [`StoreError::EpochRetired`], [`StoreError::IndexChanged`] or [`StoreError::NoCleanCopy`] and does nothing if
    /// the fence's epoch is retired, its uid names another index by now, or no clean reader of a shard has taken the
    /// task's part; else marks the replicas stale that missed it. What the [`Origin`] says is saved in it, too: fails with
    /// [`StoreError::KeyUsed`] and does nothing if there is an answer to its idempotency key.
    async fn register_task(&self, task: NewTask, fence: Option<Fence>) -> Result<TaskRecord, StoreError>;
    /// One task.
    async fn task(&self, uid: u64) -> Result<Option<TaskRecord>, StoreError>;
    /// A page of tasks, newest first unless reversed.
    async fn tasks(&self, query: &TaskQuery) -> Result<TaskPage, StoreError>;
    /// Up to `limit` tasks that are neither succeeded, failed nor canceled, oldest first.
    async fn unfinished_tasks(&self, limit: usize) -> Result<Vec<TaskRecord>, StoreError>;
    /// Saves what a task has come to: all of it but its index, which only [`register_change`](Store::register_change)
    /// changes. When it ends by that, every webhook is owed it, see [`InstanceStore::tasks_owed`].
    async fn save_task(&self, task: &TaskRecord) -> Result<(), StoreError>;

    /// Registers a task that cancels the unfinished tasks of the `cancelable` types that match, and returns them too.
    /// How many match in all goes into its details.
    async fn register_cancelation(
        &self,
        query: &TaskQuery,
        cancelable: &'static [&'static str],
        task: NewTask,
    ) -> Result<(TaskRecord, Vec<TaskRecord>), StoreError>;
    /// Deletes the finished tasks that match, and registers that as a task. What matched and what was deleted goes
    /// into its details.
    async fn register_deletion(&self, query: &TaskQuery, task: NewTask) -> Result<TaskDeletion, StoreError>;
    /// Forgets finished tasks, the oldest first: up to `limit` of them, and up to the first that has ended at `ended_before`
    /// or later, or that a webhook is still owed. Returns how many.
    async fn prune_tasks(
        &self,
        ended_before: Option<OffsetDateTime>,
        limit: usize,
    ) -> Result<usize, StoreError>;
    /// A page of the batches with a task that matches, newest first unless reversed; [`TaskQuery::from`] is a batch's
    /// uid.
    async fn batches(&self, query: &TaskQuery) -> Result<BatchPage, StoreError>;
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The write was routed under an epoch that is retired.
    #[error("epoch {0} is retired")]
    EpochRetired(u64),
    /// The uid names another index than when the write began, or none.
    #[error("`{0}` is another index by now")]
    IndexChanged(String),
    /// None of the copies that have all acknowledged writes of the shard has taken this one.
    #[error("no clean copy of shard {0} has taken it")]
    NoCleanCopy(ShardId),
    /// Another request with the idempotency key was registered.
    #[error("the idempotency key was used for task {}", .0.task.uid)]
    KeyUsed(Box<KnownAnswer>),
    /// Someone else changed it meanwhile.
    #[error("{0}")]
    Conflict(String),
    /// The store was written by a newer Miroir.
    #[error(
        "the store has schema version {found}, this Miroir knows versions up to {known}: run a newer Miroir"
    )]
    TooNew {
        /// The version found.
        found: u64,
        /// The newest version this program knows.
        known: u64,
    },
    /// What another store holds was not wholly taken into this one.
    #[error("`miroir store migrate` has begun to fill this store and has not ended: run it again")]
    Incomplete,
    /// The store can't be reached now.
    #[error("the task store can't be reached: {0}")]
    Unreachable(String),
    /// Another control plane leads by now.
    #[error("another control plane leads by now")]
    NotLeader,
    /// The backend failed.
    #[error("task store: {0}")]
    Backend(String),
}

impl From<StoreError> for ApiError {
    /// What an operator is told.
    fn from(error: StoreError) -> ApiError {
        let (status, code, kind) = match error {
            StoreError::Unreachable(_) => (503, "miroir_task_store_unavailable", ErrorType::System),
            StoreError::NotLeader => (503, "miroir_not_leader", ErrorType::System),
            _ => (500, "internal", ErrorType::Internal),
        };
        ApiError::new(status, code, kind, error.to_string())
    }
}

/// What of the topology may not change by a mere change of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    /// S.
    pub shards: ShardId,
    /// RF: copies of a shard inside a group.
    pub replication_factor: usize,
    /// The nodes, in the order in which the routing table lists them.
    pub nodes: Vec<NodeRecord>,
}

/// A node of the topology.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its name.
    pub id: String,
    /// Where it is.
    pub url: String,
    /// The replica group it belongs to.
    pub group: String,
    /// Whether all that it holds is to be moved to others.
    #[serde(default)]
    pub drains: bool,
    /// The node that takes its place; it is removed when all it holds is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    /// Its share of the shards relative to the other nodes of its group.
    pub weight: f64,
    /// An Envoy cluster that the mesh already has for it; without it Miroir serves one by CDS.
    pub cluster: Option<String>,
}

/// What the placement is on the way to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RebalanceRecord {
    /// Who is to own what.
    pub target: Owners,
    /// Whether nothing is to be begun.
    pub is_paused: bool,
    /// Whether it goes back to where it was.
    pub is_canceled: bool,
    /// How many shards had to change, in all groups, when the target was set.
    pub shards: usize,
    /// Another number of shards, once the target is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resharding: Option<Resharding>,
    /// When the target was set.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// A change of the number of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resharding {
    /// How many there were when it began.
    pub from: ShardId,
    /// How many there are to be.
    pub to: ShardId,
}

/// An index as the user sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexRecord {
    /// Its uid.
    pub uid: String,
    /// Its primary key; `None` until the first document.
    pub primary_key: Option<String>,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When its documents or settings last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// Its whole settings as `GET /indexes/{uid}/settings` shows them to the user; null until they were first
    /// read from a node, when they are the defaults.
    pub settings: Value,
    /// Grows with every change of the settings. The changes of this version and all before it are in force on all nodes that
    /// are read, or have failed.
    pub settings_version: u64,
    /// Changes when its uid comes to name another index. So a write that began before that is known.
    #[serde(default)]
    pub generation: u64,
    /// Whether its documents were on a node before it was the cluster's, and may lack their tags.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopting: bool,
}

/// A change of an [`IndexRecord`].
#[derive(Clone, Debug)]
pub struct IndexChange {
    /// When its documents or settings changed.
    pub updated_at: OffsetDateTime,
    /// The primary key that it has now, if it got one.
    pub primary_key: Option<String>,
    /// Its settings now, if they changed: a new version.
    pub settings: Option<Value>,
    /// What their version is at least. If it is not given, a change of the settings makes the next one.
    pub settings_version: Option<u64>,
    /// Whether all its documents are known to have their tags.
    pub is_adopted: bool,
}

impl IndexChange {
    /// Of nothing but when its documents or settings changed.
    pub fn at(updated_at: OffsetDateTime) -> IndexChange {
        IndexChange {
            updated_at,
            primary_key: None,
            settings: None,
            settings_version: None,
            is_adopted: false,
        }
    }
}

impl IndexRecord {
    /// The record after a change.
    pub fn changed(mut self, change: IndexChange) -> IndexRecord {
        self.updated_at = self.updated_at.max(change.updated_at);
        if let Some(primary_key) = change.primary_key {
            self.primary_key = Some(primary_key);
        }
        if let Some(settings) = change.settings {
            self.settings = settings;
            self.settings_version += u64::from(change.settings_version.is_none());
        }
        self.settings_version = self.settings_version.max(change.settings_version.unwrap_or(0));
        self.adopting &= !change.is_adopted;
        self
    }
}

/// What registration of a write checks and marks, atomically with the task.
#[derive(Clone, Debug)]
pub struct Fence {
    /// The epoch under which the write was routed.
    pub epoch: u64,
    /// How many shards there were then; 0 for as many as there are. The task's parts are about as many.
    pub of: ShardId,
    /// Owners that missed it, with the shards they missed.
    pub missed: Vec<(String, Vec<ShardId>)>,
    /// The index's uid and the generation under which the write began, if that is known.
    pub index: Option<(String, u64)>,
}

/// A task before it has a uid.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// The index it is about, if it is about one.
    pub index_uid: Option<String>,
    /// Meilisearch's name of its type, as `documentAdditionOrUpdate`.
    pub kind: String,
    /// `enqueued`, or `failed` for a task that was refused from the start.
    pub status: TaskStatus,
    /// Meilisearch's `details`.
    pub details: Value,
    /// Why it failed; of a task that is not over, why it will fail whatever comes of its parts.
    pub error: Option<ApiError>,
    /// What each node does for it.
    pub parts: Vec<TaskPart>,
    /// What the client wants to find again in it.
    pub custom_metadata: Option<String>,
    /// What the write was known by before it was registered. It may be registered again, since nobody knows whether a
    /// message whose answer got lost was heard; it is one task.
    pub ticket: Option<String>,
    /// Of a change of settings: what [`IndexRecord::settings_version`] is from its end on, or more.
    pub settings_version: Option<u64>,
    /// What else the client's request says.
    pub origin: Origin,
}

/// What a request says of the task that it makes, beside what is to be done.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// By which it may be repeated.
    pub idempotency: Option<UsedKey>,
    /// Whose later reads wait for it.
    pub session: Option<SessionWrite>,
}

/// A task of the client's: one uid for what may be many tasks on nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Unique in the cluster, growing, from 0.
    pub uid: u64,
    /// See [`NewTask::index_uid`].
    pub index_uid: Option<String>,
    /// See [`NewTask::kind`].
    pub kind: String,
    /// Where it is in its life.
    pub status: TaskStatus,
    /// Meilisearch's `details`.
    pub details: Value,
    /// See [`NewTask::error`].
    pub error: Option<ApiError>,
    /// What each node does for it.
    pub parts: Vec<TaskPart>,
    /// The task that canceled it.
    pub canceled_by: Option<u64>,
    /// When it was registered.
    #[serde(with = "time::serde::rfc3339")]
    pub enqueued_at: OffsetDateTime,
    /// When the first node began with it.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When the last node was done with it.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
    /// See [`NewTask::custom_metadata`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_metadata: Option<String>,
    /// See [`NewTask::ticket`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// See [`NewTask::settings_version`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings_version: Option<u64>,
    /// The tasks that it cancels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cancels: Vec<u64>,
}

impl TaskRecord {
    /// The record of a task that was just registered under this uid.
    pub fn new(uid: u64, task: NewTask) -> TaskRecord {
        let now = OffsetDateTime::now_utc();
        let finished_at = task.status.is_final().then_some(now);
        TaskRecord {
            uid,
            index_uid: task.index_uid,
            kind: task.kind,
            status: task.status,
            details: task.details,
            error: task.error,
            parts: task.parts,
            canceled_by: None,
            enqueued_at: now,
            started_at: finished_at,
            finished_at,
            custom_metadata: task.custom_metadata,
            ticket: task.ticket,
            settings_version: task.settings_version,
            cancels: Vec::new(),
        }
    }

    /// The batch it is in, once it has begun: it is alone in its own, but what was canceled is in the batch of what
    /// canceled it.
    pub fn batch_uid(&self) -> Option<u64> {
        match self.status {
            TaskStatus::Canceled => self.canceled_by,
            _ => self.started_at.map(|_| self.uid),
        }
    }
}

/// What one node does for a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskPart {
    /// The node's id.
    pub node: String,
    /// Whether the part's count of documents goes into the client's task.
    pub counted: bool,
    /// How many parts count each document of this one.
    #[serde(default = "one")]
    pub counted_copies: u64,
    /// The shards whose documents the part holds; empty for work that is not about documents.
    pub shards: Vec<ShardId>,
    /// How many shards there were when the part was registered; 0 for as many as there are.
    #[serde(default)]
    pub of: ShardId,
    /// Those of the shards of which the node had no clean copy when it took the part: to have it there is not enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreliable: Vec<ShardId>,
    /// The node's task, or why it has none.
    pub outcome: PartOutcome,
    /// Its state on the node when last asked.
    pub status: TaskStatus,
    /// When the node began with it.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When the node was done with it.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
    /// The node's `details`, once finished.
    #[serde(default)]
    pub details: Value,
    /// The node's `error`, if it failed.
    #[serde(default)]
    pub error: Value,
}

/// A task's status, by Meilisearch's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TaskStatus {
    /// Not begun.
    Enqueued,
    /// Begun on at least one node.
    Processing,
    /// Done.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Canceled by a client.
    Canceled,
}

/// Which tasks to list: Meilisearch's own filters, `None` where the client gave none.
#[derive(Clone, Debug, Default)]
pub struct TaskQuery {
    /// At most so many.
    pub limit: usize,
    /// The first uid to list.
    pub from: Option<u64>,
    /// Oldest first.
    pub reverse: bool,
    /// Only these uids.
    pub uids: Option<Vec<u64>>,
    /// Only those in these batches.
    pub batch_uids: Option<Vec<u64>>,
    /// Only these statuses.
    pub statuses: Option<Vec<TaskStatus>>,
    /// Only these types.
    pub types: Option<Vec<String>>,
    /// Only of these indexes.
    pub index_uids: Option<Vec<String>>,
    /// Only of the indexes that match one of these patterns (`movies`, `movies_*`): those that the client's key
    /// may see.
    pub visible_indexes: Option<Vec<String>>,
    /// Only those canceled by these.
    pub canceled_by: Option<Vec<u64>>,
    /// Bounds on the three dates.
    pub dates: DateBounds,
}

/// Exclusive bounds on a task's dates.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct DateBounds {
    pub before_enqueued_at: Option<OffsetDateTime>,
    pub after_enqueued_at: Option<OffsetDateTime>,
    pub before_started_at: Option<OffsetDateTime>,
    pub after_started_at: Option<OffsetDateTime>,
    pub before_finished_at: Option<OffsetDateTime>,
    pub after_finished_at: Option<OffsetDateTime>,
}

/// A page of tasks.
#[derive(Clone, Debug)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<TaskRecord>,
    /// How many match the query in all, whatever `limit` and `from`.
    pub total: u64,
    /// The uid from which the next page begins.
    pub next: Option<u64>,
}

fn one() -> u64 {
    1
}

/// Tasks that were begun together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Its uid: that of the task it is named after.
    pub uid: u64,
    /// Its tasks, oldest first.
    pub tasks: Vec<TaskRecord>,
}

/// A page of batches.
#[derive(Clone, Debug)]
pub struct BatchPage {
    /// The batches.
    pub batches: Vec<Batch>,
    /// How many match the query in all, whatever `limit` and `from`.
    pub total: u64,
    /// The uid from which the next page begins.
    pub next: Option<u64>,
}

/// Tasks that were deleted.
#[derive(Clone, Debug)]
pub struct TaskDeletion {
    /// The task that deleted them.
    pub task: TaskRecord,
    /// What nodes had done for them.
    pub parts: Vec<TaskPart>,
}

impl TaskPart {
    /// Whether the node did not enqueue it.
    pub fn is_missed(&self) -> bool {
        matches!(self.outcome, PartOutcome::Missed(_))
    }

    /// A part of a task that does not write documents.
    pub fn new(node: impl Into<String>, outcome: PartOutcome) -> TaskPart {
        TaskPart {
            node: node.into(),
            counted: false,
            counted_copies: one(),
            of: 0,
            shards: Vec::new(),
            unreliable: Vec::new(),
            outcome,
            status: TaskStatus::Enqueued,
            started_at: None,
            finished_at: None,
            details: Value::Null,
            error: Value::Null,
        }
    }
}

impl TaskStatus {
    /// Every status, in the order of a task's life.
    pub const ALL: [TaskStatus; 5] = [
        TaskStatus::Enqueued,
        TaskStatus::Processing,
        TaskStatus::Succeeded,
        TaskStatus::Failed,
        TaskStatus::Canceled,
    ];

    /// Meilisearch's name of it.
    pub fn name(self) -> &'static str {
        match self {
            TaskStatus::Enqueued => "enqueued",
            TaskStatus::Processing => "processing",
            TaskStatus::Succeeded => "succeeded",
            TaskStatus::Failed => "failed",
            TaskStatus::Canceled => "canceled",
        }
    }

    /// Whether it will not change any more.
    pub fn is_final(self) -> bool {
        matches!(self, TaskStatus::Succeeded | TaskStatus::Failed | TaskStatus::Canceled)
    }
}
