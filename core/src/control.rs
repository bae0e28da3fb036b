//! What the filter says to the control plane, and what it hears back.
//!
//! Both calls go to the control plane's Envoy-facing port, carry the routing table's token in
//! [`TOKEN_HEADER`] and the client's own `Authorization`, and answer errors in Meilisearch's shape, which the
//! filter passes on to the client as they are.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::ApiError;
use crate::shard::ShardId;

/// The header that carries [`ControlPlane::token`](crate::table::ControlPlane::token).
pub const TOKEN_HEADER: &str = "x-miroir-token";

/// `POST` here a [`BeginWrite`] before any node is called; answers [`BegunWrite`].
pub const BEGIN_WRITE_PATH: &str = "/_miroir/internal/begin-write";

/// `POST` here a [`RegisterWrite`] after the nodes answered; answers the client's task, as Meilisearch shows it
/// in a 202, or 409 `miroir_routing_stale` when the epoch is retired or the uid means another index by now.
pub const REGISTER_WRITE_PATH: &str = "/_miroir/internal/register-write";

/// `POST` here an [`Await`] before a read that must see something; answers [`Awaited`] when it would, or when the time
/// is over.
pub const AWAIT_PATH: &str = "/_miroir/internal/await";

/// What a read waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Await {
    /// The writes of this [session](crate::session).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// A version of the settings of an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<AwaitSettings>,
    /// [`Awaited::left_ms`], if this is asked again because the filter's table was too old for the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
}

/// A version of the settings of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitSettings {
    /// The index, by its uid or an alias.
    pub index: String,
    /// At least this version.
    pub version: u64,
}

/// How far things are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited {
    /// The first routing table by which no copy is read that lacks a write of the session.
    pub table: u64,
    /// The session's last write.
    #[serde(default)]
    pub last_task: Option<u64>,
    /// The session's first write that is not over, although the time is.
    #[serde(default)]
    pub behind: Option<u64>,
    /// The version of the index's settings; `None` if there is no such index.
    #[serde(default)]
    pub settings_version: Option<u64>,
    /// How much of the time is left, in milliseconds.
    pub left_ms: u64,
}

/// Asks whether a write may go to the nodes: checks the client's key, and sees to it that the index exists on
/// every node with one primary key where the write is one that creates indexes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginWrite {
    /// The index's uid, already checked by the filter.
    pub index: String,
    /// The alias by which the client named it: the write may not begin once it stands for another index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// What the client's key must allow, see [`WriteKind::action`].
    pub action: String,
    /// The epoch of the filter's table.
    pub epoch: u64,
    /// Whether a missing index is to be created.
    pub create: bool,
    /// The primary key to give to an index that has none: from the request, or inferred from its first document.
    #[serde(default)]
    pub primary_key: Option<String>,
    /// Only the key is to be checked: the write is refused whatever the answer, and won't be registered.
    #[serde(default)]
    pub check_only: bool,
    /// The client's [`Idempotency-Key`](crate::idempotency): held until the write is registered. 409 if another write
    /// holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// The index that a write goes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BegunWrite {
    /// Whether the index exists now.
    pub exists: bool,
    /// Its primary key now.
    #[serde(default)]
    pub primary_key: Option<String>,
    /// Names this write and the index that the uid meant when it began: to be given back as
    /// [`RegisterWrite::ticket`].
    #[serde(default)]
    pub ticket: Option<String>,
    /// What nodes take for a key that writes documents but makes no index: a node that has lost its disk knows no key but
    /// the client's master key, and by that would make the index anew, without settings. `None` if nodes ask for no key, or
    /// the write is one that makes no index anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_key: Option<String>,
    /// What a write with this `Idempotency-Key` was answered before. Then this one has not begun, and must not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_answer: Option<FirstAnswer>,
}

/// The answer that the first write with an `Idempotency-Key` got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstAnswer {
    /// The [`Fingerprint`](crate::idempotency::Fingerprint) of that write.
    pub fingerprint: String,
    /// The client's task, as a 202 shows it.
    pub task: Value,
}

/// The `Idempotency-Key` of a write that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedKey {
    /// The key.
    pub key: String,
    /// The write's [`Fingerprint`](crate::idempotency::Fingerprint), if its task is its answer: then the answer is to be
    /// remembered. Else the key may be used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// Tells what became of a write. The control plane, in one transaction, checks that the epoch is not retired,
/// allots the client's task uid and marks missed owners stale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisterWrite {
    /// The index's uid.
    pub index: String,
    /// Meilisearch's name of the task's type.
    pub kind: WriteKind,
    /// The epoch under which the write was routed.
    pub epoch: u64,
    /// How many shards there were under it; 0 for as many as there are.
    #[serde(default)]
    pub shards: ShardId,
    /// Whether there is to be a task: a quorum of owners of every shard enqueued its part, or `error` says why the
    /// task fails. If not, missed owners are still recorded but no task is made and the answer is 204.
    pub acknowledged: bool,
    /// The task's details in Meilisearch's shape, as they are while it is not done.
    #[serde(default)]
    pub details: Value,
    /// What the client gave to find the task by.
    #[serde(default)]
    pub custom_metadata: Option<String>,
    /// How many of the counted parts hold each document.
    #[serde(default = "one")]
    pub counted_copies: u64,
    /// What each called node made of its parts, and what it missed.
    #[serde(default)]
    pub parts: Vec<WritePart>,
    /// Why the task fails, whatever comes of the parts: the write was refused in a way that Meilisearch reports by
    /// a failed task, or it broke off after nodes had accepted parts of it. Then the epoch may be retired.
    #[serde(default)]
    pub error: Option<ApiError>,
    /// [`BegunWrite::ticket`]. If the uid means another index by now (indexes were swapped, renamed or deleted), the
    /// write is refused as one of a retired epoch is.
    #[serde(default)]
    pub ticket: Option<String>,
    /// Its `Idempotency-Key`. If another write with it was registered meanwhile, this one is not: the answer is that to the
    /// other, or 409 `miroir_idempotency_key_reused` if that was another request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<UsedKey>,
    /// The client's [session](crate::session).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

fn one() -> u64 {
    1
}

/// The types of task that the filter makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WriteKind {
    /// `POST` or `PUT` of documents.
    DocumentAdditionOrUpdate,
    /// Deletion by id, by filter, or of all.
    DocumentDeletion,
    /// Documents edited by a function.
    DocumentEdition,
}

impl WriteKind {
    /// What a client's key must allow, by Meilisearch's name.
    pub fn action(self) -> &'static str {
        match self {
            WriteKind::DocumentAdditionOrUpdate => "documents.add",
            WriteKind::DocumentDeletion => "documents.delete",
            // Alone of all routes this one asks for the whole group.
            WriteKind::DocumentEdition => "documents.*",
        }
    }
}

/// One call to one node, or what a node missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WritePart {
    /// The node's id.
    pub node: String,
    /// Whether this part's count of documents goes into the client's task: true for one copy of each document.
    pub counted: bool,
    /// The shards whose documents the part holds.
    pub shards: Vec<ShardId>,
    /// What the node made of it.
    #[serde(flatten)]
    pub outcome: PartOutcome,
}

/// What a node made of its part of a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartOutcome {
    /// Enqueued, under this task uid of the node.
    Accepted(u64),
    /// Not enqueued, or not known to be, and another node has more of these shards; why, for a person.
    Missed(String),
}
