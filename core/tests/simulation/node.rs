//! A node: an in-order queue of enqueued writes, which are done later. Neither is lost when it crashes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;

use miroir_core::error::index_not_found;
use miroir_core::exchange::{Answer, Call};
use miroir_core::shard::ShardId;
use miroir_core::tag;
use serde::Deserialize;

pub type DocumentId = u64;

/// What a node holds of a document. Replacing it sets both fields, a partial update one; the values are the numbers of
/// the writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Document {
    pub shard: ShardId,
    pub fields: [Option<u64>; 2],
}

#[derive(Clone, Debug)]
pub enum Work {
    Replace(Vec<(DocumentId, Document)>),
    Update(Vec<(DocumentId, Document)>),
    Delete(Vec<DocumentId>),
    DeleteShards(BTreeSet<ShardId>),
}

#[derive(Clone, Debug)]
pub struct Task {
    pub uid: u64,
    /// The number of the client's write; 0 for the control plane's own.
    pub write: u64,
    pub work: Work,
}

#[derive(Debug, Default)]
pub struct Node {
    pub is_running: bool,
    /// Whether somebody sees to it that its tasks are done.
    pub is_working: bool,
    /// How much longer than others it takes for a task.
    pub slowness: u64,
    /// A node that was wiped has none until it is brought in step.
    pub has_index: bool,
    pub documents: BTreeMap<DocumentId, Document>,
    pub queue: VecDeque<Task>,
    next_uid: u64,
    /// Whether it succeeded.
    pub finished: BTreeMap<u64, bool>,
}

#[derive(Deserialize)]
struct Sent {
    id: DocumentId,
    a: Option<u64>,
    b: Option<u64>,
    #[serde(rename = "_miroir_shard")]
    tag: String,
}

#[derive(Deserialize)]
struct Query {
    filter: Option<String>,
}

impl Node {
    pub fn new() -> Node {
        Node { is_running: true, has_index: true, next_uid: 1, ..Node::default() }
    }

    /// All is gone, but task uids are never used again: what a node does not know it has lost.
    pub fn wipe(&mut self) {
        let Node { next_uid, is_running, is_working, .. } = *self;
        *self = Node { next_uid, is_running, is_working, ..Node::default() };
    }

    pub fn enqueue(&mut self, write: u64, work: Work) -> u64 {
        let uid = self.next_uid;
        self.next_uid += 1;
        self.queue.push_back(Task { uid, write, work });
        uid
    }

    pub fn newest_task(&self) -> u64 {
        self.next_uid - 1
    }

    pub fn has_done(&self, uid: u64) -> bool {
        self.queue.front().is_none_or(|task| task.uid > uid)
    }

    /// Does the next task, or fails to.
    pub fn work(&mut self, fails: bool) -> Option<Task> {
        let task = self.queue.pop_front()?;
        self.finished.insert(task.uid, !fails);
        if !fails {
            match &task.work {
                Work::Replace(documents) => self.documents.extend(documents.iter().copied()),
                Work::Update(documents) => {
                    for (id, update) in documents {
                        let document = self.documents.entry(*id).or_insert(*update);
                        for (field, value) in document.fields.iter_mut().zip(update.fields) {
                            *field = value.or(*field);
                        }
                    }
                }
                Work::Delete(ids) => self.documents.retain(|id, _| !ids.contains(id)),
                Work::DeleteShards(shards) => {
                    self.documents.retain(|_, document| !shards.contains(&document.shard));
                }
            }
        }
        Some(task)
    }

    pub fn ids_of(&self, shard: ShardId) -> BTreeSet<DocumentId> {
        self.documents.iter().filter(|(_, document)| document.shard == shard).map(|(id, _)| *id).collect()
    }

    /// Answers a filter's call.
    pub fn answer(&mut self, call: &Call) -> Answer {
        if !self.has_index {
            return answer(404, index_not_found("i").to_json());
        }
        let path = call.target.split('?').next().unwrap_or_default();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (&*call.method, segments.as_slice()) {
            ("POST", ["indexes", _, "search"]) => self.search(call),
            (method @ ("POST" | "PUT"), ["indexes", _, "documents"]) => {
                let lines = call.body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
                let documents = lines.map(|line| {
                    let sent: Sent = serde_json::from_slice(line).expect("a document");
                    let shard = tag::decode(&sent.tag).expect("a tag");
                    (sent.id, Document { shard, fields: [sent.a, sent.b] })
                });
                let documents = documents.collect();
                self.take(
                    call,
                    if method == "PUT" { Work::Update(documents) } else { Work::Replace(documents) },
                )
            }
            ("POST", ["indexes", _, "documents", "delete-batch"]) => {
                let ids: Vec<String> = serde_json::from_slice(&call.body).expect("ids");
                self.take(call, Work::Delete(ids.iter().map(|id| id.parse().expect("an id")).collect()))
            }
            ("GET", ["indexes", _, "documents", id]) => {
                let id = id.parse().expect("an id");
                match self.documents.get(&id) {
                    Some(document) => answer(200, json(id, document, "").into_bytes()),
                    None => answer(
                        404,
                        br#"{"message":"no","code":"document_not_found","type":"invalid_request","link":""}"#
                            .to_vec(),
                    ),
                }
            }
            _ => panic!("no node is asked {} {}", call.method, call.target),
        }
    }

    fn take(&mut self, call: &Call, work: Work) -> Answer {
        let write = call.headers.iter().find(|(name, _)| name == "x-request-id");
        let uid = self.enqueue(write.map_or(0, |(_, write)| write.parse().expect("a number")), work);
        answer(202, format!("{{\"taskUid\":{uid}}}").into_bytes())
    }

    fn search(&self, call: &Call) -> Answer {
        let query: Query = serde_json::from_slice(&call.body).expect("a query");
        let shards: Option<BTreeSet<ShardId>> = query.filter.map(|clause| {
            let tags = clause.split('[').nth(1).expect("tags").trim_end_matches(']');
            tags.split(", ").map(|tag| tag::decode(tag.trim_matches('"')).expect("a tag")).collect()
        });
        let is_asked_for =
            |document: &Document| shards.as_ref().is_none_or(|shards| shards.contains(&document.shard));
        let mut body = String::from("{\"hits\":[");
        let mut total = 0;
        for (id, document) in self.documents.iter().filter(|(_, document)| is_asked_for(document)) {
            let comma = if total > 0 { "," } else { "" };
            let _ = write!(body, "{comma}{}", json(*id, document, ",\"_rankingScore\":1.0"));
            total += 1;
        }
        let _ = write!(
            body,
            "],\"query\":\"\",\"processingTimeMs\":1,\"limit\":1000,\"offset\":0,\"estimatedTotalHits\":{total}}}"
        );
        answer(200, body.into_bytes())
    }
}

pub fn answer(status: u16, body: Vec<u8>) -> Answer {
    Answer { status, headers: Vec::new(), body }
}

fn json(id: DocumentId, document: &Document, more: &str) -> String {
    let mut json = format!("{{\"id\":{id}");
    for (name, value) in ["a", "b"].iter().zip(document.fields) {
        if let Some(value) = value {
            let _ = write!(json, ",\"{name}\":{value}");
        }
    }
    let _ = write!(json, ",\"_miroir_shard\":\"{}\"{more}}}", tag::encode(document.shard));
    json
}
