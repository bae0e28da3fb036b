//! Nodes come, go and fail while clients search and write: what they see of it, and where the documents are in the end.

mod adopting;
mod moving;
mod observer;
mod refusals;
mod repairing;
mod resharding;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use miroir_core::shard::shard_of;
use miroir_core::tag;
use miroir_harness::{Cluster, Index, Options, wait_until};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);
const DOCUMENTS: u64 = 2000;

/// A cluster that is quick to see what becomes of nodes and to clean up.
async fn cluster(nodes: usize, replication_factor: usize) -> Cluster {
    let config = json!({
        "health": { "interval_ms": 200, "timeout_ms": 2000 },
        "timeouts": { "read_ms": 2000 },
        "rebalance": { "write_patience_ms": 3000, "envoy_grace_ms": 5000 },
    });
    let options = Options { nodes, replication_factor, shards: 16, config, ..Options::default() };
    Cluster::start(options).await.unwrap()
}

fn film(id: u64, version: u64) -> Value {
    json!({ "id": id, "title": format!("film number {id}"), "genre": format!("genre {}", id % 7), "version": version })
}

/// An index of films.
async fn films(cluster: &Cluster) -> Index {
    let index = cluster.client().create_index("films", Some("id")).await.unwrap();
    let settings = json!({ "filterableAttributes": ["genre", "version"], "sortableAttributes": ["id"] });
    index.update_settings(&settings).await.unwrap();
    let films: Vec<Value> = (0..DOCUMENTS).map(|id| film(id, 1)).collect();
    index.add_documents(&films).await.unwrap();
    index
}

/// A node as the REST API takes it.
fn as_new(cluster: &Cluster, index: usize) -> Value {
    json!({ "id": cluster.node(index).id(), "url": cluster.node(index).url() })
}

/// Asks for a change of the topology.
async fn change(cluster: &Cluster, method: &str, path: &str, body: &Value) -> Value {
    let answer = cluster.admin().request(method.parse().unwrap(), path, body).await.unwrap();
    assert_eq!(answer.status, 202, "{method} {path}: {}", answer.text());
    answer.json().unwrap()
}

async fn status(cluster: &Cluster) -> Value {
    cluster.admin().get("/_miroir/rebalance").await.unwrap().ok().unwrap()
}

/// Waits until nothing is to be moved, repaired or cleaned up.
async fn settled(cluster: &Cluster) {
    let admin = cluster.admin();
    let mut last = Value::Null;
    let settled = wait_until("the rebalance to be done", PATIENCE, async || {
        last = admin.get("/_miroir/rebalance").await?.ok()?;
        Ok(last["state"] == "idle" && last["repairs"] == json!([]))
    });
    if let Err(error) = settled.await {
        panic!("{error}: {last:#}");
    }
}

/// Sees to it that every document is on every owner of its shard as it should be, and on no other node.
async fn check_placement(cluster: &Cluster, uid: &str, expected: &BTreeMap<u64, Value>) {
    let places = cluster.admin().get("/_miroir/shards").await.unwrap().ok().unwrap();
    let mut owners: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for place in places["shards"].as_array().unwrap() {
        let of_groups =
            place["owners"].as_object().unwrap().values().flat_map(|nodes| nodes.as_array().unwrap());
        let of_groups = of_groups.map(|node| node.as_str().unwrap().to_owned()).collect();
        owners.insert(place["shard"].as_u64().unwrap(), of_groups);
        assert_eq!(place["stale"], json!([]), "{place}");
    }
    let count = owners.len() as u32;
    let topology = cluster.admin().get("/_miroir/topology").await.unwrap().ok().unwrap();
    let members: Vec<&str> =
        topology["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
    let mut held: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for node in cluster.nodes().iter().filter(|node| members.contains(&node.id())) {
        let query = json!({ "limit": 1_000_000 });
        let page = node.client().post(&format!("/indexes/{uid}/documents/fetch"), &query).await.unwrap();
        for mut document in page.ok().unwrap()["results"].as_array().unwrap().clone() {
            let tag = document.as_object_mut().unwrap().remove(tag::TAG_FIELD).unwrap();
            let shard = tag::decode(tag.as_str().unwrap()).unwrap();
            let id = document["id"].as_u64().unwrap();
            assert_eq!(shard, shard_of(&id.to_string(), count), "the tag of {id} on {}", node.id());
            assert!(
                owners[&u64::from(shard)].contains(node.id()),
                "{} holds {id} of shard {shard}",
                node.id()
            );
            assert_eq!(Some(&document), expected.get(&id), "on {}", node.id());
            held.entry(id).or_default().insert(node.id().to_owned());
        }
    }
    for id in expected.keys() {
        let shard = shard_of(&id.to_string(), count);
        assert_eq!(held.get(id), Some(&owners[&u64::from(shard)]), "document {id} of shard {shard}");
    }
}
