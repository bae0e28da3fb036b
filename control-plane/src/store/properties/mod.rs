//! Random operations on a store, compared with a model of what its callers see; and several writers at once. For every backend.

mod concurrency;
mod copies;
mod model;
mod operation;
mod step;

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;

use operation::{Operation, operations};
use step::Pair;

use super::Store;

pub use concurrency::run as writers_do_not_lose_each_other;

/// How many random sequences are tried.
const CASES: u32 = 60;

/// Plays random operations. `open` opens the store of a case: what was in it when it was last open is still there.
pub fn run<S: Store, F: Future<Output = S>>(runtime: &Runtime, open: impl Fn(usize) -> F) {
    let config =
        Config { cases: CASES, failure_persistence: None, max_shrink_time: 120_000, ..Config::default() };
    let case = AtomicUsize::new(0);
    let played = TestRunner::new(config).run(&operations(), |operations| {
        let case = case.fetch_add(1, Ordering::Relaxed);
        runtime.block_on(play(case, &open, operations));
        Ok(())
    });
    if let Err(error) = played {
        panic!("{error}");
    }
}

async fn play<S: Store, F: Future<Output = S>>(
    case: usize,
    open: &impl Fn(usize) -> F,
    operations: Vec<Operation>,
) {
    let mut pair = Pair::new(open(case).await);
    for operation in operations {
        if let Operation::Reopen = operation {
            pair.compare().await;
            pair = pair.reopened(|| open(case)).await;
            pair.compare().await;
        } else {
            pair.step(operation).await;
        }
    }
    pair.compare().await;
    pair.reopened(|| open(case)).await.compare().await;
}
