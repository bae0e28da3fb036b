//! Changes of documents that the nodes find by themselves: `POST /indexes/{uid}/documents/delete` and `…/edit`, and
//! `DELETE /indexes/{uid}/documents`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::alias::IndexName;
use crate::any_node::{AnyNode, Expect};
use crate::control::WriteKind;
use crate::documents::filtered::{Selection, copies, everything, has_conditions, narrowed};
use crate::documents::function;
use crate::documents::parameters::{Parameters, RefusedHead};
use crate::documents::writing::{Fault, IntendedPart, Subject, Writing};
use crate::error::ApiError;
use crate::exchange::{Answer, BodyBuffer, Call, CallId, Exchange, Report, RequestHead, Step};
use crate::router::Destination;
use crate::routing::Routing;
use crate::table::RoutingTable;

/// What is done to the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// All are deleted.
    Clear,
    /// Those that a filter selects are deleted.
    Delete,
    /// Those that a filter selects, or all, are edited by a function.
    Edit,
}

/// Has every node change its documents.
#[derive(Debug)]
pub struct Change {
    routing: Arc<Routing>,
    action: Action,
    index: String,
    buffer: BodyBuffer,
    /// Who says what is wrong with the body.
    refusing: AnyNode,
    state: State,
    writing: Writing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    Refusing,
    Writing,
}

/// A change as the nodes are to do it.
struct Plan {
    details: Value,
    counted_copies: u64,
    parts: Vec<IntendedPart>,
}

/// Why there is no plan.
enum NoPlan {
    /// A node refuses the body too, and says why.
    NodeSaysWhy,
    /// For this.
    Because(ApiError),
}

impl Change {
    /// Where a request goes: to its exchange, or to a node that says what is wrong with its head.
    pub fn destination(
        routing: Arc<Routing>,
        head: RequestHead,
        index: IndexName,
        action: Action,
    ) -> Destination {
        let is_json = || {
            let content_type = head.header("content-type").unwrap_or_default();
            content_type.split(';').next().unwrap_or_default().trim() == "application/json"
        };
        let parameters = Parameters::of_change(head.query());
        let parameters = parameters.ok().filter(|_| action == Action::Clear || is_json());
        let Some(parameters) = parameters else { return RefusedHead::new(routing, head, "").into() };
        let kind = match action {
            Action::Clear | Action::Delete => WriteKind::DocumentDeletion,
            Action::Edit => WriteKind::DocumentEdition,
        };
        let subject = Subject {
            index: index.clone(),
            kind,
            primary_key: None,
            custom_metadata: parameters.custom_metadata,
            counted_copies: 1,
            details: Value::Null,
        };
        let change = Change {
            buffer: BodyBuffer::new(routing.table.policy.body_limit),
            refusing: AnyNode::new(routing.clone(), head.clone(), Expect::Refusal),
            writing: Writing::new(routing.clone(), head, subject),
            routing,
            action,
            index: index.uid,
            state: State::Reading,
        };
        change.into()
    }

    fn begin(&mut self) -> Step {
        let body = self.buffer.take();
        let table = &self.routing.table;
        let plan = match self.action {
            Action::Clear => Ok(clear(table, &self.index)),
            Action::Delete => delete(table, &self.index, &body),
            Action::Edit => edit(table, &self.index, &body),
        };
        match plan {
            Ok(plan) => {
                self.state = State::Writing;
                self.writing.describe(plan.details);
                self.writing.count_copies(plan.counted_copies);
                plan.parts.into_iter().for_each(|part| self.writing.add(part));
                self.writing.finish(None)
            }
            Err(NoPlan::NodeSaysWhy) => {
                self.state = State::Refusing;
                self.refusing.begin(body)
            }
            Err(NoPlan::Because(error)) => self.refuse(error),
        }
    }

    fn refuse(&mut self, error: ApiError) -> Step {
        self.state = State::Writing;
        self.writing.finish(Some(Fault::Request(error)))
    }
}

impl Exchange for Change {
    fn body(&mut self, piece: &[u8], end: bool) -> Step {
        self.writing.read(piece);
        if self.state != State::Reading {
            return Step::Wait;
        }
        match self.buffer.push(piece) {
            Err(error) => self.refuse(error),
            Ok(()) if end => self.begin(),
            Ok(()) => Step::Wait,
        }
    }

    fn answered(&mut self, call: CallId, answer: Option<Answer>) -> Step {
        match self.state {
            State::Reading => Step::Wait,
            State::Refusing => self.refusing.answered(call, answer),
            State::Writing => match self.writing.answered(call, answer) {
                Step::Reply(mut reply) if self.action == Action::Edit && reply.status == 400 => {
                    reply.body = function::in_clients_lines_of_json(reply.body);
                    Step::Reply(reply)
                }
                step => step,
            },
        }
    }

    fn testament(&mut self) -> Option<Call> {
        self.writing.testament()
    }

    fn report(&self) -> Report {
        match self.state {
            State::Refusing => self.refusing.report(),
            State::Reading | State::Writing => self.writing.report(),
        }
    }
}

/// Where copies can be told from originals by their number, nodes need not look for the documents.
fn clear(table: &RoutingTable, index: &str) -> Plan {
    let details = json!({"deletedDocuments": null});
    let copies = copies(table);
    let part = |selection: Selection| match copies {
        Some(_) => part(selection, "DELETE", format!("/indexes/{index}/documents"), Vec::new()),
        None => {
            // Every document has a tag, so this selects them all.
            let filter =
                selection.clause.clone().unwrap_or_else(|| table.tags().clause(selection.shards.shards()));
            let body = json!({"filter": filter}).to_string().into_bytes();
            part(selection, "POST", format!("/indexes/{index}/documents/delete"), body)
        }
    };
    let mut selections = everything(table);
    if copies.is_some() {
        selections = whole_nodes(selections);
    }
    let parts = selections.into_iter().map(part).collect();
    Plan { details, counted_copies: copies.unwrap_or(1), parts }
}

/// One counted selection for each node, of all it has.
fn whole_nodes(selections: Vec<Selection>) -> Vec<Selection> {
    let mut nodes: Vec<Selection> = Vec::new();
    for selection in selections {
        match nodes.last_mut().filter(|last| last.node == selection.node) {
            Some(last) => last.shards.add_all(&selection.shards),
            None => nodes.push(Selection { counted: true, clause: None, ..selection }),
        }
    }
    nodes
}

fn delete(table: &RoutingTable, index: &str, body: &[u8]) -> Result<Plan, NoPlan> {
    let request = object(body)?;
    let filter = request.get("filter").filter(|filter| has_conditions(filter)).ok_or(NoPlan::NodeSaysWhy)?;
    let details = json!({"providedIds": 0, "deletedDocuments": null, "originalFilter": filter.to_string()});
    let parts = everything(table).into_iter().map(|selection| {
        let mut request = request.clone();
        request.insert("filter".into(), narrowed(Some(filter), selection.clause.clone()));
        let body = Value::Object(request).to_string().into_bytes();
        part(selection, "POST", format!("/indexes/{index}/documents/delete"), body)
    });
    Ok(Plan { details, counted_copies: 1, parts: parts.collect() })
}

fn edit(table: &RoutingTable, index: &str, body: &[u8]) -> Result<Plan, NoPlan> {
    let request = object(body)?;
    let filter = request.get("filter").filter(|filter| !filter.is_null());
    let function = request.get("function").and_then(Value::as_str).ok_or(NoPlan::NodeSaysWhy)?;
    if filter.is_some_and(|filter| !has_conditions(filter)) {
        return Err(NoPlan::NodeSaysWhy);
    }
    let guarded = function::guarded(function).map_err(NoPlan::Because)?;
    let details = json!({
        "deletedDocuments": null,
        "editedDocuments": null,
        "context": request.get("context"),
        "function": function,
        "originalFilter": filter.map(Value::to_string),
    });
    let parts = everything(table).into_iter().map(|selection| {
        let mut request = request.clone();
        request.insert("function".into(), guarded.clone().into());
        request.insert("filter".into(), narrowed(filter, selection.clause.clone()));
        let body = Value::Object(request).to_string().into_bytes();
        part(selection, "POST", format!("/indexes/{index}/documents/edit"), body)
    });
    Ok(Plan { details, counted_copies: 1, parts: parts.collect() })
}

fn object(body: &[u8]) -> Result<Map<String, Value>, NoPlan> {
    serde_json::from_slice(body).map_err(|_| NoPlan::NodeSaysWhy)
}

fn part(selection: Selection, method: &'static str, target: String, body: Vec<u8>) -> IntendedPart {
    IntendedPart {
        node: selection.node,
        counted: selection.counted,
        documents: selection.shards,
        method,
        target,
        content_type: "application/json",
        body,
    }
}
