//! The tasks and the names of the indexes on disk, in one LMDB environment, so that a task and what it did to
//! the set of indexes become visible together.

use std::collections::BTreeMap;
use std::path::Path;

use milli_core::heed::byteorder::BE;
use milli_core::heed::types::{SerdeJson, Str, U32};
use milli_core::heed::{Database, Env, EnvOpenOptions, RoTxn, RwTxn, WithoutTls};
use uuid::Uuid;

use super::{Task, TaskId};
use crate::error::Result;

const MAP_SIZE: usize = 8 << 30;

/// The tasks and the names of the indexes on disk.
#[derive(Clone)]
pub struct TaskStore {
    env: Env<WithoutTls>,
    tasks: Database<U32<BE>, SerdeJson<Task>>,
    indexes: Database<Str, SerdeJson<Uuid>>,
}

impl TaskStore {
    /// Opens the store in this folder, which must exist.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.max_dbs(2).map_size(MAP_SIZE).max_readers(1024);
        // SAFETY: nothing but this process touches the folder, and it opens it once.
        #[allow(unsafe_code)]
        let env = unsafe { options.open(folder) }?;
        let mut wtxn = env.write_txn()?;
        let tasks = env.create_database(&mut wtxn, Some("tasks"))?;
        let indexes = env.create_database(&mut wtxn, Some("indexes"))?;
        wtxn.commit()?;
        Ok(Self { env, tasks, indexes })
    }

    /// Begins to read.
    pub fn read(&self) -> Result<RoTxn<'_, WithoutTls>> {
        Ok(self.env.read_txn()?)
    }

    /// Begins to write.
    pub fn write(&self) -> Result<RwTxn<'_>> {
        Ok(self.env.write_txn()?)
    }

    /// The number of the next task.
    pub fn next_uid(&self, txn: &RoTxn) -> Result<TaskId> {
        Ok(self.tasks.last(txn)?.map_or(0, |(uid, _)| uid + 1))
    }

    /// One task.
    pub fn task(&self, txn: &RoTxn, uid: TaskId) -> Result<Option<Task>> {
        Ok(self.tasks.get(txn, &uid)?)
    }

    /// All tasks, the oldest first.
    pub fn tasks<'t>(
        &self,
        txn: &'t RoTxn,
    ) -> Result<impl DoubleEndedIterator<Item = Result<Task>> + use<'t>> {
        let tasks = self.tasks.iter(txn)?.collect::<Vec<_>>();
        Ok(tasks.into_iter().map(|entry| Ok(entry?.1)))
    }

    /// Writes a task.
    pub fn put_task(&self, wtxn: &mut RwTxn, task: &Task) -> Result<()> {
        Ok(self.tasks.put(wtxn, &task.uid, task)?)
    }

    /// Forgets a task.
    pub fn delete_task(&self, wtxn: &mut RwTxn, uid: TaskId) -> Result<bool> {
        Ok(self.tasks.delete(wtxn, &uid)?)
    }

    /// The folder name of an index.
    pub fn index(&self, txn: &RoTxn, uid: &str) -> Result<Option<Uuid>> {
        Ok(self.indexes.get(txn, uid)?)
    }

    /// The indexes in the order of their uids, with their folder names.
    pub fn indexes(&self, txn: &RoTxn) -> Result<BTreeMap<String, Uuid>> {
        self.indexes
            .iter(txn)?
            .map(|entry| entry.map(|(uid, folder)| (uid.to_string(), folder)).map_err(Into::into))
            .collect()
    }

    /// Names an index.
    pub fn put_index(&self, wtxn: &mut RwTxn, uid: &str, folder: Uuid) -> Result<()> {
        Ok(self.indexes.put(wtxn, uid, &folder)?)
    }

    /// Forgets an index's name.
    pub fn delete_index(&self, wtxn: &mut RwTxn, uid: &str) -> Result<bool> {
        Ok(self.indexes.delete(wtxn, uid)?)
    }

    /// How large the store is on disk, and how much of that is in use.
    pub fn size(&self) -> Result<(u64, u64)> {
        Ok((self.env.real_disk_size()?, self.env.non_free_pages_size()?))
    }
}
