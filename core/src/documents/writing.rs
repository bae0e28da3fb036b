//! A write from its split parts to its acknowledgement: begin, send, register.

use std::sync::Arc;

use crate::control::{
    BEGIN_WRITE_PATH, BeginWrite, BegunWrite, PartOutcome, REGISTER_WRITE_PATH, RegisterWrite, WriteKind,
    WritePart,
};
use crate::documents::split::owners;
use crate::error::{ApiError, ErrorType, control_plane_unavailable, no_quorum, routing_stale};
use crate::exchange::{Answer, CallId, Reply, Report, RequestHead, Step};
use crate::hide;
use crate::routing::{NodeRequest, Routing};
use crate::shard_set::ShardSet;
use crate::table::{NodeIndex, RoutingTable};

/// A write, ready to go to the nodes.
#[derive(Debug)]
pub struct Intent {
    /// The index's uid.
    pub index: String,
    /// What the task is.
    pub kind: WriteKind,
    /// The primary key by which the documents were split; `None` if none was needed or found.
    pub primary_key: Option<String>,
    /// `details.receivedDocuments`.
    pub received_documents: Option<u64>,
    /// `details.providedIds`.
    pub provided_ids: Option<u64>,
    /// What each node is to do.
    pub parts: Vec<IntendedPart>,
    /// What is wrong with it.
    pub fault: Option<Fault>,
}

/// What keeps a write from the nodes.
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
    /// The shards it is about.
    pub shards: ShardSet,
    /// The request's method.
    pub method: &'static str,
    /// The request's path and query string.
    pub target: String,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// The exchange after its body was read.
#[derive(Debug)]
pub struct Writing {
    routing: Arc<Routing>,
    head: RequestHead,
    intent: Intent,
    stage: Stage,
    /// Parts that were called, by call.
    sent: Vec<WritePart>,
    waiting_for: usize,
    refusal: Option<Answer>,
    acknowledged: bool,
    ticket: Option<String>,
    report: Report,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Beginning,
    Sending,
    Registering,
}

impl Writing {
    /// The exchange before its first call.
    pub fn new(routing: Arc<Routing>, head: RequestHead, intent: Intent) -> Writing {
        Writing {
            routing,
            head,
            intent,
            stage: Stage::Beginning,
            sent: Vec::new(),
            waiting_for: 0,
            refusal: None,
            acknowledged: false,
            ticket: None,
            report: Report::default(),
        }
    }

    /// Asks the control plane whether the write may begin. So a write that can't be registered touches no node.
    pub fn begin(&mut self) -> Step {
        let adds = self.intent.kind == WriteKind::DocumentAdditionOrUpdate;
        let message = BeginWrite {
            index: self.intent.index.clone(),
            action: if adds { "documents.add" } else { "documents.delete" }.into(),
            epoch: self.routing.table.epoch,
            create: adds && !matches!(self.intent.fault, Some(Fault::Request(_))),
            primary_key: self.intent.primary_key.clone().filter(|_| self.intent.fault.is_none()),
            check_only: matches!(self.intent.fault, Some(Fault::Request(_))),
        };
        Step::Call(vec![(0, self.routing.control_call(&self.head, BEGIN_WRITE_PATH, &message))])
    }

    /// Takes the answer to a call.
    pub fn answered(&mut self, call: CallId, answer: Option<Answer>) -> Step {
        match self.stage {
            Stage::Beginning => self.begun(answer),
            Stage::Sending => self.sent(call, answer),
            Stage::Registering => self.registered(answer),
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
        match self.intent.fault.take() {
            Some(Fault::Request(error)) => return error.into(),
            Some(Fault::Task(error)) => return self.register_failure(error),
            None => {}
        }
        let Ok(begun) = begun else {
            return control_plane_unavailable().into();
        };
        if !begun.exists {
            return self.register_failure(index_not_found(&self.intent.index));
        }
        // Someone else gave the index its primary key since our table was made, and it is another one.
        if self.intent.primary_key.is_some() && begun.primary_key != self.intent.primary_key {
            return routing_stale().into();
        }
        self.send()
    }

    /// The control plane's own error if it gave one. Before that the client is told what it could mend itself, but
    /// not if its key is at fault.
    fn control_plane_refused(&mut self, answer: Option<Answer>) -> Step {
        let is_error = |answer: &Answer| serde_json::from_slice::<ApiError>(&answer.body).is_ok();
        match (answer.filter(is_error), self.intent.fault.take()) {
            (Some(answer), _) if matches!(answer.status, 401 | 403) => Step::Reply(answer.into()),
            (_, Some(Fault::Request(error))) => error.into(),
            (Some(answer), _) => retry_later(answer),
            (None, _) => control_plane_unavailable().into(),
        }
    }

    fn register_failure(&mut self, error: ApiError) -> Step {
        self.acknowledged = true;
        self.register(Some(error))
    }

    fn send(&mut self) -> Step {
        self.stage = Stage::Sending;
        let mut calls = Vec::new();
        for part in std::mem::take(&mut self.intent.parts) {
            let Some(node) = self.routing.table.nodes.get(part.node) else { continue };
            let outcome = PartOutcome::Missed(if node.up { "no answer" } else { "the node is down" }.into());
            let shards = part.shards.iter().collect();
            self.sent.push(WritePart { node: node.id.clone(), counted: part.counted, shards, outcome });
            if !node.up {
                continue;
            }
            let request = NodeRequest {
                method: part.method,
                target: part.target,
                content_type: Some(part.content_type),
                body: part.body,
                timeout: self.routing.table.policy.write_timeout(),
            };
            if let Some(call) = self.routing.node_call(part.node, &self.head, request) {
                calls.push((self.sent.len() - 1, call));
            }
        }
        self.waiting_for = calls.len();
        self.report.fan_out = calls.len() as u64;
        if calls.is_empty() { self.all_sent() } else { Step::Call(calls) }
    }

    fn sent(&mut self, call: CallId, answer: Option<Answer>) -> Step {
        let Some(part) = self.sent.get_mut(call) else { return Step::Wait };
        part.outcome = match answer {
            Some(answer) if answer.is_success() => match task_uid(&answer.body) {
                Some(uid) => PartOutcome::Accepted(uid),
                None => PartOutcome::Missed("an answer without a task".into()),
            },
            Some(answer) => {
                let reason = format!("status {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
                if answer.is_final_refusal() {
                    self.refusal.get_or_insert(answer);
                }
                PartOutcome::Missed(reason)
            }
            None => PartOutcome::Missed("no answer".into()),
        };
        if matches!(part.outcome, PartOutcome::Missed(_)) {
            self.report.upstream_failures += 1;
        }
        self.waiting_for = self.waiting_for.saturating_sub(1);
        if self.waiting_for == 0 { self.all_sent() } else { Step::Wait }
    }

    fn all_sent(&mut self) -> Step {
        self.acknowledged = has_quorum(&self.routing.table, &self.sent);
        self.report.degraded = self.sent.iter().any(|part| matches!(part.outcome, PartOutcome::Missed(_)));
        // A write of which some node has a part is registered even if it failed: the other owners missed it. So is one
        // that the control plane has a ticket out for: it is over.
        if self.acknowledged || self.ticket.is_some() || self.someone_missed_what_another_has() {
            self.register(None)
        } else {
            self.not_acknowledged()
        }
    }

    fn someone_missed_what_another_has(&self) -> bool {
        left_behind(&self.sent).iter().any(|part| matches!(part.outcome, PartOutcome::Missed(_)))
    }

    fn register(&mut self, error: Option<ApiError>) -> Step {
        self.stage = Stage::Registering;
        let message = RegisterWrite {
            index: self.intent.index.clone(),
            kind: self.intent.kind,
            epoch: self.routing.table.epoch,
            acknowledged: self.acknowledged,
            received_documents: self.intent.received_documents,
            provided_ids: self.intent.provided_ids,
            parts: left_behind(&self.sent),
            error,
            ticket: self.ticket.clone(),
        };
        Step::Call(vec![(0, self.routing.control_call(&self.head, REGISTER_WRITE_PATH, &message))])
    }

    fn registered(&mut self, answer: Option<Answer>) -> Step {
        match answer {
            _ if !self.acknowledged => self.not_acknowledged(),
            Some(answer) if answer.is_success() => Step::Reply(Reply::json(202, answer.body)),
            Some(answer) if answer.status == 409 => routing_stale().into(),
            answer => self.control_plane_refused(answer),
        }
    }

    fn not_acknowledged(&mut self) -> Step {
        if let Some(refusal) = self.refusal.take() {
            return Step::Reply(hide::in_error(refusal));
        }
        let reasons: Vec<String> = self
            .sent
            .iter()
            .filter_map(|part| match &part.outcome {
                PartOutcome::Missed(reason) => Some(format!("node {}: {reason}", part.node)),
                PartOutcome::Accepted(_) => None,
            })
            .collect();
        no_quorum(&reasons.join("; ")).into()
    }
}

fn retry_later(answer: Answer) -> Step {
    let busy = answer.status == 503 && !answer.headers.iter().any(|(name, _)| name == "retry-after");
    let reply = Reply::from(answer);
    Step::Reply(if busy { reply.with_header("retry-after", "1") } else { reply })
}

fn index_not_found(index: &str) -> ApiError {
    ApiError::new(404, "index_not_found", ErrorType::InvalidRequest, format!("Index `{index}` not found."))
}

fn task_uid(body: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Summary {
        task_uid: u64,
    }
    serde_json::from_slice::<Summary>(body).ok().map(|summary| summary.task_uid)
}

/// The parts as the control plane is to know them: a node missed a shard's documents only where another has them.
fn left_behind(parts: &[WritePart]) -> Vec<WritePart> {
    let has = |shard| {
        parts
            .iter()
            .any(|part| matches!(part.outcome, PartOutcome::Accepted(_)) && part.shards.contains(&shard))
    };
    let mut known = parts.to_vec();
    for part in &mut known {
        if matches!(part.outcome, PartOutcome::Missed(_)) {
            part.shards.retain(|&shard| has(shard));
        }
    }
    known.retain(|part| !part.shards.is_empty());
    known
}

/// Whether of every shard in the parts a quorum of owners in one group enqueued it.
fn has_quorum(table: &RoutingTable, parts: &[WritePart]) -> bool {
    let mut written = ShardSet::empty(table.shards);
    let mut accepted: Vec<ShardSet> = vec![ShardSet::empty(table.shards); table.nodes.len()];
    for part in parts {
        part.shards.iter().for_each(|&shard| written.insert(shard));
        let node = table.nodes.iter().position(|node| node.id == part.node);
        if let (PartOutcome::Accepted(_), Some(set)) =
            (&part.outcome, node.and_then(|node| accepted.get_mut(node)))
        {
            part.shards.iter().for_each(|&shard| set.insert(shard));
        }
    }
    let has = |node: NodeIndex, shard| accepted.get(node).is_some_and(|set| set.contains(shard));
    written.iter().all(|shard| {
        table.groups.iter().any(|group| {
            let owners = group.owners.get(shard as usize).map_or(&[][..], Vec::as_slice);
            let count = owners.iter().filter(|&&node| has(node, shard)).count();
            count >= table.write_quorum(owners.len())
        })
    })
}

/// The owner of a shard whose count of deleted documents is the client's: the first that is up and clean.
pub fn counting_owner(table: &RoutingTable, shard: crate::shard::ShardId) -> Option<NodeIndex> {
    let is_good =
        |&node: &NodeIndex| table.nodes.get(node).is_some_and(|node| node.up) && !table.is_stale(node, shard);
    let is_up = |&node: &NodeIndex| table.nodes.get(node).is_some_and(|node| node.up);
    owners(table, shard).find(is_good).or_else(|| owners(table, shard).find(is_up))
}
