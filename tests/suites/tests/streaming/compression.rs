//! Bodies that are compressed, in both directions.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use miroir_harness::{Bootstrap, Cluster, Options};
use serde_json::{Value, json};

/// A text in an encoding.
fn encoded(encoding: &str, text: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd_stored(text),
        "br" => brotli_stored(text),
        _ => text.to_vec(),
    }
}

/// A Zstandard frame of one block that is not compressed (RFC 8878, 3.1.1).
fn zstd_stored(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap();
    assert!(length < 100_000);
    // Magic number; a single segment whose size comes in four bytes; the size; the last block, raw.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1010_0000];
    frame.extend(length.to_le_bytes());
    frame.extend(&((length << 3) | 1).to_le_bytes()[..3]);
    frame.extend(text);
    frame
}

/// A Brotli stream of one block that is not compressed (RFC 7932, 9.2), and an empty last one.
fn brotli_stored(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap();
    assert!((1..=65_536).contains(&length));
    // From the lowest bit: window of 16 bits (0), not the last (0), length in four nibbles (00), length - 1, stored (1).
    let header = ((length - 1) << 4) | (1 << 20);
    let mut stream = header.to_le_bytes()[..3].to_vec();
    stream.extend(text);
    // The last block, and empty.
    stream.push(0b11);
    stream
}

async fn post(cluster: &Cluster, index: &str, encoding: &str, body: Vec<u8>) -> (u16, Value) {
    let request = reqwest::Client::new()
        .post(format!("{}/indexes/{index}/documents", cluster.client_url()))
        .bearer_auth("masterKey")
        .header("content-type", "application/json")
        .header("content-encoding", encoding)
        .body(body);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn check_requests(cluster: &Cluster) {
    let client = cluster.client();
    for encoding in ["gzip", "deflate", "br", "zstd", "identity"] {
        let documents: Vec<Value> = (0..200).map(|id| json!({ "id": id, "by": encoding })).collect();
        let body = encoded(encoding, json!(documents).to_string().as_bytes());
        let (status, summary) = post(cluster, encoding, encoding, body).await;
        assert_eq!(status, 202, "{encoding}: {summary}");
        let task = client.wait_for_task(summary["taskUid"].as_u64().unwrap()).await.unwrap();
        assert_eq!(task["details"]["indexedDocuments"], 200, "{encoding}: {task}");
        assert_eq!(client.index(encoding).document("7").await.unwrap().ok().unwrap(), documents[7]);
    }
}

async fn check_broken_requests(cluster: &Cluster) {
    let documents: String = (0..2000).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        let whole = encoded(encoding, documents.as_bytes());
        let cut = whole[..whole.len() / 2].to_vec();
        for broken in [cut, b"no such thing".to_vec()] {
            let (status, error) = post(cluster, "broken", encoding, broken).await;
            assert!((400..500).contains(&status), "{encoding}: {status} {error}");
        }
    }
    // Meilisearch takes what it doesn't know for no encoding at all.
    let (status, error) = post(cluster, "broken", "rot13", b"[{\"id\":".to_vec()).await;
    assert_eq!((status, &error["code"]), (400, &json!("malformed_payload")), "{error}");
    let (status, _) = post(cluster, "rot13", "rot13", b"[{\"id\":1}]".to_vec()).await;
    assert_eq!(status, 202);
}

async fn check_responses(cluster: &Cluster) {
    let documents: Vec<Value> = (0..200).map(|id| json!({ "id": id, "text": "many words" })).collect();
    cluster.client().index("answers").add_documents(&documents).await.unwrap();
    for encoding in ["gzip", "br", "zstd"] {
        let response = reqwest::Client::new()
            .post(format!("{}/indexes/answers/search", cluster.client_url()))
            .bearer_auth("masterKey")
            .header("accept-encoding", encoding)
            .json(&json!({ "limit": 200 }))
            .send()
            .await
            .unwrap();
        assert_eq!(
            response.headers().get("content-encoding").and_then(|value| value.to_str().ok()),
            Some(encoding)
        );
        let body = response.bytes().await.unwrap();
        assert!(body.len() < 5000, "{encoding}: {} bytes", body.len());
        if encoding == "gzip" {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&body[..]), &mut text).unwrap();
            let found: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(found["hits"].as_array().unwrap().len(), 200);
        }
    }
}

#[tokio::test]
async fn bodies_are_taken_and_given_in_each_encoding() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    check_requests(&cluster).await;
    check_broken_requests(&cluster).await;
    check_responses(&cluster).await;
}

#[tokio::test]
async fn in_a_mesh_that_exists_already_too() {
    let options = Options { bootstrap: Bootstrap::ExistingMesh, ..Options::default() };
    let cluster = Cluster::start(options).await.unwrap();
    check_requests(&cluster).await;
    check_responses(&cluster).await;
}
