//! What the filter says to the control plane, see [`miroir_core::control`].

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use miroir_core::control::{
    BEGIN_WRITE_PATH, BeginWrite, BegunWrite, FirstAnswer, PartOutcome, REGISTER_WRITE_PATH, RegisterWrite,
    TOKEN_HEADER, WriteKind, WritePart,
};
use miroir_core::error::{ApiError, ErrorType, routing_stale};
use miroir_core::rebalance::{Refused, Shards};
use miroir_core::shard::ShardId;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::idempotency::{self, Begun};
use super::origin::session_write;
use super::{Api, Failure};
use crate::aliases;
use crate::cluster::Cluster;
use crate::indexes::{self, Gates};
use crate::keys;
use crate::store::{Fence, IndexRecord, KnownAnswer, NewTask, Origin, StoreError, TaskPart, TaskStatus};
use crate::tasks::follow::{Taken, follow, taken};
use crate::tasks::{kind, merge, view};

pub fn routes() -> Router<Api> {
    Router::new().route(BEGIN_WRITE_PATH, post(begin_write)).route(REGISTER_WRITE_PATH, post(register_write))
}

async fn begin_write(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<BegunWrite>, Failure> {
    check_token(&api.cluster, &headers)?;
    let write: BeginWrite = parse(&body)?;
    // It could not be acknowledged, so it had better not begin.
    if !write.check_only && write.epoch < api.cluster.store.first_live_epoch().await? {
        return Err(routing_stale().into());
    }
    let access = api.authorize(&headers, &write.action, Some(&write.index)).await?;
    let write = BeginWrite { create: write.create && access.may_create, ..write };
    if write.check_only {
        let index = api.cluster.store.index(&write.index).await?;
        return Ok(Json(begun(index.as_ref(), None)));
    }
    let claim = match &write.idempotency_key {
        Some(key) => match idempotency::begin(&api.cluster, &idempotency::id(&headers, key)).await? {
            Begun::Claimed(claim) => Some(claim),
            Begun::Answered(known) => return Ok(Json(answered(&known))),
        },
        None => None,
    };
    let mut passage = Passage { gates: &api.cluster.gates, write: None };
    let passed = passage.begin(&write.index).await;
    // Asked once the gate is passed: who changes the alias waits for those that have passed before.
    if !aliases::may_write(&api.cluster, write.alias.as_deref(), &write.index) {
        return Err(routing_stale().into());
    }
    let index = indexes::ensure(&api.cluster, &write).await?;
    let primary_key = index.as_ref().and_then(|index| index.primary_key.as_deref());
    let goes_on =
        index.is_none() || write.primary_key.is_none() || write.primary_key.as_deref() == primary_key;
    if goes_on {
        passage.write = None;
        claim.into_iter().for_each(|claim| claim.hand_on(passed));
    }
    let ticket = Ticket { write: passed, generation: index.as_ref().map(|index| index.generation) };
    let node_key = (write.action != WriteKind::DocumentEdition.action())
        .then(|| keys::value_on_nodes(&api.cluster.config, &keys::writer()));
    Ok(Json(BegunWrite { node_key: node_key.flatten(), ..begun(index.as_ref(), Some(ticket)) }))
}

/// A write that has passed its gate. It is over if the filter does not wait for the answer: then nobody will ever tell of
/// its end.
struct Passage<'g> {
    gates: &'g Gates,
    write: Option<Uuid>,
}

impl Passage<'_> {
    async fn begin(&mut self, index: &str) -> Uuid {
        *self.write.insert(self.gates.pass(index).await)
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        if let Some(write) = self.write {
            self.gates.leave(write);
        }
    }
}

fn begun(index: Option<&IndexRecord>, ticket: Option<Ticket>) -> BegunWrite {
    BegunWrite {
        exists: index.is_some(),
        primary_key: index.and_then(|index| index.primary_key.clone()),
        ticket: ticket.map(|ticket| ticket.to_string()),
        node_key: None,
        first_answer: None,
    }
}

fn answered(known: &KnownAnswer) -> BegunWrite {
    let first =
        FirstAnswer { fingerprint: known.fingerprint.clone(), task: view::summary(known.task.clone()) };
    BegunWrite { exists: true, primary_key: None, ticket: None, node_key: None, first_answer: Some(first) }
}

/// What a write is known by from its beginning to its registration.
struct Ticket {
    /// See [`Gates`](crate::indexes::Gates).
    write: Uuid,
    /// Of the index, if there is one.
    generation: Option<u64>,
}

impl std::fmt::Display for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.generation {
            Some(generation) => write!(f, "{}.{generation}", self.write),
            None => write!(f, "{}", self.write),
        }
    }
}

impl Ticket {
    fn parse(text: &str) -> Option<Ticket> {
        let (write, generation) = match text.split_once('.') {
            Some((write, generation)) => (write, Some(generation.parse().ok()?)),
            None => (text, None),
        };
        Some(Ticket { write: write.parse().ok()?, generation })
    }
}

async fn register_write(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    check_token(&api.cluster, &headers)?;
    let write: RegisterWrite = parse(&body)?;
    let ticket = write.ticket.as_deref().and_then(Ticket::parse);
    let under_way = ticket.as_ref().map(|ticket| ticket.write);
    let key = write.idempotency.as_ref().map(|used| idempotency::id(&headers, &used.key));
    let answer = register(&api, write, ticket, key.clone()).await;
    if let Some(under_way) = under_way {
        api.cluster.gates.leave(under_way);
        key.into_iter().for_each(|key| api.cluster.claims.release(&key, under_way));
    }
    answer
}

/// `key` is the id of the client's idempotency key.
async fn register(
    api: &Api,
    write: RegisterWrite,
    ticket: Option<Ticket>,
    key: Option<String>,
) -> Result<Response, Failure> {
    let (missed, taken) = (missed(&write.parts), taken(&write.parts));
    let refused = Refused {
        took: accepted(&write.parts),
        of: write.shards,
        missed: missed.iter().cloned().map(|(node, shards)| (node, shards.into_iter().collect())).collect(),
        differs: false,
    };
    if !write.acknowledged {
        follow(&api.cluster, taken, refused.of);
        leave(&api.cluster, refused).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    // It took so long that another one has begun in its place.
    let is_superseded = ticket
        .as_ref()
        .zip(key.as_ref())
        .is_some_and(|(ticket, key)| api.cluster.claims.is_held_by_another(key, ticket.write));
    if is_superseded {
        return refuse(&api.cluster, refused, taken).await;
    }
    let fingerprint = write.idempotency.and_then(|used| used.fingerprint);
    let used_key = key.zip(fingerprint.clone());
    let origin = Origin {
        idempotency: used_key.map(|(key, fingerprint)| idempotency::used_key(&api.cluster, key, fingerprint)),
        session: write.session.as_deref().map(|id| session_write(&api.cluster, id)),
    };
    let (kind, fails) = (kind(write.kind), write.error.is_some());
    let copies = write.counted_copies;
    let generation = ticket.and_then(|ticket| ticket.generation);
    let index = generation.map(|generation| (write.index.clone(), generation));
    let is_late = !fails && came_past_a_change(&api.cluster, &write.index, &refused.took).await?;
    if is_late {
        return refuse(&api.cluster, Refused { differs: true, ..refused }, taken).await;
    }
    let parts: Vec<TaskPart> = write
        .parts
        .into_iter()
        // What a node missed doesn't matter to a task that fails anyway.
        .filter(|part| !fails || matches!(part.outcome, PartOutcome::Accepted(_)))
        .map(|part| TaskPart { of: write.shards, ..task_part(part, copies) })
        .collect();
    let is_over = fails && parts.is_empty();
    let task = NewTask {
        index_uid: Some(write.index),
        kind: kind.to_owned(),
        status: if is_over { TaskStatus::Failed } else { TaskStatus::Enqueued },
        details: if is_over { merge::undone(kind, write.details) } else { write.details },
        error: write.error,
        parts,
        custom_metadata: write.custom_metadata,
        ticket: write.ticket,
        settings_version: None,
        origin,
    };
    // What failed may have been routed in any way: it is not acknowledged.
    let fence =
        (!fails).then(|| Fence { epoch: write.epoch, of: write.shards, missed: missed.clone(), index });
    if fails {
        leave(&api.cluster, refused.clone()).await?;
    }
    let task = match api.cluster.store.register_task(task, fence).await {
        Ok(task) => task,
        Err(StoreError::EpochRetired(_) | StoreError::NoCleanCopy(_)) => {
            return refuse(&api.cluster, refused, taken).await;
        }
        Err(StoreError::IndexChanged(_)) => {
            return refuse(&api.cluster, Refused { differs: true, ..refused }, taken).await;
        }
        // Another one with its key was under way when the control plane was restarted, and was registered first.
        Err(StoreError::KeyUsed(known)) => {
            follow(&api.cluster, taken, refused.of);
            leave(&api.cluster, refused).await?;
            return Ok(idempotency::repeat(&known, &fingerprint.unwrap_or_default()));
        }
        Err(error) => return Err(error.into()),
    };
    api.cluster.task_registered.notify_one();
    if !fails && !missed.is_empty() {
        // Before the client hears of its write: whoever reads after that must not read a stale replica.
        api.cluster.publish_everywhere().await?;
    }
    Ok(Json(view::summary(&task)).into_response())
}

/// Whether a node took its part while it still has to take a change of what the uid names: to that node the uid was
/// another index. The filter did not know yet that the node was taken down.
async fn came_past_a_change(cluster: &Cluster, index: &str, accepted: &Shards) -> Result<bool, StoreError> {
    for node in accepted.keys().filter(|node| !is_up(cluster, node)) {
        let pending = cluster.store.pending_changes(node).await?;
        if pending.iter().any(|pending| pending.change.uids().contains(&index)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Has a client repeat a write that can't be acknowledged, once it is known what it leaves behind.
async fn refuse(cluster: &Arc<Cluster>, write: Refused, taken: Vec<Taken>) -> Result<Response, Failure> {
    follow(cluster, taken, write.of);
    leave(cluster, write).await?;
    Err(ApiError { status: 409, ..routing_stale() }.into())
}

async fn leave(cluster: &Cluster, write: Refused) -> Result<(), StoreError> {
    if write.took.is_empty() && write.missed.is_empty() {
        return Ok(());
    }
    cluster.store.leave(&write).await?;
    cluster.rebalance.wake();
    cluster.publish_everywhere().await
}

fn is_up(cluster: &Cluster, id: &str) -> bool {
    cluster.table().nodes.iter().any(|node| node.id == id && node.up)
}

pub(super) fn check_token(cluster: &Cluster, headers: &HeaderMap) -> Result<(), ApiError> {
    let token = headers.get(TOKEN_HEADER).map(|token| token.as_bytes()).unwrap_or_default();
    match token.ct_eq(cluster.filter_token.as_bytes()).into() {
        true => Ok(()),
        false => {
            let message = "This route is for Miroir's filter alone.";
            Err(ApiError::new(403, "invalid_api_key", ErrorType::Auth, message))
        }
    }
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::new(400, "bad_request", ErrorType::InvalidRequest, error.to_string()))
}

/// The shards of which each node took a part.
fn accepted(parts: &[WritePart]) -> Shards {
    let mut accepted = Shards::new();
    for part in parts.iter().filter(|part| matches!(part.outcome, PartOutcome::Accepted(_))) {
        accepted.entry(part.node.clone()).or_default().extend(&part.shards);
    }
    accepted
}

/// The owners that missed a write, with the shards they missed.
type Missed = Vec<(String, Vec<ShardId>)>;

fn missed(parts: &[WritePart]) -> Missed {
    let missed = parts.iter().filter(|part| matches!(part.outcome, PartOutcome::Missed(_)));
    missed.map(|part| (part.node.clone(), part.shards.clone())).collect()
}

fn task_part(part: WritePart, counted_copies: u64) -> TaskPart {
    TaskPart {
        counted: part.counted,
        counted_copies,
        shards: part.shards,
        ..TaskPart::new(part.node, part.outcome)
    }
}

fn kind(kind: WriteKind) -> &'static str {
    match kind {
        WriteKind::DocumentAdditionOrUpdate => kind::DOCUMENT_ADDITION,
        WriteKind::DocumentDeletion => kind::DOCUMENT_DELETION,
        WriteKind::DocumentEdition => kind::DOCUMENT_EDITION,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_write_whose_beginning_nobody_waited_for_is_over() {
        let gates = Gates::default();
        let mut passage = Passage { gates: &gates, write: None };
        passage.begin("movies").await;
        assert!(!gates.barrier("movies", Duration::ZERO).await);
        drop(passage);
        assert!(gates.barrier("movies", Duration::ZERO).await);
    }
}
