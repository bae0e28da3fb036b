//! Errors in Meilisearch's shape: `message`, `code`, `type`, `link`.
//!
//! Format and codes: <https://www.meilisearch.com/docs/reference/errors/error_codes>.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What kind of error a code is; decides its `type` and, with the code, its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorType {
    /// The request is at fault.
    InvalidRequest,
    /// The server is at fault.
    Internal,
    /// The key is at fault.
    Auth,
    /// Something outside Meilisearch is at fault.
    System,
}

/// An error as Meilisearch answers it, with the HTTP status it is sent with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// What went wrong and what to do, for a person.
    pub message: String,
    /// The stable name of the error.
    pub code: Cow<'static, str>,
    /// The kind of the error.
    #[serde(rename = "type")]
    pub kind: ErrorType,
    /// Where the code is explained.
    pub link: String,
    /// The HTTP status; not part of the body.
    #[serde(skip, default = "internal_server_error")]
    pub status: u16,
}

fn internal_server_error() -> u16 {
    500
}

impl ApiError {
    /// An error with one of Meilisearch's codes, or one of Miroir's own (`miroir_…`).
    pub fn new(status: u16, code: &'static str, kind: ErrorType, message: impl Into<String>) -> ApiError {
        let page = match code.starts_with("miroir_") {
            true => "docs/errors.md",
            false => "https://docs.meilisearch.com/errors",
        };
        let link = format!("{page}#{code}");
        ApiError { message: message.into(), code: Cow::Borrowed(code), kind, link, status }
    }

    /// The body to send.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The body is over the limit, in bytes.
pub fn payload_too_large(limit: usize) -> ApiError {
    let message = format!(
        "The provided payload reached the size limit. The maximum accepted payload size is {}.",
        size(limit)
    );
    ApiError::new(413, "payload_too_large", ErrorType::InvalidRequest, message)
}

/// A size in the largest unit in which it is at least one: binary units where it is a multiple of 1024.
fn size(bytes: usize) -> String {
    match bytes % 1024 {
        0 => binary_size(bytes as u64),
        _ => size_in(bytes as u64, 1000.0, ["B", "KB", "MB", "GB", "TB"]),
    }
}

/// A size in the largest binary unit in which it is at least one, with up to two decimals: `1.5 KiB`.
pub fn binary_size(bytes: u64) -> String {
    size_in(bytes, 1024.0, ["B", "KiB", "MiB", "GiB", "TiB"])
}

fn size_in(bytes: u64, step: f64, units: [&str; 5]) -> String {
    let mut value = bytes as f64;
    let mut unit = units[0];
    for larger in &units[1..] {
        if value < step {
            break;
        }
        value /= step;
        unit = larger;
    }
    let number = format!("{value:.2}");
    format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
}

/// The index uid is none.
pub fn invalid_index_uid(uid: &str) -> ApiError {
    let message = format!(
        "`{uid}` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric \
         characters, hyphens (-) and underscores (_), and can not be more than 512 bytes."
    );
    ApiError::new(400, "invalid_index_uid", ErrorType::InvalidRequest, message)
}

/// The longest index uid in bytes that Meilisearch takes, whatever its message says.
const INDEX_UID_LIMIT: usize = 400;

/// Whether Meilisearch takes it as an index uid.
pub fn is_index_uid(uid: &str) -> bool {
    !uid.is_empty()
        && uid.len() <= INDEX_UID_LIMIT
        && uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// No copy of some shard can be read.
pub fn shard_unavailable(shards: &str) -> ApiError {
    let message = format!(
        "No copy of shard {shards} can be read now: the nodes that hold it are down or did not answer. \
         Retry, or see `GET /_miroir/topology` on the admin port for the nodes' health."
    );
    ApiError::new(503, "miroir_shard_unavailable", ErrorType::System, message)
}

/// Too few owners of a shard enqueued a write.
pub fn no_quorum(reason: &str) -> ApiError {
    let message = format!(
        "Too few copies of a shard took the write, so it is not acknowledged: {reason}. \
         Retry when the nodes are back; writing the same documents again does no harm."
    );
    ApiError::new(503, "miroir_no_quorum", ErrorType::System, message)
}

/// The control plane does not answer.
pub fn control_plane_unavailable() -> ApiError {
    let message = "The control plane does not answer. Searches and reads of documents go on; \
                   all else has to wait until it is back: retry then.";
    ApiError::new(503, "miroir_control_plane_unavailable", ErrorType::System, message)
}

/// The request was routed by a table that is out of date.
pub fn routing_stale() -> ApiError {
    let message = "The routing table changed while the request was under way, so the write is not acknowledged. \
                   Retry: the new table is used at once.";
    ApiError::new(503, "miroir_routing_stale", ErrorType::System, message)
}

/// More of writes would wait for nodes than may.
pub fn write_buffer_full(limit: usize) -> ApiError {
    let message = format!(
        "The nodes do not take documents as fast as they come: more than {} would wait in Envoy. \
         Send fewer at once or more slowly, or raise `write_buffer_limit`.",
        size(limit)
    );
    ApiError::new(503, "miroir_write_buffer_full", ErrorType::System, message)
}

/// A write ended before its end.
pub fn write_interrupted() -> ApiError {
    let message = "The client went away before its request was answered.";
    ApiError::new(400, "miroir_write_interrupted", ErrorType::InvalidRequest, message)
}

/// The index does not exist.
pub fn index_not_found(index: &str) -> ApiError {
    ApiError::new(404, "index_not_found", ErrorType::InvalidRequest, format!("Index `{index}` not found."))
}

/// A document of the client's has a field that is Miroir's own.
pub fn reserved_field(field: &str) -> ApiError {
    let message =
        format!("The field `{field}` can't be used: names that begin with `_miroir_` are reserved.");
    ApiError::new(400, "miroir_reserved_field", ErrorType::InvalidRequest, message)
}

/// Miroir does not do this.
pub fn not_supported(message: impl Into<String>) -> ApiError {
    ApiError::new(501, "miroir_not_supported", ErrorType::InvalidRequest, message)
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for ApiError {}
