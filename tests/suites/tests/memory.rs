//! The memory of the filter does not grow with the number of requests served.

use futures::{StreamExt, stream};
use miroir_harness::{Cluster, Options};
use serde_json::{Value, json};

/// What a measurement may differ by for reasons of the allocator's and of V8's.
const SLACK: u64 = 6 * 1024 * 1024;

/// The resident memory of Envoy, in bytes.
fn resident(cluster: &Cluster) -> u64 {
    let pid = cluster.envoy_pid().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Requests of every kind; half of them are refused after the filter has taken a large body.
async fn serve(cluster: &Cluster, requests: usize) {
    let client = cluster.client();
    let large = format!("[{{\"id\":1,\"text\":\"{}\"}},", "x".repeat(50_000));
    let serving = stream::iter(0..requests).map(|number| {
        let (client, large) = (&client, &large);
        async move {
            let status = match number % 4 {
                0 | 1 => {
                    let query = json!({ "q": format!("film {number}"), "limit": 20, "facets": ["*"] });
                    client.post("/indexes/films/search", &query).await.unwrap().status
                }
                2 => client.get(&format!("/indexes/films/documents/{}", number % 500)).await.unwrap().status,
                _ => {
                    let body = large.clone().into_bytes();
                    let post = miroir_harness::Method::POST;
                    client
                        .send(post, "/indexes/films/documents", Some("application/json"), body)
                        .await
                        .unwrap()
                        .status
                }
            };
            assert_eq!(status, if number % 4 == 3 { 400 } else { 200 });
        }
    });
    serving.buffer_unordered(4).collect::<Vec<()>>().await;
}

#[tokio::test]
async fn memory_does_not_grow_with_requests() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let films: Vec<Value> = (0..500)
        .map(|id| json!({ "id": id, "title": format!("film {id}"), "text": "word ".repeat(50) }))
        .collect();
    let index = cluster.client().index("films");
    index.update_settings(&json!({ "filterableAttributes": ["text"] })).await.unwrap();
    index.add_documents(&films).await.unwrap();

    serve(&cluster, 1500).await;
    let warm = resident(&cluster);
    serve(&cluster, 4500).await;
    let after = resident(&cluster);
    assert!(
        after < warm + SLACK,
        "{warm} bytes after warm-up, {after} bytes after three times as many requests more"
    );
}
