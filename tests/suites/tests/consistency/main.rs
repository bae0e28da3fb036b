//! What a client may rely on by asking for it: a write is done once, a read sees what was written before, settings are not
//! older than they must be.

mod aliases;
mod giving_up;
mod idempotency;
mod sessions;
mod settings_versions;

use miroir_harness::{Client, Cluster, Index, Options};
use serde_json::{Value, json};

/// Three nodes, two copies of everything, two Envoys.
fn options(config: Value) -> Options {
    Options { shards: 8, envoys: 2, config, ..Options::default() }
}

async fn start(options: Options) -> Cluster {
    Cluster::start(options).await.unwrap()
}

/// An index in which editions can be searched for.
async fn prepare(cluster: &Cluster, uid: &str) -> Index {
    let index = cluster.client().create_index(uid, Some("id")).await.unwrap();
    index.update_settings(&json!({ "filterableAttributes": ["edition"] })).await.unwrap();
    index
}

fn document(id: u64, edition: u64) -> Value {
    json!({ "id": id, "edition": edition })
}

/// How many tasks there are that match.
async fn tasks(client: &Client, filter: &str) -> u64 {
    let tasks = client.get(&format!("/tasks?limit=0&{filter}")).await.unwrap();
    tasks.ok().unwrap()["total"].as_u64().unwrap()
}
