//! What each node does for a task, for operators.

use miroir_suites::topology::wait_for_status;
use serde_json::{Value, json};

use crate::{cluster, documents};

#[tokio::test]
async fn operators_see_what_each_node_does_for_a_task() {
    let mut cluster = cluster(json!({})).await;
    let client = cluster.client();
    let index = client.create_index("parts", Some("id")).await.unwrap();
    let parts = async |task: &Value, cluster: &miroir_harness::Cluster| {
        let path = format!("/_miroir/tasks/{}", task["uid"]);
        let shown = cluster.admin().get(&path).await.unwrap().ok().unwrap();
        assert_eq!(shown["task"], *task);
        shown["parts"].as_array().unwrap().clone()
    };
    let task = index.add_documents(&documents(0..100)).await.unwrap();
    let all = parts(&task, &cluster).await;
    assert_eq!(all.len(), 3);
    let mut copies = 0;
    for part in &all {
        assert_eq!(part["status"], "succeeded");
        assert!(part["taskUid"].is_u64() && part["duration"].is_string(), "{part}");
        copies += part["details"]["indexedDocuments"].as_u64().unwrap();
    }
    assert_eq!(copies, 200, "two copies of each");

    cluster.stop_node(1);
    wait_for_status(&cluster, 1, "down").await;
    let task = index.add_documents(&documents(0..100)).await.unwrap();
    let missed: Vec<Value> =
        parts(&task, &cluster).await.into_iter().filter(|part| part["status"] == "missed").collect();
    assert_eq!(missed.len(), 1);
    assert_eq!(missed[0]["node"], cluster.node(1).id());
    assert!(missed[0]["missed"].as_str().unwrap().contains("down"), "{}", missed[0]);
    let answer = cluster.admin().get("/_miroir/tasks/4000000000").await.unwrap();
    assert_eq!((answer.status, answer.code().as_deref()), (404, Some("task_not_found")));
}
