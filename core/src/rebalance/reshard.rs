//! Another number of shards while traffic runs.
//!
//! Where one number divides the other, a shard of the fewer is just several of the more: its documents may stay where they
//! are, and need but other [tags](Tags). So nothing is copied and nothing is kept twice, as it would be with a second index
//! beside the first. On the way, in epochs that nobody skips:
//!
//! 1. to fewer shards, those that become one get the same owners, by a rebalance like any other, and become one;
//! 2. readers look for the tags of both numbers;
//! 3. documents are written with the new ones;
//! 4. all documents that there are get them, on every node;
//! 5. only the new ones are looked for; to more shards, these begin to exist.
//!
//! Before each epoch, no read is under way any more by a table from before the last one: what one step writes is found by
//! all who were told by the step before. At any point the goal may become the former number again.

use std::collections::BTreeSet;

use super::epoch::{Epoch, Owners};
use crate::shard::{ShardId, converted};
use crate::tag::Tags;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reshard {
    /// Shards that become one must have the same owners.
    Gather,
    /// This is the next epoch.
    Enter(Epoch),
    /// All documents on all nodes must have the tag with which they would be written.
    Retag,
}

/// The next step from an epoch in which nothing moves to one with so many shards; `None` when it is there. `is_retagged`
/// tells whether all documents are known to have the tags with which this epoch writes.
pub fn reshard(now: &Epoch, goal: ShardId, is_retagged: bool) -> Option<Reshard> {
    let tags = now.tags();
    let divides = |divisor: ShardId, number: ShardId| number.checked_rem(divisor) == Some(0);
    let with = |tags: Tags| {
        Some(Reshard::Enter(Epoch { epoch: now.epoch + 1, retagging: Some(tags), ..now.clone() }))
    };
    if tags == Tags::of(goal) {
        return None;
    }
    if !divides(goal, tags.found) {
        return with(Tags { found: goal, ..tags });
    }
    if !divides(tags.shards, goal) {
        return Some(match is_gathered(&now.owners, goal) {
            true => Reshard::Enter(Epoch {
                retagging: Some(Tags { shards: goal, ..tags }),
                ..of_shards(now, goal)
            }),
            false => Reshard::Gather,
        });
    }
    if tags.written != goal {
        return with(Tags { written: goal, ..tags });
    }
    Some(match is_retagged {
        true => Reshard::Enter(of_shards(now, goal)),
        false => Reshard::Retag,
    })
}

/// Whether a cluster of so many shards can become one of `goal`, from a given epoch on: the numbers must divide each other.
pub fn may_reshard(now: &Epoch, goal: ShardId) -> bool {
    let tags = now.tags();
    let fit =
        |one: ShardId, other: ShardId| one.checked_rem(other) == Some(0) || other.checked_rem(one) == Some(0);
    goal > 0 && [tags.shards, tags.written, tags.found].into_iter().all(|number| fit(number, goal))
}

/// Where shards that are to become one are to be gathered: each where the first of them is in `target`, a placement of
/// `goal` shards.
pub fn gathered(target: &Owners, shards: ShardId, goal: ShardId) -> Owners {
    let place = |owners: &Vec<Vec<String>>| {
        let of = |shard: ShardId| {
            owners.get(shard.checked_rem(goal).unwrap_or(0) as usize).cloned().unwrap_or_default()
        };
        (0..shards).map(of).collect()
    };
    target.iter().map(|(group, owners)| (group.clone(), place(owners))).collect()
}

fn is_gathered(owners: &Owners, goal: ShardId) -> bool {
    owners.values().all(|owners| {
        let nodes = |shard: usize| owners.get(shard).into_iter().flatten().collect::<BTreeSet<_>>();
        (0..owners.len()).all(|shard| nodes(shard) == nodes(shard.checked_rem(goal as usize).unwrap_or(0)))
    })
}

/// The same placement, of another number of shards. Nothing joins.
fn of_shards(now: &Epoch, to: ShardId) -> Epoch {
    let from = now.shards();
    let leftovers = now.leftovers.iter();
    let leftovers =
        leftovers.map(|(node, shards)| (node.clone(), converted(shards.iter().copied(), from, to)));
    Epoch {
        epoch: now.epoch + 1,
        owners: gathered(&now.owners, to, from.min(to)),
        leftovers: leftovers.collect(),
        ..Epoch::default()
    }
}
