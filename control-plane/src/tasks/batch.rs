//! A batch as Meilisearch shows it. Each node batches its parts of tasks as it sees fit; in the cluster a task is alone
//! in its batch, but for what was canceled: that is in the batch of what canceled it, as on one node.

use std::collections::BTreeMap;

use futures::future::join_all;
use miroir_core::control::PartOutcome;
use serde_json::{Map, Value, json};

use super::view::{duration, rfc_3339};
use crate::cluster::Cluster;
use crate::store::{Batch, TaskPart, TaskRecord};

/// As `GET /batches/{uid}` shows it. While it is under way, its progress is that of the node that is furthest behind.
pub async fn view(cluster: &Cluster, batch: &Batch) -> Value {
    let tasks = &batch.tasks;
    let mut details = Map::new();
    tasks.iter().for_each(|task| accumulate(&mut details, &task.details));
    // Which a batch does not show, unlike its task.
    details.retain(|name, value| name != "primaryKey" || !value.is_null());
    let started_at = tasks.iter().filter_map(|task| task.started_at).min();
    let is_over = tasks.iter().all(|task| task.status.is_final());
    let finished_at = tasks.iter().filter_map(|task| task.finished_at).max().filter(|_| is_over);
    let progress = if is_over { Value::Null } else { progress(cluster, tasks).await };
    json!({
        "uid": batch.uid,
        "progress": progress,
        "details": details,
        "stats": {
            "totalNbTasks": tasks.len(),
            "status": counts(tasks.iter().map(|task| task.status.name())),
            "types": counts(tasks.iter().map(|task| &*task.kind)),
            "indexUids": counts(tasks.iter().filter_map(|task| task.index_uid.as_deref())),
        },
        "duration": duration(started_at, finished_at),
        "startedAt": started_at.map(rfc_3339),
        "finishedAt": finished_at.map(rfc_3339),
        "batchStrategy": strategy(batch),
    })
}

/// Meilisearch's words for a task that is alone in its batch.
fn strategy(batch: &Batch) -> String {
    let named_after = batch.tasks.iter().find(|task| task.uid == batch.uid);
    match named_after {
        Some(TaskRecord { uid, kind, .. }) => format!(
            "created batch containing only task with id {uid} of type `{kind}` that cannot be batched with any other \
             task."
        ),
        // The task was deleted, what it canceled was not.
        None => "unspecified".to_owned(),
    }
}

fn counts<'n>(names: impl Iterator<Item = &'n str>) -> BTreeMap<&'n str, u64> {
    let mut counts = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    counts
}

/// Adds a task's details to those of its batch: counts are added up, of other values the first stays.
fn accumulate(details: &mut Map<String, Value>, more: &Value) {
    for (name, value) in more.as_object().into_iter().flatten() {
        let sum = match (details.get(name), value) {
            (Some(Value::Number(sum)), Value::Number(count)) => {
                json!(sum.as_u64().unwrap_or(0).saturating_add(count.as_u64().unwrap_or(0)))
            }
            (Some(Value::String(filter)), Value::String(other)) if name == "originalFilter" => {
                json!(format!("{filter}&{other}"))
            }
            (None | Some(Value::Null), value) => value.clone(),
            (Some(first), _) => first.clone(),
        };
        details.insert(name.clone(), sum);
    }
}

async fn progress(cluster: &Cluster, tasks: &[TaskRecord]) -> Value {
    let parts = tasks.iter().flat_map(|task| &task.parts).filter(|part| !part.status.is_final());
    let batches = join_all(parts.map(|part| of_node(cluster, part))).await;
    let reports = batches.into_iter().flatten().map(|batch| batch["progress"].clone());
    let percentage = |progress: &Value| progress["percentage"].as_f64().unwrap_or(0.0);
    let behind = reports.filter(Value::is_object).min_by(|a, b| percentage(a).total_cmp(&percentage(b)));
    behind.unwrap_or_else(|| json!({"steps": [], "percentage": 0.0}))
}

/// The batch in which a node does a part of a task.
pub async fn of_node(cluster: &Cluster, part: &TaskPart) -> Option<Value> {
    let PartOutcome::Accepted(uid) = part.outcome else { return None };
    cluster.client(&part.node)?.batch_of(uid).await.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_added_up() {
        let mut details = Map::new();
        accumulate(
            &mut details,
            &json!({"receivedDocuments": 2, "indexedDocuments": null, "originalFilter": "?a"}),
        );
        accumulate(
            &mut details,
            &json!({"receivedDocuments": 3, "indexedDocuments": 0, "originalFilter": "?b"}),
        );
        accumulate(&mut details, &json!({"primaryKey": "id"}));
        accumulate(&mut details, &json!({"primaryKey": "sku"}));
        assert_eq!(
            Value::Object(details),
            json!({"receivedDocuments": 5, "indexedDocuments": 0, "originalFilter": "?a&?b", "primaryKey": "id"})
        );
    }
}
