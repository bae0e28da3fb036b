//! The documents that requests bring, as JSON, newline-delimited JSON or CSV; the engine takes the second.

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use milli_core::documents::Error;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::{ResponseError, Result};

const ACCEPTED: &str =
    "Accepted values for the Content-Type header are: `application/json`, `application/x-ndjson`, `text/csv`";

/// How documents are written in a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadFormat {
    /// An array of objects, or one object.
    Json,
    /// Objects one after the other.
    Ndjson,
    /// A header, and a line for each document.
    Csv {
        /// What separates the fields of a line.
        delimiter: u8,
    },
}

impl fmt::Display for PayloadFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv { .. } => "csv",
        })
    }
}

/// Why a payload is refused.
enum Refusal {
    /// It is not what it says it is.
    Payload(Error),
    /// A document in it is no object.
    Document(serde_json::Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Payload(error)
    }
}

impl PayloadFormat {
    /// The format that the request says its payload is in.
    pub fn of(headers: &HeaderMap, csv_delimiter: Option<char>) -> Result<Self> {
        let Some(given) = headers.get(CONTENT_TYPE) else {
            let message = format!("A Content-Type header is missing. {ACCEPTED}");
            return Err(ResponseError::new("missing_content_type", message));
        };
        let given = String::from_utf8_lossy(given.as_bytes());
        let media_type = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match (media_type.as_str(), csv_delimiter) {
            ("application/json", None) => Ok(Self::Json),
            ("application/x-ndjson", None) => Ok(Self::Ndjson),
            ("text/csv", delimiter) => match u8::try_from(delimiter.unwrap_or(',')) {
                Ok(delimiter) if delimiter.is_ascii() => Ok(Self::Csv { delimiter }),
                _ => {
                    let found = delimiter.unwrap_or_default();
                    let message = format!("csv delimiter must be an ascii character. Found: `{found}`");
                    Err(ResponseError::new("invalid_document_csv_delimiter", message))
                }
            },
            ("application/json" | "application/x-ndjson", Some(_)) => {
                let message = format!(
                    "The Content-Type `{media_type}` does not support the use of a csv delimiter. The csv delimiter \
                     can only be used with the Content-Type `text/csv`."
                );
                Err(ResponseError::new("invalid_content_type", message))
            }
            _ => {
                let message = format!("The Content-Type `{media_type}` is invalid. {ACCEPTED}");
                Err(ResponseError::new("invalid_content_type", message))
            }
        }
    }

    /// Checks the documents and writes them as newline-delimited JSON. Returns how many they are.
    pub fn read(self, payload: &[u8]) -> Result<(Vec<u8>, u64)> {
        if payload.is_empty() {
            return Err(ResponseError::new("missing_payload", format!("A {self} payload is missing.")));
        }
        match self {
            Self::Json => read_json(payload),
            Self::Ndjson => read_ndjson(payload),
            Self::Csv { delimiter } => read_csv(payload, delimiter).map_err(Refusal::Payload),
        }
        .map_err(|refusal| match refusal {
            Refusal::Payload(error) => self.malformed(error),
            // Meilisearch takes it for a failure of its own.
            Refusal::Document(error) => ResponseError::internal(error),
        })
    }

    fn malformed(self, error: Error) -> ResponseError {
        const KEPT_START: usize = 50;
        const KEPT_END: usize = 85;

        let message = match error {
            Error::Json(error) => {
                let mut reason = match error.classify() {
                    Category::Data => "data are neither an object nor a list of objects".to_string(),
                    _ => error.to_string(),
                };
                // What the user sent may be in the reason, and be as long as can be.
                if reason.len() > KEPT_START + KEPT_END + "...".len() {
                    let start = char_boundary(&reason, KEPT_START);
                    let end = char_boundary(&reason, reason.len() - KEPT_END);
                    reason.replace_range(start..end, "...");
                }
                format!(
                    "The `{self}` payload provided is malformed. `Couldn't serialize document value: {reason}`."
                )
            }
            error => format!("The `{self}` payload provided is malformed: `{error}`."),
        };
        ResponseError::new("malformed_payload", message)
    }
}

/// The last position up to this one at which the text can be cut.
fn char_boundary(text: &str, position: usize) -> usize {
    (0..=position).rev().find(|position| text.is_char_boundary(*position)).unwrap_or(0)
}

/// Appends a document. It has to be an object, which the deserializer has not looked into yet.
fn append(document: &RawValue, documents: &mut Vec<u8>) -> serde_json::Result<()> {
    if !document.get().starts_with('{') {
        serde_json::from_str::<Map<String, Value>>(document.get())?;
    }
    documents.extend_from_slice(document.get().as_bytes());
    documents.push(b'\n');
    Ok(())
}

fn read_json(payload: &[u8]) -> Result<(Vec<u8>, u64), Refusal> {
    /// The documents, how many they are, and why one of them is none.
    struct Documents(Vec<u8>, u64, Option<serde_json::Error>);

    impl<'de> Visitor<'de> for Documents {
        type Value = Self;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a nonempty sequence")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut documents: A) -> Result<Self, A::Error> {
            while let Some(document) = documents.next_element::<&RawValue>()? {
                self.2 = self.2.or(append(document, &mut self.0).err());
                self.1 += 1;
            }
            Ok(self)
        }
    }

    if payload.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        let documents = Documents(Vec::with_capacity(payload.len()), 0, None);
        let Documents(documents, count, refused) =
            serde_json::Deserializer::from_slice(payload).deserialize_seq(documents).map_err(Error::from)?;
        return match refused {
            Some(error) => Err(Refusal::Document(error)),
            None => Ok((documents, count)),
        };
    }
    let document: Map<String, Value> = serde_json::from_slice(payload).map_err(Error::from)?;
    Ok((serde_json::to_vec(&document).map_err(Error::from)?, 1))
}

fn read_ndjson(payload: &[u8]) -> Result<(Vec<u8>, u64), Refusal> {
    let mut documents = Vec::with_capacity(payload.len());
    let mut count = 0;
    for document in serde_json::Deserializer::from_slice(payload).into_iter::<&RawValue>() {
        append(document.map_err(Error::from)?, &mut documents).map_err(Refusal::Document)?;
        count += 1;
    }
    Ok((documents, count))
}

fn read_csv(payload: &[u8], delimiter: u8) -> Result<(Vec<u8>, u64), Error> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(payload);
    let header = reader.headers()?.clone();
    let columns: Vec<_> = header.iter().map(Column::new).collect();
    let mut documents = Vec::with_capacity(payload.len() * 2);
    let mut count = 0;
    for line in reader.records() {
        count += 1;
        let mut document = Map::new();
        for (column, text) in columns.iter().zip(line?.iter()) {
            document.insert(column.name.to_string(), column.kind.read(text, count)?);
        }
        serde_json::to_writer(&mut documents, &document)?;
        documents.push(b'\n');
    }
    Ok((documents, count as u64))
}

/// A column of a CSV payload: `price:number`.
struct Column<'a> {
    name: &'a str,
    kind: ColumnKind,
}

enum ColumnKind {
    String,
    Number,
    Boolean,
}

impl<'a> Column<'a> {
    fn new(header: &'a str) -> Self {
        let (name, kind) = match header.rsplit_once(':') {
            Some((name, "string")) => (name, ColumnKind::String),
            Some((name, "number")) => (name, ColumnKind::Number),
            Some((name, "boolean")) => (name, ColumnKind::Boolean),
            _ => (header, ColumnKind::String),
        };
        Self { name, kind }
    }
}

impl ColumnKind {
    fn read(&self, text: &str, line: usize) -> Result<Value, Error> {
        let value = || text.to_string();
        Ok(match (self, text.trim()) {
            (Self::String, _) if text.is_empty() => Value::Null,
            (Self::String, _) => text.into(),
            (_, "") => Value::Null,
            (Self::Number, number) => match number.parse::<i64>() {
                Ok(integer) => integer.into(),
                Err(_) => {
                    let float = number.parse::<f64>();
                    float.map_err(|error| Error::ParseFloat { error, line, value: value() })?.into()
                }
            },
            (Self::Boolean, boolean) => {
                let boolean = boolean.parse::<bool>();
                boolean.map_err(|error| Error::ParseBool { error, line, value: value() })?.into()
            }
        })
    }
}
