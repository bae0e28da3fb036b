//! The cluster as this control plane knows it: what it is configured to be, what the store holds, which nodes
//! answer. From these it publishes routing tables.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use miroir_core::placement::{Candidate, place};
use miroir_core::rebalance::Epoch;
use miroir_core::shard::ShardId;
use miroir_core::table::RoutingTable;
use sha2::Sha256;
use time::OffsetDateTime;
use tokio::sync::{Mutex, Notify, RwLock, broadcast, watch};
use tokio::time::timeout;

use crate::aliases::Aliases;
use crate::anti_entropy::AntiEntropy;
use crate::config::{Config, NodeConfig};
use crate::indexes::{Adoptions, Gates, IndexLocks};
use crate::keys;
use crate::leadership::Term;
use crate::node_client::NodeClient;
use crate::rebalance::Rebalance;
use crate::routing::{self, Inputs};
use crate::store::{NodeRecord, RebalanceRecord, Store, StoreError, Topology};
use crate::tasks::claims::Claims;
use crate::xds::Envoys;

/// How long [`Cluster::publish_everywhere`] waits.
const ENVOYS_WAIT: Duration = Duration::from_secs(5);
/// So long tasks wait for an Envoy that does not take a routing table.
const RESTRICTION_WAIT: Duration = Duration::from_secs(15);
/// Within this time an Envoy that has gone is expected back.
const ENVOYS_RETURN: Duration = Duration::from_secs(5);

/// Who waits for a task looks again when it has missed more than these.
const FINISHED_AT_ONCE: usize = 1024;

/// Shared by every part of the control plane.
pub struct Cluster {
    /// The configuration it was started with.
    pub config: Config,
    /// What survives a restart.
    pub store: Arc<dyn Store>,
    /// Which nodes answer and are in step with the cluster's indexes and settings, by node id. A node that was not
    /// checked yet is not there.
    pub health: RwLock<BTreeMap<String, NodeHealth>>,
    /// Proves to us that a call comes from a filter that we configured.
    pub filter_token: String,
    /// Makes changes of one index follow each other.
    pub index_locks: IndexLocks,
    /// Makes changes of what the nodes have in common beside indexes follow each other, see
    /// [`instance`](crate::instance). A node does not come up while one of them is under way.
    pub instance: Mutex<()>,
    /// What is under way of changes of aliases.
    pub aliases: Aliases,
    /// Keeps changes of what uids name between writes.
    pub gates: Gates,
    /// Takes over indexes that a node held before.
    pub adoptions: Adoptions,
    /// Moves shards and repairs replicas.
    pub rebalance: Rebalance,
    /// Compares replicas.
    pub anti_entropy: AntiEntropy,
    /// The idempotency keys of requests that are under way.
    pub claims: Claims,
    /// Wakes the task poller when a task was registered.
    pub task_registered: Notify,
    /// Tells of each task that is over.
    pub task_finished: broadcast::Sender<u64>,
    /// Who runs with which of our tables.
    pub envoys: Envoys,
    members: watch::Sender<Arc<Members>>,
    table: watch::Sender<Arc<RoutingTable>>,
    /// The newest routing table by which fewer copies may be read than by the one before, and when it was published.
    restricted: std::sync::Mutex<(u64, Instant)>,
    /// Held while a table is made, so that an older one never replaces a newer one.
    publishing: Mutex<()>,
}

/// The nodes that the cluster consists of now.
#[derive(Debug)]
pub struct Members {
    /// RF.
    pub replication_factor: usize,
    /// The nodes in the order in which the routing table lists them.
    pub nodes: Vec<NodeRecord>,
    /// One client per node, by node id.
    pub clients: BTreeMap<String, NodeClient>,
}

impl Members {
    fn new(topology: Topology, config: &Config, term: &Term) -> Arc<Members> {
        let writer = keys::value_on_nodes(config, &keys::writer());
        let client = NodeClient::new("", config.master_key.expose()).writing_by(writer).within(term.clone());
        let clients = topology.nodes.iter().map(|node| (node.id.clone(), client.at(&node.url)));
        Arc::new(Members {
            replication_factor: topology.replication_factor,
            clients: clients.collect(),
            nodes: topology.nodes,
        })
    }

    /// What it is in the store, of a cluster of so many shards.
    pub fn topology(&self, shards: ShardId) -> Topology {
        Topology { shards, replication_factor: self.replication_factor, nodes: self.nodes.clone() }
    }

    /// One node.
    pub fn node(&self, id: &str) -> Option<&NodeRecord> {
        self.nodes.iter().find(|node| node.id == id)
    }
}

/// What our checks found of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeHealth {
    /// Whether it answers and is in step with the cluster.
    pub up: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Since when it is as it is.
    pub since: OffsetDateTime,
}

impl Cluster {
    /// Opens the cluster that the store holds, or begins a new one as configured.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn open(config: Config, store: Arc<dyn Store>) -> Result<Cluster, StoreError> {
        let topology = open_topology(&config, &*store).await?;
        if store.current_epoch().await?.is_none() {
            store.add_epoch(&first_epoch(&topology)).await?;
        }
        let filter_token = filter_token(&config);
        let envoys = Envoys::default();
        let lately = OffsetDateTime::now_utc() - Duration::from_millis(config.rebalance.envoy_grace_ms);
        envoys.expect(
            store.envoys().await?.into_iter().filter(|(_, seen)| *seen > lately).map(|(node, _)| node),
        );
        let nobody = BTreeSet::new();
        let table = build_table(&config, &*store, &topology.nodes, &filter_token, &nobody, now_ms()).await?;
        Ok(Cluster {
            members: watch::Sender::new(Members::new(topology, &config, &store.term())),
            health: RwLock::default(),
            filter_token,
            restricted: std::sync::Mutex::new((table.version, Instant::now())),
            table: watch::Sender::new(Arc::new(table)),
            index_locks: IndexLocks::default(),
            instance: Mutex::default(),
            aliases: Aliases::default(),
            gates: Gates::default(),
            adoptions: Adoptions::default(),
            rebalance: Rebalance::new(config.rebalance.documents_per_second),
            anti_entropy: AntiEntropy::default(),
            claims: Claims::default(),
            task_registered: Notify::new(),
            task_finished: broadcast::Sender::new(FINISHED_AT_ONCE),
            envoys,
            publishing: Mutex::default(),
            config,
            store,
        })
    }

    /// The nodes.
    pub fn members(&self) -> Arc<Members> {
        self.members.borrow().clone()
    }

    /// Tells of each change of the nodes.
    pub fn subscribe_members(&self) -> watch::Receiver<Arc<Members>> {
        self.members.subscribe()
    }

    /// A client of one node, if it is one of the cluster's.
    pub fn client(&self, node: &str) -> Option<NodeClient> {
        self.members.borrow().clients.get(node).cloned()
    }

    /// Makes the cluster consist of other nodes from now on.
    ///
    /// # Errors
    /// If the store fails; then all is as it was.
    pub async fn change_topology(
        &self,
        topology: Topology,
        rebalance: &RebalanceRecord,
    ) -> Result<(), StoreError> {
        self.store.change_topology(&topology, rebalance).await?;
        self.members.send_replace(Members::new(topology, &self.config, &self.store.term()));
        self.publish().await.map(drop)
    }

    /// The routing table as last published.
    pub fn table(&self) -> Arc<RoutingTable> {
        self.table.borrow().clone()
    }

    /// Tells of each new routing table.
    pub fn subscribe(&self) -> watch::Receiver<Arc<RoutingTable>> {
        self.table.subscribe()
    }

    /// Makes the routing table anew after something in the store or in the nodes' health has changed, and publishes
    /// it if it differs.
    ///
    /// # Errors
    /// If the store fails; the last table stays.
    pub async fn publish(&self) -> Result<Arc<RoutingTable>, StoreError> {
        let _one_at_a_time = self.publishing.lock().await;
        let last = self.table();
        let up = self.up().await;
        let same_version = build_table(
            &self.config,
            &*self.store,
            &self.members().nodes,
            &self.filter_token,
            &up,
            last.version,
        )
        .await?;
        if same_version == *last {
            return Ok(last);
        }
        let table = Arc::new(RoutingTable { version: last.version + 1, ..same_version });
        if (table.epoch, &table.stale) != (last.epoch, &last.stale) {
            *self.restricted() = (table.version, Instant::now());
        }
        self.table.send_replace(table.clone());
        tracing::debug!(version = table.version, epoch = table.epoch, "published a routing table");
        Ok(table)
    }

    /// Publishes, and waits until every connected Envoy runs with the table: for changes that must be in force before
    /// a client hears that they were made. An Envoy that does not answer is waited for a little while only.
    ///
    /// # Errors
    /// If the store fails; the last table stays.
    pub async fn publish_everywhere(&self) -> Result<(), StoreError> {
        let table = self.publish().await?;
        // Those that have just lost us, or that we have not seen since we started, may be back in a moment.
        let all_run_with_it = async {
            self.envoys.run_with(table.version).await;
            while !self.envoys.all_know_of(table.version, ENVOYS_RETURN) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(ENVOYS_WAIT, all_run_with_it).await.is_err() {
            tracing::warn!(
                version = table.version,
                "an Envoy did not take the routing table in {ENVOYS_WAIT:?}"
            );
        }
        Ok(())
    }

    /// Whether no Envoy that is connected, or was a moment ago, reads a copy that it must not read any more: one that
    /// missed a write, or that gets none since its node owns the shard no more. An Envoy that does not take the table is
    /// waited for a little while only.
    pub fn is_read_by_all_as_known(&self) -> bool {
        let (version, since) = *self.restricted();
        self.envoys.all_know_of(version, ENVOYS_RETURN) || since.elapsed() > RESTRICTION_WAIT
    }

    /// The routing table from which on no copy is read that is known to lack a write.
    pub fn restricting_table(&self) -> u64 {
        self.restricted().0
    }

    fn restricted(&self) -> std::sync::MutexGuard<'_, (u64, Instant)> {
        self.restricted.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The nodes that are up, with their clients.
    pub async fn up_clients(&self) -> Vec<(String, NodeClient)> {
        let up = self.up().await;
        let members = self.members();
        let clients = members.clients.iter().filter(|(node, _)| up.contains(*node));
        clients.map(|(node, client)| (node.clone(), client.clone())).collect()
    }

    /// The ids of the nodes that are up.
    pub async fn up(&self) -> BTreeSet<String> {
        let health = self.health.read().await;
        health.iter().filter(|(_, health)| health.up).map(|(id, _)| id.clone()).collect()
    }
}

/// The topology in the store; a new store gets it from the configuration. Where a node is may change at any time,
/// for all else the store is right.
async fn open_topology(config: &Config, store: &dyn Store) -> Result<Topology, StoreError> {
    let configured = Topology {
        shards: config.shards,
        replication_factor: config.replication_factor,
        nodes: config.nodes.iter().map(node_record).collect(),
    };
    let Some(stored) = store.topology().await? else {
        store.save_topology(&configured).await?;
        return Ok(configured);
    };
    let topology = merge(&stored, &configured);
    if topology != stored {
        store.save_topology(&topology).await?;
    }
    Ok(topology)
}

/// The stored topology, with the nodes where the configuration says they are. What it is made of is changed by the REST
/// API; the configuration only begins it.
fn merge(stored: &Topology, configured: &Topology) -> Topology {
    let differs = |what: String| {
        tracing::warn!(
            "configuration: {what}; the cluster stays as it is: change it with `miroir` or the REST API"
        );
    };
    if configured.shards != stored.shards {
        differs(format!("`shards` is {}, but this cluster has {}", configured.shards, stored.shards));
    }
    if configured.replication_factor != stored.replication_factor {
        let (new, old) = (configured.replication_factor, stored.replication_factor);
        differs(format!("`replication_factor` is {new}, but this cluster has {old}"));
    }
    for new in &configured.nodes {
        match stored.nodes.iter().find(|old| old.id == new.id) {
            None => differs(format!("`nodes` has {}, which this cluster has not", new.id)),
            Some(old) if (&new.group, new.weight) != (&old.group, old.weight) => differs(format!(
                "node {} has group {} and weight {}, but in this cluster it has group {} and weight {}",
                new.id, new.group, new.weight, old.group, old.weight
            )),
            Some(_) => {}
        }
    }
    let nodes = stored.nodes.iter().map(|old| match configured.nodes.iter().find(|new| new.id == old.id) {
        Some(new) => NodeRecord { url: new.url.clone(), cluster: new.cluster.clone(), ..old.clone() },
        None => old.clone(),
    });
    Topology { nodes: nodes.collect(), ..stored.clone() }
}

fn node_record(node: &NodeConfig) -> NodeRecord {
    NodeRecord {
        id: node.id.clone(),
        url: node.url.trim_end_matches('/').to_owned(),
        group: node.group.clone(),
        weight: node.weight,
        cluster: node.cluster.clone(),
        drains: false,
        replaced_by: None,
    }
}

fn first_epoch(topology: &Topology) -> Epoch {
    let mut groups: BTreeMap<&str, Vec<Candidate<'_>>> = BTreeMap::new();
    for node in &topology.nodes {
        groups.entry(&node.group).or_default().push(Candidate { id: &node.id, weight: node.weight });
    }
    let owners = groups
        .into_iter()
        .map(|(group, candidates)| {
            let placed = place(topology.shards, topology.replication_factor, &candidates, &[]);
            let ids =
                |owners: Vec<usize>| owners.into_iter().map(|owner| candidates[owner].id.into()).collect();
            (group.to_owned(), placed.into_iter().map(ids).collect())
        })
        .collect();
    Epoch { epoch: 1, owners, ..Epoch::default() }
}

async fn build_table(
    config: &Config,
    store: &dyn Store,
    nodes: &[NodeRecord],
    filter_token: &str,
    up: &BTreeSet<String>,
    version: u64,
) -> Result<RoutingTable, StoreError> {
    let lost = || StoreError::Backend("the placement is gone".into());
    let epoch = store.current_epoch().await?.ok_or_else(lost)?;
    Ok(routing::build(Inputs {
        version,
        nodes,
        epoch: &epoch,
        up,
        stale: &store.stale_replicas().await?,
        indexes: &store.indexes().await?,
        aliases: &store.aliases().await?,
        rules: &store.search_rules().await?,
        filter_token,
        node_key: keys::value_on_nodes(config, &keys::reader()),
        policy: config.policy(),
    }))
}

/// The same after a restart, since Envoys go on with the table they have.
fn filter_token(config: &Config) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(config.admin_key.expose().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(b"miroir filter token\0");
    mac.update(config.master_key.expose().as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// Where versions begin: above all that an earlier run can have reached by adding one at a time.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn a_new_cluster_places_every_shard() {
        let cluster = testing::open(json!({}), &testing::store()).await.unwrap();
        let table = cluster.table();
        assert_eq!((table.epoch, table.shards, table.groups.len()), (1, 8, 1));
        assert!(table.groups[0].owners.iter().all(|owners| owners.len() == 2));
        RoutingTable::from_json(&serde_json::to_vec(&*table).unwrap()).unwrap();
    }

    #[tokio::test]
    async fn every_group_holds_every_shard() {
        let nodes = json!([
            {"id": "a", "url": "http://a", "group": "left"},
            {"id": "b", "url": "http://b", "group": "right"},
        ]);
        let changes = json!({"nodes": nodes, "replication_factor": 1});
        let table = testing::open(changes, &testing::store()).await.unwrap().table();
        let groups: Vec<_> =
            table.groups.iter().map(|group| (group.id.as_str(), &group.owners[3][..])).collect();
        assert_eq!(groups, [("left", &[0][..]), ("right", &[1])]);
    }

    #[tokio::test]
    async fn after_a_restart_all_is_as_before_and_versions_go_on() {
        let store = testing::store();
        let before = testing::open(json!({}), &store).await.unwrap();
        let after = testing::open(json!({}), &store).await.unwrap();
        assert_eq!(after.filter_token, before.filter_token);
        assert_eq!(after.table().groups, before.table().groups);
        assert!(after.table().version >= before.table().version);
    }

    #[tokio::test]
    async fn a_table_is_published_only_if_it_differs() {
        let cluster = testing::open(json!({}), &testing::store()).await.unwrap();
        let mut tables = cluster.subscribe();
        let first = tables.borrow_and_update().clone();
        assert_eq!(cluster.publish().await.unwrap(), first);
        assert!(!tables.has_changed().unwrap());

        cluster.store.mark_stale("b", &[1, 2], 0).await.unwrap();
        let second = cluster.publish().await.unwrap();
        assert!(tables.has_changed().unwrap());
        assert_eq!(second.version, first.version + 1);
        assert!(second.is_stale(1, 2) && !second.is_stale(0, 2));
    }

    #[tokio::test]
    async fn an_envoy_that_is_expected_back_may_read_what_it_must_not() {
        let cluster = testing::open(json!({}), &testing::store()).await.unwrap();
        assert!(cluster.is_read_by_all_as_known());
        cluster.envoys.expect(["an Envoy".to_owned()]);
        assert!(!cluster.is_read_by_all_as_known());
    }

    #[tokio::test]
    async fn where_a_node_is_may_change() {
        let store = testing::store();
        testing::open(json!({}), &store).await.unwrap();
        let moved = json!({"nodes": [
            {"id": "c", "url": "https://node-c"},
            {"id": "b", "url": "http://elsewhere:7700/", "cluster": "mesh-b"},
            {"id": "a", "url": "http://127.0.0.1:1"},
        ]});
        let table = testing::open(moved, &store).await.unwrap().table();
        let nodes: Vec<_> =
            table.nodes.iter().map(|node| (node.cluster.as_str(), node.authority.as_str())).collect();
        assert_eq!(
            nodes,
            [("miroir-node-a", "127.0.0.1:1"), ("mesh-b", "elsewhere:7700"), ("miroir-node-c", "node-c"),]
        );
    }

    #[tokio::test]
    async fn what_the_configuration_says_of_a_cluster_that_there_is_does_not_change_it() {
        let store = testing::store();
        let before = testing::open(json!({}), &store).await.unwrap();
        let nodes = json!([{"id": "b", "url": "http://b"}, {"id": "c", "url": "http://c", "weight": 2}, {"id": "d", "url": "http://d"}]);
        let after = testing::open(json!({"nodes": nodes, "replication_factor": 1, "shards": 16}), &store)
            .await
            .unwrap();
        let ids = |cluster: &Cluster| -> Vec<(String, f64)> {
            cluster.members().nodes.iter().map(|node| (node.id.clone(), node.weight)).collect()
        };
        assert_eq!(ids(&after), ids(&before));
        assert_eq!(after.members().replication_factor, 2);
        assert_eq!(after.table().groups, before.table().groups);
    }
}
