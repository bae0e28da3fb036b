//! How fast nodes answer reads: when a call is late, so that another node is asked too, and which nodes are slow, so that
//! others are read.
//!
//! Nodes are told apart by their Envoy clusters, so that a new routing table keeps what is known. Each worker of an Envoy
//! keeps its own measurements; which nodes are slow they tell each other, so that the pages of a query see one plan
//! whichever worker they come to. Time is an input, counted from the Unix epoch.

mod budget;
mod latency;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::exchange::Call;
use crate::router::Kind;
use crate::routing::Routing;
use budget::Budget;
use latency::Latencies;
pub use watch::Watch;

/// How long a node stays slow after it was last seen to be.
const SLOW_FOR: Duration = Duration::from_secs(10);

/// How often a worker asks a slow node something only to see whether it still is.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How long such a question may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What one worker knows of the pace of a cluster's nodes.
#[derive(Debug, Default)]
pub struct Pace {
    latencies: Latencies,
    budget: Budget,
    /// The nodes that are slow, and until when, in milliseconds.
    slow: BTreeMap<String, u64>,
    /// Those that this worker has seen to be slow, until all workers know.
    seen: BTreeSet<String>,
    /// When each slow node was last probed.
    probed: BTreeMap<String, Duration>,
    probes: VecDeque<Probe>,
}

/// A question whose answer only tells how long it took.
#[derive(Debug)]
pub struct Probe {
    /// Its kind.
    pub kind: Kind,
    /// What a client's request asks another node, sent to a slow one.
    pub call: Call,
}

/// What comes of what all workers know.
#[derive(Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Whether other nodes are slow now than were before.
    pub changed: bool,
    /// What all workers should know instead.
    pub tell: Option<Vec<u8>>,
}

impl Pace {
    /// Whether the node behind this Envoy cluster is slow.
    pub fn is_slow(&self, node: &str) -> bool {
        self.slow.contains_key(node)
    }

    /// How many nodes are slow.
    pub fn slow_nodes(&self) -> usize {
        self.slow.len()
    }

    /// A node has answered.
    pub fn answered(&mut self, node: &str, kind: Kind, took: Duration) {
        let is_slow = self.is_slow(node);
        self.latencies.observe(node, kind, took, is_slow);
        if self.latencies.is_slow(node, kind, is_slow) {
            self.seen.insert(node.to_owned());
        }
    }

    /// A node has not answered in this time, and is not waited for any longer.
    pub fn unanswered(&mut self, node: &str, kind: Kind, waited: Duration) {
        if self.latencies.is_longer_than_usual(node, kind, waited) {
            self.answered(node, kind, waited);
        }
    }

    /// Whether a late call may be made to another node too.
    pub fn may_hedge(&self) -> bool {
        self.budget.is_left()
    }

    /// So many calls were made in the stead of a late one.
    pub fn hedged(&mut self, calls: usize) {
        self.budget.spend(calls);
    }

    /// A call goes to a node: now and then a slow one is asked the same.
    fn called(&mut self, call: &Call, kind: Kind, routing: &Routing, now: Duration) {
        self.budget.earn();
        let is_due = |node: &&String| {
            let probed = self.probed.get(*node);
            probed.is_none_or(|&probed| now.saturating_sub(probed) >= PROBE_EVERY)
        };
        let Some(node) = self.slow.keys().find(is_due) else { return };
        self.probed.insert(node.clone(), now);
        if let Some(call) = routing.call_of(call, node) {
            self.probes.push_back(Probe { kind, call: Call { timeout: PROBE_TIMEOUT, ..call } });
        }
    }

    /// The next question that is to be asked.
    pub fn next_probe(&mut self) -> Option<Probe> {
        self.probes.pop_front()
    }

    /// Takes what all workers know, as one of them has told it, and what this one has seen.
    pub fn agree(&mut self, known: Option<&[u8]>, now: Duration) -> Agreed {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let known = known.and_then(|known| serde_json::from_slice::<BTreeMap<String, u64>>(known).ok());
        let mut slow = known.unwrap_or_default();
        slow.retain(|_, until| *until > milliseconds(now));
        // Seldom told, although it is seen with each call.
        let renewed_from = milliseconds(now.saturating_add(SLOW_FOR / 2));
        self.seen.retain(|node| slow.get(node).is_none_or(|&until| until < renewed_from));
        let until = milliseconds(now.saturating_add(SLOW_FOR));
        slow.extend(self.seen.iter().map(|node| (node.clone(), until)));
        // One that is let back begins anew.
        for node in self.slow.keys().filter(|node| !slow.contains_key(*node)) {
            self.latencies.forget(node);
            self.probed.remove(node);
        }
        let changed = !self.slow.keys().eq(slow.keys());
        let tell = (!self.seen.is_empty()).then(|| serde_json::to_vec(&slow).unwrap_or_default());
        self.slow = slow;
        Agreed { changed, tell }
    }
}

#[cfg(test)]
mod tests;
