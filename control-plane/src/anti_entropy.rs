//! Compares all replicas with each other, on a schedule and when asked to: what no missed write explains is found here.
//!
//! A replica that differs from its primary is marked stale, so that it is [repaired](crate::rebalance) from it like one that
//! missed a write. Documents on a node that does not own their shard are left over from then on: reads don't count them, and
//! they are deleted like what a migration leaves. Documents that were written to a node past Miroir get their tags, and
//! their owners get them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use miroir_core::error::ApiError;
use miroir_core::rebalance::{Epoch, Refused, Stale};
use miroir_core::shard::ShardId;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::{info, warn};
use utoipa::ToSchema;

use crate::cluster::Cluster;
use crate::copy::{self, Context, CopiedIndex, CopyError, Replica};
use crate::rebalance::fence;
use crate::refusal::refused;
use crate::store::StoreError;

/// So many ids of each kind are reported.
const EXAMPLES: usize = 5;

/// What is known of the checks.
#[derive(Debug, Default)]
pub struct AntiEntropy {
    /// Held while one runs.
    running: Arc<Mutex<()>>,
    last: std::sync::Mutex<Option<Report>>,
}

impl AntiEntropy {
    /// While this is held, none runs; `None` if one does.
    pub fn hold(&self) -> Option<OwnedMutexGuard<()>> {
        self.running.clone().try_lock_owned().ok()
    }

    /// What the last check has found, or the one that runs has by now.
    pub fn last(&self) -> Option<Report> {
        self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn report(&self, report: &Report) {
        *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(report.clone());
    }
}

/// What a check has found.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: OffsetDateTime,
    /// When it ended; null while it runs.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<OffsetDateTime>,
    /// Whether what was found was handed over to be repaired.
    pub repairs: bool,
    /// How many shards of indexes were compared.
    pub shards_compared: u64,
    /// What differs, or is where it should not be.
    pub findings: Vec<Finding>,
    /// What could not be checked, and why.
    pub unchecked: Vec<String>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The index's uid.
    pub index_uid: String,
    /// The node.
    pub node: String,
    /// The shard, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardId>,
    /// What is wrong.
    pub kind: Kind,
    /// With how many documents.
    pub documents: u64,
    /// The ids of some of them.
    pub examples: Vec<String>,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// The primary has them, this node has not.
    Missing,
    /// This node has them, the primary has not.
    Extra,
    /// Both have them, but not alike.
    Different,
    /// They have no tag, or that of another shard.
    WrongTag,
    /// The node does not own their shard.
    Misplaced,
}

/// Checks on schedule, for ever.
pub async fn run(cluster: &Cluster) {
    let config = &cluster.config.anti_entropy;
    let Some(interval) = config.interval_ms.map(Duration::from_millis) else { return };
    loop {
        tokio::time::sleep(interval).await;
        match begin(cluster, config.repair).await {
            Ok(begun) => check(cluster, begun, None).await,
            Err(refused) => warn!(reason = refused.message, "the replicas are not compared now"),
        }
    }
}

/// A check that has begun. [`AntiEntropy::last`] tells of it from now on.
#[derive(Debug)]
pub struct Begun {
    report: Report,
    _one_at_a_time: OwnedMutexGuard<()>,
}

/// Begins to compare replicas.
///
/// # Errors
/// If that is under way already, or can't be done now; if the store fails.
pub async fn begin(cluster: &Cluster, repairs: bool) -> Result<Begun, ApiError> {
    let Some(one_at_a_time) = cluster.anti_entropy.hold() else {
        return Err(refused(409, "miroir_check_under_way", "The replicas are being compared."));
    };
    if cluster.store.current_epoch().await?.is_some_and(|epoch| epoch.retagging.is_some()) {
        let message = "The replicas can't be compared while the number of shards is being changed.";
        return Err(refused(409, "miroir_check_under_way", message));
    }
    let report = Report {
        started_at: OffsetDateTime::now_utc(),
        finished_at: None,
        repairs,
        shards_compared: 0,
        findings: Vec::new(),
        unchecked: Vec::new(),
    };
    cluster.anti_entropy.report(&report);
    Ok(Begun { report, _one_at_a_time: one_at_a_time })
}

/// Compares the replicas of all indexes, or of one.
pub async fn check(cluster: &Cluster, begun: Begun, only: Option<&str>) {
    let mut report = begun.report;
    if let Err(error) = check_indexes(cluster, &mut report, only).await {
        report.unchecked.push(error.to_string());
    }
    report.finished_at = Some(OffsetDateTime::now_utc());
    let (findings, unchecked) = (report.findings.len(), report.unchecked.len());
    info!(findings, unchecked, shards = report.shards_compared, "the replicas were compared");
    cluster.anti_entropy.report(&report);
}

async fn check_indexes(cluster: &Cluster, report: &mut Report, only: Option<&str>) -> Result<(), StoreError> {
    let mut indexes = cluster.store.indexes().await?;
    indexes.retain(|uid, _| only.is_none_or(|only| uid == only));
    for record in indexes.values() {
        let Some(index) = CopiedIndex::new(record) else { continue };
        let check = Check { cluster, index: &index, repairs: report.repairs };
        if let Err(error) = check.index(report).await {
            warn!(index = index.uid, %error, "the replicas of an index could not be compared");
            report.unchecked.push(format!("index {}: {error}", index.uid));
        }
        cluster.anti_entropy.report(report);
    }
    Ok(())
}

struct Check<'c> {
    cluster: &'c Cluster,
    index: &'c CopiedIndex,
    repairs: bool,
}

impl Check<'_> {
    fn context(&self) -> Context<'_> {
        self.cluster.rebalance.copying(self.cluster)
    }

    async fn placement(&self) -> Result<(Epoch, Stale), CopyError> {
        let epoch = self.cluster.store.current_epoch().await?.unwrap_or_default();
        Ok((epoch, self.cluster.store.stale_replicas().await?))
    }

    async fn index(&self, report: &mut Report) -> Result<(), CopyError> {
        for (node, client) in self.cluster.up_clients().await {
            self.tags(&Replica { node, client }, report).await?;
        }
        let (epoch, _) = self.placement().await?;
        for shard in 0..epoch.shards() {
            let compared = match self.shard(shard, report).await {
                // Who began them is gone, most likely. They are refused from now on.
                Err(CopyError::WritesUnderWay(_)) => {
                    fence(self.cluster).await?;
                    self.shard(shard, report).await
                }
                compared => compared,
            };
            match compared {
                Ok(()) => report.shards_compared += 1,
                Err(error @ CopyError::IndexChanged(_)) => return Err(error),
                Err(error) => {
                    report.unchecked.push(format!("index {}, shard {shard}: {error}", self.index.uid))
                }
            }
            self.cluster.anti_entropy.report(report);
        }
        Ok(())
    }

    async fn tags(&self, node: &Replica, report: &mut Report) -> Result<(), CopyError> {
        let (epoch, _) = self.placement().await?;
        let mut may_hold = epoch.may_hold(&node.node);
        may_hold.extend(epoch.owned_by(&node.node));
        let scan = copy::scan(self.context(), self.index, node, &may_hold).await?;
        let stray: Vec<String> = scan.untagged.iter().chain(&scan.mistagged).cloned().collect();
        if !stray.is_empty() {
            let examples = stray.iter().take(EXAMPLES).cloned().collect();
            self.found(report, node, None, Kind::WrongTag, stray.len() as u64, examples);
            if self.repairs {
                let owners = self.owners(&epoch);
                copy::rehome(self.context(), self.index, node, &stray, &owners).await?;
            }
        }
        for (shard, documents) in scan.misplaced {
            self.found(report, node, Some(shard), Kind::Misplaced, documents, Vec::new());
            if self.repairs {
                let took = BTreeMap::from([(node.node.clone(), BTreeSet::from([shard]))]);
                let of = epoch.shards();
                self.cluster.store.leave(&Refused { took, of, ..Refused::default() }).await?;
                self.cluster.publish_everywhere().await?;
            }
        }
        Ok(())
    }

    fn replica(&self, node: &str) -> Option<Replica> {
        Some(Replica { node: node.to_owned(), client: self.cluster.client(node)? })
    }

    fn owners(&self, epoch: &Epoch) -> Vec<Vec<Replica>> {
        (0..epoch.shards())
            .map(|shard| epoch.owners_of(shard).filter_map(|node| self.replica(node)).collect())
            .collect()
    }

    async fn shard(&self, shard: ShardId, report: &mut Report) -> Result<(), CopyError> {
        let (epoch, stale) = self.placement().await?;
        let up = self.cluster.up().await;
        let clean = epoch.clean_readers_of(shard, &stale).filter(|node| up.contains(*node));
        let replicas: Vec<Replica> = clean.filter_map(|node| self.replica(node)).collect();
        let all: Vec<&Replica> = replicas.iter().collect();
        if all.len() < 2 {
            return Ok(());
        }
        for difference in copy::compare(self.context(), self.index, shard, &all, EXAMPLES).await? {
            let Some(node) = replicas.iter().find(|replica| replica.node == difference.node) else {
                continue;
            };
            let kinds = [
                (Kind::Missing, difference.missing),
                (Kind::Extra, difference.extra),
                (Kind::Different, difference.different),
            ];
            for (kind, ids) in kinds.into_iter().filter(|(_, ids)| ids.count > 0) {
                self.found(report, node, Some(shard), kind, ids.count, ids.examples);
            }
            if self.repairs {
                self.cluster.store.mark_stale(&node.node, &[shard], epoch.shards()).await?;
                self.cluster.publish_everywhere().await?;
                self.cluster.rebalance.wake();
            }
        }
        Ok(())
    }

    fn found(
        &self,
        report: &mut Report,
        node: &Replica,
        shard: Option<ShardId>,
        kind: Kind,
        documents: u64,
        examples: Vec<String>,
    ) {
        let (index, node) = (&self.index.uid, &node.node);
        warn!(index, node, shard, ?kind, documents, ?examples, "replicas are not as they should be");
        counter!("miroir_anti_entropy_findings_total", "node" => node.clone()).increment(1);
        let finding =
            Finding { index_uid: index.clone(), node: node.clone(), shard, kind, documents, examples };
        report.findings.push(finding);
    }
}
