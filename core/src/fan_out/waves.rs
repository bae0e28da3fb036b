//! The calls of one question, wave by wave, and what came of them.

use std::sync::Arc;

use crate::error::{ApiError, shard_unavailable};
use crate::exchange::{Answer, CallId, Reply, Report, RequestHead, Step};
use crate::fan_out::plan::{Assignment, Plan};
use crate::fan_out::{Question, Share, Wanted, degraded, list};
use crate::hide;
use crate::routing::{NodeRequest, Routing};
use crate::shard::ShardId;
use crate::shard_set::ShardSet;
use crate::table::{NodeIndex, UnavailableShard};

/// What has to happen next.
pub enum Progress<P> {
    /// These calls, or waiting.
    Step(Step),
    /// All shards that can be read are read.
    Complete(Vec<(Share, P)>),
    /// The client's answer is this.
    Reply(Reply),
    /// A node refused what was made of the client's request: it should speak of the client's own.
    Explain,
}

/// The waves of calls. What one question taught of the nodes is kept for the next.
pub struct Waves<P> {
    routing: Arc<Routing>,
    head: RequestHead,
    pending: Vec<(CallId, Share)>,
    next_call: CallId,
    /// By call, so that ties fall the same way whichever answer comes first.
    parts: Vec<(CallId, Share, P)>,
    failed: Vec<NodeIndex>,
    /// Shards of failed calls, to be planned again.
    missing: ShardSet,
    unavailable: Vec<ShardId>,
    stale: Vec<ShardId>,
    last_error: Option<Answer>,
    report: Report,
}

impl<P> Waves<P> {
    /// Nothing was asked yet.
    pub fn new(routing: Arc<Routing>, head: RequestHead) -> Waves<P> {
        let missing = ShardSet::empty(routing.table.shards);
        Waves {
            routing,
            head,
            pending: Vec::new(),
            next_call: 0,
            parts: Vec::new(),
            failed: Vec::new(),
            missing,
            unavailable: Vec::new(),
            stale: Vec::new(),
            last_error: None,
            report: Report::default(),
        }
    }

    /// The first call that was not made yet.
    pub fn next_call(&self) -> CallId {
        self.next_call
    }

    /// What became of it so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Asks a question.
    pub fn begin<Q: Question<Part = P>>(&mut self, question: &Q) -> Progress<P> {
        let plan = match question.wanted() {
            Wanted::All => self.plan(self.routing.replicas.all_shards(), question.seed()),
            Wanted::Shards(shards) => self.plan(shards, question.seed()),
            Wanted::Nodes(assignments) => Plan { assignments, ..Plan::default() },
        };
        self.ask(plan, question)
    }

    fn plan(&self, shards: ShardSet, seed: u64) -> Plan {
        self.routing.replicas.plan(shards, &self.failed, seed)
    }

    fn ask<Q: Question<Part = P>>(&mut self, plan: Plan, question: &Q) -> Progress<P> {
        self.unavailable.extend(plan.unavailable);
        self.stale.extend(plan.stale);
        let alone = self.parts.is_empty() && plan.assignments.len() == 1;
        let mut calls = Vec::with_capacity(plan.assignments.len());
        for assignment in plan.assignments {
            let share = Share { assignment, alone };
            let asked = question.body_for(&share);
            let request = NodeRequest {
                method: "POST",
                target: asked.target,
                content_type: Some("application/json"),
                body: asked.body,
                timeout: self.routing.table.policy.read_timeout(),
            };
            let node = share.assignment.node;
            let Some(mut call) = self.routing.node_call(node, &self.head, request) else { continue };
            if let Some(key) = question.key(&self.routing) {
                call.headers.retain(|(name, _)| name != "authorization");
                call.headers.push(("authorization".into(), format!("Bearer {key}")));
            }
            calls.push((self.next_call, call));
            self.pending.push((self.next_call, share));
            self.next_call += 1;
        }
        self.report.fan_out += calls.len() as u64;
        if calls.is_empty() { self.finish() } else { Progress::Step(Step::Call(calls)) }
    }

    /// Takes the answer to a call.
    pub fn answered<Q: Question<Part = P>>(
        &mut self,
        call: CallId,
        answer: Option<Answer>,
        question: &Q,
    ) -> Progress<P> {
        let Some(place) = self.pending.iter().position(|(pending, _)| *pending == call) else {
            return Progress::Step(Step::Wait);
        };
        let (_, share) = self.pending.swap_remove(place);
        match answer {
            Some(answer) if answer.is_success() => match question.read(&share, answer.body) {
                Ok(part) => self.parts.push((call, share, part)),
                Err(_) => self.fail(share.assignment, None),
            },
            Some(answer) if answer.is_final_refusal() && !self.is_out_of_step(&answer, question) => {
                let clause_shows = share.tags().is_some() && hide::mentions_tag(&answer.body);
                return match question.is_in_clients_words() && !clause_shows {
                    true => Progress::Reply(hide::in_error(answer)),
                    false => Progress::Explain,
                };
            }
            answer => self.fail(share.assignment, answer),
        }
        if !self.pending.is_empty() {
            return Progress::Step(Step::Wait);
        }
        if self.missing.is_empty() {
            return self.finish();
        }
        self.report.second_wave = true;
        let missing = std::mem::replace(&mut self.missing, ShardSet::empty(self.routing.table.shards));
        let plan = self.plan(missing, question.seed());
        self.ask(plan, question)
    }

    /// An index that the table knows and the node doesn't: the node has lost it, or does not have it yet.
    fn is_out_of_step<Q: Question<Part = P>>(&self, answer: &Answer, question: &Q) -> bool {
        // Where the index is not named by the path, it is said with 400.
        let says_no_index = || {
            let error = serde_json::from_slice::<ApiError>(&answer.body);
            error.is_ok_and(|error| error.code == "index_not_found")
        };
        matches!(answer.status, 400 | 404) && question.is_of_known_indexes(&self.routing) && says_no_index()
    }

    fn fail(&mut self, assignment: Assignment, answer: Option<Answer>) {
        self.report.upstream_failures += 1;
        self.failed.push(assignment.node);
        self.missing.insert_all(&assignment.shards);
        self.last_error = answer.or(self.last_error.take());
    }

    fn finish(&mut self) -> Progress<P> {
        if self.parts.is_empty() {
            return Progress::Reply(match self.last_error.take() {
                Some(error) => hide::in_error(error),
                None => shard_unavailable(&list(&self.unavailable)).into(),
            });
        }
        if !self.unavailable.is_empty()
            && self.routing.table.policy.unavailable_shard == UnavailableShard::Error
        {
            return Progress::Reply(shard_unavailable(&list(&self.unavailable)).into());
        }
        self.parts.sort_by_key(|(call, ..)| *call);
        let parts = std::mem::take(&mut self.parts);
        Progress::Complete(parts.into_iter().map(|(_, share, part)| (share, part)).collect())
    }

    /// The client's answer, with a header that says what it lacks.
    pub fn reply(&mut self, body: Vec<u8>) -> Reply {
        let reply = Reply::json(200, body);
        let degraded = degraded(&self.unavailable, &self.stale);
        self.report.degraded = degraded.is_some();
        match degraded {
            Some(what) => reply.with_header("x-miroir-degraded", what),
            None => reply,
        }
    }
}
