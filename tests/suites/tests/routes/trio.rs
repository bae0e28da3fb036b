//! One node, and Miroir with one copy of each shard and with two.

use std::sync::{Arc, Weak};

use miroir_harness::{Client, Cluster, Options, SingleNode};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::step::Step;

/// The three, which the tests share and use one after the other: so all have the same history, and what they list is
/// the same.
struct Trio {
    single: SingleNode,
    clusters: Vec<(&'static str, Cluster)>,
    turn: Mutex<()>,
}

static RUNNING: Mutex<Weak<Trio>> = Mutex::const_new(Weak::new());

impl Trio {
    async fn get() -> Arc<Trio> {
        let mut running = RUNNING.lock().await;
        if let Some(trio) = running.upgrade() {
            return trio;
        }
        let cluster =
            |replication_factor| Cluster::start(Options { replication_factor, ..Options::default() });
        let (single, rf_1, rf_2) = tokio::join!(SingleNode::start(), cluster(1), cluster(2));
        let clusters = vec![("RF 1", rf_1.unwrap()), ("RF 2", rf_2.unwrap())];
        let trio = Arc::new(Trio { single: single.unwrap(), clusters, turn: Mutex::new(()) });
        *running = Arc::downgrade(&trio);
        trio
    }
}

/// Whether the nodes are real servers.
pub fn is_real() -> bool {
    std::env::var_os("MEILISEARCH_BIN").is_some_and(|path| !path.is_empty())
}

/// Whether to leave a test out, because it needs what the embedded node lacks.
pub fn only_on_a_real_server(what: &str) -> bool {
    if !is_real() {
        eprintln!("runs with MEILISEARCH_BIN only: the embedded node has no {what}");
    }
    !is_real()
}

/// Sends the same requests in the same order to all three, and sees to it that the same comes of each.
///
/// # Panics
/// If something differs; says all that does.
pub async fn same(steps: impl IntoIterator<Item = Step>) {
    let trio = Trio::get().await;
    let _turn = trio.turn.lock().await;
    let single = trio.single.client();
    let clients: Vec<(&str, Client)> =
        trio.clusters.iter().map(|(name, cluster)| (*name, cluster.client())).collect();
    let mut differences = Vec::new();
    for step in steps {
        let ours = clients.iter().map(async |(name, client)| (*name, step.outcome(client).await));
        let (expected, ours) = tokio::join!(step.outcome(&single), futures::future::join_all(ours));
        for (name, outcome) in ours {
            if outcome != expected {
                let place = first_difference("", &outcome, &expected).unwrap_or_default();
                differences.push(format!("{} {} with {name} at {place}", step.method, step.path));
            }
            assert!(!outcome.to_string().contains("_miroir_"), "{step:?}: {outcome}");
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

/// Where two outcomes begin to differ, and how.
fn first_difference(place: &str, ours: &Value, single: &Value) -> Option<String> {
    match (ours, single) {
        (Value::Object(left), Value::Object(right)) if left.keys().eq(right.keys()) => left
            .iter()
            .zip(right.values())
            .find_map(|((name, left), right)| first_difference(&format!("{place}.{name}"), left, right)),
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            let mut pairs = left.iter().zip(right).enumerate();
            pairs.find_map(|(at, (left, right))| first_difference(&format!("{place}.{at}"), left, right))
        }
        _ if ours == single => None,
        _ => Some(format!("{place}\n  miroir {ours}\n  node   {single}")),
    }
}
