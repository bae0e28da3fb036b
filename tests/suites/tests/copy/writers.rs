//! Copies while clients write.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures::future::join_all;
use miroir_control_plane::copy::{CopiedIndex, Progress, compare, sync};
use miroir_core::tag::TAG_FIELD;
use miroir_harness::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::nodes::{LONG, Nodes, all_shards, documents, tag};

/// Clients that each write documents of their own: of one document the order of writes is the same on all nodes.
pub const WRITERS: u64 = 3;
const IDS: u64 = 300;

/// Does what the filter does: passes the gate, sends to all nodes, and is registered once all have it. Returns the nodes'
/// tasks.
pub async fn write(nodes: &Nodes, index: &CopiedIndex, method: Method, path: &str, body: &Value) -> Vec<u64> {
    let pass = nodes.gates.pass(&index.uid).await;
    let path = format!("/indexes/{}{path}", index.uid);
    let sends = (0..nodes.replicas.len()).map(|node| {
        let (client, method, path) = (nodes.client(node), method.clone(), path.clone());
        async move {
            // Each comes to the nodes in another order.
            sleep(Duration::from_millis(fastrand::u64(0..8))).await;
            let enqueued = client.request(method, &path, body).await.unwrap().ok().unwrap();
            enqueued["taskUid"].as_u64().unwrap()
        }
    });
    let tasks = join_all(sends).await;
    nodes.gates.leave(pass);
    tasks
}

/// Waits until the nodes have done a write: clients that never wait would only make their queues longer.
async fn wait_for(nodes: &Nodes, tasks: Vec<u64>) {
    for (node, task) in tasks.into_iter().enumerate() {
        nodes.client(node).wait_for_task(task).await.unwrap();
    }
}

/// One write of some kind.
async fn write_something(nodes: &Nodes, index: &CopiedIndex, writer: u64, round: u64) -> Vec<u64> {
    let some = || -> BTreeSet<u64> {
        (0..fastrand::u64(1..6)).map(|_| fastrand::u64(0..IDS) * WRITERS + writer).collect()
    };
    let whole = |id: u64| json!({ "id": id, TAG_FIELD: tag(id), "writer": writer, "n": fastrand::u64(0..1000), "round": round });
    let part = |id: u64| json!({ "id": id, TAG_FIELD: tag(id), "writer": writer, "part": round });
    let (method, path, body) = match fastrand::u64(0..10) {
        0..4 => (Method::POST, "/documents", some().into_iter().map(whole).collect()),
        4..7 => (Method::PUT, "/documents", some().into_iter().map(part).collect()),
        7..9 => (Method::POST, "/documents/delete-batch", json!(some())),
        _ => {
            let from = fastrand::u64(0..950);
            let filter = format!("writer = {writer} AND n {from} TO {}", from + 50);
            (Method::POST, "/documents/delete", json!({ "filter": filter }))
        }
    };
    write(nodes, index, method, path, &body).await
}

/// Clients write for as long as `work` takes. Returns how often they did.
pub async fn while_clients_write<T>(
    nodes: &Nodes,
    index: &CopiedIndex,
    work: impl Future<Output = T>,
) -> (T, u64) {
    let over = AtomicBool::new(false);
    let writers = join_all((0..WRITERS).map(async |writer| {
        let mut rounds = 0;
        while !over.load(Relaxed) {
            let tasks = write_something(nodes, index, writer, rounds).await;
            rounds += 1;
            if rounds % 4 == 0 {
                wait_for(nodes, tasks).await;
            }
        }
        rounds
    }));
    let work = async {
        let result = timeout(LONG, work).await.unwrap();
        over.store(true, Relaxed);
        result
    };
    let (result, rounds) = tokio::join!(work, writers);
    (result, rounds.into_iter().sum())
}

/// Two nodes that differ in many documents.
async fn different(nodes: &Nodes) -> CopiedIndex {
    let index = nodes.index("busy", "id", json!({})).await;
    let mut held = documents(0..IDS * WRITERS);
    held.iter_mut()
        .for_each(|document| document["writer"] = (document["n"].as_u64().unwrap() % WRITERS).into());
    nodes.add(0, &index, &held[..700]).await;
    held.iter_mut().for_each(|document| document["title"] = "stale".into());
    nodes.add(1, &index, &held[500..]).await;
    index
}

#[tokio::test]
async fn a_copy_is_equal_in_the_end_however_clients_write() {
    let nodes = Nodes::start(2).await;
    let index = different(&nodes).await;
    let (copied, writes) = while_clients_write(&nodes, &index, nodes.sync(&index, &all_shards())).await;
    copied.unwrap();
    assert!(writes > 20, "{writes}");
    nodes.assert_equal(&index, [0, 1]).await;

    let compared = async {
        let replicas: Vec<_> = nodes.replicas.iter().collect();
        for shard in all_shards() {
            let differences = compare(nodes.context(), &index, shard, &replicas, 3).await.unwrap();
            assert_eq!(differences, [], "what is on its way is no difference");
        }
    };
    while_clients_write(&nodes, &index, compared).await;
    nodes.assert_equal(&index, [0, 1]).await;
}

#[tokio::test]
async fn a_copy_that_is_dropped_again_and_again_is_equal_in_the_end() {
    let nodes = Nodes::start(2).await;
    let index = different(&nodes).await;
    let copies = async {
        for _ in 0..12 {
            let progress = Progress::default();
            let [source, target] = [&nodes.replicas[0], &nodes.replicas[1]];
            let copy = sync(nodes.context(), &index, &[0, 1, 2, 3, 4, 5, 6, 7], source, target, &progress);
            if let Ok(copied) = timeout(Duration::from_millis(fastrand::u64(1..400)), copy).await {
                copied.unwrap();
            }
        }
        nodes.sync(&index, &all_shards()).await.unwrap();
    };
    while_clients_write(&nodes, &index, copies).await;
    nodes.assert_equal(&index, [0, 1]).await;
    assert!(nodes.gates.barrier("busy", Duration::ZERO).await, "nothing is left of what was dropped");
    nodes.gates.hold("busy", LONG).await.unwrap();
}

#[tokio::test]
async fn deleted_documents_do_not_come_back() {
    let nodes = Nodes::start(2).await;
    let index = nodes.index("going", "id", json!({})).await;
    nodes.add(0, &index, &documents(0..1500)).await;
    let over = AtomicBool::new(false);
    let copy = async {
        nodes.sync(&index, &all_shards()).await.unwrap();
        over.store(true, Relaxed);
    };
    let deleted = async {
        let mut deleted = BTreeSet::new();
        while !over.load(Relaxed) && deleted.len() < 1400 {
            let ids: BTreeSet<u64> = (0..12).map(|_| fastrand::u64(0..1500)).collect();
            let tasks = write(&nodes, &index, Method::POST, "/documents/delete-batch", &json!(ids)).await;
            wait_for(&nodes, tasks).await;
            deleted.extend(ids);
        }
        deleted
    };
    let ((), deleted) = timeout(LONG, async { tokio::join!(copy, deleted) }).await.unwrap();
    assert!(deleted.len() > 20, "{}", deleted.len());
    let held = nodes.assert_equal(&index, [0, 1]).await;
    let expected: Vec<u64> = (0..1500).filter(|id| !deleted.contains(id)).collect();
    let mut held: Vec<u64> = held.keys().map(|id| id.parse().unwrap()).collect();
    held.sort_unstable();
    assert_eq!(held, expected);
}

/// One document that is written all the time: the copy has to hold its writes back.
#[tokio::test]
async fn a_copy_ends_although_a_document_never_rests() {
    let nodes = Nodes::start(2).await;
    let index = nodes.index("hot", "id", json!({})).await;
    nodes.add(0, &index, &documents(0..200)).await;
    let over = AtomicBool::new(false);
    let copy = async {
        nodes.sync(&index, &all_shards()).await.unwrap();
        over.store(true, Relaxed);
    };
    let writers = join_all((0..4).map(async |writer| {
        let mut round = 0;
        while !over.load(Relaxed) {
            round += 1;
            let whole = json!([{ "id": writer, TAG_FIELD: tag(writer), "round": round }]);
            let tasks = write(&nodes, &index, Method::POST, "/documents", &whole).await;
            if round % 4 == 0 {
                wait_for(&nodes, tasks).await;
            }
        }
    }));
    timeout(LONG, async { tokio::join!(copy, writers) }).await.unwrap();
    nodes.assert_equal(&index, [0, 1]).await;
}
