use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

/// The owners of each shard, by id.
type Owners = Vec<Vec<String>>;

/// A replica group at one time.
#[derive(Clone, Debug)]
struct Topology {
    weights: BTreeMap<String, f64>,
    replication_factor: usize,
}

impl Topology {
    fn of(nodes: usize, replication_factor: usize) -> Topology {
        let weights = (0..nodes).map(|node| (format!("node-{node}"), 1.0)).collect();
        Topology { weights, replication_factor }
    }

    fn candidates(&self) -> Vec<Candidate<'_>> {
        self.weights.iter().map(|(id, &weight)| Candidate { id, weight }).collect()
    }

    fn place(&self, shards: u32, previous: &Owners) -> Owners {
        let candidates = self.candidates();
        let previous: Vec<Vec<&str>> =
            previous.iter().map(|owners| owners.iter().map(String::as_str).collect()).collect();
        by_id(place(shards, self.replication_factor, &candidates, &previous), &candidates)
    }

    /// The bounds of each node that may hold something, computed in the plainest way: whoever has more than every
    /// shard is cut down to that, and the others divide the rest again.
    fn bounds(&self, shards: u32) -> BTreeMap<&str, (usize, usize)> {
        let alike = self.weights.values().all(|&weight| weight.is_nan() || weight <= 0.0);
        let weights: BTreeMap<&str, f64> = self
            .weights
            .iter()
            .filter(|&(_, &weight)| alike || weight > 0.0)
            .map(|(id, &weight)| (id.as_str(), if alike { 1.0 } else { weight.min(1e100) }))
            .collect();
        let copies = self.replication_factor.min(weights.len());
        let mut full: BTreeSet<&str> = BTreeSet::new();
        loop {
            let left = (copies - full.len()) as f64 * f64::from(shards);
            let sum: f64 =
                weights.iter().filter(|(id, _)| !full.contains(*id)).map(|(_, weight)| weight).sum();
            let share = |id: &str| match full.contains(id) {
                true => f64::from(shards),
                false => left * weights[id] / sum,
            };
            let over = weights.keys().find(|id| share(id) > f64::from(shards) + 1e-6);
            let Some(&over) = over else {
                let round = |share: f64| ((share + 1e-6).floor() as usize, (share - 1e-6).ceil() as usize);
                return weights.keys().map(|&id| (id, round(share(id)))).collect();
            };
            full.insert(over);
        }
    }
}

fn by_id(owners: Vec<Vec<usize>>, candidates: &[Candidate<'_>]) -> Owners {
    owners
        .into_iter()
        .map(|owners| owners.into_iter().map(|owner| candidates[owner].id.to_owned()).collect())
        .collect()
}

fn loads(owners: &Owners) -> BTreeMap<&str, usize> {
    count(owners.iter().flatten())
}

fn count<'a>(ids: impl Iterator<Item = &'a String>) -> BTreeMap<&'a str, usize> {
    ids.fold(BTreeMap::new(), |mut counts, id| {
        *counts.entry(id.as_str()).or_default() += 1;
        counts
    })
}

/// How many replicas have to be copied to get from one placement to the other.
fn moves(before: &Owners, after: &Owners) -> usize {
    before
        .iter()
        .zip(after)
        .map(|(before, after)| after.iter().filter(|id| !before.contains(id)).count())
        .sum()
}

/// All that a placement must be, wherever it came from.
fn check(shards: u32, topology: &Topology, owners: &Owners) {
    let bounds = topology.bounds(shards);
    let copies = topology.replication_factor.min(bounds.len());
    assert_eq!(owners.len(), shards as usize);
    for owners in owners {
        let distinct: BTreeSet<&String> = owners.iter().collect();
        assert_eq!((owners.len(), distinct.len()), (copies, copies), "{owners:?}");
    }
    let loads = loads(owners);
    assert!(loads.keys().all(|id| bounds.contains_key(id)), "a node that may hold nothing is in {loads:?}");
    let primaries = count(owners.iter().filter_map(|owners| owners.first()));
    for (&id, &(least, most)) in &bounds {
        let load = loads.get(id).copied().unwrap_or(0);
        assert!((least..=most).contains(&load), "{id} holds {load}, not {least} to {most}");
        let primary_of = primaries.get(id).copied().unwrap_or(0);
        assert!(
            copies == 0 || (load / copies..=load.div_ceil(copies)).contains(&primary_of),
            "{id} is the primary of {primary_of} of its {load} shards at {copies} copies"
        );
    }
}

/// Proves that no placement within the bounds moves fewer replicas than `after`: were there one, there would be a
/// circle of exchanges on `after` that saves a move, that is a negative cycle of its residual network (Klein 1967).
fn is_optimal(shards: u32, topology: &Topology, before: &Owners, after: &Owners) -> bool {
    let bounds = topology.bounds(shards);
    let ids: Vec<&str> = bounds.keys().copied().collect();
    let loads = loads(after);
    let shards = shards as usize;
    let pool = shards + ids.len();
    let mut edges: Vec<(usize, usize, i64)> = Vec::new();
    for (node, id) in ids.iter().enumerate() {
        for (shard, owners) in after.iter().enumerate() {
            let was_owner = before.get(shard).is_some_and(|owners| owners.iter().any(|owner| owner == id));
            let cost = i64::from(!was_owner);
            if owners.iter().any(|owner| owner == id) {
                edges.push((shards + node, shard, -cost));
            } else {
                edges.push((shard, shards + node, cost));
            }
        }
        let load = loads.get(id).copied().unwrap_or(0);
        if load < bounds[id].1 {
            edges.push((shards + node, pool, 0));
        }
        if load > bounds[id].0 {
            edges.push((pool, shards + node, 0));
        }
    }
    // Bellman and Ford: without a negative cycle the costs come to rest after as many rounds as there are vertices.
    let mut costs = vec![0; pool + 1];
    (0..=pool + 1).any(|_| {
        let mut at_rest = true;
        for &(from, to, cost) in &edges {
            if costs[from] + cost < costs[to] {
                costs[to] = costs[from] + cost;
                at_rest = false;
            }
        }
        at_rest
    })
}

/// The fewest moves of all placements within the bounds, found by trying all of them.
fn fewest_moves(shards: u32, topology: &Topology, before: &Owners) -> usize {
    let bounds = topology.bounds(shards);
    let ids: Vec<&str> = bounds.keys().copied().collect();
    let copies = topology.replication_factor.min(ids.len()) as u32;
    let choices: Vec<u32> = (0..1u32 << ids.len()).filter(|set| set.count_ones() == copies).collect();
    // After each shard the loads that can be, with the fewest moves to each.
    let mut reachable = BTreeMap::from([(vec![0; ids.len()], 0)]);
    for shard in 0..shards as usize {
        let mut next = BTreeMap::new();
        for (loads, moves) in &reachable {
            for choice in &choices {
                let chosen = |node: &usize| choice & (1 << node) != 0;
                let was_owner = |node: &usize| {
                    before.get(shard).is_some_and(|owners| owners.iter().any(|id| id == ids[*node]))
                };
                let mut loads: Vec<usize> = loads.clone();
                (0..ids.len()).filter(chosen).for_each(|node| loads[node] += 1);
                let moves = moves + (0..ids.len()).filter(chosen).filter(|node| !was_owner(node)).count();
                let fewest = next.entry(loads).or_insert(moves);
                *fewest = moves.min(*fewest);
            }
        }
        reachable = next;
    }
    let within = |loads: &[usize]| {
        ids.iter().zip(loads).all(|(id, load)| (bounds[id].0..=bounds[id].1).contains(load))
    };
    reachable.iter().filter(|(loads, _)| within(loads)).map(|(_, &moves)| moves).min().expect("a placement")
}

/// Checks the change from `before` to `after` and the way there.
fn check_change(shards: u32, topology: &Topology, before: &Owners, after: &Owners) {
    check(shards, topology, after);
    assert!(is_optimal(shards, topology, before, after), "{} moves are too many", moves(before, after));
    assert_eq!(after, &topology.place(shards, after), "a placement within its bounds is left alone");
}

fn weight() -> impl Strategy<Value = f64> {
    prop_oneof![4 => Just(1.0), 4 => 0.1..10.0, 1 => prop::sample::select(vec![0.0, 1e-9, 1e9])]
}

fn any_weight() -> impl Strategy<Value = f64> {
    prop_oneof![
        weight(),
        prop::sample::select(vec![f64::NAN, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX])
    ]
}

fn topology(nodes: usize, weight: impl Strategy<Value = f64>) -> impl Strategy<Value = Topology> {
    let id = prop_oneof!["[a-z]{1,3}", (0..nodes * 2).prop_map(|node| format!("node-{node}"))];
    (prop::collection::btree_map(id, weight, 0..=nodes), 0usize..5)
        .prop_map(|(weights, replication_factor)| Topology { weights, replication_factor })
}

/// What an operator may do to a group.
#[derive(Clone, Debug)]
enum Change {
    Add(String, f64),
    Remove(prop::sample::Index),
    Reweigh(prop::sample::Index, f64),
    Replicate(usize),
    Replace(prop::sample::Index, String),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => ("new-[a-z]{2}", weight()).prop_map(|(id, weight)| Change::Add(id, weight)),
        3 => any::<prop::sample::Index>().prop_map(Change::Remove),
        2 => (any::<prop::sample::Index>(), weight()).prop_map(|(node, weight)| Change::Reweigh(node, weight)),
        1 => (1usize..5).prop_map(Change::Replicate),
        1 => (any::<prop::sample::Index>(), "new-[a-z]{2}").prop_map(|(node, id)| Change::Replace(node, id)),
    ]
}

impl Topology {
    fn apply(&mut self, change: Change) {
        let ids: Vec<String> = self.weights.keys().cloned().collect();
        match change {
            Change::Add(id, weight) => drop(self.weights.insert(id, weight)),
            Change::Replicate(copies) => self.replication_factor = copies,
            _ if ids.is_empty() => {}
            Change::Remove(node) => drop(self.weights.remove(node.get(&ids))),
            Change::Reweigh(node, weight) => drop(self.weights.insert(node.get(&ids).clone(), weight)),
            Change::Replace(node, id) => {
                let weight = self.weights.remove(node.get(&ids)).unwrap_or(1.0);
                self.weights.insert(id, weight);
            }
        }
    }
}

proptest! {
    #[test]
    fn placed_anew(shards in 1u32..100, topology in topology(12, any_weight())) {
        check(shards, &topology, &topology.place(shards, &vec![]));
    }

    #[test]
    fn the_order_of_candidates_does_not_matter(
        (topology, shuffled) in topology(8, any_weight()).prop_flat_map(|topology| {
            let places: Vec<usize> = (0..topology.weights.len()).collect();
            (Just(topology), Just(places).prop_shuffle())
        }),
        previous in topology(8, any_weight()),
        shards in 1u32..70,
    ) {
        let previous = previous.place(shards, &vec![]);
        let previous: Vec<Vec<&str>> =
            previous.iter().map(|owners| owners.iter().map(String::as_str).collect()).collect();
        let candidates: Vec<Candidate<'_>> =
            shuffled.iter().map(|&place| topology.candidates()[place]).collect();
        let owners = by_id(place(shards, topology.replication_factor, &candidates, &previous), &candidates);
        let previous: Owners = previous.iter().map(|ids| ids.iter().map(|id| id.to_string()).collect()).collect();
        prop_assert_eq!(owners, topology.place(shards, &previous));
    }

    #[test]
    fn one_change_moves_no_more_than_it_must(
        shards in 1u32..80,
        mut topology in topology(10, weight()),
        change in change(),
    ) {
        let before = topology.place(shards, &vec![]);
        topology.apply(change);
        check_change(shards, &topology, &before, &topology.place(shards, &before));
    }

    #[test]
    fn any_change_moves_no_more_than_it_must(
        shards in 1u32..80,
        old in topology(10, any_weight()),
        new in topology(10, any_weight()),
    ) {
        let before = old.place(shards, &vec![]);
        check_change(shards, &new, &before, &new.place(shards, &before));
    }

    #[test]
    fn any_previous_owners_will_do(
        previous in prop::collection::vec(prop::collection::vec("[a-f]", 0..6), 0..20),
        shards in 1u32..15,
        weights in prop::collection::btree_map("[a-f]", any_weight(), 1..6),
        replication_factor in 1usize..4,
    ) {
        let topology = Topology { weights, replication_factor };
        check_change(shards, &topology, &previous, &topology.place(shards, &previous));
    }

    #[test]
    fn the_fewest_moves_of_all_placements(
        previous in prop::collection::vec(prop::collection::btree_set("[a-e]", 0..4), 7),
        shards in 1u32..8,
        weights in prop::collection::btree_map("[a-e]", weight(), 1..5),
        replication_factor in 1usize..4,
    ) {
        let previous: Owners = previous.into_iter().map(|owners| owners.into_iter().collect()).collect();
        let topology = Topology { weights, replication_factor };
        let owners = topology.place(shards, &previous);
        prop_assert_eq!(moves(&previous, &owners), fewest_moves(shards, &topology, &previous));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn thirty_changes(
        shards in 1u32..130,
        mut topology in topology(10, weight()),
        changes in prop::collection::vec(change(), 30),
    ) {
        let mut owners = topology.place(shards, &vec![]);
        for change in changes {
            topology.apply(change);
            let next = topology.place(shards, &owners);
            check_change(shards, &topology, &owners, &next);
            owners = next;
        }
    }
}

#[test]
fn an_eleventh_node() {
    for copies in 1..=3 {
        let before = Topology::of(10, copies).place(512, &vec![]);
        let after = Topology::of(11, copies).place(512, &before);
        let moves = moves(&before, &after);
        assert!(moves as f64 <= 1.25 * 512.0 * copies as f64 / 11.0, "{moves} moves at {copies} copies");
        check_change(512, &Topology::of(11, copies), &before, &after);
    }
}

#[test]
fn a_node_more_and_a_node_less_move_their_share_and_no_more() {
    for nodes in 4..40 {
        for copies in 1..=3 {
            let fewer = Topology::of(nodes - 1, copies);
            let more = Topology::of(nodes, copies);
            let share = (512 * copies).div_ceil(nodes);
            let before = fewer.place(512, &vec![]);
            assert!(
                moves(&before, &more.place(512, &before)) <= share,
                "onto {nodes} nodes at {copies} copies"
            );
            // What the leaving node held, and nothing else.
            let before = more.place(512, &vec![]);
            assert!(
                moves(&before, &fewer.place(512, &before)) <= share,
                "off {nodes} nodes at {copies} copies"
            );
        }
    }
}

#[test]
fn another_copy_moves_one_replica_of_each_shard() {
    let before = Topology::of(7, 2).place(64, &vec![]);
    assert_eq!(moves(&before, &Topology::of(7, 3).place(64, &before)), 64);
    assert_eq!(moves(&before, &Topology::of(7, 1).place(64, &before)), 0);
}

#[test]
fn a_placement_is_fixed_forever() {
    // A change here would move shards of clusters whose placement is computed anew.
    let owners = Topology::of(3, 2).place(4, &vec![]);
    assert_eq!(
        owners,
        [["node-2", "node-1"], ["node-1", "node-0"], ["node-1", "node-0"], ["node-0", "node-2"]]
    );
}

#[test]
fn nothing_to_place_on() {
    assert_eq!(place(2, 2, &[], &[]), [[0; 0]; 2]);
    assert_eq!(place(2, 0, &[Candidate { id: "a", weight: 1.0 }], &[vec!["a"]]), [[0; 0]; 2]);
    assert!(place(0, 2, &[Candidate { id: "a", weight: 1.0 }], &[]).is_empty());
}

#[test]
fn a_node_without_weight_holds_nothing() {
    let node = |id, weight| Candidate { id, weight };
    assert_eq!(place(2, 2, &[node("a", 1.0), node("b", 0.0)], &[]), [[0], [0]]);
    assert_eq!(place(1, 2, &[node("b", f64::NAN), node("a", -1.0)], &[])[0].len(), 2);
}
