//! What a client sees of a scripted cluster: the request machines from end to end, without I/O.

mod scripted;

use std::collections::BTreeSet;

use miroir_core::control::{PartOutcome, WritePart};
use miroir_core::exchange::{Reply, RequestHead};
use miroir_core::shard::shard_of;
use miroir_core::table::{StaleReplicas, UnavailableShard};
use proptest::prelude::*;
use scripted::{Lateness, Mode, World};
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn documents(count: u64) -> impl Iterator<Item = Value> {
    (0..count).map(|id| json!({"id": id, "score": id % 7, "g": if id % 3 == 0 { "fizz" } else { "none" }}))
}

fn header<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
    reply.headers.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
}

fn code(reply: &Reply) -> String {
    let error: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    error["code"].as_str().unwrap_or_default().to_string()
}

#[test]
fn a_search_finds_each_document_once_and_counts_it_once() {
    for (nodes, copies, groups) in [(1, 1, 1), (3, 1, 1), (3, 2, 1), (3, 3, 1), (2, 2, 2), (5, 3, 2)] {
        let mut world = World::new(16, nodes, copies, groups, 42);
        world.fill(documents(100));
        let (ids, answer, reply) = world.search(json!({"limit": 200, "facets": ["g"]}));
        assert_eq!(
            ids.iter().collect::<BTreeSet<_>>().len(),
            100,
            "{nodes} nodes, {copies} copies, {groups} groups"
        );
        assert_eq!(ids.len(), 100);
        assert_eq!(answer["estimatedTotalHits"], json!(100));
        assert_eq!(answer["facetDistribution"], json!({"g": {"fizz": 34, "none": 66}}));
        assert_eq!(header(&reply, "x-miroir-degraded"), None);
        assert!(!String::from_utf8(reply.body).unwrap().contains("_miroir"));
    }
}

#[test]
fn pages_join_without_gap_or_repeat() {
    let mut world = World::new(16, 3, 2, 1, 7);
    world.fill(documents(100));
    let (all, ..) = world.search(json!({"limit": 100}));
    let pages: Vec<u64> =
        (0..10).flat_map(|page| world.search(json!({"offset": page * 10, "limit": 10})).0).collect();
    assert_eq!(pages, all);
}

#[test]
fn with_any_node_failing_in_any_way_the_answer_is_the_same() {
    for mode in [Mode::Down, Mode::Garbage, Mode::Failing] {
        for failing in 0..3 {
            let mut world = World::new(16, 3, 2, 1, 9);
            world.fill(documents(50));
            world.nodes[failing].mode = mode;
            let (ids, answer, reply) = world.search(json!({"limit": 100}));
            assert_eq!(ids.into_iter().collect::<BTreeSet<_>>().len(), 50, "{mode:?} of {failing}");
            assert_eq!(answer["estimatedTotalHits"], json!(50));
            assert_eq!(header(&reply, "x-miroir-degraded"), None);
        }
    }
}

/// Documents of which no two are of equal rank.
fn ranked_documents(count: u64) -> impl Iterator<Item = Value> {
    (0..count).map(|id| json!({"id": id, "score": id * 37 % 1009, "g": "none"}))
}

#[test]
fn what_is_late_is_asked_of_others_and_not_waited_for() {
    for (nodes, copies, groups) in [(3, 2, 1), (2, 2, 1), (2, 1, 2), (5, 3, 1)] {
        let mut world = World::new(16, nodes, copies, groups, 21);
        world.fill(ranked_documents(100));
        for offset in [0, 10, 95] {
            let query = json!({"offset": offset, "limit": 10, "facets": ["g"]});
            let (ids, expected, _) = world.search(query.clone());
            let mut won = 0;
            for late in 0..nodes * groups {
                // Its answer would be wrong.
                world.lateness = Lateness::Of(late);
                let mode = std::mem::replace(&mut world.nodes[late].mode, Mode::Silent);
                let (found, answer, reply) = world.search(query.clone());
                world.nodes[late].mode = mode;
                assert_eq!((&found, &answer, reply.status), (&ids, &expected, 200));
                assert_eq!(
                    (world.report.hedges > 0, world.report.upstream_failures),
                    (world.report.hedges_won > 0, 0)
                );
                won += world.report.hedges_won;
            }
            world.lateness = Lateness::Never;
            assert!(won > 0, "{nodes} nodes, {copies} copies, {groups} groups, from {offset}");
        }
    }
}

#[test]
fn what_is_late_is_waited_for_where_others_may_have_another_order() {
    let mut world = World::new(16, 3, 2, 1, 22);
    world.fill(documents(100));
    let (mut hedges, mut won) = (0, 0);
    for offset in (0..100).step_by(10) {
        let query = json!({"offset": offset, "limit": 10});
        let (ids, ..) = world.search(query.clone());
        for late in 0..3 {
            world.lateness = Lateness::Of(late);
            assert_eq!(world.search(query.clone()).0, ids);
            hedges += u64::from(world.report.hedges > 0);
            won += world.report.hedges_won;
        }
        world.lateness = Lateness::Never;
    }
    assert!(hedges > 2 * won, "{won} of {hedges}");
    // If it fails, they stand in for it.
    world.lateness = Lateness::Of(0);
    world.nodes[0].mode = Mode::Down;
    let (ids, answer, _) = world.search(json!({"limit": 200}));
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>().len(), 100);
    assert_eq!(answer["estimatedTotalHits"], 100);
}

#[test]
fn what_is_late_is_waited_for_where_no_other_has_it() {
    for broken in [Mode::Up, Mode::Down] {
        let mut world = World::new(16, 3, if broken == Mode::Up { 1 } else { 2 }, 1, 23);
        world.fill(ranked_documents(100));
        world.lateness = Lateness::Of(0);
        // Those that are asked in its stead fail.
        world.nodes[1].mode = broken;
        let (ids, answer, _) = world.search(json!({"limit": 100}));
        assert_eq!(ids.into_iter().collect::<BTreeSet<_>>().len(), 100);
        assert_eq!(answer["estimatedTotalHits"], 100);
    }
}

#[test]
fn a_document_that_comes_late_is_read_from_another_copy() {
    let mut world = World::new(8, 3, 2, 1, 24);
    world.fill(documents(30));
    let mut won = 0;
    for late in 0..3 {
        world.lateness = Lateness::Of(late);
        for id in 0..30 {
            let reply = world.request("GET", &format!("/indexes/movies/documents/{id}"), &Value::Null);
            assert_eq!(reply.status, 200);
            won += world.report.hedges_won;
        }
    }
    // Each has one copy that is asked first.
    assert_eq!(won, 30);
}

#[test]
fn shards_without_a_copy_are_named_or_refused() {
    let mut world = World::new(4, 2, 1, 1, 3);
    world.fill(documents(50));
    world.nodes[1].mode = Mode::Down;
    let (ids, _, reply) = world.search(json!({"limit": 100}));
    assert_eq!(header(&reply, "x-miroir-degraded"), Some("shards=1,3"));
    assert!(ids.iter().all(|id| shard_of(&id.to_string(), 4).is_multiple_of(2)));
    world.table.policy.unavailable_shard = UnavailableShard::Error;
    let (_, _, reply) = world.search(json!({}));
    assert_eq!((reply.status, &*code(&reply)), (503, "miroir_shard_unavailable"));
    assert_eq!(header(&reply, "retry-after"), Some("1"));
}

#[test]
fn a_stale_replica_is_read_last_and_said_to_be_stale() {
    let mut world = World::new(4, 2, 2, 1, 3);
    world.fill(documents(20));
    world.table.stale = vec![StaleReplicas { node: 0, shards: (0..4).collect() }];
    world.nodes[0].documents.clear();
    let (ids, _, reply) = world.search(json!({}));
    assert_eq!((ids.len(), header(&reply, "x-miroir-degraded")), (20, None));
    world.nodes[1].mode = Mode::Down;
    let (ids, _, reply) = world.search(json!({}));
    assert_eq!((ids.len(), header(&reply, "x-miroir-degraded")), (0, Some("stale=0,1,2,3")));
    let reply = world.request("GET", "/indexes/movies/documents/7", &Value::Null);
    assert_eq!((reply.status, header(&reply, "x-miroir-degraded").is_some()), (404, true));
}

#[test]
fn what_was_written_is_found_and_reads_as_it_was_written() {
    let mut world = World::new(16, 3, 2, 1, 5);
    let batch: Vec<Value> = documents(30).collect();
    let reply = world.request("POST", "/indexes/movies/documents", &json!(batch));
    assert_eq!(reply.status, 202);
    assert_eq!(world.registered[0].details["receivedDocuments"], 30);
    for document in &batch {
        let reply =
            world.request("GET", &format!("/indexes/movies/documents/{}", document["id"]), &Value::Null);
        assert_eq!(serde_json::from_slice::<Value>(&reply.body).unwrap(), *document);
    }
    assert_eq!(world.search(json!({"limit": 50})).0.len(), 30);
    let reply = world.request("POST", "/indexes/movies/documents/delete-batch", &json!([1, "2", 3]));
    assert_eq!(reply.status, 202);
    assert_eq!(world.search(json!({"limit": 50})).0.len(), 27);
    let counted = world.registered[1].parts.iter().filter(|part| part.counted);
    assert!(counted.count() >= 1);
    assert_eq!(world.request("DELETE", "/indexes/movies/documents/4", &Value::Null).status, 202);
    assert_eq!(world.search(json!({"limit": 50})).0.len(), 26);
}

#[test]
fn a_missed_owner_is_registered_with_its_shards() {
    let mut world = World::new(8, 3, 2, 1, 5);
    world.nodes[1].mode = Mode::Down;
    let reply = world.request("POST", "/indexes/movies/documents", &json!(documents(30).collect::<Vec<_>>()));
    assert_eq!(reply.status, 202);
    let missed: Vec<_> = world.registered[0]
        .parts
        .iter()
        .filter(|part| matches!(part.outcome, PartOutcome::Missed(_)))
        .collect();
    assert_eq!(missed.len(), 1);
    assert_eq!((&*missed[0].node, &missed[0].shards[..]), ("n1", &[0, 1, 3, 4, 6, 7][..]));
}

#[test]
fn a_write_that_can_not_be_acknowledged_says_so() {
    let body = json!([{"id": 1}]);
    let mut world = World::new(8, 3, 2, 1, 5);
    world.control_plane = Mode::Down;
    let reply = world.request("POST", "/indexes/movies/documents", &body);
    assert_eq!((reply.status, &*code(&reply)), (503, "miroir_control_plane_unavailable"));
    assert!(world.nodes.iter().all(|node| node.documents.is_empty()), "no node was touched");

    let mut world = World::new(8, 3, 2, 1, 5);
    world.retired_below = 4;
    let reply = world.request("POST", "/indexes/movies/documents", &body);
    assert_eq!((reply.status, &*code(&reply)), (503, "miroir_routing_stale"));

    let mut world = World::new(8, 3, 2, 1, 5);
    world.nodes.iter_mut().for_each(|node| node.mode = Mode::Failing);
    let reply = world.request("POST", "/indexes/movies/documents", &body);
    assert_eq!((reply.status, &*code(&reply)), (503, "miroir_no_quorum"));
    assert!(world.registered.is_empty());
}

#[test]
fn a_node_that_has_lost_its_disk_gets_no_write_and_answers_no_read() {
    let body = json!(documents(30).collect::<Vec<_>>());
    let mut world = World::new(8, 3, 2, 1, 5);
    assert_eq!(world.request("POST", "/indexes/movies/documents", &body).status, 202);
    world.nodes[1].mode = Mode::Wiped;
    assert_eq!(world.request("POST", "/indexes/movies/documents", &body).status, 202);
    let missed = |part: &&WritePart| matches!(part.outcome, PartOutcome::Missed(_)) && part.node == "n1";
    assert_eq!(world.registered[1].parts.iter().filter(missed).count(), 1);
    assert_eq!(world.search(json!({"limit": 50})).0.len(), 30);
    for id in 0..30 {
        let reply = world.request("GET", &format!("/indexes/movies/documents/{id}"), &Value::Null);
        assert_eq!(reply.status, 200, "{id}");
    }

    // Whatever the key of the write was, it was not the client's.
    let mut world = World::new(8, 3, 1, 1, 5);
    world.nodes[1].mode = Mode::Wiped;
    let reply = world.request("POST", "/indexes/movies/documents", &body);
    assert_eq!((reply.status, &*code(&reply)), (503, "miroir_no_quorum"));
}

#[test]
fn a_key_that_no_node_knows_is_refused() {
    let mut world = World::new(8, 3, 2, 1, 5);
    world.nodes.iter_mut().for_each(|node| node.mode = Mode::Wiped);
    for (method, target) in [("POST", "/indexes/movies/search"), ("GET", "/indexes/movies/documents/1")] {
        let reply = world.request(method, target, &json!({}));
        assert_eq!((reply.status, &*code(&reply)), (403, "invalid_api_key"), "{target}");
    }
}

#[test]
fn a_shard_that_no_owner_took_leaves_nobody_behind() {
    let mut world = World::new(4, 2, 1, 1, 5);
    world.nodes[1].mode = Mode::Down;
    let reply = world.request("POST", "/indexes/movies/documents", &json!(documents(20).collect::<Vec<_>>()));
    assert_eq!(code(&reply), "miroir_no_quorum");
    assert!(world.registered.is_empty(), "{:?}", world.registered);
}

#[test]
fn a_quorum_is_a_majority_of_three() {
    let body = json!(documents(40).collect::<Vec<_>>());
    let mut world = World::new(8, 3, 3, 1, 5);
    world.nodes[0].mode = Mode::Down;
    assert_eq!(world.request("POST", "/indexes/movies/documents", &body).status, 202);
    world.nodes[1].mode = Mode::Down;
    let reply = world.request("POST", "/indexes/movies/documents", &body);
    assert_eq!(code(&reply), "miroir_no_quorum");
    // One node has it all the same, so the others are known to have missed it.
    assert!(!world.registered[1].acknowledged);
    assert_eq!(world.registered[1].parts.len(), 3);
}

#[test]
fn bad_documents_reach_no_node() {
    let mut world = World::new(8, 3, 2, 1, 5);
    let reply =
        world.request("POST", "/indexes/movies/documents", &json!([{"id": 1}, {"id": 2, "_miroir_x": 1}]));
    assert_eq!((reply.status, &*code(&reply)), (400, "miroir_reserved_field"));
    let reply = world.request("POST", "/indexes/movies/documents", &json!([{"id": 1}, {"id": "a b"}]));
    assert_eq!(reply.status, 202);
    let error = world.registered[0].error.clone().unwrap();
    assert_eq!(error.code, "invalid_document_id");
    assert!(world.nodes.iter().all(|node| node.documents.is_empty()));
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let mut world = World::new(8, 3, 2, 1, 5);
    world.table.policy.body_limit = 100;
    let reply = world.request("POST", "/indexes/movies/documents", &json!(documents(30).collect::<Vec<_>>()));
    assert_eq!((reply.status, &*code(&reply)), (413, "payload_too_large"));
    let reply = world.request("POST", "/indexes/movies/search", &json!({"q": "x".repeat(200)}));
    assert_eq!(reply.status, 413);
}

#[test]
fn the_admin_api_is_not_on_the_client_port() {
    let mut world = World::new(8, 3, 2, 1, 5);
    assert_eq!(world.request("GET", "/_miroir/topology", &Value::Null).status, 404);
    assert_eq!(world.request("POST", "/_miroir/internal/register-write", &json!({})).status, 404);
}

/// A world in which writes are sent in parts.
fn streaming(nodes: usize, copies: usize, seed: u64) -> World {
    let mut world = World::new(8, nodes, copies, 1, seed);
    world.table.policy.write_part_size = 200;
    world
}

fn lines(documents: impl Iterator<Item = Value>) -> Vec<u8> {
    documents.flat_map(|document| format!("{document}\n").into_bytes()).collect()
}

fn stream(world: &mut World, body: &[u8]) -> Reply {
    let headers = vec![("content-type".to_string(), "application/x-ndjson".to_string())];
    let target = "/indexes/movies/documents".to_string();
    world.send(RequestHead { method: "POST".into(), target, headers }, body)
}

/// Of each shard, all owners that are not known to have missed something have the same.
fn check_no_silent_difference(world: &World) {
    for shard in 0..world.table.shards {
        let is_stale = |node: usize| {
            world.registered.iter().flat_map(|write| &write.parts).any(|part| {
                let missed = matches!(part.outcome, PartOutcome::Missed(_));
                missed && part.node == format!("n{node}") && part.shards.contains(&shard)
            })
        };
        let clean =
            miroir_core::documents::split::owners(&world.table, shard).filter(|&node| !is_stale(node));
        let held: Vec<Vec<(&String, &Value)>> = clean
            .map(|node| {
                let documents = world.nodes[node].documents.iter();
                documents.filter(|(id, _)| shard_of(id, world.table.shards) == shard).collect()
            })
            .collect();
        assert!(!held.is_empty(), "shard {shard} has no copy left");
        assert!(held.windows(2).all(|pair| pair[0] == pair[1]), "copies of shard {shard} differ: {held:?}");
    }
}

#[test]
fn a_long_body_is_sent_in_parts_and_the_last_of_two_versions_wins() {
    let mut world = streaming(3, 2, 11);
    let body = lines(documents(200).chain((0..200).map(|id| json!({"id": id, "score": 1000 + id}))));
    let reply = stream(&mut world, &body);
    assert_eq!(reply.status, 202);
    let [write] = &world.registered[..] else { panic!("{:?}", world.registered) };
    assert_eq!(write.details["receivedDocuments"], 400);
    assert!(write.parts.len() > 20, "{} parts", write.parts.len());
    for id in 0..200 {
        let reply = world.request("GET", &format!("/indexes/movies/documents/{id}"), &Value::Null);
        let document: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(document, json!({"id": id, "score": 1000 + id}));
    }
    check_no_silent_difference(&world);
}

#[test]
fn what_turns_out_wrong_after_parts_were_accepted_leaves_a_failed_task() {
    let malformed = [lines(documents(200)), b"{\"id\":".to_vec()].concat();
    let mut world = streaming(3, 2, 12);
    let reply = stream(&mut world, &malformed);
    assert_eq!((reply.status, &*code(&reply)), (400, "malformed_payload"));
    let error = world.registered[0].error.clone().unwrap();
    assert_eq!(error.code, "malformed_payload");
    assert!(error.message.contains("had been accepted by then, and stay"), "{error}");
    assert!(world.registered[0].parts.len() > 5);
    check_no_silent_difference(&world);

    let bad_id = lines(documents(200).chain([json!({"id": "a b"})]).chain(documents(200)));
    let mut world = streaming(3, 2, 13);
    let reply = stream(&mut world, &bad_id);
    assert_eq!(reply.status, 202);
    let error = world.registered[0].error.clone().unwrap();
    assert_eq!((&*error.code, error.message.contains("stay")), ("invalid_document_id", true), "{error}");
    assert_eq!(world.registered[0].details["receivedDocuments"], 401);
    check_no_silent_difference(&world);

    let mut world = streaming(3, 2, 14);
    world.table.policy.body_limit = 3000;
    let reply = stream(&mut world, &lines(documents(200)));
    assert_eq!((reply.status, &*code(&reply)), (413, "payload_too_large"));
    assert_eq!(world.registered[0].error.as_ref().unwrap().code, "payload_too_large");
    check_no_silent_difference(&world);
}

#[test]
fn what_waits_for_nodes_is_bounded() {
    let mut world = streaming(3, 2, 15);
    world.table.policy.write_buffer_limit = 1000;
    let reply = stream(&mut world, &lines(documents(2000)));
    assert_eq!((reply.status, &*code(&reply)), (503, "miroir_write_buffer_full"));
    check_no_silent_difference(&world);
}

#[test]
fn a_node_that_dies_in_the_middle_of_a_body_is_left_behind() {
    let mut world = streaming(3, 2, 16);
    world.turn = Some((6, 1, Mode::Down));
    let reply = stream(&mut world, &lines(documents(300)));
    assert_eq!(reply.status, 202);
    assert!(world.registered[0].parts.iter().any(|part| part.node == "n1"));
    check_no_silent_difference(&world);

    // Without another copy the write breaks off, and a task tells of it.
    let mut world = streaming(3, 1, 17);
    world.turn = Some((6, 1, Mode::Down));
    let reply = stream(&mut world, &lines(documents(300)));
    assert_eq!((reply.status, &*code(&reply)), (503, "miroir_no_quorum"));
    let error = world.registered[0].error.clone().unwrap();
    assert!(error.message.contains("node n1: no answer"), "{error}");
}

#[test]
fn documents_come_as_csv() {
    let mut world = streaming(3, 2, 18);
    let rows: String = (0..100).map(|id| format!("{id};\"film;{id}\";{}\n", id % 7)).collect();
    let body = format!("id:number;title;score:number\n{rows}");
    let headers = vec![("content-type".to_string(), "text/csv; charset=utf-8".to_string())];
    let target = "/indexes/movies/documents?csvDelimiter=;&customMetadata=mine".to_string();
    let reply = world.send(RequestHead { method: "PUT".into(), target, headers }, body.as_bytes());
    assert_eq!(reply.status, 202, "{}", String::from_utf8_lossy(&reply.body));
    assert_eq!(world.registered[0].custom_metadata.as_deref(), Some("mine"));
    let reply = world.request("GET", "/indexes/movies/documents/42", &Value::Null);
    let document: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(document, json!({"id": 42, "title": "film;42", "score": 0}));
}

fn with_key(world: &mut World, body: &[u8]) -> Reply {
    let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", "k")];
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_string())).to_vec();
    let head = RequestHead { method: "POST".into(), target: "/indexes/movies/documents".into(), headers };
    world.send(head, body)
}

fn tasks_on_nodes(world: &World) -> u64 {
    world.nodes.iter().map(|node| node.tasks).sum()
}

#[test]
fn a_repeated_write_reaches_no_node_and_gets_its_first_answer() {
    for seed in 1..30 {
        let mut world = streaming(3, 2, seed);
        let first = with_key(&mut world, &lines(documents(100)));
        assert_eq!(first.status, 202);
        let before = tasks_on_nodes(&world);
        let again = with_key(&mut world, &lines(documents(100)));
        assert_eq!((again.status, &again.body), (202, &first.body));
        assert_eq!(header(&again, "idempotency-replayed"), Some("true"));
        for other in [lines(documents(101)), lines(documents(99)), lines(documents(1))] {
            let refused = with_key(&mut world, &other);
            assert_eq!((refused.status, &*code(&refused)), (409, "miroir_idempotency_key_reused"));
        }
        assert_eq!((tasks_on_nodes(&world), world.registered.len()), (before, 1));
    }
}

#[test]
fn what_got_no_answer_or_an_error_can_be_done_with_the_same_key() {
    for seed in 1..60 {
        let mut world = streaming(3, 2, seed);
        world.leaves_after = Some(seed as usize);
        let left = with_key(&mut world, &lines(documents(100)));
        world.leaves_after = None;
        let body = [lines(documents(100)), b"{".to_vec()].concat();
        // Where the first was answered, the second may be seen to be another request before it is seen to be broken.
        let broken = with_key(&mut world, &body).status;
        assert!(broken == 400 || left.status == 202 && broken == 409, "{broken} after {}", left.status);
        assert_eq!(with_key(&mut world, &lines(documents(100))).status, 202);
        assert_eq!(world.answers.len(), 1);
    }
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![3 => Just(Mode::Up), 1 => Just(Mode::Down), 1 => Just(Mode::Garbage), 1 => Just(Mode::Failing)]
}

fn failure() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Down), Just(Mode::Silent), Just(Mode::Garbage), Just(Mode::Failing)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever fails: no document twice, and each is there or its shard is named.
    #[test]
    fn a_document_is_found_once_or_its_shard_is_named(
        modes in proptest::collection::vec(mode(), 8),
        (nodes, copies, groups, seed) in (1usize..5, 1usize..4, 1usize..3, any::<u64>()),
    ) {
        let mut world = World::new(16, nodes, copies, groups, seed);
        world.fill(documents(60));
        world.nodes.iter_mut().zip(&modes).for_each(|(node, mode)| node.mode = *mode);
        let (ids, answer, reply) = world.search(json!({"limit": 100}));
        if reply.status != 200 {
            prop_assert!(world.nodes.iter().all(|node| node.mode != Mode::Up));
            return Ok(());
        }
        let found: BTreeSet<u64> = ids.iter().copied().collect();
        prop_assert_eq!(found.len(), ids.len());
        prop_assert_eq!(answer["estimatedTotalHits"].as_u64(), Some(ids.len() as u64));
        let named: BTreeSet<u32> = header(&reply, "x-miroir-degraded")
            .map(|value| value.trim_start_matches("shards=").split(',').map(|shard| shard.parse().unwrap()).collect())
            .unwrap_or_default();
        for id in 0..60 {
            let is_named = named.contains(&shard_of(&id.to_string(), 16));
            prop_assert_eq!(found.contains(&id), !is_named, "document {}", id);
        }
    }

    /// Whatever is late and whatever fails: the answer is the one that would have come anyway.
    #[test]
    fn whatever_is_late_the_answer_is_whole(
        modes in proptest::collection::vec(mode(), 8),
        (nodes, copies, groups, seed) in (1usize..5, 1usize..4, 1usize..3, any::<u64>()),
        (offset, limit) in (0u64..70, 0u64..70),
        is_ranked: bool,
    ) {
        let mut world = World::new(16, nodes, copies, groups, seed);
        world.fill(documents(60).zip(ranked_documents(60)).map(|(a, b)| if is_ranked { b } else { a }));
        let query = json!({"offset": offset, "limit": limit});
        let (expected, whole, _) = world.search(query.clone());
        world.lateness = Lateness::Random;
        let (ids, answer, _) = world.search(query.clone());
        prop_assert_eq!((&ids, &answer["estimatedTotalHits"]), (&expected, &whole["estimatedTotalHits"]));

        world.nodes.iter_mut().zip(&modes).for_each(|(node, mode)| node.mode = *mode);
        let (ids, answer, reply) = world.search(json!({"limit": 100}));
        if reply.status == 200 {
            let found: BTreeSet<u64> = ids.iter().copied().collect();
            prop_assert_eq!(found.len(), ids.len());
            prop_assert_eq!(answer["estimatedTotalHits"].as_u64(), Some(ids.len() as u64));
            prop_assert!(ids.len() == 60 || header(&reply, "x-miroir-degraded").is_some());
        } else {
            prop_assert!(world.nodes.iter().all(|node| node.mode != Mode::Up));
        }
    }

    /// Whatever fails: what is acknowledged is on a quorum of owners, and every other owner is known to have missed it.
    #[test]
    fn an_acknowledged_write_is_where_the_control_plane_thinks(
        modes in proptest::collection::vec(mode(), 8),
        (nodes, copies, groups, seed) in (1usize..5, 1usize..4, 1usize..3, any::<u64>()),
    ) {
        let mut world = World::new(16, nodes, copies, groups, seed);
        world.nodes.iter_mut().zip(&modes).for_each(|(node, mode)| node.mode = *mode);
        let batch: Vec<Value> = documents(20).collect();
        let reply = world.request("POST", "/indexes/movies/documents", &json!(batch));
        if reply.status != 202 {
            return Ok(());
        }
        for document in &batch {
            let id = document["id"].to_string();
            let shard = shard_of(&id, 16);
            let holders = world.nodes.iter().filter(|node| node.documents.contains_key(&id)).count();
            prop_assert!(holders >= 1);
            for owner in miroir_core::documents::split::owners(&world.table, shard) {
                let part = world.registered[0].parts.iter().find(|part| part.node == format!("n{owner}")).unwrap();
                let accepted = matches!(part.outcome, miroir_core::control::PartOutcome::Accepted(_));
                prop_assert!(part.shards.contains(&shard));
                prop_assert_eq!(accepted, world.nodes[owner].documents.contains_key(&id));
            }
        }
    }

    /// Whatever fails in the middle of a write, and whenever the client goes away: replicas that differ are known to.
    #[test]
    fn no_replica_differs_silently(
        (nodes, copies, seed) in (1usize..5, 1usize..4, any::<u64>()),
        turn in proptest::option::of((0usize..30, 0usize..5, failure())),
        control_plane in prop_oneof![4 => Just(Mode::Up), 1 => Just(Mode::Down)],
        leaves_after in proptest::option::of(0usize..400),
        retired in proptest::bool::weighted(0.1),
        part_size in prop_oneof![Just(200usize), Just(1_000_000)],
        end in prop_oneof![2 => Just(""), 1 => Just("{"), 1 => Just("{\"id\":\"a b\"}\n")],
    ) {
        let mut world = streaming(nodes, copies, seed);
        world.table.policy.write_part_size = part_size;
        world.fill(documents(20));
        world.turn = turn.map(|(calls, node, mode)| (calls, node % nodes, mode));
        world.leaves_after = leaves_after;
        world.fails_to_register = control_plane == Mode::Down;
        world.retired_below = if retired { 4 } else { 0 };
        let edited = documents(120).map(|mut document| { document["score"] = json!(1000); document });
        let body = [lines(edited), end.into()].concat();
        stream(&mut world, &body);
        check_no_silent_difference(&world);
    }

    /// No request makes a machine panic or wait for nothing.
    #[test]
    fn any_request_is_answered(
        method in "GET|POST|PUT|DELETE|PATCH|OPTIONS|[A-Z]{0,4}",
        target in prop_oneof![
            "/indexes/[a-zé%0-9]{0,4}/(search|documents|documents/[a-z0-9%]{0,3}|documents/delete-batch)(\\?[a-zA-Z0-9=&%,]{0,20})?",
            "\\PC{0,30}",
        ],
        content_type in prop_oneof![Just("application/json"), Just("application/x-ndjson"), Just(""), Just("é;;")],
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            r#"[\[\]{}",:\\ \na1idqlimtofse.]{0,60}"#.prop_map(String::into_bytes),
        ],
        modes in proptest::collection::vec(mode(), 3),
        seed: u64,
    ) {
        let mut world = World::new(4, 3, 2, 1, seed);
        world.fill(documents(5));
        world.nodes.iter_mut().zip(&modes).for_each(|(node, mode)| node.mode = *mode);
        world.lenient = true;
        let headers = vec![("content-type".to_string(), content_type.to_string())];
        let reply = world.send(RequestHead { method, target, headers }, &body);
        prop_assert!((200..600).contains(&reply.status));
    }
}
