//! Miroir, and one node alone to compare it with.

use std::ops::Deref;
use std::panic::Location;
use std::sync::{Arc, Weak};

use miroir_harness::{Client, Cluster, Options, SingleNode};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Mutex;

/// A cluster and one node alone.
pub struct Pair {
    /// The cluster.
    pub miroir: Cluster,
    /// The node alone.
    pub single: SingleNode,
}

impl Pair {
    /// Does the same with both and gives back what came of it: Miroir's first.
    pub async fn both<T>(&self, act: impl AsyncFn(Client) -> T) -> (T, T) {
        tokio::join!(act(self.miroir.client()), act(self.single.client()))
    }

    /// Does the same with both, and sees to it that the same comes of it and that Miroir shows nothing of its own.
    ///
    /// # Panics
    /// If they differ.
    #[track_caller]
    pub fn same<T: Serialize>(&self, act: impl AsyncFn(Client) -> T) -> impl Future<Output = T> {
        let caller = Location::caller();
        async move {
            let (ours, single) = self.both(act).await;
            let [shown, expected] = [&ours, &single].map(|outcome| serde_json::to_value(outcome).unwrap());
            if let Some(difference) = first_difference(&shown, &expected) {
                panic!("{caller}: Miroir and a node alone differ at {difference}");
            }
            assert!(!shown.to_string().contains("_miroir"), "{caller}: {shown}");
            ours
        }
    }
}

/// A pair that the tests of one program share: it is there while one of them uses it.
pub struct SharedPair {
    options: fn() -> Options,
    running: Mutex<Weak<Pair>>,
}

impl SharedPair {
    /// A pair whose cluster will be made of this.
    pub const fn new(options: fn() -> Options) -> SharedPair {
        SharedPair { options, running: Mutex::const_new(Weak::new()) }
    }

    /// The pair that runs, or a new one.
    ///
    /// # Panics
    /// If it doesn't come up.
    pub async fn get(&self) -> InUse {
        let mut running = self.running.lock().await;
        if let Some(pair) = running.upgrade() {
            return InUse(pair);
        }
        let (miroir, single) = tokio::join!(Cluster::start((self.options)()), SingleNode::start());
        let pair = Arc::new(Pair { miroir: miroir.unwrap(), single: single.unwrap() });
        *running = Arc::downgrade(&pair);
        InUse(pair)
    }
}

/// A pair in use. When a test fails, its logs are kept.
pub struct InUse(Arc<Pair>);

impl Deref for InUse {
    type Target = Pair;

    fn deref(&self) -> &Pair {
        &self.0
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the cluster's logs are in {}", self.miroir.folder().display());
            // Its processes end with this program.
            std::mem::forget(self.0.clone());
        }
    }
}

/// Where two values begin to differ, and how.
pub fn first_difference(ours: &Value, single: &Value) -> Option<String> {
    let at = |place: &dyn std::fmt::Display, deeper: String| format!(".{place}{deeper}");
    match (ours, single) {
        (Value::Object(left), Value::Object(right)) if left.len() == right.len() => {
            left.iter().find_map(|(name, value)| match right.get(name) {
                Some(other) => first_difference(value, other).map(|deeper| at(name, deeper)),
                None => Some(format!(": {ours}\nagainst: {single}")),
            })
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            let mut pairs = left.iter().zip(right).enumerate();
            pairs.find_map(|(place, (left, right))| {
                first_difference(left, right).map(|deeper| at(&place, deeper))
            })
        }
        _ if ours == single => None,
        _ => Some(format!(": {ours}\nagainst: {single}")),
    }
}
