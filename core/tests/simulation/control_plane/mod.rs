//! The control plane: what it remembers while it runs, and what it tells the Envoys.

mod cleanup;
mod copy;
mod health;
mod notices;
mod rebalance;
mod repair;
mod table;
mod tasks;
pub mod topology;
mod writes;

use std::collections::BTreeMap;
use std::sync::Arc;

use miroir_core::exchange::{Answer, Call};
use miroir_core::routing::Routing;
use miroir_core::shard::ShardId;

use self::notices::Notices;
use crate::clock::{Mailbox, Owner, Time};
use crate::world::{CONTROL_TIMEOUT, ENVOYS, FORGET, LATELY, Sim, World};

/// What a crash takes.
pub struct ControlPlane {
    started_at: Time,
    /// The writes that are under way, and when they began.
    tickets: BTreeMap<String, Time>,
    gate_is_closed: bool,
    /// By node that was checked.
    up: BTreeMap<String, bool>,
    /// The Envoys that were ever connected.
    envoys: BTreeMap<usize, Connection>,
    /// Who is to join, and who has leftovers.
    announcements: Notices,
    leftovers: Notices,
    /// The replica that is being repaired.
    copying: Option<(String, ShardId)>,
    /// Whether all that may go on from before the start is fenced.
    is_settled: bool,
    tables: Tables,
}

#[derive(Clone)]
struct Tables {
    reads: Arc<Routing>,
    writes: Arc<Routing>,
}

#[derive(Clone, Copy)]
struct Connection {
    is_connected: bool,
    acknowledged: u64,
    last_contact: Time,
}

/// Begins with what is stored.
pub fn start(sim: &Sim) {
    sim.note(|| "the control plane starts".into());
    let tables = table::build(sim, &BTreeMap::new());
    *sim.control_plane.borrow_mut() = Some(ControlPlane {
        started_at: sim.now(),
        tickets: BTreeMap::new(),
        gate_is_closed: false,
        up: BTreeMap::new(),
        envoys: BTreeMap::new(),
        announcements: Notices::default(),
        leftovers: Notices::default(),
        copying: None,
        is_settled: false,
        tables,
    });
    (0..ENVOYS).for_each(|envoy| connect(sim, envoy));
    health::watch(sim);
    let run = |task: std::pin::Pin<Box<dyn Future<Output = ()>>>| sim.clock.spawn(Owner::ControlPlane, task);
    let world = sim.clone();
    run(Box::pin(async move { tasks::poll(&world).await }));
    let world = sim.clone();
    run(Box::pin(async move { rebalance::run(&world).await }));
    let world = sim.clone();
    run(Box::pin(async move { repair::run(&world).await }));
}

pub fn crash(sim: &World) {
    sim.note(|| "the control plane crashes".into());
    sim.control_plane.borrow_mut().take();
    sim.clock.kill(Owner::ControlPlane);
}

/// What the running control plane remembers. Its tasks run only while there is one.
fn with<R>(sim: &World, action: impl FnOnce(&mut ControlPlane) -> R) -> R {
    action(sim.control_plane.borrow_mut().as_mut().expect("it runs"))
}

fn is_up(sim: &World, node: &str) -> bool {
    with(sim, |running| running.up.get(node) == Some(&true))
}

/// Whether it runs and has seen that a node is down.
pub fn knows_to_be_down(sim: &World, node: &str) -> bool {
    let running = sim.control_plane.borrow();
    running.as_ref().is_some_and(|running| running.up.get(node) == Some(&false))
}

/// A filter's call.
pub async fn call(sim: &Sim, envoy: usize, call: Call) -> Option<Answer> {
    let answer = Mailbox::new();
    let (sender, world) = (answer.clone(), sim.clone());
    sim.clock.spawn(Owner::World, async move {
        world.sleep(world.random.between(1, 6)).await;
        let is_cut = world.envoys.borrow()[envoy].cut_since.is_some();
        if is_cut || world.control_plane.borrow().is_none() || world.random.per_mille(5) {
            world.sleep(world.random.between(1, 30)).await;
            return sender.send(&world.clock, None);
        }
        let sim = world.clone();
        world.clock.spawn(Owner::ControlPlane, async move {
            let answer = writes::handle(&sim, &call).await;
            sim.sleep(sim.random.between(1, 6)).await;
            let is_lost = sim.random.per_mille(5);
            sender.send(&sim.clock, Some(answer).filter(|_| !is_lost));
        });
    });
    let (timer, world) = (answer.clone(), sim.clone());
    sim.clock.spawn(Owner::World, async move {
        world.sleep(CONTROL_TIMEOUT).await;
        timer.send(&world.clock, None);
    });
    answer.receive(&sim.clock).await
}

/// An Envoy that reaches the control plane opens a stream soon and gets the table.
pub fn connect(sim: &Sim, envoy: usize) {
    let world = sim.clone();
    sim.clock.spawn(Owner::World, async move {
        world.sleep(world.random.between(1, 40)).await;
        let is_cut = world.envoys.borrow()[envoy].cut_since.is_some();
        let now = world.now();
        let tables = match world.control_plane.borrow_mut().as_mut() {
            Some(running) if !is_cut => {
                let connection = running.envoys.entry(envoy).or_insert(Connection {
                    is_connected: true,
                    acknowledged: 0,
                    last_contact: now,
                });
                connection.is_connected = true;
                running.tables.clone()
            }
            _ => return,
        };
        deliver(&world, envoy, tables);
    });
}

/// The control plane sees sooner or later that a stream has ended.
pub fn disconnect(sim: &Sim, envoy: usize) {
    let world = sim.clone();
    sim.clock.spawn(Owner::World, async move {
        world.sleep(world.random.between(1, 60)).await;
        let is_cut = world.envoys.borrow()[envoy].cut_since.is_some();
        let now = world.now();
        let mut running = world.control_plane.borrow_mut();
        let connection = running.as_mut().and_then(|running| running.envoys.get_mut(&envoy));
        if let Some(connection) = connection.filter(|_| is_cut) {
            connection.is_connected = false;
            connection.last_contact = now;
        }
    });
}

fn deliver(sim: &Sim, envoy: usize, tables: Tables) {
    let (world, version) = (sim.clone(), tables.reads.table.version);
    sim.clock.spawn(Owner::World, async move {
        let slowness = world.envoys.borrow()[envoy].slowness;
        world.sleep(world.random.between(1, 12 + slowness)).await;
        {
            let mut envoys = world.envoys.borrow_mut();
            let envoy = &mut envoys[envoy];
            if envoy.cut_since.is_some() {
                return;
            }
            envoy.is_serving = true;
            envoy.out_of_touch_since = None;
            if envoy.routing.table.version < version {
                envoy.routing = tables.reads;
                envoy.write_routing = tables.writes;
            }
        }
        world.note(|| format!("Envoy {envoy} takes table {version}"));
        world.sleep(world.random.between(1, 6)).await;
        if world.envoys.borrow()[envoy].cut_since.is_some() {
            return;
        }
        let mut running = world.control_plane.borrow_mut();
        let connection = running.as_mut().and_then(|running| running.envoys.get_mut(&envoy));
        if let Some(connection) = connection {
            connection.acknowledged = connection.acknowledged.max(version);
        }
    });
}

/// Makes a table of all that is known and sends it to the Envoys. Returns its version.
fn publish(sim: &Sim) -> u64 {
    let up = with(sim, |running| running.up.clone());
    let tables = table::build(sim, &up);
    let version = tables.reads.table.version;
    let connected: Vec<usize> = with(sim, |running| {
        running.tables = tables.clone();
        let connected = running.envoys.iter().filter(|(_, connection)| connection.is_connected);
        connected.map(|(envoy, _)| *envoy).collect()
    });
    connected.into_iter().for_each(|envoy| deliver(sim, envoy, tables.clone()));
    version
}

/// Waits until the connected Envoys run with this table, but not for ever.
async fn run_with(sim: &World, version: u64, patience: Time) {
    let all = || {
        with(sim, |running| {
            let mut connected = running.envoys.values().filter(|connection| connection.is_connected);
            connected.all(|connection| connection.acknowledged >= version)
        })
    };
    sim.clock.until(patience, all).await;
}

/// Whether all Envoys run with this table or a newer one that are connected or may have been lately.
fn everyone_runs_with(sim: &World, version: u64) -> bool {
    let now = sim.now();
    with(sim, |running| {
        let may_serve =
            |connection: &&Connection| connection.is_connected || now < connection.last_contact + LATELY;
        now >= running.started_at + LATELY
            && running.envoys.values().filter(may_serve).all(|connection| connection.acknowledged >= version)
    })
}

/// Waits until every write that began before now is registered or forgotten.
async fn barrier(sim: &World, patience: Time) -> bool {
    let before: Vec<String> = with(sim, |running| running.tickets.keys().cloned().collect());
    let is_over = || {
        with(sim, |running| {
            let now = sim.now();
            running.tickets.retain(|_, begun| now < *begun + FORGET);
            before.iter().all(|ticket| !running.tickets.contains_key(ticket))
        })
    };
    sim.clock.until(patience, is_over).await
}

/// What Envoys have before they were ever connected: they don't serve by it.
pub fn first_table(sim: &World) -> Arc<Routing> {
    table::build(sim, &BTreeMap::new()).reads
}
