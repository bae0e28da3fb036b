//! Writers, readers and faults, and a check of every answer and of all copies at the end: no acknowledged write is
//! ever lost, undone or seen twice.
//!
//! Everything comes from a seed, which is printed: the faults in their order and what each client does, though not
//! how they meet. `make chaos` plays many schedules; `MIROIR_CHAOS_SCHEDULES`, `MIROIR_CHAOS_SECONDS` and
//! `MIROIR_CHAOS_SEED` say how many, how long each, and where the seeds begin.

mod admin;
mod at_rest;
mod check;
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

use serde_json::json;
use tokio::sync::Mutex;

use crate::check::Wrong;
use crate::play::Play;
use crate::report::Tally;
use crate::schedule::{SHAPES, Shape};

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
        match (Play { seed, shape, lasts, config: json!({}), is_rigged: false }).play().await {
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

/// What the nodes lose is seen, though nobody but the checker looks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_document_is_seen_in_a_real_cluster() {
    let _one_at_a_time = ONE_AT_A_TIME.lock().await;
    let (lasts, config) = (Duration::ZERO, json!({}));
    let rigged = Play { seed: 1, shape: SHAPES[0], lasts, config, is_rigged: true };
    let ending = rigged.play().await.unwrap();
    let seen: BTreeSet<Wrong> = ending.violations.iter().map(|violation| violation.wrong).collect();
    assert!(seen.contains(&Wrong::Lost), "{seen:?}");
    assert!(seen.contains(&Wrong::Unequal) || seen.contains(&Wrong::Misplaced), "{seen:?}");
}

/// With a part of the protocol left out, something is lost, and seen to be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the control plane knows no `testing.skip` yet"]
async fn a_broken_protocol_is_seen() {
    let seed = number("MIROIR_CHAOS_SEED", 1);
    let lasts = Duration::from_secs(number("MIROIR_CHAOS_SECONDS", 60));
    for skip in ["compare", "fence"] {
        let config = json!({ "testing": { "skip": skip } });
        let ending = Play { seed, shape: SHAPES[0], lasts, config, is_rigged: false }.play().await.unwrap();
        assert!(!ending.violations.is_empty(), "nothing was lost without {skip}");
    }
}
