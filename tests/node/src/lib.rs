//! A small Meilisearch-compatible node around `milli`, Meilisearch's own engine, for demonstrations and tests on
//! machines that have no Meilisearch. It keeps Meilisearch 1.50's wire format and its asynchronous, in-order
//! task queue, and its data on disk.

pub mod auth;
pub mod cli;
pub mod documents;
pub mod error;
pub mod faults;
pub mod features;
pub mod http;
pub mod indexes;
pub mod keys;
pub mod search;
pub mod settings;
pub mod tasks;

use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::cli::Cli;
use crate::features::FeatureStore;
use crate::keys::store::Keys;
use crate::tasks::queue::Queue;

/// Serves on this listener until `shutdown` comes; then ends what it is doing and returns.
pub async fn serve(
    cli: Cli,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let queue = Arc::new(Queue::open(&cli.db_path, cli.max_indexing_threads)?);
    let worker = queue.start()?;
    let keys = Keys::open(&cli.db_path.join("auth"), cli.master_key)?;
    let features = FeatureStore::open(&cli.db_path)?;
    let mut router = http::router(Arc::clone(&queue), keys, features, cli.http_payload_size_limit);
    if cli.faults {
        router = router.merge(http::faults::routes(Arc::clone(&queue)));
    }

    axum::serve(listener, router).with_graceful_shutdown(shutdown).await?;
    queue.stop();
    tokio::task::spawn_blocking(move || worker.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the task queue ended in a panic"))
}
