//! Documents that are not where they belong, or have not the tag that they should.

use std::collections::{BTreeMap, BTreeSet};

use miroir_control_plane::copy::{NodeScan, Rehomed, Replica, delete_misplaced, rehome, scan};
use miroir_core::shard::{ShardId, shard_of};
use miroir_core::tag::{TAG_FIELD, encode};
use serde_json::{Value, json};

use crate::nodes::{Nodes, SHARDS, document, documents, tag};

fn shard(id: u64) -> ShardId {
    shard_of(&id.to_string(), SHARDS)
}

/// `a` and `b` own the even shards, `b` and `c` the odd ones.
fn owners_of(shard: ShardId) -> [usize; 2] {
    if shard.is_multiple_of(2) { [0, 1] } else { [1, 2] }
}

fn owners(nodes: &Nodes) -> Vec<Vec<Replica>> {
    (0..SHARDS).map(|shard| owners_of(shard).map(|node| nodes.replicas[node].clone()).to_vec()).collect()
}

fn owned_by(node: usize) -> BTreeSet<ShardId> {
    (0..SHARDS).filter(|shard| owners_of(*shard).contains(&node)).collect()
}

fn ids(texts: &[String]) -> BTreeSet<u64> {
    texts.iter().map(|id| id.parse().unwrap()).collect()
}

#[tokio::test]
async fn documents_without_their_tags_come_home() {
    let nodes = Nodes::start(3).await;
    let index = nodes.index("strays", "id", json!({})).await;
    for node in 0..3 {
        let own = documents((0..200).filter(|id| owners_of(shard(*id)).contains(&node)));
        nodes.add(node, &index, &own).await;
    }
    let scan_of = async |node: usize| {
        scan(nodes.context(), &index, &nodes.replicas[node], &owned_by(node)).await.unwrap()
    };
    for node in 0..3 {
        assert!(scan_of(node).await.is_clean());
    }

    // Written past Miroir, to the first node.
    let untagged: BTreeSet<u64> = (1000..1040).collect();
    let bare: Vec<Value> = untagged.iter().map(|id| json!({ "id": id, "title": "bare" })).collect();
    nodes.add(0, &index, &bare).await;
    // No tag at all, those of other shards, and one that an owner has rightly tagged.
    let mistagged = BTreeSet::from([2000, 2001, 2002, 2003, 2004, 2005]);
    let wrong: Vec<Value> = mistagged
        .iter()
        .map(|id| {
            let tag = match id % 3 {
                0 => json!("none"),
                1 => json!(null),
                _ => json!(encode((shard(*id) + 1) % SHARDS)),
            };
            json!({ "id": id, TAG_FIELD: tag, "title": "wrong" })
        })
        .collect();
    nodes.add(0, &index, &wrong).await;
    nodes.add(1, &index, &[document(2002)]).await;
    let NodeScan { untagged: found_untagged, mistagged: found_mistagged, .. } = scan_of(0).await;
    assert_eq!((ids(&found_untagged), ids(&found_mistagged)), (untagged.clone(), mistagged.clone()));

    let strays: Vec<String> = [found_untagged, found_mistagged].concat();
    let owners = owners(&nodes);
    let done = rehome(nodes.context(), &index, &nodes.replicas[0], &strays, &owners).await.unwrap();
    let stay =
        untagged.iter().chain(&mistagged).filter(|id| owners_of(shard(**id)).contains(&0)).count() as u64;
    let go = strays.len() as u64 - stay;
    // The second node had one already.
    let expected = Rehomed { retagged: stay, copied: stay + 2 * go - 1, deleted: go, left: 0 };
    assert_eq!(done, expected);
    for node in 0..3 {
        assert!(scan_of(node).await.is_clean(), "{node}");
        let held = nodes.documents(node, &index).await;
        for id in (0..200).chain(untagged.clone()).chain(mistagged.clone()) {
            let held = held.get(&id.to_string());
            assert_eq!(held.is_some(), owners_of(shard(id)).contains(&node), "{id} on {node}");
            let expected = match id {
                2002 if node == 1 => document(id)["title"].clone(),
                2000.. => "wrong".into(),
                1000.. => "bare".into(),
                _ => document(id)["title"].clone(),
            };
            assert!(held.is_none_or(|held| held["title"] == expected && held[TAG_FIELD] == tag(id)));
        }
    }
    // Once more, there is nothing to do but to see that.
    let again = rehome(nodes.context(), &index, &nodes.replicas[1], &strays, &owners).await.unwrap();
    assert_eq!(again, Rehomed::default());
}

#[tokio::test]
async fn what_a_node_should_not_hold_is_deleted_where_its_owners_have_it() {
    let nodes = Nodes::start(3).await;
    let index = nodes.index("left", "id", json!({})).await;
    let odd: Vec<u64> = (0..100).filter(|id| shard(*id) == 3).collect();
    let [gone, kept @ ..] = &odd[..] else { panic!() };
    for node in 0..3 {
        nodes.add(node, &index, &documents(odd.clone())).await;
    }
    for owner in [1, 2] {
        nodes.client(owner).index("left").delete_document(&gone.to_string()).await.unwrap();
    }
    let scan_of = async || scan(nodes.context(), &index, &nodes.replicas[0], &owned_by(0)).await.unwrap();
    assert_eq!(scan_of().await.misplaced, BTreeMap::from([(3, odd.len() as u64)]));
    let owners = owners(&nodes);
    let left = delete_misplaced(nodes.context(), &index, &nodes.replicas[0], 3, &owners[3]).await.unwrap();
    assert_eq!((left.deleted, left.kept), (kept.len() as u64, vec![gone.to_string()]));
    assert_eq!(scan_of().await.misplaced, BTreeMap::from([(3, 1)]));
    // An owner is left alone.
    let none = delete_misplaced(nodes.context(), &index, &nodes.replicas[1], 3, &owners[3]).await.unwrap();
    assert_eq!(none.deleted, 0);
    assert_eq!(nodes.documents(1, &index).await.len(), kept.len());
}

#[tokio::test]
async fn documents_with_nested_primary_keys_keep_what_is_beside_the_key() {
    let nodes = Nodes::start(3).await;
    let index = nodes.index("deep", "a.b", json!({})).await;
    let bare: Vec<Value> = (0..20).map(|id| json!({ "a": { "b": id, "c": "kept" }, "d": 1.5 })).collect();
    nodes.add(1, &index, &bare).await;
    let found = scan(nodes.context(), &index, &nodes.replicas[1], &owned_by(1)).await.unwrap();
    let owners = owners(&nodes);
    let done = rehome(nodes.context(), &index, &nodes.replicas[1], &found.untagged, &owners).await.unwrap();
    assert_eq!(done, Rehomed { retagged: 20, copied: 20, ..Rehomed::default() });
    for node in 0..3 {
        for (id, held) in nodes.documents(node, &index).await {
            let expected = json!({ "a": { "b": id.parse::<u64>().unwrap(), "c": "kept" }, "d": 1.5, TAG_FIELD: tag(&id), "_vectors": {} });
            assert_eq!(held, expected, "{node}");
        }
    }
}
