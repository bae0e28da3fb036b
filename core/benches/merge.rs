//! Merging three answers of 1,000 hits, and splitting documents.

#![allow(missing_docs)]
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use miroir_bench_workload::{HITS, Merging, Splitting};

fn merging(c: &mut Criterion) {
    let mut group = c.benchmark_group("merge");
    for limit in [20, HITS] {
        let merging = Merging::new(limit);
        group.throughput(Throughput::Bytes(merging.answers().iter().map(|body| body.len() as u64).sum()));
        group.bench_function(format!("3 answers of {HITS} hits, {limit} returned"), |b| {
            b.iter_batched(|| merging.answers(), |answers| merging.run(answers), BatchSize::LargeInput);
        });
    }
}

fn splitting(c: &mut Criterion) {
    let splitting = Splitting::new();
    let mut group = c.benchmark_group("split");
    group.throughput(Throughput::Bytes(splitting.bytes() as u64));
    group.bench_function("NDJSON at RF 1", |b| b.iter(|| splitting.run()));
}

criterion_group!(benches, merging, splitting);
criterion_main!(benches);
