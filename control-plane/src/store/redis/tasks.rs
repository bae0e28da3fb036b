//! Tasks in Redis: a hash of them, and a sorted set of uids for each thing that they are asked for by.

use std::collections::BTreeSet;
use std::time::Duration;

use super::transaction::{Names, Transaction};
use super::{RedisStore, json, keys, parse};
use crate::store::{
    Batch, BatchPage, Fence, IndexRecord, NewTask, StoreError, TaskPage, TaskQuery, TaskRecord, TaskStatus,
};

/// A ticket is known for so long: much longer than an Envoy that may repeat it waits. Every write leaves one.
pub const TICKET_LIFE: Duration = Duration::from_secs(3_600);
/// So many tasks are read at once.
pub(super) const CHUNK: usize = 1000;

impl RedisStore {
    pub(super) async fn register(
        &self,
        mut task: NewTask,
        fence: Option<Fence>,
    ) -> Result<TaskRecord, StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        if let Some(known) = self.registered_before(&transaction, &task).await? {
            transaction.commit().await?;
            return Ok(known);
        }
        if let Some(fence) = fence {
            if fence.epoch < transaction.state.first_live_epoch {
                return Err(StoreError::EpochRetired(fence.epoch));
            }
            if let Some((uid, generation)) = fence.index {
                let record: Option<IndexRecord> = self.field(keys::INDEXES, &uid).await?;
                if record.map(|record| record.generation) != Some(generation) {
                    return Err(StoreError::IndexChanged(uid));
                }
            }
            transaction.state.copies.take_write(&mut task.parts, &fence.missed, fence.of)?;
        }
        let task = self.put_new(&mut transaction, task).await?;
        if let Some(ticket) = &task.ticket {
            transaction.command("SET", &keys::ticket(ticket), &[&task.uid, &"EX", &TICKET_LIFE.as_secs()]);
        }
        transaction.commit().await?;
        Ok(task)
    }

    /// Saves a task under the next uid, and what its request says of it.
    pub(super) async fn put_new(
        &self,
        transaction: &mut Transaction<'_>,
        mut task: NewTask,
    ) -> Result<TaskRecord, StoreError> {
        let origin = std::mem::take(&mut task.origin);
        let task = TaskRecord::new(next_uid(transaction), task);
        put(transaction, &task, None)?;
        self.remember(transaction, &origin, &task).await?;
        Ok(task)
    }

    async fn registered_before(
        &self,
        transaction: &Transaction<'_>,
        task: &NewTask,
    ) -> Result<Option<TaskRecord>, StoreError> {
        let Some(ticket) = &task.ticket else { return Ok(None) };
        let mut request = redis::pipe();
        request.cmd("GET").arg(keys::ticket(ticket));
        let (known,): (Option<u64>,) = self.link.ask(&request).await?;
        Ok(self.tasks_of(&transaction.state.names, known.as_slice()).await?.pop())
    }

    pub(super) async fn save(&self, task: &TaskRecord) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        let before = self.tasks_of(&transaction.state.names, &[task.uid]).await?.pop();
        put(&mut transaction, task, before.as_ref())?;
        transaction.commit().await
    }

    /// Those of these tasks that there are, in the order of the uids.
    pub(super) async fn tasks_of(&self, names: &Names, uids: &[u64]) -> Result<Vec<TaskRecord>, StoreError> {
        let mut tasks = Vec::with_capacity(uids.len());
        for uids in uids.chunks(CHUNK) {
            let mut request = redis::pipe();
            request.cmd("HMGET").arg(keys::TASKS).arg(uids);
            let (bodies,): (Vec<Option<String>>,) = self.link.ask(&request).await?;
            for body in bodies.into_iter().flatten() {
                tasks.extend(decode(names, &body)?);
            }
        }
        Ok(tasks)
    }

    pub(super) async fn unfinished(&self, limit: usize) -> Result<Vec<TaskRecord>, StoreError> {
        let unfinished = TaskStatus::ALL.into_iter().filter(|status| !status.is_final());
        let uids = self.first(unfinished.map(|status| keys::of_status(status.name())), limit).await?;
        self.tasks_of(&*self.names().await?, &uids).await
    }

    pub(super) async fn page(&self, query: &TaskQuery) -> Result<TaskPage, StoreError> {
        let names = self.names().await?;
        let page = self.select_page(&names, query).await?;
        let tasks = self.tasks_of(&names, &page.uids).await?;
        Ok(TaskPage { tasks, total: page.total, next: page.next })
    }

    pub(super) async fn cancel(
        &self,
        query: &TaskQuery,
        cancelable: &[&str],
        task: NewTask,
    ) -> Result<(TaskRecord, Vec<TaskRecord>), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        let names = transaction.state.names.clone();
        let matched = self.select(&names, query).await?;
        let mut targets = Vec::new();
        for uids in matched.chunks(CHUNK) {
            let tasks = self.tasks_of(&names, uids).await?.into_iter();
            targets.extend(tasks.filter(|task| !task.status.is_final() && cancelable.contains(&&*task.kind)));
        }
        let origin = task.origin.clone();
        let mut task = TaskRecord::new(next_uid(&mut transaction), task);
        task.details["matchedTasks"] = matched.len().into();
        task.cancels = targets.iter().map(|target| target.uid).collect();
        put(&mut transaction, &task, None)?;
        self.remember(&mut transaction, &origin, &task).await?;
        transaction.commit().await?;
        Ok((task, targets))
    }

    /// The tasks in a batch, oldest first.
    pub(super) async fn members_of_batch(
        &self,
        names: &Names,
        batch: u64,
    ) -> Result<Vec<TaskRecord>, StoreError> {
        let mut request = redis::pipe();
        request.cmd("ZRANGE").arg(keys::canceled_by(batch)).arg(0).arg(-1);
        let (canceled,): (BTreeSet<u64>,) = self.link.ask(&request).await?;
        let uids: BTreeSet<u64> = canceled.into_iter().chain([batch]).collect();
        let mut members = self.tasks_of(names, &uids.into_iter().collect::<Vec<_>>()).await?;
        members.retain(|task| task.batch_uid() == Some(batch));
        Ok(members)
    }

    pub(super) async fn batch_page(&self, query: &TaskQuery) -> Result<BatchPage, StoreError> {
        let names = self.names().await?;
        let page = self.select_batches(&names, query).await?;
        let mut batches = Vec::with_capacity(page.uids.len());
        for uid in page.uids {
            batches.push(Batch { uid, tasks: self.members_of_batch(&names, uid).await? });
        }
        Ok(BatchPage { batches, total: page.total, next: page.next })
    }
}

/// The uid of the next task.
fn next_uid(transaction: &mut Transaction) -> u64 {
    let uid = transaction.state.next_task_uid;
    transaction.state.next_task_uid = uid + 1;
    transaction.count("next_task_uid", uid + 1);
    uid
}

/// Saves a task. Once it is there, its index stays what it is.
pub(super) fn put(
    transaction: &mut Transaction,
    task: &TaskRecord,
    before: Option<&TaskRecord>,
) -> Result<(), StoreError> {
    let uid = task.uid;
    let index = before.map_or(&task.index_uid, |before| &before.index_uid);
    let handle = index.as_deref().map(|index| transaction.handle(index));
    let body = json(&TaskRecord { index_uid: handle.map(|handle| handle.to_string()), ..task.clone() })?;
    transaction.command("HSET", keys::TASKS, &[&uid, &body]);
    if before.is_none() {
        let index = handle.map(keys::of_index);
        for set in [keys::ALL.to_owned(), keys::of_kind(&task.kind)].into_iter().chain(index) {
            transaction.command("ZADD", &set, &[&uid, &uid]);
        }
    }
    let status = before.map(|before| before.status);
    if status != Some(task.status) {
        if let Some(status) = status {
            transaction.command("ZREM", &keys::of_status(status.name()), &[&uid]);
        }
        transaction.command("ZADD", &keys::of_status(task.status.name()), &[&uid, &uid]);
    }
    if let Some(by) = task.canceled_by.filter(|by| before.and_then(|before| before.canceled_by) != Some(*by))
    {
        transaction.command("ZADD", &keys::canceled_by(by), &[&uid, &uid]);
    }
    let (batch, batch_before) = (task.batch_uid(), before.and_then(TaskRecord::batch_uid));
    if batch != batch_before {
        // What cancels others is not canceled, so nobody else is in the batch that it had.
        if let Some(batch) = batch_before {
            transaction.command("ZREM", keys::BATCHES, &[&batch]);
        }
        if let Some(batch) = batch {
            transaction.command("ZADD", keys::BATCHES, &[&batch, &batch]);
        }
    }
    if task.status.is_final() && !status.is_some_and(TaskStatus::is_final) {
        for webhook in transaction.state.webhooks.clone() {
            transaction.command("ZADD", &keys::debts(webhook), &[&uid, &uid]);
        }
    }
    Ok(())
}

/// The task of a body: in Redis its index goes by its handle. Who reads beside a transaction may come upon a task of an index
/// that was new, or that nobody knows any more since the task is gone: both are as if it had read a moment earlier or later.
fn decode(names: &Names, body: &str) -> Result<Option<TaskRecord>, StoreError> {
    let mut task: TaskRecord = parse(body)?;
    if let Some(handle) = &task.index_uid {
        let Some(uid) = handle.parse().ok().and_then(|handle| names.uid(handle)) else { return Ok(None) };
        task.index_uid = Some(uid.to_owned());
    }
    Ok(Some(task))
}
