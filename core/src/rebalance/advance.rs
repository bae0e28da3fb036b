//! The next epoch on the way to a placement.

use std::collections::{BTreeMap, BTreeSet};

use super::epoch::{Epoch, Owners, Stale, is_stale};
use crate::shard::ShardId;

/// What the next epoch depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The placement to get to.
    pub target: &'a Owners,
    /// Who missed writes.
    pub stale: &'a Stale,
    /// The nodes that are part of the cluster. Others lose their shards at once.
    pub members: &'a BTreeSet<String>,
    /// In how many shards nodes may be joining at once. A new group takes no notice of it: it must own all shards.
    pub at_once: usize,
    /// Those who are [coming](Epoch::coming) and may join, by node: no read is under way any more, on any Envoy that may
    /// serve, by a table that does not name them.
    pub announced: &'a BTreeMap<String, BTreeSet<ShardId>>,
}

impl Situation<'_> {
    fn may_join(&self, now: &Epoch, node: &str, shard: ShardId) -> bool {
        now.is_coming(node, shard) && self.announced.get(node).is_some_and(|shards| shards.contains(&shard))
    }
}

/// The epoch after `now`; `None` while there is nothing to change: all is as it is to be, or nodes that join have to be
/// repaired first.
///
/// Who is to join is announced by an epoch before, see [`Epoch::coming`].
pub fn advance(now: &Epoch, situation: &Situation) -> Option<Epoch> {
    let mut next = Epoch {
        epoch: now.epoch + 1,
        leftovers: now.leftovers.clone(),
        retagging: now.retagging,
        ..Epoch::default()
    };
    let under_way = now
        .joining
        .values()
        .flatten()
        .filter(|(shard, nodes)| nodes.iter().any(|node| is_stale(situation.stale, node, **shard)));
    let mut free = situation.at_once.saturating_sub(under_way.count());
    for (group, target) in situation.target {
        let Some(before) = now.owners.get(group) else {
            next.begin(group, target, now, situation);
            continue;
        };
        for (shard, wanted) in (0..).zip(target) {
            let has = before.get(shard as usize).map_or(&[][..], Vec::as_slice);
            let joining = now.joining_of(group, shard);
            // A node that was removed since the placement was made can't be waited for.
            let wanted: Vec<String> =
                wanted.iter().filter(|node| situation.members.contains(*node)).cloned().collect();
            let change = Change { now, shard, has, joining, wanted: &wanted, situation };
            let Changed { owners, joining, coming } = change.make(&mut free);
            coming.into_iter().for_each(|node| next.announce(node, shard));
            next.own(group, owners, shard, joining);
        }
    }
    // A group that is not wanted goes once the others hold all that it holds.
    let gone = now.owners.iter().filter(|(group, _)| !situation.target.contains_key(*group));
    if next.owners.is_empty() || !next.keeps_clean_readers_of(&among(now, situation.members), situation.stale)
    {
        for (group, owners) in gone {
            next.owners.insert(group.clone(), owners.clone());
            next.joining.extend(
                now.joining.get_key_value(group).map(|(group, shards)| (group.clone(), shards.clone())),
            );
        }
    }
    next.take_over_leftovers(now, situation.members);
    if !next.keeps_clean_readers_of(&among(now, situation.members), situation.stale) {
        return None;
    }
    let changed = (&next.owners, &next.joining, &next.coming) != (&now.owners, &now.joining, &now.coming);
    changed.then_some(next)
}

/// The placement without those who are joining or were removed: what it goes back to when a rebalance is canceled. A group
/// of which not all shards are read yet is left out.
pub fn rolled_back(now: &Epoch, members: &BTreeSet<String>) -> Owners {
    let groups = now.owners.iter().filter_map(|(group, owners)| {
        let readers = (0..).zip(owners).map(|(shard, owners)| {
            let readers = owners.iter().filter(|node| !now.is_joining(group, shard, node));
            readers.filter(|node| members.contains(*node)).cloned().collect::<Vec<_>>()
        });
        let readers: Vec<Vec<String>> = readers.collect();
        readers.iter().all(|readers| !readers.is_empty()).then(|| (group.clone(), readers))
    });
    groups.collect()
}

/// What is left of an epoch when others than the members are gone.
fn among(epoch: &Epoch, members: &BTreeSet<String>) -> Epoch {
    let mut left = epoch.clone();
    for owners in left.owners.values_mut().flatten() {
        owners.retain(|node| members.contains(node));
    }
    left
}

/// One shard of one group.
struct Change<'a> {
    now: &'a Epoch,
    shard: ShardId,
    has: &'a [String],
    joining: Option<&'a BTreeSet<String>>,
    wanted: &'a [String],
    situation: &'a Situation<'a>,
}

/// What becomes of it.
struct Changed {
    owners: Vec<String>,
    /// Who of them joins.
    joining: BTreeSet<String>,
    /// Who is to join next.
    coming: Vec<String>,
}

impl Change<'_> {
    fn make(&self, free: &mut usize) -> Changed {
        let is_member = |node: &&String| self.situation.members.contains(*node);
        let was_joining = |node: &String| self.joining.is_some_and(|joining| joining.contains(node));
        let is_wanted = |node: &String| self.wanted.contains(node);
        // One that joins and is not wanted any more goes at once: nobody reads it.
        let mut owners: Vec<String> = self.has.iter().filter(is_member).cloned().collect();
        owners.retain(|node| is_wanted(node) || !was_joining(node));
        let mut joining: BTreeSet<String> =
            owners.iter().filter(|node| was_joining(node) && self.is_stale(node)).cloned().collect();

        let missing = self.wanted.iter().filter(|node| !owners.contains(node));
        let missing: Vec<String> = missing.cloned().collect();
        let mut coming = Vec::new();
        // A shard must have an owner, announced or not.
        let has_none = owners.is_empty();
        let (join, come): (Vec<String>, Vec<String>) = missing
            .into_iter()
            .partition(|node| has_none || *free > 0 && self.situation.may_join(self.now, node, self.shard));
        // All are announced at once: it takes long until the last has heard of it.
        coming.extend(come);
        if !join.is_empty() {
            *free = free.saturating_sub(1);
            owners.extend(join.iter().cloned());
            joining.extend(join);
        }
        // The others leave when all that are wanted have all of it.
        let is_there =
            |node: &String| owners.contains(node) && !joining.contains(node) && !self.is_stale(node);
        if !self.wanted.is_empty() && self.wanted.iter().all(is_there) {
            owners = self.wanted.to_vec();
        }
        Changed { owners, joining, coming }
    }

    fn is_stale(&self, node: &str) -> bool {
        is_stale(self.situation.stale, node, self.shard)
    }
}

impl Epoch {
    /// A new group joins whole, once all of it was announced.
    fn begin(&mut self, group: &str, target: &[Vec<String>], now: &Epoch, situation: &Situation) {
        let members = |owners: &[String]| -> Vec<String> {
            owners.iter().filter(|node| situation.members.contains(*node)).cloned().collect()
        };
        let all: Vec<Vec<String>> = target.iter().map(|owners| members(owners)).collect();
        let is_announced = |(shard, owners): (ShardId, &Vec<String>)| {
            owners.iter().all(|node| situation.may_join(now, node, shard) || now.owns(node, shard))
        };
        let joins = (0..).zip(&all).all(is_announced);
        for (shard, owners) in (0..).zip(all) {
            match joins {
                true => self.own(group, owners.clone(), shard, owners.into_iter().collect()),
                false => owners.into_iter().for_each(|node| self.announce(node, shard)),
            }
        }
    }

    fn announce(&mut self, node: String, shard: ShardId) {
        self.coming.entry(node).or_default().insert(shard);
    }

    fn own(&mut self, group: &str, owners: Vec<String>, shard: ShardId, joining: BTreeSet<String>) {
        self.owners.entry(group.to_owned()).or_default().push(owners);
        if !joining.is_empty() {
            self.joining.entry(group.to_owned()).or_default().insert(shard, joining);
        }
    }

    /// Who owned a shard and does not any more still holds it; who owns it has none left over.
    fn take_over_leftovers(&mut self, before: &Epoch, members: &BTreeSet<String>) {
        let mut leftovers: BTreeMap<String, BTreeSet<ShardId>> = std::mem::take(&mut self.leftovers);
        for shard in 0..before.shards() {
            for node in before.owners_of(shard).filter(|node| !self.owns(node, shard)) {
                leftovers.entry(node.to_owned()).or_default().insert(shard);
            }
        }
        for (node, shards) in &mut leftovers {
            shards.retain(|shard| !self.owns(node, *shard));
        }
        leftovers.retain(|node, shards| members.contains(node) && !shards.is_empty());
        self.leftovers = leftovers;
    }
}
