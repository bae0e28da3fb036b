//! A request that any node can answer as it came.

use std::sync::Arc;

use crate::error::{ApiError, ErrorType, shard_unavailable};
use crate::exchange::{Answer, BodyBuffer, CallId, Exchange, Reply, Report, RequestHead, Step};
use crate::hide;
use crate::routing::{NodeRequest, Routing};
use crate::table::NodeIndex;

/// What the answer of the one node is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It is the answer.
    Answer,
    /// The request is one that a node refuses, and says why better than we could.
    Refusal,
}

/// Passes a request on to one node, and to the next if that one fails.
#[derive(Debug)]
pub struct AnyNode {
    routing: Arc<Routing>,
    head: RequestHead,
    expect: Expect,
    buffer: BodyBuffer,
    body: Vec<u8>,
    candidates: std::vec::IntoIter<NodeIndex>,
    /// That a node did not take the client's key.
    refusal: Option<Answer>,
    report: Report,
}

impl AnyNode {
    /// The exchange before any of its body.
    pub fn new(routing: Arc<Routing>, head: RequestHead, expect: Expect) -> AnyNode {
        let mut nodes: Vec<NodeIndex> = (0..routing.table.nodes.len()).collect();
        nodes.sort_by_key(|&node| routing.table.nodes.get(node).is_none_or(|node| !node.up));
        let buffer = BodyBuffer::new(routing.table.policy.body_limit);
        let candidates = nodes.into_iter();
        let report = Report::default();
        AnyNode { routing, head, expect, buffer, body: Vec::new(), candidates, refusal: None, report }
    }

    /// The exchange with its whole body.
    pub fn begin(&mut self, body: Vec<u8>) -> Step {
        self.body = body;
        self.try_next()
    }

    fn pass_over(&mut self) -> Step {
        self.report.upstream_failures += 1;
        self.report.second_wave = true;
        self.try_next()
    }

    fn try_next(&mut self) -> Step {
        for node in self.candidates.by_ref() {
            let request = NodeRequest {
                key: None,
                method: &self.head.method,
                target: self.head.target.clone(),
                content_type: self.head.header("content-type"),
                body: self.body.clone(),
                timeout: self.routing.table.policy.read_timeout(),
            };
            if let Some(call) = self.routing.node_call(node, &self.head, request) {
                self.report.fan_out += 1;
                return Step::Call(vec![(node, call)]);
            }
        }
        match self.refusal.take() {
            Some(refusal) => Step::Reply(hide::in_error(refusal)),
            None => shard_unavailable("any").into(),
        }
    }
}

impl Exchange for AnyNode {
    fn body(&mut self, piece: &[u8], end: bool) -> Step {
        match self.buffer.push(piece) {
            Err(error) => error.into(),
            Ok(()) if end => {
                let body = self.buffer.take();
                self.begin(body)
            }
            Ok(()) => Step::Wait,
        }
    }

    fn answered(&mut self, _: CallId, answer: Option<Answer>) -> Step {
        match answer {
            Some(answer) if answer.is_success() && self.expect == Expect::Refusal => unreadable().into(),
            Some(answer) if answer.refuses_key() => {
                self.refusal = Some(answer);
                self.pass_over()
            }
            Some(answer) if answer.status < 500 => Step::Reply(hide::in_error(answer)),
            _ => self.pass_over(),
        }
    }

    fn report(&self) -> Report {
        self.report.clone()
    }
}

fn unreadable() -> ApiError {
    let message = "Miroir can't read this request, although a node can. \
                   Check the types of its parameters against Meilisearch's reference.";
    ApiError::new(400, "bad_request", ErrorType::InvalidRequest, message)
}

/// `GET /health`: the filter answers by itself.
pub fn health() -> Reply {
    Reply::json(200, br#"{"status":"available"}"#.to_vec())
}
