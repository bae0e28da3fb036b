//! What goes wrong, and how the topology changes meanwhile. Each run has its own kinds of it.

use std::collections::BTreeMap;

use crate::clock::{Owner, Time};
use crate::control_plane::{self, topology};
use crate::run;
use crate::world::{ENVOYS, NODES, SHARDS, Sim, World};
use miroir_core::rebalance::rolled_back;

#[derive(Clone, Copy, Debug)]
enum Fault {
    NodeCrash,
    SlowNode,
    Wipe,
    EnvoyCut,
    SlowEnvoy,
    EnvoyCrash,
    ControlPlaneCrash,
    Topology,
}

const FAULTS: [Fault; 8] = [
    Fault::NodeCrash,
    Fault::SlowNode,
    Fault::Wipe,
    Fault::EnvoyCut,
    Fault::SlowEnvoy,
    Fault::EnvoyCrash,
    Fault::ControlPlaneCrash,
    Fault::Topology,
];

pub fn start(sim: &Sim) {
    let mut kinds = vec![Fault::Topology, Fault::Topology];
    kinds.extend(FAULTS.into_iter().filter(|_| sim.random.per_mille(400)));
    let pause = *sim.random.pick(&[60, 150, 400]).expect("one of them");
    sim.note(|| format!("faults {kinds:?} every {pause}"));
    let world = sim.clone();
    sim.clock.spawn(Owner::World, async move {
        loop {
            world.sleep(world.random.between(1, pause)).await;
            if world.is_ending.get() {
                return;
            }
            if let Some(fault) = world.random.pick(&kinds) {
                happen(&world, *fault);
            }
        }
    });
}

/// After a while, or as soon as all is to be well again.
fn later(sim: &Sim, time: Time, action: impl FnOnce(&Sim) + 'static) {
    let world = sim.clone();
    sim.clock.spawn(Owner::World, async move {
        world.clock.until(time, || world.is_ending.get()).await;
        action(&world);
    });
}

fn happen(sim: &Sim, fault: Fault) {
    let nodes: Vec<String> = sim.store.borrow().topology.members().into_iter().collect();
    let Some(node) = sim.random.pick(&nodes).cloned() else { return };
    let envoy = sim.random.below(ENVOYS as u64) as usize;
    match fault {
        Fault::NodeCrash => stop(sim, &node, sim.random.between(20, 500)),
        Fault::SlowNode => {
            sim.note(|| format!("{node} is slow"));
            sim.nodes.borrow_mut().get_mut(&node).expect("a node").slowness = sim.random.between(5, 200);
            later(sim, sim.random.between(50, 500), move |sim| {
                sim.nodes.borrow_mut().get_mut(&node).expect("a node").slowness = 0;
            });
        }
        Fault::Wipe => wipe(sim, &node),
        Fault::EnvoyCut => cut(sim, envoy),
        Fault::SlowEnvoy => {
            sim.envoys.borrow_mut()[envoy].slowness = sim.random.between(20, 300);
            later(sim, sim.random.between(100, 800), move |sim| sim.envoys.borrow_mut()[envoy].slowness = 0);
        }
        Fault::EnvoyCrash => crash_envoy(sim, envoy),
        Fault::ControlPlaneCrash => crash_control_plane(sim),
        Fault::Topology => change_topology(sim),
    }
}

fn stop(sim: &Sim, node: &str, time: Time) {
    if !sim.is_running(node) {
        return;
    }
    sim.note(|| format!("{node} stops"));
    sim.nodes.borrow_mut().get_mut(node).expect("a node").is_running = false;
    let node = node.to_owned();
    later(sim, time, move |sim| {
        sim.note(|| format!("{node} runs again"));
        let mut nodes = sim.nodes.borrow_mut();
        let running = nodes.get_mut(&node).expect("a node");
        running.is_running = true;
        run::wake(sim, &node, running);
    });
}

/// A node that is down for a while comes back empty.
fn wipe(sim: &Sim, node: &str) {
    if !sim.is_running(node) || !sim.nodes.borrow()[node].has_index {
        return;
    }
    let time = sim.random.between(200, 600);
    let wiped = node.to_owned();
    later(sim, time - 1, move |sim| {
        if may_lose(sim, &wiped) {
            sim.note(|| format!("{wiped} is wiped"));
            sim.nodes.borrow_mut().get_mut(&wiped).expect("a node").wipe();
        }
    });
    stop(sim, node, time);
}

/// Never the last clean copy of something: that is lost for good. Nor what it alone has accepted so far, so there must
/// have been time to see what others missed.
fn may_lose(sim: &World, node: &str) -> bool {
    let store = sim.store.borrow();
    let nodes = sim.nodes.borrow();
    let has_copy = |shard| {
        let mut others = store.epoch.clean_readers_of(shard, &store.stale).filter(|other| *other != node);
        others.any(|other| nodes[other].has_index)
    };
    let is_known_to_be_down = control_plane::knows_to_be_down(sim, node);
    let are_others_whole = nodes.values().all(|node| node.has_index);
    is_known_to_be_down && are_others_whole && (0..SHARDS).all(has_copy) && !sim.fails_tasks.get()
}

fn cut(sim: &Sim, envoy: usize) {
    if sim.envoys.borrow()[envoy].cut_since.is_some() {
        return;
    }
    sim.note(|| format!("Envoy {envoy} is cut off"));
    {
        let mut envoys = sim.envoys.borrow_mut();
        envoys[envoy].cut_since = Some(sim.now());
        envoys[envoy].out_of_touch_since.get_or_insert(sim.now());
    }
    control_plane::disconnect(sim, envoy);
    later(sim, sim.random.between(50, 1800), move |sim| {
        sim.note(|| format!("Envoy {envoy} is connected again"));
        sim.envoys.borrow_mut()[envoy].cut_since = None;
        control_plane::connect(sim, envoy);
    });
}

fn crash_envoy(sim: &Sim, envoy: usize) {
    sim.note(|| format!("Envoy {envoy} crashes"));
    sim.clock.kill(Owner::Envoy(envoy));
    sim.history.borrow_mut().orphan(envoy);
    sim.envoys.borrow_mut()[envoy].is_serving = false;
    if sim.envoys.borrow()[envoy].cut_since.is_none() {
        control_plane::connect(sim, envoy);
    }
}

fn crash_control_plane(sim: &Sim) {
    if sim.control_plane.borrow().is_none() {
        return;
    }
    control_plane::crash(sim);
    later(sim, sim.random.between(10, 400), control_plane::start);
}

fn change_topology(sim: &World) {
    if sim.control_plane.borrow().is_none() {
        return;
    }
    let mut store = sim.store.borrow_mut();
    let mut topology = store.topology.clone();
    let groups: Vec<String> = topology.groups.keys().cloned().collect();
    let Some(group) = sim.random.pick(&groups) else { return };
    let nodes: Vec<String> = topology.groups[group].keys().cloned().collect();
    let node = sim.random.pick(&nodes).cloned().unwrap_or_default();
    let active = |nodes: &BTreeMap<String, f64>| nodes.values().filter(|weight| **weight > 0.0).count();
    let weights = topology.groups.get_mut(group).expect("a group");
    let add = |weights: &mut BTreeMap<String, f64>| {
        let Some(new) = NODES.get(sim.used_names.get()) else { return false };
        sim.used_names.set(sim.used_names.get() + 1);
        weights.insert((*new).to_owned(), 1.0);
        true
    };
    match sim.random.below(9) {
        0 | 1 => drop(add(weights)),
        2 if active(weights) > 1 => drop(weights.insert(node, 0.0)),
        3 if active(weights) > 1 => {
            // By force: the other copies must do.
            let epoch = &store.epoch;
            // Nor may a group be left without an owner of a shard: a new one had to join unannounced.
            let others = |shard| {
                epoch.clean_readers_of(shard, &store.stale).any(|other| other != node)
                    && epoch.owners.get(group).is_none_or(|owners| owners[shard as usize].len() > 1)
            };
            if !(0..SHARDS).all(others) {
                return;
            }
            weights.remove(&node);
            // In the same transaction: from here the other copies count as the last ones.
            store.mark_lost(&node, &(0..SHARDS).collect::<Vec<_>>());
        }
        4 if add(weights) => drop(weights.insert(node, 0.0)),
        5 => topology.replication_factor = sim.random.between(1, 3) as usize,
        6 if weights[&node] > 0.0 => drop(weights.insert(node, sim.random.between(1, 3) as f64)),
        7 if groups.len() == 1 => {
            let mut nodes = BTreeMap::new();
            if !add(&mut nodes) {
                return;
            }
            topology.groups.insert(if group == "g" { "h".into() } else { "g".into() }, nodes);
        }
        7 if topology.groups.iter().any(|(other, nodes)| other != group && active(nodes) > 0) => {
            topology.groups.get_mut(group).expect("a group").values_mut().for_each(|weight| *weight = 0.0);
        }
        8 => {
            let back = rolled_back(&store.epoch, &topology.members());
            if !back.is_empty() {
                sim.note(|| "the rebalance is canceled".into());
                store.target = back;
            }
            return;
        }
        _ => return,
    }
    sim.note(|| format!("topology {topology:?}"));
    topology::change(&mut store, topology);
}
