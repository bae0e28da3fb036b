//! The experimental features that are switched at run time. Only the edition of documents by functions does anything
//! here; the others are kept.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::error::{ResponseError, Result};

/// Which features are on.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Features {
    pub metrics: bool,
    pub logs_route: bool,
    pub edit_documents_by_function: bool,
    pub contains_filter: bool,
    pub dynamic_search_rules: bool,
    pub network: bool,
    pub get_task_documents_route: bool,
    pub task_queue_compaction_route: bool,
    pub composite_embedders: bool,
    pub chat_completions: bool,
    pub multimodal: bool,
    pub foreign_keys: bool,
    pub disable_documents_fetch_queue: bool,
    pub legacy_search: Option<bool>,
    pub render_route: bool,
}

/// Which features to switch.
#[derive(Debug, Clone, deserr::Deserr)]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Changes {
    #[deserr(default)]
    pub metrics: Option<bool>,
    #[deserr(default)]
    pub logs_route: Option<bool>,
    #[deserr(default)]
    pub edit_documents_by_function: Option<bool>,
    #[deserr(default)]
    pub contains_filter: Option<bool>,
    #[deserr(default)]
    pub dynamic_search_rules: Option<bool>,
    #[deserr(default)]
    pub network: Option<bool>,
    #[deserr(default)]
    pub get_task_documents_route: Option<bool>,
    #[deserr(default)]
    pub task_queue_compaction_route: Option<bool>,
    #[deserr(default)]
    pub composite_embedders: Option<bool>,
    #[deserr(default)]
    pub chat_completions: Option<bool>,
    #[deserr(default)]
    pub multimodal: Option<bool>,
    #[deserr(default)]
    pub foreign_keys: Option<bool>,
    #[deserr(default)]
    pub disable_documents_fetch_queue: Option<bool>,
    #[deserr(default)]
    pub legacy_search: Option<bool>,
    #[deserr(default)]
    pub render_route: Option<bool>,
}

impl Features {
    /// The features after these changes.
    fn changed(self, changes: Changes) -> Self {
        Self {
            metrics: changes.metrics.unwrap_or(self.metrics),
            logs_route: changes.logs_route.unwrap_or(self.logs_route),
            edit_documents_by_function: changes
                .edit_documents_by_function
                .unwrap_or(self.edit_documents_by_function),
            contains_filter: changes.contains_filter.unwrap_or(self.contains_filter),
            dynamic_search_rules: changes.dynamic_search_rules.unwrap_or(self.dynamic_search_rules),
            network: changes.network.unwrap_or(self.network),
            get_task_documents_route: changes
                .get_task_documents_route
                .unwrap_or(self.get_task_documents_route),
            task_queue_compaction_route: changes
                .task_queue_compaction_route
                .unwrap_or(self.task_queue_compaction_route),
            composite_embedders: changes.composite_embedders.unwrap_or(self.composite_embedders),
            chat_completions: changes.chat_completions.unwrap_or(self.chat_completions),
            multimodal: changes.multimodal.unwrap_or(self.multimodal),
            foreign_keys: changes.foreign_keys.unwrap_or(self.foreign_keys),
            disable_documents_fetch_queue: changes
                .disable_documents_fetch_queue
                .unwrap_or(self.disable_documents_fetch_queue),
            legacy_search: changes.legacy_search.or(self.legacy_search),
            render_route: changes.render_route.unwrap_or(self.render_route),
        }
    }
}

/// The features on disk.
pub struct FeatureStore {
    file: PathBuf,
    features: RwLock<Features>,
}

impl FeatureStore {
    /// Opens the features of the node in this folder.
    pub fn open(folder: &Path) -> Result<Self> {
        let file = folder.join("features.json");
        let features = match std::fs::read(&file) {
            Ok(stored) => serde_json::from_slice(&stored)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Features::default(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { file, features: RwLock::new(features) })
    }

    /// Which features are on.
    pub fn get(&self) -> Features {
        *self.features.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Switches features.
    pub fn change(&self, changes: Changes) -> Result<Features> {
        let mut features = self.features.write().unwrap_or_else(PoisonError::into_inner);
        let changed = features.changed(changes);
        std::fs::write(&self.file, serde_json::to_vec(&changed)?)?;
        *features = changed;
        Ok(changed)
    }

    /// Refuses what needs the edition of documents by functions, unless that is on.
    pub fn check_edition(&self) -> Result<()> {
        if self.get().edit_documents_by_function {
            return Ok(());
        }
        let message = "Using the documents edit route requires enabling the `edit documents by function` experimental \
                       feature. See https://github.com/orgs/meilisearch/discussions/762";
        Err(ResponseError::new("feature_not_enabled", message))
    }
}
