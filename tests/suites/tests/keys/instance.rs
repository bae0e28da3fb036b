//! The routes that are about the instance as a whole.

use std::collections::BTreeMap;
use std::path::Path;

use miroir_harness::{Client, Cluster};
use miroir_suites::tasks::lasting;
use miroir_suites::topology::wait_for_status;
use serde_json::{Value, json};

use crate::{PAIR, cluster, lacking, outcome};

#[tokio::test]
async fn stats_take_all_parameters() {
    let pair = PAIR.get().await;
    pair.both(async |client| {
        let index = client.create_index("counted", Some("id")).await.unwrap();
        let documents: Vec<Value> = (0..30).map(|id| json!({ "id": id, "text": "a text" })).collect();
        index.add_documents(&documents).await.unwrap();
    })
    .await;
    // Sizes are those of other disks, so only how they are written can be the same.
    let kinds = |value: &Value| match value {
        Value::String(text) => text.split_once(' ').map_or("text", |(number, unit)| {
            assert!(number.parse::<f64>().is_ok() && unit.ends_with('B'), "{text}");
            "human"
        }),
        Value::Number(_) => "raw",
        Value::Object(sizes) if sizes.is_empty() => "empty",
        Value::Object(_) => "sizes",
        _ => "none",
    };
    for parameters in [
        "",
        "?sizeFormat=raw",
        "?sizeFormat=human",
        "?showInternalDatabaseSizes=false",
        "?sizeFormat=human&showInternalDatabaseSizes=false",
    ] {
        pair.same(async |client| {
            let all = client.get(&format!("/stats{parameters}")).await.unwrap().ok().unwrap();
            let one = client.get(&format!("/indexes/counted/stats{parameters}")).await.unwrap().ok().unwrap();
            let of_index = |stats: &Value| {
                let sizes = ["rawDocumentDbSize", "avgDocumentSize", "internalDatabaseSizes"];
                (
                    stats["numberOfDocuments"].clone(),
                    stats["fieldDistribution"].clone(),
                    sizes.map(|name| kinds(&stats[name])),
                )
            };
            let sizes = ["databaseSize", "usedDatabaseSize"].map(|name| kinds(&all[name]));
            (sizes, of_index(&all["indexes"]["counted"]), of_index(&one), all["lastUpdate"].is_string())
        })
        .await;
    }
    for parameters in ["?sizeFormat=Human", "?sizeFormat=", "?showInternalDatabaseSizes=1", "?nonsense=1"] {
        for path in ["/stats", "/indexes/counted/stats"] {
            let path = format!("{path}{parameters}");
            pair.same(async |client| outcome(&client, "GET", &path, None).await).await;
        }
    }
    if lacking(&pair.single.client(), "/experimental-features").await {
        return;
    }
    pair.same(async |client| {
        let path = "/indexes/counted/stats?showInternalDatabaseSizes=true&sizeFormat=human";
        let stats = client.get(path).await.unwrap().ok().unwrap();
        stats["internalDatabaseSizes"]
            .as_object()
            .unwrap()
            .values()
            .map(kinds)
            .collect::<Vec<_>>()
            .contains(&"human")
    })
    .await;
}

#[tokio::test]
async fn features_are_switched_on_every_node() {
    let mut cluster = cluster().await;
    let client = cluster.client();
    if lacking(&cluster.node(0).client(), "/experimental-features").await {
        return;
    }
    let features = async |server: &Client| server.get("/experimental-features").await.unwrap().ok().unwrap();
    cluster.stop_node(2);
    wait_for_status(&cluster, 2, "down").await;
    let change = json!({ "containsFilter": true, "metrics": true });
    let changed = client.patch("/experimental-features", &change).await.unwrap().ok().unwrap();
    assert_eq!((&changed["containsFilter"], &changed["network"]), (&json!(true), &json!(false)));
    assert_eq!(features(&client).await, changed);
    cluster.start_node(2).await.unwrap();
    wait_for_status(&cluster, 2, "up").await;
    for node in cluster.nodes() {
        assert_eq!(features(&node.client()).await, changed);
    }

    let pair = PAIR.get().await;
    for body in [json!({ "metrics": 1 }), json!({ "nonsense": true }), json!([]), json!({})] {
        pair.same(async |client| {
            let path = "/experimental-features";
            (outcome(&client, "PATCH", path, Some(&body)).await, features(&client).await)
        })
        .await;
    }
    pair.same(async |client| outcome(&client, "POST", "/experimental-features", Some(&json!({}))).await)
        .await;
}

/// The files with this ending in a folder of each node's, by node.
fn files(cluster: &Cluster, folder: &str, ending: &str) -> Vec<usize> {
    let count = |path: &Path| {
        let files = std::fs::read_dir(path).into_iter().flatten();
        files.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().ends_with(ending)).count()
    };
    cluster.nodes().iter().map(|node| count(&cluster.folder().join(node.id()).join(folder))).collect()
}

/// The uid of each node's dump, by node.
async fn dump_uids(cluster: &Cluster, task: &Value) -> BTreeMap<String, Value> {
    let parts = cluster.admin().get(&format!("/_miroir/tasks/{}", task["uid"])).await.unwrap().ok().unwrap();
    let parts = parts["parts"].as_array().unwrap().iter();
    let made = parts.filter(|part| part["details"]["dumpUid"].is_string());
    made.map(|part| (part["node"].as_str().unwrap().to_owned(), part["details"]["dumpUid"].clone())).collect()
}

#[tokio::test]
async fn a_dump_or_a_snapshot_is_made_on_every_node() {
    let mut cluster = cluster().await;
    let client = cluster.client();
    if std::env::var_os("MEILISEARCH_BIN").is_none() {
        eprintln!("not tested: the embedded node writes no dumps, set MEILISEARCH_BIN");
        return;
    }
    let before = files(&cluster, "dumps", ".dump");
    let answer = client.post("/dumps", &json!({})).await.unwrap();
    assert_eq!(answer.status, 202);
    let summary = answer.ok().unwrap();
    assert_eq!((&summary["type"], &summary["indexUid"]), (&json!("dumpCreation"), &Value::Null));
    let task = client.wait_for_success(&answer).await.unwrap();
    let uids = dump_uids(&cluster, &task).await;
    assert_eq!(uids.keys().collect::<Vec<_>>(), ["node-0", "node-1", "node-2"]);
    assert_eq!(task["details"], json!({ "dumpUid": uids["node-0"] }));
    for node in cluster.nodes() {
        let file = format!("{}.dump", uids[node.id()].as_str().unwrap());
        assert!(cluster.folder().join(node.id()).join("dumps").join(file).exists());
    }
    assert!(files(&cluster, "dumps", ".dump").iter().sum::<usize>() >= before.iter().sum::<usize>() + 3);

    let answer = client.post("/snapshots", &json!({})).await.unwrap();
    let task = lasting(client.wait_for_success(&answer).await.unwrap());
    let single = PAIR.get().await;
    let answer = single.single.client().post("/snapshots", &json!({})).await.unwrap();
    assert_eq!(task, lasting(single.single.client().wait_for_success(&answer).await.unwrap()));
    assert_eq!(files(&cluster, "snapshots", ".snapshot"), [1, 1, 1]);

    // One of two copies is enough, none is not.
    cluster.stop_node(0);
    wait_for_status(&cluster, 0, "down").await;
    let answer = client.post("/dumps", &json!({})).await.unwrap();
    let task = client.wait_for_success(&answer).await.unwrap();
    assert_eq!(dump_uids(&cluster, &task).await.keys().collect::<Vec<_>>(), ["node-1", "node-2"]);
    cluster.stop_node(1);
    wait_for_status(&cluster, 1, "down").await;
    let answer = client.post("/dumps", &json!({})).await.unwrap().ok().unwrap();
    let task = client.wait_for_task(answer["taskUid"].as_u64().unwrap()).await.unwrap();
    assert_eq!(task["status"], "failed", "{task}");
}

#[tokio::test]
async fn what_miroir_does_not_do_is_refused_with_what_to_do_instead() {
    let pair = PAIR.get().await;
    let client = pair.miroir.client();
    for (method, path, part) in [
        ("GET", "/network", "/_miroir/topology"),
        ("PATCH", "/network", "/_miroir/topology"),
        ("POST", "/network/control", "/_miroir/topology"),
        ("POST", "/export", "GET /indexes/{uid}/documents"),
        ("POST", "/logs/stream", "Envoy, the control plane and the nodes"),
        ("DELETE", "/logs/stream", "Envoy, the control plane and the nodes"),
        ("POST", "/logs/stderr", "--log"),
        ("GET", "/chats", "call the language model"),
        ("GET", "/chats/a", "call the language model"),
        ("DELETE", "/chats/a", "call the language model"),
        ("GET", "/chats/a/settings", "call the language model"),
        ("PATCH", "/chats/a/settings", "call the language model"),
        ("DELETE", "/chats/a/settings", "call the language model"),
        ("POST", "/chats/a/chat/completions", "call the language model"),
        ("GET", "/metrics", "/stats/prometheus"),
    ] {
        let refused = outcome(&client, method, path, None).await;
        assert_eq!((&refused["status"], &refused["code"]), (&json!(501), &json!("miroir_not_supported")));
        assert!(refused["message"].as_str().unwrap().contains(part), "{method} {path}: {refused}");
        // Whoever may not ask is told that, as on a node.
        let refused = outcome(&client.with_key("wrong"), method, path, None).await;
        assert_eq!((&refused["status"], &refused["code"]), (&json!(403), &json!("invalid_api_key")));
    }
}

#[tokio::test]
async fn a_method_that_a_route_does_not_have_is_refused_as_on_one_node() {
    let pair = PAIR.get().await;
    for (path, has) in [
        ("/indexes", "GET POST"),
        ("/indexes/a", "GET PATCH DELETE"),
        ("/indexes/a/settings", "GET PATCH DELETE"),
        ("/indexes/a/settings/stop-words", "GET PUT DELETE"),
        ("/indexes/a/stats", "GET"),
        ("/stats", "GET"),
        ("/tasks", "GET DELETE"),
        ("/tasks/1", "GET"),
        ("/keys", "GET POST"),
        ("/keys/a", "GET PATCH DELETE"),
        ("/experimental-features", "GET PATCH"),
        ("/dumps", "POST"),
        ("/snapshots", "POST"),
        ("/webhooks", "GET POST"),
        ("/webhooks/a", "GET PATCH DELETE"),
        ("/dynamic-search-rules", "POST DELETE"),
        ("/dynamic-search-rules/a", "GET PATCH DELETE"),
        ("/render-template", "POST"),
        ("/network", "GET PATCH"),
        ("/network/control", "POST"),
        ("/export", "POST"),
        ("/logs/stream", "POST DELETE"),
        ("/logs/stderr", "POST"),
        ("/chats", "GET"),
        ("/chats/a/settings", "GET PATCH DELETE"),
        ("/metrics", "GET"),
    ] {
        for method in ["HEAD", "PUT", "POST", "DELETE", "PATCH", "GET"] {
            if has.contains(method) {
                continue;
            }
            let send = async |client: Client| {
                let answer = client.send(method.parse().unwrap(), path, None, vec![]).await.unwrap();
                (answer.status, answer.text())
            };
            let (ours, single) = pair.both(send).await;
            assert_eq!(ours, (405, String::new()), "{method} {path}");
            // The embedded node lacks some routes, and takes HEAD for GET, which Meilisearch doesn't.
            if std::env::var_os("MEILISEARCH_BIN").is_some() {
                assert_eq!(single, ours, "{method} {path}");
            }
        }
    }
    pair.same(async |client| client.get("/nowhere").await.unwrap().status).await;
}

#[tokio::test]
async fn templates_are_rendered_wherever_the_document_is() {
    let pair = PAIR.get().await;
    if lacking(&pair.single.client(), "/render-template").await {
        return;
    }
    pair.both(async |client| {
        client.patch("/experimental-features", &json!({ "renderRoute": true })).await.unwrap().ok().unwrap();
        let index = client.create_index("rendered", Some("id")).await.unwrap();
        let documents: Vec<Value> = (0..12).map(|id| json!({ "id": id, "name": format!("n{id}") })).collect();
        index.add_documents(&documents).await.unwrap();
    })
    .await;
    let template = json!({ "kind": "inlineDocumentTemplate", "inline": "called {{ doc.name }}" });
    let render = async |client: &Client, input: Value| {
        let body = json!({ "template": template, "input": input });
        let answer = client.post("/render-template", &body).await.unwrap();
        (answer.status, answer.json::<Value>().unwrap())
    };
    for id in 0..13 {
        let input = json!({ "kind": "indexDocument", "indexUid": "rendered", "id": id.to_string() });
        pair.same(async |client| render(&client, input.clone()).await).await;
    }
    for input in [
        json!({ "kind": "inlineDocument", "inline": { "name": "x" } }),
        json!({ "kind": "indexDocument", "indexUid": "absent", "id": "1" }),
        json!({ "kind": "nonsense" }),
    ] {
        pair.same(async |client| render(&client, input.clone()).await).await;
    }
    pair.same(async |client| render(&client.with_key("wrong"), Value::Null).await).await;
}
