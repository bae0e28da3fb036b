//! `GET /indexes/{uid}/documents/{id}`: from one owner, clean ones first.

use std::sync::Arc;

use crate::documents::id::inspect;
use crate::error::shard_unavailable;
use crate::exchange::{Answer, CallId, Exchange, Reply, Report, RequestHead, Step};
use crate::fan_out::degraded;
use crate::hide;
use crate::routing::{NodeRequest, Routing};
use crate::shard::shard_of;
use crate::table::NodeIndex;

/// Reads one document.
#[derive(Debug)]
pub struct Get {
    routing: Arc<Routing>,
    head: RequestHead,
    index: String,
    id: String,
    candidates: std::vec::IntoIter<NodeIndex>,
    /// How many of the candidates that are left are clean.
    clean: usize,
    reads_stale: bool,
    /// The nodes that were asked and have not answered, the first asked first.
    asked: Vec<NodeIndex>,
    /// That a node did not take the client's key.
    refusal: Option<Answer>,
    report: Report,
}

impl Get {
    /// The exchange before its first call.
    pub fn new(routing: Arc<Routing>, head: RequestHead, index: String, id: String) -> Get {
        let (candidates, clean) = routing.replicas_of(&id);
        let candidates = candidates.into_iter();
        let report = Report::default();
        let asked = Vec::new();
        Get { routing, head, index, id, candidates, clean, reads_stale: false, asked, refusal: None, report }
    }

    fn try_next(&mut self) -> Step {
        for node in self.candidates.by_ref() {
            self.reads_stale = self.clean == 0;
            self.clean = self.clean.saturating_sub(1);
            let request = NodeRequest {
                key: None,
                method: "GET",
                target: self.head.target.clone(),
                content_type: None,
                body: Vec::new(),
                timeout: self.routing.table.policy.read_timeout(),
            };
            if let Some(call) = self.routing.read_call(node, &self.head, request) {
                self.report.fan_out += 1;
                self.asked.push(node);
                return Step::Call(vec![(node, call)]);
            }
        }
        match self.refusal.take() {
            Some(refusal) => Step::Reply(self.mark(hide::in_error(refusal))),
            None => shard_unavailable(&shard_of(&self.id, self.routing.table.shards).to_string()).into(),
        }
    }

    fn pass_over(&mut self) -> Step {
        self.report.upstream_failures += 1;
        if !self.asked.is_empty() {
            return Step::Wait;
        }
        self.report.second_wave = true;
        self.try_next()
    }

    fn is_out_of_step(&self, answer: &Answer) -> bool {
        answer.status == 404
            && self.routing.table.indexes.contains_key(&self.index)
            && answer.has_code("index_not_found")
    }
}

impl Exchange for Get {
    fn body(&mut self, _: &[u8], end: bool) -> Step {
        if end { self.try_next() } else { Step::Wait }
    }

    fn answered(&mut self, node: CallId, answer: Option<Answer>) -> Step {
        let Some(place) = self.asked.iter().position(|&asked| asked == node) else { return Step::Wait };
        self.asked.remove(place);
        let overtakes = u64::from(place > 0);
        let answer = match answer {
            Some(answer) if answer.is_success() => answer,
            Some(answer) if answer.refuses_key() => {
                self.refusal = Some(answer);
                return self.pass_over();
            }
            Some(answer) if answer.is_final_refusal() && !self.is_out_of_step(&answer) => {
                self.report.hedges_won += overtakes;
                return Step::Reply(self.mark(hide::in_error(answer)));
            }
            _ => return self.pass_over(),
        };
        if !self.is_what_was_asked_for(&answer.body) {
            return self.pass_over();
        }
        self.report.hedges_won += overtakes;
        let reply = Reply::json(answer.status, hide::in_document(answer.body));
        let reply = self.routing.with_settings_version(&self.index, reply);
        Step::Reply(self.mark(reply))
    }

    fn late(&mut self, _: CallId) -> Step {
        let next = self.candidates.as_slice().first();
        let is_good = self.clean > 0 && next.is_some_and(|&next| self.routing.is_fast(next));
        if !is_good || self.asked.len() > 1 {
            return Step::Wait;
        }
        let step = self.try_next();
        self.report.hedges += 1;
        step
    }

    fn report(&self) -> Report {
        self.report.clone()
    }
}

impl Get {
    /// Whether it is a document, and the one that was asked for as far as it shows its id.
    fn is_what_was_asked_for(&self, body: &[u8]) -> bool {
        let facts = self.routing.facts(&self.index);
        let primary_key = facts.primary_key.as_deref().unwrap_or_default();
        let Ok(Ok(document)) = std::str::from_utf8(body).map(|text| inspect(text, primary_key)) else {
            return false;
        };
        let selects = || form_urlencoded::parse(self.head.query().as_bytes()).any(|(key, _)| key == "fields");
        document.id.map_or_else(|_| facts.primary_key.is_none() || selects(), |id| id == self.id)
    }

    fn mark(&mut self, reply: Reply) -> Reply {
        self.report.degraded = self.reads_stale;
        let shard = shard_of(&self.id, self.routing.table.shards);
        match degraded(&[], &[shard]) {
            Some(what) if self.reads_stale => reply.with_header("x-miroir-degraded", what),
            _ => reply,
        }
    }
}
