//! Giving documents their tags where they are.

use std::sync::Arc;
use std::time::Duration;

use miroir_core::tag::{TAG_FIELD, encode};
use serde_json::value::RawValue;

use super::chunk::ChunkSize;
use super::scan::scan;
use super::settle::enqueue;
use super::tags::{change_of_tag, tag_of};
use super::{ChunkLimits, Context, CopiedIndex, CopyError, Progress, Replica};
use crate::node_client::{Documents, NodeError};

/// How long a node may take for a chunk.
const TASK_PATIENCE: Duration = Duration::from_secs(1800);
/// Clients' writes wait while so many documents are looked at.
const AT_ONCE: usize = 2000;

/// Gives all documents of an index on a node the tags with which they would be written now, until none has another.
///
/// # Errors
/// As [`retag`].
pub async fn tag_all(
    context: Context<'_>,
    index: &CopiedIndex,
    node: &Replica,
    progress: &Progress,
) -> Result<(), CopyError> {
    let all = (0..context.tags.shards).collect();
    // What is on its way may have other tags.
    context.settle(index, &[node]).await?;
    loop {
        let scan = scan(context, index, node, &all).await?;
        let ids: Vec<String> = scan.untagged.into_iter().chain(scan.mistagged).collect();
        if ids.is_empty() {
            return Ok(());
        }
        progress.expect(ids.len());
        retag(context, index, node, &ids, progress).await?;
    }
}

/// Gives these documents of a node the tags with which they would be written now. All else of them stays as it is, and so does
/// what a client writes meanwhile: it waits for a moment per chunk, lest a document come back that it deletes.
///
/// # Errors
/// [`CopyError::IndexChanged`] if the uid comes to name another index, else why it could not be finished. It may be begun
/// again.
async fn retag(
    context: Context<'_>,
    index: &CopiedIndex,
    node: &Replica,
    ids: &[String],
    progress: &Progress,
) -> Result<(), CopyError> {
    let CopiedIndex { uid, primary_key, .. } = index;
    let mut size =
        ChunkSize::new(ChunkLimits { documents: context.limits.documents.min(AT_ONCE), ..context.limits });
    let mut rest = ids;
    while !rest.is_empty() {
        context.pace.ready().await;
        let (chunk, others) = rest.split_at(size.documents().min(rest.len()));
        let held = Arc::new(context.hold(index, &[node]).await?);
        let pass = context.gates.pass_while_held(uid, &held);
        let read = read(node, index, chunk).await.map_err(|error| node.failed(error))?;
        size.learn(chunk.len(), read.bytes);
        let tag = |id: &str| context.tags.of_document(id);
        let is_wrong = |id: &str, json: &RawValue| tag_of(json) != Some(encode(tag(id)));
        let wrong = read.documents.iter().filter(|document| is_wrong(&document.id, &document.json));
        let changes: Vec<Box<RawValue>> = wrong
            .map(|document| change_of_tag(&document.json, primary_key, tag(&document.id)))
            .collect::<Result<_, _>>()
            .map_err(|error| node.failed(not_json(node, &error)))?;
        // What clients send next comes after it on the node.
        let guard = (pass, held);
        if !changes.is_empty() {
            progress.sent(changes.iter().map(|change| change.get().len()).sum());
            let (client, uid, primary_key) = (node.client.clone(), uid.clone(), primary_key.clone());
            let update = async move {
                client.update_documents(&uid, &primary_key, changes.iter().map(|json| &**json)).await
            };
            let task = enqueue(node, guard, update).await?;
            node.client.wait_for_task(task, TASK_PATIENCE).await.map_err(|error| node.failed(error))?;
        }
        context.pace.charge(chunk.len());
        progress.done(chunk.len());
        rest = others;
    }
    Ok(())
}

/// No more of the documents than is needed, but for those whose id is deep inside a field: the field is given anew as a
/// whole.
async fn read(node: &Replica, index: &CopiedIndex, ids: &[String]) -> Result<Documents, NodeError> {
    let CopiedIndex { uid, primary_key, .. } = index;
    match primary_key.contains('.') {
        true => node.client.documents(uid, primary_key, ids).await,
        false => node.client.document_fields(uid, primary_key, ids, &[primary_key, TAG_FIELD]).await,
    }
}

fn not_json(node: &Replica, error: &serde_json::Error) -> NodeError {
    NodeError::Garbage { url: node.node.clone(), reason: error.to_string() }
}
