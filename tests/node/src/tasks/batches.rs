//! Batches: tasks that were processed together, as `/batches` shows them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Details, Status, Task, view};

/// The batches of these tasks by their numbers; tasks that have not begun are in none.
pub fn group(tasks: Vec<Task>) -> BTreeMap<u32, Vec<Task>> {
    let mut batches: BTreeMap<u32, Vec<Task>> = BTreeMap::new();
    for task in tasks {
        if let Some(uid) = task.batch_uid {
            batches.entry(uid).or_default().push(task);
        }
    }
    batches
}

/// A batch as the API shows it.
pub fn batch(uid: u32, tasks: &[Task]) -> Value {
    let mut details = Details::new();
    let mut statuses = BTreeMap::new();
    let mut types = BTreeMap::new();
    let mut indexes = BTreeMap::new();
    for task in tasks {
        add(&mut details, &task.details);
        *statuses.entry(json!(task.status).as_str().unwrap_or_default().to_string()).or_insert(0) += 1;
        *types.entry(task.operation.kind()).or_insert(0) += 1;
        for uid in task.indexes() {
            *indexes.entry(uid).or_insert(0) += 1;
        }
    }
    // Which a batch does not show, unlike its task.
    details.retain(|name, value| name != "primaryKey" || !value.is_null());
    let is_processing = tasks.iter().any(|task| task.status == Status::Processing);
    let started_at = tasks.iter().find_map(|task| task.started_at);
    let finished_at = tasks.iter().find_map(|task| task.finished_at);
    json!({
        "uid": uid,
        "progress": is_processing.then(|| json!({ "steps": [], "percentage": 0.0 })),
        "details": details,
        "stats": {
            "totalNbTasks": tasks.len(), "status": statuses, "types": types, "indexUids": indexes,
        },
        "duration": started_at.zip(finished_at).map(|(start, end)| view::iso_8601(end - start)),
        "startedAt": started_at.map(view::date),
        "finishedAt": finished_at.map(view::date),
        "batchStrategy": "batched all enqueued tasks",
    })
}

/// Adds the details of a task to those of its batch: counts are summed up, the rest is what the last task says.
fn add(details: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (name, value) in more {
        let sum = details.get(name).and_then(Value::as_u64).zip(value.as_u64()).map(|(sum, more)| sum + more);
        match sum {
            Some(sum) => details.insert(name.clone(), sum.into()),
            None if value.is_null() && details.contains_key(name) => None,
            None => details.insert(name.clone(), value.clone()),
        };
    }
}
