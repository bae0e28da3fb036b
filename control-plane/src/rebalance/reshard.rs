//! Gets the cluster to another number of shards, see [`miroir_core::rebalance::reshard`].

use std::sync::Arc;

use futures::future::try_join_all;
use miroir_core::error::ApiError;
use miroir_core::rebalance::{Epoch, Reshard, gathered, may_reshard, reshard};
use miroir_core::shard::ShardId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tracing::{info, warn};
use utoipa::ToSchema;

use super::fence;
use super::notices::Notice;
use super::round::Outcome;
use super::target::{difference, target};
use crate::cluster::Cluster;
use crate::config::MAX_SHARDS;
use crate::copy::{self, CopiedIndex, CopyError, DoneIndexes, Progress, Replica};
use crate::refusal::refused;
use crate::store::{RebalanceRecord, Resharding, StoreError};

/// How far a change of the number of shards is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReshardStatus {
    /// How many there were.
    pub from: ShardId,
    /// How many there are to be.
    pub to: ShardId,
    /// How many documents have got another tag, on all nodes.
    pub documents_done: u64,
    /// How many are to get one, as far as is known yet.
    pub documents_total: u64,
}

/// Has the cluster get another number of shards.
///
/// # Errors
/// If that number can't be reached from the present one; if the store fails.
pub async fn reshard_to(cluster: &Cluster, to: ShardId, dry_run: bool) -> Result<(), ApiError> {
    let _one_at_a_time = cluster.rebalance.hold().await;
    let now = cluster.store.current_epoch().await?.unwrap_or_default();
    if !(1..=MAX_SHARDS).contains(&to) || !may_reshard(&now, to) {
        let message = format!(
            "{to} shards can't be made of {}: one number must be a multiple of the other, and at most {MAX_SHARDS}.",
            now.shards()
        );
        return Err(refused(400, "miroir_invalid_topology", message));
    }
    if dry_run {
        return Ok(());
    }
    let record = match cluster.store.rebalance().await? {
        Some(record) => record,
        None => RebalanceRecord {
            target: now.owners.clone(),
            is_paused: false,
            is_canceled: false,
            shards: 0,
            resharding: None,
            since: OffsetDateTime::now_utc(),
        },
    };
    let resharding = Some(Resharding { from: now.shards(), to });
    cluster.store.save_rebalance(&RebalanceRecord { resharding, ..record }).await?;
    info!(from = now.shards(), to, "the number of shards is to change");
    cluster.rebalance.wake();
    Ok(())
}

/// Where the rebalance stands when it is asked for a step.
pub(super) struct At<'a> {
    /// The epoch.
    pub now: &'a Epoch,
    /// The version of the newest routing table.
    pub version: u64,
    /// Whether nothing is repaired, stale or left over.
    pub is_still: bool,
    /// Whether a repair has just begun.
    pub repairs: bool,
}

/// What is known beside the store of changes of the number of shards.
#[derive(Default)]
pub(super) struct Reshards {
    /// The epoch whose routing table all readers have to know of.
    notice: Option<(u64, Notice)>,
    tagging: Option<Tagging>,
    /// The epoch with whose tags all documents are known to be.
    tagged: Option<u64>,
}

/// Documents are being tagged.
struct Tagging {
    epoch: u64,
    /// Whether a node got documents from another meanwhile, which may not have had their tags.
    is_void: bool,
    job: JoinHandle<Result<(), CopyError>>,
}

impl Reshards {
    /// Takes the next step, if it may be taken now.
    pub async fn step(
        &mut self,
        cluster: &Arc<Cluster>,
        record: &RebalanceRecord,
        at: At<'_>,
    ) -> Result<Outcome, StoreError> {
        let Some(Resharding { to, .. }) = record.resharding else { return Ok(Outcome::Idle) };
        if at.repairs {
            self.tagged = None;
            self.tagging.iter_mut().for_each(|tagging| tagging.is_void = true);
        }
        if self.notice.is_none_or(|(epoch, _)| epoch != at.now.epoch) {
            self.notice = Some((at.now.epoch, Notice::new(at.version)));
        }
        let is_heard = self.notice.as_mut().is_some_and(|(_, notice)| notice.is_heard(cluster));
        let moves = difference(&at.now.owners, &record.target) > 0
            || !at.now.joining.is_empty()
            || !at.now.coming.is_empty();
        let is_tagging = self.is_tagging().await;
        if moves || is_tagging || !is_heard || !at.is_still {
            return Ok(Outcome::Waiting);
        }
        let _hold = cluster.rebalance.hold().await;
        if cluster.store.current_epoch().await?.is_none_or(|now| now.epoch != at.now.epoch) {
            return Ok(Outcome::Changed);
        }
        match reshard(at.now, to, self.tagged == Some(at.now.epoch)) {
            None => {
                info!(shards = to, "the number of shards has changed");
                cluster.store.save_rebalance(&RebalanceRecord { resharding: None, ..record.clone() }).await?;
                *cluster.rebalance.tagging() = None;
            }
            Some(Reshard::Gather) => {
                let few = Epoch { owners: gathered(&at.now.owners, to, to), ..at.now.clone() };
                let topology = cluster.members().topology(to);
                let target = gathered(&target(&topology, &few), at.now.shards(), to);
                let shards = difference(&at.now.owners, &target);
                cluster.store.save_rebalance(&RebalanceRecord { target, shards, ..record.clone() }).await?;
            }
            Some(Reshard::Enter(next)) => {
                // A check would take for wrong what is merely on its way.
                let Some(_no_check) = cluster.anti_entropy.hold() else { return Ok(Outcome::Waiting) };
                fence::enter(cluster, &next).await?;
            }
            Some(Reshard::Retag) => {
                let progress = Arc::new(Progress::default());
                *cluster.rebalance.tagging() = Some(progress.clone());
                let cluster = cluster.clone();
                let job = tokio::spawn(async move {
                    let done = tag_everywhere(&cluster, &progress).await;
                    cluster.rebalance.wake();
                    done
                });
                self.tagging = Some(Tagging { epoch: at.now.epoch, is_void: false, job });
                return Ok(Outcome::Waiting);
            }
        }
        Ok(Outcome::Changed)
    }

    /// Whether documents are still being tagged, or could not be just now.
    async fn is_tagging(&mut self) -> bool {
        let Some(tagging) = self.tagging.take_if(|tagging| tagging.job.is_finished()) else {
            return self.tagging.is_some();
        };
        match tagging.job.await {
            Ok(Ok(())) => {
                self.tagged = Some(tagging.epoch).filter(|_| !tagging.is_void);
                false
            }
            Ok(Err(error)) => {
                warn!(%error, "not all documents have their new tags yet");
                true
            }
            Err(_) => true,
        }
    }
}

/// Gives all documents on all nodes the tags with which they would be written now.
async fn tag_everywhere(cluster: &Cluster, progress: &Progress) -> Result<(), CopyError> {
    let mut done = DoneIndexes::new();
    while let Some(index) = CopiedIndex::next(&*cluster.store, &done).await? {
        let up = cluster.up_clients().await;
        if let Some(away) =
            cluster.members().nodes.iter().find(|node| up.iter().all(|(id, _)| *id != node.id))
        {
            return Err(StoreError::Conflict(format!("node {} is down", away.id)).into());
        }
        let nodes: Vec<Replica> = up.into_iter().map(|(node, client)| Replica { node, client }).collect();
        let context = cluster.rebalance.copying(cluster);
        let tagged = nodes.iter().map(|node| copy::tag_all(context, &index, node, progress));
        match try_join_all(tagged).await {
            Ok(_) => {
                done.insert((index.uid, index.generation));
            }
            Err(CopyError::IndexChanged(_)) => {}
            Err(CopyError::WritesUnderWay(_)) => fence::fence(cluster).await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
