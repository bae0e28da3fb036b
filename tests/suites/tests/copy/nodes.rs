//! Nodes, and what the control plane knows of them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use miroir_control_plane::copy::{
    ChunkLimits, Context, CopiedIndex, CopyError, Pace, Progress, Replica, sync,
};
use miroir_control_plane::indexes::Gates;
use miroir_control_plane::node_client::NodeClient;
use miroir_control_plane::reconcile::drain;
use miroir_control_plane::store::{IndexRecord, SqliteStore, Store};
use miroir_core::shard::{ShardId, shard_of};
use miroir_core::tag::{TAG_FIELD, Tags, encode};
use miroir_harness::{Client, Options, SingleNode};
use serde_json::{Value, json};
use time::OffsetDateTime;

pub const SHARDS: ShardId = 8;

pub struct Nodes {
    nodes: Vec<SingleNode>,
    pub replicas: Vec<Replica>,
    pub store: SqliteStore,
    pub gates: Gates,
    pub pace: Pace,
    pub limits: ChunkLimits,
}

impl Nodes {
    pub async fn start(count: usize) -> Nodes {
        let nodes = join_all((0..count).map(|_| SingleNode::start())).await;
        let nodes: Vec<SingleNode> = nodes.into_iter().map(Result::unwrap).collect();
        let master_key = Options::default().master_key;
        let replicas = nodes.iter().zip('a'..).map(|(node, id)| Replica {
            node: id.to_string(),
            client: NodeClient::new(&node.url(), &master_key),
        });
        Nodes {
            replicas: replicas.collect(),
            nodes,
            store: SqliteStore::open(":memory:".as_ref()).unwrap(),
            gates: Gates::default(),
            pace: Pace::new(None),
            // Small, so that there are many.
            limits: ChunkLimits { documents: 100, bytes: 1 << 20 },
        }
    }

    pub fn context(&self) -> Context<'_> {
        Context {
            tags: Tags::of(SHARDS),
            store: &self.store,
            gates: &self.gates,
            pace: &self.pace,
            limits: self.limits,
            write_patience: std::time::Duration::from_secs(610),
        }
    }

    pub fn client(&self, node: usize) -> Client {
        self.nodes[node].client()
    }

    /// Creates an index on all nodes and in the store.
    pub async fn index(&self, uid: &str, primary_key: &str, settings: Value) -> CopiedIndex {
        for node in 0..self.nodes.len() {
            let index = self.client(node).create_index(uid, Some(primary_key)).await.unwrap();
            let mut settings = settings.clone();
            let filterable = json!([TAG_FIELD, "writer", "n"]);
            settings.as_object_mut().unwrap().insert("filterableAttributes".into(), filterable);
            index.update_settings(&settings).await.unwrap();
        }
        let record = IndexRecord {
            uid: uid.to_owned(),
            primary_key: Some(primary_key.to_owned()),
            created_at: OffsetDateTime::UNIX_EPOCH,
            updated_at: OffsetDateTime::UNIX_EPOCH,
            settings: Value::Null,
            settings_version: 0,
            generation: 1,
            adopting: false,
        };
        self.store.save_index(&record).await.unwrap();
        CopiedIndex::new(&record).unwrap()
    }

    /// Adds documents to one node.
    pub async fn add(&self, node: usize, index: &CopiedIndex, documents: &[Value]) {
        self.client(node).index(&index.uid).add_documents(documents).await.unwrap();
    }

    /// Makes the second node's copy equal to the first's.
    pub async fn sync(&self, index: &CopiedIndex, shards: &[ShardId]) -> Result<Progress, CopyError> {
        let progress = Progress::default();
        let [source, target] = [&self.replicas[0], &self.replicas[1]];
        sync(self.context(), index, shards, source, target, &progress).await?;
        Ok(progress)
    }

    /// All documents that a node holds, with their vectors, by id. Waits for what it has still to do.
    pub async fn documents(&self, node: usize, index: &CopiedIndex) -> BTreeMap<String, Value> {
        drain(&self.replicas[node].client).await.unwrap();
        let path = format!("/indexes/{}/documents?limit=1000000&retrieveVectors=true", index.uid);
        let page = self.client(node).get(&path).await.unwrap().ok().unwrap();
        let documents = page["results"].as_array().unwrap();
        let pointer = format!("/{}", index.primary_key.replace('.', "/"));
        let id = |document: &Value| match document.pointer(&pointer).unwrap() {
            Value::String(id) => id.clone(),
            id => id.to_string(),
        };
        documents.iter().map(|document| (id(document), document.clone())).collect()
    }

    /// Sees to it that two nodes hold the same, and returns it.
    #[track_caller]
    pub fn assert_equal(
        &self,
        index: &CopiedIndex,
        nodes: [usize; 2],
    ) -> impl Future<Output = BTreeMap<String, Value>> {
        let caller = std::panic::Location::caller();
        async move {
            let [left, right] =
                [self.documents(nodes[0], index).await, self.documents(nodes[1], index).await];
            for id in left.keys().chain(right.keys()) {
                assert_eq!(left.get(id), right.get(id), "{caller}: document {id}");
            }
            left
        }
    }
}

/// The tag of a document.
pub fn tag(id: impl ToString) -> String {
    encode(shard_of(&id.to_string(), SHARDS))
}

/// A document of its own with the right tag.
pub fn document(id: u64) -> Value {
    json!({ "id": id, TAG_FIELD: tag(id), "title": format!("document {id}"), "n": id, "writer": -1 })
}

pub fn documents(ids: impl IntoIterator<Item = u64>) -> Vec<Value> {
    ids.into_iter().map(document).collect()
}

pub fn all_shards() -> Vec<ShardId> {
    (0..SHARDS).collect()
}

/// Enough for anything that should happen.
pub const LONG: Duration = Duration::from_secs(120);
