//! Waiting until nothing is on its way.

use std::time::Duration;

use futures::future::try_join_all;

use super::{Context, CopiedIndex, CopyError, Replica};
use crate::indexes::Closed;
use crate::node_client::NodeError;
use crate::reconcile::drain;

/// How long clients' writes may be kept waiting for those that are under way, before the gate is let go again.
const HOLD_PATIENCE: Duration = Duration::from_secs(3);
/// How often it is tried to find the index without writes.
const TRIES: usize = 5;

impl Context<'_> {
    /// Waits until all writes that began before are on the nodes, and done there.
    pub(super) async fn settle(&self, index: &CopiedIndex, nodes: &[&Replica]) -> Result<(), CopyError> {
        if !self.gates.barrier(&index.uid, self.write_patience).await {
            return Err(CopyError::WritesUnderWay(index.uid.clone()));
        }
        drain_all(nodes).await
    }

    /// Keeps clients' writes to the index waiting once all are done on the nodes. `None` if they take too long.
    pub(super) async fn hold_still(
        &self,
        index: &CopiedIndex,
        nodes: &[&Replica],
    ) -> Result<Option<Closed>, CopyError> {
        let Some(held) = self.gates.hold(&index.uid, HOLD_PATIENCE).await else { return Ok(None) };
        self.check_current(index, nodes).await?;
        drain_all(nodes).await?;
        Ok(Some(held))
    }

    /// The same, tried several times.
    pub(super) async fn hold(&self, index: &CopiedIndex, nodes: &[&Replica]) -> Result<Closed, CopyError> {
        for _ in 0..TRIES {
            self.settle(index, nodes).await?;
            if let Some(held) = self.hold_still(index, nodes).await? {
                return Ok(held);
            }
        }
        Err(CopyError::WritesUnderWay(index.uid.clone()))
    }

    /// Checks that the uid names the index on all these nodes. Only while a pass of its gate is held, or the gate itself,
    /// does this stay so.
    pub(super) async fn check_current(
        &self,
        index: &CopiedIndex,
        nodes: &[&Replica],
    ) -> Result<(), CopyError> {
        let changed = || CopyError::IndexChanged(index.uid.clone());
        let record = self.store.index(&index.uid).await?.ok_or_else(changed)?;
        if record.generation != index.generation || record.primary_key.as_ref() != Some(&index.primary_key) {
            return Err(changed());
        }
        for node in nodes {
            let pending = self.store.pending_changes(&node.node).await?;
            if pending.iter().any(|pending| pending.change.uids().contains(&index.uid.as_str())) {
                return Err(changed());
            }
        }
        Ok(())
    }
}

/// Has a node enqueue a task, and returns its uid. It is seen through also when the caller is dropped meanwhile, with
/// `guard` held: a request that comes to the node later than anybody expects would be a write that nobody looks at again.
pub(super) async fn enqueue(
    node: &Replica,
    guard: impl Send + 'static,
    send: impl Future<Output = Result<u64, NodeError>> + Send + 'static,
) -> Result<u64, CopyError> {
    let enqueued = tokio::spawn(async move {
        let enqueued = send.await;
        drop(guard);
        enqueued
    });
    let enqueued = enqueued.await.unwrap_or_else(|error| {
        Err(NodeError::Unreachable { url: node.node.clone(), reason: error.to_string() })
    });
    enqueued.map_err(|error| node.failed(error))
}

async fn drain_all(nodes: &[&Replica]) -> Result<(), CopyError> {
    let drained =
        nodes.iter().map(|node| async { drain(&node.client).await.map_err(|error| node.failed(error)) });
    try_join_all(drained).await.map(drop)
}
