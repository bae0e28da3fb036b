//! The indexes on disk, one LMDB environment each.

pub mod fields;
pub mod stats;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use milli_core::Index;
use milli_core::heed::EnvOpenOptions;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{ResponseError, Result};
use crate::tasks::store::TaskStore;

/// The address space an index may grow into. The file grows with what is in it.
const MAP_SIZE: usize = 64 << 30;

/// The folders of the indexes, and the indexes that are open.
pub struct Indexes {
    folder: PathBuf,
    open: Mutex<HashMap<Uuid, Index>>,
}

impl Indexes {
    /// Looks after the indexes in this folder, and removes what a crash left of indexes nobody knows.
    pub fn new(folder: PathBuf, known: &HashSet<Uuid>) -> Result<Self> {
        std::fs::create_dir_all(&folder)?;
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_known =
                name.to_str().and_then(|name| name.parse().ok()).is_some_and(|uuid| known.contains(&uuid));
            if !is_known {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(Self { folder, open: Mutex::default() })
    }

    /// The index of this uid.
    pub fn get(&self, store: &TaskStore, uid: &str) -> Result<Index> {
        self.find(store, uid)?.ok_or_else(|| ResponseError::index_not_found(uid))
    }

    /// The index of this uid, if there is one.
    pub fn find(&self, store: &TaskStore, uid: &str) -> Result<Option<Index>> {
        let folder = store.index(&*store.read()?, uid)?;
        folder.map(|folder| self.open(folder)).transpose()
    }

    /// Makes an index that has no name yet.
    pub fn create(&self) -> Result<(Uuid, Index)> {
        let folder = Uuid::new_v4();
        std::fs::create_dir(self.folder.join(folder.to_string()))?;
        Ok((folder, self.open(folder)?))
    }

    /// Opens an index by its folder name.
    pub fn open(&self, folder: Uuid) -> Result<Index> {
        let mut open = self.open.lock().map_err(ResponseError::internal)?;
        if let Some(index) = open.get(&folder) {
            return Ok(index.clone());
        }
        let index = open_index(&self.folder.join(folder.to_string()))?;
        open.insert(folder, index.clone());
        Ok(index)
    }

    /// Removes an index that has lost its name. Searches that are still reading it end first.
    pub fn remove(&self, folder: Uuid) -> Result<()> {
        self.open.lock().map_err(ResponseError::internal)?.remove(&folder);
        Ok(std::fs::remove_dir_all(self.folder.join(folder.to_string()))?)
    }
}

fn open_index(folder: &Path) -> Result<Index> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(MAP_SIZE).max_readers(1024);
    let is_new = !folder.join("data.mdb").exists();
    let now = OffsetDateTime::now_utc();
    Ok(Index::new_with_creation_dates(options, folder, now, now, is_new)?)
}
