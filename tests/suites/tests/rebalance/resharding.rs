//! The number of shards changes while clients search and write.

use miroir_harness::{Cluster, wait_until};
use serde_json::{Value, json};

use crate::moving::end;
use crate::observer::Observer;
use crate::{PATIENCE, as_new, change, cluster, films, settled, status};

async fn reshard(cluster: &Cluster, shards: u32) {
    change(cluster, "PATCH", "/_miroir/topology", &json!({ "shards": shards })).await;
}

async fn shards(cluster: &Cluster) -> usize {
    let shards = cluster.admin().get("/_miroir/shards").await.unwrap().ok().unwrap();
    shards["shards"].as_array().unwrap().len()
}

#[tokio::test]
async fn more_shards_then_fewer_then_half_way_and_back() {
    let mut cluster = cluster(3, 2).await;
    films(&cluster).await;
    let observer = Observer::begin(&cluster);
    reshard(&cluster, 64).await;
    settled(&cluster).await;
    assert_eq!(shards(&cluster).await, 64);
    // They can be spread more finely now, also over a node that comes.
    let added = cluster.spawn_node().await.unwrap();
    change(&cluster, "POST", "/_miroir/nodes", &as_new(&cluster, added)).await;
    settled(&cluster).await;

    reshard(&cluster, 8).await;
    settled(&cluster).await;
    assert_eq!(shards(&cluster).await, 8);

    reshard(&cluster, 24).await;
    wait_until("it to be under way", PATIENCE, async || {
        let now = status(&cluster).await;
        Ok(now["resharding"]["documentsTotal"].as_u64() > Some(0) || now["state"] == "idle")
    })
    .await
    .unwrap();
    cluster.admin().post("/_miroir/rebalance/cancel", &Value::Null).await.unwrap().ok().unwrap();
    settled(&cluster).await;
    assert!([8, 24].contains(&shards(&cluster).await));
    end(&cluster, observer).await;
}

#[tokio::test]
async fn a_control_plane_that_is_killed_goes_on_and_a_node_that_was_away_is_waited_for() {
    let mut cluster = cluster(3, 2).await;
    films(&cluster).await;
    let observer = Observer::begin(&cluster);
    reshard(&cluster, 32).await;
    for _ in 0..3 {
        cluster.stop_control_plane();
        cluster.start_control_plane().await.unwrap();
    }
    cluster.stop_node(1);
    cluster.stop_control_plane();
    cluster.start_control_plane().await.unwrap();
    cluster.start_node(1).await.unwrap();
    settled(&cluster).await;
    assert_eq!(shards(&cluster).await, 32);
    end(&cluster, observer).await;
}

#[tokio::test]
async fn numbers_that_do_not_fit_are_refused() {
    let cluster = cluster(1, 1).await;
    let admin = cluster.admin();
    for shards in [0, 24, 1 << 20] {
        let answer = admin.patch("/_miroir/topology", &json!({ "shards": shards })).await.unwrap();
        assert_eq!((answer.status, answer.code().as_deref()), (400, Some("miroir_invalid_topology")));
    }
    let both = json!({ "shards": 32, "replicationFactor": 1 });
    assert_eq!(admin.patch("/_miroir/topology", &both).await.unwrap().code().as_deref(), Some("bad_request"));
    let dry = admin.patch("/_miroir/topology?dryRun=true", &json!({ "shards": 32 })).await.unwrap();
    assert_eq!((dry.status, status(&cluster).await["resharding"].is_null()), (200, true));
}
