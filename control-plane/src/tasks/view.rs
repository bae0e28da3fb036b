//! A task as Meilisearch shows it.

use std::fmt::Write;

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::store::{TaskRecord, TaskSummary};

/// As `GET /tasks/{uid}` shows it.
pub fn task(task: &TaskRecord) -> Value {
    let mut view = json!({
        "uid": task.uid,
        "batchUid": task.batch_uid(),
        "indexUid": task.index_uid,
        "status": task.status,
        "type": task.kind,
        "canceledBy": task.canceled_by,
        "details": task.details,
        "error": task.error.as_ref().filter(|_| task.status.is_final()),
        "duration": duration(task.started_at, task.finished_at),
        "enqueuedAt": rfc_3339(task.enqueued_at),
        "startedAt": task.started_at.map(rfc_3339),
        "finishedAt": task.finished_at.map(rfc_3339),
    });
    let Some(fields) = view.as_object_mut() else { return view };
    if task.details.is_null() {
        fields.shift_remove("details");
    }
    if let Some(metadata) = &task.custom_metadata {
        fields.insert("customMetadata".into(), metadata.as_str().into());
    }
    view
}

/// As a 202 shows it: always as it was when it was enqueued.
pub fn summary(task: impl Into<TaskSummary>) -> Value {
    let task: TaskSummary = task.into();
    let mut view = json!({
        "taskUid": task.uid,
        "indexUid": task.index_uid,
        "status": "enqueued",
        "type": task.kind,
        "enqueuedAt": rfc_3339(task.enqueued_at),
    });
    if let (Some(metadata), Some(fields)) = (&task.custom_metadata, view.as_object_mut()) {
        fields.insert("customMetadata".into(), metadata.as_str().into());
    }
    view
}

/// How long it took, once it is over.
pub fn duration(started_at: Option<OffsetDateTime>, finished_at: Option<OffsetDateTime>) -> Option<String> {
    let duration = started_at.zip(finished_at).map(|(started, finished)| finished - started);
    duration.filter(|duration| !duration.is_negative()).map(iso_8601)
}

/// A date as Meilisearch writes it.
pub fn rfc_3339(date: OffsetDateTime) -> String {
    date.format(&Rfc3339).unwrap_or_default()
}

fn iso_8601(duration: Duration) -> String {
    let days = duration.whole_days();
    let seconds = (duration - Duration::days(days)).whole_seconds();
    let nanoseconds = duration.subsec_nanoseconds();
    let mut text = "P".to_owned();
    let result = match (days, seconds, nanoseconds) {
        (0, seconds, nanoseconds) => write_time(&mut text, seconds, nanoseconds),
        (days, 0, 0) => write!(text, "{days}D"),
        (days, seconds, nanoseconds) => {
            write!(text, "{days}D").and_then(|()| write_time(&mut text, seconds, nanoseconds))
        }
    };
    debug_assert!(result.is_ok(), "writing to a string can't fail");
    text
}

fn write_time(text: &mut String, seconds: i64, nanoseconds: i32) -> std::fmt::Result {
    match nanoseconds {
        0 => write!(text, "T{seconds}S"),
        n if n % 1_000_000 == 0 => write!(text, "T{seconds}.{:03}S", n / 1_000_000),
        n if n % 1_000 == 0 => write!(text, "T{seconds}.{:06}S", n / 1_000),
        n => write!(text, "T{seconds}.{n:09}S"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_meilisearch_writes_them() {
        assert_eq!(iso_8601(Duration::ZERO), "PT0S");
        assert_eq!(iso_8601(Duration::microseconds(20_061)), "PT0.020061S");
        assert_eq!(iso_8601(Duration::nanoseconds(285_626)), "PT0.000285626S");
        assert_eq!(iso_8601(Duration::milliseconds(1_500)), "PT1.500S");
        assert_eq!(iso_8601(Duration::days(1)), "P1D");
        assert_eq!(iso_8601(Duration::hours(25)), "P1DT3600S");
    }
}
