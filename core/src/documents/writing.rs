//! A write from its split parts to its acknowledgement: begin, send, register.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use crate::alias::{self, IndexName};
use crate::control::{
    BEGIN_WRITE_PATH, BeginWrite, BegunWrite, FirstAnswer, PartOutcome, REGISTER_WRITE_PATH, RegisterWrite,
    UsedKey, WriteKind, WritePart,
};
use crate::documents::replicas::Replicas;
use crate::documents::tally::Tally;
use crate::error::{
    ApiError, control_plane_unavailable, index_not_found, no_quorum, routing_stale, write_interrupted,
};
use crate::exchange::{Answer, Call, CallId, Reply, Report, RequestHead, Step};
use crate::hide;
use crate::idempotency::{self, Fingerprint, REPLAYED_HEADER};
use crate::routing::{NodeRequest, Routing};
use crate::session::session;
use crate::table::NodeIndex;

/// What a write is, but for its parts.
#[derive(Debug)]
pub struct Subject {
    /// The index.
    pub index: IndexName,
    /// What the task is.
    pub kind: WriteKind,
    /// The primary key by which the documents were split; `None` if none was needed or found.
    pub primary_key: Option<String>,
    /// What the client gave to find the task by.
    pub custom_metadata: Option<String>,
    /// How many of the counted parts hold each document.
    pub counted_copies: u64,
    /// The task's details in Meilisearch's shape, as they are while it is not done.
    pub details: Value,
}

/// What keeps a write from being done.
#[derive(Debug)]
pub enum Fault {
    /// Meilisearch would answer this at once, if the key allows the request.
    Request(ApiError),
    /// Meilisearch would enqueue a task that fails with this.
    Task(ApiError),
}

/// What one node is to do.
#[derive(Debug)]
pub struct IntendedPart {
    /// The node.
    pub node: NodeIndex,
    /// Whether its count goes into the client's task.
    pub counted: bool,
    /// The documents that it is about; where they are not known, one for each shard.
    pub documents: Tally,
    /// The request's method.
    pub method: &'static str,
    /// The request's path and query string.
    pub target: String,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// A write on its way. It takes parts before it has begun and while it goes on, until it is told that all are there.
#[derive(Debug)]
pub struct Writing {
    routing: Arc<Routing>,
    head: RequestHead,
    subject: Subject,
    stage: Stage,
    /// What each node still gets, by node and by whether it counts.
    lanes: BTreeMap<(NodeIndex, bool), Lane>,
    /// The calls to nodes, by id.
    sent: Vec<Sent>,
    replicas: Replicas,
    /// Whether nodes were called before all parts were there.
    is_streamed: bool,
    is_whole: bool,
    fault: Option<Fault>,
    refusal: Option<Answer>,
    /// What the client gets once the write is registered, if not its task.
    refuses: Option<Reply>,
    /// What the control plane does not know yet.
    untold: Option<RegisterWrite>,
    /// What the control plane knows the write by until it is registered.
    ticket: Option<String>,
    /// By which nodes take it.
    node_key: Option<String>,
    /// By which the client may repeat it.
    key: Option<Key>,
    report: Report,
}

/// An `Idempotency-Key`, and what came with it.
#[derive(Debug)]
struct Key {
    key: String,
    fingerprint: Fingerprint,
    /// What it was answered before.
    first_answer: Option<FirstAnswer>,
}

impl Key {
    fn of(head: &RequestHead, index: &IndexName) -> Option<Key> {
        let key = idempotency::key(head).ok().flatten()?.to_owned();
        let content_type = head.header("content-type").unwrap_or_default();
        // As the client named it: an alias may be turned before the write is repeated.
        let asked = index.alias.as_ref().map(|alias| alias::about(head.clone(), alias));
        let target = &asked.as_ref().unwrap_or(head).target;
        let fingerprint = Fingerprint::new(&head.method, target, content_type);
        Some(Key { key, fingerprint, first_answer: None })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Collecting,
    Beginning,
    /// It was answered before. Nothing is sent, but its end is waited for, to see whether it is the same.
    Repeating,
    Sending,
    Registering,
    Over,
}

/// The parts of one node, sent one after the other: of two versions of a document the last one wins.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<IntendedPart>,
    is_busy: bool,
    /// Why the node gets no more.
    broken: Option<String>,
}

#[derive(Debug)]
struct Sent {
    node: NodeIndex,
    counted: bool,
    documents: Tally,
    outcome: Option<PartOutcome>,
}

impl Writing {
    /// A write without parts that has not begun.
    pub fn new(routing: Arc<Routing>, head: RequestHead, subject: Subject) -> Writing {
        Writing {
            replicas: Replicas::new(&routing.table),
            routing,
            key: Key::of(&head, &subject.index),
            head,
            subject,
            stage: Stage::Collecting,
            lanes: BTreeMap::new(),
            sent: Vec::new(),
            is_streamed: false,
            is_whole: false,
            fault: None,
            refusal: None,
            refuses: None,
            untold: None,
            ticket: None,
            node_key: None,
            report: Report::default(),
        }
    }

    /// Takes note of the next piece of the client's body.
    pub fn read(&mut self, piece: &[u8]) {
        if let Some(key) = &mut self.key {
            key.fingerprint.update(piece);
        }
    }

    /// Adds what a node is to do after all that was added for it before.
    pub fn add(&mut self, part: IntendedPart) {
        if self.is_whole || self.stage == Stage::Repeating {
            return;
        }
        self.replicas.intend(part.node, &part.documents);
        self.lanes.entry((part.node, part.counted)).or_default().waiting.push_back(part);
    }

    /// How many bytes wait for nodes to take them.
    pub fn held(&self) -> usize {
        let waiting = self.lanes.values().flat_map(|lane| &lane.waiting);
        waiting.map(|part| part.body.len()).sum()
    }

    /// Whether it takes no more parts.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Forgets what was not sent yet: nothing more is to reach a node.
    pub fn stop_sending(&mut self) {
        self.lanes.values_mut().for_each(|lane| lane.waiting.clear());
    }

    /// Takes the task's details as far as they are known.
    pub fn describe(&mut self, details: Value) {
        self.subject.details = details;
    }

    /// Takes how many of the counted parts hold each document.
    pub fn count_copies(&mut self, copies: u64) {
        self.subject.counted_copies = copies;
    }

    /// Takes the primary key by which the documents are split, before it begins.
    pub fn set_primary_key(&mut self, primary_key: Option<String>) {
        self.subject.primary_key = primary_key;
    }

    /// Takes the end: all parts are there, or the write ends with a fault.
    pub fn finish(&mut self, fault: Option<Fault>) -> Step {
        if self.is_whole {
            return Step::Wait;
        }
        self.is_whole = true;
        if fault.is_some() {
            self.fault = fault;
            self.stop_sending();
        }
        match self.stage {
            Stage::Collecting => self.begin(),
            Stage::Repeating => self.repeated(),
            _ => self.proceed(),
        }
    }

    /// Asks the control plane whether the write may begin. So a write that can't be registered touches no node.
    pub fn begin(&mut self) -> Step {
        self.stage = Stage::Beginning;
        self.is_streamed = !self.is_whole;
        let adds = self.subject.kind == WriteKind::DocumentAdditionOrUpdate;
        let check_only = matches!(self.fault, Some(Fault::Request(_)));
        let key = self.key.as_ref().filter(|_| !check_only);
        let message = BeginWrite {
            index: self.subject.index.uid.clone(),
            alias: self.subject.index.alias.clone(),
            action: self.subject.kind.action().into(),
            epoch: self.routing.table.epoch,
            create: adds && !check_only && self.subject.index.alias.is_none(),
            primary_key: self.subject.primary_key.clone().filter(|_| self.fault.is_none()),
            check_only,
            idempotency_key: key.map(|key| key.key.clone()),
        };
        Step::Call(vec![(0, self.routing.control_call(&self.head, BEGIN_WRITE_PATH, &message))])
    }

    /// Takes the answer to a call.
    pub fn answered(&mut self, call: CallId, answer: Option<Answer>) -> Step {
        match self.stage {
            Stage::Beginning => self.begun(answer),
            Stage::Sending => self.sent(call, answer),
            Stage::Registering => self.registered(answer),
            Stage::Collecting | Stage::Repeating | Stage::Over => Step::Wait,
        }
    }

    /// What became of it so far.
    pub fn report(&self) -> Report {
        self.report.clone()
    }

    fn begun(&mut self, answer: Option<Answer>) -> Step {
        let answer = match answer {
            Some(answer) if answer.is_success() => answer,
            answer => return self.control_plane_refused(answer),
        };
        let begun = serde_json::from_slice::<BegunWrite>(&answer.body);
        self.ticket = begun.as_ref().ok().and_then(|begun| begun.ticket.clone());
        if let (Some(key), Ok(BegunWrite { first_answer: Some(first), .. })) = (&mut self.key, &begun) {
            key.first_answer = Some(first.clone());
            self.stage = Stage::Repeating;
            self.stop_sending();
            return if self.is_whole { self.repeated() } else { Step::Wait };
        }
        match self.fault.take() {
            Some(Fault::Request(error)) => return self.refuse(error.into()),
            Some(Fault::Task(error)) => return self.register_failure(error),
            None => {}
        }
        let Ok(begun) = begun else {
            return self.reply(control_plane_unavailable());
        };
        if !begun.exists {
            let error = index_not_found(&self.subject.index.uid);
            return self.register_failure(error);
        }
        // Someone else gave the index its primary key since our table was made, and it is another one.
        if self.subject.primary_key.is_some() && begun.primary_key != self.subject.primary_key {
            return self.reply(routing_stale());
        }
        self.node_key = begun.node_key;
        self.stage = Stage::Sending;
        self.proceed()
    }

    /// Answers as before, if all is as before.
    fn repeated(&mut self) -> Step {
        if let Some(Fault::Request(error)) = self.fault.take() {
            return self.reply(error);
        }
        let first =
            self.key.as_mut().and_then(|key| Some((key.fingerprint.finish(), key.first_answer.take()?)));
        match first {
            Some((fingerprint, first)) if fingerprint == first.fingerprint => {
                let reply = Reply::json(202, serde_json::to_vec(&first.task).unwrap_or_default());
                self.reply(reply.with_header(REPLAYED_HEADER, "true"))
            }
            _ => self.reply(idempotency::key_reused()),
        }
    }

    fn reply(&mut self, reply: impl Into<Reply>) -> Step {
        self.stage = Stage::Over;
        Step::Reply(reply.into())
    }

    /// The control plane's own error if it gave one. Before that the client is told what it could mend itself, but
    /// not if its key is at fault.
    fn control_plane_refused(&mut self, answer: Option<Answer>) -> Step {
        let is_error = |answer: &Answer| serde_json::from_slice::<ApiError>(&answer.body).is_ok();
        match (answer.filter(is_error), self.fault.take()) {
            (Some(answer), _) if matches!(answer.status, 401 | 403) => self.reply(answer),
            (_, Some(Fault::Request(error))) => self.reply(error),
            (Some(answer), _) => self.reply(retry_later(answer)),
            (None, _) => self.reply(control_plane_unavailable()),
        }
    }

    /// Sends what may be sent now, and registers the write when there is nothing left to send.
    pub fn proceed(&mut self) -> Step {
        if self.stage != Stage::Sending {
            return Step::Wait;
        }
        let mut calls = Vec::new();
        for lane in self.lanes.values_mut() {
            while !lane.is_busy
                && let Some(part) = lane.waiting.pop_front()
            {
                let IntendedPart { node, counted, documents, method, target, content_type, body } = part;
                if self.routing.table.nodes.get(node).is_some_and(|node| !node.up) {
                    lane.broken.get_or_insert("the node is down".into());
                }
                if let Some(reason) = &lane.broken {
                    self.replicas.miss(node, &documents, reason, false);
                    continue;
                }
                let content_type = Some(content_type).filter(|_| !body.is_empty());
                let timeout = self.routing.table.policy.write_timeout();
                let key = self.node_key.as_deref();
                let request = NodeRequest { key, method, target, content_type, body, timeout };
                let Some(call) = self.routing.node_call(node, &self.head, request) else { continue };
                calls.push((self.sent.len(), call));
                self.sent.push(Sent { node, counted, documents, outcome: None });
                lane.is_busy = true;
            }
        }
        self.report.fan_out += calls.len() as u64;
        if !calls.is_empty() {
            return Step::Call(calls);
        }
        let is_busy = self.lanes.values().any(|lane| lane.is_busy);
        if self.is_whole && !is_busy { self.all_sent() } else { Step::Wait }
    }

    fn sent(&mut self, call: CallId, answer: Option<Answer>) -> Step {
        let Some(sent) = self.sent.get_mut(call).filter(|sent| sent.outcome.is_none()) else {
            return Step::Wait;
        };
        let lane = self.lanes.entry((sent.node, sent.counted)).or_default();
        lane.is_busy = false;
        let may_be_done = answer.as_ref().is_none_or(may_be_done);
        let outcome = outcome(answer, &mut self.refusal);
        match &outcome {
            PartOutcome::Accepted(_) => self.replicas.accept(sent.node, &sent.documents),
            PartOutcome::Missed(reason) => {
                self.replicas.miss(sent.node, &sent.documents, reason, may_be_done);
                lane.broken = Some(reason.clone());
                self.report.upstream_failures += 1;
            }
        }
        sent.outcome = Some(outcome);
        // A client that goes on sending what can't be acknowledged any more is told at once.
        if !self.is_whole && !self.replicas.can_have_quorum(&self.routing.table) {
            let error = no_quorum(&self.replicas.reasons(&self.routing.table));
            return self.finish(Some(Fault::Request(error)));
        }
        self.proceed()
    }

    fn all_sent(&mut self) -> Step {
        let table = &self.routing.table;
        self.report.degraded = self.replicas.is_any_short();
        match self.fault.take() {
            None if self.replicas.has_quorum(table) => self.register(true, None),
            None => {
                let error = no_quorum(&self.replicas.reasons(table));
                let refusal = self.refusal.take().map(hide::in_error);
                self.break_off(error, refusal)
            }
            Some(Fault::Request(error)) => self.break_off(error, None),
            Some(Fault::Task(error)) => self.register_failure(error),
        }
    }

    /// Refuses a write that nodes have perhaps taken parts of, in a node's own words if it refused it.
    fn break_off(&mut self, error: ApiError, refusal: Option<Reply>) -> Step {
        let table = &self.routing.table;
        if self.is_streamed && self.replicas.accepted(table) > 0 {
            let error = self.incomplete(error);
            self.refuses = Some(error.clone().into());
            return self.register(true, Some(error));
        }
        self.refuse(refusal.unwrap_or_else(|| error.into()))
    }

    /// Refuses a write, once the control plane knows that it is over and which nodes missed what others have of it.
    fn refuse(&mut self, reply: Reply) -> Step {
        if self.ticket.is_none() && self.replicas.behind(&self.routing.table).is_empty() {
            return self.reply(reply);
        }
        self.refuses = Some(reply);
        self.register(false, None)
    }

    fn register_failure(&mut self, error: ApiError) -> Step {
        let error = match self.replicas.accepted(&self.routing.table) {
            0 => error,
            _ => self.incomplete(error),
        };
        self.register(true, Some(error))
    }

    /// The error of a task of which a part was done.
    fn incomplete(&self, error: ApiError) -> ApiError {
        let accepted = self.replicas.accepted(&self.routing.table);
        let message = format!(
            "{} The write was sent to the nodes in parts: {accepted} of its documents had been accepted by then, and \
             stay. Send all of it again.",
            error.message
        );
        ApiError { message, ..error }
    }

    fn registration(&self, acknowledged: bool, error: Option<ApiError>) -> RegisterWrite {
        let accepted = self.sent.iter().filter_map(|sent| {
            let node = self.routing.table.nodes.get(sent.node)?;
            let outcome =
                sent.outcome.clone().filter(|outcome| matches!(outcome, PartOutcome::Accepted(_)))?;
            let shards = sent.documents.shards().collect();
            Some(WritePart { node: node.id.clone(), counted: sent.counted, shards, outcome })
        });
        // A client that gets no task, or went away before there was one, may send the same again.
        let is_answer = acknowledged && self.refuses.is_none() && self.stage == Stage::Registering;
        let used = |key: &Key| UsedKey {
            key: key.key.clone(),
            fingerprint: is_answer.then(|| key.fingerprint.finish()),
        };
        RegisterWrite {
            index: self.subject.index.uid.clone(),
            kind: self.subject.kind,
            epoch: self.routing.table.epoch,
            shards: self.routing.table.shards,
            acknowledged,
            details: self.subject.details.clone(),
            custom_metadata: self.subject.custom_metadata.clone(),
            counted_copies: self.subject.counted_copies,
            parts: accepted.chain(self.replicas.behind(&self.routing.table)).collect(),
            error,
            ticket: self.ticket.clone(),
            idempotency: self.key.as_ref().map(used),
            session: session(&self.head).ok().flatten().map(str::to_owned),
        }
    }

    fn register(&mut self, acknowledged: bool, error: Option<ApiError>) -> Step {
        self.stage = Stage::Registering;
        let message = self.registration(acknowledged, error);
        let call = self.routing.control_call(&self.head, REGISTER_WRITE_PATH, &message);
        // Should it not be heard, the client is told that its write is not acknowledged: then there must be no
        // task, but what nodes missed must still be known.
        let only_missed = acknowledged && message.error.is_none();
        let untold = match only_missed {
            true => RegisterWrite { acknowledged: false, ..message },
            false => message,
        };
        let tells = untold.acknowledged
            || untold.ticket.is_some()
            || untold.parts.iter().any(|part| matches!(part.outcome, PartOutcome::Missed(_)));
        self.untold = Some(untold).filter(|_| tells);
        Step::Call(vec![(0, call)])
    }

    fn registered(&mut self, answer: Option<Answer>) -> Step {
        let is_heard = answer.as_ref().is_some_and(|answer| answer.is_success() || answer.status == 409);
        if is_heard {
            self.untold = None;
        }
        if let Some(reply) = self.refuses.take() {
            return self.reply(reply);
        }
        match answer {
            Some(answer) if answer.is_success() => {
                let is_replayed = answer.headers.iter().any(|(name, _)| name == REPLAYED_HEADER);
                let reply = Reply::json(202, answer.body);
                self.reply(if is_replayed { reply.with_header(REPLAYED_HEADER, "true") } else { reply })
            }
            Some(answer) if answer.status == 409 => match is_of_a_reused_key(&answer) {
                true => self.reply(answer),
                false => self.reply(routing_stale()),
            },
            answer => self.control_plane_refused(answer),
        }
    }

    /// See [`Exchange::testament`](crate::exchange::Exchange::testament).
    pub fn testament(&mut self) -> Option<Call> {
        if self.stage == Stage::Sending {
            for sent in self.sent.iter_mut().filter(|sent| sent.outcome.is_none()) {
                let reason = "the client went away";
                self.replicas.miss(sent.node, &sent.documents, reason, true);
                sent.outcome = Some(PartOutcome::Missed(reason.into()));
            }
            let is_begun = self.replicas.is_begun();
            let has_task = self.replicas.accepted(&self.routing.table) > 0;
            let error = has_task.then(|| self.incomplete(write_interrupted()));
            let is_known = is_begun || self.ticket.is_some();
            self.untold = is_known.then(|| self.registration(has_task, error));
        }
        self.stage = Stage::Over;
        let message = self.untold.take()?;
        Some(self.routing.control_call(&self.head, REGISTER_WRITE_PATH, &message))
    }
}

fn is_of_a_reused_key(answer: &Answer) -> bool {
    let error = serde_json::from_slice::<ApiError>(&answer.body);
    error.is_ok_and(|error| error.code == idempotency::key_reused().code)
}

fn retry_later(answer: Answer) -> Reply {
    let busy = answer.status == 503 && !answer.headers.iter().any(|(name, _)| name == "retry-after");
    let reply = Reply::from(answer);
    if busy { reply.with_header("retry-after", "1") } else { reply }
}

/// What a node made of its part. The first refusal that other nodes would repeat is kept.
fn outcome(answer: Option<Answer>, refusal: &mut Option<Answer>) -> PartOutcome {
    let Some(answer) = answer else { return PartOutcome::Missed("no answer".into()) };
    if answer.is_success() {
        let uid = task_uid(&answer.body);
        return uid
            .map_or_else(|| PartOutcome::Missed("an answer without a task".into()), PartOutcome::Accepted);
    }
    let reason = format!("status {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    // The key is not the client's.
    if answer.is_final_refusal() && !answer.refuses_key() {
        refusal.get_or_insert(answer);
    }
    PartOutcome::Missed(reason)
}

/// Whether a node may have done what it was asked although this answer names no task: it is none of the node's own, as
/// where Envoy answers that an answer did not come.
fn may_be_done(answer: &Answer) -> bool {
    let never_sent = ["no healthy upstream", "connection failure", "connection timeout", "overflow"];
    let body = String::from_utf8_lossy(&answer.body);
    matches!(answer.status, 200..300 | 503 | 504)
        && serde_json::from_slice::<Value>(&answer.body).is_err()
        && !never_sent.iter().any(|reason| body.contains(reason))
}

fn task_uid(body: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Summary {
        task_uid: u64,
    }
    serde_json::from_slice::<Summary>(body).ok().map(|summary| summary.task_uid)
}
