//! All there is in one run.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::rc::Rc;

use crate::clock::{Clock, Mailbox, Owner, Time};
use crate::control_plane::ControlPlane;
use crate::envoy::Envoy;
use crate::history::History;
use crate::node::Node;
use crate::random::Random;
use crate::run;
use crate::store::Store;

pub type Sim = Rc<World>;

pub const SHARDS: u32 = 4;
pub const ENVOYS: usize = 2;
/// How many documents there may be.
pub const DOCUMENTS: u64 = 12;

/// All nodes there may ever be.
pub const NODES: [&str; 12] = ["n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9", "n10", "n11"];

pub const READ_TIMEOUT: Time = 60;
pub const WRITE_TIMEOUT: Time = 120;
pub const CONTROL_TIMEOUT: Time = 110;
/// A write whose filter is gone is forgotten then.
pub const FORGET: Time = 1500;
/// An Envoy that was connected so long ago may still serve.
pub const LATELY: Time = 1200;

/// What is left out of the protocol on purpose, to see that its lack is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// What was copied is not compared again.
    Recheck,
    /// A copy does not wait for the writes that are under way, nor for the queues.
    Barrier,
    /// Epochs are never retired.
    Retiring,
    /// Who joins counts for the quorum.
    JoiningOwnersDontCount,
    /// A write is acknowledged whoever took it.
    CleanTaker,
    /// Envoys don't know of nodes that join before writes go to them.
    Announcement,
    /// Leftovers are deleted at once.
    CleanupWaits,
    /// Tasks are not followed of writes that are not acknowledged, or of which enough is done.
    FollowsAll,
    /// A copy is clean although it is not known whether its source is.
    SourceTasks,
    /// A write may begin by an epoch that is retired.
    BeginChecksEpoch,
    /// What a refused write has left on nodes is not cared for.
    RefusedWritesMark,
    /// A stale replica that alone took a write is not marked again.
    StaleTakersMark,
}

pub struct World {
    pub clock: Clock,
    pub random: Random,
    pub broken: Option<Break>,
    pub nodes: RefCell<BTreeMap<String, Node>>,
    pub envoys: RefCell<Vec<Envoy>>,
    pub store: RefCell<Store>,
    /// What is lost when it crashes; `None` while it is down.
    pub control_plane: RefCell<Option<ControlPlane>>,
    pub history: RefCell<History>,
    /// Whether clients and faults are over.
    pub is_ending: Cell<bool>,
    /// Names of nodes are not used again: by an old table an Envoy would take another machine for the one before.
    pub used_names: Cell<usize>,
    /// How many of a thousand requests and answers are lost on the way.
    pub loss: Cell<u64>,
    /// Whether nodes fail at some tasks.
    pub fails_tasks: Cell<bool>,
    pub violation: RefCell<Option<String>>,
    traces: bool,
    trace: RefCell<Vec<String>>,
}

impl World {
    pub fn new(seed: u64, broken: Option<Break>, traces: bool) -> Sim {
        Rc::new(World {
            clock: Clock::default(),
            random: Random::new(seed),
            broken,
            nodes: RefCell::default(),
            envoys: RefCell::default(),
            store: RefCell::default(),
            control_plane: RefCell::default(),
            history: RefCell::default(),
            is_ending: Cell::new(false),
            used_names: Cell::new(0),
            loss: Cell::new(0),
            fails_tasks: Cell::new(false),
            violation: RefCell::default(),
            traces,
            trace: RefCell::default(),
        })
    }

    pub fn lacks(&self, part: Break) -> bool {
        self.broken == Some(part)
    }

    pub fn now(&self) -> Time {
        self.clock.now()
    }

    pub async fn sleep(&self, time: Time) {
        self.clock.sleep(time).await;
    }

    pub fn note(&self, what: impl FnOnce() -> String) {
        if self.traces {
            self.trace.borrow_mut().push(format!("{:>6} {}", self.now(), what()));
        }
    }

    /// Ends the run.
    pub fn fail(&self, what: impl Display) {
        self.note(|| format!("VIOLATION {what}"));
        self.violation.borrow_mut().get_or_insert_with(|| what.to_string());
    }

    pub fn trace(&self) -> Vec<String> {
        self.trace.borrow().clone()
    }

    pub fn is_running(&self, node: &str) -> bool {
        self.nodes.borrow().get(node).is_some_and(|node| node.is_running)
    }
}

/// Asks a node something on behalf of the control plane. `None` if it does not answer; it may have done it all the same.
pub async fn ask<R: 'static>(
    sim: &Sim,
    node: &str,
    question: impl FnOnce(&mut Node) -> R + 'static,
) -> Option<R> {
    let answer = Mailbox::new();
    let (sender, world, node) = (answer.clone(), sim.clone(), node.to_owned());
    sim.clock.spawn(Owner::World, async move {
        let sim = world;
        sim.sleep(sim.random.between(1, 6)).await;
        let result = match sim.nodes.borrow_mut().get_mut(&node) {
            Some(running) if running.is_running => {
                let answer = question(running);
                run::wake(&sim, &node, running);
                Some(answer)
            }
            _ => None,
        };
        sim.sleep(sim.random.between(1, 6)).await;
        let is_lost = sim.random.per_mille(5);
        sender.send(&sim.clock, result.filter(|_| !is_lost));
    });
    answer.receive(&sim.clock).await
}
