//! Clients that write and read.

use std::collections::BTreeMap;
use std::fmt::Write;

use miroir_core::exchange::Reply;
use serde::Deserialize;

use crate::checks::{self, Expected};
use crate::clock::{Owner, Time};
use crate::envoy::{Request, serve};
use crate::history::Change;
use crate::node::DocumentId;
use crate::world::{DOCUMENTS, ENVOYS, LATELY, Sim, World};

const WRITERS: usize = 3;
const READERS: usize = 2;
/// No write takes that long, unless its Envoy crashed.
const PATIENCE: Time = 3000;

pub fn start(sim: &Sim) {
    for _ in 0..WRITERS {
        let world = sim.clone();
        sim.clock.spawn(Owner::World, async move {
            while !world.is_ending.get() {
                world.sleep(world.random.between(1, 60)).await;
                write(&world).await;
            }
        });
    }
    for _ in 0..READERS {
        let world = sim.clone();
        sim.clock.spawn(Owner::World, async move {
            while !world.is_ending.get() {
                world.sleep(world.random.between(1, 40)).await;
                match world.random.per_mille(300) {
                    true => get(&world).await,
                    false => search(&world).await,
                }
            }
        });
    }
}

fn envoy(sim: &World) -> Option<usize> {
    let envoy = sim.random.below(ENVOYS as u64) as usize;
    sim.envoys.borrow()[envoy].is_serving.then_some(envoy)
}

async fn write(sim: &Sim) {
    let mut ids: Vec<DocumentId> =
        (0..sim.random.between(1, 5)).map(|_| sim.random.between(1, DOCUMENTS)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|id| !sim.history.borrow().documents[id].is_locked);
    let Some(envoy) = envoy(sim).filter(|_| !ids.is_empty()) else { return };
    let change = *sim.random.pick(&[Change::Replace, Change::Update, Change::Delete]).expect("one of them");
    let write = sim.history.borrow_mut().begin(envoy, &ids, change);
    sim.note(|| format!("write {write} of {ids:?} by Envoy {envoy}: {change:?}"));
    let request = Request {
        method: if change == Change::Update { "PUT" } else { "POST" },
        target: match change {
            Change::Delete => "/indexes/i/documents/delete-batch".into(),
            _ => "/indexes/i/documents".into(),
        },
        body: pieces(sim, &body(write, change, &ids)),
        write,
        leaves_after: sim.random.per_mille(30).then(|| sim.random.between(1, 60)),
    };
    let routing = sim.envoys.borrow()[envoy].write_routing.clone();
    let served = serve(sim, envoy, routing, request);
    let (timer, world) = (served.reply.clone(), sim.clone());
    sim.clock.spawn(Owner::World, async move {
        world.sleep(PATIENCE).await;
        timer.send(&world.clock, None);
    });
    let reply = served.reply.receive(&sim.clock).await;
    let status = reply.map_or(0, |reply| reply.status);
    sim.note(|| format!("write {write} is answered {status}"));
    if status == 202 {
        sim.history.borrow_mut().acknowledge(&ids);
    }
    // What is under way may still be done, and the next write must come after it.
    sim.clock.until(Time::MAX / 2, || served.under_way.get() == 0).await;
    sim.history.borrow_mut().unlock(&ids);
}

fn body(write: u64, change: Change, ids: &[DocumentId]) -> String {
    let mut body = String::from("[");
    for (place, id) in ids.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        let _ = match change {
            Change::Replace => write!(body, "{comma}{{\"id\":{id},\"a\":{write},\"b\":{write}}}"),
            Change::Update => write!(body, "{comma}{{\"id\":{id},\"a\":{write}}}"),
            Change::Delete => write!(body, "{comma}{id}"),
        };
    }
    body + "]"
}

fn pieces(sim: &World, body: &str) -> Vec<(Time, Vec<u8>)> {
    let slowness = *sim.random.pick(&[3, 3, 3, 3, 3, 3, 3, 60, 60, 300]).expect("one of them");
    let size = if sim.random.per_mille(500) { 40 } else { 400 };
    let pieces = body.as_bytes().chunks(size);
    pieces.map(|piece| (sim.random.below(slowness), piece.to_vec())).collect()
}

#[derive(Deserialize)]
struct Found {
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    id: DocumentId,
    a: Option<u64>,
    b: Option<u64>,
}

async fn search(sim: &Sim) {
    let body = format!("{{\"q\":\"{}\",\"limit\":1000}}", sim.random.below(50));
    let reply = read(sim, "POST", "/indexes/i/search".into(), body.into_bytes()).await;
    let Some((reply, expected)) = reply else { return };
    if reply.status != 200 {
        return;
    }
    let found: Found = serde_json::from_slice(&reply.body).expect("an answer to a search");
    let mut hits = BTreeMap::new();
    for hit in found.hits {
        if hits.insert(hit.id, [hit.a, hit.b]).is_some() {
            sim.fail(format!("document {} is found twice by table {}", hit.id, expected.version));
        }
    }
    if is_whole(&reply) {
        checks::compare(sim, &expected, |id| Some(hits.get(&id).copied().unwrap_or_default()));
    }
}

async fn get(sim: &Sim) {
    let asked = sim.random.between(1, DOCUMENTS);
    let reply = read(sim, "GET", format!("/indexes/i/documents/{asked}"), Vec::new()).await;
    let Some((reply, expected)) = reply.filter(|(reply, _)| is_whole(reply)) else { return };
    let fields = match reply.status {
        200 => {
            let hit: Hit = serde_json::from_slice(&reply.body).expect("a document");
            [hit.a, hit.b]
        }
        404 => [None; 2],
        _ => return,
    };
    checks::compare(sim, &expected, |id| (id == asked).then_some(fields));
}

fn is_whole(reply: &Reply) -> bool {
    !reply.headers.iter().any(|(name, _)| name == "x-miroir-degraded")
}

/// The reply and what was to be expected when it was asked for. `None` if nothing is promised.
async fn read(sim: &Sim, method: &'static str, target: String, body: Vec<u8>) -> Option<(Reply, Expected)> {
    let envoy = envoy(sim)?;
    let routing = sim.envoys.borrow()[envoy].routing.clone();
    let before = sim.envoys.borrow()[envoy].out_of_touch_since;
    let expected = checks::expect(sim, routing.table.version);
    let request = Request { method, target, body: vec![(0, body)], write: 0, leaves_after: None };
    let served = serve(sim, envoy, routing, request);
    let (timer, world) = (served.reply.clone(), sim.clone());
    sim.clock.spawn(Owner::World, async move {
        world.sleep(PATIENCE).await;
        timer.send(&world.clock, None);
    });
    let reply = served.reply.receive(&sim.clock).await?;
    sim.history.borrow_mut().reads += 1;
    // One that was cut off for too long is not waited for any more.
    let since = before.or(sim.envoys.borrow()[envoy].out_of_touch_since);
    let is_forgotten = since.is_some_and(|since| sim.now() >= since + LATELY);
    (!is_forgotten).then_some((reply, expected))
}
