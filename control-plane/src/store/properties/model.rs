//! What a caller of the store sees, in plain collections.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use uuid::Uuid;

use super::copies::Copies;
use crate::store::{
    AliasRecord, IndexRecord, KeyRecord, KnownAnswer, NodeChange, TaskQuery, TaskRecord, Webhook,
};

#[derive(Debug, Default)]
pub struct Model {
    pub tasks: BTreeMap<u64, TaskRecord>,
    pub next_uid: u64,
    pub answers: BTreeMap<String, KnownAnswer>,
    /// All that a session ever wrote.
    pub sessions: BTreeMap<String, Vec<u64>>,
    pub indexes: BTreeMap<String, IndexRecord>,
    /// By index and node.
    pub versions: BTreeMap<(String, String), u64>,
    /// By node, in order, with the least uid that it may have on the node.
    pub pending: BTreeMap<String, Vec<(NodeChange, Option<u64>)>>,
    pub copies: Copies,
    pub first_live_epoch: u64,
    pub envoys: BTreeSet<String>,
    pub aliases: BTreeMap<String, AliasRecord>,
    pub webhooks: BTreeMap<Uuid, Webhook>,
    pub owed: BTreeSet<(Uuid, u64)>,
    pub keys: BTreeMap<Uuid, KeyRecord>,
    pub features: Map<String, Value>,
    pub rules: BTreeMap<String, Value>,
}

/// A page of uids, how many match in all, and where the next one begins.
pub type Page = (Vec<u64>, u64, Option<u64>);

impl Model {
    /// A task is registered or has moved on.
    pub fn put(&mut self, task: TaskRecord) {
        let was_final = self.tasks.get(&task.uid).is_some_and(|before| before.status.is_final());
        if task.status.is_final() && !was_final {
            self.owed.extend(self.webhooks.keys().map(|webhook| (*webhook, task.uid)));
        }
        self.tasks.insert(task.uid, task);
    }

    pub fn remove(&mut self, uids: &[u64]) {
        self.tasks.retain(|uid, _| !uids.contains(uid));
        self.owed.retain(|(_, uid)| !uids.contains(uid));
    }

    pub fn matching(&self, query: &TaskQuery) -> Vec<u64> {
        self.tasks.values().filter(|task| matches(task, query)).map(|task| task.uid).collect()
    }

    pub fn unfinished(&self) -> Vec<u64> {
        self.tasks.values().filter(|task| !task.status.is_final()).map(|task| task.uid).collect()
    }

    pub fn old(&self, before: Option<time::OffsetDateTime>, limit: usize) -> Vec<u64> {
        let finished = self.tasks.values().filter(|task| task.status.is_final());
        let may_go = |task: &&TaskRecord| {
            before.is_none_or(|before| task.finished_at.is_some_and(|ended| ended < before))
                && !self.owed.iter().any(|(_, uid)| *uid == task.uid)
        };
        finished.take_while(may_go).take(limit).map(|task| task.uid).collect()
    }

    pub fn page_of_tasks(&self, query: &TaskQuery) -> Page {
        page(self.matching(query), query)
    }

    pub fn page_of_batches(&self, query: &TaskQuery) -> Page {
        let batches: BTreeSet<u64> =
            self.matching(query).iter().filter_map(|uid| self.tasks[uid].batch_uid()).collect();
        page(batches.into_iter().collect(), query)
    }

    pub fn in_batch(&self, batch: u64) -> Vec<TaskRecord> {
        self.tasks.values().filter(|task| task.batch_uid() == Some(batch)).cloned().collect()
    }

    pub fn delete_index(&mut self, uid: &str) {
        self.indexes.remove(uid);
        self.versions.retain(|(index, _), _| index != uid);
    }

    pub fn change_names(&mut self, change: &NodeChange, generation: u64) {
        let swaps = match change {
            NodeChange::Delete(uid) => return self.delete_index(uid),
            NodeChange::Swap(swaps) => swaps,
        };
        for swap in swaps {
            let renamed = |uid: &str| swap.renamed(uid).to_owned();
            let indexes = std::mem::take(&mut self.indexes).into_values();
            let indexes = indexes.map(|mut index| {
                if swap.uids().contains(&&*index.uid) {
                    index.uid = renamed(&index.uid);
                    index.generation = generation;
                }
                (index.uid.clone(), index)
            });
            self.indexes = indexes.collect();
            let versions = std::mem::take(&mut self.versions).into_iter();
            self.versions =
                versions.map(|((index, node), version)| ((renamed(&index), node), version)).collect();
            for task in self.tasks.values_mut() {
                task.index_uid = task.index_uid.as_deref().map(renamed);
            }
        }
    }
}

fn matches(task: &TaskRecord, query: &TaskQuery) -> bool {
    fn any<T>(wanted: &Option<Vec<T>>, is_it: impl Fn(&T) -> bool) -> bool {
        wanted.as_ref().is_none_or(|wanted| wanted.iter().any(is_it))
    }
    let index = task.index_uid.as_deref();
    let is_visible = |pattern: &String| match pattern.strip_suffix('*') {
        Some(prefix) => index.is_some_and(|index| index.starts_with(prefix)),
        None => index == Some(pattern),
    };
    let dates = &query.dates;
    any(&query.uids, |uid| *uid == task.uid)
        && any(&query.batch_uids, |uid| Some(*uid) == task.batch_uid())
        && any(&query.canceled_by, |uid| Some(*uid) == task.canceled_by)
        && any(&query.statuses, |status| *status == task.status)
        && any(&query.types, |kind| *kind == task.kind)
        && any(&query.index_uids, |uid| index == Some(uid))
        && any(&query.visible_indexes, is_visible)
        && dates.before_started_at.is_none_or(|bound| task.started_at.is_some_and(|at| at < bound))
        && dates.after_finished_at.is_none_or(|bound| task.finished_at.is_some_and(|at| at > bound))
}

/// A page of growing uids.
fn page(mut uids: Vec<u64>, query: &TaskQuery) -> Page {
    let total = uids.len() as u64;
    if !query.reverse {
        uids.reverse();
    }
    let begins =
        |uid: &u64| query.from.is_none_or(|from| if query.reverse { *uid >= from } else { *uid <= from });
    let mut rest = uids.into_iter().filter(begins);
    (rest.by_ref().take(query.limit).collect(), total, rest.next())
}
