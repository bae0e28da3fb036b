//! Tells webhooks of finished tasks, as Meilisearch does: a line of JSON per task, compressed by gzip. A webhook
//! that does not take them is not told again. One that was being told when the control plane ended may be told
//! twice.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::error;
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::store::{Store, StoreError, TaskRecord, Webhook};
use crate::tasks::view;

/// The pause between two looks at what is owed.
const PAUSE: Duration = Duration::from_millis(200);
/// How many tasks a webhook is told of at once.
const TASKS_AT_ONCE: usize = 1000;
/// How long a webhook may take: Meilisearch's own limit.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Tells the webhooks, for ever. One that is slow keeps none of the others waiting.
pub async fn run(cluster: &Cluster) {
    let http = reqwest::Client::builder().timeout(TIMEOUT).build().unwrap_or_default();
    let mut busy: HashMap<Uuid, JoinHandle<()>> = HashMap::new();
    loop {
        busy.retain(|_, telling| !telling.is_finished());
        if let Err(error) = tell_idle(cluster, &http, &mut busy).await {
            error!(%error, "webhooks can't be told of tasks");
        }
        sleep(PAUSE).await;
    }
}

async fn tell_idle(
    cluster: &Cluster,
    http: &reqwest::Client,
    busy: &mut HashMap<Uuid, JoinHandle<()>>,
) -> Result<(), StoreError> {
    for (uuid, webhook) in cluster.store.webhooks().await? {
        if busy.contains_key(&uuid) {
            continue;
        }
        let tasks = cluster.store.tasks_owed(uuid, TASKS_AT_ONCE).await?;
        if !tasks.is_empty() {
            let telling = tell(cluster.store.clone(), http.clone(), uuid, webhook, tasks);
            busy.insert(uuid, tokio::spawn(telling));
        }
    }
    Ok(())
}

async fn tell(
    store: Arc<dyn Store>,
    http: reqwest::Client,
    uuid: Uuid,
    webhook: Webhook,
    tasks: Vec<TaskRecord>,
) {
    if let Err(error) = send(&http, &webhook, &tasks).await {
        error!(webhook = %uuid, tasks = tasks.len(), "a webhook did not take tasks: {error:#}");
    }
    let uids: Vec<u64> = tasks.iter().map(|task| task.uid).collect();
    if let Err(error) = store.settle(uuid, &uids).await {
        error!(webhook = %uuid, %error, "a webhook will be told of tasks again");
    }
}

async fn send(http: &reqwest::Client, webhook: &Webhook, tasks: &[TaskRecord]) -> anyhow::Result<()> {
    let mut request =
        http.post(&webhook.url).header(CONTENT_ENCODING, "gzip").header(CONTENT_TYPE, "application/x-ndjson");
    for (name, value) in &webhook.headers {
        request = request.header(name, value);
    }
    request.body(body(tasks)?).send().await?.error_for_status()?;
    Ok(())
}

fn body(tasks: &[TaskRecord]) -> anyhow::Result<Vec<u8>> {
    let mut compressed = GzEncoder::new(Vec::new(), Compression::default());
    for task in tasks {
        serde_json::to_writer(&mut compressed, &view::task(task))?;
        compressed.write_all(b"\n")?;
    }
    Ok(compressed.finish()?)
}
