//! `DELETE /indexes/{uid}/documents/{id}` and `POST /indexes/{uid}/documents/delete-batch`.

use std::sync::Arc;

use serde_json::Value;

use crate::control::WriteKind;
use crate::documents::split::owners;
use crate::documents::writing::{Fault, IntendedPart, Intent, Writing, counting_owner};
use crate::error::{ApiError, ErrorType};
use crate::exchange::{Answer, BodyBuffer, CallId, Exchange, Report, RequestHead, Step};
use crate::routing::Routing;
use crate::shard::shard_of;
use crate::shard_set::ShardSet;
use crate::table::{NodeIndex, RoutingTable};

/// Deletes documents by id.
#[derive(Debug)]
pub struct Delete {
    routing: Arc<Routing>,
    head: RequestHead,
    index: String,
    /// The id in the path; `None` if the body lists ids.
    id: Option<String>,
    buffer: BodyBuffer,
    writing: Option<Box<Writing>>,
}

impl Delete {
    /// The exchange before any of its body.
    pub fn new(routing: Arc<Routing>, head: RequestHead, index: String, id: Option<String>) -> Delete {
        let buffer = BodyBuffer::new(routing.table.policy.body_limit);
        Delete { routing, head, index, id, buffer, writing: None }
    }

    fn write(&mut self, ids: Result<Vec<String>, ApiError>) -> Step {
        let (ids, fault) = match ids {
            Ok(ids) => (ids, None),
            Err(error) => (Vec::new(), Some(Fault::Request(error))),
        };
        let intent = Intent {
            index: self.index.clone(),
            kind: WriteKind::DocumentDeletion,
            primary_key: None,
            received_documents: None,
            provided_ids: Some(ids.len() as u64),
            parts: parts(&self.routing.table, &self.index, &ids),
            fault,
        };
        let mut writing = Box::new(Writing::new(self.routing.clone(), self.head.clone(), intent));
        let step = writing.begin();
        self.writing = Some(writing);
        step
    }

    fn ids(&mut self) -> Result<Vec<String>, ApiError> {
        if let Some(id) = &self.id {
            return Ok(vec![id.clone()]);
        }
        let content_type = self.head.header("content-type").filter(|value| !value.is_empty());
        let error =
            |status, code, message: String| ApiError::new(status, code, ErrorType::InvalidRequest, message);
        let accepted = "Accepted values for the Content-Type header are: `application/json`";
        match content_type.map(|value| value.split(';').next().unwrap_or_default().trim()) {
            Some("application/json") => {}
            Some(other) => {
                let message = format!("The Content-Type `{other}` is invalid. {accepted}");
                return Err(error(415, "invalid_content_type", message));
            }
            None => {
                let message = format!("A Content-Type header is missing. {accepted}");
                return Err(error(415, "missing_content_type", message));
            }
        }
        let body = self.buffer.take();
        if body.is_empty() {
            return Err(error(400, "missing_payload", "A json payload is missing.".into()));
        }
        let ids: Vec<Value> = serde_json::from_slice(&body).map_err(|cause| match cause.is_data() {
            true => error(400, "bad_request", format!("Json deserialize error: {cause}")),
            false => {
                error(400, "malformed_payload", format!("The json payload provided is malformed. `{cause}`."))
            }
        })?;
        let text = |id: Value| match id {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(ids.into_iter().map(text).collect())
    }
}

/// One part per node for the documents whose deletion it counts for the client, and one for its other copies.
fn parts(table: &RoutingTable, index: &str, ids: &[String]) -> Vec<IntendedPart> {
    let mut lists: std::collections::BTreeMap<(NodeIndex, bool), (ShardSet, Vec<&String>)> =
        Default::default();
    for id in ids {
        let shard = shard_of(id, table.shards);
        let counting = counting_owner(table, shard);
        for node in owners(table, shard) {
            let list = lists.entry((node, counting == Some(node)));
            let (shards, list) = list.or_insert_with(|| (ShardSet::empty(table.shards), Vec::new()));
            shards.insert(shard);
            list.push(id);
        }
    }
    lists
        .into_iter()
        .map(|((node, counted), (shards, ids))| IntendedPart {
            node,
            counted,
            shards,
            method: "POST",
            target: format!("/indexes/{index}/documents/delete-batch"),
            content_type: "application/json",
            body: serde_json::to_vec(&ids).unwrap_or_default(),
        })
        .collect()
}

impl Exchange for Delete {
    fn body(&mut self, piece: &[u8], end: bool) -> Step {
        if let Err(error) = self.buffer.push(piece) {
            return self.write(Err(error));
        }
        if !end || self.writing.is_some() {
            return Step::Wait;
        }
        let ids = self.ids();
        self.write(ids)
    }

    fn answered(&mut self, call: CallId, answer: Option<Answer>) -> Step {
        self.writing.as_mut().map_or(Step::Wait, |writing| writing.answered(call, answer))
    }

    fn report(&self) -> Report {
        self.writing.as_ref().map(|writing| writing.report()).unwrap_or_default()
    }
}
