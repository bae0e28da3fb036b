//! `POST` and `PUT /indexes/{uid}/documents`.

use std::sync::Arc;

use crate::control::WriteKind;
use crate::documents::id::{self, infer_primary_key, primary_key_already_exists};
use crate::documents::payload::{DocumentError, Format, PayloadReader};
use crate::documents::split::Splitter;
use crate::documents::writing::{Fault, IntendedPart, Intent, Writing};
use crate::error::{ApiError, ErrorType, not_supported, payload_too_large, reserved_field};
use crate::exchange::{Answer, CallId, Exchange, Report, RequestHead, Step};
use crate::routing::Routing;

/// Adds, replaces or updates documents.
#[derive(Debug)]
pub struct Write {
    routing: Arc<Routing>,
    head: RequestHead,
    index: String,
    received: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Reading(Box<Reading>),
    Writing(Box<Writing>),
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

/// What the query string says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parameters {
    primary_key: Option<String>,
    has_csv_delimiter: bool,
    /// What the nodes get too.
    passed_on: Vec<(String, String)>,
}

impl Write {
    /// The exchange before any of its body. What is wrong with the head is answered when the body is there.
    pub fn new(routing: Arc<Routing>, head: RequestHead, index: String) -> Write {
        let state = match Reading::new(&routing, &head, &index) {
            Ok(reading) => State::Reading(Box::new(reading)),
            Err(error) => State::Writing(Box::new(refusing(&routing, &head, &index, error))),
        };
        Write { routing, head, index, received: 0, state }
    }

    fn refuse(&mut self, error: ApiError) -> Step {
        let mut writing = Box::new(refusing(&self.routing, &self.head, &self.index, error));
        let step = writing.begin();
        self.state = State::Writing(writing);
        step
    }
}

/// A write that only checks the key before it answers with the error.
fn refusing(routing: &Arc<Routing>, head: &RequestHead, index: &str, error: ApiError) -> Writing {
    let intent = Intent {
        index: index.into(),
        kind: WriteKind::DocumentAdditionOrUpdate,
        primary_key: None,
        received_documents: None,
        provided_ids: None,
        parts: Vec::new(),
        fault: Some(Fault::Request(error)),
    };
    Writing::new(routing.clone(), head.clone(), intent)
}

impl Exchange for Write {
    fn body(&mut self, piece: &[u8], end: bool) -> Step {
        let reading = match &mut self.state {
            State::Reading(reading) => reading,
            // The head was wrong, and the rest of the body doesn't matter.
            State::Writing(writing) if end => return writing.begin(),
            State::Writing(_) => return Step::Wait,
        };
        self.received += piece.len();
        let limit = self.routing.table.policy.body_limit;
        let taken = match self.received > limit {
            true => Err(payload_too_large(limit)),
            false => reading.take(&self.routing, piece),
        };
        match taken.and_then(|()| if end { reading.reader.finish() } else { Ok(()) }) {
            Err(error) => self.refuse(error),
            Ok(()) if end => self.write(),
            Ok(()) => Step::Wait,
        }
    }

    fn answered(&mut self, call: CallId, answer: Option<Answer>) -> Step {
        match &mut self.state {
            State::Reading(_) => Step::Wait,
            State::Writing(writing) => writing.answered(call, answer),
        }
    }

    fn report(&self) -> Report {
        match &self.state {
            State::Reading(_) => Report::default(),
            State::Writing(writing) => writing.report(),
        }
    }
}

impl Write {
    fn write(&mut self) -> Step {
        let parameters = Parameters::parse(self.head.query()).unwrap_or_default();
        let target = parameters.node_target(&self.index);
        let method = if self.head.method == "PUT" { "PUT" } else { "POST" };
        let reading = Reading::empty(&self.routing);
        let State::Reading(reading) = std::mem::replace(&mut self.state, State::Reading(Box::new(reading)))
        else {
            return Step::Wait;
        };
        let parts = match reading.task_error {
            Some(_) => Vec::new(),
            None => reading.splitter.finish().collect(),
        };
        let intent = Intent {
            index: self.index.clone(),
            kind: WriteKind::DocumentAdditionOrUpdate,
            primary_key: reading.primary_key,
            received_documents: Some(reading.documents),
            provided_ids: None,
            parts: parts
                .into_iter()
                .map(|(node, part)| IntendedPart {
                    node,
                    counted: true,
                    shards: part.shards,
                    method,
                    target: target.clone(),
                    content_type: "application/x-ndjson",
                    body: part.body,
                })
                .collect(),
            fault: reading.task_error.map(Fault::Task),
        };
        let mut writing = Box::new(Writing::new(self.routing.clone(), self.head.clone(), intent));
        let step = writing.begin();
        self.state = State::Writing(writing);
        step
    }
}

impl Reading {
    fn empty(routing: &Routing) -> Reading {
        Reading {
            reader: PayloadReader::new(Format::Json),
            splitter: Splitter::new(&routing.table),
            primary_key: None,
            documents: 0,
            task_error: None,
        }
    }

    fn new(routing: &Routing, head: &RequestHead, index: &str) -> Result<Reading, ApiError> {
        let parameters = Parameters::parse(head.query())?;
        let format = format(head, parameters.has_csv_delimiter)?;
        let known = routing.facts(index).primary_key;
        let task_error = match (&known, &parameters.primary_key) {
            (Some(known), Some(wanted)) if known != wanted => Some(primary_key_already_exists(known)),
            _ => None,
        };
        let primary_key = known.or(parameters.primary_key);
        Ok(Reading { reader: PayloadReader::new(format), primary_key, task_error, ..Reading::empty(routing) })
    }

    fn take(&mut self, routing: &Routing, piece: &[u8]) -> Result<(), ApiError> {
        let Reading { reader, splitter, primary_key, documents, task_error } = self;
        reader.push(piece, &mut |document| {
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
        })
    }
}

fn format(head: &RequestHead, has_csv_delimiter: bool) -> Result<Format, ApiError> {
    const ACCEPTED: &str = "Accepted values for the Content-Type header are: \
                            `application/json`, `application/x-ndjson`, `text/csv`";
    if let Some(encoding) = head.header("content-encoding").filter(|encoding| *encoding != "identity") {
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
        "application/json" | "application/x-ndjson" if has_csv_delimiter => Err(error(
            "invalid_content_type",
            format!(
                "The Content-Type `{essence}` does not support the use of a csv delimiter. \
                 The csv delimiter can only be used with the Content-Type `text/csv`."
            ),
        )),
        "application/json" => Ok(Format::Json),
        "application/x-ndjson" => Ok(Format::Ndjson),
        "text/csv" => {
            Err(not_supported("Documents as CSV are not supported yet: send them as JSON or NDJSON."))
        }
        other => {
            Err(error("invalid_content_type", format!("The Content-Type `{other}` is invalid. {ACCEPTED}")))
        }
    }
}

impl Parameters {
    fn parse(query: &str) -> Result<Parameters, ApiError> {
        let mut parameters = Parameters::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "primaryKey" => parameters.primary_key = Some(value.into_owned()),
                "csvDelimiter" => parameters.has_csv_delimiter = true,
                "customMetadata" | "skipCreation" => {
                    parameters.passed_on.push((key.into_owned(), value.into_owned()));
                }
                other => {
                    let message = format!(
                        "Unknown parameter `{other}`: expected one of `primaryKey`, `csvDelimiter`, `customMetadata`, `skipCreation`"
                    );
                    return Err(ApiError::new(400, "bad_request", ErrorType::InvalidRequest, message));
                }
            }
        }
        Ok(parameters)
    }

    fn node_target(&self, index: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let query = query.extend_pairs(&self.passed_on).finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/indexes/{index}/documents{mark}{query}")
    }
}
