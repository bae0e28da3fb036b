//! The calls of one request that are timed.

use std::time::Duration;

use crate::exchange::{Call, CallId};
use crate::pace::Pace;
use crate::router::Kind;
use crate::routing::Routing;

/// The calls of one request that are under way and timed.
#[derive(Debug)]
pub struct Watch {
    kind: Kind,
    calls: Vec<Timed>,
}

#[derive(Debug)]
struct Timed {
    call: CallId,
    node: String,
    since: Duration,
    /// When it is late; `None` if that can't be said, or was.
    late_at: Option<Duration>,
}

impl Watch {
    /// Of a request of this kind.
    pub fn new(kind: Kind) -> Watch {
        Watch { kind, calls: Vec::new() }
    }

    /// A call was made.
    pub fn called(&mut self, id: CallId, call: &Call, routing: &Routing, pace: &mut Pace, now: Duration) {
        if !call.is_timed {
            return;
        }
        pace.called(call, self.kind, routing, now);
        let late_after = pace.latencies.late_after(&call.cluster, self.kind);
        let late_at = late_after.and_then(|after| now.checked_add(after));
        self.calls.push(Timed { call: id, node: call.cluster.clone(), since: now, late_at });
    }

    /// A call was answered, or failed.
    pub fn answered(&mut self, id: CallId, is_answer: bool, pace: &mut Pace, now: Duration) {
        let Some(place) = self.calls.iter().position(|timed| timed.call == id) else { return };
        let timed = self.calls.swap_remove(place);
        let took = now.saturating_sub(timed.since);
        match is_answer {
            true => pace.answered(&timed.node, self.kind, took),
            false => pace.unanswered(&timed.node, self.kind, took),
        }
    }

    /// The next call that is late: each is named once.
    pub fn next_late(&mut self, now: Duration) -> Option<CallId> {
        let late = self.calls.iter_mut().find(|timed| timed.late_at.is_some_and(|at| at <= now))?;
        late.late_at = None;
        Some(late.call)
    }

    /// Whether a call is timed.
    pub fn is_timing(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Whether a call may yet be late.
    pub fn is_waiting(&self) -> bool {
        self.calls.iter().any(|timed| timed.late_at.is_some())
    }

    /// The request is over: no other answer is waited for.
    pub fn end(&mut self, pace: &mut Pace, now: Duration) {
        for timed in self.calls.drain(..) {
            pace.unanswered(&timed.node, self.kind, now.saturating_sub(timed.since));
        }
    }
}
