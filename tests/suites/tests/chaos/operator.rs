//! Someone who changes the topology while everything else goes on.

use std::collections::BTreeMap;

use anyhow::Result;
use miroir_harness::{Answer, Cluster};
use serde_json::{Value, json};

use crate::admin::{Admin, nodes};
use crate::schedule::{Change, Pick};

/// More nodes than this are too many for a small machine.
const MOST_NODES: usize = 7;

/// The operator, and what the cluster is made of by now.
pub struct Operator {
    admin: Admin,
    /// Nodes of the harness that are in the topology.
    members: Vec<usize>,
    /// Those that are to be removed once they own nothing.
    draining: Vec<usize>,
    groups_made: usize,
    is_paused: bool,
    has_asked_again: bool,
}

impl Operator {
    pub fn new(cluster: &Cluster, admin: Admin, groups: usize) -> Operator {
        let members = (0..cluster.nodes().len()).collect();
        Operator {
            admin,
            members,
            draining: Vec::new(),
            groups_made: groups,
            is_paused: false,
            has_asked_again: false,
        }
    }

    pub fn members(&self) -> &[usize] {
        &self.members
    }

    /// Makes a change; says which, and what was answered.
    pub async fn change(&mut self, cluster: &mut Cluster, change: Change) -> Result<String> {
        if std::mem::take(&mut self.is_paused) {
            let _away = self.post("rebalance/resume", json!({})).await;
        }
        let Ok(topology) = self.admin.topology().await else { return Ok("no change: nobody answers".into()) };
        let groups = groups(&topology);
        let copies = topology["replicationFactor"].as_u64().unwrap_or(1) as usize;
        let can_grow = |by: usize| self.members.len() + by <= MOST_NODES;
        let of_large_group = |pick: Pick| {
            let removable = self.members.iter().filter(|member| {
                let id = cluster.node(**member).id();
                let group = groups.values().find(|ids| ids.iter().any(|other| other == id));
                let leaving = self.draining.iter().map(|member| cluster.node(*member).id());
                let leaving =
                    leaving.filter(|id| group.is_some_and(|ids| ids.iter().any(|other| other == id)));
                !self.draining.contains(member)
                    && group.is_some_and(|ids| ids.len() - leaving.count() > copies)
            });
            let removable: Vec<usize> = removable.copied().collect();
            (!removable.is_empty()).then(|| removable[pick % removable.len()])
        };
        let answer = match change {
            Change::AddNode(pick) if can_grow(1) => {
                let group = groups.keys().nth(pick % groups.len().max(1)).cloned();
                let index = cluster.spawn_node().await?;
                let mut node = described(cluster, index);
                node["group"] = json!(group);
                let answer = self.post("nodes", node).await;
                self.join(cluster, &[index], &answer)?;
                answer
            }
            Change::DrainNode(pick) => {
                let Some(index) = of_large_group(pick) else { return Ok("drain: no node to spare".into()) };
                let answer = self.post(&format!("nodes/{}/drain", cluster.node(index).id()), json!({})).await;
                if !is_refused(&answer) {
                    self.draining.push(index);
                }
                answer
            }
            Change::ReplaceNode(pick) if can_grow(1) => {
                let old = cluster.node(self.members[pick % self.members.len()]).id().to_owned();
                let index = cluster.spawn_node().await?;
                let answer = self.post(&format!("nodes/{old}/replace"), described(cluster, index)).await;
                self.join(cluster, &[index], &answer)?;
                answer
            }
            Change::LoseNode(pick) => {
                let Some(index) = of_large_group(pick) else { return Ok("lose: no node to spare".into()) };
                cluster.stop_node(index);
                let path = format!("/_miroir/nodes/{}?force=true", cluster.node(index).id());
                let answer = self.admin.delete(&path).await;
                match answer.as_ref().is_ok_and(|answer| answer.status < 400) {
                    true => self.forget(cluster, index)?,
                    false => cluster.start_node(index).await?,
                }
                answer
            }
            Change::AddGroup if groups.len() == 1 && can_grow(copies) => {
                let mut new = Vec::new();
                for _ in 0..copies {
                    new.push(cluster.spawn_node().await?);
                }
                let described: Vec<Value> = new.iter().map(|index| described(cluster, *index)).collect();
                let id = format!("group-{}", self.groups_made);
                self.groups_made += 1;
                let answer = self.post("groups", json!({ "id": id, "nodes": described })).await;
                self.join(cluster, &new, &answer)?;
                answer
            }
            Change::RemoveGroup(pick) if groups.len() > 1 => {
                let id = groups.keys().nth(pick % groups.len()).cloned().unwrap_or_default();
                let answer = self.admin.delete(&format!("/_miroir/groups/{id}")).await;
                if !is_refused(&answer) {
                    let of_group =
                        |member: &usize| groups[&id].iter().any(|node| node == cluster.node(*member).id());
                    let gone: Vec<usize> = self.members.iter().copied().filter(of_group).collect();
                    self.draining.retain(|member| !gone.contains(member));
                    self.draining.extend(gone);
                }
                answer
            }
            Change::ReplicationFactor(factor) => {
                self.admin.patch("/_miroir/topology", &json!({ "replicationFactor": factor })).await
            }
            Change::Shards(shards) => {
                self.admin.patch("/_miroir/topology", &json!({ "shards": shards })).await
            }
            Change::Weight(pick, weight) => {
                let id = cluster.node(self.members[pick % self.members.len()]).id();
                self.admin.patch(&format!("/_miroir/nodes/{id}"), &json!({ "weight": weight })).await
            }
            Change::Pause => {
                self.is_paused = true;
                self.post("rebalance/pause", json!({})).await
            }
            Change::Cancel => self.post("rebalance/cancel", json!({})).await,
            Change::Compare(repair) => self.post("anti-entropy", json!({ "repair": repair })).await,
            _ => return Ok(format!("{}: not with this topology", name(change))),
        };
        Ok(match answer {
            Ok(answer) => format!(
                "{}: {}{}",
                name(change),
                answer.status,
                answer.code().map(|code| format!(" {code}")).unwrap_or_default()
            ),
            Err(_) => format!("{}: no answer", name(change)),
        })
    }

    async fn post(&self, path: &str, body: Value) -> Result<Answer> {
        self.admin.post(&format!("/_miroir/{path}"), &body).await
    }

    /// New nodes whose joining was refused are stopped. Without an answer the topology tells later.
    fn join(&mut self, cluster: &mut Cluster, new: &[usize], answer: &Result<Answer>) -> Result<()> {
        for index in new {
            match is_refused(answer) {
                true => cluster.wipe_node(*index)?,
                false => self.members.push(*index),
            }
        }
        Ok(())
    }

    /// Removes nodes that are empty, and stops those that are not in the topology any more.
    pub async fn tidy_up(&mut self, cluster: &mut Cluster) -> Result<()> {
        let Ok(topology) = self.admin.topology().await else { return Ok(()) };
        for index in self.draining.clone() {
            let id = cluster.node(index).id();
            let is_empty = nodes(&topology).any(|node| node["id"] == id && node["shards"] == 0);
            if is_empty {
                // Refused while it is cleaned up.
                let _refused_or_away = self.admin.delete(&format!("/_miroir/nodes/{id}")).await;
            }
        }
        let Ok(topology) = self.admin.topology().await else { return Ok(()) };
        for index in self.members.clone() {
            let id = cluster.node(index).id();
            if nodes(&topology).all(|node| node["id"] != id) {
                self.forget(cluster, index)?;
            }
        }
        Ok(())
    }

    /// Stops a node for good.
    fn forget(&mut self, cluster: &mut Cluster, index: usize) -> Result<()> {
        self.members.retain(|member| *member != index);
        self.draining.retain(|member| *member != index);
        cluster.wipe_node(index)
    }

    /// Ends what was begun: resumes what is paused, asks again for what was canceled or not answered, and tells which
    /// nodes are still to be removed.
    pub async fn wind_up(&mut self, cluster: &mut Cluster) -> Result<Vec<String>> {
        if self.admin.get("/_miroir/rebalance").await?["state"] == "paused" {
            self.post("rebalance/resume", json!({})).await?;
        }
        if !self.has_asked_again {
            for index in self.draining.clone() {
                let answer =
                    self.post(&format!("nodes/{}/drain", cluster.node(index).id()), json!({})).await?;
                if answer.status >= 400 {
                    // The topology has come to be one that needs it.
                    self.draining.retain(|member| *member != index);
                }
            }
            self.post("rebalance", json!({})).await?;
            self.has_asked_again = true;
        }
        self.tidy_up(cluster).await?;
        Ok(self
            .draining
            .iter()
            .map(|index| format!("{} is to be removed", cluster.node(*index).id()))
            .collect())
    }
}

fn described(cluster: &Cluster, index: usize) -> Value {
    let node = cluster.node(index);
    json!({ "id": node.id(), "url": node.topology_url() })
}

/// Without an answer it may have been done.
fn is_refused(answer: &Result<Answer>) -> bool {
    answer.as_ref().is_ok_and(|answer| answer.status >= 400)
}

fn groups(topology: &Value) -> BTreeMap<String, Vec<String>> {
    let groups = topology["groups"].as_object().into_iter().flatten();
    let ids = |ids: &Value| {
        ids.as_array().into_iter().flatten().filter_map(|id| Some(id.as_str()?.to_owned())).collect()
    };
    groups.map(|(group, nodes)| (group.clone(), ids(nodes))).collect()
}

fn name(change: Change) -> &'static str {
    match change {
        Change::AddNode(_) => "add node",
        Change::DrainNode(_) => "drain node",
        Change::ReplaceNode(_) => "replace node",
        Change::LoseNode(_) => "lose node",
        Change::AddGroup => "add group",
        Change::RemoveGroup(_) => "remove group",
        Change::ReplicationFactor(_) => "replication factor",
        Change::Shards(8) => "8 shards",
        Change::Shards(16) => "16 shards",
        Change::Shards(_) => "32 shards",
        Change::Weight(..) => "weight",
        Change::Pause => "pause",
        Change::Cancel => "cancel",
        Change::Compare(true) => "compare and repair",
        Change::Compare(false) => "compare",
    }
}
