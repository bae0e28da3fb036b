//! What all that takes part in a run shares.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::Result;
use miroir_harness::{Answer, Client, Cluster, Method};
use serde_json::Value;
use tokio::time::timeout;

use crate::check::Violation;
use crate::history::{History, Time};
use crate::report::Tally;
use crate::writer::PATIENCE;

/// The index that everything happens in.
pub const INDEX: &str = "chaos";

/// So many findings are kept: one fault of the cluster is seen by every search.
const FINDINGS: usize = 40;

/// What all that takes part in a run shares.
pub struct Run {
    begun: Instant,
    /// One client of each Envoy.
    envoys: Vec<Client>,
    /// Which Envoys may run with an old routing table, since they are cut off from the control plane.
    behind: Vec<AtomicBool>,
    stopping: AtomicBool,
    history: Mutex<History>,
    tally: Mutex<Tally>,
    violations: Mutex<Vec<Violation>>,
}

impl Run {
    pub fn new(cluster: &Cluster) -> Run {
        Run {
            begun: Instant::now(),
            envoys: (0..cluster.envoys()).map(|envoy| cluster.client_of(envoy)).collect(),
            behind: (0..cluster.envoys()).map(|_| AtomicBool::new(false)).collect(),
            stopping: AtomicBool::new(false),
            history: Mutex::default(),
            tally: Mutex::default(),
            violations: Mutex::default(),
        }
    }

    /// How long it has run.
    pub fn now(&self) -> Time {
        self.begun.elapsed().as_micros() as Time
    }

    pub fn envoys(&self) -> usize {
        self.envoys.len()
    }

    pub fn is_behind(&self, envoy: usize) -> bool {
        self.behind[envoy].load(Ordering::SeqCst)
    }

    pub fn set_behind(&self, envoy: usize, behind: bool) {
        self.behind[envoy].store(behind, Ordering::SeqCst);
    }

    /// Whether clients are to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }

    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap()
    }

    pub fn violations(&self) -> MutexGuard<'_, Vec<Violation>> {
        self.violations.lock().unwrap()
    }

    /// Takes findings, and says each of the first at once, with what came of `request`.
    pub fn found(&self, violations: Vec<Violation>, request: &str) {
        for violation in violations {
            let mut all = self.violations();
            if all.len() < FINDINGS {
                let Violation { wrong, key, seen } = &violation;
                let key = key.map(|key| format!(" {}", key.id())).unwrap_or_default();
                println!("{:9.3}  WRONG {wrong:?}{key}: {seen} ({request})", self.now() as f64 / 1e6);
                all.push(Violation { seen: format!("{seen} ({request})"), ..violation });
            }
        }
    }

    /// Sends a request to an Envoy; fails if no answer comes.
    pub async fn send(
        &self,
        envoy: usize,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let client = &self.envoys[envoy];
        let request = async {
            match body {
                Some(body) => client.request(method, path, body).await,
                None => client.send(method, path, None, Vec::new()).await,
            }
        };
        timeout(PATIENCE, request).await?
    }

    /// Sends lines of JSON to an Envoy, in pieces with a pause before each.
    pub async fn send_lines(
        &self,
        envoy: usize,
        method: Method,
        path: &str,
        lines: Vec<Vec<u8>>,
        pause: Duration,
    ) -> Result<Answer> {
        let request = self.envoys[envoy].send_pieces(method, path, "application/x-ndjson", lines, pause);
        timeout(PATIENCE, request).await?
    }
}
