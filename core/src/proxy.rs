//! Requests that the control plane answers: passed on whole, and its answer passed back.

use std::sync::Arc;

use crate::error::control_plane_unavailable;
use crate::exchange::{Answer, BodyBuffer, Call, CallId, Exchange, RequestHead, Step};
use crate::routing::Routing;

/// Headers that are about one connection or one message's framing, not about what it says.
const HOP_BY_HOP: [&str; 8] =
    ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "host"];

/// A request on its way to the control plane.
#[derive(Debug)]
pub struct Proxy {
    routing: Arc<Routing>,
    head: RequestHead,
    /// `None` if it goes without its body.
    buffer: Option<BodyBuffer>,
}

impl Proxy {
    /// The exchange before any of its body.
    pub fn new(routing: Arc<Routing>, head: RequestHead) -> Proxy {
        let buffer = BodyBuffer::new(routing.table.policy.body_limit);
        Proxy { routing, head, buffer: Some(buffer) }
    }

    /// The same for a request of which the control plane needs no body.
    pub fn without_body(routing: Arc<Routing>, head: RequestHead) -> Proxy {
        Proxy { routing, head, buffer: None }
    }
}

fn is_end_to_end(name: &str) -> bool {
    !name.starts_with(':') && !HOP_BY_HOP.contains(&name)
}

impl Exchange for Proxy {
    fn body(&mut self, piece: &[u8], end: bool) -> Step {
        match self.buffer.as_mut().map_or(Ok(()), |buffer| buffer.push(piece)) {
            Err(error) => return error.into(),
            Ok(()) if !end => return Step::Wait,
            Ok(()) => {}
        }
        let control_plane = &self.routing.table.control_plane;
        // Only the filter itself may speak with its token.
        let is_passed_on = |name: &str| is_end_to_end(name) && name != crate::control::TOKEN_HEADER;
        let call = Call {
            cluster: control_plane.cluster.clone(),
            authority: control_plane.authority.clone(),
            method: self.head.method.clone(),
            target: self.head.target.clone(),
            headers: self.head.headers.iter().filter(|(name, _)| is_passed_on(name)).cloned().collect(),
            body: self.buffer.as_mut().map(BodyBuffer::take).unwrap_or_default(),
            timeout: self.routing.table.policy.control_plane_timeout(),
            is_timed: false,
        };
        Step::Call(vec![(0, call)])
    }

    fn answered(&mut self, _: CallId, answer: Option<Answer>) -> Step {
        // Envoy answers 503 by itself, as plain text, where the control plane can't be reached.
        let is_envoys = |answer: &Answer| {
            let says_text =
                |(name, value): &(String, String)| name == "content-type" && value.starts_with("text/plain");
            matches!(answer.status, 502..=504) && answer.headers.iter().any(says_text)
        };
        match answer {
            Some(answer) if !is_envoys(&answer) => {
                let headers = answer.headers.into_iter().filter(|(name, _)| is_end_to_end(name)).collect();
                Step::Reply(crate::exchange::Reply { status: answer.status, headers, body: answer.body })
            }
            _ => control_plane_unavailable().into(),
        }
    }
}
