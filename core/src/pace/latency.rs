//! How long nodes take, and how long each takes beside the others.
//!
//! Latencies are compared by their logarithm to base 2, so that a factor is a difference and one outlier moves a mean
//! little. That of a call is taken as what calls of its kind usually take plus what its node usually adds: then a node is
//! not slow because it was asked more of what takes long.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::router::Kind;

/// What is faster, in milliseconds, is as good.
const FASTEST: f32 = 10.0;

/// A node that answers within this, in milliseconds, is not slow. One that is seldom asked may take some 40 ms longer than one
/// that is busy: the last packet of its answer waits for an acknowledgement, and that is delayed (RFC 1122, 4.2.3.2 and
/// 4.2.3.4). So a probe could not tell a faster one.
const NOT_SLOW: f32 = 60.0;

/// No call is late before this.
const SOONEST: Duration = Duration::from_millis(10);

/// So many calls of a node must be known before it can be late or slow.
const ENOUGH: u32 = 20;

/// The weight of the newest call in the mean of its kind.
const KIND_WEIGHT: f32 = 1.0 / 128.0;
/// In that of its node.
const NODE_WEIGHT: f32 = 1.0 / 8.0;

/// What the newest call adds to, or takes from, the estimate of the median of a node that is slow: it is seldom asked, and
/// a mean of few calls would be that of the outliers.
const SLOW_NODE_STEP: f32 = 0.25;
/// That estimate is never above this, so that it comes down soon.
const SLOW_NODE_MOST: f32 = 3.0;

/// How far the newest call moves the estimate of the 95th percentile: up by 95 % of it, or down by 5 %.
const P95_STEP: f32 = 0.1;
/// Where that estimate begins, over the first call.
const P95_START: f32 = 2.0;

/// A node is slow when it takes three times as long as its peers, that is log2(3) more.
const SLOW: f32 = 1.585;
/// It is so as long as it takes two and a half times as long.
const STILL_SLOW: f32 = 1.322;

/// The latencies of all nodes.
#[derive(Debug, Default)]
pub struct Latencies {
    /// By kind.
    kinds: [Mean; Kind::ALL.len()],
    nodes: BTreeMap<String, Latency>,
}

/// A mean of logarithms that forgets.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    calls: u32,
    value: f32,
}

impl Mean {
    /// Of the first calls all count the same.
    fn add(&mut self, value: f32, weight: f32) {
        self.calls = self.calls.saturating_add(1);
        let weight = weight.max(1.0 / self.calls as f32);
        self.value += weight * (value - self.value);
    }
}

/// What a node adds to the usual latency of a call.
#[derive(Clone, Copy, Debug, Default)]
struct Latency {
    usual: Mean,
    /// Its 95th percentile, by stochastic approximation (Robbins and Monro, 1951).
    p95: f32,
}

impl Latencies {
    /// Takes how long a node took. One that is slow doesn't count among the others.
    pub fn observe(&mut self, node: &str, kind: Kind, took: Duration, is_slow: bool) {
        let took = logarithm(took);
        if let Some(mean) = self.kinds.get_mut(kind as usize)
            && !is_slow
        {
            mean.add(took, KIND_WEIGHT);
        }
        let added = took - self.usual(kind);
        match self.nodes.get_mut(node) {
            Some(latency) if is_slow => {
                let usual = &mut latency.usual.value;
                let step = if added > *usual { SLOW_NODE_STEP } else { -SLOW_NODE_STEP };
                *usual = (*usual + step).min(SLOW_NODE_MOST);
            }
            Some(latency) => {
                latency.usual.add(added, NODE_WEIGHT);
                let is_later = added > latency.p95;
                latency.p95 += P95_STEP * if is_later { 0.95 } else { -0.05 };
            }
            None => {
                let usual = Mean { calls: 1, value: added };
                self.nodes.insert(node.to_owned(), Latency { usual, p95: added + P95_START });
            }
        }
    }

    /// After how long a call to a node is later than 95 % of them; `None` while too little is known.
    pub fn late_after(&self, node: &str, kind: Kind) -> Option<Duration> {
        let latency = self.nodes.get(node).filter(|latency| latency.usual.calls >= ENOUGH)?;
        let milliseconds = (self.usual(kind) + latency.p95).exp2();
        Some(Duration::try_from_secs_f32(milliseconds / 1000.0).ok()?.max(SOONEST))
    }

    /// Whether this is longer than a node usually takes.
    pub fn is_longer_than_usual(&self, node: &str, kind: Kind, time: Duration) -> bool {
        let usual = self.nodes.get(node).map(|latency| latency.usual.value);
        usual.is_some_and(|usual| logarithm(time) - self.usual(kind) > usual)
    }

    /// Whether a node is clearly slower than most of the others. It takes more to become slow than to stay so.
    pub fn is_slow(&self, node: &str, kind: Kind, was_slow: bool) -> bool {
        let known = |latency: &Latency| was_slow || latency.usual.calls >= ENOUGH;
        let Some(latency) = self.nodes.get(node).filter(|latency| known(latency)) else { return false };
        if self.usual(kind) + latency.usual.value <= NOT_SLOW.log2() {
            return false;
        }
        let least = if was_slow { STILL_SLOW } else { SLOW };
        let faster_by = |other: &Latency| latency.usual.value - other.usual.value;
        let others =
            self.nodes.iter().filter(|(other, latency)| *other != node && latency.usual.calls >= ENOUGH);
        let (faster, all) = others.fold((0, 0), |(faster, all), (_, other)| {
            (faster + usize::from(faster_by(other) >= least), all + 1)
        });
        faster * 2 > all
    }

    /// Forgets what is known of a node.
    pub fn forget(&mut self, node: &str) {
        self.nodes.remove(node);
    }

    fn usual(&self, kind: Kind) -> f32 {
        self.kinds.get(kind as usize).map_or(0.0, |mean| mean.value)
    }
}

fn logarithm(time: Duration) -> f32 {
    (time.as_secs_f32() * 1000.0).max(FASTEST).log2()
}
