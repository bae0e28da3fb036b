//! Envoy is killed and started again.

use serde_json::json;

use crate::cluster;
use crate::films::{check_whole, films, prepare, search};

#[tokio::test]
async fn it_gets_everything_again() {
    let mut cluster = cluster(2, json!({})).await;
    let index = prepare(&cluster).await;
    for edition in 2..4 {
        cluster.restart_envoy().await.unwrap();
        check_whole(&search(&cluster.client(), 0).await);
        index.add_documents(&films(edition)).await.unwrap();
        check_whole(&search(&cluster.client(), 1).await);
    }
    // It may come up before the control plane does.
    cluster.stop_envoy();
    cluster.stop_control_plane();
    cluster.start_control_plane().await.unwrap();
    cluster.start_envoy().await.unwrap();
    check_whole(&search(&cluster.client(), 2).await);
}
