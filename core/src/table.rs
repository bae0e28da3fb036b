//! The routing table: all that the filter needs to know of the cluster to plan a request.
//!
//! The control plane builds it and pushes it to every Envoy as the filter's configuration (JSON). It is read
//! leniently: unknown fields are ignored, so that a newer control plane can talk to an older filter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::shard::ShardId;
use crate::tag::Tags;

/// The place of a node in [`RoutingTable::nodes`].
pub type NodeIndex = usize;

/// One version of the cluster's routing: immutable, shared by all requests that began under it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingTable {
    /// Grows by one with every table that the control plane publishes.
    pub version: u64,
    /// The version of the placement in this table; the fencing token of writes.
    pub epoch: u64,
    /// How many slots the hash space has.
    pub shards: ShardId,
    /// Which tags documents carry, where that is not simply the number of their shard: while the number of shards changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retagging: Option<Tags>,
    /// Every node of every group.
    pub nodes: Vec<Node>,
    /// The replica groups; each holds every shard.
    pub groups: Vec<Group>,
    /// Replicas that missed a write and must not be read while a clean copy exists.
    #[serde(default)]
    pub stale: Vec<StaleReplicas>,
    /// What planning and merging need to know of each index, by uid.
    #[serde(default)]
    pub indexes: BTreeMap<String, IndexFacts>,
    /// The indexes that each alias stands for, by its name; at least one. No name is an index's uid.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<String, Vec<String>>,
    /// How the filter reaches the control plane.
    pub control_plane: ControlPlane,
    /// What nodes take for a key that reads documents: a client whose own key may only search can ask for what is
    /// similar to one, and for that the filter must see its vector. `None` if nodes ask for no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_key: Option<String>,
    /// Limits and policies that hold for the whole cluster.
    #[serde(default)]
    pub policy: Policy,
}

/// One Meilisearch instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name in the topology.
    pub id: String,
    /// The Envoy cluster that leads to it and to nothing else.
    pub cluster: String,
    /// The `:authority` of requests to it: host and port.
    pub authority: String,
    /// Whether the control plane's health checks see it.
    pub up: bool,
    /// Shards of which it may hold documents although it does not own them: the rest of a migration, or the first of one.
    #[serde(default)]
    pub leftovers: BTreeSet<ShardId>,
}

/// A set of nodes that holds every shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name in the topology.
    pub id: String,
    /// Per shard the nodes that a write goes to, in rendezvous order: the first is the primary.
    pub owners: Vec<Vec<NodeIndex>>,
    /// Per shard the nodes that may be read, where they differ from the owners (during a migration).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub readers: BTreeMap<ShardId, Vec<NodeIndex>>,
}

/// The shards for which a node missed writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleReplicas {
    /// The node.
    pub node: NodeIndex,
    /// Its stale shards.
    pub shards: BTreeSet<ShardId>,
}

/// The settings of an index that planning and merging depend on. These are the user's settings: what the nodes
/// hold differs where Miroir needs more of them than the user does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexFacts {
    /// The field that holds the document id; `None` until the first document.
    pub primary_key: Option<String>,
    /// `displayedAttributes`; `None` stands for `["*"]`.
    pub displayed_attributes: Option<Vec<String>>,
    /// `rankingRules`, in order.
    pub ranking_rules: Vec<String>,
    /// `distinctAttribute`.
    pub distinct_attribute: Option<String>,
    /// Whether `filterableAttributes` names it, so that it can be asked for as a facet.
    pub distinct_is_filterable: bool,
    /// Whether `filterableAttributes` names any. If not, nodes still filter by the shard tag.
    pub has_filterable_attributes: bool,
    /// Whether a dynamic search rule may pin documents of it to places.
    pub has_pins: bool,
    /// `faceting.maxValuesPerFacet`.
    pub max_values_per_facet: usize,
    /// `faceting.sortFacetValuesBy`: `alpha` or `count` by facet name or `*`.
    pub sort_facet_values_by: BTreeMap<String, FacetOrder>,
    /// `pagination.maxTotalHits`.
    pub max_total_hits: usize,
    /// Grows with every change of the index's settings.
    pub settings_version: u64,
}

impl Default for IndexFacts {
    fn default() -> Self {
        IndexFacts {
            primary_key: None,
            displayed_attributes: None,
            ranking_rules: ["words", "typo", "proximity", "attribute", "sort", "exactness"]
                .map(String::from)
                .to_vec(),
            distinct_attribute: None,
            distinct_is_filterable: false,
            has_filterable_attributes: true,
            has_pins: false,
            max_values_per_facet: 100,
            sort_facet_values_by: BTreeMap::new(),
            max_total_hits: 1000,
            settings_version: 0,
        }
    }
}

impl IndexFacts {
    /// How the values of a facet are ordered.
    pub fn facet_order(&self, facet: &str) -> FacetOrder {
        let order = self.sort_facet_values_by.get(facet).or_else(|| self.sort_facet_values_by.get("*"));
        order.copied().unwrap_or_default()
    }
}

/// How the values of a facet are ordered before they are cut to `maxValuesPerFacet`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FacetOrder {
    /// By value, ascending.
    #[default]
    Alpha,
    /// By count, descending.
    Count,
}

/// How the filter reaches the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlPlane {
    /// The Envoy cluster of the control plane.
    pub cluster: String,
    /// The `:authority` of requests to it.
    pub authority: String,
    /// Proves to the control plane that a call comes from a filter it configured.
    pub token: String,
}

/// Limits and policies that hold for the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// How many owners of a shard in one group must enqueue a write; `None`: 1 for RF 1 and 2, a majority above.
    pub write_quorum: Option<usize>,
    /// What a search does about a shard of which no copy can be read.
    pub unavailable_shard: UnavailableShard,
    /// The largest request body, in bytes.
    pub body_limit: usize,
    /// How much of all writes may wait in one Envoy worker for nodes to take it, in bytes.
    pub write_buffer_limit: usize,
    /// In parts of how many bytes, or a little more, documents are sent to a node. A body of up to two parts is
    /// checked whole before a node is called.
    pub write_part_size: usize,
    /// How long a node may take to answer a read, in milliseconds.
    pub read_timeout_ms: u64,
    /// How long a node may take to enqueue a write, in milliseconds.
    pub write_timeout_ms: u64,
    /// How long the control plane may take, in milliseconds.
    pub control_plane_timeout_ms: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            write_quorum: None,
            unavailable_shard: UnavailableShard::default(),
            body_limit: 100 * 1024 * 1024,
            write_buffer_limit: 1024 * 1024 * 1024,
            write_part_size: 4 * 1024 * 1024,
            read_timeout_ms: 30_000,
            write_timeout_ms: 60_000,
            control_plane_timeout_ms: 30_000,
        }
    }
}

/// What a search does about a shard of which no copy can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnavailableShard {
    /// Answers without it and names it in `X-Miroir-Degraded`.
    #[default]
    Partial,
    /// Answers 503 `miroir_shard_unavailable`.
    Error,
}

/// Why a routing table was refused.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidTable(pub String);

impl std::fmt::Display for InvalidTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "invalid routing table: {}", self.0)
    }
}

impl std::error::Error for InvalidTable {}

impl RoutingTable {
    /// Reads a table and checks that all it refers to is there.
    ///
    /// # Errors
    /// [`InvalidTable`] with the first thing that is wrong.
    pub fn from_json(json: &[u8]) -> Result<RoutingTable, InvalidTable> {
        let table: RoutingTable =
            serde_json::from_slice(json).map_err(|error| InvalidTable(error.to_string()))?;
        table.check()?;
        Ok(table)
    }

    fn check(&self) -> Result<(), InvalidTable> {
        if self.shards == 0 {
            return Err(InvalidTable("it has no shards".into()));
        }
        if self.retagging.is_some_and(|tags| tags.shards != self.shards || !tags.is_sound()) {
            return Err(InvalidTable("its tags don't fit its shards".into()));
        }
        if self.groups.is_empty() {
            return Err(InvalidTable("it has no groups".into()));
        }
        let known = |owners: &[NodeIndex]| owners.iter().all(|&node| node < self.nodes.len());
        for group in &self.groups {
            if group.owners.len() != self.shards as usize {
                return Err(InvalidTable(format!(
                    "group {} places {} of {} shards",
                    group.id,
                    group.owners.len(),
                    self.shards
                )));
            }
            if group.owners.iter().any(Vec::is_empty) {
                return Err(InvalidTable(format!("group {} has a shard without an owner", group.id)));
            }
            if !group.owners.iter().chain(group.readers.values()).all(|nodes| known(nodes)) {
                return Err(InvalidTable(format!("group {} names an unknown node", group.id)));
            }
        }
        if !self.stale.iter().all(|stale| known(&[stale.node])) {
            return Err(InvalidTable("a stale replica is on an unknown node".into()));
        }
        if let Some((alias, _)) = self.aliases.iter().find(|(_, indexes)| indexes.is_empty()) {
            return Err(InvalidTable(format!("alias {alias} stands for nothing")));
        }
        Ok(())
    }

    /// Which tags documents carry.
    pub fn tags(&self) -> Tags {
        self.retagging.unwrap_or(Tags::of(self.shards))
    }

    /// The nodes of one group that a read of `shard` may go to, in rendezvous order.
    pub fn readers<'t>(&'t self, group: &'t Group, shard: ShardId) -> &'t [NodeIndex] {
        let owners = || group.owners.get(shard as usize).map_or(&[][..], Vec::as_slice);
        group.readers.get(&shard).map_or_else(owners, Vec::as_slice)
    }

    /// Whether the replica of `shard` on `node` missed a write.
    pub fn is_stale(&self, node: NodeIndex, shard: ShardId) -> bool {
        self.stale.iter().any(|stale| stale.node == node && stale.shards.contains(&shard))
    }

    /// How many owners of a shard in one group must enqueue a write of `copies` copies.
    pub fn write_quorum(&self, copies: usize) -> usize {
        let default = if copies <= 2 { 1 } else { copies / 2 + 1 };
        self.policy.write_quorum.unwrap_or(default).clamp(1, copies.max(1))
    }
}

impl Policy {
    /// [`Policy::read_timeout_ms`] as a duration.
    pub fn read_timeout(&self) -> Duration {
        Duration::from_millis(self.read_timeout_ms)
    }

    /// [`Policy::write_timeout_ms`] as a duration.
    pub fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms)
    }

    /// [`Policy::control_plane_timeout_ms`] as a duration.
    pub fn control_plane_timeout(&self) -> Duration {
        Duration::from_millis(self.control_plane_timeout_ms)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// A table of `groups` groups of `nodes` nodes each; shard `s` is on the nodes `s`, `s + 1`, … of its group.
    pub(crate) fn table(shards: ShardId, nodes: usize, copies: usize, groups: usize) -> RoutingTable {
        let node = |index: usize| Node {
            id: format!("n{index}"),
            cluster: format!("miroir-node-n{index}"),
            authority: format!("n{index}:7700"),
            up: true,
            leftovers: BTreeSet::new(),
        };
        let group = |group: usize| Group {
            id: format!("g{group}"),
            owners: (0..shards as usize)
                .map(|shard| {
                    (0..copies.min(nodes)).map(|copy| group * nodes + (shard + copy) % nodes).collect()
                })
                .collect(),
            readers: BTreeMap::new(),
        };
        RoutingTable {
            version: 1,
            epoch: 1,
            shards,
            retagging: None,
            nodes: (0..nodes * groups).map(node).collect(),
            groups: (0..groups).map(group).collect(),
            stale: Vec::new(),
            indexes: BTreeMap::new(),
            aliases: BTreeMap::new(),
            control_plane: ControlPlane {
                cluster: "miroir-control-plane".into(),
                authority: "miroir".into(),
                token: "token".into(),
            },
            node_key: Some("nodes' own".into()),
            policy: Policy::default(),
        }
    }

    #[test]
    fn a_table_survives_its_json_form_and_fields_of_the_future() {
        let table = table(4, 2, 2, 2);
        let mut json = serde_json::to_value(&table).unwrap();
        json["from the future"] = serde_json::json!({"x": 1});
        json["nodes"][0]["too"] = serde_json::json!(1);
        assert_eq!(RoutingTable::from_json(json.to_string().as_bytes()), Ok(table));
    }

    #[test]
    fn a_table_that_refers_to_what_is_not_there_is_refused() {
        let mut broken = table(4, 2, 2, 1);
        broken.groups[0].owners[1] = vec![7];
        let json = serde_json::to_vec(&broken).unwrap();
        assert_eq!(RoutingTable::from_json(&json).unwrap_err().0, "group g0 names an unknown node");
        broken.groups[0].owners.pop();
        let json = serde_json::to_vec(&broken).unwrap();
        assert!(RoutingTable::from_json(&json).unwrap_err().0.contains("3 of 4 shards"));
        let mut broken = table(4, 2, 2, 1);
        broken.aliases.insert("movies".into(), Vec::new());
        let json = serde_json::to_vec(&broken).unwrap();
        assert_eq!(RoutingTable::from_json(&json).unwrap_err().0, "alias movies stands for nothing");
    }
}
