//! What this worker knows of a Miroir cluster: requests that are under way may need it, while the root that they began with
//! keeps its own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use log::info;
use miroir_core::pace::Pace;
use miroir_core::routing::{Latest, Routing};
use proxy_wasm::hostcalls;

use crate::clock::now;

/// How often what this worker has to tell the others is tried, should they tell at the same time.
const TRIES: usize = 4;

thread_local! {
    /// By the token of its control plane.
    static CLUSTERS: RefCell<HashMap<String, Cluster>> = RefCell::default();
}

/// What is known of a cluster.
#[derive(Clone)]
pub struct Cluster {
    /// The newest routing table.
    pub latest: Latest,
    /// How fast its nodes are.
    pub pace: Rc<RefCell<Pace>>,
    /// The name under which the workers share which of them are slow.
    shared: Rc<str>,
}

impl Cluster {
    /// The one that a new routing table is of.
    pub fn with(routing: Routing) -> Cluster {
        CLUSTERS.with_borrow_mut(|clusters| {
            let token = routing.table.control_plane.token.clone();
            if let Some(cluster) = clusters.get(&token) {
                cluster.set(routing);
                return cluster.clone();
            }
            let shared = format!("miroir_slow_nodes {token}").into();
            let latest = Latest::new(Arc::new(routing));
            let cluster = Cluster { latest, pace: Rc::default(), shared };
            clusters.insert(token, cluster.clone());
            cluster
        })
    }

    fn set(&self, mut routing: Routing) {
        if let Ok(pace) = self.pace.try_borrow() {
            routing.mark_slow(|node| pace.is_slow(node));
        }
        self.latest.set(Arc::new(routing));
    }

    /// Agrees with the other workers on which nodes are slow: how many, if others are now than were before.
    pub fn agree(&self) -> Option<usize> {
        let mut has_changed = false;
        for _ in 0..TRIES {
            let (known, version) = hostcalls::get_shared_data(&self.shared).unwrap_or_default();
            let agreed = self.pace.try_borrow_mut().ok()?.agree(known.as_deref(), now());
            has_changed |= agreed.changed;
            let Some(tell) = agreed.tell else { break };
            if hostcalls::set_shared_data(&self.shared, Some(&tell), version).is_ok() {
                break;
            }
        }
        if !has_changed {
            return None;
        }
        self.set(Routing::clone(&self.latest.get()));
        let slow = self.pace.try_borrow().ok()?.slow_nodes();
        info!("{slow} nodes are slow");
        Some(slow)
    }
}
