//! Meilisearch's error object: its codes, their types and their HTTP statuses.

use std::fmt;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use milli_core::heed::MdbError;
use milli_core::{SortError, UserError};
use serde::de::Deserializer;
use serde::ser::{SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};

/// An error as Meilisearch words it. The status, the type and the link follow from the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseError {
    /// What went wrong, for people.
    pub message: String,
    /// What went wrong, for programs: `index_not_found`, say.
    pub code: String,
}

/// What a fallible step of the node gives.
pub type Result<T, E = ResponseError> = std::result::Result<T, E>;

impl ResponseError {
    /// An error of this code.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    /// The index does not exist.
    pub fn index_not_found(uid: &str) -> Self {
        Self::new("index_not_found", format!("Index `{uid}` not found."))
    }

    /// The document does not exist.
    pub fn document_not_found(id: &str) -> Self {
        Self::new("document_not_found", format!("Document `{id}` not found."))
    }

    /// A failure that is not the user's.
    pub fn internal(error: impl fmt::Display) -> Self {
        Self::new("internal", error.to_string())
    }

    /// The engine's error, naming the index it happened on.
    pub fn in_index(uid: &str, error: milli_core::Error) -> Self {
        let error = Self::from(error);
        Self { message: format!("Index `{uid}`: {}", error.message), ..error }
    }

    /// The same error under another code.
    pub fn with_code(self, code: &str) -> Self {
        Self { code: code.to_string(), ..self }
    }

    /// The same error, told where in the request it happened.
    pub fn inside(self, place: &str) -> Self {
        Self { message: format!("Inside `{place}`: {}", self.message), ..self }
    }

    /// The HTTP status of the code.
    pub fn status(&self) -> StatusCode {
        match self.code.as_str() {
            "missing_authorization_header" | "missing_master_key" => StatusCode::UNAUTHORIZED,
            "invalid_api_key" => StatusCode::FORBIDDEN,
            "document_not_found" | "index_not_found" | "task_not_found" | "api_key_not_found" => {
                StatusCode::NOT_FOUND
            }
            "index_already_exists" | "api_key_already_exists" => StatusCode::CONFLICT,
            "payload_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
            "invalid_content_type" | "missing_content_type" | "unsupported_media_type" => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            "no_space_left_on_device" | "io_error" | "too_many_open_files" => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            "internal" | "database_size_limit_reached" | "invalid_store_file" => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => StatusCode::BAD_REQUEST,
        }
    }

    fn kind(&self) -> &'static str {
        match self.code.as_str() {
            "missing_authorization_header" | "missing_master_key" | "invalid_api_key" => "auth",
            "no_space_left_on_device" | "io_error" | "too_many_open_files" => "system",
            "internal" | "database_size_limit_reached" | "invalid_store_file" => "internal",
            _ => "invalid_request",
        }
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ResponseError {}

impl Serialize for ResponseError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("ResponseError", 4)?;
        object.serialize_field("message", &self.message)?;
        object.serialize_field("code", &self.code)?;
        object.serialize_field("type", self.kind())?;
        object.serialize_field("link", &format!("https://docs.meilisearch.com/errors#{}", self.code))?;
        object.end()
    }
}

impl<'de> Deserialize<'de> for ResponseError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Stored {
            message: String,
            code: String,
        }
        Stored::deserialize(deserializer).map(|Stored { message, code }| Self { message, code })
    }
}

impl IntoResponse for ResponseError {
    fn into_response(self) -> Response {
        (self.status(), Json(self)).into_response()
    }
}

impl From<milli_core::Error> for ResponseError {
    fn from(error: milli_core::Error) -> Self {
        Self::new(engine_error_code(&error), error.to_string())
    }
}

impl From<UserError> for ResponseError {
    fn from(error: UserError) -> Self {
        milli_core::Error::UserError(error).into()
    }
}

impl From<SortError> for ResponseError {
    fn from(error: SortError) -> Self {
        UserError::SortError(error).into()
    }
}

impl From<milli_core::heed::Error> for ResponseError {
    fn from(error: milli_core::heed::Error) -> Self {
        milli_core::Error::from(error).into()
    }
}

impl From<std::io::Error> for ResponseError {
    fn from(error: std::io::Error) -> Self {
        milli_core::Error::IoError(error).into()
    }
}

impl From<serde_json::Error> for ResponseError {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(error)
    }
}

impl From<tokio::task::JoinError> for ResponseError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::internal(error)
    }
}

fn engine_error_code(error: &milli_core::Error) -> &'static str {
    use UserError::*;

    let user_error = match error {
        milli_core::Error::UserError(error) => error,
        milli_core::Error::IoError(error) => {
            return match error.raw_os_error() {
                Some(5) => "io_error",
                Some(24) => "too_many_open_files",
                Some(28) => "no_space_left_on_device",
                _ => "internal",
            };
        }
        milli_core::Error::InternalError(milli_core::InternalError::Store(MdbError::MapFull)) => {
            return "database_size_limit_reached";
        }
        milli_core::Error::InternalError(_) => return "internal",
    };
    match user_error {
        InvalidStoreFile => "invalid_store_file",
        NoSpaceLeftOnDevice => "no_space_left_on_device",
        MaxDatabaseSizeReached => "database_size_limit_reached",
        AttributeLimitReached => "max_fields_limit_exceeded",
        InvalidFilter(_) | InvalidFilterExpression(..) | FilterOperatorNotAllowed { .. } => {
            "invalid_search_filter"
        }
        MissingDocumentId { .. } => "missing_document_id",
        InvalidDocumentId { .. } | TooManyDocumentIds { .. } => "invalid_document_id",
        MissingDocumentField(_) => "invalid_document_fields",
        NoPrimaryKeyCandidateFound => "index_primary_key_no_candidate_found",
        MultiplePrimaryKeyCandidatesFound { .. } => "index_primary_key_multiple_candidates_found",
        PrimaryKeyCannotBeChanged(_) => "index_primary_key_already_exists",
        InvalidDistinctAttribute { .. } => "invalid_search_distinct",
        SortRankingRuleMissing | InvalidSortableAttribute { .. } | SortError(_) => "invalid_search_sort",
        InvalidFacetsDistribution { .. } => "invalid_search_facets",
        InvalidSearchableAttribute { .. } => "invalid_search_attributes_to_search_on",
        InvalidFacetSearchFacetName { .. } => "invalid_facet_search_facet_name",
        CriterionError(_) => "invalid_settings_ranking_rules",
        InvalidGeoField(_) => "invalid_document_geo_field",
        InvalidVectorDimensions { .. } | InvalidIndexingVectorDimensions { .. } => {
            "invalid_vector_dimensions"
        }
        InvalidVectorsMapType { .. } | InvalidVectorsEmbedderConf { .. } => "invalid_vectors_type",
        TooManyVectors(..) => "too_many_vectors",
        InvalidMinTypoWordLenSetting(..) => "invalid_settings_typo_tolerance",
        InvalidSearchEmbedder(_) => "invalid_search_embedder",
        InvalidSimilarEmbedder(_) => "invalid_similar_embedder",
        VectorEmbeddingError(_) | DocumentEmbeddingError(_) => "vector_embedding_error",
        SerdeJson(_) | EnvAlreadyOpened | DocumentLimitReached | UnknownInternalDocumentId { .. } => {
            "internal"
        }
        DocumentEditionCannotModifyPrimaryKey
        | DocumentEditionDocumentMustBeObject
        | DocumentEditionRuntimeError(_)
        | DocumentEditionCompilationError(_) => "edit_documents_by_function_error",
        // What is left are the settings of embedders.
        _ => "invalid_settings_embedders",
    }
}
