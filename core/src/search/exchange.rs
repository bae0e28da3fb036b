//! A search from the client's request to its answer: plan, fan out, fail over, merge.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::any_node::{AnyNode, Expect};
use crate::error::shard_unavailable;
use crate::exchange::{Answer, BodyBuffer, CallId, Exchange, Reply, Report, RequestHead, Step};
use crate::hide;
use crate::routing::{NodeRequest, Routing};
use crate::search::answer::{NodeAnswer, Reading};
use crate::search::merge;
use crate::search::plan::{Assignment, Plan};
use crate::search::query::SearchQuery;
use crate::search::url;
use crate::shard::ShardId;
use crate::shard_set::ShardSet;
use crate::table::{IndexFacts, NodeIndex, UnavailableShard};

/// `GET` and `POST /indexes/{uid}/search`.
#[derive(Debug)]
pub struct Search {
    routing: Arc<Routing>,
    head: RequestHead,
    index: String,
    buffer: BodyBuffer,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The body is coming in.
    Reading,
    /// The nodes are being asked.
    Asking(Box<Asking>),
    /// A node is to say what is wrong with the request.
    Refused(Box<Refused>),
}

#[derive(Debug)]
struct Refused {
    any_node: AnyNode,
    /// Calls below this one were made before, and what they say is of no interest any more.
    first_call: CallId,
}

impl Refused {
    fn numbered(&self, step: Step) -> Step {
        let number = |(call, what)| (self.first_call + call, what);
        match step {
            Step::Call(calls) => Step::Call(calls.into_iter().map(number).collect()),
            step => step,
        }
    }
}

impl Search {
    /// The exchange before any of its body.
    pub fn new(routing: Arc<Routing>, head: RequestHead, index: String) -> Search {
        let buffer = BodyBuffer::new(routing.table.policy.body_limit);
        Search { routing, head, index, buffer, state: State::Reading }
    }

    fn begin(&mut self, body: Vec<u8>) -> Step {
        let facts = self.routing.facts(&self.index);
        let query = self.read(&body).and_then(|body| SearchQuery::parse(body, &facts).ok());
        let Some(query) = query else { return self.refuse(body, 0) };
        let asking =
            Asking::new(self.routing.clone(), self.head.clone(), self.index.clone(), query, facts, body);
        let mut asking = Box::new(asking);
        let step = asking.begin();
        self.state = State::Asking(asking);
        step
    }

    fn read(&self, body: &[u8]) -> Option<Map<String, Value>> {
        if self.head.method == "GET" {
            return url::parse(self.head.query()).ok();
        }
        let content_type = self.head.header("content-type")?;
        if content_type.split(';').next()?.trim() != "application/json" {
            return None;
        }
        serde_json::from_slice(body).ok()
    }

    fn refuse(&mut self, body: Vec<u8>, first_call: CallId) -> Step {
        let mut any_node = AnyNode::new(self.routing.clone(), self.head.clone(), Expect::Refusal);
        let step = any_node.begin(body);
        let refused = Refused { any_node, first_call };
        let step = refused.numbered(step);
        self.state = State::Refused(Box::new(refused));
        step
    }
}

impl Exchange for Search {
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

    fn answered(&mut self, call: CallId, answer: Option<Answer>) -> Step {
        match &mut self.state {
            State::Reading => Step::Wait,
            State::Refused(refused) => match call.checked_sub(refused.first_call) {
                Some(call) => {
                    let step = refused.any_node.answered(call, answer);
                    refused.numbered(step)
                }
                None => Step::Wait,
            },
            State::Asking(asking) => match asking.answered(call, answer) {
                Outcome::Step(step) => step,
                Outcome::Explain(body) => {
                    let first_call = asking.next_call;
                    self.refuse(body, first_call)
                }
            },
        }
    }

    fn report(&self) -> Report {
        match &self.state {
            State::Reading => Report::default(),
            State::Asking(asking) => asking.report.clone(),
            State::Refused(refused) => refused.any_node.report(),
        }
    }
}

enum Outcome {
    Step(Step),
    /// A node refused what we made of the client's request: it should speak of the client's own.
    Explain(Vec<u8>),
}

impl From<Step> for Outcome {
    fn from(step: Step) -> Outcome {
        Outcome::Step(step)
    }
}

/// The waves of calls and what came of them.
#[derive(Debug)]
struct Asking {
    routing: Arc<Routing>,
    head: RequestHead,
    index: String,
    query: SearchQuery,
    facts: IndexFacts,
    /// The client's own body.
    body: Vec<u8>,
    seed: u64,
    pending: Vec<Pending>,
    next_call: CallId,
    /// By call, so that ties fall the same way whichever answer comes first.
    answers: Vec<(CallId, NodeAnswer)>,
    failed: Vec<NodeIndex>,
    /// Shards of failed calls, to be planned again.
    missing: ShardSet,
    unavailable: Vec<ShardId>,
    stale: Vec<ShardId>,
    last_error: Option<Answer>,
    report: Report,
}

#[derive(Debug)]
struct Pending {
    call: CallId,
    assignment: Assignment,
    /// Whether this node's answer is the whole answer.
    alone: bool,
}

impl Asking {
    fn new(
        routing: Arc<Routing>,
        head: RequestHead,
        index: String,
        query: SearchQuery,
        facts: IndexFacts,
        body: Vec<u8>,
    ) -> Asking {
        let missing = routing.replicas.all_shards();
        Asking {
            seed: query.seed(),
            routing,
            head,
            index,
            query,
            facts,
            body,
            pending: Vec::new(),
            next_call: 0,
            answers: Vec::new(),
            failed: Vec::new(),
            missing,
            unavailable: Vec::new(),
            stale: Vec::new(),
            last_error: None,
            report: Report::default(),
        }
    }

    fn begin(&mut self) -> Step {
        let plan = self.plan();
        self.ask(plan)
    }

    fn plan(&mut self) -> Plan {
        let missing = std::mem::take(&mut self.missing);
        self.missing = ShardSet::empty(self.routing.table.shards);
        self.routing.replicas.plan(missing, &self.failed, self.seed)
    }

    fn ask(&mut self, plan: Plan) -> Step {
        self.unavailable.extend(plan.unavailable);
        self.stale.extend(plan.stale);
        let alone = self.answers.is_empty() && plan.assignments.len() == 1;
        let mut calls = Vec::with_capacity(plan.assignments.len());
        for assignment in plan.assignments {
            let clause = assignment.needs_clause.then_some(&assignment.shards);
            let body = match alone {
                true => self.query.body_for_only_node(clause),
                false => self.query.body_for_node(clause, &self.facts),
            };
            let request = NodeRequest {
                method: "POST",
                target: format!("/indexes/{}/search", self.index),
                content_type: Some("application/json"),
                body,
                timeout: self.routing.table.policy.read_timeout(),
            };
            let Some(call) = self.routing.node_call(assignment.node, &self.head, request) else { continue };
            calls.push((self.next_call, call));
            self.pending.push(Pending { call: self.next_call, assignment, alone });
            self.next_call += 1;
        }
        self.report.fan_out += calls.len() as u64;
        if calls.is_empty() { self.finish() } else { Step::Call(calls) }
    }

    fn answered(&mut self, call: CallId, answer: Option<Answer>) -> Outcome {
        let Some(place) = self.pending.iter().position(|pending| pending.call == call) else {
            return Step::Wait.into();
        };
        let pending = self.pending.swap_remove(place);
        match answer {
            Some(answer) if answer.is_success() => {
                match NodeAnswer::read(answer.body, &self.reading(&pending)) {
                    Ok(read) => self.answers.push((call, read)),
                    Err(_) => self.fail(pending, None),
                }
            }
            Some(answer) if answer.is_final_refusal() && !self.is_out_of_step(&answer) => {
                let clause_shows = pending.assignment.needs_clause && hide::mentions_tag(&answer.body);
                // Parameters of a query string are spoken of in other words than those of a body.
                let speaks_of_ours = clause_shows || self.head.method == "GET";
                return match speaks_of_ours {
                    true => Outcome::Explain(std::mem::take(&mut self.body)),
                    false => Step::Reply(hide::in_error(answer)).into(),
                };
            }
            answer => self.fail(pending, answer),
        }
        if !self.pending.is_empty() {
            return Step::Wait.into();
        }
        if self.missing.is_empty() {
            return self.finish().into();
        }
        self.report.second_wave = true;
        let plan = self.plan();
        self.ask(plan).into()
    }

    /// An index that the table knows and the node doesn't: the node has lost it, or does not have it yet.
    fn is_out_of_step(&self, answer: &Answer) -> bool {
        answer.status == 404 && self.routing.table.indexes.contains_key(&self.index)
    }

    fn reading(&self, pending: &Pending) -> Reading {
        Reading {
            by_details: self.query.ranks_by_details(),
            distinct: self.query.distinct.clone(),
            ranked: !pending.alone,
        }
    }

    fn fail(&mut self, pending: Pending, answer: Option<Answer>) {
        self.report.upstream_failures += 1;
        self.failed.push(pending.assignment.node);
        self.missing.insert_all(&pending.assignment.shards);
        self.last_error = answer.or(self.last_error.take());
    }

    fn finish(&mut self) -> Step {
        if self.answers.is_empty() {
            return match self.last_error.take() {
                Some(error) => Step::Reply(hide::in_error(error)),
                None => shard_unavailable(&list(&self.unavailable)).into(),
            };
        }
        if !self.unavailable.is_empty()
            && self.routing.table.policy.unavailable_shard == UnavailableShard::Error
        {
            return shard_unavailable(&list(&self.unavailable)).into();
        }
        self.answers.sort_by_key(|(call, _)| *call);
        let answers: Vec<NodeAnswer> =
            std::mem::take(&mut self.answers).into_iter().map(|(_, answer)| answer).collect();
        let Ok(body) = merge::merge(&self.query, &self.facts, &answers) else {
            return shard_unavailable("some").into();
        };
        let reply = Reply::json(200, body);
        let degraded = degraded(&self.unavailable, &self.stale);
        self.report.degraded = degraded.is_some();
        Step::Reply(match degraded {
            Some(what) => reply.with_header("x-miroir-degraded", what),
            None => reply,
        })
    }
}

/// The value of `X-Miroir-Degraded`; `None` if the answer is whole and fresh.
pub fn degraded(unavailable: &[ShardId], stale: &[ShardId]) -> Option<String> {
    let parts = [("shards", unavailable), ("stale", stale)];
    let shown: Vec<String> = parts
        .iter()
        .filter(|(_, shards)| !shards.is_empty())
        .map(|(name, shards)| format!("{name}={}", list(shards)))
        .collect();
    (!shown.is_empty()).then(|| shown.join("; "))
}

fn list(shards: &[ShardId]) -> String {
    let mut shards = shards.to_vec();
    shards.sort_unstable();
    shards.dedup();
    shards.iter().map(ShardId::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::table;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn refusal(words: &str) -> Option<Answer> {
        Some(Answer { status: 400, headers: Vec::new(), body: words.into() })
    }

    #[test]
    fn a_refusal_speaks_of_the_clients_own_request() {
        let routing = Arc::new(Routing::new(table(4, 3, 1, 1)));
        let target = "/indexes/a/search?matchingStrategy=nope";
        let head = RequestHead { method: "GET".into(), target: target.into(), headers: Vec::new() };
        let mut search = Search::new(routing, head, "a".into());
        let Step::Call(calls) = search.body(&[], true) else { panic!("no calls") };
        assert_eq!(calls.len(), 3);

        let Step::Call(again) = search.answered(0, refusal("of ours")) else { panic!("no call") };
        let [(again, call)] = &again[..] else { panic!("not one call") };
        assert_eq!((&*call.method, &*call.target), ("GET", target));
        // The others answer meanwhile.
        assert_eq!(search.answered(1, refusal("of ours")), Step::Wait);
        assert_eq!(search.answered(2, refusal("of ours")), Step::Wait);
        let Step::Reply(reply) = search.answered(*again, refusal("of the client's")) else {
            panic!("no reply")
        };
        assert_eq!((reply.status, &*reply.body), (400, &b"of the client's"[..]));
    }
}
