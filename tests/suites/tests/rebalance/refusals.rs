//! What can't be done is refused, and what would be done is told.

use serde_json::{Value, json};

use crate::{as_new, cluster, films};

#[tokio::test]
async fn impossible_changes_are_refused_and_dry_runs_do_nothing() {
    let mut cluster = cluster(2, 1).await;
    films(&cluster).await;
    let admin = cluster.admin();
    let added = cluster.spawn_node().await.unwrap();
    let node = as_new(&cluster, added);
    let before = admin.get("/_miroir/topology").await.unwrap().ok().unwrap();

    let plan = admin.post("/_miroir/nodes?dryRun=true", &node).await.unwrap();
    assert_eq!(plan.status, 200, "{}", plan.text());
    let plan: Value = plan.json().unwrap();
    assert_eq!((&plan["state"], &plan["shardsTotal"]), (&json!("idle"), &json!(5)), "{plan:#}");
    assert_eq!(plan["moves"].as_array().unwrap().len(), 5);
    assert_eq!(plan["moves"][0]["to"], json!(["node-2"]));
    assert!(plan["documentsTotal"].as_u64().unwrap() > 500, "{plan:#}");

    cluster.stop_node(added);
    for (method, path, body, status, code) in [
        ("POST", "/_miroir/nodes", &node, 409, "miroir_node_unreachable"),
        (
            "POST",
            "/_miroir/nodes",
            &json!({"id": "node-0", "url": "http://other"}),
            409,
            "miroir_duplicate_node",
        ),
        ("POST", "/_miroir/nodes", &json!({"id": "x"}), 400, "bad_request"),
        ("POST", "/_miroir/nodes", &json!({"id": "x", "url": "http://x", "weigth": 1}), 400, "bad_request"),
        ("POST", "/_miroir/nodes?dry=true", &node, 400, "bad_request"),
        ("POST", "/_miroir/nodes/nobody/drain", &Value::Null, 404, "miroir_unknown_node"),
        ("POST", "/_miroir/nodes/node-0/drain?dryRun=1", &Value::Null, 400, "bad_request"),
        ("DELETE", "/_miroir/nodes/node-0", &Value::Null, 409, "miroir_node_owns_shards"),
        ("DELETE", "/_miroir/nodes/node-0?force=true", &Value::Null, 409, "miroir_last_copy"),
        ("DELETE", "/_miroir/groups/group-0", &Value::Null, 409, "miroir_last_copy"),
        ("PATCH", "/_miroir/topology", &json!({"replicationFactor": 3}), 409, "miroir_too_few_nodes"),
    ] {
        let refusal = admin.request(method.parse().unwrap(), path, body).await.unwrap();
        let found = (refusal.status, refusal.code());
        assert_eq!(found, (status, Some(code.to_owned())), "{method} {path}: {}", refusal.text());
    }
    let mut after = admin.get("/_miroir/topology").await.unwrap().ok().unwrap();
    after["tableVersion"] = before["tableVersion"].clone();
    after["envoys"] = before["envoys"].clone();
    assert_eq!(after, before);
}
