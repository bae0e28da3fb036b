//! What a node holds that it should not hold, or not so.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::shard::ShardId;
use miroir_core::tag::{TAG_FIELD, filter_clause};

use super::{Context, CopiedIndex, CopyError, Replica};

/// What is wrong with the documents of an index on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeScan {
    /// The node's id.
    pub node: String,
    /// The ids of the documents without a tag.
    pub untagged: Vec<String>,
    /// The ids of the documents whose tag is not that of their shard.
    pub mistagged: Vec<String>,
    /// How many documents it holds, rightly tagged, of each shard that it should not hold.
    pub misplaced: BTreeMap<ShardId, u64>,
}

impl NodeScan {
    /// Whether all is as it should be.
    pub fn is_clean(&self) -> bool {
        self.untagged.is_empty() && self.mistagged.is_empty() && self.misplaced.is_empty()
    }
}

/// Looks at the tags of all documents of an index on a node that may hold these shards: those that it owns, and those that it
/// is about to own or has not been cleared of yet. A tag is right if a document would be written with it now.
///
/// # Errors
/// [`CopyError::IndexChanged`] if the uid comes to name another index, else why it could not be looked at.
pub async fn scan(
    context: Context<'_>,
    index: &CopiedIndex,
    node: &Replica,
    may_hold: &BTreeSet<ShardId>,
) -> Result<NodeScan, CopyError> {
    let CopiedIndex { uid, primary_key, .. } = index;
    let list = async |filter: String| {
        let _pass = context.gates.pass_for_copy(uid).await;
        context.check_current(index, &[node]).await?;
        let ids = node.client.ids_where(uid, primary_key, &filter).await;
        ids.map_err(|error| node.failed(error))
    };
    let untagged = list(format!("{TAG_FIELD} NOT EXISTS")).await?;
    let tags = context.tags;
    let no_shard_s = format!("{TAG_FIELD} EXISTS AND NOT {}", filter_clause(0..tags.found));
    let mut mistagged: BTreeSet<String> = list(no_shard_s).await?.into_iter().collect();
    let mut misplaced = BTreeMap::new();
    for shard in 0..tags.shards {
        for tag in tags.of_shard(shard) {
            let mut ids = list(filter_clause([tag])).await?;
            mistagged.extend(ids.extract_if(.., |id| tags.of_document(id) != tag));
            if !ids.is_empty() && !may_hold.contains(&shard) {
                *misplaced.entry(shard).or_default() += ids.len() as u64;
            }
        }
    }
    let mistagged = mistagged.into_iter().collect();
    Ok(NodeScan { node: node.node.clone(), untagged, mistagged, misplaced })
}
