//! An Envoy that exists already, with a listener, filters and clusters of its own, takes the filter by ECDS.

use std::time::Duration;

use miroir_harness::{Bootstrap, Client, Cluster, Method, Options, wait_until};
use miroir_suites::stats::envoy_stats;
use miroir_suites::topology::topology;
use serde_json::{Value, json};

async fn mesh() -> Cluster {
    let options = Options { bootstrap: Bootstrap::ExistingMesh, replication_factor: 2, ..Options::default() };
    Cluster::start(options).await.unwrap()
}

#[tokio::test]
async fn an_existing_mesh_takes_the_filter() {
    let mut cluster = mesh().await;
    let client = cluster.client();

    // What the mesh does without Miroir goes on.
    let about = client.get("/about").await.unwrap();
    assert_eq!((about.status, about.text().as_str()), (200, "not Meilisearch\n"));
    // Its other filter sees Miroir's answers too.
    let health = client.get("/health").await.unwrap();
    assert_eq!((health.status, health.header("x-mesh")), (200, Some("existing")));

    let index = client.index("films");
    let films: Vec<Value> = (0..60).map(|id| json!({ "id": id, "title": "film" })).collect();
    index.add_documents(&films).await.unwrap();
    let answer = client.post(&index.path("/search"), &json!({ "q": "film", "limit": 100 })).await.unwrap();
    assert_eq!(answer.header("x-mesh"), Some("existing"));
    assert_eq!(answer.ok().unwrap()["hits"].as_array().unwrap().len(), 60);
    assert_eq!(index.document("7").await.unwrap().ok().unwrap(), films[7]);
    // What the control plane answers comes through as well.
    assert_eq!(index.count().await.unwrap(), 60);
    index.update_settings(&json!({ "sortableAttributes": ["id"] })).await.unwrap();
    index.search(&json!({ "sort": ["id:desc"] })).await.unwrap();

    a_long_body_may_come_fast(&cluster).await;
    a_cluster_of_the_mesh_is_used(&cluster).await;
    the_admin_api_is_elsewhere(&cluster).await;

    cluster.stop_node(1);
    let found = index.search(&json!({ "limit": 100 })).await.unwrap();
    assert_eq!(found["hits"].as_array().unwrap().len(), 60);
    index.add_documents(&[json!({ "id": 60 })]).await.unwrap();
    requests_are_counted(&cluster).await;

    // Another Envoy process gets all of it again.
    cluster.restart_envoy().await.unwrap();
    assert_eq!(
        cluster.client().index("films").search(&json!({ "limit": 100 })).await.unwrap()["estimatedTotalHits"],
        60
    );
}

/// Faster than its pieces are worked on, so that Envoy reads more at once than its listener's limit.
async fn a_long_body_may_come_fast(cluster: &Cluster) {
    const COUNT: usize = 20_000;
    let text = "x".repeat(1000);
    let line = |id| format!("{}\n", json!({ "id": id, "text": text })).into_bytes();
    let client = cluster.client();
    let index = client.create_index("long", Some("id")).await.unwrap();
    index.update_settings(&json!({ "searchableAttributes": ["id"] })).await.unwrap();
    let body: Vec<u8> = (0..COUNT).flat_map(line).collect();
    let path = index.path("/documents");
    let answer = client.send(Method::POST, &path, Some("application/x-ndjson"), body).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    client.wait_for_success(&answer).await.unwrap();
    assert_eq!(index.count().await.unwrap(), COUNT as u64);
}

/// The first node is reached by the cluster that the mesh has for it, the others by those that Miroir serves.
async fn a_cluster_of_the_mesh_is_used(cluster: &Cluster) {
    let topology = topology(cluster).await;
    let clusters: Vec<&str> =
        topology["nodes"].as_array().unwrap().iter().map(|node| node["cluster"].as_str().unwrap()).collect();
    assert_eq!(clusters, ["meilisearch-of-the-mesh", "miroir-node-node-1", "miroir-node-node-2"]);
    let stats = envoy_stats(cluster).await;
    for name in clusters {
        let requests = stats.get(&format!("cluster.{name}.upstream_rq_completed")).copied();
        assert!(requests > Some(0), "{name}: {requests:?}");
    }
    assert!(!stats.keys().any(|name| name.starts_with("cluster.miroir-node-node-0.")));
}

async fn the_admin_api_is_elsewhere(cluster: &Cluster) {
    for key in ["adminKey", "masterKey", ""] {
        let client: Client = cluster.client().with_key(key);
        for path in [
            "/_miroir/topology",
            "/_miroir/shards",
            "/_miroir",
            "/_miroir/filter.wasm",
            "/_miroir/writes/begin",
        ] {
            let answer = client.get(path).await.unwrap();
            assert_eq!((answer.status, answer.code().as_deref()), (404, Some("not_found")), "{path}");
        }
    }
}

async fn requests_are_counted(cluster: &Cluster) {
    let client = cluster.client();
    client.post("/indexes/absent/search", &json!({})).await.unwrap();
    client.post("/indexes/films/documents", &json!("no document")).await.unwrap();
    client.index("films").delete_document("7").await.unwrap();

    let stats = envoy_stats(cluster).await;
    for counted in [
        "requests_search_ok",
        "requests_search_refused",
        "requests_write_ok",
        "requests_write_refused",
        "requests_delete_ok",
        "requests_get_ok",
        "requests_instance_ok",
        "requests_control_ok",
        "second_waves",
        "degraded_answers",
        "upstream_failures",
    ] {
        let count = stats.get(&format!("wasmcustom.miroir_{counted}"));
        assert!(count > Some(&0), "{counted}: {count:?}");
    }
    // Envoy adds to its histograms every five seconds.
    let envoy = Client::new(cluster.envoy_admin_url(), "");
    let recorded = async || Ok(envoy.get("/stats").await?.text().contains("wasmcustom.miroir_fan_out: P0"));
    wait_until("the fan-out to be recorded", Duration::from_secs(30), recorded).await.unwrap();
    // What operators scrape has them too.
    let prometheus =
        Client::new(cluster.envoy_admin_url(), "").get("/stats/prometheus").await.unwrap().text();
    assert!(prometheus.contains("miroir_requests_search_ok"), "{prometheus}");
}
