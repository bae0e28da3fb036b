//! How many writes each task store registers, and how much of a write's latency that is.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use miroir_control_plane::store::{IndexRecord, NewTask, SqliteStore, Store};
use miroir_harness::{Cluster, Options, Persistence, Redis};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::leader::Leader;
use crate::registered::{self, GENERATION, Placement};
use crate::report::{Figure, Section};
use crate::{cpu, disk, latency, progress};

const NODES: usize = 3;
const CALLERS: [usize; 3] = [1, 16, 64];
/// How long each of them goes on.
const ROUND: Duration = Duration::from_secs(5);
/// Writes of which the latency is measured, after as many others.
const WRITES: usize = 200;

/// Measures and shows it.
pub async fn run() -> Result<Vec<Section>> {
    let mut registrations = Section::new("task store, writes registered at once");
    for backend in
        [Backend::Sqlite, Backend::Redis(Persistence::EverySecond), Backend::Redis(Persistence::Always)]
    {
        for callers in CALLERS {
            progress::say(format!("{}, {callers} at once", backend.name()));
            let round = round(backend, callers).await?;
            let each = |cpu: Duration| Figure::time(cpu.div_f64(round.count as f64));
            let figures = [
                ("registered", Figure::per_second(round.count as f64 / ROUND.as_secs_f64())),
                ("p50", Figure::time(round.p50)),
                ("p99", Figure::time(round.p99)),
                ("CPU of the caller", each(round.cpu)),
            ];
            let redis = round.cpu_of_redis.map(|cpu| ("CPU of Redis", each(cpu)));
            registrations.row(format!("{}, {callers}", backend.name()), figures.into_iter().chain(redis));
        }
    }
    registrations.row("this disk keeps 1 KiB", [("p50", Figure::time(disk::sync()?))]);

    let mut shares = Section::new("a write of one document, p50");
    for backend in [Backend::Sqlite, Backend::Redis(Persistence::Always)] {
        progress::say(format!("writes with {}", backend.name()));
        let (write, registering) = write_and_registration(backend).await?;
        let share = 100.0 * registering.as_secs_f64() / write.as_secs_f64();
        shares.row(
            backend.name(),
            [
                ("the write", Figure::time(write)),
                ("registering it", Figure::time(registering)),
                ("share", Figure::of(share, "%")),
            ],
        );
    }
    Ok(vec![registrations, shares])
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Backend {
    Sqlite,
    Redis(Persistence),
}

impl Backend {
    fn name(self) -> &'static str {
        match self {
            Backend::Sqlite => "SQLite",
            Backend::Redis(Persistence::None) => "Redis",
            Backend::Redis(Persistence::EverySecond) => "Redis, appendfsync everysec",
            Backend::Redis(Persistence::Always) => "Redis, appendfsync always",
        }
    }

    /// A store that is ready for writes, and what must live as long as it.
    async fn open(self, folder: &Path) -> Result<(Arc<dyn Store>, Option<(Leader, Redis)>)> {
        let (store, redis): (Arc<dyn Store>, _) = match self {
            Backend::Sqlite => (Arc::new(SqliteStore::open(&folder.join("miroir.db"))?), None),
            Backend::Redis(persistence) => {
                let redis = Redis::start_alone(folder, persistence).await?;
                let leader = Leader::of(&redis).await?;
                (leader.store.clone(), Some((leader, redis)))
            }
        };
        store.add_epoch(&Placement::of(NODES).epoch()).await?;
        for number in 0..registered::INDEXES {
            store.save_index(&index(&registered::index_of(number))).await?;
        }
        Ok((store, redis))
    }
}

struct Round {
    count: usize,
    p50: Duration,
    p99: Duration,
    /// The CPU time of this process.
    cpu: Duration,
    cpu_of_redis: Option<Duration>,
}

/// Lets so many callers register one write after the other.
async fn round(backend: Backend, callers: usize) -> Result<Round> {
    let folder = tempfile::tempdir()?;
    let (store, redis) = backend.open(folder.path()).await?;
    let redis = redis.as_ref().map(|(_, redis)| redis.pid().context("Redis has ended")).transpose()?;
    let placement = Placement::of(NODES);

    let ours = std::process::id();
    let redis_time = || redis.map(|pid| cpu::time(&[pid])).transpose();
    let cpu_before = (cpu::time(&[ours])?, redis_time()?);
    let deadline = Instant::now() + ROUND;
    let caller = async |caller: usize| -> Result<Vec<Duration>> {
        let mut latencies = Vec::new();
        for number in (caller..).step_by(callers) {
            let start = Instant::now();
            if start >= deadline {
                break;
            }
            register(&*store, placement.of_one_document(number)).await?;
            latencies.push(start.elapsed());
        }
        Ok(latencies)
    };
    let mut latencies = try_join_all((0..callers).map(caller)).await?.concat();
    let cpu_of_redis = redis_time()?.zip(cpu_before.1);
    Ok(Round {
        count: latencies.len(),
        p50: latency::at(0.5, &mut latencies),
        p99: latency::at(0.99, &mut latencies),
        cpu: cpu::time(&[ours])? - cpu_before.0,
        cpu_of_redis: cpu_of_redis.map(|(after, before)| after - before),
    })
}

async fn register(store: &dyn Store, task: NewTask) -> Result<()> {
    let fence = registered::fence(&task);
    store.register_task(NewTask { ticket: Some(registered::ticket()), ..task }, Some(fence)).await?;
    Ok(())
}

fn index(uid: &str) -> IndexRecord {
    let now = OffsetDateTime::now_utc();
    IndexRecord {
        uid: uid.to_owned(),
        primary_key: Some("id".into()),
        created_at: now,
        updated_at: now,
        settings: Value::Null,
        settings_version: 0,
        generation: GENERATION,
        adopting: false,
    }
}

/// How long a client waits for the 202 to a write of one document, when nothing else is going on, and how long another store of
/// the same kind takes to register one, right after it. Medians.
async fn write_and_registration(backend: Backend) -> Result<(Duration, Duration)> {
    let redis = backend != Backend::Sqlite;
    let cluster = Cluster::start(Options { nodes: NODES, redis, ..Options::default() }).await?;
    let client = cluster.client();
    let index = client.create_index("products", Some("id")).await?;
    let folder = tempfile::tempdir()?;
    let (store, _alive) = backend.open(folder.path()).await?;
    let placement = Placement::of(NODES);
    let (mut writes, mut registrations) = (Vec::new(), Vec::new());
    for number in 0..2 * WRITES {
        let document = json!({"id": number, "name": format!("product {number}"), "price": number % 100});
        let start = Instant::now();
        let answer = index.post_documents(&[document]).await?;
        let write = start.elapsed();
        ensure!(answer.status == 202, "a write answered {}: {}", answer.status, answer.text());
        client.wait_for_success(&answer).await?;
        let start = Instant::now();
        register(&*store, placement.of_one_document(number)).await?;
        if number >= WRITES {
            writes.push(write);
            registrations.push(start.elapsed());
        }
    }
    Ok((latency::at(0.5, &mut writes), latency::at(0.5, &mut registrations)))
}
