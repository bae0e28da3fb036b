//! Replicas that differ are found, and repaired from the primary.

use miroir_control_plane::copy::{Progress, SomeIds, compare, sync};
use miroir_core::shard::shard_of;
use serde_json::json;

use crate::nodes::{Nodes, SHARDS, all_shards, document, documents};
use crate::writers::while_clients_write;

#[tokio::test]
async fn what_differs_is_found_and_repaired_while_clients_write() {
    let nodes = Nodes::start(3).await;
    let index = nodes.index("kept", "id", json!({})).await;
    for node in 0..3 {
        nodes.add(node, &index, &documents(10_000..10_600)).await;
    }
    // All of shard 2: clients write to all shards, but not to these documents.
    let mut ids = (10_000..).filter(|id: &u64| shard_of(&id.to_string(), SHARDS) == 2);
    let [changed, lost, other] = std::array::from_fn(|_| ids.next().unwrap());
    let added = ids.find(|id| *id >= 20_000).unwrap();
    let mut by_hand = document(changed);
    by_hand["title"] = "changed by hand".into();
    nodes.add(1, &index, &[by_hand.clone(), document(added)]).await;
    nodes.client(1).index("kept").delete_document(&lost.to_string()).await.unwrap();
    nodes.client(2).index("kept").delete_document(&other.to_string()).await.unwrap();

    let replicas: Vec<_> = nodes.replicas.iter().collect();
    let some = |id: u64| SomeIds { count: 1, examples: vec![id.to_string()] };
    let found = async {
        let mut found = Vec::new();
        for shard in all_shards() {
            let differences = compare(nodes.context(), &index, shard, &replicas, 3).await.unwrap();
            found.extend(differences.into_iter().map(|difference| (shard, difference)));
        }
        found
    };
    let (found, _) = while_clients_write(&nodes, &index, found).await;
    let [(2, second), (2, third)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((second.node.as_str(), third.node.as_str()), ("b", "c"));
    assert_eq!(
        (&second.missing, &second.extra, &second.different),
        (&some(lost), &some(added), &some(changed))
    );
    assert_eq!((&third.missing, third.extra.count, third.different.count), (&some(other), 0, 0));

    let repair = async {
        for (shard, difference) in &found {
            let target = replicas.iter().find(|replica| replica.node == difference.node).unwrap();
            let progress = Progress::default();
            sync(nodes.context(), &index, &[*shard], replicas[0], target, &progress).await.unwrap();
        }
    };
    while_clients_write(&nodes, &index, repair).await;
    for other in [1, 2] {
        let held = nodes.assert_equal(&index, [0, other]).await;
        assert_eq!(held[&changed.to_string()]["title"], document(changed)["title"]);
    }
    assert_eq!(compare(nodes.context(), &index, 2, &replicas, 3).await.unwrap(), []);
}

#[tokio::test]
async fn of_many_differences_some_are_named() {
    let nodes = Nodes::start(2).await;
    let index = nodes.index("far", "id", json!({})).await;
    nodes.add(0, &index, &documents(0..400)).await;
    let replicas: Vec<_> = nodes.replicas.iter().collect();
    let found = compare(nodes.context(), &index, 5, &replicas, 4).await.unwrap();
    let expected = (0..400).filter(|id: &u64| shard_of(&id.to_string(), SHARDS) == 5).count() as u64;
    assert_eq!((found.len(), found[0].missing.count, found[0].missing.examples.len()), (1, expected, 4));
}
