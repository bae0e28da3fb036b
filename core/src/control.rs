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

/// Asks whether a write may go to the nodes: checks the client's key, and sees to it that the index exists on
/// every node with one primary key where the write is one that creates indexes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginWrite {
    /// The index's uid, already checked by the filter.
    pub index: String,
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
