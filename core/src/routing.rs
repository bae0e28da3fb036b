//! A routing table made ready for use: what every request machine shares.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::exchange::{Call, Reply, RequestHead};
use crate::fan_out::plan::Replicas;
use crate::fresh::SETTINGS_VERSION_HEADER;
use crate::shard::{ShardId, shard_of};
use crate::table::{IndexFacts, InvalidTable, NodeIndex, RoutingTable};

/// A routing table and what is derived from it once.
#[derive(Clone, Debug)]
pub struct Routing {
    /// The table.
    pub table: RoutingTable,
    /// Its replicas, for planning searches.
    pub replicas: Replicas,
    /// The nodes that are slow now.
    slow: Vec<NodeIndex>,
}

/// The newest routing table that is here: who waits for a newer one looks again.
#[derive(Clone, Debug)]
pub struct Latest(Rc<RefCell<Arc<Routing>>>);

impl Latest {
    /// The first one.
    pub fn new(routing: Arc<Routing>) -> Latest {
        Latest(Rc::new(RefCell::new(routing)))
    }

    /// The newest one.
    pub fn get(&self) -> Arc<Routing> {
        self.0.borrow().clone()
    }

    /// A newer one has come.
    pub fn set(&self, routing: Arc<Routing>) {
        *self.0.borrow_mut() = routing;
    }
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
        Routing { table, replicas, slow: Vec::new() }
    }

    /// Has the nodes behind these Envoy clusters read only where no other clean replica is up.
    pub fn mark_slow(&mut self, is_slow: impl Fn(&str) -> bool) {
        let nodes = self.table.nodes.iter().enumerate();
        self.slow = nodes.filter(|(_, node)| is_slow(&node.cluster)).map(|(index, _)| index).collect();
        self.replicas.mark_slow(&self.slow);
    }

    /// What is known of an index; Meilisearch's defaults if it is not known (yet).
    pub fn facts(&self, index: &str) -> IndexFacts {
        self.table.indexes.get(index).cloned().unwrap_or_default()
    }

    /// Marks an answer with the version of the index's settings that it was given by, or a later one that nodes had
    /// already. One that is about several indexes, or none that is known, is left as it is.
    pub fn with_settings_version(&self, index: &str, reply: Reply) -> Reply {
        match self.table.indexes.get(index) {
            Some(facts) => reply.with_header(SETTINGS_VERSION_HEADER, facts.settings_version.to_string()),
            None => reply,
        }
    }

    /// The nodes that hold the document with this id, the best to read first: clean replicas before stale ones,
    /// nodes that are up before others, and slow ones last of those. The second value is how many of them are clean.
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
        let is_up = |node: NodeIndex| self.is_up(node);
        let is_slow = |node: NodeIndex| self.slow.contains(&node);
        nodes.sort_by_key(|&node| (self.table.is_stale(node, shard), !is_up(node), is_slow(node)));
        let clean = nodes.iter().filter(|&&node| !self.table.is_stale(node, shard)).count();
        (nodes, clean)
    }

    /// Whether a node is up and not slow.
    pub fn is_fast(&self, node: NodeIndex) -> bool {
        self.is_up(node) && !self.slow.contains(&node)
    }

    fn is_up(&self, node: NodeIndex) -> bool {
        self.table.nodes.get(node).is_some_and(|node| node.up)
    }

    /// A call to a node on behalf of a client. `None` if there is no such node.
    pub fn node_call(&self, node: NodeIndex, head: &RequestHead, request: NodeRequest) -> Option<Call> {
        let node = self.table.nodes.get(node)?;
        let mut headers = passed_on(head);
        if let Some(key) = request.key {
            headers.retain(|(name, _)| name != "authorization");
            headers.push(("authorization".into(), format!("Bearer {key}")));
        }
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
            is_timed: false,
        })
    }

    /// The same for a read that other nodes could answer as well.
    pub fn read_call(&self, node: NodeIndex, head: &RequestHead, request: NodeRequest) -> Option<Call> {
        let call = self.node_call(node, head, request)?;
        Some(Call { is_timed: self.replicas.have_copies(), ..call })
    }

    /// A call, made to the node behind another Envoy cluster. `None` if there is no such node.
    pub fn call_of(&self, call: &Call, cluster: &str) -> Option<Call> {
        let node = self.table.nodes.iter().find(|node| node.cluster == cluster)?;
        Some(Call { cluster: node.cluster.clone(), authority: node.authority.clone(), ..call.clone() })
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
            is_timed: false,
        }
    }
}

/// What a node is asked.
#[derive(Clone, Debug)]
pub struct NodeRequest<'a> {
    /// What the node is asked by in place of the client's key.
    pub key: Option<&'a str>,
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
