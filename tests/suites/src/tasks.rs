//! Tasks, as they can be compared.

use miroir_harness::{Answer, Client};
use serde_json::Value;

/// What of a task differs from run to run.
const PASSING: [&str; 7] =
    ["uid", "taskUid", "batchUid", "duration", "enqueuedAt", "startedAt", "finishedAt"];

/// A task, or its summary, without numbers and times.
pub fn lasting(mut task: Value) -> Value {
    if let Value::Object(fields) = &mut task {
        fields.retain(|name, _| !PASSING.contains(&&**name));
    }
    task
}

/// Takes the answer to a request that makes a task, waits until the task is over, and gives back what lasts of it.
///
/// # Panics
/// If the answer is an error.
#[track_caller]
pub fn finished(client: &Client, answer: anyhow::Result<Answer>) -> impl Future<Output = Value> {
    let caller = std::panic::Location::caller();
    async move {
        let answer = answer.unwrap_or_else(|error| panic!("{caller}: {error:#}"));
        let summary = answer.ok().unwrap_or_else(|error| panic!("{caller}: {error:#}"));
        let uid = summary["taskUid"].as_u64().unwrap_or_else(|| panic!("{caller}: no task: {summary}"));
        lasting(client.wait_for_task(uid).await.unwrap_or_else(|error| panic!("{caller}: {error:#}")))
    }
}
