//! Makes things go wrong with a cluster, and right again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use miroir_core::shard::shard_of;
use miroir_core::tag::{TAG_FIELD, encode};
use miroir_harness::{Cluster, Way, wait_until};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::admin::Admin;
use crate::compare;
use crate::documents::{Key, whole};
use crate::operator::Operator;
use crate::run::{INDEX, Run};
use crate::schedule::{Change, Fault, Pick, Step};
use crate::settle::SHARDS;

const PATIENCE: Duration = Duration::from_secs(60);
const ORDER_PATIENCE: Duration = Duration::from_secs(2);

/// The one who does it.
pub struct Saboteur {
    pub cluster: Cluster,
    pub admin: Admin,
    pub operator: Operator,
    run: Arc<Run>,
}

/// A fault and the node or Envoy that it struck.
#[derive(Clone, Copy, Debug)]
struct Struck {
    fault: Fault,
    index: usize,
}

impl Saboteur {
    pub fn new(cluster: Cluster, groups: usize, run: Arc<Run>) -> Saboteur {
        let admin = Admin::new(&cluster);
        let operator = Operator::new(&cluster, admin.clone(), groups);
        Saboteur { cluster, admin, operator, run }
    }

    /// Carries a step out, and heals what it did.
    pub async fn take(&mut self, step: &Step) -> Result<()> {
        self.operator.tidy_up(&mut self.cluster).await?;
        let mut struck = Vec::new();
        let change = match step.change {
            Some(change) => self.change(change).await?,
            None => String::new(),
        };
        for fault in &step.faults {
            if let Some(one) = self.strike(*fault).await? {
                self.run.tally().count("faults", name(*fault));
                struck.push(one);
            }
        }
        let told: Vec<String> = struck.iter().map(|one| self.tell(one)).collect();
        println!("{:9.3}  {change}{} for {:?}", self.run.now() as f64 / 1e6, told.join(", "), step.lasts);
        tokio::time::sleep(step.lasts).await;
        self.heal(&struck).await?;
        tokio::time::sleep(step.then).await;
        Ok(())
    }

    /// Does behind everybody's back what the checker must see: one document of writer 0 is lost on all nodes but one, which
    /// may not own it.
    pub async fn rig(&self) -> Result<()> {
        let documents = format!("/indexes/{INDEX}/documents");
        let key = Key { writer: 0, number: 0 };
        let mut document = whole(key, 1);
        document[TAG_FIELD] = encode(shard_of(&key.id(), SHARDS)).into();
        for (place, index) in self.operator.members().iter().enumerate() {
            let node = self.cluster.node(*index).client();
            let answer = match place {
                0 => node.post(&documents, &[&document]).await?,
                _ => node.delete(&format!("{documents}/{}", key.id())).await?,
            };
            node.wait_for_success(&answer).await?;
        }
        Ok(())
    }

    async fn change(&mut self, change: Change) -> Result<String> {
        if let Change::Compare(_) = change {
            compare::count(&self.admin, &self.run).await;
        }
        let told = self.operator.change(&mut self.cluster, change).await?;
        self.run.tally().count("changes", told.clone());
        Ok(format!("{told}; "))
    }

    fn node(&self, pick: Pick) -> usize {
        let members = self.operator.members();
        members[pick % members.len()]
    }

    async fn strike(&mut self, fault: Fault) -> Result<Option<Struck>> {
        let index = match fault {
            Fault::KillControlPlane => 0,
            Fault::KillEnvoy(pick) | Fault::CutEnvoy(pick) | Fault::CutXds(pick) => {
                pick % self.cluster.envoys()
            }
            Fault::KillNode(pick)
            | Fault::WipeNode(pick)
            | Fault::PauseNode(pick)
            | Fault::CutNode(pick)
            | Fault::StallNode(pick)
            | Fault::SlowNode(pick, _)
            | Fault::FailTasks(pick, _)
            | Fault::RefuseWrites(pick)
            | Fault::FullDisk(pick) => self.node(pick),
        };
        match fault {
            Fault::KillNode(_) => self.cluster.stop_node(index),
            Fault::WipeNode(_) => {
                // What only one node has is lost with it, whoever looks after it: what it took by now counts.
                self.cluster.stop_node(index);
                let id = self.cluster.node(index).id();
                if !self.admin.can_be_lost(id).await.unwrap_or(false) {
                    return Ok(Some(Struck { fault: Fault::KillNode(index), index }));
                }
                self.cluster.wipe_node(index)?;
            }
            Fault::PauseNode(_) => self.cluster.pause_node(index)?,
            Fault::CutNode(_) => self.cluster.node(index).set_way(Way::Cut),
            Fault::StallNode(_) => self.cluster.node(index).set_way(Way::Stalled),
            Fault::SlowNode(_, millis) => {
                self.cluster.node(index).set_way(Way::Slow(Duration::from_millis(millis)));
            }
            Fault::FailTasks(_, count) => self.order(index, json!({ "failTasks": count })).await,
            Fault::RefuseWrites(_) => self.order(index, json!({ "refuse": "internal" })).await,
            Fault::FullDisk(_) => {
                let orders = json!({ "refuse": "no_space_left_on_device", "failTasks": u32::MAX });
                self.order(index, orders).await;
            }
            Fault::KillControlPlane => self.cluster.stop_control_plane(),
            Fault::KillEnvoy(_) => self.cluster.stop_envoy_at(index),
            Fault::CutEnvoy(_) => {
                self.run.set_behind(index, true);
                self.cluster.set_way_of_envoy(index, Way::Cut);
            }
            Fault::CutXds(_) => {
                self.run.set_behind(index, true);
                self.cluster.set_way_of_xds(index, Way::Cut);
            }
        }
        Ok(Some(Struck { fault, index }))
    }

    /// A real Meilisearch takes none, and one that another fault stopped answers none.
    async fn order(&self, index: usize, orders: Value) {
        let node = self.cluster.node(index).client();
        let answer = timeout(ORDER_PATIENCE, node.put("/test-faults", &orders)).await;
        if !answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status < 300)) {
            self.run.tally().count("faults", "an order that a node did not take");
        }
    }

    /// What others need comes back first.
    async fn heal(&mut self, struck: &[Struck]) -> Result<()> {
        if struck.iter().any(|one| one.fault == Fault::KillControlPlane) {
            self.cluster.spawn_control_plane()?;
        }
        // What a node is told comes last: it must be there to take it.
        let is_told = |fault: Fault| {
            matches!(fault, Fault::FailTasks(..) | Fault::RefuseWrites(_) | Fault::FullDisk(_))
        };
        let mut struck = struck.to_vec();
        struck.sort_by_key(|one| is_told(one.fault));
        for Struck { fault, index } in struck.iter().copied() {
            match fault {
                Fault::KillNode(_) | Fault::WipeNode(_) => self.cluster.start_node(index).await?,
                Fault::PauseNode(_) => self.cluster.resume_node(index)?,
                Fault::CutNode(_) | Fault::StallNode(_) | Fault::SlowNode(..) => {
                    self.cluster.node(index).set_way(Way::Open);
                }
                Fault::FailTasks(..) | Fault::RefuseWrites(_) | Fault::FullDisk(_) => {
                    self.order(index, json!({})).await;
                }
                Fault::KillControlPlane | Fault::KillEnvoy(_) | Fault::CutEnvoy(_) | Fault::CutXds(_) => {}
            }
        }
        for Struck { fault, index } in struck.iter().copied() {
            match fault {
                Fault::KillControlPlane => self.cluster.start_control_plane().await?,
                Fault::KillEnvoy(_) => self.cluster.start_envoy_at(index).await?,
                Fault::CutEnvoy(_) | Fault::CutXds(_) => {
                    self.cluster.set_way_of_envoy(index, Way::Open);
                    self.wait_for_envoys().await?;
                    self.run.set_behind(index, false);
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn wait_for_envoys(&self) -> Result<()> {
        wait_until("envoys to have the newest table", PATIENCE, async || {
            let missing = self
                .admin
                .what_is_missing(self.cluster.envoys())
                .await
                .unwrap_or_else(|_| vec!["envoys".into()]);
            Ok(!missing.iter().any(|what| what.contains("envoys")))
        })
        .await
    }

    fn tell(&self, struck: &Struck) -> String {
        match struck.fault {
            Fault::KillControlPlane => "kill the control plane".into(),
            fault @ (Fault::KillEnvoy(_) | Fault::CutEnvoy(_) | Fault::CutXds(_)) => {
                format!("{} {}", name(fault), struck.index)
            }
            fault => format!("{} {}", name(fault), self.cluster.node(struck.index).id()),
        }
    }
}

fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::KillNode(_) => "kill node",
        Fault::WipeNode(_) => "wipe node",
        Fault::PauseNode(_) => "pause node",
        Fault::CutNode(_) => "cut node",
        Fault::StallNode(_) => "stall node",
        Fault::SlowNode(..) => "slow node",
        Fault::FailTasks(..) => "fail tasks of node",
        Fault::RefuseWrites(_) => "refuse writes at node",
        Fault::FullDisk(_) => "fill disk of node",
        Fault::KillControlPlane => "kill control plane",
        Fault::KillEnvoy(_) => "kill envoy",
        Fault::CutEnvoy(_) => "cut envoy from control plane",
        Fault::CutXds(_) => "cut xDS of envoy",
    }
}
