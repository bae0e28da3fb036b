//! Dynamic search rules, which only real nodes have.

use miroir_suites::topology::wait_for_status;
use serde_json::{Value, json};

use crate::{cluster, lacking};

#[tokio::test]
async fn every_node_has_the_rules() {
    let mut cluster = cluster().await;
    let client = cluster.client();
    if lacking(&cluster.node(0).client(), "/dynamic-search-rules/none").await {
        return;
    }
    let on = json!({ "dynamicSearchRules": true });
    client.patch("/experimental-features", &on).await.unwrap().ok().unwrap();
    let rule = |position: u32| {
        json!({
            "description": "pins",
            "conditions": { "query": { "isEmpty": true } },
            "actions": [{ "selector": { "indexUid": "films", "id": "1" }, "action": { "type": "pin", "position": position } }],
        })
    };
    let put = async |uid: &str, rule: &Value| {
        let answer = client.patch(&format!("/dynamic-search-rules/{uid}"), rule).await.unwrap();
        let task = client.wait_for_success(&answer).await.unwrap();
        assert_eq!((&task["type"], &task["details"]["updatedRules"]), (&json!("dsrUpdate"), &json!(1)));
    };
    put("gone", &rule(1)).await;
    put("changed", &rule(1)).await;
    cluster.stop_node(0);
    wait_for_status(&cluster, 0, "down").await;
    put("changed", &rule(2)).await;
    put("new", &rule(3)).await;
    let answer = client.delete("/dynamic-search-rules/gone").await.unwrap();
    client.wait_for_success(&answer).await.unwrap();
    cluster.start_node(0).await.unwrap();
    wait_for_status(&cluster, 0, "up").await;

    let list = async |client: &miroir_harness::Client| {
        let page = client.post("/dynamic-search-rules", &json!({})).await.unwrap().ok().unwrap();
        let mut rules = page["results"].as_array().unwrap().clone();
        rules.sort_by_key(|rule| rule["uid"].to_string());
        rules
    };
    let shown = list(&client).await;
    let uids: Vec<&Value> = shown.iter().map(|rule| &rule["uid"]).collect();
    assert_eq!(uids, ["changed", "new"]);
    assert_eq!(shown[0]["actions"][0]["action"]["position"], 2);
    assert_eq!(client.get("/dynamic-search-rules/new").await.unwrap().ok().unwrap(), shown[1]);
    for node in cluster.nodes() {
        let mut held = list(&node.client()).await;
        for (held, shown) in held.iter_mut().zip(&shown) {
            held["lastUpdatedAt"] = shown["lastUpdatedAt"].clone();
        }
        assert_eq!(held, shown);
    }
    let answer = client.delete("/dynamic-search-rules").await.unwrap();
    let cleared = client.wait_for_success(&answer).await.unwrap();
    assert_eq!((&cleared["type"], &cleared["details"]["deletedDocuments"]), (&json!("dsrClear"), &json!(2)));
    assert_eq!(list(&client).await, Vec::<Value>::new());
}

/// The ids of the first films.
async fn ids(client: &miroir_harness::Client, search: &Value) -> Vec<Value> {
    let answer = client.post("/indexes/films/search", search).await.unwrap().ok().unwrap();
    answer["hits"].as_array().unwrap().iter().map(|hit| hit["id"].clone()).collect()
}

#[tokio::test]
async fn documents_are_pinned_to_places_in_the_whole_list() {
    let pair = crate::PAIR.get().await;
    if lacking(&pair.single.client(), "/dynamic-search-rules/none").await {
        return;
    }
    pair.both(async |client| {
        let on = json!({ "dynamicSearchRules": true });
        client.patch("/experimental-features", &on).await.unwrap().ok().unwrap();
        let index = client.create_index("films", Some("id")).await.unwrap();
        index.update_settings(&json!({ "sortableAttributes": ["id"] })).await.unwrap();
        index.add_documents(&(0..60).map(|id| json!({ "id": id })).collect::<Vec<_>>()).await.unwrap();
        let pin = |id: &str, position: u32| json!({ "selector": { "indexUid": "films", "id": id }, "action": { "type": "pin", "position": position } });
        let rule = json!({
            "conditions": { "query": { "isEmpty": true } },
            "actions": [pin("37", 1), pin("12", 3), pin("5", 7)],
        });
        let answer = client.patch("/dynamic-search-rules/pins", &rule).await.unwrap();
        client.wait_for_success(&answer).await.unwrap();
    })
    .await;
    for search in [
        json!({ "sort": ["id:desc"] }),
        json!({ "sort": ["id:desc"], "limit": 3 }),
        json!({ "sort": ["id:asc"], "offset": 2, "limit": 6 }),
        json!({ "sort": ["id:desc"], "page": 2, "hitsPerPage": 3 }),
        json!({ "sort": ["id:desc"], "limit": 60 }),
    ] {
        let (ours, single) = pair.both(async |client| ids(&client, &search).await).await;
        assert_eq!(ours, single, "{search}");
    }
}
