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

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for ApiError {}
