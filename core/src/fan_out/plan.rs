//! Which nodes answer a read, and for which shards each: a covering set of clean replicas.

use crate::shard::ShardId;
use crate::shard_set::ShardSet;
use crate::table::{NodeIndex, RoutingTable};
use crate::tag::Tags;

/// What one node is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The node.
    pub node: NodeIndex,
    /// The shards whose documents it is to count.
    pub shards: ShardSet,
    /// The tags to filter for; `None` if it holds no documents of other shards.
    pub tags: Option<ShardSet>,
}

/// A way to read a set of shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The calls, in the order in which ties between their hits are broken.
    pub assignments: Vec<Assignment>,
    /// Shards that are read from a stale replica, for want of a clean one.
    pub stale: Vec<ShardId>,
    /// Shards of which no copy can be read.
    pub unavailable: Vec<ShardId>,
}

/// A routing table made ready for planning: per node what it holds and how well it can be read.
#[derive(Clone, Debug)]
pub struct Replicas {
    tags: Tags,
    /// By node.
    held: Vec<ShardSet>,
    /// By group: its members.
    groups: Vec<Vec<Readable>>,
    have_copies: bool,
}

#[derive(Clone, Debug)]
struct Readable {
    node: NodeIndex,
    up: bool,
    slow: bool,
    clean: ShardSet,
    stale: ShardSet,
}

/// Replicas from best to worst. The control plane may take a node for down that Envoy still reaches, so a clean
/// replica there is tried before a stale one.
#[derive(Clone, Copy)]
enum Tier {
    Clean,
    CleanButSlow,
    CleanButDown,
    Stale,
}

impl Readable {
    fn shards(&self, tier: Tier) -> Option<&ShardSet> {
        match tier {
            Tier::Clean => (self.up && !self.slow).then_some(&self.clean),
            Tier::CleanButSlow => (self.up && self.slow).then_some(&self.clean),
            Tier::CleanButDown => (!self.up).then_some(&self.clean),
            Tier::Stale => Some(&self.stale),
        }
    }
}

impl Replicas {
    /// What the table says of each node.
    pub fn new(table: &RoutingTable) -> Replicas {
        let empty = || ShardSet::empty(table.shards);
        let mut held = vec![empty(); table.nodes.len()];
        for (node, held) in table.nodes.iter().zip(&mut held) {
            node.leftovers.iter().for_each(|&shard| held.insert(shard));
        }
        let mut groups = Vec::with_capacity(table.groups.len());
        for group in &table.groups {
            let mut members: Vec<Readable> = Vec::new();
            for shard in 0..table.shards {
                let owners = group.owners.get(shard as usize).map_or(&[][..], Vec::as_slice);
                let readers = table.readers(group, shard);
                for &node in owners.iter().chain(readers) {
                    if let Some(held) = held.get_mut(node) {
                        held.insert(shard);
                    }
                }
                for &node in readers {
                    let known = members.iter().position(|member| member.node == node);
                    let place = known.unwrap_or_else(|| {
                        let up = table.nodes.get(node).is_some_and(|node| node.up);
                        members.push(Readable { node, up, slow: false, clean: empty(), stale: empty() });
                        members.len() - 1
                    });
                    let Some(member) = members.get_mut(place) else { continue };
                    match table.is_stale(node, shard) {
                        true => member.stale.insert(shard),
                        false => member.clean.insert(shard),
                    }
                }
            }
            members.sort_by_key(|member| member.node);
            groups.push(members);
        }
        let replicas = groups.iter().flatten().map(|member| member.clean.len() + member.stale.len());
        let have_copies = replicas.sum::<usize>() > table.shards as usize;
        Replicas { tags: table.tags(), held, groups, have_copies }
    }

    /// Has these nodes, and no others, read only where no other clean replica is up.
    pub fn mark_slow(&mut self, slow: &[NodeIndex]) {
        for member in self.groups.iter_mut().flatten() {
            member.slow = slow.contains(&member.node);
        }
    }

    /// Whether a shard has more than one replica.
    pub fn have_copies(&self) -> bool {
        self.have_copies
    }

    /// All shards.
    pub fn all_shards(&self) -> ShardSet {
        ShardSet::all(self.tags.shards)
    }

    /// Plans to read `wanted`, without the nodes in `failed`. `seed` chooses among equals: the same seed gives the
    /// same plan, so the pages of one query see one order of ties.
    ///
    /// One group serves if it can; the others stand in for what it can't. Within a group the nodes that cover most
    /// come first, so that few nodes are asked and most of them for all that they hold, which needs no filter.
    pub fn plan(&self, wanted: ShardSet, failed: &[NodeIndex], seed: u64) -> Plan {
        let mut plan = Plan::default();
        let mut missing = wanted;
        let first = rotation(seed, self.groups.len());
        for tier in [Tier::Clean, Tier::CleanButSlow, Tier::CleanButDown, Tier::Stale] {
            for group in rotated(&self.groups, first) {
                if missing.is_empty() {
                    return plan;
                }
                self.cover(group, tier, failed, seed, &mut missing, &mut plan);
            }
        }
        plan.unavailable = missing.iter().collect();
        plan
    }

    /// Other nodes that can be asked for `wanted` in the stead of `late`, at once and for certain: `None` if they don't hold
    /// all of it clean, are slow or may be down.
    pub fn stand_ins(
        &self,
        wanted: &ShardSet,
        late: NodeIndex,
        failed: &[NodeIndex],
        seed: u64,
    ) -> Option<Vec<Assignment>> {
        let mut plan = Plan::default();
        let mut missing = wanted.clone();
        let without = [failed, &[late]].concat();
        for group in rotated(&self.groups, rotation(seed, self.groups.len())) {
            self.cover(group, Tier::Clean, &without, seed, &mut missing, &mut plan);
        }
        missing.is_empty().then_some(plan.assignments)
    }

    fn cover(
        &self,
        group: &[Readable],
        tier: Tier,
        failed: &[NodeIndex],
        seed: u64,
        missing: &mut ShardSet,
        plan: &mut Plan,
    ) {
        let first = rotation(seed >> 32, group.len());
        while !missing.is_empty() {
            let candidates = rotated(group, first)
                .filter(|member| !failed.contains(&member.node))
                .filter_map(|member| Some((member.node, member.shards(tier)?)));
            // The first of the best: `max_by_key` would take the last.
            let best = candidates
                .map(|(node, shards)| (shards.intersection_len(missing), node, shards))
                .reduce(|best, next| if next.0 > best.0 { next } else { best });
            let Some((1.., node, shards)) = best else { return };
            let shards = shards.intersection(missing);
            missing.remove_all(&shards);
            if matches!(tier, Tier::Stale) {
                plan.stale.extend(shards.iter());
            }
            self.assign(node, shards, plan);
        }
    }

    fn assign(&self, node: NodeIndex, shards: ShardSet, plan: &mut Plan) {
        let known = plan.assignments.iter_mut().find(|assignment| assignment.node == node);
        let assignment = match known {
            Some(assignment) => {
                assignment.shards.insert_all(&shards);
                assignment
            }
            None => {
                plan.assignments.push(Assignment { node, shards, tags: None });
                let Some(assignment) = plan.assignments.last_mut() else { return };
                assignment
            }
        };
        let holds_others = self.held.get(node) != Some(&assignment.shards);
        assignment.tags = holds_others.then(|| self.tags.of_shards(assignment.shards.iter()));
    }
}

fn rotation(seed: u64, length: usize) -> usize {
    (seed as usize).checked_rem(length).unwrap_or(0)
}

fn rotated<T>(items: &[T], first: usize) -> impl Iterator<Item = &T> {
    items.iter().cycle().skip(first).take(items.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::table::tests::table;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn covered(plan: &Plan) -> Vec<ShardId> {
        let mut shards: Vec<_> = plan.assignments.iter().flat_map(|a| a.shards.iter()).collect();
        shards.sort_unstable();
        shards
    }

    #[test]
    fn at_rest_with_one_copy_no_node_needs_a_clause() {
        let replicas = Replicas::new(&table(8, 4, 1, 1));
        let plan = replicas.plan(replicas.all_shards(), &[], 7);
        assert_eq!(plan.assignments.len(), 4);
        assert!(plan.assignments.iter().all(|assignment| assignment.tags.is_none()));
    }

    #[test]
    fn where_a_node_holds_all_it_is_asked_alone() {
        let replicas = Replicas::new(&table(8, 3, 3, 1));
        let plan = replicas.plan(replicas.all_shards(), &[], 7);
        assert_eq!(plan.assignments.len(), 1);
        assert!(plan.assignments[0].tags.is_none());
    }

    #[test]
    fn a_node_marked_down_is_read_only_where_no_other_can_be() {
        let mut table = table(8, 2, 1, 1);
        table.nodes[0].up = false;
        let replicas = Replicas::new(&table);
        let plan = replicas.plan(replicas.all_shards(), &[], 7);
        assert_eq!(covered(&plan), (0..8).collect::<Vec<_>>());
        let failed = replicas.plan(replicas.all_shards(), &[0], 7);
        assert_eq!(failed.unavailable, [0, 2, 4, 6]);
    }

    #[test]
    fn a_stale_replica_is_read_only_where_no_clean_one_is() {
        let mut table = table(4, 2, 2, 1);
        table.stale = vec![crate::table::StaleReplicas { node: 0, shards: [1, 2].into() }];
        let replicas = Replicas::new(&table);
        let plan = replicas.plan(replicas.all_shards(), &[], 0);
        assert!(plan.stale.is_empty());
        let plan = replicas.plan(replicas.all_shards(), &[1], 0);
        assert_eq!(plan.stale, [1, 2]);
    }

    #[test]
    fn a_slow_node_is_read_only_where_no_other_clean_replica_is_up() {
        let mut table = table(4, 2, 2, 1);
        table.stale = vec![crate::table::StaleReplicas { node: 1, shards: [3].into() }];
        let mut replicas = Replicas::new(&table);
        replicas.mark_slow(&[0]);
        let plan = replicas.plan(replicas.all_shards(), &[], 0);
        let read: Vec<(NodeIndex, Vec<ShardId>)> =
            plan.assignments.iter().map(|read| (read.node, read.shards.iter().collect())).collect();
        assert_eq!(read, [(1, vec![0, 1, 2]), (0, vec![3])]);
        assert!(plan.stale.is_empty());
        replicas.mark_slow(&[]);
        assert_eq!(replicas.plan(replicas.all_shards(), &[], 0).assignments.len(), 1);
    }

    #[test]
    fn stand_ins_hold_all_that_is_late_clean_and_are_neither_slow_nor_down() {
        let three = table(6, 3, 2, 1);
        let stand_ins = |table: &RoutingTable, slow: &[NodeIndex], failed: &[NodeIndex]| {
            let mut replicas = Replicas::new(table);
            replicas.mark_slow(slow);
            let late = replicas.held[0].clone();
            let asked = replicas.stand_ins(&late, 0, failed, 7)?;
            assert!(asked.iter().all(|asked| asked.node != 0));
            let mut shards = ShardSet::empty(6);
            asked.iter().for_each(|asked| shards.insert_all(&asked.shards));
            assert_eq!(shards, late);
            Some(asked.len())
        };
        assert_eq!(stand_ins(&three, &[], &[]), Some(2));
        assert_eq!(stand_ins(&three, &[1], &[]), None);
        assert_eq!(stand_ins(&three, &[], &[2]), None);
        let mut down = three.clone();
        down.nodes[1].up = false;
        assert_eq!(stand_ins(&down, &[], &[]), None);
        let mut stale = three;
        stale.stale = vec![crate::table::StaleReplicas { node: 2, shards: (0..6).collect() }];
        assert_eq!(stand_ins(&stale, &[], &[]), None);
    }

    proptest! {
        #[test]
        fn every_shard_is_read_once_or_named(
            (shards, nodes, copies, groups, seed) in (1u32..100, 1usize..7, 1usize..4, 1usize..3, any::<u64>()),
            failed in proptest::collection::vec(0usize..12, 0..6),
        ) {
            let replicas = Replicas::new(&table(shards, nodes, copies, groups));
            let plan = replicas.plan(replicas.all_shards(), &failed, seed);
            let mut all = covered(&plan);
            all.extend(&plan.unavailable);
            all.sort_unstable();
            prop_assert_eq!(all, (0..shards).collect::<Vec<_>>());
            prop_assert!(plan.assignments.iter().all(|assignment| !failed.contains(&assignment.node)));
            prop_assert_eq!(&plan, &replicas.plan(replicas.all_shards(), &failed, seed));
        }
    }
}
