//! Splitting documents into bodies for the nodes.

use crate::documents::tally::Tally;
use crate::shard::ShardId;
use crate::table::{NodeIndex, RoutingTable};
use crate::tag::{self, TAG_FIELD, Tags};

/// What one node is to get.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Documents as NDJSON, tagged.
    pub body: Vec<u8>,
    /// How many they are.
    pub documents: Tally,
}

/// Collects documents for the owners of their shards.
#[derive(Debug)]
pub struct Splitter {
    /// By node.
    parts: Vec<Part>,
    tags: Tags,
    /// By tag: what to put before a document's closing brace. Made when a tag is first seen.
    endings: Vec<String>,
}

impl Splitter {
    /// A splitter without documents.
    pub fn new(table: &RoutingTable) -> Splitter {
        let part = Part { body: Vec::new(), documents: Tally::empty(table.shards) };
        Splitter {
            parts: vec![part; table.nodes.len()],
            tags: table.tags(),
            endings: vec![String::new(); table.tags().written as usize],
        }
    }

    /// Adds a document, which is a JSON object with an id and so has at least one field.
    pub fn add(&mut self, table: &RoutingTable, document: &str, id: &str) {
        // The shard is the rest of the tag: the hash need not be computed again.
        let tag = self.tags.of_document(id);
        let shard = tag.checked_rem(self.tags.shards).unwrap_or(0);
        let Some(ending) = self.endings.get_mut(tag as usize) else { return };
        if ending.is_empty() {
            *ending = format!(",\"{TAG_FIELD}\":\"{}\"}}\n", tag::encode(tag));
        }
        let fields = document.trim_ascii_end();
        let fields = fields.strip_suffix('}').unwrap_or(fields).trim_ascii_end();
        for node in owners(table, shard) {
            let Some(part) = self.parts.get_mut(node) else { continue };
            part.documents.add(shard);
            part.body.reserve(fields.len() + ending.len());
            part.body.extend_from_slice(fields.as_bytes());
            part.body.extend_from_slice(ending.as_bytes());
        }
    }

    /// How many bytes it holds.
    pub fn held(&self) -> usize {
        self.parts.iter().map(|part| part.body.len()).sum()
    }

    /// Takes the parts of at least `size` bytes, by node; with 1, all that hold documents.
    pub fn take(&mut self, size: usize) -> impl Iterator<Item = (NodeIndex, Part)> {
        let shards = self.tags.shards;
        let full = self.parts.iter_mut().enumerate().filter(move |(_, part)| part.body.len() >= size);
        full.map(move |(node, part)| {
            let empty = Part { body: Vec::new(), documents: Tally::empty(shards) };
            (node, std::mem::replace(part, empty))
        })
    }
}

/// The owners of a shard in all groups.
pub fn owners(table: &RoutingTable, shard: ShardId) -> impl Iterator<Item = NodeIndex> + '_ {
    table.groups.iter().filter_map(move |group| group.owners.get(shard as usize)).flatten().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shard::shard_of;
    use crate::table::tests::table;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    proptest! {
        #[test]
        fn each_document_goes_to_each_owner_once_and_whole(
            ids in proptest::collection::hash_set("[a-z0-9]{1,8}", 1..40),
            copies in 1usize..4,
            groups in 1usize..3,
            size in 1usize..300,
        ) {
            let table = table(16, 3, copies, groups);
            let mut splitter = Splitter::new(&table);
            let mut parts = Vec::new();
            for id in &ids {
                splitter.add(&table, &format!("{{\"id\":\"{id}\", \"x\": {{}} }} "), id);
                parts.extend(splitter.take(size));
            }
            parts.extend(splitter.take(1));
            prop_assert_eq!(splitter.held(), 0);
            let mut found = 0;
            for (node, part) in parts {
                let mut documents = Tally::empty(16);
                for line in part.body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                    let document: serde_json::Value = serde_json::from_slice(line).unwrap();
                    let id = document["id"].as_str().unwrap();
                    let shard = shard_of(id, 16);
                    documents.add(shard);
                    prop_assert!(ids.contains(id));
                    prop_assert!(owners(&table, shard).any(|owner| owner == node));
                    prop_assert_eq!(tag::decode(document[TAG_FIELD].as_str().unwrap()), Some(shard));
                    found += 1;
                }
                prop_assert_eq!(part.documents, documents);
            }
            prop_assert_eq!(found, ids.len() * copies.min(3) * groups);
        }
    }
}
