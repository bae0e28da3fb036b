//! What clients did to each document, and so what it may be.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::shard::{ShardId, shard_of};

use crate::node::DocumentId;
use crate::world::{DOCUMENTS, SHARDS};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets both fields to the write's number.
    Replace,
    /// Sets the first field.
    Update,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub write: u64,
    pub change: Change,
    /// An attempt that is not acknowledged may have been done or not.
    pub is_acknowledged: bool,
}

/// Both fields; all empty where there is no document, as each write sets the first.
pub type Fields = [Option<u64>; 2];

/// What a document was seen to be on all clean replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    pub touched: usize,
    pub fields: Fields,
    /// The newest table when it was first seen so.
    pub version: u64,
}

#[derive(Default)]
pub struct DocumentHistory {
    pub shard: ShardId,
    pub attempts: Vec<Attempt>,
    /// Whether a write is under way. Writes to one document follow each other: their order on the nodes is else not
    /// defined.
    pub is_locked: bool,
    pub settled: Option<Settled>,
    /// Whether the filter of a write crashed, so that nobody can know of what the copies differ.
    pub is_orphan: bool,
}

#[derive(Default)]
pub struct History {
    pub documents: BTreeMap<DocumentId, DocumentHistory>,
    pub writes: u64,
    pub acknowledged: u64,
    pub reads: u64,
    pub checked_reads: u64,
    /// Writes of which a node's task failed: it depends on the other copies whether they are done.
    pub failed: BTreeSet<u64>,
    /// The writes whose filter has still something to do or to tell, with their Envoy and documents.
    pub under_way: BTreeMap<u64, (usize, Vec<DocumentId>)>,
}

impl History {
    pub fn new() -> History {
        let document = |id: DocumentId| {
            (id, DocumentHistory { shard: shard_of(&id.to_string(), SHARDS), ..DocumentHistory::default() })
        };
        History { documents: (1..=DOCUMENTS).map(document).collect(), ..History::default() }
    }

    /// Locks the documents and returns the number of the write.
    pub fn begin(&mut self, envoy: usize, ids: &[DocumentId], change: Change) -> u64 {
        self.writes += 1;
        for id in ids {
            let document = self.documents.get_mut(id).expect("a known document");
            document.is_locked = true;
            document.attempts.push(Attempt { write: self.writes, change, is_acknowledged: false });
        }
        self.under_way.insert(self.writes, (envoy, ids.to_vec()));
        self.writes
    }

    pub fn acknowledge(&mut self, ids: &[DocumentId]) {
        self.acknowledged += 1;
        for id in ids {
            if let Some(attempt) =
                self.documents.get_mut(id).and_then(|document| document.attempts.last_mut())
            {
                attempt.is_acknowledged = true;
            }
        }
    }

    pub fn unlock(&mut self, ids: &[DocumentId]) {
        for id in ids {
            self.documents.get_mut(id).expect("a known document").is_locked = false;
        }
    }

    /// An Envoy crashed: nobody tells the control plane what became of its writes.
    pub fn orphan(&mut self, envoy: usize) {
        let (lost, left) =
            std::mem::take(&mut self.under_way).into_iter().partition(|(_, (other, _))| *other == envoy);
        self.under_way = left;
        let lost: BTreeMap<u64, (usize, Vec<DocumentId>)> = lost;
        let lost: Vec<DocumentId> = lost.into_values().flat_map(|(_, ids)| ids).collect();
        for id in lost {
            self.documents.get_mut(&id).expect("a known document").is_orphan = true;
        }
    }

    /// What a document may be: by its last certain write, or by any uncertain one after it.
    pub fn allows(&self, id: DocumentId, fields: Fields) -> bool {
        let Some(document) = self.documents.get(&id) else { return false };
        let mut allowed = [BTreeSet::from([None]), BTreeSet::from([None])];
        for attempt in &document.attempts {
            let write = Some(attempt.write);
            let after = match attempt.change {
                Change::Replace => [Some(write), Some(write)],
                Change::Update => [Some(write), None],
                Change::Delete => [Some(None), Some(None)],
            };
            let is_certain = attempt.is_acknowledged && !self.failed.contains(&attempt.write);
            for (allowed, after) in allowed.iter_mut().zip(after) {
                if let Some(after) = after {
                    if is_certain {
                        allowed.clear();
                    }
                    allowed.insert(after);
                }
            }
        }
        allowed.iter().zip(fields).all(|(allowed, field)| allowed.contains(&field))
    }

    /// The last attempts at a document, for a person.
    pub fn describe(&self, id: DocumentId) -> String {
        let Some(document) = self.documents.get(&id) else { return String::new() };
        let from = document.attempts.len().saturating_sub(5);
        let attempts = document.attempts.iter().skip(from).map(|attempt| {
            let failed = if self.failed.contains(&attempt.write) { " failed" } else { "" };
            let state = if attempt.is_acknowledged { "ok" } else { "?" };
            format!("{}:{:?} {state}{failed}", attempt.write, attempt.change)
        });
        format!("document {id} of shard {}: {}", document.shard, attempts.collect::<Vec<_>>().join(", "))
    }
}
