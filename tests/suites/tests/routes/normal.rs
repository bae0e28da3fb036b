//! What is the same of an answer on every server.

use serde_json::Value;

/// Numbers and texts that differ from run to run, by the name of their field.
const PASSING: [&str; 17] = [
    "duration",
    "taskUid",
    "batchUid",
    "canceledBy",
    "from",
    "next",
    "processingTimeMs",
    "databaseSize",
    "usedDatabaseSize",
    "rawDocumentDbSize",
    "avgDocumentSize",
    "commitSha",
    "commitDate",
    "dumpUid",
    "preCompactionSize",
    "postCompactionSize",
    "batchStrategy",
];

/// Measurements that only some servers take.
const ADDED: [&str; 4] =
    ["progressTrace", "writeChannelCongestion", "internalDatabaseSizes", "embedderRequests"];

/// The answer without what differs from run to run. What was there stays there, so that a missing field still shows.
pub fn normal(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(name, _)| !ADDED.contains(&&**name))
            .map(|(name, value)| {
                let passes = PASSING.contains(&&*name) || name == "uid" && value.is_u64();
                let value = if passes && !value.is_null() { "<passing>".into() } else { normal(value) };
                (name, value)
            })
            .collect(),
        Value::Array(values) => values.into_iter().map(normal).collect(),
        Value::String(text) => normal_text(&text).or_else(|| without_uid(&text)).unwrap_or(text).into(),
        value => value,
    }
}

/// A message without the uid that a server gave to a webhook.
fn without_uid(text: &str) -> Option<String> {
    let (before, rest) = text.split_once("webhook `")?;
    let (uid, after) = rest.split_at_checked(36)?;
    Some(format!("{before}webhook `{}{after}", normal_text(uid)?))
}

/// What stands for a text that differs from run to run.
fn normal_text(text: &str) -> Option<String> {
    let has_shape = |shape: &str| {
        text.len() == shape.len()
            && text.bytes().zip(shape.bytes()).all(|(found, shape)| match shape {
                b'x' => found.is_ascii_hexdigit(),
                b'9' => found.is_ascii_digit(),
                shape => found == shape,
            })
    };
    // Tests give their own uids zeros to begin with.
    if has_shape("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") && !text.starts_with("00000000-") {
        return Some("<uuid>".to_owned());
    }
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some("<key>".to_owned());
    }
    // Dates that a test gives are whole seconds.
    let (date, fraction) = text.split_at_checked(19)?;
    let is_date = date.bytes().zip("9999-99-99T99:99:99".bytes()).all(|(found, shape)| match shape {
        b'9' => found.is_ascii_digit(),
        shape => found == shape,
    });
    (is_date && fraction.starts_with('.') && fraction.ends_with('Z')).then(|| "<date>".to_owned())
}

#[test]
fn what_passes_is_set_aside_and_the_rest_is_not() {
    let answer = serde_json::json!({
        "uid": 7, "startedAt": "2025-01-01T10:00:00.123456Z", "expiresAt": "2999-01-01T00:00:00Z",
        "requestUid": "01990000-0000-7000-8000-000000000000", "limit": 20, "from": null, "duration": "PT0.1S",
    });
    let expected = serde_json::json!({
        "uid": "<passing>", "startedAt": "<date>", "expiresAt": "2999-01-01T00:00:00Z", "requestUid": "<uuid>",
        "limit": 20, "from": null, "duration": "<passing>",
    });
    assert_eq!(normal(answer), expected);
}
