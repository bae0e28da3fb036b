//! Control planes on Redis: of two, one leads, and the other stands by and takes over.

mod index_changes;
mod killed;
mod migrate;
mod outage;
mod paused;
mod remembered;
mod standby;

use std::time::Duration;

use miroir_harness::{Bootstrap, Cluster, Options, wait_until};
use serde_json::Value;

/// So long a client waits at most until another one leads.
const PATIENCE: Duration = Duration::from_secs(15);

async fn cluster(envoys: usize) -> Cluster {
    let options = Options {
        bootstrap: Bootstrap::Standalone,
        control_planes: 2,
        redis: true,
        envoys,
        shards: 16,
        ..Options::default()
    };
    Cluster::start(options).await.unwrap()
}

/// Which of the two leads.
async fn leader(cluster: &mut Cluster) -> usize {
    let mut leader = None;
    wait_until("a control plane to lead", PATIENCE, async || {
        for index in 0..2 {
            let client = cluster.control_plane(index).client();
            if client.get("/metrics").await.is_ok_and(|answer| answer.text().contains("\nmiroir_leader 1")) {
                leader = Some(index);
            }
        }
        Ok(leader.is_some())
    })
    .await
    .unwrap();
    leader.unwrap()
}

fn count(answer: &Value) -> u64 {
    answer["estimatedTotalHits"].as_u64().unwrap()
}
