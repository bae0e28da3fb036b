//! Aliases: everything by an alias is as by its index; flips under traffic; searches over several indexes; refusals.

mod command_line;
mod flipping;
mod refusals;
mod routes;
mod several;
mod unaware;

use miroir_harness::{Answer, Client, Cluster, Index, Options};
use serde_json::{Value, json};

/// A cluster of three nodes with two copies that is quick to see that a node is down or back.
async fn cluster(more: Options) -> Cluster {
    let config = json!({ "health": { "interval_ms": 200, "timeout_ms": 1000 } });
    Cluster::start(Options { shards: 16, config, ..more }).await.unwrap()
}

/// Lets an alias stand for these.
async fn set(cluster: &Cluster, name: &str, indexes: &[&str]) -> Value {
    let answer = put(cluster, name, json!(indexes)).await;
    answer.ok().unwrap()
}

async fn put(cluster: &Cluster, name: &str, indexes: Value) -> Answer {
    cluster.admin().put(&format!("/_miroir/aliases/{name}"), &json!({ "indexes": indexes })).await.unwrap()
}

async fn roll_back(cluster: &Cluster, name: &str) -> Answer {
    cluster.admin().post(&format!("/_miroir/aliases/{name}/rollback"), &json!({})).await.unwrap()
}

const COUNT: u64 = 90;

fn film(id: u64, edition: u64) -> Value {
    json!({ "id": id, "title": format!("film {id}"), "genre": format!("g{}", id % 4), "edition": edition })
}

/// An index of films, all in one edition.
async fn films(client: &Client, uid: &str, edition: u64) -> Index {
    let index = client.create_index(uid, Some("id")).await.unwrap();
    let settings = json!({ "filterableAttributes": ["genre", "edition"], "sortableAttributes": ["id"] });
    index.update_settings(&settings).await.unwrap();
    let films: Vec<Value> = (0..COUNT).map(|id| film(id, edition)).collect();
    index.add_documents(&films).await.unwrap();
    index
}

/// The status and code of an error.
fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code().unwrap_or_default())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}
