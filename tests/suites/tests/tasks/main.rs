//! Tasks, batches, and what changes indexes as a whole: swaps, renamings, settings; also while clients write, and while a
//! node is away.

mod admin;
mod away;
mod batches;
mod cancel;
mod delete;
mod drift;
mod filters;
mod moving;
mod names;
mod real;

use miroir_harness::{Client, Cluster, Options};
use miroir_suites::pair::SharedPair;
use serde_json::{Value, json};

static PAIR: SharedPair = SharedPair::new(Options::default);

/// A cluster of three nodes with two copies that is quick to see that a node is down or back.
async fn cluster(health: Value) -> Cluster {
    let mut config = json!({ "health": { "interval_ms": 200, "timeout_ms": 1000 } });
    for (key, value) in health.as_object().into_iter().flatten() {
        config["health"][key] = value.clone();
    }
    Cluster::start(Options { shards: 16, config, ..Options::default() }).await.unwrap()
}

/// The ids of all documents of an index, in order, whichever copies are asked.
async fn ids(client: &Client, index: &str) -> Vec<u64> {
    let mut first = None;
    for query in [json!({ "limit": 1000 }), json!({ "limit": 1000, "q": "" }), json!({ "hitsPerPage": 1000 })]
    {
        let found = client.index(index).search(&query).await.unwrap();
        let hits = found["hits"].as_array().unwrap();
        let mut ids: Vec<u64> = hits.iter().map(|hit| hit["id"].as_u64().unwrap()).collect();
        ids.sort_unstable();
        assert_eq!(first.get_or_insert_with(|| ids.clone()), &ids, "{query} on {index}");
    }
    first.unwrap_or_default()
}

fn documents(ids: impl IntoIterator<Item = u64>) -> Vec<Value> {
    ids.into_iter().map(|id| json!({ "id": id })).collect()
}
