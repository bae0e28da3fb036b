//! Something in a node's place that answers what no node would.

use miroir_suites::fake_node::{FakeNode, Nonsense};
use serde_json::{Value, json};

use crate::films::{check_whole, film, prepare, search};
use crate::unaware_cluster;

const JSON: &str = "application/json";

const ANSWERS: [Nonsense; 12] = [
    Nonsense { status: 200, content_type: "text/html", body: "<html><body>Welcome to nginx!</body></html>" },
    Nonsense { status: 200, content_type: JSON, body: "" },
    Nonsense { status: 200, content_type: JSON, body: r#"{"hits":[{"id":1,"title":"fi"# },
    Nonsense { status: 200, content_type: JSON, body: "{}" },
    Nonsense { status: 200, content_type: JSON, body: "[]" },
    Nonsense { status: 200, content_type: JSON, body: "null" },
    Nonsense { status: 200, content_type: JSON, body: r#"{"hits":7,"estimatedTotalHits":"many"}"# },
    Nonsense { status: 200, content_type: JSON, body: r#"{"hits":[1,null,"x"],"estimatedTotalHits":3}"# },
    Nonsense { status: 200, content_type: JSON, body: r#"{"hits":[{"id":1}],"estimatedTotalHits":-1}"# },
    Nonsense {
        status: 500,
        content_type: JSON,
        body: r#"{"message":"x","code":"internal","type":"internal","link":""}"#,
    },
    Nonsense { status: 302, content_type: "text/html", body: "elsewhere" },
    // Last, because Envoy stops asking who answers so.
    Nonsense { status: 503, content_type: "text/plain", body: "no healthy upstream" },
];

#[tokio::test]
async fn others_stand_in_for_a_node_that_answers_garbage() {
    let mut cluster = unaware_cluster(2, json!({})).await;
    let client = cluster.client();
    let index = prepare(&cluster).await;
    cluster.stop_node(1);
    let fake = FakeNode::start(cluster.node(1).port()).await.unwrap();
    for answer in ANSWERS {
        fake.answer(answer);
        for number in 0..4 {
            let found = search(&client, number).await;
            assert_eq!(found.status, 200, "{answer:?}: {}", found.text());
            check_whole(&found);
        }
        for id in 0..12 {
            let document = index.document(&id.to_string()).await.unwrap();
            let document: Value = document.ok().unwrap_or_else(|error| panic!("{answer:?}: {error:#}"));
            assert_eq!(document, film(id, 1), "{answer:?}");
        }
        assert!(fake.asked() > 0, "{answer:?}");
    }
}

#[tokio::test]
async fn a_write_that_garbage_answers_is_one_that_was_missed() {
    let mut cluster = unaware_cluster(2, json!({})).await;
    let client = cluster.client();
    let index = prepare(&cluster).await;
    cluster.stop_node(1);
    let fake = FakeNode::start(cluster.node(1).port()).await.unwrap();
    for (edition, answer) in (2..).zip(ANSWERS) {
        fake.answer(answer);
        let written = index.post_documents(&crate::films::films(edition)).await.unwrap();
        assert_eq!(written.status, 202, "{answer:?}: {}", written.text());
        client.wait_for_success(&written).await.unwrap();
        assert!(!miroir_suites::topology::stale_shards(&cluster, 1).await.is_empty());
        for number in 0..4 {
            let found = search(&client, number).await;
            check_whole(&found);
            let hits: Value = found.json().unwrap();
            assert!(
                hits["hits"].as_array().unwrap().iter().all(|hit| hit["edition"] == edition),
                "{answer:?}"
            );
        }
    }
}
