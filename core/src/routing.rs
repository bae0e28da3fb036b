//! A routing table made ready for use: what every request machine shares.

use std::time::Duration;

use crate::exchange::{Call, RequestHead};
use crate::fan_out::plan::Replicas;
use crate::shard::{ShardId, shard_of};
use crate::table::{IndexFacts, InvalidTable, NodeIndex, RoutingTable};

/// A routing table and what is derived from it once.
#[derive(Debug)]
pub struct Routing {
    /// The table.
    pub table: RoutingTable,
    /// Its replicas, for planning searches.
    pub replicas: Replicas,
}

/// Headers of the client's that a node gets too: who asks, and what tracing needs.
const PASSED_ON: [&str; 7] = [
    "authorization",
    "x-meilisearch-client",
    "meili-include-metadata",
    "user-agent",
    "x-request-id",
    "traceparent",
    "tracestate",
];

impl Routing {
    /// Reads a routing table.
    ///
    /// # Errors
    /// [`InvalidTable`] with what is wrong with it.
    pub fn from_json(json: &[u8]) -> Result<Routing, InvalidTable> {
        RoutingTable::from_json(json).map(Routing::new)
    }

    /// Makes a checked table ready.
    pub fn new(table: RoutingTable) -> Routing {
        let replicas = Replicas::new(&table);
        Routing { table, replicas }
    }

    /// What is known of an index; Meilisearch's defaults if it is not known (yet).
    pub fn facts(&self, index: &str) -> IndexFacts {
        self.table.indexes.get(index).cloned().unwrap_or_default()
    }

    /// The nodes that hold the document with this id, the best to read first: clean replicas before stale ones,
    /// nodes that are up before others. The second value is how many of them are clean.
    pub fn replicas_of(&self, id: &str) -> (Vec<NodeIndex>, usize) {
        let shard = shard_of(id, self.table.shards);
        let first = shard_of(id, ShardId::MAX) as usize;
        let groups =
            self.table.groups.iter().cycle().skip(first.checked_rem(self.table.groups.len()).unwrap_or(0));
        let mut nodes: Vec<NodeIndex> = groups
            .take(self.table.groups.len())
            .flat_map(|group| self.table.readers(group, shard))
            .copied()
            .collect();
        let is_up = |node: NodeIndex| self.table.nodes.get(node).is_some_and(|node| node.up);
        nodes.sort_by_key(|&node| (self.table.is_stale(node, shard), !is_up(node)));
        let clean = nodes.iter().filter(|&&node| !self.table.is_stale(node, shard)).count();
        (nodes, clean)
    }

    /// A call to a node on behalf of a client. `None` if there is no such node.
    pub fn node_call(&self, node: NodeIndex, head: &RequestHead, request: NodeRequest) -> Option<Call> {
        let node = self.table.nodes.get(node)?;
        let mut headers = passed_on(head);
        if let Some(content_type) = request.content_type {
            headers.push(("content-type".into(), content_type.into()));
        }
        Some(Call {
            cluster: node.cluster.clone(),
            authority: node.authority.clone(),
            method: request.method.into(),
            target: request.target,
            headers,
            body: request.body,
            timeout: request.timeout,
        })
    }

    /// A call of the filter's own to the control plane, on behalf of a client.
    pub fn control_call(&self, head: &RequestHead, path: &str, message: &impl serde::Serialize) -> Call {
        let control_plane = &self.table.control_plane;
        let mut headers = passed_on(head);
        headers.push(("content-type".into(), "application/json".into()));
        headers.push((crate::control::TOKEN_HEADER.into(), control_plane.token.clone()));
        Call {
            cluster: control_plane.cluster.clone(),
            authority: control_plane.authority.clone(),
            method: "POST".into(),
            target: path.into(),
            headers,
            body: serde_json::to_vec(message).unwrap_or_default(),
            timeout: self.table.policy.control_plane_timeout(),
        }
    }
}

/// What a node is asked.
#[derive(Clone, Debug)]
pub struct NodeRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query string.
    pub target: String,
    /// The body's type, if there is one.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: Vec<u8>,
    /// How long the answer may take.
    pub timeout: Duration,
}

fn passed_on(head: &RequestHead) -> Vec<(String, String)> {
    head.headers.iter().filter(|(name, _)| PASSED_ON.contains(&&**name)).cloned().collect()
}
