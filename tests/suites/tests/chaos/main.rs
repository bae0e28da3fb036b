//! Writers, readers and faults, and a check of every answer and of all copies at the end: no acknowledged write is
//! ever lost, undone or seen twice.
//!
//! Everything comes from a seed, which is printed: the faults in their order and what each client does, though not
//! how they meet. `make chaos` plays many schedules; `MIROIR_CHAOS_SCHEDULES`, `MIROIR_CHAOS_SECONDS` and
//! `MIROIR_CHAOS_SEED` say how many, how long each, and where the seeds begin.

mod admin;
mod at_rest;
mod broken;
mod check;
mod compare;
mod documents;
mod faults;
mod forged;
mod history;
mod operator;
mod play;
mod reader;
mod report;
mod run;
mod schedule;
mod settle;
mod writer;

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::broken::Part;
use crate::check::Wrong;
use crate::play::{Ending, Play, Sabotage};
use crate::report::Tally;
use crate::schedule::{Change, Fault, SHAPES, Shape, Step};

/// Each schedule keeps a small machine busy: one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}"))
        }
        _ => default,
    }
}

/// Plays one schedule after the other, and tells of all before it fails for any.
async fn play_all(schedules: impl Iterator<Item = (u64, Shape)>, lasts: Duration) {
    let _one_at_a_time = ONE_AT_A_TIME.lock().await;
    let mut all = Tally::default();
    let mut wrong = Vec::new();
    for (seed, shape) in schedules {
        match (Play { seed, shape, lasts, script: None, sabotage: None }).play().await {
            Ok(ending) => {
                all.count("schedules", if ending.violations.is_empty() { "good" } else { "with findings" });
                wrong.extend(
                    ending.violations.iter().map(|violation| format!("schedule {seed}: {violation:?}")),
                );
                all.take(ending.tally);
            }
            Err(error) => {
                all.count("schedules", "broken off");
                wrong.push(format!("schedule {seed} broke off: {error:#}"));
            }
        }
    }
    println!("all schedules:\n{all}");
    assert!(wrong.is_empty(), "{} findings:\n{}", wrong.len(), wrong.join("\n"));
    assert!(all.untried().is_empty(), "no {:?} has succeeded", all.untried());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_schedules() {
    let seed = number("MIROIR_CHAOS_SEED", 1);
    let shapes = [SHAPES[0], SHAPES[1], SHAPES[2]];
    play_all((seed..).zip(shapes), Duration::from_secs(number("MIROIR_CHAOS_SECONDS", 15))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes an hour or more: make chaos"]
async fn many_schedules() {
    let seed = number("MIROIR_CHAOS_SEED", 1000);
    let count = number("MIROIR_CHAOS_SCHEDULES", 30);
    let seeds = seed..seed + count;
    let schedules = seeds.map(|seed| (seed, SHAPES[seed as usize % SHAPES.len()]));
    play_all(schedules, Duration::from_secs(number("MIROIR_CHAOS_SECONDS", 150))).await;
}

fn kinds(ending: &Ending) -> BTreeSet<Wrong> {
    ending.violations.iter().map(|violation| violation.wrong).collect()
}

/// What the nodes lose is seen, though nobody but the checker looks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_document_is_seen_in_a_real_cluster() {
    let _one_at_a_time = ONE_AT_A_TIME.lock().await;
    let (lasts, script, sabotage) = (Duration::ZERO, Some(Vec::new()), Some(Sabotage::Documents));
    let ending = Play { seed: 1, shape: SHAPES[0], lasts, script, sabotage }.play().await.unwrap();
    let seen = kinds(&ending);
    assert!(seen.contains(&Wrong::Lost), "{seen:?}");
    assert!(seen.contains(&Wrong::Unequal) || seen.contains(&Wrong::Misplaced), "{seen:?}");
}

/// With a part of the protocol left out, acknowledged writes are lost while shards move, and that is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_protocol_is_seen() {
    let _one_at_a_time = ONE_AT_A_TIME.lock().await;
    for (part, faults) in [(Part::Copying, vec![]), (Part::Fencing, vec![Fault::CutXds(0)])] {
        let (lasts, then) = (Duration::from_secs(10), Duration::from_secs(1));
        let step = Step { change: Some(Change::AddNode(0)), faults, lasts, then };
        let mut seen = BTreeSet::new();
        // A write has to meet the change of owners.
        for seed in 1..=4 {
            let (script, sabotage) = (Some(vec![step.clone()]), Some(Sabotage::Protocol(part)));
            let ending = Play { seed, shape: SHAPES[0], lasts, script, sabotage }.play().await.unwrap();
            seen = kinds(&ending);
            if seen.contains(&Wrong::Lost) || seen.contains(&Wrong::Version) {
                break;
            }
        }
        assert!(seen.contains(&Wrong::Lost) || seen.contains(&Wrong::Version), "without {part:?}: {seen:?}");
    }
}
