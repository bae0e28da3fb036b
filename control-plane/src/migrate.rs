//! `miroir store migrate`: takes the state of a cluster from SQLite to Redis.

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Serialize;
use time::OffsetDateTime;

use crate::config::{Backend, TaskStoreConfig};
use crate::leadership::{self, Term};
use crate::store::{
    Contents, Holder, IdempotencyStore, Import, InstanceStore, Internals, LEASE, Lease, Link, RedisStore,
    SessionStore, SqliteStore, Standing, Store, TaskQuery, TaskRecord,
};

/// So many tasks are taken at once.
const TASKS: usize = 500;
/// How long to wait for the lease of a leader that is gone.
const PATIENCE: Duration = LEASE.saturating_add(Duration::from_secs(3));
/// What expires so soon is not looked for again.
const EXPIRES: time::Duration = time::Duration::minutes(10);

/// How many there were of what.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Migrated {
    pub tasks: u64,
    pub indexes: usize,
    pub nodes: usize,
    pub stale_replicas: usize,
    pub pending_changes: usize,
    pub aliases: usize,
    pub keys: usize,
    pub webhooks: usize,
    pub webhook_debts: usize,
    pub idempotency_keys: usize,
    pub sessions: usize,
}

/// Who is told how far it is.
pub trait Observer {
    /// So many tasks there are.
    fn begins(&self, tasks: u64);
    /// So many more are in Redis.
    fn has_written(&self, tasks: usize);
    /// All is there, and is read again.
    fn verifies(&self);
    /// So many more are as they were.
    fn has_verified(&self, tasks: usize);
}

/// Copies all that the SQLite file holds into Redis, reads it again and compares. The file stays as it is.
///
/// # Errors
/// If there is no such file or a control plane uses it; if Redis can't be asked, is led by a control plane or holds the state
/// of a cluster; if what it holds in the end is not the same.
pub async fn migrate(
    file: &Path,
    target: &TaskStoreConfig,
    observer: &dyn Observer,
) -> anyhow::Result<Migrated> {
    ensure!(
        target.backend == Backend::Redis,
        "`task_store.backend` is not `redis`: there is nothing to migrate to"
    );
    // Else an empty one would be made.
    ensure!(file.is_file(), "{} is not there", file.display());
    let source = SqliteStore::open(file).with_context(|| file.display().to_string())?;
    let internals = source.internals().await?;
    let contents = Contents::of(&source, &internals.changing_nodes).await?;
    ensure!(contents.topology.is_some(), "{} holds no cluster", file.display());
    let tasks = source.count_tasks().await?;

    let link = Arc::new(Link::open(target).context("`task_store`")?);
    let lease = Lease::new(link.clone(), &nobody())?;
    let token = lead(&lease).await?;
    let term = Term::until(leadership::end_of_lease(Instant::now()));
    let copied = tokio::select! {
        () = leadership::keep(&lease, token, &term) => Err(anyhow::anyhow!("Redis did not answer for too long: run it again")),
        copied = async {
            let import = Import::begin(link, token, term.clone()).await?;
            observer.begins(tasks);
            copy(&source, &import, observer).await?;
            import.add_contents(&contents, &internals).await?;
            observer.verifies();
            verify_tasks(&source, import.store(), tasks, observer).await?;
            verify(&source, import.store(), &contents, &internals).await?;
            Ok(import.end().await?)
        } => copied,
    };
    let given_up = lease.give_up(token).await;
    copied?;
    given_up?;
    Ok(migrated(&contents, &internals, tasks))
}

/// A leader that nobody can reach: whoever is asked meanwhile says so.
fn nobody() -> Holder {
    let name = "miroir-store-migrate.invalid";
    Holder { envoy: format!("{name}:1"), admin: format!("{name}:1") }
}

async fn lead(lease: &Lease) -> anyhow::Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match lease.take().await? {
            Standing::Leads(token) => return Ok(token),
            Standing::Follows(leader) => {
                ensure!(
                    Instant::now() < deadline,
                    "the control plane at {} leads on this Redis database: stop all control planes first",
                    leader.admin
                );
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Does something with all tasks, so many at once, the oldest first.
async fn for_each_page(
    source: &SqliteStore,
    work: impl AsyncFn(&[TaskRecord]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut next = 0;
    loop {
        let tasks = source.tasks_from(next, TASKS).await?;
        let Some(last) = tasks.last() else { return Ok(()) };
        next = last.uid + 1;
        work(&tasks).await?;
    }
}

async fn copy(source: &SqliteStore, import: &Import, observer: &dyn Observer) -> anyhow::Result<()> {
    for_each_page(source, async |tasks| {
        import.add_tasks(tasks).await?;
        observer.has_written(tasks.len());
        Ok(())
    })
    .await
}

/// Finds everything but the tasks as it was.
async fn verify(
    source: &SqliteStore,
    target: &RedisStore,
    contents: &Contents,
    internals: &Internals,
) -> anyhow::Result<()> {
    let found = Contents::of(target, &internals.changing_nodes).await?;
    ensure!(found == *contents, "Redis does not hold what SQLite holds: please report it");
    for (webhook, owed) in &internals.owed {
        let found = target.tasks_owed(*webhook, usize::MAX).await?.into_iter().map(|task| task.uid);
        ensure!(
            found.eq(owed.iter().copied()),
            "webhook {webhook} is not owed what it was: please report it"
        );
    }
    // What expires meanwhile is not missed.
    let soon = OffsetDateTime::now_utc() + EXPIRES;
    for (id, answer, _) in internals.answers.iter().filter(|(.., expires_at)| *expires_at > soon) {
        let found = target.first_answer(id, soon).await?;
        ensure!(
            found.as_ref() == Some(answer),
            "an idempotency key is not in Redis as it was: please report it"
        );
    }
    for (id, ..) in internals.sessions.iter().filter(|(.., expires_at)| *expires_at > soon) {
        let (found, expected) = (target.session(id, soon).await?, source.session(id, soon).await?);
        ensure!(found == expected, "session `{id}` is not in Redis as it was: please report it");
    }
    Ok(())
}

/// Finds all tasks as they were.
async fn verify_tasks(
    source: &SqliteStore,
    target: &RedisStore,
    tasks: u64,
    observer: &dyn Observer,
) -> anyhow::Result<()> {
    let total = target.tasks(&TaskQuery::default()).await?.total;
    ensure!(total == tasks, "Redis holds {total} tasks, and there were {tasks}: please report it");
    for_each_page(source, async |tasks| {
        let uids: Vec<u64> = tasks.iter().map(|task| task.uid).collect();
        let query = TaskQuery { uids: Some(uids), limit: TASKS, reverse: true, ..TaskQuery::default() };
        let found = target.tasks(&query).await?.tasks;
        if let Some(task) = first_difference(tasks, &found) {
            anyhow::bail!("task {task} is not in Redis as it was: please report it");
        }
        observer.has_verified(tasks.len());
        Ok(())
    })
    .await
}

fn first_difference(tasks: &[TaskRecord], found: &[TaskRecord]) -> Option<u64> {
    let differs =
        |(number, task): (usize, &TaskRecord)| (found.get(number) != Some(task)).then_some(task.uid);
    tasks.iter().enumerate().find_map(differs)
}

fn migrated(contents: &Contents, internals: &Internals, tasks: u64) -> Migrated {
    Migrated {
        tasks,
        indexes: contents.indexes.len(),
        nodes: contents.topology.as_ref().map_or(0, |topology| topology.nodes.len()),
        stale_replicas: contents.stale.values().map(|shards| shards.len()).sum(),
        pending_changes: contents.pending_changes.values().map(Vec::len).sum(),
        aliases: contents.aliases.len(),
        keys: contents.keys.len(),
        webhooks: contents.webhooks.len(),
        webhook_debts: internals.owed.values().map(Vec::len).sum(),
        idempotency_keys: internals.answers.len(),
        sessions: internals.sessions.len(),
    }
}
