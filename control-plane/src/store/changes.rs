//! Changes of what the uids of indexes name, and which nodes have still to take them.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{IndexChange, IndexRecord};

/// A change of what uids name that every node takes, in the order in which changes of the same index were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeChange {
    /// The index is deleted.
    Delete(String),
    /// Pairs of indexes exchange their uids.
    Swap(Vec<IndexSwap>),
}

impl NodeChange {
    /// The uids that it is about.
    pub fn uids(&self) -> Vec<&str> {
        match self {
            NodeChange::Delete(uid) => vec![uid],
            NodeChange::Swap(swaps) => swaps.iter().flat_map(IndexSwap::uids).collect(),
        }
    }
}

/// Two indexes that exchange their uids, as Meilisearch shows them in `details.swaps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexSwap {
    /// Their uids.
    pub indexes: (String, String),
    /// Whether there is no second index, and the first takes its uid.
    #[serde(default)]
    pub rename: bool,
}

impl IndexSwap {
    /// Both uids.
    pub fn uids(&self) -> [&str; 2] {
        [&self.indexes.0, &self.indexes.1]
    }

    /// What an index of this uid is called after it.
    pub fn renamed<'s>(&'s self, uid: &'s str) -> &'s str {
        match self.uids() {
            [left, right] if left == uid => right,
            [left, right] if right == uid => left,
            _ => uid,
        }
    }
}

/// A change that a node has still to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingChange {
    /// Grows from change to change.
    pub id: u64,
    /// What it is.
    pub change: NodeChange,
    /// The least uid that the change's task can have on the node if it was enqueued although no answer came; `None` if
    /// it was never sent.
    pub sent_from: Option<u64>,
}

/// A change of the indexes that is recorded with its task, see [`Store::register_change`](super::Store::register_change).
#[derive(Clone, Debug)]
pub enum IndexesChange {
    /// An index is created.
    Create(IndexRecord),
    /// What uids name changes.
    Names(NamesChange),
}

/// A change of what uids name: index records, settings versions and the tasks registered so far go by their new uids, and
/// each of the nodes has the change pending.
#[derive(Clone, Debug)]
pub struct NamesChange {
    /// The change.
    pub change: NodeChange,
    /// When it was made; see [`IndexRecord::generation`](super::IndexRecord::generation).
    pub at: OffsetDateTime,
    /// The nodes that are to take it, each with [`PendingChange::sent_from`].
    pub nodes: Vec<(String, Option<u64>)>,
    /// What else changes of an index that is renamed.
    pub besides: Option<IndexChange>,
}

impl NamesChange {
    /// An index as it is after one of the swaps.
    pub fn swapped(&self, index: IndexRecord, swap: &IndexSwap) -> IndexRecord {
        let uid = swap.renamed(&index.uid).to_owned();
        let index = IndexRecord { uid, generation: generation(self.at), ..index };
        match self.besides.clone() {
            Some(change) => index.changed(change),
            None => index,
        }
    }
}

/// The generation of an index whose uid came to name it at this moment.
pub fn generation(at: OffsetDateTime) -> u64 {
    u64::try_from(at.unix_timestamp_nanos()).unwrap_or(0)
}
