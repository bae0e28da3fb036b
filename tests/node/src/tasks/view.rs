//! Tasks as the API shows them.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Operation, Task};

/// A task as `/tasks` shows it.
pub fn task(task: &Task) -> Value {
    let duration = task.started_at.zip(task.finished_at).map(|(start, end)| iso_8601(end - start));
    let mut view = json!({
        "uid": task.uid,
        "batchUid": task.batch_uid,
        "indexUid": task.index_uid,
        "status": task.status,
        "type": task.operation.kind(),
        "canceledBy": task.canceled_by,
        "details": task.details,
        "error": task.error,
        "duration": duration,
        "enqueuedAt": date(task.enqueued_at),
        "startedAt": task.started_at.map(date),
        "finishedAt": task.finished_at.map(date),
    });
    if matches!(task.operation, Operation::SnapshotCreation)
        && let Some(fields) = view.as_object_mut()
    {
        fields.shift_remove("details");
    }
    with_metadata(&mut view, task);
    view
}

/// A task as the write that made it answers with.
pub fn summary(task: &Task) -> Value {
    let mut view = json!({
        "taskUid": task.uid,
        "indexUid": task.index_uid,
        "status": task.status,
        "type": task.operation.kind(),
        "enqueuedAt": date(task.enqueued_at),
    });
    with_metadata(&mut view, task);
    view
}

fn with_metadata(view: &mut Value, task: &Task) {
    if let Some(metadata) = &task.custom_metadata {
        view["customMetadata"] = metadata.as_str().into();
    }
}

/// A date as Meilisearch writes it.
pub fn date(date: OffsetDateTime) -> Value {
    date.format(&Rfc3339).map_or(Value::Null, Value::from)
}

/// A duration as Meilisearch writes it: seconds alone, at least with nine decimals when there are any.
pub fn iso_8601(duration: time::Duration) -> String {
    let (seconds, nanoseconds) = (duration.whole_seconds(), duration.subsec_nanoseconds());
    let fraction = format!("{nanoseconds:09}");
    match fraction.trim_end_matches('0') {
        "" => format!("PT{seconds}S"),
        fraction => format!("PT{seconds}.{fraction}S"),
    }
}
