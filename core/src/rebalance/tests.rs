use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::placement::{Candidate, place};
use crate::shard::ShardId;

/// The first epoch of one group, by shard.
fn epoch(shards: &[&[&str]]) -> Epoch {
    Epoch { epoch: 1, owners: owners(shards), ..Epoch::default() }
}

fn owners(shards: &[&[&str]]) -> Owners {
    let names = |nodes: &&[&str]| nodes.iter().map(|node| node.to_string()).collect();
    BTreeMap::from([("g".to_owned(), shards.iter().map(names).collect())])
}

fn members(nodes: &[&str]) -> BTreeSet<String> {
    nodes.iter().map(|node| node.to_string()).collect()
}

static NOBODY: BTreeMap<String, BTreeSet<ShardId>> = BTreeMap::new();

/// The next epoch in which something else changes than who is coming.
fn advance_announced(now: &Epoch, situation: &Situation) -> Option<Epoch> {
    let next = advance(now, &Situation { announced: &now.coming, ..*situation })?;
    match (&next.owners, &next.joining) == (&now.owners, &now.joining) {
        true => advance(&next, &Situation { announced: &next.coming, ..*situation }),
        false => Some(next),
    }
}

/// Marks those stale who join by an epoch, as the store does.
fn join(stale: &mut Stale, before: &Epoch, after: &Epoch) {
    for (node, shard) in after.joined_since(before) {
        stale.entry(node.to_owned()).or_default().insert(shard, after.epoch);
    }
}

#[test]
fn a_shard_moves_by_joining_then_leaving() {
    let members = members(&["a", "b"]);
    let target = owners(&[&["b"]]);
    let mut stale = Stale::new();
    let first = epoch(&[&["a"]]);
    let next = |now: &Epoch, stale: &Stale| {
        advance_announced(
            now,
            &Situation { target: &target, stale, members: &members, at_once: 1, announced: &NOBODY },
        )
    };
    let second = next(&first, &stale).unwrap();
    assert_eq!((second.epoch, &second.owners), (3, &owners(&[&["a", "b"]])));
    assert_eq!(second.readers_of(0).collect::<Vec<_>>(), ["a"]);
    join(&mut stale, &first, &second);
    assert_eq!(next(&second, &stale), None, "it has to be repaired first");
    stale.clear();
    let third = next(&second, &stale).unwrap();
    assert_eq!((&third.owners, &third.joining), (&target, &BTreeMap::new()));
    assert_eq!(third.leftovers, BTreeMap::from([("a".to_owned(), BTreeSet::from([0]))]));
    assert_eq!(next(&third, &stale), None);
}

#[test]
fn who_is_to_join_is_announced_and_who_leaves_does_not_wait_for_that() {
    let first = epoch(&[&["a", "b"]]);
    let target = owners(&[&["b", "c"]]);
    let (all, left) = (members(&["a", "b", "c"]), members(&["b", "c"]));
    let stale = Stale::new();
    let situation =
        Situation { target: &target, stale: &stale, members: &all, at_once: 1, announced: &NOBODY };
    let second = advance(&first, &situation).unwrap();
    assert_eq!(second.owners, first.owners);
    assert_eq!((second.may_hold("c"), second.may_hold("a")), (BTreeSet::from([0]), BTreeSet::new()));
    assert_eq!(advance(&second, &situation), None, "not everyone has heard of it");
    let without_a = advance(&second, &Situation { members: &left, ..situation }).unwrap();
    assert_eq!((&without_a.owners, &without_a.coming), (&owners(&[&["b"]]), &second.coming));
    let third = advance(&second, &Situation { announced: &second.coming, ..situation }).unwrap();
    assert_eq!((third.owners, third.coming), (owners(&[&["a", "b", "c"]]), BTreeMap::new()));
    let only_first = Situation { target: &first.owners, ..situation };
    assert!(advance(&second, &only_first).unwrap().coming.is_empty(), "it is not wanted any more");
}

#[test]
fn few_shards_move_at_once() {
    let members = members(&["a", "b"]);
    let target = owners(&[&["b"], &["b"], &["b"]]);
    let first = epoch(&[&["a"], &["a"], &["a"]]);
    let situation = Situation {
        target: &target,
        stale: &Stale::new(),
        members: &members,
        at_once: 2,
        announced: &NOBODY,
    };
    let second = advance_announced(&first, &situation).unwrap();
    assert_eq!(second.joined_since(&first).collect::<Vec<_>>(), [("b", 0), ("b", 1)]);
}

#[test]
fn what_is_not_cut_over_is_rolled_back() {
    let members = members(&["a", "b"]);
    let first = epoch(&[&["a"], &["a"]]);
    let target = owners(&[&["b"], &["a"]]);
    let situation = Situation {
        target: &target,
        stale: &Stale::new(),
        members: &members,
        at_once: 2,
        announced: &NOBODY,
    };
    let second = advance_announced(&first, &situation).unwrap();
    let back = rolled_back(&second, &members);
    assert_eq!(back, first.owners);
    let third = advance_announced(&second, &Situation { target: &back, ..situation }).unwrap();
    assert_eq!((&third.owners, &third.joining), (&first.owners, &BTreeMap::new()));
    assert_eq!(third.leftovers, BTreeMap::from([("b".to_owned(), BTreeSet::from([0]))]));
}

#[test]
fn a_group_comes_whole_and_goes_when_another_has_all() {
    let members = members(&["a", "b"]);
    let first = epoch(&[&["a"], &["a"]]);
    let mut both = first.owners.clone();
    both.insert("h".into(), vec![vec!["b".into()]; 2]);
    let mut stale = Stale::new();
    let second = advance_announced(
        &first,
        &Situation { target: &both, stale: &stale, members: &members, at_once: 1, announced: &NOBODY },
    )
    .unwrap();
    assert_eq!(second.joined_since(&first).collect::<Vec<_>>(), [("b", 0), ("b", 1)]);
    join(&mut stale, &first, &second);

    let only = Owners::from([("h".to_owned(), both["h"].clone())]);
    let situation =
        Situation { target: &only, stale: &stale, members: &members, at_once: 1, announced: &NOBODY };
    assert_eq!(advance(&second, &situation), None, "its shards are only here");
    let clean = Stale::new();
    let third = advance_announced(&second, &Situation { stale: &clean, ..situation }).unwrap();
    assert_eq!(third.owners, only);
}

#[test]
fn a_node_that_is_gone_loses_its_shards_at_once() {
    let first = epoch(&[&["a", "b"]]);
    let target = owners(&[&["b", "c"]]);
    let members = members(&["b", "c"]);
    let situation = Situation {
        target: &target,
        stale: &Stale::new(),
        members: &members,
        at_once: 1,
        announced: &NOBODY,
    };
    let second = advance(&first, &situation).unwrap();
    assert_eq!(second.owners, owners(&[&["b"]]));
    assert!(second.leftovers.is_empty());
    let third = advance(&second, &Situation { announced: &second.coming, ..situation }).unwrap();
    assert_eq!(third.owners, owners(&[&["b", "c"]]));
    assert_eq!(third.readers_of(0).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_node_that_was_removed_is_not_gone_back_to() {
    let now = epoch(&[&["a", "b"]]);
    let left = members(&["b"]);
    assert_eq!(rolled_back(&now, &left), owners(&[&["b"]]));
    let situation = Situation {
        target: &now.owners,
        stale: &Stale::new(),
        members: &left,
        at_once: 1,
        announced: &NOBODY,
    };
    let second = advance(&now, &situation).unwrap();
    assert_eq!(second.owners, owners(&[&["b"]]));
    assert_eq!(advance(&second, &situation), None);
}

proptest! {
    /// Whatever the topology becomes, and whoever misses writes on the way, it gets there, and a clean copy of each
    /// shard can be read at every step.
    #[test]
    fn any_placement_is_reached(
        (shards, before, after) in (1u32..12, 1usize..5, 1usize..5),
        (copies_before, copies_after, at_once) in (1usize..4, 1usize..4, 1usize..4),
        misses in proptest::collection::vec((0usize..5, 0u32..12), 0..30),
    ) {
        let names: Vec<String> = (0..8).map(|node| format!("n{node}")).collect();
        let placed = |nodes: &[String], copies, previous: &Owners| -> Owners {
            let candidates: Vec<Candidate> = nodes.iter().map(|id| Candidate { id, weight: 1.0 }).collect();
            let previous: Vec<Vec<&str>> =
                previous.values().flatten().map(|owners| owners.iter().map(String::as_str).collect()).collect();
            let owners = place(shards, copies, &candidates, &previous);
            let named = |owners: Vec<usize>| owners.into_iter().map(|node| nodes[node].clone()).collect();
            BTreeMap::from([("g".to_owned(), owners.into_iter().map(named).collect())])
        };
        let first = placed(&names[..before], copies_before, &Owners::new());
        let target = placed(&names[3..3 + after], copies_after, &first);
        let members: BTreeSet<String> = names.iter().cloned().collect();
        let mut now = Epoch { epoch: 1, owners: first, ..Epoch::default() };
        let mut stale = Stale::new();
        let mut misses = misses.into_iter();
        for _ in 0..200 {
            let announced = now.coming.clone();
            let situation =
                Situation { target: &target, stale: &stale, members: &members, at_once, announced: &announced };
            if let Some(next) = advance(&now, &situation) {
                prop_assert!(next.keeps_clean_readers_of(&now, &stale));
                join(&mut stale, &now, &next);
                stale.retain(|node, shards| {
                    shards.retain(|shard, _| next.owns(node, *shard));
                    !shards.is_empty()
                });
                now = next;
            } else if let Some((node, shard)) = misses.next() {
                if now.may_become_stale(&names[node], shard, &stale) {
                    stale.entry(names[node].clone()).or_default().insert(shard, 0);
                }
            } else if let Some(mut replica) = stale.first_entry() {
                replica.get_mut().pop_first();
                stale.retain(|_, shards| !shards.is_empty());
            } else {
                break;
            }
            for shard in 0..shards {
                prop_assert!(now.clean_readers_of(shard, &stale).next().is_some());
                let writes: BTreeSet<&str> = now.owners_of(shard).collect();
                prop_assert!(now.readers_of(shard).all(|node| writes.contains(node)));
            }
        }
        prop_assert_eq!(&now.owners, &target);
        prop_assert!(now.joining.is_empty());
        for shard in 0..shards as ShardId {
            for (node, left) in &now.leftovers {
                prop_assert!(!left.contains(&shard) || !now.owns(node, shard));
            }
        }
    }
}

/// Where a document is: on which node, and the number in its tag.
type Held = BTreeMap<(usize, String), ShardId>;

/// Whether a reader that goes by `table` finds each document once, whichever owner it asks for each shard.
fn finds_all_once(table: &Epoch, held: &Held, ids: &[String], choice: usize) -> bool {
    let tags = table.tags();
    ids.iter().all(|id| {
        let mut found = 0;
        for shard in 0..table.shards() {
            let owners: Vec<&str> = table.owners_of(shard).collect();
            let asked = owners[(choice + shard as usize) % owners.len()];
            let tag = held.iter().find(|((node, other), _)| format!("n{node}") == asked && other == id);
            found += usize::from(tag.is_some_and(|(_, tag)| tags.of_shard(shard).any(|other| other == *tag)));
        }
        found == 1
    })
}

proptest! {
    /// To more shards, to fewer, and back half-way: who reads by the newest table, or by the one before while it may, finds
    /// every document once, whatever has its new tag already.
    #[test]
    fn another_number_of_shards_is_reached_while_all_is_found_once(
        (few, factor, further) in (1u32..5, 2u32..4, 1u32..3),
        shrinks in any::<bool>(),
        turns_at in 0usize..12,
        ids in proptest::collection::hash_set("[a-z0-9]{1,6}", 1..12),
        choices in proptest::collection::vec(0usize..1000, 80),
    ) {
        let (small, large) = (few, few * factor * further);
        let (first, mut goal) = if shrinks { (large, small) } else { (small, large) };
        let ids: Vec<String> = ids.into_iter().collect();
        let owners = (0..first).map(|shard| {
            let node = |copy: u32| format!("n{}", (shard + copy) % 3);
            vec![node(0), node(1)]
        });
        let mut now = Epoch { epoch: 1, owners: Owners::from([("g".into(), owners.collect())]), ..Epoch::default() };
        let mut held = Held::new();
        let write = |table: &Epoch, held: &mut Held, id: &String| {
            let shard = crate::shard::shard_of(id, table.shards());
            for owner in table.owners_of(shard) {
                let node = owner[1..].parse().unwrap();
                held.insert((node, id.clone()), table.tags().of_document(id));
            }
        };
        ids.iter().for_each(|id| write(&now, &mut held, id));
        let mut before = now.clone();
        let mut steps = 0;
        for choice in choices {
            prop_assert!(now.tags().is_sound());
            prop_assert!(finds_all_once(&now, &held, &ids, choice), "{:?} {:?}", now, held);
            prop_assert!(finds_all_once(&before, &held, &ids, choice), "{:?} {:?} {:?}", before, now, held);
            if steps == turns_at {
                goal = first;
            }
            steps += 1;
            let is_retagged = held.iter().all(|((_, id), tag)| *tag == now.tags().of_document(id));
            match reshard(&now, goal, is_retagged) {
                None => {
                    if now.shards() == goal { break }
                }
                Some(Reshard::Gather) => {
                    // As a rebalance does, which has its own tests.
                    let target = gathered(&now.owners, now.shards(), goal);
                    now = Epoch { epoch: now.epoch + 1, owners: target, ..now };
                    let tags: BTreeMap<String, ShardId> =
                        held.into_iter().map(|((_, id), tag)| (id, tag)).collect();
                    held = Held::new();
                    for id in &ids {
                        for owner in now.owners_of(crate::shard::shard_of(id, now.shards())) {
                            held.insert((owner[1..].parse().unwrap(), id.clone()), tags[id]);
                        }
                    }
                    before = now.clone();
                }
                Some(Reshard::Enter(next)) => {
                    prop_assert!(next.keeps_clean_readers_of(&now, &Stale::new()));
                    // Who wrote by the last table is heard of before it is retired.
                    if choice % 2 == 0 {
                        write(&now, &mut held, &ids[choice % ids.len()]);
                    }
                    before = std::mem::replace(&mut now, next);
                }
                Some(Reshard::Retag) => {
                    let wrong = held.iter_mut().filter(|((_, id), tag)| **tag != now.tags().of_document(id));
                    let wrong: Vec<_> = wrong.collect();
                    let count = wrong.len();
                    for ((_, id), tag) in wrong.into_iter().skip(choice % count).take(1 + choice % 3) {
                        *tag = now.tags().of_document(id);
                    }
                    write(&now, &mut held, &ids[choice % ids.len()]);
                }
            }
        }
        prop_assert_eq!(now.tags(), crate::tag::Tags::of(goal));
    }
}
