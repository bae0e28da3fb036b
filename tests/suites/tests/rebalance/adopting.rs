//! A Meilisearch that is full already becomes a cluster, and nobody who searches notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use miroir_harness::{Client, Cluster, debian_packages, wait_until};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{PATIENCE, as_new, change, cluster, settled, status};

const PACKAGES: usize = 30_000;

/// Settings of which none is the default, but that searches can be compared to the letter: no guessing of words.
fn settings() -> Value {
    json!({
        "searchableAttributes": ["name", "description", "maintainer"],
        "displayedAttributes": ["id", "name", "section", "size"],
        "filterableAttributes": ["section", "priority", "size", "tags"],
        "sortableAttributes": ["size", "name"],
        "rankingRules": ["words", "typo", "sort", "attribute", "exactness", "size:desc", "name:asc"],
        "stopWords": ["the", "of", "for"],
        "synonyms": { "picture": ["image"] },
        "typoTolerance": { "enabled": false },
        "faceting": { "maxValuesPerFacet": 80, "sortFacetValuesBy": { "section": "count" } },
        "pagination": { "maxTotalHits": 700 },
        "prefixSearch": "disabled",
    })
}

fn queries() -> Vec<Value> {
    let mut queries = Vec::new();
    for words in ["", "library", "picture", "python module", "the game of life", "server daemon network"] {
        for filter in [Value::Null, json!("section = libs OR priority = optional AND size > 50000")] {
            let sort = json!(["name:asc", "size:asc"]);
            queries.push(json!({
                "q": words, "filter": filter, "sort": sort, "limit": 15, "facets": ["section", "tags", "size"],
            }));
            queries.push(json!({ "q": words, "filter": filter, "sort": sort, "page": 2, "hitsPerPage": 7 }));
        }
    }
    queries
}

/// What a client sees of a search.
async fn ask(client: &Client, query: &Value) -> Value {
    let answer = client.post("/indexes/packages/search", query).await.unwrap();
    assert_eq!(answer.header("x-miroir-degraded"), None);
    let mut found = answer.ok().unwrap();
    for name in ["processingTimeMs", "requestUid"] {
        found.as_object_mut().unwrap().remove(name);
    }
    found
}

/// Asks again and again, and compares with what there was before.
fn watch(client: Client, expected: Vec<(Value, Value)>, stop: Arc<AtomicBool>) -> JoinHandle<usize> {
    tokio::spawn(async move {
        let mut asked = 0;
        while !stop.load(Ordering::Relaxed) {
            let (query, expected) = &expected[asked % expected.len()];
            let found = ask(&client, query).await;
            for (name, expected) in expected.as_object().unwrap() {
                assert_eq!(&found[name], expected, "{name} of {query}");
            }
            asked += 1;
        }
        asked
    })
}

async fn untagged(cluster: &Cluster) -> u64 {
    let query = json!({ "filter": "_miroir_shard NOT EXISTS", "limit": 0 });
    let answer = cluster.node(0).client().post("/indexes/packages/documents/fetch", &query).await.unwrap();
    answer.ok().map_or(u64::MAX, |page| page["total"].as_u64().unwrap())
}

#[tokio::test]
async fn a_node_with_documents_becomes_a_cluster_of_three() {
    let mut cluster = cluster(1, 1).await;
    let alone = cluster.node(0).client();
    let packages = debian_packages().unwrap();
    let packages = &packages[..PACKAGES];
    let index = alone.create_index("packages", Some("id")).await.unwrap();
    index.update_settings(&settings()).await.unwrap();
    for some in packages.chunks(10_000) {
        index.add_documents(some).await.unwrap();
    }
    alone.create_index("empty", None).await.unwrap();
    let shown = alone.get("/indexes/packages/settings").await.unwrap().ok().unwrap();
    let mut expected = Vec::new();
    for query in queries() {
        let found = ask(&alone, &query).await;
        expected.push((query, found));
    }
    let (admin, client) = (cluster.admin(), cluster.client());
    let unknown = client.get("/indexes/packages").await.unwrap();
    assert_eq!(unknown.code().as_deref(), Some("index_not_found"));
    let missing = admin.post("/_miroir/indexes/nonsense/adopt", &Value::Null).await.unwrap();
    assert_eq!((missing.status, missing.code().as_deref()), (404, Some("index_not_found")));
    let planned = admin.post("/_miroir/indexes/adopt?dryRun=true", &Value::Null).await.unwrap();
    let all = json!({ "node": "node-0", "indexUids": ["empty", "packages"] });
    assert_eq!((planned.status, planned.json::<Value>().unwrap()), (200, all));

    let adopted = change(&cluster, "POST", "/_miroir/indexes/packages/adopt", &Value::Null).await;
    assert_eq!(adopted, json!({ "node": "node-0", "indexUids": ["packages"] }));
    let stop = Arc::new(AtomicBool::new(false));
    let watching = watch(client.clone(), expected, stop.clone());
    let through = client.index("packages");
    assert_eq!(through.count().await.unwrap(), PACKAGES as u64);
    let again = admin.post("/_miroir/indexes/packages/adopt", &Value::Null).await.unwrap();
    assert!([202, 409].contains(&again.status), "{}", again.text());
    // The nodes that are added wait until all have their tags, also for a control plane that is killed meanwhile.
    for _ in 0..2 {
        let added = cluster.spawn_node().await.unwrap();
        change(&cluster, "POST", "/_miroir/nodes", &as_new(&cluster, added)).await;
        cluster.stop_control_plane();
        cluster.start_control_plane().await.unwrap();
    }
    // Something that no search shows.
    let noted = &packages[17].id;
    let note = json!([{ "id": noted, "note": "written while it was adopted" }]);
    let written = client.put("/indexes/packages/documents", &note).await.unwrap();
    wait_until("all to be tagged", PATIENCE, async || {
        let now = status(&cluster).await;
        assert!(now["adoptions"] != json!([]) || untagged(&cluster).await == 0, "{now:#}");
        Ok(now["adoptions"] == json!([]))
    })
    .await
    .unwrap();
    client.wait_for_success(&written).await.unwrap();
    settled(&cluster).await;
    change(&cluster, "PATCH", "/_miroir/topology", &json!({ "replicationFactor": 2 })).await;
    settled(&cluster).await;
    stop.store(true, Ordering::Relaxed);
    assert!(watching.await.unwrap() > 100);

    assert_eq!(client.get("/indexes/packages/settings").await.unwrap().ok().unwrap(), shown);
    let mut copies = Vec::new();
    for node in cluster.nodes() {
        let query = json!({ "ids": [noted] });
        let page = node.client().post("/indexes/packages/documents/fetch", &query).await.unwrap();
        copies.extend(page.ok().unwrap()["results"].as_array().unwrap().clone());
    }
    assert_eq!(copies.len(), 2, "{copies:#?}");
    assert!(copies.iter().all(|copy| copy["note"] == note[0]["note"]), "{copies:#?}");
    through.delete_document(noted).await.unwrap();
    assert_eq!(through.count().await.unwrap(), PACKAGES as u64 - 1);
    let topology = admin.get("/_miroir/topology").await.unwrap().ok().unwrap();
    assert_eq!(topology["nodes"].as_array().unwrap().len(), 3, "{topology:#}");
    let several = admin.post("/_miroir/indexes/empty/adopt", &Value::Null).await.unwrap();
    assert_eq!((several.status, several.code().as_deref()), (409, Some("miroir_adoption_needs_one_node")));
}
