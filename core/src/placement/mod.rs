//! Which nodes of a replica group hold which shards: rendezvous hashing with weights and bounded load.
//!
//! - **Rendezvous hashing** (highest random weight; Thaler & Ravishankar, *Using name-based mappings to increase
//!   hit rates*, IEEE/ACM Transactions on Networking 6(1), 1998): each pair of a shard and a node has a score, and a
//!   shard belongs to the nodes that score highest for it.
//! - **Weights**: the score is `−w / ln(h)` with `h` the pair's hash in (0, 1), so that a node of weight `w` wins
//!   `w / Σw` of the shards on average (Schindelhauer & Schomaker, *Weighted distributed hash tables*, SPAA 2005).
//! - **Bounded load** (after Mirrokni, Thorup & Zadimoghaddam, *Consistent hashing with bounded loads*, SODA 2018):
//!   the average is not good enough for sixty-four shards, so a node holds its fair share of the replicas, rounded
//!   down or up, and what a full node would have won goes to the next in line.
//!
//! Pairs are taken in order of score while the shard lacks copies and the node has room. What is then still without
//! a place, because the nodes with room already hold that shard, is placed by chains of exchanges: the problem is a
//! flow from shards to nodes, and the chains are its augmenting paths.
//!
//! # What is guaranteed
//!
//! With `n` nodes of positive weight and `k = min(replication factor, n)`:
//!
//! - every shard has exactly `k` owners, all different;
//! - every node holds `⌊share⌋` or `⌈share⌉` replicas, where its fair share is `shards × k × w / Σw`, but at most
//!   `shards`: no node can hold a shard twice, and what is too much for the heaviest is shared among the others;
//! - a node is the primary of `⌊l / k⌋` or `⌈l / k⌉` of the `l` shards that it holds;
//! - given the previous placement, no other placement within these bounds moves fewer replicas;
//! - the result depends on ids, weights and the previous placement alone: not on the order of the candidates, nor on
//!   the machine that computes it.
//!
//! The bound below is there for new nodes. With the bound above alone, 512 shards would be within it on 101 nodes as
//! on 100, and the 101st would stay empty.

mod assignment;
mod score;
mod share;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::RangeInclusive;

use crate::shard::ShardId;
use assignment::Assignment;
use score::Pair;

/// A node that may hold shards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate<'a> {
    /// Its id, different from every other candidate's.
    pub id: &'a str,
    /// How much it holds in relation to the others. A node whose weight is not above 0 holds nothing, unless that is
    /// so of all nodes; then all count the same.
    pub weight: f64,
}

/// The owners of each shard, as places in `candidates`: the primary first, then the others in rendezvous order.
///
/// `previous` holds the owners of each shard by id, the primary first, as they are before the change; it is empty
/// when there are none. Owners stay where they are as far as the bounds of the [module](self) allow. A shard has
/// `replication_factor` owners, or as many as there are candidates that may hold something.
pub fn place(
    shards: ShardId,
    replication_factor: usize,
    candidates: &[Candidate<'_>],
    previous: &[Vec<&str>],
) -> Vec<Vec<usize>> {
    let nodes = eligible(candidates);
    let copies = replication_factor.min(nodes.len());
    if copies == 0 {
        return vec![Vec::new(); shards as usize];
    }

    let place_by_id: HashMap<&str, usize> =
        nodes.iter().enumerate().map(|(place, node)| (node.id, place)).collect();
    let previous: Vec<Vec<Option<usize>>> = previous
        .iter()
        .take(shards as usize)
        .map(|owners| owners.iter().map(|id| place_by_id.get(id).copied()).collect())
        .collect();

    let pairs = score::ranked(shards, &nodes);
    let bounds = share::bounds(shards as usize, copies, &nodes);
    let mut owners = assign_owners(shards as usize, copies, &bounds, &pairs, &previous);
    put_primaries_first(&mut owners, copies, nodes.len(), &pairs, &previous);

    owners.into_iter().map(|owners| owners.into_iter().map(|node| nodes[node].index).collect()).collect()
}

/// A candidate that may hold something.
struct Node<'a> {
    id: &'a str,
    /// Above 0 and finite.
    weight: f64,
    /// Its place among the candidates.
    index: usize,
}

/// The candidates that may hold something, ordered by id, so that the order in which they came cannot matter.
fn eligible<'a>(candidates: &[Candidate<'a>]) -> Vec<Node<'a>> {
    // Within these limits no sum or quotient of weights overflows or vanishes.
    const LIMITS: RangeInclusive<f64> = 1e-100..=1e100;
    let all_count_the_same = !candidates.iter().any(|candidate| candidate.weight > 0.0);
    let mut nodes: Vec<Node<'a>> = candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| all_count_the_same || candidate.weight > 0.0)
        .map(|(index, candidate)| {
            let weight = if all_count_the_same { 1.0 } else { candidate.weight };
            Node { id: candidate.id, weight: weight.clamp(*LIMITS.start(), *LIMITS.end()), index }
        })
        .collect();
    nodes.sort_by_key(|node| node.id);
    nodes
}

/// The owners of each shard in rendezvous order.
fn assign_owners(
    shards: usize,
    copies: usize,
    bounds: &[RangeInclusive<usize>],
    pairs: &[Pair],
    previous: &[Vec<Option<usize>>],
) -> Vec<Vec<usize>> {
    let mut assignment = Assignment::new(shards, copies, bounds);
    for pair in pairs {
        assignment.allow(pair.shard(), pair.node());
    }
    for (shard, owners) in previous.iter().enumerate() {
        for &node in owners.iter().flatten() {
            assignment.keep(shard, node);
        }
    }
    assignment.solve(pairs);

    let mut owners = vec![Vec::with_capacity(copies); shards];
    for pair in pairs.iter().filter(|pair| assignment.holds(pair.shard(), pair.node())) {
        owners[pair.shard()].push(pair.node());
    }
    owners
}

/// Brings one owner of each shard to the front, so that a node is the primary of its part of the shards it holds.
///
/// That part always exists: were each owner 1/k of a primary of each of its shards, all bounds would hold, and a
/// flow that can be met in fractions can be met in whole numbers.
fn put_primaries_first(
    owners: &mut [Vec<usize>],
    copies: usize,
    nodes: usize,
    pairs: &[Pair],
    previous: &[Vec<Option<usize>>],
) {
    let mut loads = vec![0; nodes];
    for &node in owners.iter().flatten() {
        loads[node] += 1;
    }
    let bounds: Vec<RangeInclusive<usize>> =
        loads.iter().map(|&load: &usize| load / copies..=load.div_ceil(copies)).collect();

    let mut primaries = Assignment::new(owners.len(), 1, &bounds);
    for (shard, owners) in owners.iter().enumerate() {
        for &node in owners {
            primaries.allow(shard, node);
        }
        let previous_primary = previous.get(shard).and_then(|owners| owners.first()).copied().flatten();
        if let Some(node) = previous_primary.filter(|node| owners.contains(node)) {
            primaries.keep(shard, node);
        }
    }
    let pairs: Vec<Pair> =
        pairs.iter().filter(|pair| primaries.allows(pair.shard(), pair.node())).copied().collect();
    primaries.solve(&pairs);

    for (shard, owners) in owners.iter_mut().enumerate() {
        if let Some(primary) = owners.iter().position(|&node| primaries.holds(shard, node)) {
            owners[..=primary].rotate_right(1);
        }
    }
}
