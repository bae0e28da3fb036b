//! Does an operation to a store and to the model, and compares what comes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use miroir_core::rebalance::{Refused, Stale};
use serde_json::{Map, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::copies::epoch;
use super::model::Model;
use super::operation::{DOCUMENTS, FencePlan, Operation, Registration, hour};
use crate::store::conformance::{self, on_tasks};
use crate::store::{
    AliasRecord, Fence, IndexChange, IndexRecord, IndexesChange, KeyRecord, KnownAnswer, NamesChange,
    NewTask, NodeChange, Origin, SessionWrite, Store, StoreError, TaskQuery, TaskRecord, TaskStatus,
    TaskSummary, UsedKey, Webhook, generation,
};
use crate::testing;

/// A store, what it should be like, and what its caller remembers of it.
pub struct Pair<S> {
    pub store: S,
    pub model: Model,
    seen: Stale,
}

impl<S: Store> Pair<S> {
    pub fn new(store: S) -> Pair<S> {
        Pair { store, model: Model::default(), seen: Stale::new() }
    }

    /// The same after a restart.
    pub async fn reopened<F: Future<Output = S>>(self, open: impl FnOnce() -> F) -> Pair<S> {
        let Pair { store, model, seen } = self;
        drop(store);
        Pair { store: open().await, model, seen }
    }

    /// Does it to both. A reopening is the caller's to do.
    pub async fn step(&mut self, operation: Operation) {
        let (store, model) = (&self.store, &mut self.model);
        match operation {
            Operation::Reopen => {}
            Operation::Register(plan) => self.register(plan).await,
            Operation::Save { unfinished, status, hour, by } => self.save(unfinished, status, hour, by).await,
            Operation::Cancel { query, key } => self.cancel(query, key).await,
            Operation::Delete { query, key } => self.delete(query, key).await,
            Operation::Prune { before_hour, limit } => {
                let before = before_hour.map(hour);
                let old = model.old(before, limit);
                assert_eq!(store.prune_tasks(before, limit).await.unwrap(), old.len());
                model.remove(&old);
            }
            Operation::List(query) => self.list(&query).await,
            Operation::SaveIndex(uid) => {
                let index = testing::index(uid);
                store.save_index(&index).await.unwrap();
                model.indexes.insert(uid.into(), index);
            }
            Operation::UpdateIndex { uid, settings } => {
                let settings = settings.then(|| json!({"stopWords": [uid]}));
                let change = IndexChange { settings, ..IndexChange::at(OffsetDateTime::now_utc()) };
                let changed = store.update_index(uid, change.clone()).await.unwrap();
                let expected = model.indexes.remove(uid).map(|index| index.changed(change));
                assert_eq!(changed, expected);
                model.indexes.extend(expected.map(|index| (uid.to_owned(), index)));
            }
            Operation::DeleteIndex(uid) => {
                store.delete_index(uid).await.unwrap();
                model.delete_index(uid);
            }
            Operation::SetSettingsVersion { index, node, version } => {
                store.set_node_settings_version(index, node, version).await.unwrap();
                model.versions.insert((index.into(), node.into()), version);
            }
            Operation::Create { index, key } => self.create(index, key).await,
            Operation::ChangeNames { change, nodes, key } => self.change_names(change, nodes, key).await,
            Operation::AddPending { node, change } => {
                store.add_pending_change(node, &change).await.unwrap();
                model.pending.entry(node.into()).or_default().push((change, None));
            }
            Operation::SendPending { node, which } => {
                let pending = store.pending_changes(node).await.unwrap();
                let Some(place) = which.checked_rem(pending.len()) else { return };
                store.set_sent_from(pending[place].id, which as u64 % 9).await.unwrap();
                model.pending.get_mut(node).unwrap()[place].1 = Some(which as u64 % 9);
            }
            Operation::RemovePending { node, which } => {
                let pending = store.pending_changes(node).await.unwrap();
                let Some(place) = which.checked_rem(pending.len()) else { return };
                store.remove_pending_change(pending[place].id).await.unwrap();
                model.pending.get_mut(node).unwrap().remove(place);
            }
            Operation::AddEpoch { owners, skips } => {
                let number = model.copies.epoch + 1 + u64::from(skips);
                let owners: BTreeSet<String> = owners.into_iter().map(str::to_owned).collect();
                let added = store.add_epoch(&epoch(number, &owners)).await;
                match model.copies.add_epoch(number, &owners) {
                    true => added.unwrap(),
                    false => assert!(matches!(added, Err(StoreError::Conflict(_))), "{added:?}"),
                }
            }
            Operation::RetireEpochs { below } => {
                store.retire_epochs_below(below).await.unwrap();
                model.first_live_epoch = model.first_live_epoch.max(below);
            }
            Operation::MarkStale { node, shards, lost: false } => {
                store.mark_stale(node, &shards, 0).await.unwrap();
                model.copies.mark_stale(node, &shards);
            }
            Operation::MarkStale { node, shards, lost: true } => {
                store.mark_lost(node, &shards, 0).await.unwrap();
                model.copies.mark_lost(node, &shards);
            }
            Operation::SeeStale => {
                self.seen = store.stale_replicas().await.unwrap();
                model.copies.seen = model.copies.stale.clone();
            }
            Operation::MarkClean { node, source } => {
                let seen = self.seen.get(node).cloned().unwrap_or_default();
                let clean = store.mark_clean(node, &seen, source).await.unwrap();
                assert_eq!(clean, model.copies.mark_clean(node, source));
            }
            Operation::Leave { took, missed, shard, differs } => {
                let of = |nodes: &[&str]| {
                    nodes.iter().map(|node| ((*node).to_owned(), BTreeSet::from([shard]))).collect()
                };
                let write = Refused { took: of(&took), missed: of(&missed), of: 0, differs };
                store.leave(&write).await.unwrap();
                model.copies.leave(&took, &missed, shard, differs);
            }
            Operation::RemoveLeftovers { node, shards } => {
                store.remove_leftovers(node, &shards).await.unwrap();
                model.copies.leftovers.retain(|(other, shard)| other != node || !shards.contains(shard));
            }
            Operation::SeeEnvoys { envoys, forget } => {
                let envoys: Vec<String> = envoys.into_iter().map(str::to_owned).collect();
                let a_minute = Duration::minutes(if forget { 1 } else { -1 });
                store.saw_envoys(&envoys, OffsetDateTime::now_utc() + a_minute).await.unwrap();
                model.envoys.extend(envoys);
                if forget {
                    model.envoys.clear();
                }
            }
            Operation::SaveAlias { name, index } => {
                let alias = AliasRecord::new(name, vec![index.into()], OffsetDateTime::now_utc());
                store.save_alias(&alias).await.unwrap();
                model.aliases.insert(name.into(), alias);
            }
            Operation::DeleteAlias(name) => {
                store.delete_alias(name).await.unwrap();
                model.aliases.remove(name);
            }
            Operation::SaveWebhook(number) => {
                let webhook = Webhook { url: format!("http://{}", model.next_uid), headers: BTreeMap::new() };
                store.save_webhook(uuid(number), &webhook).await.unwrap();
                model.webhooks.insert(uuid(number), webhook);
            }
            Operation::DeleteWebhook(number) => {
                store.delete_webhook(uuid(number)).await.unwrap();
                model.webhooks.remove(&uuid(number));
                model.owed.retain(|(webhook, _)| *webhook != uuid(number));
            }
            Operation::Settle { webhook, tasks } => {
                let owed = model.owed.iter().filter(|(owed, _)| *owed == uuid(webhook));
                let settled: Vec<u64> = owed.map(|(_, task)| *task).take(tasks).collect();
                store.settle(uuid(webhook), &settled).await.unwrap();
                model.owed.retain(|(owed, task)| *owed != uuid(webhook) || !settled.contains(task));
            }
            Operation::SaveKey(number) => {
                let key = key(number);
                store.save_key(&key).await.unwrap();
                model.keys.insert(key.uid, key);
            }
            Operation::DeleteKey(number) => {
                store.delete_key(uuid(number)).await.unwrap();
                model.keys.remove(&uuid(number));
            }
            Operation::SaveFeature(metrics) => {
                let features = Map::from_iter([("metrics".to_owned(), json!(metrics))]);
                store.save_experimental_features(&features).await.unwrap();
                model.features = features;
            }
            Operation::SaveRules(uids) => {
                let rules = uids.into_iter().map(|uid| (uid.to_owned(), json!({"uid": uid}))).collect();
                store.save_search_rules(&rules).await.unwrap();
                model.rules = rules;
            }
        }
    }

    async fn register(&mut self, plan: Registration) {
        let model = &mut self.model;
        let mut expected = new_task(&plan);
        let fence = plan.fence.as_ref().map(|fence| self::fence(fence, plan.index, &model.indexes));
        if let Some(fence) = &plan.fence {
            expected.parts[0].node = fence.taker.into();
            expected.parts[0].shards = fence.shards.clone();
        }
        let registered = self.store.register_task(expected.clone(), fence.clone()).await;

        let known = model.tasks.values().find(|task| task.ticket.is_some() && task.ticket == expected.ticket);
        if let Some(known) = known {
            assert_eq!(registered.unwrap(), *known);
            return;
        }
        let mut copies = model.copies.clone();
        if let (Some(plan), Some(fence)) = (&plan.fence, &fence) {
            if plan.epoch < model.first_live_epoch {
                assert!(matches!(registered, Err(StoreError::EpochRetired(epoch)) if epoch == plan.epoch));
                return;
            }
            if let Some((uid, generation)) = &fence.index
                && model.indexes.get(uid).map(|index| index.generation) != Some(*generation)
            {
                assert!(matches!(registered, Err(StoreError::IndexChanged(other)) if other == *uid));
                return;
            }
            let part = &mut expected.parts[0];
            if copies.epoch > 0 {
                part.shards = BTreeSet::<u32>::from_iter(plan.shards.iter().copied()).into_iter().collect();
                part.of = super::operation::SHARDS;
                if part.shards.iter().any(|shard| !copies.may_take(*shard, plan.taker, &plan.missed)) {
                    assert!(matches!(registered, Err(StoreError::NoCleanCopy(_))), "{registered:?}");
                    return;
                }
                part.unreliable = part.shards.clone();
                part.unreliable.retain(|shard| !copies.is_reliable(plan.taker, *shard));
                for node in &plan.missed {
                    copies.mark_stale(node, &plan.shards);
                }
            }
        }
        if self.is_answered(&expected.origin, &registered) {
            return;
        }
        self.model.copies = copies;
        self.registered(expected, registered.unwrap());
    }

    /// Whether there was an answer to the idempotency key; then that is what must have come.
    fn is_answered<T: std::fmt::Debug>(&self, origin: &Origin, registered: &Result<T, StoreError>) -> bool {
        let known = origin.idempotency.as_ref().and_then(|key| self.model.answers.get(&key.id));
        let Some(known) = known else { return false };
        assert!(
            matches!(registered, Err(StoreError::KeyUsed(answer)) if **answer == *known),
            "{registered:?}, not {known:?}"
        );
        true
    }

    fn registered(&mut self, mut expected: NewTask, task: TaskRecord) {
        let model = &mut self.model;
        let origin = std::mem::take(&mut expected.origin);
        let TaskRecord { enqueued_at, started_at, finished_at, .. } = task;
        let dates = TaskRecord::new(model.next_uid, expected);
        assert_eq!(dates.finished_at.is_some(), finished_at.is_some());
        let cancels = task.cancels.clone();
        assert_eq!(task, TaskRecord { enqueued_at, started_at, finished_at, cancels, ..dates });
        model.next_uid += 1;
        if let Some(key) = origin.idempotency {
            let answer = KnownAnswer { fingerprint: key.fingerprint, task: TaskSummary::from(&task) };
            model.answers.insert(key.id, answer);
        }
        if let Some(session) = origin.session {
            model.sessions.entry(session.id).or_default().push(task.uid);
        }
        model.put(task);
    }

    async fn create(&mut self, uid: &str, key: Option<u8>) {
        let index = testing::index(uid);
        let expected = NewTask { origin: origin(key, None), ..on_tasks("indexCreation") };
        let change = IndexesChange::Create(index.clone());
        let registered = self.store.register_change(change, expected.clone()).await;
        if self.is_answered(&expected.origin, &registered) {
            return;
        }
        self.model.indexes.insert(uid.into(), index);
        self.registered(expected, registered.unwrap().0);
    }

    async fn change_names(&mut self, change: NodeChange, nodes: Vec<&str>, key: Option<u8>) {
        let at = OffsetDateTime::now_utc();
        let of_nodes = nodes.iter().map(|node| ((*node).to_owned(), Some(7))).collect();
        let names = NamesChange { change: change.clone(), at, nodes: of_nodes, besides: None };
        let expected = NewTask { origin: origin(key, None), ..on_tasks("indexSwap") };
        let registered = self.store.register_change(IndexesChange::Names(names), expected.clone()).await;
        if self.is_answered(&expected.origin, &registered) {
            return;
        }
        let (task, pending) = registered.unwrap();
        assert_eq!(pending.len(), nodes.len());
        self.model.change_names(&change, generation(at));
        for node in nodes {
            self.model.pending.entry(node.into()).or_default().push((change.clone(), Some(7)));
        }
        self.registered(expected, task);
    }

    async fn save(&mut self, which: usize, status: TaskStatus, at: i64, by: usize) {
        let unfinished = self.model.unfinished();
        let Some(place) = which.checked_rem(unfinished.len()) else { return };
        let mut task = self.model.tasks[&unfinished[place]].clone();
        let canceling: Vec<u64> =
            self.model.tasks.values().filter(|task| task.kind == CANCELATION).map(|task| task.uid).collect();
        task.canceled_by = match (status, by.checked_rem(canceling.len())) {
            (TaskStatus::Canceled, Some(place)) if task.kind == DOCUMENTS => Some(canceling[place]),
            (TaskStatus::Canceled, _) => return,
            _ => None,
        };
        task.status = status;
        task.started_at = (status != TaskStatus::Enqueued).then(|| hour(at));
        task.finished_at = status.is_final().then(|| hour(at));
        // Whoever saves it may not know yet that its index has another uid.
        let outdated =
            TaskRecord { index_uid: task.index_uid.as_ref().map(|_| "gone".to_owned()), ..task.clone() };
        self.store.save_task(&outdated).await.unwrap();
        self.model.put(task);
    }

    async fn cancel(&mut self, query: TaskQuery, key: Option<u8>) {
        let matching = self.model.matching(&query);
        let mut expected = NewTask { origin: origin(key, None), ..on_tasks(CANCELATION) };
        let registered = self.store.register_cancelation(&query, &[DOCUMENTS], expected.clone()).await;
        if self.is_answered(&expected.origin, &registered) {
            return;
        }
        let (task, targets) = registered.unwrap();
        let is_target = |task: &&TaskRecord| !task.status.is_final() && task.kind == DOCUMENTS;
        let wanted: Vec<TaskRecord> =
            matching.iter().map(|uid| &self.model.tasks[uid]).filter(is_target).cloned().collect();
        assert_eq!(targets, wanted);
        assert_eq!(task.cancels, wanted.iter().map(|task| task.uid).collect::<Vec<_>>());
        expected.details["matchedTasks"] = matching.len().into();
        self.registered(expected, task);
    }

    async fn delete(&mut self, query: TaskQuery, key: Option<u8>) {
        let matching = self.model.matching(&query);
        let mut expected = NewTask { origin: origin(key, None), ..on_tasks("taskDeletion") };
        let registered = self.store.register_deletion(&query, expected.clone()).await;
        if self.is_answered(&expected.origin, &registered) {
            return;
        }
        let deletion = registered.unwrap();
        let mut deleted = matching.clone();
        deleted.retain(|uid| self.model.tasks[uid].status.is_final());
        let parts: usize = deleted.iter().map(|uid| self.model.tasks[uid].parts.len()).sum();
        assert_eq!(deletion.parts.len(), parts);
        expected.status = TaskStatus::Succeeded;
        expected.details["matchedTasks"] = matching.len().into();
        expected.details["deletedTasks"] = deleted.len().into();
        self.model.remove(&deleted);
        self.registered(expected, deletion.task);
    }

    async fn list(&self, query: &TaskQuery) {
        let page = self.store.tasks(query).await.unwrap();
        let (uids, total, next) = self.model.page_of_tasks(query);
        let wanted: Vec<TaskRecord> = uids.iter().map(|uid| self.model.tasks[uid].clone()).collect();
        assert_eq!((page.tasks, page.total, page.next), (wanted, total, next), "{query:?}");
        let page = self.store.batches(query).await.unwrap();
        let batches = page.batches.into_iter().map(|batch| (batch.uid, batch.tasks)).collect::<Vec<_>>();
        let (uids, total, next) = self.model.page_of_batches(query);
        let wanted: Vec<_> = uids.iter().map(|uid| (*uid, self.model.in_batch(*uid))).collect();
        assert_eq!((batches, page.total, page.next), (wanted, total, next), "{query:?}");
    }

    /// Compares all that there is.
    pub async fn compare(&self) {
        let (store, model, now) = (&self.store, &self.model, OffsetDateTime::now_utc());
        self.list(&TaskQuery { limit: usize::MAX, ..TaskQuery::default() }).await;
        for status in TaskStatus::ALL {
            self.list(&TaskQuery { limit: 3, statuses: Some(vec![status]), ..TaskQuery::default() }).await;
        }
        for uid in super::operation::INDEXES {
            self.list(&TaskQuery { limit: 3, index_uids: Some(vec![uid.into()]), ..TaskQuery::default() })
                .await;
            assert_eq!(store.index(uid).await.unwrap(), model.indexes.get(uid).cloned());
            let of_it = model.versions.iter().filter(|((index, _), _)| index == uid);
            let versions: BTreeMap<String, u64> =
                of_it.map(|((_, node), version)| (node.clone(), *version)).collect();
            assert_eq!(store.node_settings_versions(uid).await.unwrap(), versions, "{uid}");
        }
        assert_eq!(store.indexes().await.unwrap(), model.indexes);
        let unfinished = store.unfinished_tasks(usize::MAX).await.unwrap();
        assert_eq!(unfinished.iter().map(|task| task.uid).collect::<Vec<_>>(), model.unfinished());
        for node in super::operation::NODES {
            let pending = store.pending_changes(node).await.unwrap();
            assert!(pending.is_sorted_by_key(|pending| pending.id));
            let pending: Vec<_> =
                pending.into_iter().map(|pending| (pending.change, pending.sent_from)).collect();
            assert_eq!(pending, model.pending.get(node).cloned().unwrap_or_default(), "{node}");
        }
        let stale = store.stale_replicas().await.unwrap();
        let stale: Vec<(String, u32)> = stale
            .iter()
            .flat_map(|(node, shards)| shards.keys().map(|shard| (node.clone(), *shard)))
            .collect();
        assert_eq!(stale, model.copies.stale.keys().cloned().collect::<Vec<_>>());
        assert_eq!(store.current_epoch().await.unwrap(), model.copies.shown());
        assert_eq!(store.first_live_epoch().await.unwrap(), model.first_live_epoch);
        assert_eq!(store.envoys().await.unwrap().into_keys().collect::<BTreeSet<_>>(), model.envoys);
        assert_eq!(store.aliases().await.unwrap(), model.aliases);
        assert_eq!(store.webhooks().await.unwrap(), model.webhooks);
        for webhook in [uuid(0), uuid(1)] {
            let owed = store.tasks_owed(webhook, usize::MAX).await.unwrap();
            let owed: Vec<u64> = owed.iter().map(|task| task.uid).collect();
            let wanted = model.owed.iter().filter(|(other, _)| *other == webhook).map(|(_, uid)| *uid);
            assert_eq!(owed, wanted.collect::<Vec<_>>());
            let first = store.tasks_owed(webhook, 1).await.unwrap();
            assert_eq!(first.first().map(|task| task.uid), owed.first().copied());
        }
        let keys = store.keys().await.unwrap();
        assert_eq!(keys.into_iter().map(|key| (key.uid, key)).collect::<BTreeMap<_, _>>(), model.keys);
        assert_eq!(store.experimental_features().await.unwrap(), model.features);
        assert_eq!(store.search_rules().await.unwrap(), model.rules);
        for id in ["0", "1", "2"] {
            assert_eq!(store.first_answer(id, now).await.unwrap(), model.answers.get(id).cloned());
            let session =
                store.session(id, now).await.unwrap().map(|session| (session.last, session.unfinished));
            let wanted = model.sessions.get(id).map(|writes| {
                let is_unfinished =
                    |uid: &u64| model.tasks.get(uid).is_some_and(|task| !task.status.is_final());
                (*writes.last().unwrap(), writes.iter().copied().filter(is_unfinished).collect())
            });
            assert_eq!(session, wanted, "session {id}");
        }
    }
}

const CANCELATION: &str = "taskCancelation";

fn new_task(plan: &Registration) -> NewTask {
    NewTask {
        index_uid: plan.index.map(str::to_owned),
        kind: plan.kind.into(),
        ticket: plan.ticket.map(|ticket| ticket.to_string()),
        origin: origin(plan.key, plan.session),
        ..conformance::task("", plan.status)
    }
}

fn origin(key: Option<u8>, session: Option<u8>) -> Origin {
    let expires_at = OffsetDateTime::now_utc() + Duration::HOUR;
    let used = |key: u8| UsedKey { id: key.to_string(), fingerprint: "f".into(), expires_at };
    let session = session.map(|session| SessionWrite { id: session.to_string(), expires_at });
    Origin { idempotency: key.map(used), session }
}

fn fence(plan: &FencePlan, index: Option<&str>, indexes: &BTreeMap<String, IndexRecord>) -> Fence {
    let known = |uid: &str| indexes.get(uid).map_or(0, |index| index.generation);
    let index =
        plan.generation.zip(index).map(|(is_right, uid)| (uid.to_owned(), known(uid) + u64::from(!is_right)));
    let missed = plan.missed.iter().map(|node| ((*node).to_owned(), plan.shards.clone())).collect();
    Fence { epoch: plan.epoch, of: 0, missed, index }
}

fn uuid(number: u8) -> Uuid {
    Uuid::from_u128(number.into())
}

fn key(number: u8) -> KeyRecord {
    let created_at = hour(number.into());
    KeyRecord {
        name: None,
        description: None,
        uid: uuid(number),
        actions: vec!["search".into()],
        indexes: vec!["*".into()],
        expires_at: None,
        created_at,
        updated_at: created_at,
    }
}
