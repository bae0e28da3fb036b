//! How far a copy is.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How far copies are, for others to look at while they run. Several may share one.
#[derive(Debug, Default)]
pub struct Progress {
    documents: AtomicU64,
    documents_done: AtomicU64,
    bytes_done: AtomicU64,
}

/// How far copies were when one looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgressNow {
    /// The documents that are to be looked at, as far as is known yet.
    pub documents: u64,
    /// Those of them that were, and were copied where needed.
    pub documents_done: u64,
    /// How many bytes of documents were sent to targets, those that were sent again included.
    pub bytes_done: u64,
}

impl Progress {
    /// How far they are.
    pub fn now(&self) -> ProgressNow {
        ProgressNow {
            documents: self.documents.load(Relaxed),
            documents_done: self.documents_done.load(Relaxed),
            bytes_done: self.bytes_done.load(Relaxed),
        }
    }

    /// So many documents more are to be looked at.
    pub(super) fn expect(&self, documents: usize) {
        self.documents.fetch_add(documents as u64, Relaxed);
    }

    pub(super) fn done(&self, documents: usize) {
        self.documents_done.fetch_add(documents as u64, Relaxed);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.bytes_done.fetch_add(bytes as u64, Relaxed);
    }
}
