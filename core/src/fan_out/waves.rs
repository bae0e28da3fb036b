//! The calls of one question, wave by wave, and what came of them.

use std::sync::Arc;

use crate::error::shard_unavailable;
use crate::exchange::{Answer, Call, CallId, Reply, Report, RequestHead, Step};
use crate::fan_out::plan::Plan;
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
        let shares = plan.assignments.into_iter();
        let calls =
            self.calls(shares.map(|assignment| Share { assignment, alone, in_stead_of: None }), question);
        if calls.is_empty() { self.finish() } else { Progress::Step(Step::Call(calls)) }
    }

    fn calls<Q: Question<Part = P>>(
        &mut self,
        shares: impl Iterator<Item = Share>,
        question: &Q,
    ) -> Vec<(CallId, Call)> {
        let mut calls = Vec::with_capacity(shares.size_hint().0);
        for share in shares {
            let asked = question.body_for(&share);
            let request = NodeRequest {
                key: question.key(&self.routing),
                method: "POST",
                target: asked.target,
                content_type: Some("application/json"),
                body: asked.body,
                timeout: self.routing.table.policy.read_timeout(),
            };
            let node = share.assignment.node;
            let Some(call) = self.routing.read_call(node, &self.head, request) else { continue };
            calls.push((self.next_call, call));
            self.pending.push((self.next_call, share));
            self.next_call += 1;
        }
        self.report.fan_out += calls.len() as u64;
        calls
    }

    /// Asks others in the stead of a late call, if they could answer all of it.
    pub fn late<Q: Question<Part = P>>(&mut self, call: CallId, question: &Q) -> Step {
        let share = self.pending.iter().find(|(pending, _)| *pending == call).map(|(_, share)| share);
        let Some(Share { assignment, in_stead_of: None, .. }) = share.filter(|_| question.can_be_hedged())
        else {
            return Step::Wait;
        };
        let replicas = &self.routing.replicas;
        let stand_ins =
            replicas.stand_ins(&assignment.shards, assignment.node, &self.failed, question.seed());
        let Some(stand_ins) = stand_ins.filter(|_| !self.is_hedged(call)) else { return Step::Wait };
        let share = |assignment| Share { assignment, alone: false, in_stead_of: Some(call) };
        let calls = self.calls(stand_ins.into_iter().map(share), question);
        self.report.hedges += calls.len() as u64;
        Step::Call(calls)
    }

    /// Whether others are asked, or have answered, in the stead of this call.
    fn is_hedged(&self, call: CallId) -> bool {
        let pending = self.pending.iter().map(|(_, share)| share);
        let answered = self.parts.iter().map(|(_, share, _)| share);
        pending.chain(answered).any(|share| share.in_stead_of == Some(call))
    }

    /// Forgets what was asked in the stead of this call, and what came of it.
    fn drop_hedge(&mut self, call: CallId) {
        self.pending.retain(|(_, share)| share.in_stead_of != Some(call));
        self.parts.retain(|(_, share, _)| share.in_stead_of != Some(call));
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
                Ok(part) => {
                    self.drop_hedge(call);
                    self.parts.push((call, share, part));
                }
                Err(_) => self.fail(call, share, None),
            },
            // The index is there: that this node lacks it says nothing to the client.
            Some(answer) if self.is_out_of_step(&answer, question) => self.fail(call, share, None),
            Some(answer) if answer.refuses_key() => self.fail(call, share, Some(answer)),
            Some(answer) if answer.is_final_refusal() => {
                let clause_shows = share.tags().is_some() && hide::mentions_tag(&answer.body);
                return match question.is_in_clients_words() && !clause_shows {
                    true => Progress::Reply(question.reworded(hide::in_error(answer))),
                    false => Progress::Explain,
                };
            }
            answer => self.fail(call, share, answer),
        }
        if self.hedges_have_won(question) {
            self.report.hedges_won += self.pending.len() as u64;
            self.pending.clear();
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
        matches!(answer.status, 400 | 404)
            && question.is_of_known_indexes(&self.routing)
            && answer.has_code("index_not_found")
    }

    fn fail(&mut self, call: CallId, share: Share, answer: Option<Answer>) {
        self.report.upstream_failures += 1;
        self.failed.push(share.assignment.node);
        self.last_error = answer.or(self.last_error.take());
        let late = share.in_stead_of.filter(|late| self.pending.iter().any(|(pending, _)| pending == late));
        match late {
            // The late one is still to answer, and a part of its hedge is of no use.
            Some(late) => self.drop_hedge(late),
            // Its hedge goes on.
            None if self.is_hedged(call) => {}
            None => self.missing.insert_all(&share.assignment.shards),
        }
    }

    /// Whether none but late calls are waited for, and what was asked in their stead has come and is as good.
    fn hedges_have_won<Q: Question<Part = P>>(&mut self, question: &Q) -> bool {
        if self.report.hedges == 0 || self.pending.is_empty() || !self.missing.is_empty() {
            return false;
        }
        let is_won = |(call, share): &(CallId, Share)| share.in_stead_of.is_none() && self.is_hedged(*call);
        if !self.pending.iter().all(is_won) {
            return false;
        }
        self.sort_parts();
        let parts: Vec<(&Share, &P)> = self.parts.iter().map(|(_, share, part)| (share, part)).collect();
        question.is_settled(&parts)
    }

    /// Puts them in the order in which ties are broken: hedges have the places of the late.
    fn sort_parts(&mut self) {
        self.parts.sort_by_key(|(call, share, _)| (share.in_stead_of.unwrap_or(*call), *call));
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
        self.sort_parts();
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
