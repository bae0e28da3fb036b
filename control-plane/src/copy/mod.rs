//! Copies of documents: making one replica of a shard equal to another, and finding out where replicas differ.
//!
//! A copy never waits for clients and never keeps them waiting, but for a moment at the very end where they write faster
//! than it copies. So what it reads may be out of date when it is written, and what it writes may undo a client's write
//! on the target. That is why [`sync`] looks again at every document that it has touched, once all writes that began
//! before are on both nodes, until source and target were equal in each.
//!
//! Nobody may read the target's copy meanwhile, and the source must have missed no write in the end: the caller keeps
//! the target marked stale, and checks the source's mark before it clears the target's.

mod chunk;
mod compare;
mod document;
mod pace;
mod progress;
mod retag;
mod scan;
mod settle;
mod strays;
mod sync;
mod tags;

pub use chunk::ChunkLimits;
pub use compare::{Difference, SomeIds, compare};
pub use document::same;
pub use pace::Pace;
pub use progress::{Progress, ProgressNow};
pub use retag::tag_all;
pub use scan::{NodeScan, scan};
pub use strays::{Misplaced, Owners, Rehomed, delete_misplaced, rehome};
pub use sync::sync;

use std::collections::BTreeSet;
use std::time::Duration;

use miroir_core::tag::Tags;

use crate::indexes::Gates;
use crate::node_client::{NodeClient, NodeError};
use crate::store::{IndexRecord, Store, StoreError};

/// What all copies share.
#[derive(Clone, Copy)]
pub struct Context<'c> {
    /// Says what the uids of indexes name.
    pub store: &'c dyn Store,
    /// Knows the writes that are under way.
    pub gates: &'c Gates,
    /// Which tags documents carry.
    pub tags: Tags,
    /// How fast all copies together may be.
    pub pace: &'c Pace,
    /// How much is handled at once.
    pub limits: ChunkLimits,
    /// How long clients' writes that have begun are waited for.
    pub write_patience: Duration,
}

/// A node that holds copies.
#[derive(Clone, Debug)]
pub struct Replica {
    /// The node's id.
    pub node: String,
    /// Speaks to it.
    pub client: NodeClient,
}

/// The index whose documents are copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedIndex {
    /// Its uid.
    pub uid: String,
    /// Its primary key.
    pub primary_key: String,
    /// When this changes, the uid names another index.
    pub generation: u64,
}

/// The indexes that are done, by uid and generation.
pub type DoneIndexes = BTreeSet<(String, u64)>;

impl CopiedIndex {
    /// The index of a record; `None` if it has no primary key yet, and so no documents.
    pub fn new(record: &IndexRecord) -> Option<CopiedIndex> {
        let primary_key = record.primary_key.clone()?;
        Some(CopiedIndex { uid: record.uid.clone(), primary_key, generation: record.generation })
    }

    /// An index that is not done yet; `None` if all are. To be asked again after each: what is created or renamed meanwhile
    /// must be dealt with, too.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn next(store: &dyn Store, done: &DoneIndexes) -> Result<Option<CopiedIndex>, StoreError> {
        let indexes = store.indexes().await?;
        let mut with_documents = indexes.values().filter_map(CopiedIndex::new);
        Ok(with_documents.find(|index| !done.contains(&(index.uid.clone(), index.generation))))
    }
}

/// Why a copy was not finished. It may be begun again at any time, after whatever it has done.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The uid names another index by now, or none, or will on one of the nodes as soon as that is in step: the caller
    /// looks at the indexes anew.
    #[error("`{0}` is another index by now")]
    IndexChanged(String),
    /// A node did not do its part.
    #[error("node {node}: {error}")]
    Node {
        /// The node's id.
        node: String,
        /// What it says.
        error: NodeError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Clients' writes to the index did not come to an end.
    #[error("writes to index `{0}` are under way for too long")]
    WritesUnderWay(String),
    /// The nodes differ although nobody writes: one of them does not store what it is given.
    #[error(
        "{count} documents of index `{index}` on node {node} are not as they were copied, `{example}` for one"
    )]
    NotEqual {
        /// The index's uid.
        index: String,
        /// The target's id.
        node: String,
        /// How many documents differ.
        count: usize,
        /// The id of one of them.
        example: String,
    },
}

impl Replica {
    /// What went wrong here.
    pub fn failed(&self, error: NodeError) -> CopyError {
        CopyError::Node { node: self.node.clone(), error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Jobs run in the background.
    #[allow(dead_code)]
    fn all_can_be_spawned<'a>(
        context: Context<'a>,
        index: &'a CopiedIndex,
        replicas: &'a [&'a Replica],
        owners: &'a Owners,
        progress: &'a Progress,
    ) {
        fn can_be_spawned(_: impl Send) {}
        let node = replicas[0];
        let nothing = &const { std::collections::BTreeSet::new() };
        can_be_spawned(sync(context, index, &[], node, node, progress));
        can_be_spawned(compare(context, index, 0, replicas, 0));
        can_be_spawned(scan(context, index, node, nothing));
        can_be_spawned(tag_all(context, index, node, progress));
        can_be_spawned(rehome(context, index, node, &[], owners));
        can_be_spawned(delete_misplaced(context, index, node, 0, &owners[0]));
    }
}
