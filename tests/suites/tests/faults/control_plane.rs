//! The control plane is killed.

use miroir_harness::{Answer, Method};
use serde_json::json;

use crate::films::{check_whole, film, films, prepare, search};
use crate::{cluster, unaware_cluster};

#[track_caller]
fn check_unavailable(answer: &Answer) {
    let code = answer.code();
    assert_eq!(
        (answer.status, code.as_deref()),
        (503, Some("miroir_control_plane_unavailable")),
        "{}",
        answer.text()
    );
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn reads_go_on_and_writes_wait() {
    let mut cluster = cluster(2, json!({})).await;
    let client = cluster.client();
    let index = prepare(&cluster).await;
    cluster.stop_control_plane();

    for number in 0..5 {
        check_whole(&search(&client, number).await);
    }
    assert_eq!(index.document("7").await.unwrap().ok().unwrap(), film(7, 1));
    for path in ["/health", "/version"] {
        assert_eq!(client.get(path).await.unwrap().status, 200);
    }
    let refused = [
        index.post_documents(&films(2)).await,
        client.put("/indexes/films/documents", &json!([film(1, 2)])).await,
        client.post("/indexes/brand-new/documents", &json!([film(1, 2)])).await,
        client.delete("/indexes/films/documents/7").await,
        client.post("/indexes/films/documents/delete-batch", &json!([1, 2])).await,
        client.patch("/indexes/films/settings", &json!({ "stopWords": ["a"] })).await,
        client.post("/indexes", &json!({ "uid": "brand-new" })).await,
        client.delete("/indexes/films").await,
        client.get("/tasks").await,
        client.get("/indexes").await,
    ];
    for answer in &refused {
        check_unavailable(answer.as_ref().unwrap());
    }
    // What the client could mend itself is still said.
    let malformed = client
        .send(Method::POST, "/indexes/films/documents", Some("application/json"), b"[{".to_vec())
        .await
        .unwrap();
    assert_eq!(malformed.code().as_deref(), Some("malformed_payload"));

    cluster.start_control_plane().await.unwrap();
    // Nothing of it was written, on no node.
    for node in cluster.nodes() {
        let found = node.client().index("films").search(&json!({ "filter": "edition = 2" })).await.unwrap();
        assert_eq!(found["hits"], json!([]));
        assert_eq!(node.client().get("/indexes/brand-new").await.unwrap().status, 404);
    }
    check_whole(&search(&client, 0).await);
    index.add_documents(&films(3)).await.unwrap();
    check_whole(&search(&client, 0).await);
    client.index("brand-new").add_documents(&[film(1, 1)]).await.unwrap();
    assert_eq!(index.document("7").await.unwrap().ok().unwrap(), film(7, 3));
}

/// Envoy itself then finds out which node is down.
#[tokio::test]
async fn a_node_may_go_down_meanwhile() {
    let mut cluster = unaware_cluster(2, json!({})).await;
    let client = cluster.client();
    prepare(&cluster).await;
    cluster.stop_control_plane();
    cluster.stop_node(0);
    for number in 0..20 {
        check_whole(&search(&client, number).await);
    }
}
