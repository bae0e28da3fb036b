//! Bringing documents to where they belong.
//!
//! A document without its tag, or with a wrong one, is found by no search that asks by tag, and its replicas don't know of
//! it. Somebody wrote it to a node past Miroir, or it was there before Miroir was.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use miroir_core::shard::{ShardId, shard_of};
use miroir_core::tag::{TAG_FIELD, encode};
use serde_json::value::RawValue;
use tracing::warn;

use super::chunk::ChunkSize;
use super::settle::enqueue;
use super::tags::{change_of_tag, tag_of, with_tag};
use super::{Context, CopiedIndex, CopyError, Replica};
use crate::indexes::{Closed, CopyPass};
use crate::node_client::{Document, NodeError};

const TASK_PATIENCE: Duration = Duration::from_secs(600);
/// Clients' writes wait while so many documents are dealt with.
const AT_ONCE: usize = 500;

/// The owners of each shard, in all groups; there are as many shards as this is long.
pub type Owners = [Vec<Replica>];

/// What became of documents that were not where they belonged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rehomed {
    /// How many got their tag on the node itself.
    pub retagged: u64,
    /// How many copies owners got that had none.
    pub copied: u64,
    /// How many were deleted from the node, which owns their shards not.
    pub deleted: u64,
    /// How many have to wait until an owner's own copy was given its tag.
    pub left: u64,
}

/// Gives these documents of a node, which may lack their tags, to the owners of their shards where those have none of that
/// id, and then their tags on the node itself; if that is no owner, they are deleted there once all owners are seen to
/// have them.
///
/// Clients' writes wait for a moment per chunk, so that nothing is brought back which they delete meanwhile. A partial
/// update with `skipCreation` would do without, but not all Meilisearch servers know it.
///
/// # Errors
/// [`CopyError::IndexChanged`] if the uid comes to name another index, else why it could not be finished. It may be
/// begun again.
pub async fn rehome(
    context: Context<'_>,
    index: &CopiedIndex,
    node: &Replica,
    ids: &[String],
    owners: &Owners,
) -> Result<Rehomed, CopyError> {
    let limits = super::ChunkLimits { documents: context.limits.documents.min(AT_ONCE), ..context.limits };
    let mut size = ChunkSize::new(limits);
    let mut strays = Strays { index, node, owners, held: None, done: Rehomed::default() };
    let mut rest = ids;
    while !rest.is_empty() {
        context.pace.ready().await;
        let (chunk, others) = rest.split_at(size.documents().min(rest.len()));
        let shards: BTreeSet<ShardId> = chunk.iter().map(|id| strays.shard_of(id)).collect();
        let mut nodes: BTreeMap<&str, &Replica> = shards
            .iter()
            .flat_map(|shard| strays.owners(*shard))
            .map(|owner| (&*owner.node, owner))
            .collect();
        nodes.insert(&node.node, node);
        let nodes: Vec<&Replica> = nodes.into_values().collect();
        let held = context.hold(index, &nodes).await?;
        strays.held = Some(Arc::new((context.gates.pass_while_held(&index.uid, &held), held)));
        let bytes = strays.rehome_chunk(chunk, &shards).await?;
        strays.held = None;
        size.learn(chunk.len(), bytes);
        context.pace.charge(chunk.len());
        rest = others;
    }
    Ok(strays.done)
}

struct Strays<'s> {
    index: &'s CopiedIndex,
    node: &'s Replica,
    owners: &'s Owners,
    /// While a chunk is dealt with.
    held: Option<Arc<(CopyPass, Closed)>>,
    done: Rehomed,
}

impl<'s> Strays<'s> {
    fn shard_of(&self, id: &str) -> ShardId {
        shard_of(id, self.owners.len() as ShardId)
    }

    fn owners(&self, shard: ShardId) -> &'s [Replica] {
        self.owners.get(shard as usize).map_or(&[], Vec::as_slice)
    }

    async fn rehome_chunk(&mut self, ids: &[String], shards: &BTreeSet<ShardId>) -> Result<usize, CopyError> {
        let CopiedIndex { uid, primary_key, .. } = self.index;
        let failed = |error| self.node.failed(error);
        let read = self.node.client.documents(uid, primary_key, ids).await.map_err(failed)?;
        for shard in shards {
            let mut documents: Vec<&Document> =
                read.documents.iter().filter(|document| self.shard_of(&document.id) == *shard).collect();
            let mut is_owner = false;
            for owner in self.owners(*shard) {
                match owner.node == self.node.node {
                    true => is_owner = true,
                    false => self.give(owner, *shard, &mut documents).await?,
                }
            }
            match is_owner {
                true => self.retag(*shard, &documents).await?,
                false if self.owners(*shard).is_empty() => self.done.left += documents.len() as u64,
                false => self.delete(&documents).await?,
            }
        }
        Ok(read.bytes)
    }

    /// Gives an owner those of the documents that it lacks. Where it has one with a wrong tag, which is dealt with when
    /// its own strays are, the document is taken out of `documents`.
    async fn give(
        &mut self,
        owner: &Replica,
        shard: ShardId,
        documents: &mut Vec<&Document>,
    ) -> Result<(), CopyError> {
        let CopiedIndex { uid, primary_key, .. } = self.index;
        let failed = |error| owner.failed(error);
        let ids: Vec<String> = documents.iter().map(|document| document.id.clone()).collect();
        let held = self.tags(owner, &ids).await?;
        let lacking: Vec<Box<RawValue>> = documents
            .iter()
            .filter(|document| !held.contains_key(&document.id))
            .map(|document| with_tag(&document.json, shard))
            .collect::<Result<_, _>>()
            .map_err(|error| self.not_json(&error))?;
        if !lacking.is_empty() {
            let count = lacking.len() as u64;
            let (client, uid, primary_key) = (owner.client.clone(), uid.clone(), primary_key.clone());
            let add = async move {
                client.add_documents(&uid, &primary_key, lacking.iter().map(|json| &**json)).await
            };
            let task = enqueue(owner, self.held.clone(), add).await?;
            owner.client.wait_for_task(task, TASK_PATIENCE).await.map_err(failed)?;
            self.done.copied += count;
        }
        let held = self.tags(owner, &ids).await?;
        let before = documents.len();
        documents.retain(|document| held.get(&document.id) == Some(&Some(encode(shard))));
        self.done.left += (before - documents.len()) as u64;
        Ok(())
    }

    /// The tags of those of the documents that a node has.
    async fn tags(
        &self,
        node: &Replica,
        ids: &[String],
    ) -> Result<IndexMap<String, Option<String>>, CopyError> {
        let CopiedIndex { uid, primary_key, .. } = self.index;
        let read = node.client.document_fields(uid, primary_key, ids, &[primary_key, TAG_FIELD]).await;
        let read = read.map_err(|error| node.failed(error))?;
        Ok(read.documents.into_iter().map(|document| (document.id, tag_of(&document.json))).collect())
    }

    async fn retag(&mut self, shard: ShardId, documents: &[&Document]) -> Result<(), CopyError> {
        let CopiedIndex { uid, primary_key, .. } = self.index;
        let failed = |error| self.node.failed(error);
        let tag = encode(shard);
        let wrong = documents.iter().filter(|document| tag_of(&document.json).as_ref() != Some(&tag));
        let changes: Vec<Box<RawValue>> = wrong
            .map(|document| change_of_tag(&document.json, primary_key, shard))
            .collect::<Result<_, _>>()
            .map_err(|error| self.not_json(&error))?;
        if changes.is_empty() {
            return Ok(());
        }
        let count = changes.len() as u64;
        let (client, uid, primary_key) = (self.node.client.clone(), uid.clone(), primary_key.clone());
        let update = async move {
            client.update_documents(&uid, &primary_key, changes.iter().map(|json| &**json)).await
        };
        let task = enqueue(self.node, self.held.clone(), update).await?;
        self.node.client.wait_for_task(task, TASK_PATIENCE).await.map_err(failed)?;
        self.done.retagged += count;
        Ok(())
    }

    async fn delete(&mut self, documents: &[&Document]) -> Result<(), CopyError> {
        if documents.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = documents.iter().map(|document| document.id.clone()).collect();
        let failed = |error| self.node.failed(error);
        let count = ids.len() as u64;
        let (client, uid) = (self.node.client.clone(), self.index.uid.clone());
        let delete = async move { client.delete_documents(&uid, &ids).await };
        let task = enqueue(self.node, self.held.clone(), delete).await?;
        self.node.client.wait_for_task(task, TASK_PATIENCE).await.map_err(failed)?;
        self.done.deleted += count;
        Ok(())
    }

    fn not_json(&self, error: &serde_json::Error) -> CopyError {
        self.node.failed(NodeError::Garbage { url: self.node.node.clone(), reason: error.to_string() })
    }
}

/// What became of the documents of a shard on a node that does not own it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misplaced {
    /// How many were deleted, since all owners have documents of their ids.
    pub deleted: u64,
    /// The ids of those that not all owners have: clients may have deleted them from the owners, or the owners may have
    /// lost them. They are left as they are.
    pub kept: Vec<String>,
}

/// Deletes what a node holds of a shard that it does not own, as far as all owners of the shard have it. The caller sees to
/// it that the node does not become an owner meanwhile.
///
/// # Errors
/// [`CopyError::IndexChanged`] if the uid comes to name another index, else why it could not be finished.
pub async fn delete_misplaced(
    context: Context<'_>,
    index: &CopiedIndex,
    node: &Replica,
    shard: ShardId,
    owners: &[Replica],
) -> Result<Misplaced, CopyError> {
    let mut misplaced = Misplaced::default();
    if owners.is_empty() || owners.iter().any(|owner| owner.node == node.node) {
        warn!(
            node = node.node,
            shard, "a node that owns a shard, or a shard that nobody owns, is left alone"
        );
        return Ok(misplaced);
    }
    let mut nodes: Vec<&Replica> = owners.iter().collect();
    nodes.push(node);
    context.settle(index, &nodes).await?;
    let pass = context.gates.pass_for_copy(&index.uid).await;
    context.check_current(index, &nodes).await?;
    let list = async |node: &Replica| {
        let clause = context.tags.clause([shard]);
        let ids = node.client.ids_where(&index.uid, &index.primary_key, &clause).await;
        ids.map_err(|error| node.failed(error))
    };
    let ids = list(node).await?;
    let mut owned: Vec<HashSet<String>> = Vec::with_capacity(owners.len());
    for owner in owners {
        owned.push(list(owner).await?.into_iter().collect());
    }
    drop(pass);
    let (deletable, kept): (Vec<String>, Vec<String>) =
        ids.into_iter().partition(|id| owned.iter().all(|owned| owned.contains(id)));
    misplaced.kept = kept;
    for chunk in deletable.chunks(context.limits.documents.max(1)) {
        context.pace.ready().await;
        let pass = context.gates.pass_for_copy(&index.uid).await;
        context.check_current(index, &[node]).await?;
        let failed = |error| node.failed(error);
        // Once enqueued, the node does it before whatever may come to change the uid's meaning.
        let (client, uid, ids) = (node.client.clone(), index.uid.clone(), chunk.to_vec());
        let delete = async move { client.delete_documents(&uid, &ids).await };
        let task = enqueue(node, pass, delete).await?;
        node.client.wait_for_task(task, TASK_PATIENCE).await.map_err(failed)?;
        context.pace.charge(chunk.len());
        misplaced.deleted += chunk.len() as u64;
    }
    Ok(misplaced)
}
