//! Carrying tasks out on the engine.

use std::any::Any;
use std::fs::File;

use bumpalo::Bump;
use memmap2::Mmap;
use milli_core::documents::PrimaryKey;
use milli_core::heed::RwTxn;
use milli_core::progress::Progress;
use milli_core::update::new::indexer::{self, DocumentDeletion, DocumentOperation, UpdateByFunction};
use milli_core::update::{self, ClearDocuments};
use milli_core::{Filter, Index, Object};
use roaring::RoaringBitmap;
use time::OffsetDateTime;
use time::macros::format_description;
use uuid::Uuid;

use super::queue::{Batch, Queue};
use super::store::TaskStore;
use super::{AdditionMethod, Operation, Swap, Task};
use crate::error::{ResponseError, Result};
use crate::indexes::stats::SizeFormat;
use crate::search::embedders;

/// What became of a batch.
#[derive(Default)]
pub struct Processed {
    /// Its tasks, all finished.
    pub tasks: Vec<Task>,
    /// What changes about the names of the indexes.
    pub indexes: Vec<IndexChange>,
    /// The uids that were exchanged, which earlier tasks follow.
    pub renames: Vec<(String, String)>,
    /// The folders of the indexes that no name leads to any more.
    pub removed: Vec<Uuid>,
}

impl Processed {
    /// A batch in which the engine panicked.
    pub(super) fn crashed(mut tasks: Vec<Task>, panic: &(dyn Any + Send)) -> Self {
        let reason = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(reason), _) => reason,
            (_, Some(reason)) => reason.as_str(),
            _ => "a panic that says nothing",
        };
        for task in &mut tasks {
            let message = format!("An unexpected crash occurred when processing the task: {reason}");
            task.fail(ResponseError::internal(message));
        }
        Self { tasks, ..Self::default() }
    }
}

/// A change to the names of the indexes.
#[derive(Debug, Clone)]
pub enum IndexChange {
    /// The name leads to this folder now.
    Put(String, Uuid),
    /// The name leads nowhere now.
    Delete(String),
}

impl IndexChange {
    /// Writes it down.
    pub fn apply(&self, store: &TaskStore, wtxn: &mut RwTxn) -> Result<()> {
        match self {
            Self::Put(uid, folder) => store.put_index(wtxn, uid, *folder),
            Self::Delete(uid) => store.delete_index(wtxn, uid).map(drop),
        }
    }
}

impl Queue {
    /// Carries a batch out. An error means that the node has to try again, not that a task failed.
    pub(super) fn process(&self, mut batch: Batch) -> Result<Processed> {
        let failed = self.faults.take_failed(&mut batch.tasks);
        let mut processed = self.process_for_real(batch)?;
        processed.tasks.splice(0..0, failed);
        Ok(processed)
    }

    fn process_for_real(&self, batch: Batch) -> Result<Processed> {
        let mut processed = Processed { tasks: batch.tasks, ..Processed::default() };
        if processed.tasks.iter().all(|task| matches!(task.operation, Operation::DocumentAddition { .. })) {
            self.add_documents(&mut processed)?;
            return Ok(processed);
        }
        let mut tasks = std::mem::take(&mut processed.tasks);
        for task in &mut tasks {
            if let Err(error) = self.carry_out(task, &mut processed) {
                self.unless_stopping(&error)?;
                processed.indexes.clear();
                processed.renames.clear();
                processed.removed.clear();
                task.fail(error);
            }
        }
        processed.tasks = tasks;
        Ok(processed)
    }

    /// Work that the shutdown interrupted has not failed.
    fn unless_stopping(&self, error: &ResponseError) -> Result<()> {
        if self.is_stopping() { Err(error.clone()) } else { Ok(()) }
    }

    fn carry_out(&self, task: &mut Task, processed: &mut Processed) -> Result<()> {
        let operation = task.operation.clone();
        let uid = task.index_uid.clone().unwrap_or_default();
        match operation {
            Operation::IndexCreation { primary_key } => {
                if self.indexes.find(&self.store, &uid)?.is_some() {
                    let message = format!("Index `{uid}` already exists.");
                    return Err(ResponseError::new("index_already_exists", message));
                }
                let index = self.create_index(&uid, processed)?;
                if let Some(primary_key) = primary_key {
                    self.set_primary_key(&uid, &index, primary_key)?;
                }
                task.succeed([]);
            }
            Operation::IndexUpdate { primary_key, new_uid } => {
                let index = self.index(&uid)?;
                if let Some(new_uid) = new_uid.filter(|new_uid| *new_uid != uid) {
                    if self.indexes.find(&self.store, &new_uid)?.is_some() {
                        let message = format!("Index `{new_uid}` already exists.");
                        return Err(ResponseError::new("index_already_exists", message));
                    }
                    processed.indexes.extend([
                        IndexChange::Put(new_uid.clone(), self.folder(&uid)?),
                        IndexChange::Delete(uid.clone()),
                    ]);
                    processed.renames.push((uid.clone(), new_uid));
                }
                if let Some(primary_key) = primary_key {
                    self.set_primary_key(&uid, &index, primary_key)?;
                }
                task.succeed([]);
            }
            Operation::IndexDeletion => {
                let index = self.index(&uid)?;
                let documents = index.number_of_documents(&*index.read_txn()?)?;
                processed.removed.push(self.folder(&uid)?);
                processed.indexes.push(IndexChange::Delete(uid));
                task.succeed([("deletedDocuments", documents)]);
            }
            Operation::IndexSwap { swaps } => {
                processed.indexes = self.swap(&swaps)?;
                processed.renames = swaps.into_iter().map(|swap| swap.indexes).collect();
                task.succeed([]);
            }
            Operation::DocumentAddition { .. } => {}
            Operation::DocumentDeletion { ids } => {
                let index = self.index(&uid)?;
                let documents = {
                    let rtxn = index.read_txn()?;
                    let external_ids = index.external_documents_ids();
                    let mut documents = RoaringBitmap::new();
                    for id in &ids {
                        documents.extend(external_ids.get(&rtxn, id)?);
                    }
                    documents
                };
                let deleted = self.delete_documents(&uid, &index, documents)?;
                task.succeed([("deletedDocuments", deleted)]);
            }
            Operation::DocumentDeletionByFilter { filter } => {
                let index = self.index(&uid)?;
                let documents = matching(&uid, &index, &filter)?;
                let deleted = self.delete_documents(&uid, &index, documents)?;
                task.succeed([("deletedDocuments", deleted)]);
            }
            Operation::DocumentClear => {
                let index = self.index(&uid)?;
                let mut wtxn = index.write_txn()?;
                let deleted = ClearDocuments::new(&mut wtxn, &index).execute()?;
                wtxn.commit()?;
                task.succeed([("deletedDocuments", deleted)]);
            }
            Operation::DocumentEdition { filter, context, function } => {
                let index = self.index(&uid)?;
                let documents = match filter {
                    Some(filter) => matching(&uid, &index, &filter)?,
                    None => index.documents_ids(&*index.read_txn()?)?,
                };
                let edited = documents.len();
                self.edit_documents(&uid, &index, documents, context, function)?;
                // Meilisearch tells both alike.
                task.succeed([("deletedDocuments", edited), ("editedDocuments", edited)]);
            }
            Operation::IndexCompaction => {
                let size = SizeFormat::Human.write(self.index(&uid)?.on_disk_size()?);
                task.details.insert("preCompactionSize".to_string(), size.clone());
                task.details.insert("postCompactionSize".to_string(), size);
                task.succeed([]);
            }
            Operation::DumpCreation => {
                let format = format_description!(
                    "[year repr:full][month repr:numerical][day padding:zero]-[hour padding:zero][minute padding:zero][second padding:zero][subsecond digits:3]"
                );
                let uid = OffsetDateTime::now_utc().format(format).map_err(ResponseError::internal)?;
                task.details.insert("dumpUid".to_string(), uid.into());
                task.succeed([]);
            }
            Operation::SnapshotCreation => task.succeed([]),
            Operation::SettingsUpdate { settings, may_create } => {
                let index = match self.indexes.find(&self.store, &uid)? {
                    Some(index) => index,
                    None if may_create => self.create_index(&uid, processed)?,
                    None => return Err(ResponseError::index_not_found(&uid)),
                };
                self.update_settings(&uid, &index, |builder| settings.apply(builder))?;
                task.succeed([]);
            }
            // Both only concern the store, which `finish` writes.
            Operation::TaskCancelation { .. } | Operation::TaskDeletion { .. } => task.succeed([]),
        }
        Ok(())
    }

    /// Makes an index that gets its name when the batch is finished.
    fn create_index(&self, uid: &str, processed: &mut Processed) -> Result<Index> {
        let (folder, index) = self.indexes.create()?;
        processed.indexes.push(IndexChange::Put(uid.to_string(), folder));
        Ok(index)
    }

    fn folder(&self, uid: &str) -> Result<Uuid> {
        let folder = self.store.index(&*self.store.read()?, uid)?;
        folder.ok_or_else(|| ResponseError::index_not_found(uid))
    }

    fn swap(&self, swaps: &[Swap]) -> Result<Vec<IndexChange>> {
        let mut folders = self.store.indexes(&*self.store.read()?)?;
        let uids = swaps.iter().flat_map(|Swap { indexes: (left, right), rename }| {
            [Some(left), (!rename).then_some(right)].into_iter().flatten()
        });
        let missing: Vec<_> =
            uids.filter(|uid| !folders.contains_key(*uid)).map(|uid| format!("`{uid}`")).collect();
        if missing.len() > 1 {
            let message = format!("Indexes {} not found.", missing.join(", "));
            return Err(ResponseError::new("index_not_found", message));
        }
        let mut changes = Vec::new();
        for Swap { indexes: (left, right), rename } in swaps {
            let left_folder =
                folders.get(left).copied().ok_or_else(|| ResponseError::index_not_found(left))?;
            match (folders.get(right).copied(), rename) {
                (Some(right_folder), false) => {
                    folders.insert(left.clone(), right_folder);
                    folders.insert(right.clone(), left_folder);
                    changes.push(IndexChange::Put(left.clone(), right_folder));
                    changes.push(IndexChange::Put(right.clone(), left_folder));
                }
                (None, true) => {
                    folders.remove(left);
                    folders.insert(right.clone(), left_folder);
                    changes.push(IndexChange::Delete(left.clone()));
                    changes.push(IndexChange::Put(right.clone(), left_folder));
                }
                (None, false) => return Err(ResponseError::index_not_found(right)),
                (Some(_), true) => {
                    let message = format!(
                        "Cannot rename `{left}` to `{right}` as the index already exists. Hint: You can remove \
                         `{right}` first and then do your remove."
                    );
                    return Err(ResponseError::new("index_already_exists", message));
                }
            }
        }
        Ok(changes)
    }

    fn set_primary_key(&self, uid: &str, index: &Index, primary_key: String) -> Result<()> {
        self.update_settings(uid, index, |builder| builder.set_primary_key(primary_key))
    }

    fn update_settings(
        &self,
        uid: &str,
        index: &Index,
        change: impl FnOnce(&mut update::Settings),
    ) -> Result<()> {
        let mut wtxn = index.write_txn()?;
        let mut builder = update::Settings::new(&mut wtxn, index, &self.indexer);
        change(&mut builder);
        let in_index = |error| ResponseError::in_index(uid, error);
        builder.execute(|_step| {}, || self.is_stopping()).map_err(in_index)?;
        Ok(wtxn.commit()?)
    }

    /// Additions to one index. Each task has its own outcome; what fails for all together is tried one by one.
    fn add_documents(&self, processed: &mut Processed) -> Result<()> {
        let Some(uid) = processed.tasks.first().and_then(|task| task.index_uid.clone()) else {
            return Ok(());
        };
        let may_create = processed
            .tasks
            .iter()
            .all(|task| matches!(task.operation, Operation::DocumentAddition { may_create: true, .. }));
        let index = match self.indexes.find(&self.store, &uid)? {
            Some(index) => index,
            None if may_create => self.create_index(&uid, processed)?,
            None => {
                processed.tasks.iter_mut().for_each(|task| task.fail(ResponseError::index_not_found(&uid)));
                return Ok(());
            }
        };
        let Err(error) = self.index_documents(&uid, &index, &mut processed.tasks) else { return Ok(()) };
        self.unless_stopping(&error)?;
        match processed.tasks.as_mut_slice() {
            [task] => task.fail(error),
            tasks => {
                for task in tasks {
                    if let Err(error) = self.index_documents(&uid, &index, std::slice::from_mut(task)) {
                        self.unless_stopping(&error)?;
                        task.fail(error);
                    }
                }
            }
        }
        Ok(())
    }

    fn index_documents(&self, uid: &str, index: &Index, tasks: &mut [Task]) -> Result<()> {
        let in_index = |error| ResponseError::in_index(uid, error);
        let mut payloads = Vec::with_capacity(tasks.len());
        for task in tasks.iter() {
            if let Operation::DocumentAddition { method, payload, .. } = &task.operation {
                payloads.push((*method, self.map_payload(*payload)?));
            }
        }
        let primary_key = tasks.first().and_then(|task| match &task.operation {
            Operation::DocumentAddition { primary_key, .. } => primary_key.clone(),
            _ => None,
        });

        let mut wtxn = index.write_txn()?;
        let rtxn = index.read_txn()?;
        let fields = index.fields_ids_map(&rtxn)?;
        let mut new_fields = fields.clone();
        let allocator = Bump::new();
        let progress = Progress::default();
        let is_stopping = || self.is_stopping();

        let mut operations = DocumentOperation::new();
        for (method, payload) in &payloads {
            match method {
                AdditionMethod::Replace => operations.replace_documents(payload).map_err(in_index)?,
                AdditionMethod::Update => operations.update_documents(payload).map_err(in_index)?,
            }
        }
        let (changes, outcomes, new_primary_key) = operations
            .into_changes(
                &allocator,
                index,
                &rtxn,
                primary_key.as_deref(),
                &mut new_fields,
                &is_stopping,
                progress.clone(),
            )
            .map_err(in_index)?;
        let mut refusals = Vec::with_capacity(tasks.len());
        let mut counts = Vec::with_capacity(tasks.len());
        for outcome in outcomes {
            counts.push(outcome.document_count);
            refusals.push(outcome.error);
        }
        if refusals.iter().any(Option::is_none) {
            indexer::index(
                &mut wtxn,
                index,
                self.pool()?,
                self.indexer.grenad_parameters(),
                &fields,
                new_fields,
                new_primary_key,
                &changes,
                embedders::load(index, &rtxn)?,
                &is_stopping,
                &progress,
            )
            .map_err(in_index)?;
            wtxn.commit()?;
        }
        for ((task, refusal), count) in tasks.iter_mut().zip(refusals).zip(counts) {
            match refusal {
                Some(refusal) => task.fail(refusal.into()),
                None => task.succeed([("indexedDocuments", count)]),
            }
        }
        Ok(())
    }

    fn map_payload(&self, payload: Uuid) -> Result<Mmap> {
        let file = File::open(self.payload(payload))?;
        // SAFETY: a payload is complete before its task is registered, and nothing writes to it afterwards.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }?;
        Ok(map)
    }

    fn delete_documents(&self, uid: &str, index: &Index, documents: RoaringBitmap) -> Result<u64> {
        let in_index = |error| ResponseError::in_index(uid, error);
        let deleted = documents.len();
        if deleted == 0 {
            return Ok(0);
        }
        let mut wtxn = index.write_txn()?;
        let rtxn = index.read_txn()?;
        let fields = index.fields_ids_map(&rtxn)?;
        let mut new_fields = fields.clone();
        let Some(primary_key) = index.primary_key(&rtxn)? else { return Ok(0) };
        let primary_key = PrimaryKey::new_or_insert(primary_key, &mut new_fields)
            .map_err(|error| in_index(milli_core::Error::from(error)))?;

        let allocator = Bump::new();
        let mut deletion = DocumentDeletion::new();
        deletion.delete_documents_by_docids(documents);
        let changes = deletion.into_changes(&allocator, primary_key);
        indexer::index(
            &mut wtxn,
            index,
            self.pool()?,
            self.indexer.grenad_parameters(),
            &fields,
            new_fields,
            None,
            &changes,
            embedders::load(index, &rtxn)?,
            &|| self.is_stopping(),
            &Progress::default(),
        )
        .map_err(in_index)?;
        wtxn.commit()?;
        Ok(deleted)
    }

    fn edit_documents(
        &self,
        uid: &str,
        index: &Index,
        documents: RoaringBitmap,
        context: Option<Object>,
        function: String,
    ) -> Result<()> {
        let in_index = |error| ResponseError::in_index(uid, error);
        let mut wtxn = index.write_txn()?;
        let rtxn = index.read_txn()?;
        let fields = index.fields_ids_map(&rtxn)?;
        let mut new_fields = fields.clone();
        let Some(primary_key) = index.primary_key(&rtxn)?.filter(|_| !documents.is_empty()) else {
            return Ok(());
        };
        let primary_key = PrimaryKey::new_or_insert(primary_key, &mut new_fields)
            .map_err(|error| in_index(milli_core::Error::from(error)))?;
        let changes = UpdateByFunction::new(documents, context, function)
            .into_changes(&primary_key)
            .map_err(in_index)?;
        indexer::index(
            &mut wtxn,
            index,
            self.pool()?,
            self.indexer.grenad_parameters(),
            &fields,
            new_fields,
            None,
            &changes,
            embedders::load(index, &rtxn)?,
            &|| self.is_stopping(),
            &Progress::default(),
        )
        .map_err(in_index)?;
        Ok(wtxn.commit()?)
    }

    fn pool(&self) -> Result<&milli_core::ThreadPoolNoAbort> {
        self.indexer
            .thread_pool
            .as_ref()
            .ok_or_else(|| ResponseError::internal("the indexing threads are gone"))
    }
}

/// The documents that match a filter.
fn matching(uid: &str, index: &Index, filter: &serde_json::Value) -> Result<RoaringBitmap> {
    let invalid = |error: milli_core::Error| {
        let error = ResponseError::in_index(uid, error);
        if error.code == "invalid_search_filter" { error.with_code("invalid_document_filter") } else { error }
    };
    let rtxn = index.read_txn()?;
    match Filter::from_json(filter).map_err(invalid)? {
        Some(filter) => filter.evaluate(&rtxn, index).map_err(invalid),
        None => Ok(RoaringBitmap::new()),
    }
}
