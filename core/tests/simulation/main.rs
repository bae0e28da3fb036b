//! The whole protocol of writes, migrations and repairs in virtual time: nodes, Envoys, the control plane and clients, with
//! whatever may go wrong. All of a run follows from its seed.
//!
//! `MIROIR_SEED=7 cargo test -p miroir-core --test simulation` runs one seed alone and prints all that happens,
//! `MIROIR_SEEDS=100000` as many.

#![cfg(not(target_arch = "wasm32"))]

mod checks;
mod clients;
mod clock;
mod control_plane;
mod envoy;
mod faults;
mod history;
mod node;
mod random;
mod run;
mod store;
mod world;

use run::run;
use world::Break;

/// So many that they take some twenty seconds on one core.
const SEEDS: u64 = 2500;
/// Among so many seeds one finds what is broken.
const SEEDS_TO_FIND: u64 = 10_000;

#[test]
fn the_protocol_holds() {
    let alone =
        std::env::var("MIROIR_SEED").ok().map(|seed| seed.parse::<u64>().expect("MIROIR_SEED is a number"));
    if let Some(seed) = alone {
        let outcome = run(seed, None, true);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        println!("{:?}", outcome.counts);
        assert_eq!(outcome.violation, None);
        return;
    }
    let mut counts = run::Counts::default();
    let seeds =
        std::env::var("MIROIR_SEEDS").ok().map(|seeds| seeds.parse().expect("MIROIR_SEEDS is a number"));
    for seed in 0..seeds.unwrap_or(SEEDS) {
        let outcome = run(seed, None, false);
        counts.add(&outcome.counts);
        if let Some(violation) = outcome.violation {
            let trace = run(seed, None, true).trace;
            let from = trace.len().saturating_sub(60);
            trace.iter().skip(from).for_each(|line| println!("{line}"));
            panic!("seed {seed}: {violation}\nMIROIR_SEED={seed} runs it alone");
        }
    }
    println!("{counts:?}");
}

/// Sees to it that some run goes wrong without a part of the protocol, and well with it. Where such runs are rare, `first`
/// is one of them, to save time.
fn finds(broken: Break, first: u64) {
    let goes_wrong = |seed| {
        let violation = run(seed, Some(broken), false).violation?;
        run(seed, None, false).violation.is_none().then_some((seed, violation))
    };
    let found = (first..first + SEEDS_TO_FIND).find_map(goes_wrong);
    println!("{broken:?}: {found:?}");
    assert!(found.is_some(), "nobody misses {broken:?}");
}

#[test]
fn a_copy_that_is_not_compared_again_is_found() {
    finds(Break::Recheck, 0);
}

#[test]
fn a_copy_that_waits_for_nothing_is_found() {
    finds(Break::Barrier, 276);
}

#[test]
fn epochs_that_are_never_retired_are_found() {
    finds(Break::Retiring, 0);
}

#[test]
fn joining_owners_that_count_for_the_quorum_are_found() {
    finds(Break::JoiningOwnersDontCount, 0);
}

#[test]
fn writes_that_no_clean_copy_took_are_found() {
    finds(Break::CleanTaker, 0);
}

#[test]
fn a_cleanup_that_does_not_wait_is_found() {
    finds(Break::CleanupWaits, 0);
}

#[test]
fn joining_owners_that_nobody_announces_are_found() {
    finds(Break::Announcement, 0);
}

#[test]
fn writes_that_begin_by_a_retired_epoch_are_found() {
    finds(Break::BeginChecksEpoch, 0);
}

#[test]
fn refused_writes_that_nobody_cares_for_are_found() {
    finds(Break::RefusedWritesMark, 3696);
}

#[test]
fn stale_replicas_with_more_than_clean_ones_are_found() {
    finds(Break::StaleTakersMark, 563);
}

#[test]
fn tasks_that_nobody_follows_are_found() {
    finds(Break::FollowsAll, 1007);
}

#[test]
fn sources_whose_tasks_are_not_known_are_found() {
    finds(Break::SourceTasks, 3141);
}
