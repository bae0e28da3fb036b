//! Old tasks go by themselves.

use serde_json::json;
use time::OffsetDateTime;
use tracing::info;

use super::{global, kind};
use crate::cluster::Cluster;
use crate::config::TasksConfig;
use crate::store::{NewTask, StoreError, TaskQuery, TaskStatus};

/// How many go at once: others wait for the store meanwhile.
const AT_ONCE: usize = 1000;

/// Deletes what is older than the configuration says, and then, if there are still too many, the oldest, until there is room
/// again. As on one Meilisearch, that is a task, too.
///
/// # Errors
/// If the store fails.
pub async fn prune(cluster: &Cluster) -> Result<(), StoreError> {
    let TasksConfig { keep_ms, keep_at_most } = cluster.config.tasks;
    if let Some(time) = keep_ms {
        let time = time::Duration::milliseconds(i64::try_from(time).unwrap_or(i64::MAX));
        let ended_before = OffsetDateTime::now_utc().checked_sub(time).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        delete_oldest(cluster, Some(ended_before), usize::MAX).await?;
    }
    let total = cluster.store.tasks(&TaskQuery::default()).await?.total;
    if total <= keep_at_most {
        return Ok(());
    }
    let surplus = total - keep_at_most + keep_at_most / 10;
    let deleted = delete_oldest(cluster, None, usize::try_from(surplus).unwrap_or(usize::MAX)).await?;
    if deleted == 0 {
        return Ok(());
    }
    info!(deleted, "there were too many tasks: the oldest were deleted");
    let filter = format!("?statuses=succeeded,failed,canceled&reverse=true&limit={deleted}");
    let details = json!({"matchedTasks": deleted, "deletedTasks": deleted, "originalFilter": filter});
    let task = NewTask { status: TaskStatus::Succeeded, ..global(kind::TASK_DELETION, details) };
    cluster.store.register_task(task, None).await?;
    Ok(())
}

/// Deletes up to `limit` tasks; how many it were.
async fn delete_oldest(
    cluster: &Cluster,
    ended_before: Option<OffsetDateTime>,
    limit: usize,
) -> Result<usize, StoreError> {
    let mut deleted = 0;
    while deleted < limit {
        let step = AT_ONCE.min(limit - deleted);
        let of_step = cluster.store.prune_tasks(ended_before, step).await?;
        deleted += of_step;
        if of_step < step {
            break;
        }
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, TaskPage, conformance};
    use crate::testing;

    async fn tasks(store: &dyn Store) -> TaskPage {
        store.tasks(&TaskQuery { limit: 1000, reverse: true, ..TaskQuery::default() }).await.unwrap()
    }

    #[tokio::test]
    async fn when_there_are_too_many_the_oldest_that_are_over_go_and_a_task_says_so() {
        let store = testing::store();
        let cluster = testing::open(json!({"tasks": {"keep_at_most": 100}}), &store).await.unwrap();
        for uid in 0..100 {
            let status = if uid == 3 { TaskStatus::Enqueued } else { TaskStatus::Failed };
            store.register_task(conformance::task("movies", status), None).await.unwrap();
        }
        prune(&cluster).await.unwrap();
        assert_eq!(tasks(&*store).await.total, 100);
        store.register_task(conformance::task("movies", TaskStatus::Enqueued), None).await.unwrap();
        prune(&cluster).await.unwrap();

        let left = tasks(&*store).await.tasks;
        let mut uids: Vec<u64> = left.iter().map(|task| task.uid).collect();
        let deletion = &left[left.len() - 1];
        assert_eq!((uids.pop(), deletion.kind.as_str()), (Some(101), kind::TASK_DELETION));
        assert_eq!(deletion.details["deletedTasks"], 11);
        assert_eq!(uids, [3].into_iter().chain(12..101).collect::<Vec<_>>());
        prune(&cluster).await.unwrap();
        assert_eq!(tasks(&*store).await.total, 91, "there is room again");
    }

    #[tokio::test]
    async fn what_ended_long_ago_goes_without_a_word() {
        let store = testing::store();
        let cluster = testing::open(json!({"tasks": {"keep_ms": 3_600_000}}), &store).await.unwrap();
        for hours in [3, 2, 0] {
            let task = conformance::task("movies", TaskStatus::Failed);
            let mut task = store.register_task(task, None).await.unwrap();
            task.finished_at = Some(task.enqueued_at - time::Duration::hours(hours));
            store.save_task(&task).await.unwrap();
        }
        prune(&cluster).await.unwrap();
        assert_eq!(tasks(&*store).await.tasks.iter().map(|task| task.uid).collect::<Vec<_>>(), [2]);
    }
}
