//! How tasks that are over go: when a client has them deleted, and by themselves when they are old.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;

use super::transaction::Transaction;
use super::{RedisStore, keys};
use crate::store::{NewTask, StoreError, TaskDeletion, TaskQuery, TaskRecord, TaskStatus};

impl RedisStore {
    pub(super) async fn delete(&self, query: &TaskQuery, task: NewTask) -> Result<TaskDeletion, StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        let names = transaction.state.names.clone();
        let matched = self.select(&names, query).await?;
        let mut deleted = self.tasks_of(&names, &matched).await?;
        deleted.retain(|task| task.status.is_final());
        self.remove(&mut transaction, &deleted).await?;
        let mut task = NewTask { status: TaskStatus::Succeeded, ..task };
        task.details["matchedTasks"] = matched.len().into();
        task.details["deletedTasks"] = deleted.len().into();
        let task = self.put_new(&mut transaction, task).await?;
        transaction.commit().await?;
        Ok(TaskDeletion { task, parts: deleted.into_iter().flat_map(|task| task.parts).collect() })
    }

    pub(super) async fn prune(
        &self,
        ended_before: Option<OffsetDateTime>,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        let finished = TaskStatus::ALL.into_iter().filter(|status| status.is_final());
        let finished = self.first(finished.map(|status| keys::of_status(status.name())), limit).await?;
        let owed = self.first(transaction.state.webhooks.iter().copied().map(keys::debts), 1).await?;
        let first_owed = owed.first().copied().unwrap_or(u64::MAX);
        let old: Vec<u64> = finished.into_iter().take_while(|uid| *uid < first_owed).collect();
        let mut old = self.tasks_of(&transaction.state.names, &old).await?;
        let is_young = |task: &TaskRecord| {
            ended_before.is_some_and(|bound| task.finished_at.is_some_and(|ended| ended >= bound))
        };
        old.truncate(old.iter().position(is_young).unwrap_or(old.len()));
        self.remove(&mut transaction, &old).await?;
        transaction.commit().await?;
        Ok(old.len())
    }

    /// Takes finished tasks out of all that they are in.
    async fn remove(
        &self,
        transaction: &mut Transaction<'_>,
        tasks: &[TaskRecord],
    ) -> Result<(), StoreError> {
        let mut sets: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut indexes: BTreeMap<&str, u64> = BTreeMap::new();
        for task in tasks {
            let index = task.index_uid.as_ref().map(|uid| keys::of_index(transaction.handle(uid)));
            let canceled_by = task.canceled_by.map(keys::canceled_by);
            let owed = transaction.state.webhooks.iter().map(|webhook| keys::debts(*webhook));
            let of_it =
                [keys::ALL.to_owned(), keys::of_status(task.status.name()), keys::of_kind(&task.kind)];
            for set in of_it.into_iter().chain(index).chain(canceled_by).chain(owed) {
                sets.entry(set).or_default().push(task.uid);
            }
            if let Some(uid) = &task.index_uid {
                *indexes.entry(uid).or_default() += 1;
            }
        }
        let uids: BTreeSet<u64> = tasks.iter().map(|task| task.uid).collect();
        let mut gone = Vec::new();
        for batch in tasks.iter().filter_map(TaskRecord::batch_uid).collect::<BTreeSet<u64>>() {
            if !self.outlives(transaction, batch, &uids).await? {
                gone.push(batch);
            }
        }
        sets.insert(keys::BATCHES.to_owned(), gone);
        for (set, uids) in sets {
            transaction.command_of_many("ZREM", &set, words(&uids));
        }
        transaction.command_of_many("HDEL", keys::TASKS, words(&uids));
        self.forget_indexes(transaction, &indexes).await
    }

    /// Whether a batch has other tasks than these.
    async fn outlives(
        &self,
        transaction: &Transaction<'_>,
        batch: u64,
        uids: &BTreeSet<u64>,
    ) -> Result<bool, StoreError> {
        let canceled = self.first([keys::canceled_by(batch)], uids.len() + 1).await?;
        if canceled.iter().any(|uid| !uids.contains(uid)) {
            return Ok(true);
        }
        if uids.contains(&batch) {
            return Ok(false);
        }
        let named_after = self.tasks_of(&transaction.state.names, &[batch]).await?.pop();
        Ok(named_after.is_some_and(|task| task.batch_uid() == Some(batch)))
    }

    /// Forgets the handles of those indexes that have no more tasks than so many.
    async fn forget_indexes(
        &self,
        transaction: &mut Transaction<'_>,
        removed: &BTreeMap<&str, u64>,
    ) -> Result<(), StoreError> {
        if removed.is_empty() {
            return Ok(());
        }
        let mut request = redis::pipe();
        for uid in removed.keys() {
            request.cmd("ZCARD").arg(keys::of_index(transaction.handle(uid)));
        }
        let tasks: Vec<u64> = self.link.ask(&request).await?;
        for ((uid, removed), tasks) in removed.iter().zip(tasks) {
            if tasks == *removed {
                transaction.set_handle(uid, None);
            }
        }
        Ok(())
    }
}

fn words<'u>(uids: impl IntoIterator<Item = &'u u64>) -> Vec<Vec<u8>> {
    uids.into_iter().map(|uid| uid.to_string().into_bytes()).collect()
}
