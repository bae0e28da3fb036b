//! Taking tasks in, and the thread that works them off in order.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use milli_core::heed::RwTxn;
use milli_core::update::IndexerConfig;
use milli_core::{Index, ThreadPoolNoAbortBuilder};
use time::OffsetDateTime;
use uuid::Uuid;

use super::process::Processed;
use super::store::TaskStore;
use super::{Operation, Status, Task, TaskId};
use crate::error::{ResponseError, Result};
use crate::faults::Faults;
use crate::indexes::Indexes;

/// How many additions of documents are indexed at once at most.
const MAX_BATCH_TASKS: usize = 256;
/// How many bytes of documents are indexed at once at most, unless a single task has more.
const MAX_BATCH_BYTES: u64 = 256 << 20;

/// The task queue and the indexes its tasks change.
pub struct Queue {
    /// The tasks and the names of the indexes on disk.
    pub store: TaskStore,
    /// The indexes on disk.
    pub indexes: Indexes,
    /// How the engine indexes.
    pub indexer: IndexerConfig,
    /// What a test wants to go wrong.
    pub faults: Faults,
    payloads: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
    stopping: AtomicBool,
}

#[derive(Default)]
struct State {
    enqueued: BTreeSet<TaskId>,
    processing: Option<Batch>,
    next_batch: u32,
}

/// The tasks that are being processed together.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Its number.
    pub uid: u32,
    /// When it began.
    pub started_at: OffsetDateTime,
    /// Its tasks, in order. They are about one index.
    pub tasks: Vec<Task>,
}

impl Queue {
    /// Opens the queue in this folder; tasks that were not finished wait to be processed.
    pub fn open(folder: &Path, indexing_threads: Option<usize>) -> Result<Self> {
        fs::create_dir_all(folder.join("tasks"))?;
        let store = TaskStore::open(&folder.join("tasks"))?;
        let rtxn = store.read()?;
        let known_indexes = store.indexes(&rtxn)?.into_values().collect();
        let mut state = State::default();
        let mut known_payloads = HashSet::new();
        for task in store.tasks(&rtxn)? {
            let task = task?;
            state.next_batch = state.next_batch.max(task.batch_uid.map_or(0, |uid| uid + 1));
            if task.status == Status::Enqueued {
                state.enqueued.insert(task.uid);
                known_payloads.extend(task.operation.payload().map(|payload| payload.to_string()));
            }
        }
        drop(rtxn);

        let payloads = folder.join("update_files");
        fs::create_dir_all(&payloads)?;
        for entry in fs::read_dir(&payloads)? {
            let entry = entry?;
            if !entry.file_name().to_str().is_some_and(|name| known_payloads.contains(name)) {
                fs::remove_file(entry.path())?;
            }
        }

        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = indexing_threads.unwrap_or(processors / 2).max(1);
        let pool = ThreadPoolNoAbortBuilder::new()
            .thread_name(|number| format!("indexing-{number}"))
            .num_threads(threads)
            .build()
            .map_err(ResponseError::internal)?;
        Ok(Self {
            store,
            indexes: Indexes::new(folder.join("indexes"), &known_indexes)?,
            indexer: IndexerConfig {
                thread_pool: Some(pool),
                skip_index_budget: true,
                ..IndexerConfig::default()
            },
            faults: Faults::default(),
            payloads,
            state: Mutex::new(state),
            changed: Condvar::new(),
            stopping: AtomicBool::new(false),
        })
    }

    /// Starts the thread that processes the tasks.
    pub fn start(self: &Arc<Self>) -> Result<JoinHandle<()>> {
        let queue = Arc::clone(self);
        Ok(std::thread::Builder::new().name("task-queue".to_string()).spawn(move || queue.run())?)
    }

    /// Makes the thread end. What it is doing stays enqueued.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        let _state = self.state();
        self.changed.notify_all();
    }

    /// Whether the node is shutting down.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The index of this uid.
    pub fn index(&self, uid: &str) -> Result<Index> {
        self.indexes.get(&self.store, uid)
    }

    /// The file of a payload.
    pub fn payload(&self, payload: Uuid) -> PathBuf {
        self.payloads.join(payload.to_string())
    }

    /// Takes a task in. Once this returns, the task will be processed, whatever happens.
    pub fn register(
        &self,
        operation: Operation,
        index_uid: Option<String>,
        custom_metadata: Option<String>,
    ) -> Result<Task> {
        let mut wtxn = self.store.write()?;
        let task = Task {
            uid: self.store.next_uid(&wtxn)?,
            batch_uid: None,
            status: Status::Enqueued,
            details: operation.details(index_uid.as_deref()),
            index_uid,
            operation,
            error: None,
            canceled_by: None,
            enqueued_at: OffsetDateTime::now_utc(),
            started_at: None,
            finished_at: None,
            custom_metadata,
        };
        self.store.put_task(&mut wtxn, &task)?;
        // Under the lock, so that tasks enter the queue in the order of their numbers.
        let mut state = self.state();
        wtxn.commit()?;
        state.enqueued.insert(task.uid);
        drop(state);
        self.changed.notify_all();
        Ok(task)
    }

    /// One task as it stands now.
    pub fn task(&self, uid: TaskId) -> Result<Option<Task>> {
        let state = self.state();
        let task = self.store.task(&*self.store.read()?, uid)?;
        Ok(task.map(|task| as_processing(task, state.processing.as_ref())))
    }

    /// All tasks as they stand now, the oldest first.
    pub fn tasks(&self) -> Result<Vec<Task>> {
        let (batch, rtxn) = {
            let state = self.state();
            (state.processing.clone(), self.store.read()?)
        };
        let tasks = self.store.tasks(&rtxn)?;
        tasks.map(|task| Ok(as_processing(task?, batch.as_ref()))).collect()
    }

    /// Whether a task of this index is being processed.
    pub fn is_indexing(&self, index_uid: &str) -> bool {
        let state = self.state();
        let mut tasks = state.processing.iter().flat_map(|batch| &batch.tasks);
        tasks.any(|task| task.index_uid.as_deref() == Some(index_uid))
    }

    /// Takes back tasks that are enqueued, for a task that cancels them. Returns how many there were.
    pub fn cancel(&self, wtxn: &mut RwTxn, tasks: &[TaskId], by: TaskId) -> Result<u64> {
        let now = OffsetDateTime::now_utc();
        let mut canceled = 0;
        for uid in tasks {
            let Some(mut task) = self.store.task(wtxn, *uid)? else { continue };
            if task.status == Status::Enqueued && *uid != by {
                task.fail(ResponseError::internal(""));
                task.error = None;
                task.status = Status::Canceled;
                task.canceled_by = Some(by);
                task.finished_at = Some(now);
                self.store.put_task(wtxn, &task)?;
                self.state().enqueued.remove(uid);
                canceled += 1;
            }
        }
        Ok(canceled)
    }

    fn run(&self) {
        while let Some(batch) = self.next_batch() {
            let tasks = batch.tasks.clone();
            // The engine panics where it meets what it takes for impossible.
            let outcome = catch_unwind(AssertUnwindSafe(|| self.process(batch)))
                .unwrap_or_else(|panic| Ok(Processed::crashed(tasks, panic.as_ref())));
            let finished = outcome.and_then(|processed| self.finish(processed));
            if let Err(error) = finished
                && !self.is_stopping()
            {
                // The disk refuses to take the outcome: there is nothing left to do but to try again.
                tracing::error!(%error, "the task queue cannot go on");
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
            self.state().processing = None;
        }
    }

    /// Writes down what became of a batch, and forgets what it no longer needs.
    fn finish(&self, processed: Processed) -> Result<()> {
        let mut wtxn = self.store.write()?;
        for change in &processed.indexes {
            change.apply(&self.store, &mut wtxn)?;
        }
        if let Some(task) = processed.tasks.first() {
            self.rename(&mut wtxn, &processed.renames, task.uid)?;
        }
        let mut deleted = HashSet::new();
        let now = OffsetDateTime::now_utc();
        let mut tasks = processed.tasks;
        for task in &mut tasks {
            match &task.operation {
                Operation::TaskCancelation { tasks, .. } => {
                    let canceled = self.cancel(&mut wtxn, &tasks.clone(), task.uid)?;
                    task.succeed([("canceledTasks", canceled)]);
                }
                Operation::TaskDeletion { tasks, .. } => {
                    for uid in tasks {
                        let stored = self.store.task(&wtxn, *uid)?;
                        if stored.is_some_and(|task| task.status != Status::Enqueued) {
                            deleted.insert(*uid);
                        }
                    }
                    task.succeed([("deletedTasks", deleted.len() as u64)]);
                }
                _ => {}
            }
            task.finished_at = Some(now);
            self.store.put_task(&mut wtxn, task)?;
        }
        for uid in &deleted {
            self.store.delete_task(&mut wtxn, *uid)?;
        }

        let mut state = self.state();
        wtxn.commit()?;
        for task in &tasks {
            state.enqueued.remove(&task.uid);
        }
        state.processing = None;
        drop(state);

        for payload in tasks.iter().filter_map(|task| task.operation.payload()) {
            fs::remove_file(self.payload(payload))?;
        }
        for folder in processed.removed {
            self.indexes.remove(folder)?;
        }
        Ok(())
    }

    /// Lets the tasks before this one follow their indexes to their new uids.
    fn rename(&self, wtxn: &mut RwTxn, renames: &[(String, String)], before: TaskId) -> Result<()> {
        if renames.is_empty() {
            return Ok(());
        }
        let tasks = self.store.tasks(wtxn)?.collect::<Result<Vec<_>>>()?;
        for mut task in tasks.into_iter().filter(|task| task.uid < before) {
            let renamed = renames.iter().find_map(|(left, right)| match &task.index_uid {
                Some(uid) if uid == left => Some(right),
                Some(uid) if uid == right => Some(left),
                _ => None,
            });
            if let Some(uid) = renamed {
                task.index_uid = Some(uid.clone());
                self.store.put_task(wtxn, &task)?;
            }
        }
        Ok(())
    }

    /// Waits for the next tasks. `None` when the node shuts down.
    fn next_batch(&self) -> Option<Batch> {
        loop {
            let mut state = self.state();
            while state.enqueued.is_empty() && !self.is_stopping() {
                state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
            }
            if self.is_stopping() {
                return None;
            }
            match self.choose(&state.enqueued) {
                Ok(tasks) if !tasks.is_empty() => {
                    let batch = Batch { uid: state.next_batch, started_at: OffsetDateTime::now_utc(), tasks };
                    state.next_batch += 1;
                    let mut started = batch.clone();
                    for task in &mut started.tasks {
                        task.batch_uid = Some(batch.uid);
                        task.started_at = Some(batch.started_at);
                    }
                    state.processing = Some(started.clone());
                    return Some(started);
                }
                Ok(_) => state.enqueued.clear(),
                Err(error) => {
                    drop(state);
                    tracing::error!(%error, "the task queue cannot be read");
                    std::thread::sleep(std::time::Duration::from_secs(1));
                }
            }
        }
    }

    /// The oldest task and those that can be processed with it: additions to its index that follow it, as long
    /// as no task about the same index comes between them.
    fn choose(&self, enqueued: &BTreeSet<TaskId>) -> Result<Vec<Task>> {
        let rtxn = self.store.read()?;
        // A cancelation goes before the tasks it cancels.
        for uid in enqueued {
            if let Some(task) = self.store.task(&rtxn, *uid)?
                && matches!(task.operation, Operation::TaskCancelation { .. })
            {
                return Ok(vec![task]);
            }
        }
        let mut batch: Vec<Task> = Vec::new();
        let mut bytes = 0;
        for uid in enqueued {
            let Some(task) = self.store.task(&rtxn, *uid)? else { continue };
            let Operation::DocumentAddition { payload, primary_key, may_create, .. } = &task.operation else {
                match batch.first() {
                    None => return Ok(vec![task]),
                    Some(first) if task.index_uid.is_none() || task.index_uid == first.index_uid => break,
                    Some(_) => continue,
                }
            };
            bytes += fs::metadata(self.payload(*payload)).map_or(0, |metadata| metadata.len());
            match batch.first() {
                None => batch.push(task),
                Some(first) if first.index_uid != task.index_uid => continue,
                Some(first) => {
                    let is_alike = matches!(
                        &first.operation,
                        Operation::DocumentAddition { primary_key: key, may_create: may, .. }
                            if key == primary_key && may == may_create
                    );
                    if !is_alike || bytes > MAX_BATCH_BYTES || batch.len() == MAX_BATCH_TASKS {
                        break;
                    }
                    batch.push(task);
                }
            }
        }
        Ok(batch)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn as_processing(mut task: Task, batch: Option<&Batch>) -> Task {
    if let Some(started) = batch.and_then(|batch| batch.tasks.iter().find(|started| started.uid == task.uid))
        && task.status == Status::Enqueued
    {
        task.status = Status::Processing;
        task.batch_uid = started.batch_uid;
        task.started_at = started.started_at;
    }
    task
}
