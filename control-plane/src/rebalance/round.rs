//! The loop that takes one step after the other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use miroir_core::rebalance::{Epoch, Owners, Situation, Stale, advance};
use miroir_core::shard::ShardId;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::cleanup;
use super::fence;
use super::notices::{Notices, Shards};
use super::progress::Running;
use super::repair::{Job, jobs, repair};
use super::reshard::{At, Reshards};
use crate::cluster::Cluster;
use crate::copy::Progress;
use crate::indexes::adoptions;
use crate::store::{RebalanceRecord, StoreError};

/// The pause while there is something to do that has to wait, and while there is not.
const PAUSE: Duration = Duration::from_millis(200);
const IDLE_PAUSE: Duration = Duration::from_secs(2);
/// How long writes that are under way are waited for before leftovers are deleted.
const BARRIER: Duration = Duration::from_secs(1);

/// Takes one step after the other, for ever.
pub async fn run(cluster: Arc<Cluster>) {
    let mut rounds = Rounds::default();
    loop {
        let outcome = rounds.step(&cluster).await;
        if outcome.is_ok() {
            cluster.rebalance.work().blocked = None;
        }
        let pause = match outcome {
            Ok(Outcome::Changed) => Duration::ZERO,
            Ok(Outcome::Waiting) => PAUSE,
            Ok(Outcome::Idle) => IDLE_PAUSE,
            Err(error) => {
                error!(%error, "the rebalance could not go on");
                cluster.rebalance.work().blocked = Some(error.to_string());
                IDLE_PAUSE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = cluster.rebalance.wake.notified() => {}
            Some(_) = rounds.under_way.join_next() => {}
        }
    }
}

pub(super) enum Outcome {
    /// A step was taken; the next may follow at once.
    Changed,
    /// There is something to do, but not now.
    Waiting,
    /// All is as it should be.
    Idle,
}

#[derive(Default)]
struct Rounds {
    /// Repairs and deletions.
    under_way: JoinSet<()>,
    /// The nodes that delete leftovers.
    cleaning: Arc<std::sync::Mutex<BTreeSet<String>>>,
    leftovers: Notices,
    coming: Notices,
    reshards: Reshards,
    /// Whether the writes that began before we did can't be acknowledged any more.
    is_fenced: bool,
}

impl Rounds {
    async fn step(&mut self, cluster: &Arc<Cluster>) -> Result<Outcome, StoreError> {
        let changing = cluster.rebalance.changing.lock().await;
        let Some(now) = cluster.store.current_epoch().await? else { return Ok(Outcome::Idle) };
        // What has no tag yet would be left behind.
        if !adoptions(cluster).await?.is_empty() {
            return Ok(Outcome::Waiting);
        }
        let stale = cluster.store.stale_replicas().await?;
        let record = cluster.store.rebalance().await?;
        let is_paused = record.as_ref().is_some_and(|record| record.is_paused);
        let members: BTreeSet<String> = cluster.members().clients.keys().cloned().collect();
        let version = cluster.publish().await?.version;
        let announced = self.coming.heard(cluster, &now.coming, version);
        if let Some(next) = next(cluster, &now, &stale, record.as_ref(), &members, &announced) {
            fence::enter(cluster, &next).await?;
            self.is_fenced = true;
            return Ok(Outcome::Changed);
        }
        if self.forget_replaced(cluster, &now, record.as_ref()).await? || forget_gone(cluster, &now).await? {
            return Ok(Outcome::Changed);
        }
        let is_kept = self.clean_up(cluster, &now, version, is_paused).await;
        drop(changing);
        let patience = Duration::from_millis(cluster.config.rebalance.write_patience_ms);
        if is_kept && cluster.gates.is_any_older(patience) {
            fence::fence(cluster).await?;
            return Ok(Outcome::Changed);
        }

        let jobs = self.jobs(cluster, &now, &stale, is_paused).await;
        if !jobs.is_empty() && !self.is_fenced {
            fence::fence(cluster).await?;
            self.is_fenced = true;
            return Ok(Outcome::Changed);
        }
        let repairs = !jobs.is_empty();
        for job in jobs {
            self.begin(cluster, job);
        }
        let is_still = self.under_way.is_empty() && stale.is_empty() && now.leftovers.is_empty();
        if let Some(record) = record.filter(|record| record.resharding.is_some() && !is_paused) {
            let at = At { now: &now, version, is_still, repairs };
            return self.reshards.step(cluster, &record, at).await;
        }
        let is_idle = stale.is_empty() && now.leftovers.is_empty() && now.coming.is_empty();
        Ok(if is_idle { Outcome::Idle } else { Outcome::Waiting })
    }

    /// What is to be repaired now: of each node that has nothing under way a few shards from one source.
    async fn jobs(&self, cluster: &Cluster, now: &Epoch, stale: &Stale, is_paused: bool) -> Vec<Job> {
        let at_once = cluster.config.rebalance.shards_at_once;
        let up = cluster.up().await;
        let work = cluster.rebalance.work();
        let mut busy: BTreeSet<String> = work.running.keys().cloned().collect();
        let mut free = cluster.config.rebalance.nodes_at_once.saturating_sub(busy.len());
        let mut chosen = Vec::new();
        for mut job in jobs(now, stale, &up) {
            let joins = |shard: &ShardId| !now.readers_of(*shard).any(|node| node == job.target);
            let waits = work.failed.get(&job.target).is_some_and(|failure| failure.again > Instant::now());
            if free == 0 || waits || busy.contains(&job.target) || is_paused && job.shards.iter().any(joins) {
                continue;
            }
            job.shards = job.shards.into_iter().take(at_once).collect();
            busy.insert(job.target.clone());
            free -= 1;
            chosen.push(job);
        }
        chosen
    }

    fn begin(&mut self, cluster: &Arc<Cluster>, job: Job) {
        let progress = Arc::new(Progress::default());
        let running =
            Running { source: job.source.clone(), shards: job.shards.clone(), progress: progress.clone() };
        cluster.rebalance.work().begin(job.target.clone(), running);
        let cluster = cluster.clone();
        self.under_way.spawn(async move {
            info!(node = job.target, source = job.source, shards = ?job.shards, "repairing replicas");
            let done = stopped_when_paused(&cluster, &job, &progress).await;
            if let Err(reason) = &done {
                warn!(node = job.target, source = job.source, reason, "replicas could not be repaired yet");
            }
            cluster.rebalance.work().end(&job.target, done.err());
            cluster.rebalance.wake();
        });
    }

    /// Begins to delete leftovers; whether writes that are under way keep it from that.
    async fn clean_up(&mut self, cluster: &Arc<Cluster>, now: &Epoch, version: u64, is_paused: bool) -> bool {
        let due = self.leftovers.heard(cluster, &now.leftovers, version);
        if is_paused {
            return false;
        }
        let mut is_kept = false;
        // What is still being copied there would come after.
        let is_copied = |node: &str, shards: &BTreeSet<ShardId>| {
            let work = cluster.rebalance.work();
            work.running.get(node).is_some_and(|running| !running.shards.is_disjoint(shards))
        };
        let due: Vec<_> = due.into_iter().filter(|(node, shards)| !is_copied(node, shards)).collect();
        let up = cluster.up().await;
        for (node, shards) in due.into_iter().filter(|(node, _)| up.contains(node)) {
            let is_new = lock(&self.cleaning).insert(node.clone());
            let Some(client) = cluster.client(&node).filter(|_| is_new) else { continue };
            // Nor may a write be on its way that was routed before. If one is for long, another round will do it.
            if !cluster.gates.all_barriers(BARRIER).await {
                lock(&self.cleaning).remove(&node);
                is_kept = true;
                continue;
            }
            // No epoch begins before the node has been told.
            let told = cleanup::begin(cluster, &client, &shards).await;
            let (cluster, cleaning) = (cluster.clone(), self.cleaning.clone());
            self.under_way.spawn(async move {
                match told {
                    Ok(tasks) => cleanup::finish(&cluster, &node, &client, &shards, tasks).await,
                    Err(error) => {
                        warn!(node, %error, "what is left over could not be deleted yet");
                        tokio::time::sleep(IDLE_PAUSE).await;
                    }
                }
                lock(&cleaning).remove(&node);
                cluster.rebalance.wake();
            });
        }
        is_kept
    }

    /// A node whose place another one has taken goes when nothing is left to be moved. Whether this has changed something.
    async fn forget_replaced(
        &self,
        cluster: &Cluster,
        now: &Epoch,
        record: Option<&RebalanceRecord>,
    ) -> Result<bool, StoreError> {
        let Some(record) = record else { return Ok(false) };
        let members = cluster.members();
        let up = cluster.up().await;
        // One that is up may still be read by what began before, until it has nothing left.
        let is_done = |id: &str| {
            let owns = !now.owned_by(id).is_empty();
            !(owns || up.contains(id) && now.leftovers.contains_key(id))
        };
        let gone: Vec<String> = members
            .nodes
            .iter()
            .filter(|node| node.replaced_by.is_some() && is_done(&node.id) && !record.is_canceled)
            .map(|node| node.id.clone())
            .collect();
        if gone.is_empty() {
            return Ok(false);
        }
        info!(nodes = ?gone, "nodes were replaced");
        let mut topology = members.topology(now.shards());
        topology.nodes.retain(|node| !gone.contains(&node.id));
        cluster.change_topology(topology, record).await?;
        Ok(true)
    }
}

/// What nodes have left over that are not in the cluster any more is none of ours. Whether there was any.
async fn forget_gone(cluster: &Cluster, now: &Epoch) -> Result<bool, StoreError> {
    let members = cluster.members();
    let gone = now.leftovers.iter().filter(|(node, _)| members.node(node).is_none());
    let mut any = false;
    for (node, shards) in gone {
        cluster.store.remove_leftovers(node, &shards.iter().copied().collect::<Vec<_>>()).await?;
        any = true;
    }
    Ok(any)
}

/// The next epoch, if it is time for one.
fn next(
    cluster: &Cluster,
    now: &Epoch,
    stale: &Stale,
    record: Option<&RebalanceRecord>,
    members: &BTreeSet<String>,
    announced: &Shards,
) -> Option<Epoch> {
    let record = record?;
    if record.is_paused {
        return None;
    }
    let target: &Owners = &record.target;
    let at_once = cluster.config.rebalance.shards_at_once;
    advance(now, &Situation { target, stale, members, at_once, announced })
}

/// Repairs, but stops when what it does is for a rebalance that is paused or canceled, or when its source leaves.
async fn stopped_when_paused(cluster: &Cluster, job: &Job, progress: &Arc<Progress>) -> Result<(), String> {
    let unwanted = async {
        loop {
            tokio::time::sleep(PAUSE).await;
            if !is_wanted(cluster, job).await {
                return;
            }
        }
    };
    tokio::select! {
        done = repair(cluster, job, progress) => done.map_err(|error| error.to_string()),
        () = unwanted => Ok(()),
    }
}

async fn is_wanted(cluster: &Cluster, job: &Job) -> bool {
    let (Ok(Some(now)), Ok(record)) = (cluster.store.current_epoch().await, cluster.store.rebalance().await)
    else {
        return true;
    };
    let joins = |shard: &ShardId| !now.readers_of(*shard).any(|node| node == job.target);
    let is_paused = record.is_some_and(|record| record.is_paused) && job.shards.iter().any(joins);
    let are_owned = |node| job.shards.iter().all(|shard| now.owns(node, *shard));
    !is_paused && are_owned(&job.target) && are_owned(&job.source)
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
