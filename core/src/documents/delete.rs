//! `DELETE /indexes/{uid}/documents/{id}` and `POST /indexes/{uid}/documents/delete-batch`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::alias::IndexName;
use crate::control::WriteKind;
use crate::documents::parameters::{Parameters, RefusedHead};
use crate::documents::split::owners;
use crate::documents::tally::Tally;
use crate::documents::writing::{Fault, IntendedPart, Subject, Writing};
use crate::error::{ApiError, ErrorType};
use crate::exchange::{Answer, BodyBuffer, Call, CallId, Exchange, Report, RequestHead, Step};
use crate::router::Destination;
use crate::routing::Routing;
use crate::shard::{ShardId, shard_of};
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
    writing: Writing,
    /// Whether nothing of the body matters any more.
    is_read: bool,
}

impl Delete {
    /// Where a request goes: to its exchange, or to a node that says what is wrong with its head.
    pub fn destination(
        routing: Arc<Routing>,
        head: RequestHead,
        index: IndexName,
        id: Option<String>,
    ) -> Destination {
        let Ok(parameters) = Parameters::of_change(head.query()) else {
            let nothing = if id.is_some() { "" } else { "[]" };
            return RefusedHead::new(routing, head, nothing).into();
        };
        let buffer = BodyBuffer::new(routing.table.policy.body_limit);
        let subject = Subject {
            index: index.clone(),
            kind: WriteKind::DocumentDeletion,
            primary_key: None,
            custom_metadata: parameters.custom_metadata,
            counted_copies: 1,
            details: Value::Null,
        };
        let writing = Writing::new(routing.clone(), head.clone(), subject);
        Delete { routing, head, index: index.uid, id, buffer, writing, is_read: false }.into()
    }

    fn write(&mut self, ids: Result<Vec<String>, ApiError>) -> Step {
        self.is_read = true;
        let ids = match ids {
            Ok(ids) => ids,
            Err(error) => return self.writing.finish(Some(Fault::Request(error))),
        };
        let details = json!({"providedIds": ids.len(), "deletedDocuments": null, "originalFilter": null});
        self.writing.describe(details);
        for part in parts(&self.routing.table, &self.index, &ids) {
            self.writing.add(part);
        }
        self.writing.finish(None)
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
    let mut lists: BTreeMap<(NodeIndex, bool), (Tally, Vec<&String>)> = BTreeMap::new();
    for id in ids {
        let shard = shard_of(id, table.shards);
        let counting = counting_owner(table, shard);
        for node in owners(table, shard) {
            let list = lists.entry((node, counting == Some(node)));
            let (documents, list) = list.or_insert_with(|| (Tally::empty(table.shards), Vec::new()));
            documents.add(shard);
            list.push(id);
        }
    }
    lists
        .into_iter()
        .map(|((node, counted), (documents, ids))| IntendedPart {
            node,
            counted,
            documents,
            method: "POST",
            target: format!("/indexes/{index}/documents/delete-batch"),
            content_type: "application/json",
            body: serde_json::to_vec(&ids).unwrap_or_default(),
        })
        .collect()
}

/// The owner of a shard whose count of documents is the client's: the first that is up and clean.
pub fn counting_owner(table: &RoutingTable, shard: ShardId) -> Option<NodeIndex> {
    let is_up = |&node: &NodeIndex| table.nodes.get(node).is_some_and(|node| node.up);
    let is_good = |node: &NodeIndex| is_up(node) && !table.is_stale(*node, shard);
    owners(table, shard).find(is_good).or_else(|| owners(table, shard).find(is_up))
}

impl Exchange for Delete {
    fn body(&mut self, piece: &[u8], end: bool) -> Step {
        self.writing.read(piece);
        if self.is_read {
            return Step::Wait;
        }
        if let Err(error) = self.buffer.push(piece) {
            return self.write(Err(error));
        }
        if !end {
            return Step::Wait;
        }
        let ids = self.ids();
        self.write(ids)
    }

    fn answered(&mut self, call: CallId, answer: Option<Answer>) -> Step {
        self.writing.answered(call, answer)
    }

    fn testament(&mut self) -> Option<Call> {
        self.writing.testament()
    }

    fn report(&self) -> Report {
        self.writing.report()
    }
}
