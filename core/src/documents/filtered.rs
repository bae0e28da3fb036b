//! Filters, narrowed to the documents of some shards.

use serde_json::{Value, json};

use crate::documents::delete::counting_owner;
use crate::documents::split::owners;
use crate::documents::tally::Tally;
use crate::shard::ShardId;
use crate::table::{NodeIndex, RoutingTable};

/// Whether Meilisearch reads conditions in a filter, perhaps wrong ones. An empty one selects everything, which is why
/// Meilisearch refuses it where documents would be changed.
pub fn has_conditions(filter: &Value) -> bool {
    match filter {
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(filters) => filters.iter().any(has_conditions),
        _ => false,
    }
}

/// A filter for what both the user's filter, if there is one, and the clause select.
pub fn narrowed(filter: Option<&Value>, clause: Option<String>) -> Value {
    match (filter, clause) {
        (filter, None) => filter.cloned().unwrap_or(Value::Null),
        (None, Some(clause)) => clause.into(),
        // The outermost list is a conjunction. Each of its members is read by itself.
        (Some(Value::Array(filters)), Some(clause)) => {
            std::iter::once(clause.into()).chain(filters.iter().cloned()).collect()
        }
        (Some(filter), Some(clause)) => json!([clause, filter]),
    }
}

/// Documents that a node is to be asked to change.
#[derive(Debug)]
pub struct Selection {
    /// The node.
    pub node: NodeIndex,
    /// Whether its count goes into the client's task.
    pub counted: bool,
    /// The shards, as one document of each.
    pub shards: Tally,
    /// What selects them among the documents of the node; `None` if it has no others.
    pub clause: Option<String>,
}

/// All documents on all their owners: those whose change a node counts for the client apart from its other copies.
pub fn everything(table: &RoutingTable) -> Vec<Selection> {
    let counting: Vec<Option<NodeIndex>> =
        (0..table.shards).map(|shard| counting_owner(table, shard)).collect();
    let of_node = |(node, facts): (NodeIndex, &crate::table::Node)| {
        let owned: Vec<ShardId> =
            (0..table.shards).filter(|&shard| owners(table, shard).any(|owner| owner == node)).collect();
        let (counted, others): (Vec<ShardId>, Vec<ShardId>) = owned
            .into_iter()
            .partition(|&shard| counting.get(shard as usize).copied().flatten() == Some(node));
        let has_all = |shards: &[ShardId], rest: &[ShardId]| {
            !shards.is_empty() && rest.is_empty() && facts.leftovers.is_empty()
        };
        let parts = [(true, &counted, &others), (false, &others, &counted)].map(|(counted, shards, rest)| {
            let mut tally = Tally::empty(table.shards);
            shards.iter().for_each(|&shard| tally.add(shard));
            let clause = (!has_all(shards, rest)).then(|| table.tags().clause(shards.iter().copied()));
            Selection { node, counted, shards: tally, clause }
        });
        parts.into_iter().filter(|part| !part.shards.is_empty()).collect::<Vec<_>>()
    };
    table.nodes.iter().enumerate().flat_map(of_node).collect()
}

/// On how many nodes each document is, if that is the same for all and every node is up and has all it should have
/// and nothing else.
pub fn copies(table: &RoutingTable) -> Option<u64> {
    let is_in_order = table.stale.iter().all(|stale| stale.shards.is_empty())
        && table.nodes.iter().all(|node| node.up && node.leftovers.is_empty());
    let mut copies = (0..table.shards).map(|shard| owners(table, shard).count());
    let first = copies.next()?;
    (is_in_order && copies.all(|other| other == first)).then_some(first as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::StaleReplicas;
    use crate::table::tests::table;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_filter_without_conditions_is_known() {
        for filter in
            [json!(""), json!(" \n"), json!([]), json!([[]]), json!([["", " "], ""]), json!(1), json!(null)]
        {
            assert!(!has_conditions(&filter), "{filter}");
        }
        for filter in [json!("a = 1"), json!(["", "a"]), json!([["a = 1"], []])] {
            assert!(has_conditions(&filter), "{filter}");
        }
    }

    #[test]
    fn a_filter_is_narrowed_to_shards() {
        let clause = || Some("c".to_owned());
        assert_eq!(narrowed(Some(&json!("a OR b")), clause()), json!(["c", "a OR b"]));
        assert_eq!(narrowed(Some(&json!(["a", ["b", "d"]])), clause()), json!(["c", "a", ["b", "d"]]));
        assert_eq!(narrowed(None, clause()), json!("c"));
        assert_eq!(narrowed(Some(&json!("a")), None), json!("a"));
    }

    #[test]
    fn each_document_is_selected_on_each_owner_and_counted_on_one() {
        for (nodes, copies, groups) in [(3, 1, 1), (3, 2, 1), (2, 2, 2)] {
            let mut table = table(8, nodes, copies, groups);
            table.nodes[0].up = false;
            let selections = everything(&table);
            for shard in 0..8 {
                let of = |counted: bool| {
                    selections
                        .iter()
                        .filter(|part| part.counted == counted && part.shards.of(shard) > 0)
                        .count()
                };
                let is_readable = owners(&table, shard).any(|node| node != 0);
                assert_eq!(of(true), usize::from(is_readable));
                assert_eq!(of(true) + of(false), copies * groups);
            }
            assert_eq!(selections.iter().any(|part| part.clause.is_some()), nodes == 3 && copies > 1);
        }
    }

    #[test]
    fn copies_are_known_where_all_is_in_order() {
        let mut table = table(8, 3, 2, 2);
        assert_eq!(copies(&table), Some(4));
        table.stale = vec![StaleReplicas { node: 1, shards: [3].into() }];
        assert_eq!(copies(&table), None);
    }
}
