//! The asynchronous, in-order task queue.

pub mod batches;
pub mod filter;
pub mod process;
pub mod queue;
pub mod store;
pub mod view;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::ResponseError;
use crate::settings::Settings;

/// A task's number in the queue.
pub type TaskId = u32;

/// One write, from the moment it was accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// Its number in the queue.
    pub uid: TaskId,
    /// The batch that it was processed in.
    pub batch_uid: Option<u32>,
    /// The index it is about, if it is about one.
    pub index_uid: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// What it does.
    pub operation: Operation,
    /// What it did, in Meilisearch's `details`.
    pub details: Details,
    /// Why it failed.
    pub error: Option<ResponseError>,
    /// The task that canceled it.
    pub canceled_by: Option<TaskId>,
    /// When it was accepted.
    #[serde(with = "time::serde::rfc3339")]
    pub enqueued_at: OffsetDateTime,
    /// When its batch started.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When its batch ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
    /// What the client wanted to find again in the task.
    pub custom_metadata: Option<String>,
}

/// The `details` of a task.
pub type Details = Map<String, Value>;

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Accepted, not begun.
    Enqueued,
    /// Begun. Never stored: what a crash interrupts is still enqueued.
    Processing,
    /// Done.
    Succeeded,
    /// Refused; `error` says why.
    Failed,
    /// Taken back before it began.
    Canceled,
}

/// What a task does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// Makes an index.
    IndexCreation {
        /// Its primary key.
        primary_key: Option<String>,
    },
    /// Changes an index's primary key, its uid, or both.
    IndexUpdate {
        /// The new primary key.
        primary_key: Option<String>,
        /// The new uid.
        new_uid: Option<String>,
    },
    /// Removes an index and all it holds.
    IndexDeletion,
    /// Exchanges the documents and settings of pairs of indexes.
    IndexSwap {
        /// The pairs.
        swaps: Vec<Swap>,
    },
    /// Adds documents, or updates them.
    DocumentAddition {
        /// What happens to a document that is already there.
        method: AdditionMethod,
        /// The file that holds the documents, as newline-delimited JSON.
        payload: Uuid,
        /// How many they are.
        received: u64,
        /// The primary key the request gave.
        primary_key: Option<String>,
        /// Whether to make the index when there is none.
        may_create: bool,
    },
    /// Removes documents by id.
    DocumentDeletion {
        /// Their ids.
        ids: Vec<String>,
    },
    /// Removes the documents that match a filter.
    DocumentDeletionByFilter {
        /// The filter.
        filter: Value,
    },
    /// Removes all documents.
    DocumentClear,
    /// Changes documents by a function.
    DocumentEdition {
        /// Which documents; all without a filter.
        filter: Option<Value>,
        /// What the function may read besides the document.
        context: Option<Map<String, Value>>,
        /// The function, in Rhai.
        function: String,
    },
    /// Gives unused space back to the disk. (Nothing to do for this node.)
    IndexCompaction,
    /// Writes a dump. (Nothing to do for this node.)
    DumpCreation,
    /// Writes a snapshot. (Nothing to do for this node.)
    SnapshotCreation,
    /// Changes settings.
    SettingsUpdate {
        /// The changes.
        settings: Box<Settings>,
        /// Whether to make the index when there is none.
        may_create: bool,
    },
    /// Takes back tasks that have not begun.
    TaskCancelation {
        /// The query string that chose them.
        query: String,
        /// The tasks.
        tasks: Vec<TaskId>,
    },
    /// Forgets finished tasks.
    TaskDeletion {
        /// The query string that chose them.
        query: String,
        /// The tasks.
        tasks: Vec<TaskId>,
    },
}

/// What happens to a document that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdditionMethod {
    /// The new one takes its place.
    Replace,
    /// The new one's fields take the place of its own.
    Update,
}

/// Two indexes to exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// Their uids.
    pub indexes: (String, String),
    /// Whether the second does not exist and the first takes its name.
    pub rename: bool,
}

impl Operation {
    /// Meilisearch's name for it, the task's `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::IndexCreation { .. } => "indexCreation",
            Self::IndexUpdate { .. } => "indexUpdate",
            Self::IndexDeletion => "indexDeletion",
            Self::IndexSwap { .. } => "indexSwap",
            Self::DocumentAddition { .. } => "documentAdditionOrUpdate",
            Self::DocumentDeletion { .. } | Self::DocumentDeletionByFilter { .. } | Self::DocumentClear => {
                "documentDeletion"
            }
            Self::DocumentEdition { .. } => "documentEdition",
            Self::SettingsUpdate { .. } => "settingsUpdate",
            Self::IndexCompaction => "indexCompaction",
            Self::DumpCreation => "dumpCreation",
            Self::SnapshotCreation => "snapshotCreation",
            Self::TaskCancelation { .. } => "taskCancelation",
            Self::TaskDeletion { .. } => "taskDeletion",
        }
    }

    /// Whether it changes documents.
    pub fn is_about_documents(&self) -> bool {
        matches!(
            self,
            Self::DocumentAddition { .. }
                | Self::DocumentDeletion { .. }
                | Self::DocumentDeletionByFilter { .. }
                | Self::DocumentClear
                | Self::DocumentEdition { .. }
        )
    }

    /// The file that holds its documents.
    pub fn payload(&self) -> Option<Uuid> {
        match self {
            Self::DocumentAddition { payload, .. } => Some(*payload),
            _ => None,
        }
    }

    /// The details of the task before it has begun.
    pub fn details(&self, index_uid: Option<&str>) -> Details {
        let details = match self {
            Self::IndexCreation { primary_key } => json!({ "primaryKey": primary_key }),
            Self::IndexUpdate { primary_key, new_uid: None } => json!({ "primaryKey": primary_key }),
            Self::IndexUpdate { primary_key, new_uid: Some(new_uid) } => {
                json!({ "primaryKey": primary_key, "oldIndexUid": index_uid, "newIndexUid": new_uid })
            }
            Self::IndexDeletion | Self::DocumentClear => json!({ "deletedDocuments": null }),
            Self::IndexSwap { swaps } => {
                let swaps: Vec<_> = swaps
                    .iter()
                    .map(|swap| json!({ "indexes": [swap.indexes.0, swap.indexes.1], "rename": swap.rename }))
                    .collect();
                json!({ "swaps": swaps })
            }
            Self::DocumentAddition { received, .. } => {
                json!({ "receivedDocuments": received, "indexedDocuments": null })
            }
            Self::DocumentDeletion { ids } => {
                json!({ "providedIds": ids.len(), "deletedDocuments": null, "originalFilter": null })
            }
            Self::DocumentDeletionByFilter { filter } => {
                json!({ "providedIds": 0, "deletedDocuments": null, "originalFilter": filter.to_string() })
            }
            Self::DocumentEdition { filter, context, function } => json!({
                "deletedDocuments": null,
                "editedDocuments": null,
                "context": context,
                "function": function,
                "originalFilter": filter.as_ref().map(Value::to_string),
            }),
            Self::DumpCreation => json!({ "dumpUid": null }),
            Self::IndexCompaction | Self::SnapshotCreation => Value::Null,
            Self::SettingsUpdate { settings, .. } => settings_details(settings),
            Self::TaskCancelation { query, tasks } => {
                json!({ "matchedTasks": tasks.len(), "canceledTasks": null, "originalFilter": query })
            }
            Self::TaskDeletion { query, tasks } => {
                json!({ "matchedTasks": tasks.len(), "deletedTasks": null, "originalFilter": query })
            }
        };
        match details {
            Value::Object(details) => details,
            _ => Details::new(),
        }
    }
}

impl Task {
    /// The indexes it is about.
    pub fn indexes(&self) -> Vec<&str> {
        match &self.operation {
            Operation::IndexSwap { swaps } => swaps
                .iter()
                .flat_map(|Swap { indexes: (left, right), .. }| [left.as_str(), right.as_str()])
                .collect(),
            _ => self.index_uid.iter().map(String::as_str).collect(),
        }
    }

    /// Ends the task well, with what it did.
    pub fn succeed(&mut self, done: impl IntoIterator<Item = (&'static str, u64)>) {
        self.status = Status::Succeeded;
        self.error = None;
        for (name, count) in done {
            self.details.insert(name.to_string(), count.into());
        }
    }

    /// Ends the task badly. What it would have counted is nothing.
    pub fn fail(&mut self, error: ResponseError) {
        self.status = Status::Failed;
        self.error = Some(error);
        let edits = self.details.contains_key("editedDocuments");
        let counters =
            ["indexedDocuments", "deletedDocuments", "editedDocuments", "canceledTasks", "deletedTasks"];
        // What an edition that failed has deleted, Meilisearch leaves open.
        for counter in counters.into_iter().filter(|counter| !edits || *counter != "deletedDocuments") {
            if let Some(count) = self.details.get_mut(counter) {
                *count = 0.into();
            }
        }
    }
}

fn settings_details(settings: &Settings) -> Value {
    let mut details = json!(settings);
    if details == json!(Settings::reset()) {
        // Of 1.50, which this engine has not.
        details["chat"] = Value::Null;
        details["foreignKeys"] = Value::Null;
    }
    details
}
