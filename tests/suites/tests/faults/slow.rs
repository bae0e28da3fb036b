//! A node that is there and answers nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::films::{check_whole, prepare, search};
use crate::unaware_cluster;

#[tokio::test]
async fn others_stand_in_for_a_node_that_does_not_answer() {
    let timeouts = json!({ "read_ms": 1500, "write_ms": 1500 });
    let cluster = unaware_cluster(2, json!({ "timeouts": timeouts })).await;
    let client = cluster.client();
    let index = prepare(&cluster).await;
    cluster.pause_node(0).unwrap();
    for number in 0..3 {
        let begun = Instant::now();
        check_whole(&search(&client, number).await);
        assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    }
    for id in 0..4 {
        assert_eq!(index.document(&id.to_string()).await.unwrap().status, 200);
    }
    cluster.resume_node(0).unwrap();
    check_whole(&search(&client, 0).await);
}
