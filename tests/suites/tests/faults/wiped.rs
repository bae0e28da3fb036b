//! A node that has lost its disk and is back before anybody has looked.

use serde_json::{Value, json};

use crate::films::{COUNT, check_whole, film, films, prepare, search};
use crate::unaware_cluster;

#[tokio::test]
async fn it_takes_no_write_and_nobody_reads_it() {
    let mut cluster = unaware_cluster(2, json!({})).await;
    let client = cluster.client();
    let index = prepare(&cluster).await;
    let rights = json!({ "actions": ["search", "documents.get"], "indexes": ["*"], "expiresAt": null });
    let key = client.post("/keys", &rights).await.unwrap().ok().unwrap();
    let reader = client.with_key(key["key"].as_str().unwrap());
    cluster.stop_node(1);
    cluster.wipe_node(1).unwrap();
    cluster.start_node(1).await.unwrap();

    let written = index.post_documents(&films(2)).await.unwrap();
    assert_eq!(written.status, 202, "{}", written.text());
    client.wait_for_success(&written).await.unwrap();
    for client in [&client, &reader] {
        for number in 0..6 {
            let found = search(client, number).await;
            check_whole(&found);
            let hits: Value = found.json().unwrap();
            assert!(hits["hits"].as_array().unwrap().iter().all(|hit| hit["edition"] == 2), "{number}");
        }
        for id in 0..COUNT {
            let document = index.with_client(client).document(&id.to_string()).await.unwrap();
            assert_eq!(document.ok().unwrap(), film(id, 2));
        }
    }

    let unknown = client.with_key("nobody has this key");
    let refused = search(&unknown, 0).await;
    assert_eq!((refused.status, refused.code().as_deref()), (403, Some("invalid_api_key")));
    let refused = index.with_client(&unknown).document("1").await.unwrap();
    assert_eq!((refused.status, refused.code().as_deref()), (403, Some("invalid_api_key")));
}
