//! One run from its seed to its end.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::rebalance::{Epoch, Owners, Situation, advance};

use crate::clock::{Owner, Time};
use crate::control_plane::{self, topology};
use crate::envoy::Envoy;
use crate::history::History;
use crate::node::{DocumentId, Node};
use crate::store::{Store, Topology};
use crate::world::{Break, ENVOYS, NODES, SHARDS, Sim, World};
use crate::{checks, clients, faults};

const FAULTS_END: Time = 4000;
/// By then all is as it is to be.
const REST: Time = FAULTS_END + 25_000;

#[derive(Debug, Default)]
pub struct Counts {
    writes: u64,
    acknowledged: u64,
    reads: u64,
    checked_reads: u64,
    epochs: u64,
    /// Runs that ended because all copies of a shard were lost.
    lost: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.writes += other.writes;
        self.acknowledged += other.acknowledged;
        self.reads += other.reads;
        self.checked_reads += other.checked_reads;
        self.epochs += other.epochs;
        self.lost += other.lost;
    }
}

pub struct Outcome {
    pub violation: Option<String>,
    pub trace: Vec<String>,
    pub counts: Counts,
}

pub fn run(seed: u64, broken: Option<Break>, traces: bool) -> Outcome {
    let sim = World::new(seed, broken, traces);
    begin(&sim);
    let goes_on = || sim.violation.borrow().is_none() && !sim.store.borrow().has_lost_all;
    sim.clock.run_until(FAULTS_END, goes_on);
    if goes_on() {
        sim.note(|| "all is to be well again".into());
        sim.is_ending.set(true);
        rest(&sim);
    }
    if goes_on() {
        let differing = checks::at_rest(&sim);
        if goes_on() && !differing.is_empty() {
            anti_entropy(&sim, &differing);
        }
    }
    for owner in (0..ENVOYS).map(Owner::Envoy).chain([Owner::ControlPlane, Owner::World]) {
        sim.clock.kill(owner);
    }
    let history = sim.history.borrow();
    let counts = Counts {
        writes: history.writes,
        acknowledged: history.acknowledged,
        reads: history.reads,
        checked_reads: history.checked_reads,
        epochs: sim.store.borrow().epoch.epoch,
        lost: sim.store.borrow().has_lost_all.into(),
    };
    Outcome { violation: sim.violation.borrow().clone(), trace: sim.trace(), counts }
}

fn begin(sim: &Sim) {
    *sim.history.borrow_mut() = History::new();
    sim.loss.set(*sim.random.pick(&[2, 10, 10, 80]).expect("one of them"));
    sim.fails_tasks.set(sim.random.per_mille(200));
    let members = sim.random.between(1, 4) as usize;
    let weights: BTreeMap<String, f64> =
        NODES[..members].iter().map(|node| ((*node).to_owned(), 1.0)).collect();
    sim.used_names.set(members);
    let topology = Topology {
        groups: BTreeMap::from([("g".to_owned(), weights)]),
        replication_factor: sim.random.between(1, 3) as usize,
    };
    {
        let mut store = sim.store.borrow_mut();
        topology::change(&mut store, topology);
        store.epoch = Epoch { epoch: 1, owners: store.target.clone(), ..Epoch::default() };
    }
    for node in NODES {
        sim.nodes.borrow_mut().insert(node.to_owned(), Node::new());
    }
    let table = control_plane::first_table(sim);
    *sim.envoys.borrow_mut() = (0..ENVOYS)
        .map(|_| Envoy {
            routing: table.clone(),
            write_routing: table.clone(),
            is_serving: false,
            cut_since: None,
            out_of_touch_since: None,
            slowness: 0,
        })
        .collect();
    control_plane::start(sim);
    clients::start(sim);
    faults::start(sim);
}

/// Sees to it that a node does its tasks one after the other.
pub fn wake(sim: &Sim, name: &str, node: &mut Node) {
    if node.queue.is_empty() || std::mem::replace(&mut node.is_working, true) {
        return;
    }
    let (world, name, slowness) = (sim.clone(), name.to_owned(), node.slowness);
    sim.clock.spawn(Owner::World, async move {
        let sim = world;
        let mut slowness = slowness;
        loop {
            sim.sleep(sim.random.between(1, 7 + slowness / 4)).await;
            let mut nodes = sim.nodes.borrow_mut();
            let Some(node) = nodes.get_mut(&name) else { return };
            slowness = node.slowness;
            if node.is_running {
                work(&sim, &name, node);
            }
            node.is_working = node.is_running && !node.queue.is_empty();
            if !node.is_working {
                return;
            }
        }
    });
}

fn work(sim: &World, name: &str, node: &mut Node) {
    let chance = if sim.fails_tasks.get() { 20 } else { 0 };
    let fails = !sim.is_ending.get() && sim.random.per_mille(chance);
    if let Some(task) = node.work(fails) {
        sim.note(|| format!("{name} has done {task:?}{}", if fails { ": failed" } else { "" }));
        if fails {
            sim.history.borrow_mut().failed.insert(task.write);
        }
    }
}

/// Waits until all writes are over, all replicas are clean and all owners are those that are wanted.
fn rest(sim: &World) {
    let mut next = FAULTS_END;
    let goes_on = || sim.violation.borrow().is_none() && !sim.store.borrow().has_lost_all;
    while sim.now() < REST && goes_on() {
        next += 100;
        sim.clock.run_until(next, goes_on);
        if is_at_rest(sim) {
            return;
        }
    }
    if goes_on() {
        let mut store = sim.store.borrow_mut();
        let (unfinished, under_way) = (store.unfinished(), sim.history.borrow().under_way.clone());
        let Store { stale, epoch, target, .. } = &*store;
        let what = format!("stale {stale:?}, {epoch:?}, target {target:?}, {unfinished:?}, {under_way:?}");
        sim.fail(format!("it does not come to rest: {what}"));
    }
}

fn is_at_rest(sim: &World) -> bool {
    let mut store = sim.store.borrow_mut();
    let members: BTreeSet<String> = store.topology.members();
    let (target, stale, announced) = (&store.target, &store.stale, &store.epoch.coming);
    let situation = Situation { target, stale, members: &members, at_once: 2, announced };
    let is_placed = advance(&store.epoch, &situation).is_none()
        && is_reached(&store.epoch.owners, &store.target, &members);
    let is_clean = store.stale.is_empty() && store.epoch.leftovers.is_empty();
    let is_done =
        store.unfinished().is_empty() && members.iter().all(|node| sim.nodes.borrow()[node].queue.is_empty());
    let history = sim.history.borrow();
    let is_quiet =
        history.under_way.is_empty() && !history.documents.values().any(|document| document.is_locked);
    is_placed && is_clean && is_done && is_quiet && sim.control_plane.borrow().is_some()
}

/// A node that was removed since the placement was made owns nothing.
fn is_reached(owners: &Owners, target: &Owners, members: &BTreeSet<String>) -> bool {
    let left = |target: &[String]| target.iter().filter(|node| members.contains(*node)).cloned().collect();
    let wanted: Owners = target
        .iter()
        .map(|(group, shards)| (group.clone(), shards.iter().map(|owners| left(owners)).collect()))
        .collect();
    *owners == wanted
}

/// Where replicas differ that are clean, the primary wins.
fn anti_entropy(sim: &World, differing: &BTreeSet<DocumentId>) {
    {
        let mut store = sim.store.borrow_mut();
        let shards: BTreeSet<u32> = differing
            .iter()
            .map(|id| sim.history.borrow().documents[id].shard)
            .filter(|shard| *shard < SHARDS)
            .collect();
        for shard in shards {
            let others: Vec<String> = store.epoch.owners_of(shard).skip(1).map(str::to_owned).collect();
            others.iter().for_each(|node| store.mark_stale(node, &[shard]));
        }
    }
    rest(sim);
    if !checks::at_rest(sim).is_empty() {
        sim.fail("replicas differ after they were compared");
    }
}
