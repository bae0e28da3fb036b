//! A client's request as a state machine without I/O: it is fed what happens and says what to do.
//!
//! The same machines run in Envoy, in native tests and under `wasm-bindgen-test` in node.js.

use std::time::Duration;

use crate::error::ApiError;

/// The head of a client's request.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path with its query string, as sent.
    pub target: String,
    /// The other headers, names in lower case, pseudo-headers left out.
    pub headers: Vec<(String, String)>,
}

impl RequestHead {
    /// The path without the query string.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&*self.target, |(path, _)| path)
    }

    /// The query string; empty if there is none.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }
}

/// A request to an upstream cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The Envoy cluster to send it to.
    pub cluster: String,
    /// Its `:authority`.
    pub authority: String,
    /// Its method.
    pub method: String,
    /// Its path with query string.
    pub target: String,
    /// Its other headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// How long the answer may take.
    pub timeout: Duration,
    /// Whether it reads what other nodes hold too: how long it takes tells how fast the node is, and when it is late
    /// another may be asked in its stead.
    pub is_timed: bool,
}

/// Names a call among those of its exchange.
pub type CallId = usize;

/// A complete answer to a call. No answer at all (refused, reset, timed out) is `None` where one is expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers that a client may see, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the status is one of success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the request is at fault, so that another node would say the same.
    pub fn is_final_refusal(&self) -> bool {
        (400..500).contains(&self.status) && !matches!(self.status, 408 | 429)
    }

    /// Whether it is an error of Meilisearch's with this code.
    pub fn has_code(&self, code: &str) -> bool {
        serde_json::from_slice::<ApiError>(&self.body).is_ok_and(|error| error.code == code)
    }

    /// Whether the node does not take the key. One that has lost its disk takes none but the master key, so another node may
    /// know better.
    pub fn refuses_key(&self) -> bool {
        self.status == 403 && self.has_code("invalid_api_key")
    }
}

/// The answer to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Its headers, without those that every reply gets.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Reply {
    /// A reply with a JSON body.
    pub fn json(status: u16, body: Vec<u8>) -> Reply {
        Reply { status, headers: vec![("content-type".into(), "application/json".into())], body }
    }

    /// The same reply with one more header.
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl From<ApiError> for Reply {
    fn from(error: ApiError) -> Reply {
        let reply = Reply::json(error.status, error.to_json());
        match error.status {
            503 => reply.with_header("retry-after", "1"),
            _ => reply,
        }
    }
}

impl From<Answer> for Reply {
    /// The answer of a node or of the control plane, passed on.
    fn from(answer: Answer) -> Reply {
        Reply { status: answer.status, headers: answer.headers, body: answer.body }
    }
}

/// What an exchange wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing but what it already waits for.
    Wait,
    /// These calls to be made, then what it waits for.
    Call(Vec<(CallId, Call)>),
    /// The client to get this. Nothing comes after it.
    Reply(Reply),
}

impl Step {
    /// This step and the one after it as one. A reply ends all.
    pub fn and(self, next: Step) -> Step {
        match (self, next) {
            (Step::Reply(reply), _) | (_, Step::Reply(reply)) => Step::Reply(reply),
            (Step::Call(mut calls), Step::Call(more)) => {
                calls.extend(more);
                Step::Call(calls)
            }
            (Step::Wait, step) | (step, Step::Wait) => step,
        }
    }
}

impl From<ApiError> for Step {
    fn from(error: ApiError) -> Step {
        Step::Reply(error.into())
    }
}

/// What became of an exchange, for the statistics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many calls it made to nodes.
    pub fan_out: u64,
    /// How many of them failed.
    pub upstream_failures: u64,
    /// How many of them were made in the stead of late ones.
    pub hedges: u64,
    /// How many late ones were not waited for any longer, for others had answered in their stead.
    pub hedges_won: u64,
    /// Whether it planned again after a failure.
    pub second_wave: bool,
    /// Whether the answer lacks something, and says so.
    pub degraded: bool,
}

/// A client's request in flight.
pub trait Exchange {
    /// Takes the next piece of the body; `end` with the last one, which may be empty.
    fn body(&mut self, piece: &[u8], end: bool) -> Step;

    /// Learns that the rest of its body can't be read, and why.
    fn broken(&mut self, error: ApiError) -> Step {
        error.into()
    }

    /// Takes the answer to a call, `None` if there was none.
    fn answered(&mut self, call: CallId, answer: Option<Answer>) -> Step;

    /// Learns that a call takes longer than usual. It may ask others in its stead, and hear whoever is first.
    fn late(&mut self, _: CallId) -> Step {
        Step::Wait
    }

    /// What the control plane must still be told if the exchange ends here, because it was answered or because the
    /// client went away: a call to be made, as often as it takes, until it is answered.
    fn testament(&mut self) -> Option<Call> {
        None
    }

    /// What became of it so far.
    fn report(&self) -> Report {
        Report::default()
    }
}

/// Collects a body up to a limit.
#[derive(Debug)]
pub struct BodyBuffer {
    limit: usize,
    bytes: Vec<u8>,
}

impl BodyBuffer {
    /// A buffer for at most `limit` bytes.
    pub fn new(limit: usize) -> BodyBuffer {
        BodyBuffer { limit, bytes: Vec::new() }
    }

    /// Adds a piece.
    ///
    /// # Errors
    /// Meilisearch's `payload_too_large` when the body outgrows the limit.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), ApiError> {
        if self.bytes.len() + piece.len() > self.limit {
            return Err(crate::error::payload_too_large(self.limit));
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// What was collected.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}
