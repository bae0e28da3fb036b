//! Asks the nodes what has become of the parts of unfinished tasks, and finishes the tasks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use miroir_core::control::PartOutcome;
use miroir_core::documents::function::in_clients_lines;
use miroir_core::hide;
use serde_json::Value;
use time::OffsetDateTime;
use tracing::{error, info, warn};

use super::kind;
use super::merge::{self, Circumstances};
use super::on_tasks::{Cancelations, finish_cancelation};
use crate::cluster::Cluster;
use crate::indexes;
use crate::instance::rules;
use crate::node_client::NodeTask;
use crate::store::{IndexChange, StoreError, TaskPart, TaskRecord, TaskStatus};

/// The pause after something has changed, and the longest while nothing does.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// The pause while there is nothing to ask for: a registration ends it.
const IDLE_PAUSE: Duration = Duration::from_secs(5);
/// How many tasks are looked at in one round, and how many of a node are asked for at once. Nodes work in order,
/// so what comes later can wait.
const TASKS_AT_ONCE: usize = 1000;
const UIDS_AT_ONCE: usize = 100;

/// Looks after the tasks of this cluster for ever.
pub async fn run(cluster: Arc<Cluster>) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        pause = match poll(&cluster).await {
            Ok(Round::Changed) => SHORTEST_PAUSE,
            Ok(Round::Unchanged) => (pause * 2).min(LONGEST_PAUSE),
            Ok(Round::Idle) => IDLE_PAUSE,
            Err(error) => {
                error!(%error, "the tasks could not be looked after");
                LONGEST_PAUSE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = cluster.task_registered.notified() => pause = SHORTEST_PAUSE,
        }
    }
}

enum Round {
    /// There is no unfinished task.
    Idle,
    /// Nothing new.
    Unchanged,
    /// Some task moved on.
    Changed,
}

async fn poll(cluster: &Cluster) -> anyhow::Result<Round> {
    let tasks = cluster.store.unfinished_tasks(TASKS_AT_ONCE).await?;
    if tasks.is_empty() {
        return Ok(Round::Idle);
    }
    let circumstances = circumstances(cluster);
    let answers = ask_nodes(cluster, &tasks, &circumstances).await;
    let cancelations = Cancelations::under_way(cluster).await?;
    let mut round = Round::Unchanged;
    for before in &tasks {
        if indexes::is_being_sent(cluster, before).await? {
            continue;
        }
        let mut task = before.clone();
        if task.kind == kind::TASK_CANCELATION {
            finish_cancelation(cluster, &mut task).await?;
        } else {
            for part in &mut task.parts {
                apply(cluster, before, part, &answers).await?;
            }
            merge::merge(&mut task, &circumstances);
        }
        if task == *before {
            continue;
        }
        // Its settings are read back from the nodes under the index's new uid, which they must know first.
        if task.kind == kind::SETTINGS_UPDATE && task.status.is_final() && is_renamed(cluster, before).await?
        {
            continue;
        }
        if task.status == TaskStatus::Canceled {
            task.canceled_by = cancelations.of(task.uid);
        }
        if !may_be_told(cluster, &task) {
            continue;
        }
        if task.status.is_final()
            && let Err(error) = finish(cluster, &task).await
        {
            error!(uid = task.uid, %error, "a task could not be finished yet");
            continue;
        }
        if !may_be_told(cluster, &task) {
            continue;
        }
        cluster.store.save_task(&task).await?;
        if task.status.is_final() {
            // Nobody may be waiting.
            let _ = cluster.task_finished.send(task.uid);
        }
        round = Round::Changed;
    }
    Ok(round)
}

/// Once a client knows that a write is done, no Envoy may read a copy that lacks it.
fn may_be_told(cluster: &Cluster, task: &TaskRecord) -> bool {
    let is_about_documents = task.parts.iter().any(|part| !part.shards.is_empty());
    !(task.status.is_final() && is_about_documents) || cluster.is_read_by_all_as_known()
}

fn circumstances(cluster: &Cluster) -> Circumstances {
    let table = cluster.table();
    let copies = table.groups.iter().filter_map(|group| group.owners.first()).map(Vec::len);
    Circumstances {
        away: table.nodes.iter().filter(|node| !node.up).map(|node| node.id.clone()).collect(),
        quorum: table.write_quorum(cluster.members().replication_factor),
        copies: copies.sum::<usize>() as u64,
    }
}

/// What nodes answered: by node, the uids that were asked for and the tasks they know.
type Answers<'t> = HashMap<&'t str, BTreeMap<u64, Option<NodeTask>>>;

async fn ask_nodes<'t>(
    cluster: &Cluster,
    tasks: &'t [TaskRecord],
    circumstances: &Circumstances,
) -> Answers<'t> {
    let mut questions: HashMap<&str, Vec<u64>> = HashMap::new();
    for part in tasks.iter().flat_map(|task| &task.parts) {
        let PartOutcome::Accepted(uid) = part.outcome else { continue };
        if part.status.is_final() || circumstances.away.contains(&part.node) {
            continue;
        }
        let uids = questions.entry(&part.node).or_default();
        if uids.len() < UIDS_AT_ONCE {
            uids.push(uid);
        }
    }
    let answers = questions.into_iter().map(|(node, uids)| async move {
        let known = cluster.client(node)?.tasks(&uids).await;
        let known =
            known.inspect_err(|error| warn!(node, %error, "a node did not tell of its tasks")).ok()?;
        let mut answers: BTreeMap<u64, Option<NodeTask>> = uids.into_iter().map(|uid| (uid, None)).collect();
        answers.extend(known.into_iter().map(|task| (task.uid, Some(task))));
        Some((node, answers))
    });
    join_all(answers).await.into_iter().flatten().collect()
}

async fn apply(
    cluster: &Cluster,
    task: &TaskRecord,
    part: &mut TaskPart,
    answers: &Answers<'_>,
) -> Result<(), StoreError> {
    let PartOutcome::Accepted(uid) = part.outcome else { return Ok(()) };
    if part.status.is_final() {
        return Ok(());
    }
    if cluster.members().node(&part.node).is_none() {
        part.outcome = PartOutcome::Missed("the node was removed".to_owned());
        return Ok(());
    }
    let Some(answer) = answers.get(part.node.as_str()).and_then(|answers| answers.get(&uid)) else {
        return Ok(());
    };
    // A node that was wiped counts its tasks anew: then the uid is unknown, or another index's.
    let known = match answer {
        Some(answer) => match is_about(cluster, answer, task).await? {
            Some(is_it) => Some(answer).filter(|_| is_it),
            None => return Ok(()),
        },
        None => None,
    };
    let Some(answer) = known else {
        warn!(node = part.node, uid, "a node no longer knows a task that it had accepted");
        part.outcome = PartOutcome::Missed(format!("the node no longer knows its task {uid}"));
        return cluster.store.mark_lost(&part.node, &part.shards, part.of).await;
    };
    part.status = answer.status;
    part.started_at = answer.started_at;
    if answer.status.is_final() {
        part.finished_at = answer.finished_at;
        part.details = answer.details.clone();
        part.error = in_clients_words(&task.kind, answer.error.clone());
    }
    Ok(())
}

/// A node's error as if the node had been asked what the client asked for.
fn in_clients_words(kind: &str, mut error: Value) -> Value {
    if let Some(message) = error["message"].as_str() {
        let message = hide::in_message(message);
        error["message"] = match kind {
            kind::DOCUMENT_EDITION => in_clients_lines(&message).into(),
            _ => message.into(),
        };
    }
    error
}

/// Whether a node's task is about the index that ours is about: by either of its uids while it is swapped or renamed.
/// `None` while that can't be told, because a change of the index is just being made.
async fn is_about(
    cluster: &Cluster,
    answer: &NodeTask,
    task: &TaskRecord,
) -> Result<Option<bool>, StoreError> {
    let renamed = task.details["newIndexUid"].as_str();
    let its_own = answer.index_uid == task.index_uid;
    if its_own || renamed.is_some() && [None, renamed].contains(&answer.index_uid.as_deref()) {
        return Ok(Some(true));
    }
    let mut locks = Vec::new();
    let uids: BTreeSet<&String> = task.index_uid.iter().chain(&answer.index_uid).collect();
    for uid in uids {
        let Some(lock) = cluster.index_locks.try_lock(uid) else { return Ok(None) };
        locks.push(lock);
    }
    let Some(now) = cluster.store.task(task.uid).await? else { return Ok(None) };
    if now.index_uid == answer.index_uid {
        return Ok(Some(true));
    }
    Ok(Some(is_renamed(cluster, task).await?))
}

/// Whether the task's index was given another uid that some nodes may not know yet, or that we didn't know when we read
/// the task.
async fn is_renamed(cluster: &Cluster, task: &TaskRecord) -> Result<bool, StoreError> {
    let Some(now) = cluster.store.task(task.uid).await? else { return Ok(false) };
    for uid in task.index_uid.iter().chain(&now.index_uid) {
        if indexes::under_way(cluster, uid, Some(task.uid)).await? {
            return Ok(true);
        }
    }
    Ok(now.index_uid != task.index_uid)
}

/// Does what must be done before a client may see that the task is over.
async fn finish(cluster: &Cluster, task: &TaskRecord) -> anyhow::Result<()> {
    info!(uid = task.uid, kind = task.kind, status = task.status.name(), "task finished");
    if task.parts.is_empty() && kind::ARE_DECIDED_AT_ONCE.contains(&&*task.kind) {
        indexes::take_down_late(cluster).await?;
    }
    if task.kind == kind::INDEX_SWAP {
        return indexes::repeat_where_failed(cluster, task).await;
    }
    let Some(index) = task.index_uid.as_deref() else { return Ok(()) };
    match task.kind.as_str() {
        kind::SETTINGS_UPDATE if task.status == TaskStatus::Succeeded => {
            indexes::settings::commit(cluster, index, task).await?;
        }
        // A change of the settings that failed on some nodes is taken back on the others.
        kind::SETTINGS_UPDATE | kind::INDEX_CREATION | kind::INDEX_UPDATE => {
            indexes::repeat_where_failed(cluster, task).await?;
            if task.kind == kind::SETTINGS_UPDATE {
                indexes::settings::give_up(cluster, index, task).await?;
            }
            let index = task.details["newIndexUid"].as_str().unwrap_or(index);
            indexes::converge(cluster, index, Some(task.uid)).await?;
            cluster.publish_everywhere().await?;
        }
        kind::DSR_UPDATE | kind::DSR_CLEAR if task.status == TaskStatus::Succeeded => {
            rules::commit(cluster, task).await?;
        }
        kind::DOCUMENT_ADDITION | kind::DOCUMENT_DELETION | kind::DOCUMENT_EDITION => {
            finish_documents(cluster, index, task).await?;
        }
        _ => {}
    }
    Ok(())
}

async fn finish_documents(cluster: &Cluster, index: &str, task: &TaskRecord) -> Result<(), StoreError> {
    let updated_at = task.finished_at.unwrap_or_else(OffsetDateTime::now_utc);
    cluster.store.update_index(index, IndexChange::at(updated_at)).await?;
    let behind = merge::left_behind(task);
    if behind.is_empty() {
        return Ok(());
    }
    for (node, shards) in &behind {
        warn!(node, uid = task.uid, ?shards, "a write failed on this replica and succeeded on another");
        let of = task.parts.iter().map(|part| part.of).max().unwrap_or(0);
        cluster.store.mark_stale(node, shards, of).await?;
    }
    cluster.publish_everywhere().await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::{IndexSwap, IndexesChange, NamesChange, NewTask, NodeChange};
    use crate::tasks::{self, register_parts};
    use crate::testing;

    fn creation() -> NewTask {
        tasks::new("movies", kind::INDEX_CREATION, json!({"primaryKey": null}), Vec::new())
    }

    #[tokio::test]
    async fn a_change_whose_sender_was_killed_is_done_but_not_one_that_is_being_sent() {
        let store = testing::store();
        let cluster = testing::open(json!({}), &store).await.unwrap();
        let change = IndexesChange::Create(testing::index("movies"));
        let (task, _) = store.register_change(change, creation()).await.unwrap();
        let status = async || store.task(task.uid).await.unwrap().unwrap().status;

        let sending = cluster.index_locks.lock("movies").await;
        poll(&cluster).await.unwrap();
        assert_eq!(status().await, TaskStatus::Enqueued);
        drop(sending);
        poll(&cluster).await.unwrap();
        assert_eq!(status().await, TaskStatus::Succeeded);
    }

    #[tokio::test]
    async fn a_change_that_was_sent_since_it_was_read_is_looked_at_anew() {
        let store = testing::store();
        let cluster = testing::open(json!({}), &store).await.unwrap();
        let change = IndexesChange::Create(testing::index("movies"));
        let (task, _) = store.register_change(change, creation()).await.unwrap();
        assert!(!indexes::is_being_sent(&cluster, &task).await.unwrap());
        let parts = vec![TaskPart::new("a", PartOutcome::Accepted(1))];
        let sent = register_parts(&cluster, task.clone(), parts).await.unwrap();
        assert!(indexes::is_being_sent(&cluster, &task).await.unwrap());
        assert!(!indexes::is_being_sent(&cluster, &sent).await.unwrap());
    }

    #[tokio::test]
    async fn a_node_that_was_not_told_of_a_swap_is_not_read() {
        let store = testing::store();
        let cluster = testing::open(json!({}), &store).await.unwrap();
        let swap = IndexSwap { indexes: ("movies".into(), "books".into()), rename: false };
        let details = json!({"swaps": [swap]});
        let names = NamesChange {
            change: NodeChange::Swap(vec![swap]),
            at: OffsetDateTime::now_utc(),
            nodes: vec![("b".into(), Some(3))],
            besides: None,
        };
        let task = tasks::global(kind::INDEX_SWAP, details);
        let (task, _) = store.register_change(IndexesChange::Names(names), task).await.unwrap();
        poll(&cluster).await.unwrap();
        let health = cluster.health.read().await;
        assert!(health.get("b").is_some_and(|health| !health.up));
        assert!(!health.contains_key("a"), "nothing is known to be wrong with it");
        assert_eq!(store.task(task.uid).await.unwrap().unwrap().status, TaskStatus::Succeeded);
    }
}
