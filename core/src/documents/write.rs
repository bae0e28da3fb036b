//! `POST` and `PUT /indexes/{uid}/documents`.
//!
//! A body of up to two parts' size is checked whole before a node is called. What is longer goes to the nodes in parts
//! while it comes, so that the filter holds only what is not sent yet.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::alias::IndexName;
use crate::control::WriteKind;
use crate::documents::id::{self, infer_primary_key, primary_key_already_exists};
use crate::documents::parameters::{Parameters, RefusedHead};
use crate::documents::payload::{DocumentError, Format, PayloadReader};
use crate::documents::split::Splitter;
use crate::documents::waiting::Waiting;
use crate::documents::writing::{Fault, IntendedPart, Subject, Writing};
use crate::error::{
    ApiError, ErrorType, not_supported, payload_too_large, reserved_field, write_buffer_full,
};
use crate::exchange::{Answer, Call, CallId, Exchange, Report, RequestHead, Step};
use crate::router::Destination;
use crate::routing::Routing;

/// Adds, replaces or updates documents.
#[derive(Debug)]
pub struct Write {
    routing: Arc<Routing>,
    /// What is wrong with the head.
    head_error: Option<ApiError>,
    /// `None` once nothing of the body matters any more.
    reading: Option<Reading>,
    received: usize,
    writing: Writing,
    has_begun: bool,
    waiting: Waiting,
    method: &'static str,
    target: String,
}

/// What of the body was read so far.
#[derive(Debug)]
struct Reading {
    reader: PayloadReader,
    splitter: Splitter,
    primary_key: Option<String>,
    documents: u64,
    /// The first document that Meilisearch would fail the task for.
    task_error: Option<ApiError>,
}

impl Write {
    /// Where a request goes: to its exchange, or to a node that says what is wrong with its head.
    pub fn destination(routing: Arc<Routing>, head: RequestHead, index: IndexName) -> Destination {
        let Ok(parameters) = Parameters::of_addition(head.query()) else {
            return RefusedHead::new(routing, head, "").into();
        };
        let (format, head_error) = match format(&head, parameters.csv_delimiter) {
            Ok(format) => (Some(format), None),
            Err(error) => (None, Some(error)),
        };
        let method = if head.method == "PUT" { "PUT" } else { "POST" };
        let target = node_target(&index.uid, &parameters);
        let wanted = parameters.primary_key;
        let reading = format.map(|format| Reading::new(&routing, &index.uid, format, wanted));
        let subject = Subject {
            index,
            kind: WriteKind::DocumentAdditionOrUpdate,
            primary_key: None,
            custom_metadata: parameters.custom_metadata,
            counted_copies: 1,
            details: Value::Null,
        };
        let writing = Writing::new(routing.clone(), head, subject);
        let waiting = Waiting::default();
        let write = Write {
            routing,
            head_error,
            reading,
            received: 0,
            writing,
            has_begun: false,
            waiting,
            method,
            target,
        };
        write.into()
    }

    fn take(&mut self, piece: &[u8], end: bool) -> Result<(), ApiError> {
        let Some(reading) = &mut self.reading else { return Ok(()) };
        self.received += piece.len();
        let policy = &self.routing.table.policy;
        if self.received > policy.body_limit {
            return Err(payload_too_large(policy.body_limit));
        }
        reading.take(&self.routing, piece, end)?;
        let held = reading.reader.held() + reading.splitter.held() + self.writing.held();
        if self.waiting.set(held) > policy.write_buffer_limit {
            return Err(write_buffer_full(policy.write_buffer_limit));
        }
        Ok(())
    }

    /// Ends the write before its end.
    fn refuse(&mut self, error: ApiError) -> Step {
        self.reading = None;
        self.waiting.set(0);
        self.writing.finish(Some(Fault::Request(error)))
    }

    /// Hands the writing what the nodes may get now, and lets it go on.
    fn send(&mut self, end: bool) -> Step {
        let Some(reading) = &mut self.reading else { return Step::Wait };
        let part_size = self.routing.table.policy.write_part_size.max(1);
        self.writing.describe(json!({"receivedDocuments": reading.documents, "indexedDocuments": null}));
        if reading.task_error.is_some() {
            // The rest is read only to see whether it is right.
            self.writing.stop_sending();
        } else {
            let is_long = self.received > part_size.saturating_mul(2);
            if !(end || is_long && reading.primary_key.is_some()) {
                return Step::Wait;
            }
            for (node, part) in reading.splitter.take(if end { 1 } else { part_size }) {
                self.writing.add(IntendedPart {
                    node,
                    counted: true,
                    documents: part.documents,
                    method: self.method,
                    target: self.target.clone(),
                    content_type: "application/x-ndjson",
                    body: part.body,
                });
            }
        }
        if !self.has_begun {
            self.writing.set_primary_key(reading.primary_key.clone());
        }
        let step = if end {
            let fault = reading.task_error.take().map(Fault::Task);
            self.reading = None;
            self.writing.finish(fault)
        } else if reading.task_error.is_some() || self.has_begun {
            self.writing.proceed()
        } else {
            self.writing.begin()
        };
        self.has_begun |= matches!(step, Step::Call(_));
        self.waiting.set(self.held());
        step
    }

    fn held(&self) -> usize {
        let reading = self.reading.as_ref();
        reading.map_or(0, |reading| reading.reader.held() + reading.splitter.held()) + self.writing.held()
    }
}

impl Exchange for Write {
    fn body(&mut self, piece: &[u8], end: bool) -> Step {
        self.writing.read(piece);
        if self.reading.is_none() {
            // Its end is waited for, as Meilisearch does.
            return match self.head_error.take_if(|_| end) {
                Some(error) => self.refuse(error),
                None => Step::Wait,
            };
        }
        match self.take(piece, end) {
            Ok(()) => self.send(end),
            Err(error) => self.refuse(error),
        }
    }

    fn broken(&mut self, error: ApiError) -> Step {
        match self.reading {
            Some(_) => self.refuse(error),
            None => Step::Wait,
        }
    }

    fn answered(&mut self, call: CallId, answer: Option<Answer>) -> Step {
        let step = self.writing.answered(call, answer);
        if self.writing.is_whole() {
            self.reading = None;
        }
        self.waiting.set(self.held());
        step
    }

    fn testament(&mut self) -> Option<Call> {
        self.writing.testament()
    }

    fn report(&self) -> Report {
        self.writing.report()
    }
}

impl Reading {
    fn new(routing: &Routing, index: &str, format: Format, wanted: Option<String>) -> Reading {
        let known = routing.facts(index).primary_key;
        let task_error = match (&known, &wanted) {
            (Some(known), Some(wanted)) if known != wanted => Some(primary_key_already_exists(known)),
            _ => None,
        };
        Reading {
            reader: PayloadReader::new(format),
            splitter: Splitter::new(&routing.table),
            primary_key: known.or(wanted),
            documents: 0,
            task_error,
        }
    }

    fn take(&mut self, routing: &Routing, piece: &[u8], end: bool) -> Result<(), ApiError> {
        let Reading { reader, splitter, primary_key, documents, task_error } = self;
        let mut visit = |document: &str| {
            *documents += 1;
            if primary_key.is_none() && task_error.is_none() {
                match infer_primary_key(&id::fields(document)?) {
                    Ok(inferred) => *primary_key = Some(inferred),
                    Err(error) => *task_error = Some(error),
                }
            }
            // Without a primary key the document is still checked, to the end of the body.
            let key = primary_key.as_deref().unwrap_or_default();
            let inspected = id::inspect(document, key)?;
            if let Some(field) = inspected.reserved {
                return Err(DocumentError::Refused(reserved_field(&field)));
            }
            if task_error.is_some() {
                return Ok(());
            }
            match inspected.id {
                Ok(id) => splitter.add(&routing.table, document, &id),
                Err(error) => *task_error = Some(error.into_task_error(key, document)),
            }
            Ok(())
        };
        reader.push(piece, &mut visit)?;
        if end { reader.finish(&mut visit) } else { Ok(()) }
    }
}

fn format(head: &RequestHead, csv_delimiter: Option<u8>) -> Result<Format, ApiError> {
    const ACCEPTED: &str = "Accepted values for the Content-Type header are: \
                            `application/json`, `application/x-ndjson`, `text/csv`";
    // What Meilisearch doesn't know it takes for no encoding.
    if let Some(encoding) = head.header("content-encoding").filter(|name| ["br", "zstd"].contains(name)) {
        return Err(not_supported(format!(
            "The body is encoded with `{encoding}`: put Envoy's decompressor filter before miroir, or send it plain."
        )));
    }
    let error = |code, message: String| ApiError::new(415, code, ErrorType::InvalidRequest, message);
    let Some(content_type) = head.header("content-type").filter(|value| !value.is_empty()) else {
        return Err(error("missing_content_type", format!("A Content-Type header is missing. {ACCEPTED}")));
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    match essence {
        "application/json" | "application/x-ndjson" if csv_delimiter.is_some() => Err(error(
            "invalid_content_type",
            format!(
                "The Content-Type `{essence}` does not support the use of a csv delimiter. \
                 The csv delimiter can only be used with the Content-Type `text/csv`."
            ),
        )),
        "application/json" => Ok(Format::Json),
        "application/x-ndjson" => Ok(Format::Ndjson),
        "text/csv" => Ok(Format::Csv { delimiter: csv_delimiter.unwrap_or(b',') }),
        other => {
            Err(error("invalid_content_type", format!("The Content-Type `{other}` is invalid. {ACCEPTED}")))
        }
    }
}

/// What the nodes are asked: they get neither the primary key, which is theirs already, nor CSV.
fn node_target(index: &str, parameters: &Parameters) -> String {
    let mut target = format!("/indexes/{index}/documents");
    if parameters.skip_creation == Some(true) {
        target.push_str("?skipCreation=true");
    }
    target
}
