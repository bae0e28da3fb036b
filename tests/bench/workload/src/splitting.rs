//! Splitting NDJSON by shard, as it comes in.

use std::hint::black_box;

use miroir_core::documents::id::inspect;
use miroir_core::documents::payload::{Format, PayloadReader};
use miroir_core::documents::split::Splitter;
use miroir_core::routing::Routing;
use serde_json::{Value, json};

/// Few enough that a run is over before the kernel lets another program have its turn.
const DOCUMENTS: u64 = 2_000;
/// As large as the pieces that Envoy hands to a filter may get.
const PIECE: usize = 64 * 1024;

/// Documents and where they go.
pub struct Splitting {
    routing: Routing,
    body: Vec<u8>,
}

impl Splitting {
    /// Documents for three nodes with one copy of each shard.
    pub fn new() -> Splitting {
        let node =
            |number: u64| json!({"id": number.to_string(), "cluster": "c", "authority": "a", "up": true});
        let table = json!({
            "version": 1, "epoch": 1, "shards": 64,
            "nodes": (0..3).map(node).collect::<Vec<_>>(),
            "groups": [{"id": "0", "owners": (0..64).map(|shard| json!([shard % 3])).collect::<Vec<_>>()}],
            "control_plane": {"cluster": "c", "authority": "a", "token": "t"}
        });
        let routing = Routing::from_json(table.to_string().as_bytes()).expect("a table");
        let body = (0..DOCUMENTS).flat_map(|id| format!("{}\n", document(id)).into_bytes()).collect();
        Splitting { routing, body }
    }

    /// How long the body is.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Reads and splits it.
    pub fn run(&self) {
        let mut splitter = Splitter::new(&self.routing.table);
        let mut reader = PayloadReader::new(Format::Ndjson);
        for piece in self.body.chunks(PIECE) {
            let taken = reader.push(piece, &mut |document| {
                if let Ok(id) = inspect(document, "id")?.id {
                    splitter.add(&self.routing.table, document, &id);
                }
                Ok(())
            });
            black_box(taken).expect("documents");
        }
        black_box(splitter.take(1).map(|(_, part)| part.body.len()).sum::<usize>());
    }
}

impl Default for Splitting {
    fn default() -> Splitting {
        Splitting::new()
    }
}

/// A document such as a catalogue of packages has.
pub fn document(id: u64) -> Value {
    json!({
        "id": id, "name": format!("package-{id}"), "section": "utils", "size": id * 37 % 100_000,
        "description": "a short description as a package has one, with some words to find it by"
    })
}
