//! Merging three answers of 1,000 hits, and splitting documents.

#![allow(missing_docs)]
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use miroir_core::documents::id::inspect;
use miroir_core::documents::payload::{Format, PayloadReader};
use miroir_core::documents::split::Splitter;
use miroir_core::routing::Routing;
use miroir_core::search::answer::NodeAnswer;
use miroir_core::search::hit::Reading;
use miroir_core::search::index_search::Found;
use miroir_core::search::merge::merge;
use miroir_core::search::query::SearchQuery;
use miroir_core::table::IndexFacts;
use serde_json::{Value, json};

const HITS: u64 = 1000;

fn document(id: u64) -> Value {
    json!({
        "id": id, "name": format!("package-{id}"), "section": "utils", "size": id * 37 % 100_000,
        "description": "a short description as a package has one, with some words to find it by",
        "_miroir_shard": "⸀⸁"
    })
}

fn answer(node: u64) -> Vec<u8> {
    let hit = |place: u64| {
        let mut hit = document(place * 3 + node);
        hit["_rankingScore"] = json!(1.0 - place as f64 / HITS as f64);
        hit
    };
    json!({
        "hits": (0..HITS).map(hit).collect::<Vec<_>>(), "query": "x", "processingTimeMs": 3,
        "limit": HITS, "offset": 0, "estimatedTotalHits": HITS
    })
    .to_string()
    .into_bytes()
}

fn merging(c: &mut Criterion) {
    let bodies: Vec<Vec<u8>> = (0..3).map(answer).collect();
    let facts = IndexFacts::default();
    let reading = Reading { ranked: true, ..Reading::default() };
    let mut group = c.benchmark_group("merge");
    for limit in [20, HITS] {
        let query = json!({"q": "x", "limit": limit});
        let query =
            SearchQuery::parse(query.as_object().cloned().unwrap_or_default(), &facts).expect("a query");
        group.throughput(Throughput::Bytes(bodies.iter().map(|body| body.len() as u64).sum()));
        group.bench_function(format!("3 answers of {HITS} hits, {limit} returned"), |b| {
            b.iter_batched(
                || bodies.clone(),
                |bodies| {
                    let answers = bodies.into_iter().filter_map(|body| NodeAnswer::read(body, &reading).ok());
                    let found: Vec<Found> = answers.map(Found::from).collect();
                    black_box(merge(&query, &facts, &found)).map(|body| body.len())
                },
                BatchSize::LargeInput,
            );
        });
    }
}

fn splitting(c: &mut Criterion) {
    let table = json!({
        "version": 1, "epoch": 1, "shards": 64,
        "nodes": (0..3).map(|n| json!({"id": n.to_string(), "cluster": "c", "authority": "a", "up": true})).collect::<Vec<_>>(),
        "groups": [{"id": "0", "owners": (0..64).map(|s| json!([s % 3])).collect::<Vec<_>>()}],
        "control_plane": {"cluster": "c", "authority": "a", "token": "t"}
    });
    let routing = Routing::from_json(table.to_string().as_bytes()).expect("a table");
    let mut body = Vec::new();
    for id in 0..20_000 {
        let mut document = document(id);
        document.as_object_mut().map(|fields| fields.remove("_miroir_shard"));
        body.extend_from_slice(document.to_string().as_bytes());
        body.push(b'\n');
    }
    let mut group = c.benchmark_group("split");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("NDJSON at RF 1", |b| {
        b.iter(|| {
            let mut splitter = Splitter::new(&routing.table);
            let mut reader = PayloadReader::new(Format::Ndjson);
            for piece in body.chunks(64 * 1024) {
                let taken = reader.push(piece, &mut |document| {
                    if let Ok(id) = inspect(document, "id")?.id {
                        splitter.add(&routing.table, document, &id);
                    }
                    Ok(())
                });
                black_box(taken).expect("documents");
            }
            splitter.take(1).map(|(_, part)| part.body.len()).sum::<usize>()
        });
    });
}

criterion_group!(benches, merging, splitting);
criterion_main!(benches);
