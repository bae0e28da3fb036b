//! How long it takes to place the shards of a small and of a large replica group.

use std::hint::black_box;

use criterion::Criterion;
use miroir_core::placement::{Candidate, place};

fn candidates(ids: &[String]) -> Vec<Candidate<'_>> {
    ids.iter().map(|id| Candidate { id, weight: 1.0 }).collect()
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("placement");
    for (shards, nodes, copies) in [(64, 3, 2), (512, 10, 2), (512, 100, 3)] {
        let ids: Vec<String> = (0..=nodes).map(|node| format!("node-{node}")).collect();
        let candidates = candidates(&ids);
        let (before, after) = (&candidates[..nodes], &candidates[..]);
        let shape = format!("{shards} shards × {nodes} nodes, RF {copies}");

        group.bench_function(&shape, |bencher| {
            bencher.iter(|| place(black_box(shards), copies, black_box(before), &[]));
        });

        let owners = place(shards, copies, before, &[]);
        let previous: Vec<Vec<&str>> =
            owners.iter().map(|owners| owners.iter().map(|&owner| before[owner].id).collect()).collect();
        group.bench_function(format!("{shape}, one node more"), |bencher| {
            bencher.iter(|| place(black_box(shards), copies, black_box(after), black_box(&previous)));
        });
        group.bench_function(format!("{shape}, one node less"), |bencher| {
            bencher.iter(|| place(black_box(shards), copies, black_box(&before[1..]), black_box(&previous)));
        });
    }
    group.finish();
    criterion.final_summary();
}
