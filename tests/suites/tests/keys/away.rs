//! Nodes that were away, have lost their keys, or have got others.

use std::time::Duration;

use miroir_harness::{Client, Cluster, wait_until};
use miroir_suites::topology::wait_for_status;
use serde_json::{Value, json};

use crate::{cluster, create_key, uid};

const PATIENCE: Duration = Duration::from_secs(60);

async fn prepare(cluster: &Cluster) {
    let index = cluster.client().create_index("films", Some("id")).await.unwrap();
    index.add_documents(&[json!({ "id": 1 })]).await.unwrap();
}

/// How a server answers a search with this key.
async fn search(server: &Client, key: &str) -> u16 {
    server.with_key(key).get("/indexes/films/search").await.unwrap().status
}

/// The keys that a server lists, without dates: nodes have their own.
async fn keys(server: &Client) -> Vec<Value> {
    let mut keys = server.get("/keys?limit=100").await.unwrap().ok().unwrap()["results"].take();
    for key in keys.as_array_mut().unwrap() {
        key.as_object_mut().unwrap().retain(|name, _| name != "createdAt" && name != "updatedAt");
    }
    let mut keys = keys.as_array().unwrap().clone();
    keys.sort_by_key(|key| key["uid"].to_string());
    keys
}

/// The keys that a node lists, but for Miroir's own: one by which the filter reads documents, and one by which indexes that
/// there are get documents and settings.
async fn keys_of_node(node: &Client) -> Vec<Value> {
    let (own, others): (Vec<Value>, Vec<Value>) =
        keys(node).await.into_iter().partition(|key| key["name"] == "Miroir");
    let actions: Vec<&Value> = own.iter().map(|key| &key["actions"]).collect();
    assert_eq!(
        actions,
        [&json!(["documents.get"]), &json!(["documents.add", "documents.delete", "settings.update"])]
    );
    others
}

#[tokio::test]
async fn the_default_keys_are_one_set_that_every_node_has() {
    let cluster = cluster().await;
    prepare(&cluster).await;
    let listed = keys(&cluster.client()).await;
    let mut names: Vec<&str> = listed.iter().filter_map(|key| key["name"].as_str()).collect();
    names.sort_unstable();
    let default = ["Admin", "Chat", "Read-Only Admin", "Search"];
    assert_eq!(names, default.map(|name| format!("Default {name} API Key")));
    for node in cluster.nodes() {
        assert_eq!(keys_of_node(&node.client()).await, listed);
        for key in &listed {
            let value = key["key"].as_str().unwrap();
            assert_eq!(search(&node.client(), value).await, 200, "{key}");
        }
    }
}

#[tokio::test]
async fn a_node_that_was_away_knows_the_keys_before_it_serves() {
    let mut cluster = cluster().await;
    prepare(&cluster).await;
    let client = cluster.client();
    let gone = create_key(&client, 1, &["search"], &["*"]).await;
    let described = create_key(&client, 2, &["search"], &["*"]).await;
    cluster.stop_node(0);
    wait_for_status(&cluster, 0, "down").await;

    let new = create_key(&client, 3, &["search"], &["films"]).await;
    assert_eq!(client.delete(&format!("/keys/{}", uid(1))).await.unwrap().status, 204);
    let change = json!({ "name": "new name" });
    assert_eq!(client.patch(&format!("/keys/{described}"), &change).await.unwrap().status, 200);
    for server in [&client, &cluster.node(1).client(), &cluster.node(2).client()] {
        assert_eq!([search(server, &new).await, search(server, &gone).await], [200, 403]);
    }

    cluster.start_node(0).await.unwrap();
    wait_for_status(&cluster, 0, "up").await;
    let back = cluster.node(0).client();
    assert_eq!([search(&back, &new).await, search(&back, &gone).await], [200, 403]);
    assert_eq!(keys_of_node(&back).await, keys(&client).await);
}

#[tokio::test]
async fn a_node_that_lost_everything_gets_its_keys_back() {
    let mut cluster = cluster().await;
    let client = cluster.client();
    create_key(&client, 1, &["search"], &["*"]).await;
    let before = keys(&client).await;
    cluster.stop_node(1);
    wait_for_status(&cluster, 1, "down").await;
    std::fs::remove_dir_all(cluster.folder().join(cluster.node(1).id()).join("data.ms")).unwrap();
    cluster.start_node(1).await.unwrap();
    wait_for_status(&cluster, 1, "up").await;
    assert_eq!(keys_of_node(&cluster.node(1).client()).await, before);
    assert_eq!(keys(&client).await, before, "the default keys that it made anew are not the cluster's");
}

#[tokio::test]
async fn what_a_node_does_by_itself_is_undone() {
    let cluster = cluster().await;
    let client = cluster.client();
    create_key(&client, 1, &["search"], &["*"]).await;
    create_key(&client, 2, &["search"], &["*"]).await;
    let before = keys(&client).await;
    let node = cluster.node(2).client();
    node.delete(&format!("/keys/{}", uid(1))).await.unwrap().ok().unwrap();
    node.patch(&format!("/keys/{}", uid(2)), &json!({ "name": "drifted" })).await.unwrap().ok().unwrap();
    create_key(&node, 3, &["*"], &["*"]).await;
    let in_step = async || Ok(keys_of_node(&node).await == before);
    wait_until("the node to be in step", PATIENCE, in_step).await.unwrap();
    assert_eq!(keys(&client).await, before);
}

#[tokio::test]
async fn keys_survive_a_restart_of_the_control_plane() {
    let mut cluster = cluster().await;
    let client = cluster.client();
    create_key(&client, 1, &["search"], &["*"]).await;
    let list = async || client.get("/keys").await.unwrap().ok().unwrap();
    let before = list().await;
    cluster.stop_control_plane();
    cluster.start_control_plane().await.unwrap();
    assert_eq!(list().await, before);
}
