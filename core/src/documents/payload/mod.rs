//! Finding the documents in a body that comes in pieces.

mod csv;
mod json;

use crate::error::{ApiError, ErrorType};
use csv::CsvReader;
use json::{JsonReader, Layout};

/// How a body holds its documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An array of objects, or one object.
    Json,
    /// Objects one after the other.
    Ndjson,
    /// A header, and a record for each document.
    Csv {
        /// What separates the fields of a record.
        delimiter: u8,
    },
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Csv { .. } => "csv",
        }
    }
}

/// Splits a body into the texts of its documents. Holds no more of it than one unfinished document.
///
/// It finds where documents begin and end; whether a document is right JSON in itself is for [`super::id::inspect`].
#[derive(Debug)]
pub struct PayloadReader {
    format: Format,
    is_empty: bool,
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    Json(JsonReader),
    Csv(CsvReader),
}

impl PayloadReader {
    /// A reader before any of the body.
    pub fn new(format: Format) -> PayloadReader {
        let reader = match format {
            Format::Json => Reader::Json(JsonReader::new(Layout::Whole)),
            Format::Ndjson => Reader::Json(JsonReader::new(Layout::Lines)),
            Format::Csv { delimiter } => Reader::Csv(CsvReader::new(delimiter)),
        };
        PayloadReader { format, is_empty: true, reader }
    }

    /// How many bytes it holds.
    pub fn held(&self) -> usize {
        match &self.reader {
            Reader::Json(reader) => reader.held(),
            Reader::Csv(reader) => reader.held(),
        }
    }

    /// Takes the next piece and hands out each document that ends in it.
    ///
    /// # Errors
    /// `malformed_payload` as Meilisearch words it, or what `visit` answers: a serde_json error says that the
    /// document is no right JSON.
    pub fn push(
        &mut self,
        piece: &[u8],
        visit: &mut impl FnMut(&str) -> Result<(), DocumentError>,
    ) -> Result<(), ApiError> {
        self.is_empty &= piece.is_empty();
        match &mut self.reader {
            Reader::Json(reader) => reader.push(piece, visit),
            Reader::Csv(reader) => reader.push(piece, visit),
        }
    }

    /// Takes the end of the body, and hands out the last document if only the end shows that it is one.
    ///
    /// # Errors
    /// `missing_payload` if there was no body, `malformed_payload` if it ended too early, or what `visit` answers.
    pub fn finish(
        &mut self,
        visit: &mut impl FnMut(&str) -> Result<(), DocumentError>,
    ) -> Result<(), ApiError> {
        if self.is_empty {
            let message = format!("A {} payload is missing.", self.format.name());
            return Err(ApiError::new(400, "missing_payload", ErrorType::InvalidRequest, message));
        }
        match &mut self.reader {
            Reader::Json(reader) => reader.finish(),
            Reader::Csv(reader) => reader.finish(visit),
        }
    }
}

/// Why a document was not taken.
#[derive(Debug)]
pub enum DocumentError {
    /// It is no right JSON.
    Json(serde_json::Error),
    /// It is refused for what it holds.
    Refused(ApiError),
}

impl From<serde_json::Error> for DocumentError {
    fn from(error: serde_json::Error) -> DocumentError {
        DocumentError::Json(error)
    }
}

fn malformed(message: &str) -> ApiError {
    ApiError::new(400, "malformed_payload", ErrorType::InvalidRequest, message)
}
