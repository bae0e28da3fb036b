//! One schedule from its beginning to its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use miroir_harness::{Cluster, Options};
use serde_json::json;
use tokio::task::JoinSet;

use crate::broken::Part;
use crate::check::Violation;
use crate::documents::Key;
use crate::faults::Saboteur;
use crate::history::{Kind, Outcome};
use crate::report::Tally;
use crate::run::{INDEX, Run};
use crate::schedule::{Schedule, Shape, Step};
use crate::settle::{self, SHARDS};
use crate::{compare, reader, writer};

/// Those whose documents change. Nobody touches the documents of writer 0.
const WRITERS: u16 = 4;
const READERS: u16 = 3;

/// What to play.
pub struct Play {
    pub seed: u64,
    pub shape: Shape,
    /// How long clients and faults go on.
    pub lasts: Duration,
    /// What goes wrong; if not given, what the seed says.
    pub script: Option<Vec<Step>>,
    /// What must be seen.
    pub sabotage: Option<Sabotage>,
}

/// What is done behind everybody's back.
#[derive(Clone, Copy, Debug)]
pub enum Sabotage {
    /// A document is deleted on one node, and put on a node that does not own it, when all is at rest.
    Documents,
    /// A part of the protocol is left out.
    Protocol(Part),
}

/// What came of it.
pub struct Ending {
    pub violations: Vec<Violation>,
    pub tally: Tally,
}

impl Play {
    /// Plays it. The cluster's folder stays if something was found.
    ///
    /// # Errors
    /// If the cluster can't be started, or a part of it does not come up again.
    pub async fn play(self) -> Result<Ending> {
        println!("schedule {}: {:?}, {:?}", self.seed, self.shape, self.lasts);
        let cluster = Cluster::start(self.options()).await?;
        let folder = cluster.folder().display().to_string();
        let run = Arc::new(Run::new(&cluster));
        let mut saboteur = Saboteur::new(cluster, self.shape.groups, run.clone());
        let played = self.play_with(&mut saboteur, &run).await;
        let violations = run.violations().clone();
        let mut tally = std::mem::take(&mut *run.tally());
        tally.count_operations(&run.history());
        println!("{tally}");
        let is_strange = played.is_err() || !violations.is_empty();
        if is_strange && self.sabotage.is_none() {
            let keys: BTreeSet<Key> = violations.iter().filter_map(|violation| violation.key).collect();
            for key in keys.into_iter().take(4) {
                println!("  {}:\n{}", key.id(), run.history().describe(key));
            }
            println!("schedule {}: the cluster's logs are in {folder}", self.seed);
            saboteur.cluster.keep_folder();
        }
        played?;
        Ok(Ending { violations, tally })
    }

    fn options(&self) -> Options {
        // Who is cut off is soon gone on without, where just that is to be seen.
        let envoy_grace_ms = if self.script.is_some() { 1000 } else { 15_000 };
        let config = json!({
            "health": { "interval_ms": 200, "timeout_ms": 1000 },
            "timeouts": { "read_ms": 2000, "write_ms": 2000, "control_plane_ms": 6000 },
            // Those who will not come back are not waited for long.
            "rebalance": { "write_patience_ms": 3000, "envoy_grace_ms": envoy_grace_ms },
        });
        Options {
            nodes: self.shape.nodes,
            replica_groups: self.shape.groups,
            replication_factor: self.shape.copies,
            shards: SHARDS,
            envoys: self.shape.envoys,
            controlled_ways: true,
            node_faults: true,
            config,
            ..Options::default()
        }
    }

    async fn play_with(&self, saboteur: &mut Saboteur, run: &Arc<Run>) -> Result<()> {
        prepare(saboteur, run).await?;
        if let Some(Sabotage::Protocol(part)) = self.sabotage {
            part.leave_out(&saboteur.cluster)?;
        }

        let mut clients = JoinSet::new();
        let seed = |part: u64| Rng::with_seed(self.seed.wrapping_mul(1000).wrapping_add(part));
        for number in 1..=WRITERS {
            clients.spawn(writer::write(run.clone(), number, seed(number.into())));
        }
        for number in 0..READERS {
            clients.spawn(reader::read_on(run.clone(), WRITERS, seed(100 + u64::from(number))));
        }
        let mut watchers = JoinSet::new();
        watchers.spawn(writer::watch_tasks(run.clone()));

        let begun = Instant::now();
        let steps: Box<dyn Iterator<Item = Step> + Send> = match &self.script {
            Some(steps) => Box::new(steps.clone().into_iter()),
            None => Box::new(Schedule::new(self.seed, self.shape)),
        };
        for step in steps.take_while(|_| begun.elapsed() < self.lasts) {
            saboteur.take(&step).await?;
        }
        run.stop();
        println!("{:9.3}  no more faults", run.now() as f64 / 1e6);
        while let Some(ended) = clients.join_next().await {
            ended?;
        }
        if matches!(self.sabotage, Some(Sabotage::Protocol(_))) && !run.violations().is_empty() {
            // Seen already; it may never come to rest.
            return Ok(());
        }
        settle::settle(saboteur, run).await;
        watchers.shutdown().await;
        println!("{:9.3}  at rest", run.now() as f64 / 1e6);
        compare::count(&saboteur.admin, run).await;
        if let Some(Sabotage::Documents) = self.sabotage {
            saboteur.rig().await?;
        }
        compare::compare_at_rest(&saboteur.admin, run).await?;
        let copies = settle::check_nodes(saboteur, run).await?;
        run.tally().add("documents", "copies on nodes at the end", copies);
        reader::look_at_everything(run, WRITERS).await;
        println!("{:9.3}  checked", run.now() as f64 / 1e6);
        Ok(())
    }
}

/// An index, and the documents that nobody touches.
async fn prepare(saboteur: &Saboteur, run: &Run) -> Result<()> {
    let client = saboteur.cluster.client();
    let index = client.create_index(INDEX, Some("id")).await?;
    let settings = json!({
        "filterableAttributes": ["writer", "number", "bucket"],
        "sortableAttributes": ["writer", "number"],
        "pagination": { "maxTotalHits": 100_000 },
    });
    index.update_settings(&settings).await?;
    client.patch("/experimental-features", &json!({ "editDocumentsByFunction": true })).await?.ok()?;
    let keys = (0..writer::DOCUMENTS).map(|number| Key { writer: 0, number }).collect();
    let intent = writer::Intent { kind: Kind::Add, writer: 0, keys, lines: None, patience: writer::PATIENCE };
    let outcome = writer::carry_out(run, intent, 0).await;
    anyhow::ensure!(outcome == Outcome::Acknowledged, "the first documents: {outcome:?}");
    let (task, operation) = run.history().pending_tasks().pop_first().context("no task")?;
    let task = client.wait_for_task(task).await?;
    anyhow::ensure!(task["status"] == "succeeded", "{task}");
    run.history().finish(operation, Outcome::Succeeded(run.now()), "");
    Ok(())
}
