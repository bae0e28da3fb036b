//! Shards to nodes as a flow of least cost.
//!
//! Each shard wants a number of nodes, each node wants a number of shards within its bounds, and an owner that was
//! not one before costs a move. That is a flow: one unit per replica, from its shard to its node, and on to the pool,
//! which is where the loads of all nodes add up.
//!
//! ```text
//! shard ──(0 if it was an owner, else 1)──▶ node ──(between its bounds)──▶ pool
//! ```
//!
//! [`Assignment::solve`] starts from what is to be kept and evens out what is too much at one place with what is
//! lacking at another, always along a chain of exchanges that costs least: successive shortest paths (Ahuja, Magnanti
//! & Orlin, *Network Flows*, 1993, §9.7), which ends at the least cost of all. Nearly all chains are a single
//! exchange; those are found in one pass over the pairs in order of score, so that rendezvous hashing decides.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::score::Pair;

/// A shard, a node or the pool.
type Vertex = usize;

/// Which nodes hold which shards, on the way to a placement within the bounds.
pub(super) struct Assignment {
    shards: usize,
    bounds: Vec<RangeInclusive<usize>>,
    /// One per shard and node, shard by shard.
    cells: Vec<Cell>,
    /// Per node the load that it is meant to have: always within its bounds.
    targets: Vec<usize>,
    /// Per vertex how much has to leave it: of a shard, the copies that it lacks; of a node, the replicas that it
    /// holds above its target; of the pool, by how much the targets exceed the total. Negative: what has to come.
    /// All sum up to 0, and when all are 0 the placement is done.
    excess: Vec<isize>,
}

#[derive(Clone, Copy, Default)]
struct Cell {
    /// The node may hold the shard.
    allowed: bool,
    /// It did so before, so that it costs nothing.
    kept: bool,
    /// It does so now.
    holds: bool,
}

impl Assignment {
    /// Nothing is allowed or assigned yet. Each shard wants `copies` nodes.
    pub(super) fn new(shards: usize, copies: usize, bounds: &[RangeInclusive<usize>]) -> Assignment {
        let targets: Vec<usize> = bounds.iter().map(|bounds| *bounds.start()).collect();
        let mut excess = vec![copies as isize; shards];
        excess.extend(targets.iter().map(|&target| -(target as isize)));
        excess.push(targets.iter().sum::<usize>() as isize - (shards * copies) as isize);
        Assignment {
            shards,
            bounds: bounds.to_vec(),
            cells: vec![Cell::default(); shards * bounds.len()],
            targets,
            excess,
        }
    }

    /// Lets `node` hold `shard`.
    pub(super) fn allow(&mut self, shard: usize, node: usize) {
        let cell = self.cell(shard, node);
        self.cells[cell].allowed = true;
    }

    /// Lets `node`, which holds `shard` already, keep it at no cost.
    pub(super) fn keep(&mut self, shard: usize, node: usize) {
        let cell = self.cell(shard, node);
        if self.cells[cell].holds {
            return;
        }
        self.cells[cell].kept = true;
        self.assign(shard, node);
    }

    /// Whether `node` may hold `shard`.
    pub(super) fn allows(&self, shard: usize, node: usize) -> bool {
        self.cells[self.cell(shard, node)].allowed
    }

    /// Whether `node` holds `shard`.
    pub(super) fn holds(&self, shard: usize, node: usize) -> bool {
        self.cells[self.cell(shard, node)].holds
    }

    /// Brings every shard to its number of copies and every node within its bounds, with the fewest moves.
    ///
    /// `pairs` are the allowed pairs in order of score.
    pub(super) fn solve(&mut self, pairs: &[Pair]) {
        // What can be had by dropping replicas costs nothing and comes first, to the last chain: a move is a chain of
        // least cost only when nothing can be had for less.
        for pair in pairs.iter().rev() {
            if self.excess[pair.shard()] < 0
                && self.holds(pair.shard(), pair.node())
                && self.gives(pair.node())
            {
                self.release(pair.shard(), pair.node());
            }
        }
        self.exchange_along_chains(0);
        // Then what can be had by a single move.
        for pair in pairs {
            if !self.takes(pair.node()) || self.holds(pair.shard(), pair.node()) {
                continue;
            }
            if self.excess[pair.shard()] > 0 {
                self.assign(pair.shard(), pair.node());
            } else if let Some(giver) = self.giver(pair.shard()) {
                self.release(pair.shard(), giver);
                self.assign(pair.shard(), pair.node());
            }
        }
        self.exchange_along_chains(isize::MAX);
    }

    /// Whether the node is to hold one more: it lacks one, or all nodes together do and it has room.
    fn takes(&self, node: usize) -> bool {
        let excess = self.excess[self.node(node)];
        let may_grow = self.excess[self.pool()] < 0 && self.targets[node] < *self.bounds[node].end();
        excess < 0 || (excess == 0 && may_grow)
    }

    /// Whether the node is to hold one less: it has one too many, or all nodes together have and it can do without.
    fn gives(&self, node: usize) -> bool {
        let excess = self.excess[self.node(node)];
        let may_shrink = self.excess[self.pool()] > 0 && self.targets[node] > *self.bounds[node].start();
        excess > 0 || (excess == 0 && may_shrink)
    }

    /// The owner of the shard that most needs to give.
    fn giver(&self, shard: usize) -> Option<usize> {
        (0..self.bounds.len())
            .filter(|&node| self.holds(shard, node) && self.gives(node))
            .max_by_key(|&node| self.excess[self.node(node)])
    }

    /// Makes the node an owner. Its target grows with its load as long as its bounds allow.
    fn assign(&mut self, shard: usize, node: usize) {
        self.push(shard, self.node(node));
        if self.excess[self.node(node)] > 0 && self.targets[node] < *self.bounds[node].end() {
            self.push(self.node(node), self.pool());
        }
    }

    /// Undoes [`assign`](Self::assign), of a node that [`gives`](Self::gives).
    fn release(&mut self, shard: usize, node: usize) {
        if self.excess[self.node(node)] == 0 {
            self.push(self.pool(), self.node(node));
        }
        self.push(self.node(node), shard);
    }

    /// Exchanges along the chains that cost least, until nothing is left to even out or a chain would cost more than
    /// `limit`.
    fn exchange_along_chains(&mut self, limit: isize) {
        while self.excess.iter().any(|&excess| excess > 0) {
            let chains = self.cheapest_chains(limit);
            if chains.is_empty() {
                return;
            }
            for chain in chains {
                for step in chain.windows(2) {
                    self.push(step[0], step[1]);
                }
            }
        }
    }

    /// Chains of the least cost from where something is too much to where it is lacking, if that is within `limit`.
    ///
    /// They have no vertex in common, so that going along one leaves the others what they are.
    fn cheapest_chains(&self, limit: isize) -> Vec<Vec<Vertex>> {
        let (costs, came_from) = self.cheapest_ways();
        let lacking = || (0..self.excess.len()).filter(|&vertex| self.excess[vertex] < 0);
        let Some(least) = lacking().map(|vertex| costs[vertex]).min().filter(|&cost| cost <= limit) else {
            return Vec::new();
        };
        let mut used = vec![false; self.excess.len()];
        let mut chains = Vec::new();
        for end in lacking().filter(|&vertex| costs[vertex] == least && least != UNREACHABLE) {
            let mut chain = vec![end];
            let mut start = end;
            while came_from[start] != start {
                start = came_from[start];
                chain.push(start);
            }
            if !std::mem::replace(&mut used[start], true) {
                chain.reverse();
                chains.push(chain);
            }
        }
        chains
    }

    /// Per vertex what it costs at least to get there from any vertex with an excess, and by way of which: Bellman
    /// and Ford's algorithm. A vertex with an excess comes from itself.
    fn cheapest_ways(&self) -> (Vec<isize>, Vec<Vertex>) {
        let mut costs: Vec<isize> =
            self.excess.iter().map(|&excess| if excess > 0 { 0 } else { UNREACHABLE }).collect();
        let mut came_from: Vec<Vertex> = (0..self.excess.len()).collect();
        let mut queue: VecDeque<Vertex> = came_from.iter().copied().filter(|&v| costs[v] == 0).collect();
        let mut queued: Vec<bool> = costs.iter().map(|&cost| cost == 0).collect();
        while let Some(from) = queue.pop_front() {
            queued[from] = false;
            let cost_so_far = costs[from];
            self.each_step(from, |to, cost| {
                if cost_so_far + cost >= costs[to] {
                    return;
                }
                costs[to] = cost_so_far + cost;
                came_from[to] = from;
                if !std::mem::replace(&mut queued[to], true) {
                    queue.push_back(to);
                }
            });
        }
        (costs, came_from)
    }

    /// Calls `visit` with every vertex that one unit may go to from `from`, and with what that costs in moves.
    fn each_step(&self, from: Vertex, mut visit: impl FnMut(Vertex, isize)) {
        let nodes = self.bounds.len();
        if from < self.shards {
            let row = &self.cells[from * nodes..][..nodes];
            for (node, cell) in row.iter().enumerate().filter(|(_, cell)| cell.allowed && !cell.holds) {
                visit(self.node(node), cell.cost());
            }
            return;
        }
        if from == self.pool() {
            for node in (0..nodes).filter(|&node| self.targets[node] > *self.bounds[node].start()) {
                visit(self.node(node), 0);
            }
            return;
        }
        let node = from - self.shards;
        let column = self.cells.iter().skip(node).step_by(nodes);
        for (shard, cell) in column.enumerate().filter(|(_, cell)| cell.holds) {
            visit(shard, -cell.cost());
        }
        if self.targets[node] < *self.bounds[node].end() {
            visit(self.pool(), 0);
        }
    }

    /// Sends one unit from one vertex to the next: a shard gets a node or loses it, a node's target grows or shrinks.
    fn push(&mut self, from: Vertex, to: Vertex) {
        let pool = self.pool();
        if to == pool {
            self.targets[from - self.shards] += 1;
        } else if from == pool {
            self.targets[to - self.shards] -= 1;
        } else {
            let (shard, node) = (from.min(to), from.max(to) - self.shards);
            let cell = self.cell(shard, node);
            self.cells[cell].holds = from == shard;
        }
        self.excess[from] -= 1;
        self.excess[to] += 1;
    }

    fn cell(&self, shard: usize, node: usize) -> usize {
        shard * self.bounds.len() + node
    }

    fn node(&self, node: usize) -> Vertex {
        self.shards + node
    }

    fn pool(&self) -> Vertex {
        self.shards + self.bounds.len()
    }
}

impl Cell {
    /// The moves that it takes to make the node an owner.
    fn cost(self) -> isize {
        if self.kept { 0 } else { 1 }
    }
}

/// The cost of getting where no way leads.
const UNREACHABLE: isize = isize::MAX;
