//! How far the rebalance and the repairs are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use miroir_core::rebalance::{Epoch, Owners, Stale};
use miroir_core::shard::ShardId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::changes::Plan;
use super::reshard::ReshardStatus;
use super::target::difference;
use crate::cluster::Cluster;
use crate::copy::Progress;
use crate::indexes::{Adoption, adoptions};
use crate::stats;
use crate::store::StoreError;

/// What goes on now, and what has been done since the last change of the topology.
#[derive(Debug, Default)]
pub struct Work {
    /// The repairs that run, by target.
    pub running: BTreeMap<String, Running>,
    /// Why a node could not be repaired the last time.
    pub failed: BTreeMap<String, Failure>,
    done: Counts,
    since: Option<Instant>,
    /// When the last one ended, while none runs.
    until: Option<Instant>,
    /// Why no step could be taken.
    pub blocked: Option<String>,
}

/// A repair that runs.
#[derive(Debug)]
pub struct Running {
    /// From where.
    pub source: String,
    /// Which shards.
    pub shards: BTreeSet<ShardId>,
    /// How far it is.
    pub progress: Arc<Progress>,
}

/// A repair that has failed, and will be tried again.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub reason: String,
    /// When it is tried again.
    pub again: Instant,
    /// How often it has failed in a row.
    pub times: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    documents: u64,
    bytes: u64,
}

impl Work {
    /// Counts from here.
    pub fn begin_anew(&mut self) {
        self.done = Counts::default();
        (self.since, self.until) = (None, None);
    }

    /// A repair begins.
    pub fn begin(&mut self, target: String, running: Running) {
        self.since.get_or_insert_with(Instant::now);
        self.until = None;
        self.running.insert(target, running);
    }

    /// A repair ends.
    pub fn end(&mut self, target: &str, error: Option<String>) {
        if let Some(running) = self.running.remove(target) {
            let now = running.progress.now();
            self.done.documents += now.documents_done;
            self.done.bytes += now.bytes_done;
            counter!("miroir_copied_documents_total", "node" => target.to_owned())
                .increment(now.documents_done);
            counter!("miroir_copied_bytes_total", "node" => target.to_owned()).increment(now.bytes_done);
        }
        let outcome = if error.is_none() { "done" } else { "failed" };
        counter!("miroir_repairs_total", "node" => target.to_owned(), "outcome" => outcome).increment(1);
        self.until = self.running.is_empty().then(Instant::now);
        match error {
            None => drop(self.failed.remove(target)),
            Some(reason) => {
                let times = self.failed.get(target).map_or(1, |failure| failure.times.saturating_add(1));
                let pause = Duration::from_millis(500) * 2u32.saturating_pow(times.min(6));
                self.failed
                    .insert(target.to_owned(), Failure { reason, again: Instant::now() + pause, times });
            }
        }
    }
}

/// How far it all is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// What the rebalance does.
    pub state: State,
    /// The version of the placement.
    pub epoch: u64,
    /// Why it can't go on, if it can't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The indexes that are being adopted; nothing is moved before that is done.
    #[serde(default)]
    pub adoptions: Vec<Adoption>,
    /// The change of the number of shards that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resharding: Option<ReshardStatus>,
    /// The shards that are still to be moved.
    pub moves: Vec<Move>,
    /// The nodes whose replicas have missed writes.
    pub repairs: Vec<Repair>,
    /// How many shards had to change owners when the topology was changed, in all groups.
    pub shards_total: usize,
    /// How many of them have.
    pub shards_done: usize,
    /// How many documents are to be copied, all in all: an estimate.
    pub documents_total: u64,
    /// How many were.
    pub documents_done: u64,
    /// How many bytes of documents were sent to nodes.
    pub bytes_done: u64,
    /// How fast, on average since it began.
    pub documents_per_second: f64,
    /// How long it will take at that pace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

/// What the rebalance does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Everything is where it belongs.
    Idle,
    /// Shards are moved, or what they left is deleted.
    Running,
    /// Nothing is begun until it is resumed.
    Paused,
    /// It goes back to where it was.
    Canceling,
}

/// A shard that gets other owners.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    /// The replica group.
    pub group: String,
    /// The shard.
    pub shard: ShardId,
    /// The nodes that own it and will not, or that have some of it left over.
    pub from: Vec<String>,
    /// The nodes that are to own it and do not yet, or not all of it.
    pub to: Vec<String>,
    /// How far it is.
    pub state: MoveState,
    /// Why it can't go on, if it can't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MoveState {
    /// Its documents are being copied.
    Copying,
    /// It can't go on.
    Blocked,
    /// The new owners have all of it: they are about to be read.
    Cutover,
    /// Its turn has not come.
    Waiting,
    /// It is read from its new owners; what the others have left is still to be deleted.
    Cleanup,
}

/// A node whose replicas have missed writes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Repair {
    /// The node.
    pub node: String,
    /// The shards.
    pub shards: Vec<ShardId>,
    /// From where they are being copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How many documents the copies hold that are being compared.
    pub documents: u64,
    /// How many were.
    pub documents_done: u64,
    /// Why it could not be repaired yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How far the rebalance and the repairs are.
///
/// # Errors
/// If the store fails.
pub async fn status(cluster: &Cluster) -> Result<Status, StoreError> {
    let now = cluster.store.current_epoch().await?.unwrap_or_default();
    let stale = cluster.store.stale_replicas().await?;
    let record = cluster.store.rebalance().await?;
    let target = record.as_ref().map_or(&now.owners, |record| &record.target);
    let up = cluster.up().await;
    let moves = moves(&now, target, &stale, &up, cluster);
    let left = left(&now, target);
    let resharding = record.as_ref().and_then(|record| record.resharding).map(|resharding| {
        let tagging = cluster.rebalance.tagging().as_ref().map(|progress| progress.now()).unwrap_or_default();
        ReshardStatus {
            from: resharding.from,
            to: resharding.to,
            documents_done: tagging.documents_done,
            documents_total: tagging.documents,
        }
    });
    let is_done = moves.is_empty() && left == 0 && resharding.is_none();
    let state = match &record {
        Some(record) if record.is_paused && !is_done => State::Paused,
        Some(record) if record.is_canceled && !is_done => State::Canceling,
        _ if is_done => State::Idle,
        _ => State::Running,
    };
    let adoptions = adoptions(cluster).await?;
    let to_copy = copies(&moves);
    let per_shard = match to_copy {
        0 => 0.0,
        _ => documents(cluster).await? as f64 / f64::from(now.shards().max(1)),
    };
    let work = cluster.rebalance.work();
    let running = work.running.values().map(|running| running.progress.now());
    let (documents_done, bytes_done) = running.fold((work.done.documents, work.done.bytes), |sum, now| {
        (sum.0 + now.documents_done, sum.1 + now.bytes_done)
    });
    let under_way: u64 = work.running.values().map(|running| running.progress.now().documents_done).sum();
    let documents_left = ((per_shard * to_copy as f64) as u64).saturating_sub(under_way);
    let until = work.until.unwrap_or_else(Instant::now);
    let seconds = work.since.map_or(0.0, |since| until.duration_since(since).as_secs_f64());
    let documents_per_second = if seconds > 0.0 { documents_done as f64 / seconds } else { 0.0 };
    let seconds_left =
        (documents_per_second > 0.0).then(|| (documents_left as f64 / documents_per_second).ceil() as u64);
    let shards_total = record.as_ref().map_or(0, |record| record.shards);
    Ok(Status {
        state,
        epoch: now.epoch,
        reason: work.blocked.clone(),
        adoptions,
        resharding,
        repairs: repairs(&now, &stale, &up, &work.running, &work.failed),
        moves,
        shards_total,
        shards_done: shards_total.saturating_sub(left),
        documents_total: documents_done + documents_left,
        documents_done,
        bytes_done,
        documents_per_second,
        seconds_left: seconds_left.filter(|_| documents_left > 0 && state == State::Running),
    })
}

/// How many shards have still to be moved, in all groups.
pub fn left(now: &Epoch, target: &Owners) -> usize {
    difference(&now.owners, target) + now.joining.values().flatten().count()
}

/// What a change would move, as if it had just been made.
///
/// # Errors
/// If the store fails.
pub async fn planned(cluster: &Cluster, plan: &Plan) -> Result<Status, StoreError> {
    let stale = cluster.store.stale_replicas().await?;
    let up = cluster.up().await;
    let here = Epoch { leftovers: BTreeMap::new(), ..plan.now.clone() };
    let mut moves = moves(&here, &plan.target, &stale, &up, cluster);
    // A node that is to be added is not there yet.
    for step in &mut moves {
        (step.state, step.reason) = (MoveState::Waiting, None);
    }
    let per_shard = documents(cluster).await? as f64 / f64::from(here.shards().max(1));
    Ok(Status {
        state: State::Idle,
        epoch: here.epoch,
        reason: None,
        adoptions: Vec::new(),
        resharding: None,
        repairs: Vec::new(),
        shards_total: plan.shards(),
        shards_done: 0,
        documents_total: (per_shard * copies(&moves) as f64) as u64,
        documents_done: 0,
        bytes_done: 0,
        documents_per_second: 0.0,
        seconds_left: None,
        moves,
    })
}

/// How many replicas have still to be copied.
fn copies(moves: &[Move]) -> usize {
    let is_copied = |step: &&Move| step.state != MoveState::Cleanup && step.state != MoveState::Cutover;
    moves.iter().filter(is_copied).map(|step| step.to.len()).sum()
}

async fn documents(cluster: &Cluster) -> Result<u64, StoreError> {
    Ok(stats::cluster(cluster).await?.indexes.values().map(|index| index.documents).sum())
}

/// What is still to be moved, in all groups.
pub fn moves(
    now: &Epoch,
    target: &Owners,
    stale: &Stale,
    up: &BTreeSet<String>,
    cluster: &Cluster,
) -> Vec<Move> {
    let work = cluster.rebalance.work();
    let groups: BTreeSet<&String> = now.owners.keys().chain(target.keys()).collect();
    let mut moves = Vec::new();
    for group in groups {
        for shard in 0..now.shards() {
            let of = |owners: &'_ Owners| -> Vec<String> {
                owners.get(group).and_then(|owners| owners.get(shard as usize)).cloned().unwrap_or_default()
            };
            let (has, wanted) = (of(&now.owners), of(target));
            let joining = now.joining_of(group, shard);
            let is_joining = |node: &String| joining.is_some_and(|joining| joining.contains(node));
            let from: Vec<String> = has.iter().filter(|node| !wanted.contains(node)).cloned().collect();
            let to: Vec<String> =
                wanted.iter().filter(|node| !has.contains(node) || is_joining(node)).cloned().collect();
            if from.is_empty() && to.is_empty() {
                continue;
            }
            let is_stale = |node: &&String| miroir_core::rebalance::is_stale(stale, node, shard);
            let away = wanted.iter().find(|node| !up.contains(*node));
            let no_source = !now.clean_readers_of(shard, stale).any(|node| up.contains(node));
            let copied = to
                .iter()
                .any(|node| work.running.get(node).is_some_and(|running| running.shards.contains(&shard)));
            let (state, reason) = if copied {
                (MoveState::Copying, None)
            } else if let Some(node) = away {
                (MoveState::Blocked, Some(format!("node {node} is down")))
            } else if no_source {
                (MoveState::Blocked, Some("no clean copy of it is on a node that is up".to_owned()))
            } else if let Some((node, failure)) = to.iter().find_map(|node| work.failed.get_key_value(node)) {
                (MoveState::Blocked, Some(format!("node {node}: {}", failure.reason)))
            } else if to.iter().any(|node| now.is_coming(node, shard)) {
                (MoveState::Waiting, Some("until no search is under way that does not know of it".to_owned()))
            } else if joining.is_none() && !to.is_empty() || wanted.iter().any(|node| is_stale(&node)) {
                (MoveState::Waiting, None)
            } else {
                (MoveState::Cutover, None)
            };
            moves.push(Move { group: group.clone(), shard, from, to, state, reason });
        }
    }
    let groups: BTreeMap<String, String> =
        cluster.members().nodes.iter().map(|node| (node.id.clone(), node.group.clone())).collect();
    let mut left: BTreeMap<(&str, ShardId), Vec<String>> = BTreeMap::new();
    for (node, shards) in &now.leftovers {
        let group = groups.get(node).map_or("", String::as_str);
        for shard in shards {
            left.entry((group, *shard)).or_default().push(node.clone());
        }
    }
    for ((group, shard), from) in left {
        let state = MoveState::Cleanup;
        moves.push(Move { group: group.to_owned(), shard, from, to: Vec::new(), state, reason: None });
    }
    moves
}

fn repairs(
    now: &Epoch,
    stale: &Stale,
    up: &BTreeSet<String>,
    running: &BTreeMap<String, Running>,
    failed: &BTreeMap<String, Failure>,
) -> Vec<Repair> {
    let of_node = |(node, shards): (&String, &BTreeMap<ShardId, u64>)| {
        let is_read = |shard: &ShardId| now.readers_of(*shard).any(|reader| reader == node);
        let shards: Vec<ShardId> = shards.keys().copied().filter(is_read).collect();
        let running = running.get(node);
        let progress = running.map(|running| running.progress.now()).unwrap_or_default();
        let lost = |shard: &ShardId| now.clean_readers_of(*shard, stale).next().is_none();
        let reason = match failed.get(node) {
            Some(failure) => Some(failure.reason.clone()),
            None if !up.contains(node) => Some("it is down".to_owned()),
            None if shards.iter().any(lost) => {
                let lost: Vec<String> =
                    shards.iter().filter(|shard| lost(shard)).map(ShardId::to_string).collect();
                Some(format!("no clean copy is left of shards {}", lost.join(", ")))
            }
            None => None,
        };
        Repair {
            node: node.clone(),
            shards,
            source: running.map(|running| running.source.clone()),
            documents: progress.documents,
            documents_done: progress.documents_done,
            reason,
        }
    };
    stale.iter().map(of_node).filter(|repair| !repair.shards.is_empty()).collect()
}
