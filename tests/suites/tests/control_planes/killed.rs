//! The leader is killed again and again while clients write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use miroir_harness::{Client, wait_until};
use serde_json::{Value, json};

use crate::{PATIENCE, cluster, leader};

const ROUNDS: usize = 10;
const WRITERS: u64 = 4;

/// What a client was told.
#[derive(Default)]
struct Told {
    /// The tasks of documents that were acknowledged, with the document.
    documents: BTreeMap<u64, String>,
    /// The tasks of changes of the settings that were acknowledged, with the stop word.
    settings: BTreeMap<u64, String>,
    refused: u64,
}

async fn write(client: Client, writer: u64, is_over: Arc<AtomicBool>) -> Told {
    let index = client.index("notes");
    let mut told = Told::default();
    for number in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let (word, id) = (format!("w{writer}x{number}"), format!("{writer}-{number}"));
        let is_of_settings = writer == 0;
        let answer = match is_of_settings {
            true => client.put(&index.path("/settings/stop-words"), &json!([word])).await,
            false => index.post_documents(&[json!({ "id": id, "text": "note" })]).await,
        };
        match answer {
            Ok(answer) if answer.status == 202 => {
                let uid = answer.json::<Value>().unwrap()["taskUid"].as_u64().unwrap();
                let known = match is_of_settings {
                    true => told.settings.insert(uid, word),
                    false => told.documents.insert(uid, id),
                };
                assert_eq!(known, None, "task {uid} was acknowledged twice");
            }
            Ok(answer) => {
                assert!((500..600).contains(&answer.status) || answer.status == 409, "{}", answer.text());
                assert!(answer.code().is_some(), "not an error of Meilisearch's: {}", answer.text());
                told.refused += 1;
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Err(_) => told.refused += 1,
        }
    }
    told
}

#[tokio::test]
async fn ten_leaders_are_killed_and_nothing_is_lost() {
    let mut cluster = cluster(2).await;
    cluster.client().create_index("notes", Some("id")).await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let client = cluster.client_of(writer as usize % 2);
            tokio::spawn(write(client, writer, is_over.clone()))
        })
        .collect();

    let longest = AtomicU64::new(0);
    for _ in 0..ROUNDS {
        let killed = leader(&mut cluster).await;
        cluster.control_plane(killed).stop();
        let since = Instant::now();
        let next = leader(&mut cluster).await;
        assert_ne!(next, killed);
        longest.fetch_max(since.elapsed().as_millis() as u64, Ordering::Relaxed);
        let client = cluster.client();
        wait_until("writes to be taken again", PATIENCE, async || {
            let index = client.index("probe");
            Ok(index.post_documents(&[json!({ "id": 1 })]).await.is_ok_and(|answer| answer.status == 202))
        })
        .await
        .unwrap();
        cluster.control_plane(killed).spawn().unwrap();
        cluster.control_plane(killed).wait_until_ready().await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    let mut told = Vec::new();
    for writer in writers {
        told.push(writer.await.unwrap());
    }
    let longest = longest.into_inner();
    println!("the longest time without a leader was {longest} ms");
    assert!(longest < 15_000);

    let mut uids = BTreeSet::new();
    let client = cluster.client();
    for told in &told {
        println!(
            "{} documents and {} settings acknowledged, {} refused",
            told.documents.len(),
            told.settings.len(),
            told.refused
        );
        for uid in told.documents.keys().chain(told.settings.keys()) {
            assert!(uids.insert(*uid), "task {uid} was acknowledged to two clients");
        }
    }
    wait_until("all tasks to be over", PATIENCE * 4, async || {
        let unfinished = client.get("/tasks?statuses=enqueued,processing&limit=1").await?.ok()?;
        Ok(unfinished["total"] == 0)
    })
    .await
    .unwrap();
    for uid in &uids {
        let task = client.get(&format!("/tasks/{uid}")).await.unwrap().ok().unwrap();
        assert_eq!(task["status"], "succeeded", "{task}");
    }
    let index = client.index("notes");
    for id in told.iter().flat_map(|told| told.documents.values()) {
        assert_eq!(index.document(id).await.unwrap().status, 200, "{id}");
    }
    the_settings_are_complete(&cluster, &told[0].settings).await;
}

/// All nodes come to have the same settings: those of the last change, or of one that was not acknowledged after it.
async fn the_settings_are_complete(cluster: &miroir_harness::Cluster, settings: &BTreeMap<u64, String>) {
    let path = "/indexes/notes/settings/stop-words";
    let shown = cluster.client().get(path).await.unwrap().ok().unwrap();
    let number = |word: &str| word.rsplit('x').next().unwrap().parse::<u64>().unwrap();
    let last = settings.values().map(|word| number(word)).max().unwrap();
    assert!(number(shown[0].as_str().unwrap()) >= last, "{shown}, and {last} was acknowledged");
    // A change that was refused as its leader was killed may have reached one of them: it is taken back there.
    wait_until("all nodes to have the same settings", PATIENCE * 6, async || {
        for node in cluster.nodes() {
            if node.client().get(path).await?.ok()? != shown {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
    .unwrap();
}
