//! Making one node's copy of shards equal to another's.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use miroir_core::shard::ShardId;
use serde_json::value::RawValue;
use tracing::debug;

use super::chunk::ChunkSize;
use super::document::same;
use super::settle::enqueue;
use super::{Context, CopiedIndex, CopyError, Progress, Replica};
use crate::indexes::Closed;
use crate::node_client::Document;

/// How long a node may take for a chunk; it may have much to do before.
const TASK_PATIENCE: Duration = Duration::from_secs(1800);
/// From this pass on the index's writes may be held back for the last one, if no more documents are left than that.
const HOLD_FROM: usize = 3;
const HOLD_AT_MOST: usize = 2000;
/// From this pass on they are held back however many are left.
const HOLD_ANYWAY_FROM: usize = 12;
const PASSES: usize = 20;

/// Makes the copy of an index's shards on `target` equal to that on `source`, while clients write to both. In the end each
/// document was equal once on both nodes, with nothing on its way that only one of them had.
///
/// It may be dropped at any point and begun again.
///
/// # Errors
/// [`CopyError::IndexChanged`] if the uid comes to name another index, else why it could not be finished.
pub async fn sync(
    context: Context<'_>,
    index: &CopiedIndex,
    shards: &[ShardId],
    source: &Replica,
    target: &Replica,
    progress: &Progress,
) -> Result<(), CopyError> {
    let nodes = [source, target];
    let mut copy = Copy { context, index, source, target, progress, size: ChunkSize::new(context.limits) };
    context.settle(index, &nodes).await?;
    let (ids, on_target) = copy.ids(shards).await?;
    progress.expect(ids.len());
    let mut left = copy.pass(&ids, Look { on_target: Some(&on_target), held: None }).await?;
    for pass in 1..PASSES {
        if left.is_empty() {
            return Ok(());
        }
        debug!(index = index.uid, target = target.node, pass, documents = left.len(), "looking again");
        context.settle(index, &nodes).await?;
        let may_hold = pass >= HOLD_FROM && left.len() <= HOLD_AT_MOST || pass >= HOLD_ANYWAY_FROM;
        if may_hold && let Some(held) = context.hold_still(index, &nodes).await? {
            let held = Arc::new(held);
            let look = Look { on_target: None, held: Some(&held) };
            let touched = copy.pass(&left, look).await?;
            let different = copy.pass(&touched, look).await?;
            return match different.first() {
                None => Ok(()),
                Some(example) => Err(copy.not_equal(different.len(), example)),
            };
        }
        left = copy.pass(&left, Look { on_target: None, held: None }).await?;
    }
    Err(CopyError::WritesUnderWay(index.uid.clone()))
}

struct Copy<'c> {
    context: Context<'c>,
    index: &'c CopiedIndex,
    source: &'c Replica,
    target: &'c Replica,
    progress: &'c Progress,
    size: ChunkSize,
}

/// How a pass looks at documents.
#[derive(Clone, Copy)]
struct Look<'l> {
    /// In the first pass, those that the target was seen to have: it is not asked for the others.
    on_target: Option<&'l HashSet<String>>,
    /// The index's gate, if it is held.
    held: Option<&'l Arc<Closed>>,
}

/// What is to be done on the target about a chunk of documents.
#[derive(Default)]
struct Changes {
    add: Vec<Box<RawValue>>,
    delete: Vec<String>,
    touched: Vec<String>,
}

impl Copy<'_> {
    /// The ids of all documents that either node holds, and those that the target does.
    async fn ids(&self, shards: &[ShardId]) -> Result<(Vec<String>, HashSet<String>), CopyError> {
        let _pass = self.context.gates.pass_for_copy(&self.index.uid).await;
        self.context.check_current(self.index, &[self.source, self.target]).await?;
        let list = async |node: &Replica| {
            let CopiedIndex { uid, primary_key, .. } = self.index;
            let clause = self.context.tags.clause(shards.iter().copied());
            let ids = node.client.ids_where(uid, primary_key, &clause).await;
            ids.map_err(|error| node.failed(error))
        };
        let (source, target) = tokio::try_join!(list(self.source), list(self.target))?;
        let on_target: HashSet<String> = target.into_iter().collect();
        let on_source: HashSet<&str> = source.iter().map(String::as_str).collect();
        let only_there: Vec<String> =
            on_target.iter().filter(|id| !on_source.contains(id.as_str())).cloned().collect();
        drop(on_source);
        let mut ids = source;
        ids.extend(only_there);
        Ok((ids, on_target))
    }

    /// Copies what differs of these documents, and returns the ids of what it touched.
    async fn pass(&mut self, ids: &[String], look: Look<'_>) -> Result<Vec<String>, CopyError> {
        let mut touched = Vec::new();
        let mut rest = ids;
        while !rest.is_empty() {
            if look.held.is_none() {
                self.context.pace.ready().await;
            }
            let (chunk, others) = rest.split_at(self.size.documents().min(rest.len()));
            let copied = self.chunk(chunk, look).await?;
            self.context.pace.charge(copied.len());
            touched.extend(copied);
            if look.on_target.is_some() {
                self.progress.done(chunk.len());
            }
            rest = others;
        }
        Ok(touched)
    }

    async fn chunk(&mut self, ids: &[String], look: Look<'_>) -> Result<Vec<String>, CopyError> {
        let CopiedIndex { uid, primary_key, .. } = self.index;
        let pass = match look.held {
            Some(held) => self.context.gates.pass_while_held(uid, held),
            None => self.context.gates.pass_for_copy(uid).await,
        };
        self.context.check_current(self.index, &[self.source, self.target]).await?;
        let of_target: Vec<String> = match look.on_target {
            Some(on_target) => ids.iter().filter(|id| on_target.contains(*id)).cloned().collect(),
            None => ids.to_vec(),
        };
        let read = async |node: &Replica, ids: &[String]| {
            let documents = node.client.documents(uid, primary_key, ids).await;
            documents.map_err(|error| node.failed(error))
        };
        let (source, target) = tokio::try_join!(read(self.source, ids), read(self.target, &of_target))?;
        self.size.learn(ids.len(), source.bytes.max(target.bytes));
        let unseen =
            look.on_target.map_or_else(Vec::new, |on_target| unseen(ids, &source.documents, on_target));
        let mut changes = changes(source.documents, target.documents);
        changes.touched.extend(unseen);
        self.progress.sent(changes.add.iter().map(|document| document.get().len()).sum());
        // Once enqueued, the node does it before whatever may come to change the uid's meaning.
        let guard = Arc::new((pass, look.held.cloned()));
        let mut tasks = Vec::new();
        if !changes.add.is_empty() {
            let (client, uid, primary_key) = (self.target.client.clone(), uid.clone(), primary_key.clone());
            let add = async move {
                client.add_documents(&uid, &primary_key, changes.add.iter().map(|json| &**json)).await
            };
            tasks.push(enqueue(self.target, guard.clone(), add).await?);
        }
        if !changes.delete.is_empty() {
            let (client, uid) = (self.target.client.clone(), uid.clone());
            let delete = async move { client.delete_documents(&uid, &changes.delete).await };
            tasks.push(enqueue(self.target, guard.clone(), delete).await?);
        }
        drop(guard);
        for task in tasks {
            let done = self.target.client.wait_for_task(task, TASK_PATIENCE).await;
            done.map_err(|error| self.target.failed(error))?;
        }
        Ok(changes.touched)
    }

    fn not_equal(&self, count: usize, example: &str) -> CopyError {
        CopyError::NotEqual {
            index: self.index.uid.clone(),
            node: self.target.node.clone(),
            count,
            example: example.to_owned(),
        }
    }
}

/// The documents that the source has lost since it was asked for its ids, and for which the target was not asked: a client's
/// partial update may have made them there, and what deleted them on the source may not have met them there. They are to
/// be looked at again.
fn unseen(ids: &[String], source: &[Document], on_target: &HashSet<String>) -> Vec<String> {
    let found: HashSet<&str> = source.iter().map(|document| &*document.id).collect();
    let is_unseen = |id: &&String| !found.contains(id.as_str()) && !on_target.contains(*id);
    ids.iter().filter(is_unseen).cloned().collect()
}

fn changes(source: Vec<Document>, target: Vec<Document>) -> Changes {
    let mut held: HashMap<String, Box<RawValue>> =
        target.into_iter().map(|document| (document.id, document.json)).collect();
    let mut changes = Changes::default();
    for document in source {
        if held.remove(&document.id).is_some_and(|held| same(&held, &document.json)) {
            continue;
        }
        changes.add.push(document.json);
        changes.touched.push(document.id);
    }
    changes.touched.extend(held.keys().cloned());
    changes.delete.extend(held.into_keys());
    changes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_source_has_lost_meanwhile_is_looked_at_again_on_the_target() {
        let ids = ["1", "2", "3"].map(str::to_owned);
        let json = serde_json::value::to_raw_value(&json!({"id": 1})).unwrap();
        let source = [Document { id: "1".into(), json }];
        assert_eq!(unseen(&ids, &source, &HashSet::from(["2".to_owned()])), ["3"]);
    }

    #[test]
    fn what_differs_is_replaced_and_what_the_target_alone_has_is_deleted() {
        let document = |id: u64, value: u64| Document {
            id: id.to_string(),
            json: serde_json::value::to_raw_value(&json!({"id": id, "value": value})).unwrap(),
        };
        let changes = changes(
            vec![document(1, 1), document(2, 2), document(3, 3)],
            vec![document(2, 2), document(3, 0), document(4, 4)],
        );
        let added: Vec<&str> = changes.add.iter().map(|json| json.get()).collect();
        assert_eq!(added, [r#"{"id":1,"value":1}"#, r#"{"id":3,"value":3}"#]);
        assert_eq!(changes.delete, ["4"]);
        assert_eq!(changes.touched, ["1", "3", "4"]);
    }
}
