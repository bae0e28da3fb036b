//! One search over three nodes, from its first byte to the answer: what it costs the filter besides host calls.

#![allow(missing_docs)]
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use miroir_core::exchange::{Answer, RequestHead, Step};
use miroir_core::router::{Destination, route};
use miroir_core::routing::{Latest, Routing};
use serde_json::{Value, json};

const NODES: usize = 3;
const HITS: usize = 20;
const QUERY: &[u8] = br#"{"q":"library for parsing","limit":20}"#;

fn latest() -> Latest {
    let shards = 64;
    let nodes: Vec<Value> = (0..NODES)
        .map(|node| json!({"id": format!("n{node}"), "cluster": format!("n{node}"), "authority": format!("n{node}"), "up": true}))
        .collect();
    let owners: Vec<[usize; 1]> = (0..shards).map(|shard| [shard % NODES]).collect();
    let table = json!({
        "version": 1, "epoch": 1, "shards": shards, "nodes": nodes,
        "groups": [{"id": "group-0", "owners": owners}],
        "indexes": {"packages": {"primary_key": "id"}},
        "control_plane": {"cluster": "c", "authority": "c", "token": "t"}
    });
    Latest::new(Arc::new(Routing::from_json(table.to_string().as_bytes()).expect("a table")))
}

fn answer(node: usize) -> Answer {
    let hit = |place: usize| {
        json!({
            "id": place * NODES + node, "name": format!("package-{place}"), "section": "utils", "size": place * 37,
            "description": "a short description as a package has one, with some words to find it by",
            "_miroir_shard": "⸀⸁", "_rankingScore": 1.0 - place as f64 / 100.0
        })
    };
    let body = json!({
        "hits": (0..HITS).map(hit).collect::<Vec<_>>(), "query": "x", "processingTimeMs": 3,
        "limit": HITS, "offset": 0, "estimatedTotalHits": 1234
    });
    let headers =
        vec![("content-type".into(), "application/json".into()), ("content-length".into(), "1".into())];
    Answer { status: 200, headers, body: body.to_string().into_bytes() }
}

fn searching(c: &mut Criterion) {
    let latest = latest();
    let answers: Vec<Answer> = (0..NODES).map(answer).collect();
    let head = RequestHead {
        method: "POST".into(),
        target: "/indexes/packages/search".into(),
        headers: vec![
            ("content-type".into(), "application/json".into()),
            ("authorization".into(), "Bearer masterKey".into()),
            ("user-agent".into(), "client".into()),
        ],
    };
    c.bench_function("a search over 3 nodes, 20 hits", |b| {
        b.iter(|| {
            let (_, Destination::Exchange(mut exchange)) = route(&latest, head.clone()) else { return 0 };
            let Step::Call(calls) = exchange.body(QUERY, true) else { return 0 };
            for ((id, _), answer) in calls.iter().zip(&answers) {
                if let Step::Reply(reply) = exchange.answered(*id, Some(answer.clone())) {
                    return black_box(reply).body.len();
                }
            }
            0
        });
    });
}

criterion_group!(benches, searching);
criterion_main!(benches);
