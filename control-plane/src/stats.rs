//! What the nodes count, added up so that each document counts once.

use std::collections::BTreeMap;

use futures::future::join_all;
use indexmap::IndexMap;
use miroir_core::documents::split::owners;
use miroir_core::shard::ShardId;
use miroir_core::table::{NodeIndex, RoutingTable};
use miroir_core::tag::TAG_FIELD;
use time::OffsetDateTime;
use tracing::warn;

use crate::cluster::Cluster;
use crate::node_client::{NodeClient, NodeError, NodeIndexStats, NodeStats};
use crate::store::{IndexRecord, StoreError};

/// What all nodes count in all.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct ClusterStats {
    /// On all disks, copies included.
    pub database_size: u64,
    pub used_database_size: u64,
    pub indexes: BTreeMap<String, IndexStats>,
}

/// What all nodes count of an index.
#[derive(Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct IndexStats {
    pub documents: u64,
    pub raw_document_db_size: u64,
    pub is_indexing: bool,
    pub embeddings: u64,
    pub embedded_documents: u64,
    pub field_distribution: IndexMap<String, u64>,
    /// On all disks, copies included.
    pub internal_database_sizes: BTreeMap<String, u64>,
    pub updated_at: Option<OffsetDateTime>,
}

/// The stats of the cluster.
///
/// # Errors
/// If the store fails. What nodes don't answer is left out.
pub async fn cluster(cluster: &Cluster) -> Result<ClusterStats, StoreError> {
    let table = cluster.table();
    let nodes =
        join_all(up_nodes(cluster, &table).map(|(_, client)| async move { client.stats().await })).await;
    let nodes: Vec<NodeStats> = nodes.into_iter().filter_map(logged).collect();
    let indexes = cluster.store.indexes().await?.into_iter();
    let (table, nodes) = (&*table, &nodes);
    let indexes = indexes.map(|(uid, index)| async move {
        let nodes = nodes.iter().filter_map(|node| node.indexes.get(&uid).cloned()).collect();
        let documents = count_documents(cluster, table, &uid).await;
        (uid, IndexStats { updated_at: Some(index.updated_at), ..add_up(documents, nodes) })
    });
    Ok(ClusterStats {
        database_size: nodes.iter().map(|node| node.database_size).sum(),
        used_database_size: nodes.iter().map(|node| node.used_database_size).sum(),
        indexes: join_all(indexes).await.into_iter().collect(),
    })
}

/// The stats of one index. What nodes don't answer is left out.
pub async fn index(cluster: &Cluster, index: &IndexRecord) -> IndexStats {
    let table = cluster.table();
    let nodes =
        up_nodes(cluster, &table).map(|(_, client)| async move { client.index_stats(&index.uid).await });
    let nodes = join_all(nodes).await.into_iter().filter_map(logged).collect();
    let stats = add_up(count_documents(cluster, &table, &index.uid).await, nodes);
    IndexStats { updated_at: Some(index.updated_at), ..stats }
}

fn up_nodes<'c>(
    cluster: &'c Cluster,
    table: &'c RoutingTable,
) -> impl Iterator<Item = (NodeIndex, NodeClient)> + 'c {
    let up = table.nodes.iter().enumerate().filter(|(_, node)| node.up);
    up.filter_map(|(index, node)| Some((index, cluster.client(&node.id)?)))
}

fn logged<T>(result: Result<T, NodeError>) -> Option<T> {
    result.inspect_err(|error| warn!(%error, "a node did not tell its stats")).ok()
}

/// Counts the documents of one copy of each shard.
async fn count_documents(cluster: &Cluster, table: &RoutingTable, uid: &str) -> u64 {
    let covering = covering_set(table);
    let counts = up_nodes(cluster, table).filter_map(|(node, client)| {
        let shards = covering.get(&node)?;
        // Where it holds nothing else, documents count that have no tag yet, too.
        let has_others = !table.nodes[node].leftovers.is_empty() || owned(table, node) != *shards;
        let clause = has_others.then(|| table.tags().clause(shards.iter().copied()));
        Some(async move { client.count_documents(uid, clause.as_deref()).await })
    });
    join_all(counts).await.into_iter().filter_map(logged).sum()
}

/// The shards that a node owns.
fn owned(table: &RoutingTable, node: NodeIndex) -> Vec<ShardId> {
    (0..table.shards).filter(|&shard| owners(table, shard).any(|owner| owner == node)).collect()
}

/// For each shard one clean copy on a node that is up, by node. What has none is left out.
fn covering_set(table: &RoutingTable) -> BTreeMap<NodeIndex, Vec<ShardId>> {
    let mut covering: BTreeMap<NodeIndex, Vec<ShardId>> = BTreeMap::new();
    for shard in 0..table.shards {
        let mut readers = table.groups.iter().flat_map(|group| table.readers(group, shard)).copied();
        let readable = |&node: &NodeIndex| table.nodes[node].up && !table.is_stale(node, shard);
        if let Some(node) = readers.find(readable) {
            covering.entry(node).or_default().push(shard);
        }
    }
    covering
}

/// Adds up what nodes count of an index that has so many documents, each of which is on several nodes: what is
/// counted per copy is scaled by how many of the copies count.
fn add_up(documents: u64, nodes: Vec<NodeIndexStats>) -> IndexStats {
    let copies: u64 = nodes.iter().map(|node| node.number_of_documents).sum();
    let once = |sum: u64| match copies {
        0 => 0,
        copies => {
            ((u128::from(sum) * u128::from(documents) + u128::from(copies / 2)) / u128::from(copies)) as u64
        }
    };
    let mut fields: IndexMap<String, u64> = IndexMap::new();
    for (field, count) in nodes.iter().flat_map(|node| &node.field_distribution) {
        if field != TAG_FIELD {
            *fields.entry(field.clone()).or_default() += count;
        }
    }
    fields.sort_unstable_keys();
    let mut internal_database_sizes = BTreeMap::new();
    for (name, size) in nodes.iter().flat_map(|node| &node.internal_database_sizes) {
        *internal_database_sizes.entry(name.clone()).or_default() += size;
    }
    let sum = |count: fn(&NodeIndexStats) -> u64| once(nodes.iter().map(count).sum());
    IndexStats {
        documents,
        raw_document_db_size: sum(|node| node.raw_document_db_size),
        is_indexing: nodes.iter().any(|node| node.is_indexing),
        embeddings: sum(|node| node.number_of_embeddings.unwrap_or(0)),
        embedded_documents: sum(|node| node.number_of_embedded_documents.unwrap_or(0)),
        field_distribution: fields.into_iter().map(|(field, count)| (field, once(count))).collect(),
        internal_database_sizes,
        updated_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_count_once_and_the_tag_does_not_show() {
        let node = |documents, titles| NodeIndexStats {
            number_of_documents: documents,
            raw_document_db_size: documents * 100,
            is_indexing: documents == 3,
            field_distribution: IndexMap::from([
                ("title".to_owned(), titles),
                (TAG_FIELD.to_owned(), documents),
                ("id".to_owned(), documents),
            ]),
            ..NodeIndexStats::default()
        };
        let stats = add_up(5, vec![node(3, 2), node(4, 2), node(3, 2)]);
        assert_eq!(
            stats,
            IndexStats {
                documents: 5,
                raw_document_db_size: 500,
                is_indexing: true,
                field_distribution: IndexMap::from([("id".to_owned(), 5), ("title".to_owned(), 3)]),
                ..IndexStats::default()
            }
        );
        assert_eq!(add_up(0, vec![]), IndexStats::default());
    }
}
