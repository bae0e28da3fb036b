//! Changes of the topology, and what each would move.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use miroir_core::error::{ApiError, ErrorType};
use miroir_core::rebalance::{Epoch, Owners, rolled_back};
use miroir_core::shard::ShardId;
use serde::Deserialize;
use time::OffsetDateTime;
use tracing::info;
use utoipa::ToSchema;

use super::target::{difference, target};
use crate::cluster::Cluster;
use crate::config;
use crate::node_client::{NodeClient, NodeError};
use crate::store::{NodeRecord, RebalanceRecord, Resharding, StoreError, Topology};

/// How long a node that is added may take to say that it is there.
const PROBE: Duration = Duration::from_secs(5);

/// A node that is to be added.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewNode {
    /// Its name: letters, digits, `-` and `_`.
    pub id: String,
    /// Where it is: scheme, host and port.
    pub url: String,
    /// Its replica group; that of the other nodes if there is but one.
    #[serde(default)]
    pub group: Option<String>,
    /// Its share of the shards relative to the other nodes of its group; 1 if not given.
    #[serde(default)]
    pub weight: Option<f64>,
    /// An Envoy cluster that the mesh already has for it.
    #[serde(default)]
    pub cluster: Option<String>,
}

/// What is to become of the topology.
#[derive(Clone, Debug)]
pub enum Change {
    /// More nodes, in groups that there are.
    Add(NewNode),
    /// One more replica group.
    AddGroup(String, Vec<NewNode>),
    /// A replica group less.
    RemoveGroup(String),
    #[allow(missing_docs)]
    /// Another weight or URL of a node.
    Update { id: String, weight: Option<f64>, url: Option<String> },
    /// All that a node holds goes to others.
    Drain(String),
    #[allow(missing_docs)]
    /// A node less, at once.
    Remove { id: String, force: bool },
    #[allow(missing_docs)]
    /// Another node in the place of one.
    Replace { id: String, by: NewNode },
    /// Another number of copies.
    ReplicationFactor(usize),
    /// As it is: only the placement is made anew.
    Place,
}

/// Why a change was refused.
pub type ChangeError = ApiError;

/// What a change comes to.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The topology then.
    pub topology: Topology,
    /// The placement then.
    pub target: Owners,
    /// The epoch from which it starts.
    pub now: Epoch,
}

impl Plan {
    /// In how many shards of how many groups owners differ.
    pub fn shards(&self) -> usize {
        difference(&self.now.owners, &self.target)
    }
}

/// What a change would come to. Nothing is done.
///
/// # Errors
/// If it is one that can't be made, with what to do instead.
pub async fn plan(cluster: &Cluster, change: &Change) -> Result<Plan, ChangeError> {
    let now = cluster.store.current_epoch().await.map_err(internal)?.unwrap_or_default();
    let before = cluster.members().topology(now.shards());
    let topology = changed(before, change)?;
    check(&topology)?;
    if let Change::Remove { id, force } = change {
        check_removal(cluster, &now, id, *force).await?;
    }
    let target = target(&topology, &now);
    Ok(Plan { topology, target, now })
}

/// Makes a change, and has the rebalance begin.
///
/// # Errors
/// If it is one that can't be made, with what to do instead; then nothing is done.
pub async fn change(cluster: &Cluster, change: &Change) -> Result<Plan, ChangeError> {
    let _one_at_a_time = cluster.rebalance.changing.lock().await;
    let plan = plan(cluster, change).await?;
    for node in added(change) {
        check_node(cluster, node).await?;
    }
    let before = cluster.store.rebalance().await.map_err(internal)?;
    let rebalance = RebalanceRecord {
        target: plan.target.clone(),
        resharding: before.and_then(|before| before.resharding),
        is_paused: false,
        is_canceled: false,
        shards: plan.shards(),
        since: OffsetDateTime::now_utc(),
    };
    let changed = cluster.change_topology(plan.topology.clone(), &rebalance).await;
    changed.map_err(|error| match error {
        StoreError::Conflict(reason) => refused(409, "miroir_last_copy", format!("Not now: {reason}.")),
        error => internal(error),
    })?;
    cluster.rebalance.work().begin_anew();
    cluster.rebalance.wake();
    info!(?change, shards = rebalance.shards, "the topology has changed");
    Ok(plan)
}

/// Pauses the rebalance, or lets it go on.
///
/// # Errors
/// If the store fails.
pub async fn pause(cluster: &Cluster, is_paused: bool) -> Result<(), StoreError> {
    let _one_at_a_time = cluster.rebalance.changing.lock().await;
    if let Some(rebalance) = cluster.store.rebalance().await? {
        cluster.store.save_rebalance(&RebalanceRecord { is_paused, ..rebalance }).await?;
    }
    cluster.rebalance.wake();
    Ok(())
}

/// Has the rebalance go back where it is not cut over yet. What was cut over stays where it is.
///
/// # Errors
/// If the store fails.
pub async fn cancel(cluster: &Cluster) -> Result<(), StoreError> {
    let _one_at_a_time = cluster.rebalance.changing.lock().await;
    let now = cluster.store.current_epoch().await?.unwrap_or_default();
    if let Some(rebalance) = cluster.store.rebalance().await? {
        let members = cluster.members().clients.keys().cloned().collect();
        let target = rolled_back(&now, &members);
        let shards = difference(&now.owners, &target);
        let back = |resharding: Resharding| Resharding { to: resharding.from, ..resharding };
        let canceled = RebalanceRecord {
            target,
            shards,
            is_canceled: true,
            is_paused: false,
            resharding: rebalance.resharding.map(back),
            since: rebalance.since,
        };
        cluster.store.save_rebalance(&canceled).await?;
    }
    cluster.rebalance.work().begin_anew();
    cluster.rebalance.wake();
    Ok(())
}

fn added(change: &Change) -> &[NewNode] {
    match change {
        Change::Add(node) | Change::Replace { by: node, .. } => std::slice::from_ref(node),
        Change::AddGroup(_, nodes) => nodes,
        _ => &[],
    }
}

fn changed(mut topology: Topology, change: &Change) -> Result<Topology, ChangeError> {
    match change {
        Change::Add(node) => {
            let group = match &node.group {
                Some(group) => group.clone(),
                None => only_group(&topology)?,
            };
            topology.nodes.push(record(node, group, 1.0));
        }
        Change::AddGroup(group, nodes) => {
            if topology.nodes.iter().any(|node| node.group == *group) {
                let message =
                    format!("There is a group {group} already: add nodes to it, or name it otherwise.");
                return Err(refused(409, "miroir_duplicate_group", message));
            }
            if let Some(node) =
                nodes.iter().find(|node| node.group.as_ref().is_some_and(|other| other != group))
            {
                let message =
                    format!("Node {} names another group than the {group} that it is added with.", node.id);
                return Err(refused(400, "miroir_invalid_topology", message));
            }
            topology.nodes.extend(nodes.iter().map(|node| record(node, group.clone(), 1.0)));
        }
        Change::RemoveGroup(group) => {
            if !topology.nodes.iter().any(|node| node.group == *group) {
                let message =
                    format!("There is no group {group}: `GET /_miroir/topology` names those that there are.");
                return Err(refused(404, "miroir_unknown_group", message));
            }
            topology.nodes.iter_mut().filter(|node| node.group == *group).for_each(|node| node.drains = true);
            if topology.nodes.iter().all(|node| node.group == *group) {
                let message =
                    format!("{group} is the only group: without it nothing would hold the documents.");
                return Err(refused(409, "miroir_last_copy", message));
            }
        }
        Change::Update { id, weight, url } => {
            let node = node(&mut topology, id)?;
            node.weight = weight.unwrap_or(node.weight);
            if let Some(url) = url {
                node.url = url.trim_end_matches('/').to_owned();
            }
        }
        Change::Drain(id) => node(&mut topology, id)?.drains = true,
        Change::Remove { id, .. } => {
            node(&mut topology, id)?;
            topology.nodes.retain(|node| node.id != *id);
        }
        Change::Replace { id, by } => {
            let old = node(&mut topology, id)?;
            if let Some(other) = &old.replaced_by {
                let message = format!("Node {id} is being replaced by {other} already.");
                return Err(refused(409, "miroir_invalid_topology", message));
            }
            old.replaced_by = Some(by.id.clone());
            let (group, weight) = (old.group.clone(), old.weight);
            if by.group.as_ref().is_some_and(|other| *other != group) {
                let message =
                    format!("Node {} takes the place of one of group {group}: leave its group out.", by.id);
                return Err(refused(400, "miroir_invalid_topology", message));
            }
            topology.nodes.push(record(by, group, weight));
        }
        Change::ReplicationFactor(copies) => topology.replication_factor = *copies,
        Change::Place => {}
    }
    Ok(topology)
}

fn only_group(topology: &Topology) -> Result<String, ChangeError> {
    let groups: BTreeSet<&String> = topology.nodes.iter().map(|node| &node.group).collect();
    match groups.into_iter().collect::<Vec<_>>()[..] {
        [group] => Ok(group.clone()),
        _ => Err(refused(
            400,
            "miroir_invalid_topology",
            "There are several groups: say which one the node is for.",
        )),
    }
}

fn record(node: &NewNode, group: String, weight: f64) -> NodeRecord {
    NodeRecord {
        id: node.id.clone(),
        url: node.url.trim_end_matches('/').to_owned(),
        group,
        weight: node.weight.unwrap_or(weight),
        cluster: node.cluster.clone(),
        drains: false,
        replaced_by: None,
    }
}

fn node<'t>(topology: &'t mut Topology, id: &str) -> Result<&'t mut NodeRecord, ChangeError> {
    topology.nodes.iter_mut().find(|node| node.id == id).ok_or_else(|| {
        let message = format!("There is no node {id}: `GET /_miroir/topology` names those that there are.");
        refused(404, "miroir_unknown_node", message)
    })
}

/// What must hold of every topology.
fn check(topology: &Topology) -> Result<(), ChangeError> {
    let mut ids = BTreeSet::new();
    let mut urls = BTreeSet::new();
    let mut clusters = BTreeSet::new();
    for node in &topology.nodes {
        config::check_node(&node.id, &node.url, &node.group, node.weight)
            .map_err(|reason| refused(400, "miroir_invalid_topology", reason))?;
        let duplicate = |what: String| Err(refused(409, "miroir_duplicate_node", what));
        if !ids.insert(&node.id) {
            return duplicate(format!("There is a node {} already.", node.id));
        }
        if !urls.insert(&node.url) {
            return duplicate(format!("{} is the URL of another node already.", node.url));
        }
        if let Some(cluster) = &node.cluster
            && !clusters.insert(cluster)
        {
            return duplicate(format!("{cluster} is the Envoy cluster of another node already."));
        }
    }
    if topology.replication_factor == 0 {
        return Err(refused(400, "miroir_invalid_topology", "The replication factor must be at least 1."));
    }
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for node in &topology.nodes {
        *groups.entry(&node.group).or_default() += usize::from(!node.drains && node.replaced_by.is_none());
    }
    let stays = |count: &usize| *count > 0;
    if !groups.values().any(stays) {
        return Err(refused(409, "miroir_last_copy", "No node would be left to hold the documents."));
    }
    // A group whose nodes all go is one that is removed.
    match groups.iter().find(|(_, count)| stays(count) && **count < topology.replication_factor) {
        None => Ok(()),
        Some((group, count)) => {
            let copies = topology.replication_factor;
            let message = format!(
                "Group {group} would have {count} nodes for {copies} copies of each shard: add nodes first, or lower \
                 the replication factor."
            );
            Err(refused(409, "miroir_too_few_nodes", message))
        }
    }
}

/// A node goes when it holds nothing that is needed.
async fn check_removal(cluster: &Cluster, now: &Epoch, id: &str, force: bool) -> Result<(), ChangeError> {
    let owned = now.owned_by(id);
    if owned.is_empty() {
        return Ok(());
    }
    if !force {
        let message = format!(
            "Node {id} owns {} shards: drain it first, or remove it with `force` if it is lost for good.",
            owned.len()
        );
        return Err(refused(409, "miroir_node_owns_shards", message));
    }
    let stale = cluster.store.stale_replicas().await.map_err(internal)?;
    let is_last = |shard: &&ShardId| now.clean_readers_of(**shard, &stale).all(|reader| reader == id);
    let last: Vec<String> = owned.iter().filter(is_last).map(ShardId::to_string).collect();
    if last.is_empty() {
        return Ok(());
    }
    let message = format!(
        "Node {id} has the only up-to-date copy of shards {}: bring it back until they are copied.",
        last.join(", ")
    );
    Err(refused(409, "miroir_last_copy", message))
}

/// Whether a node can be used: it answers, takes the master key, is of the version of the others, and holds no index that
/// would be mixed up with the cluster's.
async fn check_node(cluster: &Cluster, node: &NewNode) -> Result<(), ChangeError> {
    let client = NodeClient::new(&node.url, cluster.config.master_key.expose());
    let probe = async {
        client.health().await?;
        client.newest_task().await?;
        Ok((client.version().await?, client.index_uids().await?))
    };
    let unreachable = |reason: String| {
        let message = format!("Node {} can't be added: {reason}", node.id);
        refused(409, "miroir_node_unreachable", message)
    };
    let (version, uids) = match tokio::time::timeout(PROBE, probe).await {
        Err(_) => return Err(unreachable(format!("{} did not answer within {PROBE:?}.", node.url))),
        Ok(Err(NodeError::Refused { status: 401 | 403, .. })) => {
            let message =
                format!("Node {} does not take the cluster's master key: start it with that.", node.id);
            return Err(refused(409, "miroir_wrong_master_key", message));
        }
        Ok(Err(error)) => return Err(unreachable(format!("{error}."))),
        Ok(Ok(found)) => found,
    };
    for (other, client) in cluster.up_clients().await {
        let Ok(wanted) = client.version().await else { continue };
        if minor(&wanted) != minor(&version) {
            let message = format!(
                "Node {} runs Meilisearch {version}, {other} runs {wanted}: all nodes must be of the same minor version.",
                node.id
            );
            return Err(refused(409, "miroir_incompatible_version", message));
        }
        break;
    }
    let indexes = cluster.store.indexes().await.map_err(internal)?;
    if let Some(uid) = uids.iter().find(|uid| indexes.contains_key(*uid)) {
        let message = format!(
            "Node {} holds an index `{uid}` as the cluster does: delete it there, since the two would be mixed up.",
            node.id
        );
        return Err(refused(409, "miroir_node_not_empty", message));
    }
    Ok(())
}

/// The part of a version that says whether nodes go together.
fn minor(version: &str) -> &str {
    let mut dots = version.match_indices('.');
    dots.nth(1).map_or(version, |(end, _)| version.get(..end).unwrap_or(version))
}

fn refused(status: u16, code: &'static str, message: impl Into<String>) -> ChangeError {
    ApiError::new(status, code, ErrorType::InvalidRequest, message)
}

fn internal(error: StoreError) -> ChangeError {
    ApiError::new(500, "internal", ErrorType::Internal, error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    fn new_node(id: &str, url: &str) -> NewNode {
        NewNode { id: id.into(), url: url.into(), group: None, weight: None, cluster: None }
    }

    async fn cluster() -> std::sync::Arc<Cluster> {
        testing::open(json!({}), &testing::store()).await.unwrap()
    }

    #[tokio::test]
    async fn impossible_changes_are_refused_with_what_to_do() {
        let cluster = cluster().await;
        let id = |id: &str| id.to_owned();
        for (change, code) in [
            (Change::Add(new_node("a", "http://other")), "miroir_duplicate_node"),
            (Change::Add(new_node("d", "http://127.0.0.1:1")), "miroir_duplicate_node"),
            (Change::Add(new_node("d d", "http://d")), "miroir_invalid_topology"),
            (Change::Add(new_node("d", "nonsense")), "miroir_invalid_topology"),
            (Change::Drain(id("x")), "miroir_unknown_node"),
            (Change::Remove { id: id("a"), force: false }, "miroir_node_owns_shards"),
            (Change::RemoveGroup(id("default")), "miroir_last_copy"),
            (Change::RemoveGroup(id("x")), "miroir_unknown_group"),
            (Change::AddGroup(id("g"), vec![new_node("d", "http://d")]), "miroir_too_few_nodes"),
            (Change::ReplicationFactor(4), "miroir_too_few_nodes"),
            (Change::ReplicationFactor(0), "miroir_invalid_topology"),
            (Change::Update { id: id("a"), weight: Some(-1.0), url: None }, "miroir_invalid_topology"),
        ] {
            let refusal = plan(&cluster, &change).await.unwrap_err();
            assert_eq!(refusal.code, code, "{change:?}: {}", refusal.message);
        }
    }

    #[tokio::test]
    async fn the_last_copy_of_a_shard_is_not_removed() {
        let cluster = cluster().await;
        let removal = Change::Remove { id: "a".into(), force: true };
        plan(&cluster, &removal).await.unwrap();
        let owned: Vec<ShardId> = (0..8).collect();
        cluster.store.mark_stale("b", &owned, 0).await.unwrap();
        cluster.store.mark_stale("c", &owned, 0).await.unwrap();
        assert_eq!(plan(&cluster, &removal).await.unwrap_err().code, "miroir_last_copy");
    }

    #[tokio::test]
    async fn a_node_that_takes_anothers_place_gets_its_shards_and_no_others() {
        let cluster = cluster().await;
        let change = Change::Replace { id: "b".into(), by: new_node("d", "http://d") };
        let plan = plan(&cluster, &change).await.unwrap();
        for (before, after) in plan.now.owners["default"].iter().zip(&plan.target["default"]) {
            let renamed: BTreeSet<&str> = before.iter().map(|id| if id == "b" { "d" } else { id }).collect();
            assert_eq!(after.iter().map(String::as_str).collect::<BTreeSet<_>>(), renamed);
        }
    }

    #[tokio::test]
    async fn a_node_that_does_not_answer_is_not_added() {
        let cluster = cluster().await;
        let refusal = change(&cluster, &Change::Add(new_node("d", "http://127.0.0.1:2"))).await.unwrap_err();
        assert_eq!(refusal.code, "miroir_node_unreachable", "{}", refusal.message);
        assert_eq!(cluster.members().nodes.len(), 3);
    }

    #[test]
    fn versions_go_together_by_their_first_two_numbers() {
        assert_eq!((minor("1.50.0"), minor("1.50"), minor("x")), ("1.50", "1.50", "x"));
    }
}
