//! What a client's task has come to, from what its parts on the nodes have come to.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::control::PartOutcome;
use miroir_core::error::{ApiError, ErrorType};
use miroir_core::shard::ShardId;
use serde_json::{Value, json};

use super::{kind, size};
use crate::instance::backups;
use crate::store::{TaskPart, TaskRecord, TaskStatus};

/// What of the cluster decides what a task has come to.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// The nodes that are not up. They finish their queue before they are read again.
    pub away: BTreeSet<String>,
    /// On how many nodes a shard's part must have succeeded for the task not to wait for a node that is away.
    pub quorum: usize,
    /// How many nodes hold each document.
    pub copies: u64,
}

/// Brings a task's status, dates, details and error in line with its parts.
pub fn merge(task: &mut TaskRecord, circumstances: &Circumstances) {
    task.status = match task.kind.as_str() {
        // Nodes that missed it are brought in step.
        decided
            if kind::ARE_DECIDED_AT_ONCE.contains(&decided) && task.parts.iter().all(TaskPart::is_missed) =>
        {
            TaskStatus::Succeeded
        }
        // So are those that fail at it.
        kind::INDEX_SWAP | kind::INDEX_DELETION if Done::of(&task.parts).nodes > 0 => {
            status(&without_failures(&task.parts), circumstances)
        }
        _ => status(&task.parts, circumstances),
    };
    if task.error.is_some() && task.status.is_final() {
        task.status = TaskStatus::Failed;
    }
    // Nodes begin before the task is registered, and their clocks differ.
    let begun = task.parts.iter().filter_map(|part| part.started_at).min();
    task.started_at = begun.map(|begun| begun.max(task.enqueued_at));
    if !task.status.is_final() {
        return;
    }
    if task.status == TaskStatus::Succeeded {
        task.started_at.get_or_insert(task.enqueued_at);
    }
    let done = task.parts.iter().filter_map(|part| part.finished_at).max();
    task.finished_at = done.max(task.started_at).or(Some(task.enqueued_at));
    task.details = final_details(task, circumstances.copies);
    if task.status == TaskStatus::Failed && task.error.is_none() {
        task.error = Some(error(&task.parts));
    }
}

fn status(parts: &[TaskPart], circumstances: &Circumstances) -> TaskStatus {
    let enqueued = |part: &TaskPart| matches!(part.outcome, PartOutcome::Accepted(_));
    let has = |status| parts.iter().any(|part| enqueued(part) && part.status == status);
    let begun = match parts.iter().any(|part| part.started_at.is_some()) {
        true => TaskStatus::Processing,
        false => TaskStatus::Enqueued,
    };
    let (away, present): (Vec<&TaskPart>, Vec<&TaskPart>) = parts
        .iter()
        .filter(|part| enqueued(part) && !part.status.is_final())
        .partition(|part| circumstances.away.contains(&part.node));
    if !present.is_empty() {
        return begun;
    }
    if has(TaskStatus::Failed) {
        return TaskStatus::Failed;
    }
    let done = Done::of(parts);
    // What was canceled on one copy and done on another is done; the copy is repaired. What nodes do for an index as a
    // whole is taken back where it was done.
    let canceled = |part: &&TaskPart| part.status == TaskStatus::Canceled;
    if parts.iter().filter(canceled).any(|part| part.shards.is_empty() || !done.covers(part, 1)) {
        return TaskStatus::Canceled;
    }
    if !away.iter().all(|part| done.covers(part, circumstances.quorum)) {
        return begun;
    }
    match parts.iter().filter(|part| !enqueued(part)).all(|part| done.covers(part, 1)) {
        true => TaskStatus::Succeeded,
        false => TaskStatus::Failed,
    }
}

fn without_failures(parts: &[TaskPart]) -> Vec<TaskPart> {
    parts.iter().filter(|part| part.status != TaskStatus::Failed).cloned().collect()
}

/// What has succeeded: on how many nodes, in all and per shard.
struct Done {
    nodes: usize,
    shards: BTreeMap<ShardId, usize>,
}

impl Done {
    fn of(parts: &[TaskPart]) -> Done {
        // A write may come to a node in several parts: it has a shard when all of them that hold the shard are done.
        let mut nodes: BTreeMap<&str, (BTreeSet<ShardId>, BTreeSet<ShardId>)> = BTreeMap::new();
        for part in parts {
            let (done, undone) = nodes.entry(&part.node).or_default();
            let is_done = part.status == TaskStatus::Succeeded;
            match is_done {
                true => done.extend(part.shards.iter().filter(|shard| !part.unreliable.contains(shard))),
                false => undone.extend(&part.shards),
            }
        }
        let succeeded = parts.iter().filter(|part| part.status == TaskStatus::Succeeded);
        let mut done = Done {
            nodes: succeeded.map(|part| &part.node).collect::<BTreeSet<_>>().len(),
            shards: BTreeMap::new(),
        };
        for shard in nodes.values().flat_map(|(done, undone)| done.difference(undone)) {
            *done.shards.entry(*shard).or_default() += 1;
        }
        done
    }

    /// Whether the work of `part` was done by enough others.
    fn covers(&self, part: &TaskPart, quorum: usize) -> bool {
        if part.shards.is_empty() {
            return self.nodes > 0;
        }
        part.shards.iter().all(|shard| self.shards.get(shard).is_some_and(|&copies| copies >= quorum))
    }
}

/// The replicas that a finished task left behind the others: they failed where another copy succeeded, or are still to
/// do what the others failed to.
pub fn left_behind(task: &TaskRecord) -> Vec<(String, Vec<ShardId>)> {
    let done = Done::of(&task.parts);
    let behind = task.parts.iter().filter_map(|part| {
        let has_gone_on = |shard: &ShardId| done.shards.contains_key(shard);
        let shards: Vec<ShardId> = match part.status {
            TaskStatus::Failed | TaskStatus::Canceled => {
                part.shards.iter().copied().filter(has_gone_on).collect()
            }
            // What only a copy has that is to be repaired must not outlive the repair.
            TaskStatus::Succeeded => {
                part.unreliable.iter().copied().filter(|shard| !has_gone_on(shard)).collect()
            }
            // Its node is away, and nobody will look what becomes of it there.
            TaskStatus::Enqueued | TaskStatus::Processing
                if task.status == TaskStatus::Succeeded && !part.is_missed() =>
            {
                part.shards.clone()
            }
            TaskStatus::Enqueued | TaskStatus::Processing if !part.is_missed() => {
                part.shards.iter().copied().filter(|shard| !has_gone_on(shard)).collect()
            }
            _ => return None,
        };
        Some((part.node.clone(), shards))
    });
    behind.filter(|(_, shards)| !shards.is_empty()).collect()
}

fn final_details(task: &TaskRecord, copies: u64) -> Value {
    let mut details = task.details.clone();
    match task.kind.as_str() {
        kind::DOCUMENT_ADDITION if task.status == TaskStatus::Succeeded => {
            details["indexedDocuments"] = details["receivedDocuments"].clone();
        }
        kind::DOCUMENT_EDITION if task.status == TaskStatus::Succeeded => {
            for count in ["deletedDocuments", "editedDocuments"] {
                details[count] = json!(counted_documents(&task.parts, count));
            }
        }
        kind::DOCUMENT_ADDITION | kind::DOCUMENT_EDITION => return undone(&task.kind, details),
        kind::DOCUMENT_DELETION => {
            details["deletedDocuments"] = json!(counted_documents(&task.parts, "deletedDocuments"));
        }
        kind::INDEX_DELETION => {
            let deleted = task.parts.iter().filter_map(|part| part.details["deletedDocuments"].as_u64());
            details["deletedDocuments"] = json!(deleted.sum::<u64>().div_ceil(copies.max(1)));
        }
        kind::DUMP_CREATION => details = backups::dump_details(&task.parts),
        // Every node says the same of them.
        kind::DSR_UPDATE | kind::DSR_CLEAR => {
            details = task
                .parts
                .iter()
                .map(|part| &part.details)
                .find(|d| !d.is_null())
                .cloned()
                .unwrap_or(details);
        }
        kind::INDEX_COMPACTION if task.status == TaskStatus::Succeeded => {
            for size in ["preCompactionSize", "postCompactionSize"] {
                let sizes = task.parts.iter().filter_map(|part| part.details[size].as_str());
                details[size] = json!(size::sum(sizes));
            }
        }
        _ => {}
    }
    details
}

/// The details of a task of which nothing was done.
pub fn undone(kind: &str, mut details: Value) -> Value {
    let count = match kind {
        kind::DOCUMENT_ADDITION => "indexedDocuments",
        // Meilisearch leaves what was deleted open.
        kind::DOCUMENT_EDITION => "editedDocuments",
        _ => "deletedDocuments",
    };
    if let Value::Null | Value::Object(_) = details {
        details[count] = json!(0);
    }
    details
}

fn counted_documents(parts: &[TaskPart], count: &str) -> u64 {
    let counted = || parts.iter().filter(|part| part.counted);
    let documents: u64 = counted().filter_map(|part| part.details[count].as_u64()).sum();
    documents.div_ceil(counted().map(|part| part.counted_copies).max().unwrap_or(1).max(1))
}

fn error(parts: &[TaskPart]) -> ApiError {
    let accepted = || parts.iter().filter(|part| matches!(part.outcome, PartOutcome::Accepted(_)));
    let failed = accepted().filter(|part| part.status == TaskStatus::Failed);
    let mut of_nodes =
        failed.filter_map(|part| Some((part, serde_json::from_value::<ApiError>(part.error.clone()).ok()?)));
    if let Some((part, error)) = of_nodes.next() {
        // Where all nodes say the same, it is of what the client sent.
        let is_of_all = accepted().count() > 1 && accepted().all(|other| other.error == part.error);
        return match error.kind {
            ErrorType::InvalidRequest => error,
            _ if is_of_all => error,
            _ => ApiError { message: format!("Node `{}`: {}", part.node, error.message), ..error },
        };
    }
    let lost: Vec<String> = parts
        .iter()
        .filter_map(|part| match &part.outcome {
            PartOutcome::Missed(reason) => Some(format!("`{}`: {reason}", part.node)),
            PartOutcome::Accepted(_) => None,
        })
        .collect();
    let message = format!(
        "The task was not done on any copy of some of its documents: {}. Send the request again.",
        lost.join("; ")
    );
    ApiError::new(500, "internal", ErrorType::Internal, message)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const ENQUEUED: TaskStatus = TaskStatus::Enqueued;
    const PROCESSING: TaskStatus = TaskStatus::Processing;
    const SUCCEEDED: TaskStatus = TaskStatus::Succeeded;
    const FAILED: TaskStatus = TaskStatus::Failed;
    const CANCELED: TaskStatus = TaskStatus::Canceled;

    fn part(node: &str, status: TaskStatus, shards: &[ShardId]) -> TaskPart {
        TaskPart {
            shards: shards.to_vec(),
            status,
            started_at: (status != ENQUEUED).then_some(datetime!(2025-01-01 00:00:02 UTC)),
            finished_at: status.is_final().then_some(datetime!(2025-01-01 00:00:05 UTC)),
            ..TaskPart::new(node, PartOutcome::Accepted(1))
        }
    }

    fn missed(node: &str, shards: &[ShardId]) -> TaskPart {
        TaskPart { shards: shards.to_vec(), ..TaskPart::new(node, PartOutcome::Missed("down".into())) }
    }

    fn circumstances(away: &[&str]) -> Circumstances {
        Circumstances { away: away.iter().map(|node| node.to_string()).collect(), quorum: 1, copies: 2 }
    }

    fn merged(kind: &str, details: Value, parts: Vec<TaskPart>, away: &[&str]) -> TaskRecord {
        let mut task = TaskRecord {
            uid: 0,
            index_uid: None,
            kind: kind.into(),
            status: ENQUEUED,
            details,
            error: None,
            parts,
            canceled_by: None,
            enqueued_at: datetime!(2025-01-01 00:00:00 UTC),
            started_at: None,
            finished_at: None,
            custom_metadata: None,
            ticket: None,
            settings_version: None,
            cancels: Vec::new(),
        };
        merge(&mut task, &circumstances(away));
        task
    }

    fn status_of(parts: Vec<TaskPart>, away: &[&str]) -> TaskStatus {
        merged(kind::SETTINGS_UPDATE, json!({}), parts, away).status
    }

    #[test]
    fn a_task_is_done_when_all_its_parts_are() {
        assert_eq!(status_of(vec![part("a", ENQUEUED, &[0]), part("b", ENQUEUED, &[1])], &[]), ENQUEUED);
        assert_eq!(status_of(vec![part("a", PROCESSING, &[0]), part("b", ENQUEUED, &[1])], &[]), PROCESSING);
        assert_eq!(status_of(vec![part("a", SUCCEEDED, &[0]), part("b", ENQUEUED, &[1])], &[]), PROCESSING);
        assert_eq!(status_of(vec![part("a", FAILED, &[0]), part("b", ENQUEUED, &[1])], &[]), PROCESSING);
        assert_eq!(status_of(vec![part("a", SUCCEEDED, &[0]), part("b", SUCCEEDED, &[1])], &[]), SUCCEEDED);
        assert_eq!(status_of(vec![part("a", SUCCEEDED, &[0]), part("b", FAILED, &[1])], &[]), FAILED);
        let canceled = part("b", CANCELED, &[1]);
        assert_eq!(status_of(vec![part("a", SUCCEEDED, &[0]), canceled], &[]), CANCELED);
    }

    #[test]
    fn what_was_canceled_too_late_on_one_copy_is_done() {
        let canceled = part("b", CANCELED, &[0, 1]);
        assert_eq!(status_of(vec![part("a", SUCCEEDED, &[0, 1]), canceled.clone()], &[]), SUCCEEDED);
        assert_eq!(status_of(vec![part("a", SUCCEEDED, &[0]), canceled], &[]), CANCELED);
        let settings = vec![part("a", SUCCEEDED, &[]), part("b", CANCELED, &[])];
        assert_eq!(status_of(settings, &[]), CANCELED);
    }

    #[test]
    fn a_node_that_fails_at_what_the_cluster_has_decided_does_not_fail_the_task() {
        let parts = || vec![part("a", SUCCEEDED, &[]), part("b", FAILED, &[])];
        assert_eq!(merged(kind::INDEX_SWAP, json!({}), parts(), &[]).status, SUCCEEDED);
        assert_eq!(merged(kind::INDEX_DELETION, json!({}), parts(), &[]).status, SUCCEEDED);
        assert_eq!(merged(kind::INDEX_UPDATE, json!({}), parts(), &[]).status, FAILED);
        assert_eq!(merged(kind::INDEX_SWAP, json!({}), vec![part("b", FAILED, &[])], &[]).status, FAILED);
    }

    #[test]
    fn what_the_cluster_has_decided_is_done_although_no_node_is_known_to_have_heard_of_it() {
        let missed = |node| TaskPart::new(node, PartOutcome::Missed("no answer".into()));
        for decided in kind::ARE_DECIDED_AT_ONCE {
            for parts in [vec![], vec![missed("a"), missed("b")]] {
                let task = merged(decided, json!({}), parts, &[]);
                assert_eq!((task.status, task.batch_uid()), (SUCCEEDED, Some(task.uid)), "{decided}");
            }
        }
        assert_eq!(merged(kind::SETTINGS_UPDATE, json!({}), vec![missed("a")], &[]).status, FAILED);
    }

    #[test]
    fn an_error_that_is_not_the_client_s_names_the_node() {
        let error = json!({"message": "No space left on device", "code": "no_space_left_on_device", "type": "system",
                           "link": "https://docs.meilisearch.com/errors#no_space_left_on_device"});
        let failed = TaskPart { error, ..part("b", FAILED, &[0]) };
        let task = merged(kind::SETTINGS_UPDATE, json!({}), vec![failed], &[]);
        let error = task.error.expect("an error");
        assert_eq!(
            (&*error.message, &*error.code),
            ("Node `b`: No space left on device", "no_space_left_on_device")
        );
    }

    #[test]
    fn a_node_that_is_away_is_not_waited_for_where_others_did_its_work() {
        let parts = vec![part("a", SUCCEEDED, &[0, 1]), part("b", ENQUEUED, &[0, 1])];
        assert_eq!(status_of(parts.clone(), &[]), PROCESSING);
        assert_eq!(status_of(parts, &["b"]), SUCCEEDED);

        let alone_with_shard_2 = vec![part("a", SUCCEEDED, &[0, 1]), part("b", ENQUEUED, &[1, 2])];
        assert_eq!(status_of(alone_with_shard_2, &["b"]), PROCESSING);

        let settings = vec![part("a", SUCCEEDED, &[]), part("b", ENQUEUED, &[])];
        assert_eq!(status_of(settings, &["b"]), SUCCEEDED);
        assert_eq!(status_of(vec![part("a", ENQUEUED, &[])], &["a"]), ENQUEUED);
    }

    #[test]
    fn a_lost_part_fails_the_task_only_if_no_copy_succeeded() {
        assert_eq!(status_of(vec![part("a", SUCCEEDED, &[0]), missed("b", &[0])], &[]), SUCCEEDED);

        let parts = vec![part("a", SUCCEEDED, &[0]), missed("b", &[0, 1])];
        let task = merged(kind::DOCUMENT_ADDITION, json!({"receivedDocuments": 3}), parts, &[]);
        assert_eq!(task.status, FAILED);
        assert_eq!(task.details, json!({"receivedDocuments": 3, "indexedDocuments": 0}));
        let message = task.error.map(|error| error.message).unwrap_or_default();
        assert!(message.contains("`b`: down"), "{message}");
    }

    #[test]
    fn dates_span_all_parts() {
        let mut late = part("b", SUCCEEDED, &[1]);
        late.started_at = Some(datetime!(2025-01-01 00:00:01 UTC));
        late.finished_at = Some(datetime!(2025-01-01 00:00:09 UTC));
        let parts = vec![part("a", SUCCEEDED, &[0]), late];
        let task = merged(kind::DOCUMENT_ADDITION, json!({"receivedDocuments": 3}), parts, &[]);
        assert_eq!(task.started_at, Some(datetime!(2025-01-01 00:00:01 UTC)));
        assert_eq!(task.finished_at, Some(datetime!(2025-01-01 00:00:09 UTC)));
        assert_eq!(task.details, json!({"receivedDocuments": 3, "indexedDocuments": 3}));
    }

    #[test]
    fn each_deleted_document_counts_once() {
        let deleted = |node, counted, documents: u64| TaskPart {
            counted,
            details: json!({"deletedDocuments": documents}),
            ..part(node, SUCCEEDED, &[0])
        };
        let parts = vec![deleted("a", true, 3), deleted("b", false, 3), deleted("b", true, 2)];
        let before = json!({"providedIds": 9, "deletedDocuments": null, "originalFilter": null});
        let task = merged(kind::DOCUMENT_DELETION, before, parts, &[]);
        assert_eq!(task.details, json!({"providedIds": 9, "deletedDocuments": 5, "originalFilter": null}));

        let parts = vec![deleted("a", false, 3), deleted("b", false, 5), deleted("c", false, 2)];
        let task = merged(kind::INDEX_DELETION, json!({"deletedDocuments": null}), parts, &[]);
        assert_eq!(task.details, json!({"deletedDocuments": 5}));
    }

    #[test]
    fn a_node_s_error_is_the_task_s_error() {
        let error = json!({
            "message": "Index `a` not found.",
            "code": "index_not_found",
            "type": "invalid_request",
            "link": "https://docs.meilisearch.com/errors#index_not_found",
        });
        let failed = TaskPart { error: error.clone(), ..part("b", FAILED, &[]) };
        let task = merged(kind::INDEX_UPDATE, json!({}), vec![part("a", SUCCEEDED, &[]), failed], &[]);
        assert_eq!(serde_json::to_value(task.error).ok(), Some(error));
    }

    #[test]
    fn what_failed_on_one_copy_alone_is_left_behind() {
        let parts = vec![
            part("a", SUCCEEDED, &[0, 1]),
            part("b", FAILED, &[1, 2]),
            part("c", FAILED, &[2]),
            missed("d", &[0]),
            part("e", ENQUEUED, &[0, 2]),
        ];
        let mut task = merged(kind::DOCUMENT_ADDITION, json!({}), parts, &["e"]);
        assert_eq!(task.status, FAILED);
        assert_eq!(left_behind(&task), [("b".to_owned(), vec![1]), ("e".to_owned(), vec![2])]);
        // What the node that is away makes of it nobody will ask.
        task.status = SUCCEEDED;
        assert_eq!(left_behind(&task), [("b".to_owned(), vec![1]), ("e".to_owned(), vec![0, 2])]);
    }
}
