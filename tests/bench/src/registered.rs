//! Writes as the control plane registers them, and the placement that they go by.

use std::collections::{BTreeMap, BTreeSet};

use miroir_control_plane::store::{
    Fence, NewTask, NodeRecord, Origin, TaskPart, TaskRecord, TaskStatus, Topology,
};
use miroir_core::control::PartOutcome;
use miroir_core::rebalance::Epoch;
use miroir_core::shard::ShardId;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

const SHARDS: ShardId = 64;
const COPIES: usize = 2;
const GROUP: &str = "default";
/// Documents of a write that goes to all nodes.
const BATCH: u64 = 1_000;
/// So many indexes are written to.
pub const INDEXES: usize = 10;
/// The generation of all indexes.
pub const GENERATION: u64 = 1_764_345_600_000_000_000;

/// A replica group of nodes that own the shards in turn.
#[derive(Clone, Debug)]
pub struct Placement {
    /// Their ids.
    pub nodes: Vec<String>,
}

impl Placement {
    /// Of so many nodes.
    pub fn of(nodes: usize) -> Placement {
        Placement { nodes: (0..nodes).map(|number| format!("{GROUP}-{number}")).collect() }
    }

    /// The first epoch.
    pub fn epoch(&self) -> Epoch {
        let owners = |shard| self.owners(shard).into_iter().map(str::to_owned).collect();
        let owners = BTreeMap::from([(GROUP.to_owned(), (0..SHARDS).map(owners).collect())]);
        Epoch { epoch: 1, owners, ..Epoch::default() }
    }

    /// The topology.
    pub fn topology(&self) -> Topology {
        let node = |id: &String| NodeRecord {
            id: id.clone(),
            url: format!("http://search-miroir-meilisearch-{id}.search.svc.cluster.local:7700"),
            group: GROUP.to_owned(),
            drains: false,
            replaced_by: None,
            weight: 1.0,
            cluster: None,
        };
        Topology { shards: SHARDS, replication_factor: COPIES, nodes: self.nodes.iter().map(node).collect() }
    }

    /// The shards of which a node has a copy.
    pub fn shards_of(&self, node: &str) -> Vec<ShardId> {
        (0..SHARDS).filter(|shard| self.owners(*shard).contains(&node)).collect()
    }

    /// A write of one document, the `number`th of its kind.
    pub fn of_one_document(&self, number: usize) -> NewTask {
        let shard = number as ShardId % SHARDS;
        let parts = self.owners(shard).into_iter().map(|node| part(node, vec![shard], number));
        write(1, parts.collect(), number)
    }

    /// A write of so many documents that every node has its part in it.
    pub fn of_a_batch(&self, number: usize) -> NewTask {
        let parts = self.nodes.iter().map(|node| part(node, self.shards_of(node), number));
        write(BATCH, parts.collect(), number)
    }

    fn owners(&self, shard: ShardId) -> BTreeSet<&str> {
        let nodes = self.nodes.iter().map(String::as_str).cycle();
        nodes.skip(shard as usize % self.nodes.len().max(1)).take(COPIES).collect()
    }
}

/// The uid of the index that the `number`th write is about.
pub fn index_of(number: usize) -> String {
    format!("products-{}", number % INDEXES)
}

/// What registration checks of a write that no owner missed.
pub fn fence(task: &NewTask) -> Fence {
    let index = task.index_uid.clone().map(|uid| (uid, GENERATION));
    Fence { epoch: 1, of: SHARDS, missed: Vec::new(), index }
}

/// What a write is known by until it is registered.
pub fn ticket() -> String {
    format!("{}.{GENERATION}", Uuid::new_v4())
}

/// The task once all nodes have done their parts.
pub fn done(mut task: TaskRecord) -> TaskRecord {
    let now = OffsetDateTime::now_utc();
    let documents = task.details["receivedDocuments"].clone();
    let details = json!({"receivedDocuments": documents, "indexedDocuments": documents});
    for part in &mut task.parts {
        part.status = TaskStatus::Succeeded;
        (part.started_at, part.finished_at) = (Some(now), Some(now));
        part.details = details.clone();
    }
    (task.started_at, task.finished_at) = (Some(now), Some(now));
    TaskRecord { status: TaskStatus::Succeeded, details, ..task }
}

fn part(node: &str, shards: Vec<ShardId>, number: usize) -> TaskPart {
    let outcome = PartOutcome::Accepted(100_000 + number as u64);
    TaskPart {
        counted: true,
        counted_copies: COPIES as u64,
        of: SHARDS,
        shards,
        ..TaskPart::new(node, outcome)
    }
}

fn write(documents: u64, parts: Vec<TaskPart>, number: usize) -> NewTask {
    NewTask {
        index_uid: Some(index_of(number)),
        kind: "documentAdditionOrUpdate".into(),
        status: TaskStatus::Enqueued,
        details: json!({"receivedDocuments": documents, "indexedDocuments": Value::Null}),
        error: None,
        parts,
        custom_metadata: None,
        ticket: None,
        settings_version: None,
        origin: Origin::default(),
    }
}
