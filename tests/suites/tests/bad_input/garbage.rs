//! Bytes that mean nothing. Envoy's worker lives on whatever comes.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use miroir_harness::Cluster;
use miroir_suites::stats::wasm_failures;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::PAIR;
use crate::case::{check_untouched, prepare};

const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

fn bytes(random: &mut Rng, most: usize) -> Vec<u8> {
    let length = random.usize(..most);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

/// Bytes that look like JSON for a while.
fn broken_json(random: &mut Rng) -> Vec<u8> {
    const TOKENS: [&str; 20] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"id\":",
        "\"id\":1",
        "1e999",
        "-",
        "\\",
        "\\u",
        "\\ud800",
        "null",
        "tru",
        "\n",
        "\"_miroir_shard\":",
        "{\"id\":2}",
        "\u{feff}",
    ];
    (0..random.usize(..60)).flat_map(|_| pick(random, &TOKENS).bytes()).collect()
}

fn pick<'a>(random: &mut Rng, of: &[&'a str]) -> &'a str {
    of[random.usize(..of.len())]
}

/// Sends bytes as they are and waits for the beginning of an answer; `None` if the connection was closed instead.
async fn send_raw(cluster: &Cluster, request: &[u8]) -> Option<u16> {
    let address = cluster.client_url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Envoy may have refused before it has read all.
    let _ = stream.write_all(request).await;
    let mut answer = [0; 12];
    let read = timeout(ANSWER_PATIENCE, stream.read_exact(&mut answer)).await.expect("an answer");
    read.ok().and_then(|_| std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok())
}

fn request(method: &str, path: &[u8], headers: &[(Vec<u8>, Vec<u8>)], body: &[u8]) -> Vec<u8> {
    let mut request =
        [method.as_bytes(), b" ", path, b" HTTP/1.1\r\nhost: x\r\nauthorization: Bearer masterKey\r\n"]
            .concat();
    for (name, value) in headers {
        request.extend([&name[..], b": ", value, b"\r\n"].concat());
    }
    request.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
    request.extend(body);
    request
}

fn header(name: &str, value: impl Into<Vec<u8>>) -> (Vec<u8>, Vec<u8>) {
    (name.into(), value.into())
}

async fn check_alive(cluster: &Cluster) {
    assert_eq!(wasm_failures(cluster).await, BTreeMap::new());
    let found = cluster.client().index("garbage").search(&json!({})).await.unwrap();
    assert_eq!(found["hits"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn no_bytes_stop_the_filter() {
    let pair = PAIR.get().await;
    prepare(&pair, "garbage").await;
    let cluster = &pair.miroir;
    // The same in every run.
    let random = &mut Rng::with_seed(7);
    let paths = [
        "/indexes/garbage/search",
        "/indexes/garbage/documents?primaryKey=%ff",
        "/indexes/garbage/documents/delete-batch",
        "/indexes/garbage/documents/1",
        "/indexes/garbage/settings/x",
        "/multi-search",
        "/indexes/garbage/search?q=%ff&filter=%00",
    ];
    let types = ["application/json", "application/x-ndjson", "text/csv", "", "\u{fc}"];

    for round in 0..400 {
        let body = if round % 2 == 0 { broken_json(random) } else { bytes(random, 400) };
        // A body that is right by chance is no harm, but what it writes must not count here.
        let method = pick(random, &["POST", "GET", "PUT"]);
        let path = match pick(random, &paths) {
            path if method == "PUT" && !path.contains("settings") => "/indexes/garbage/search",
            path => path,
        };
        let headers = [header("content-type", pick(random, &types))];
        let status = send_raw(cluster, &request(method, path.as_bytes(), &headers, &body)).await;
        assert!(
            status.is_none_or(|status| status < 500 || status == 501),
            "{method} {path} {status:?} {body:?}"
        );
    }
    check_alive(cluster).await;

    for _ in 0..200 {
        let mut path = b"/indexes/".to_vec();
        path.extend(bytes(random, 40).into_iter().filter(|byte| !b"\r\n \0".contains(byte)));
        path.extend(pick(random, &["", "/search", "/documents/1", "/search?", "?&=%"]).bytes());
        send_raw(cluster, &request(pick(random, &["GET", "POST", "DELETE", "BREW"]), &path, &[], b"")).await;
    }
    check_alive(cluster).await;

    for _ in 0..100 {
        let headers: Vec<_> = (0..random.usize(..20))
            .map(|n| {
                let value: Vec<u8> =
                    bytes(random, 60).into_iter().filter(|byte| !b"\r\n\0".contains(byte)).collect();
                (format!("x-{n}").into_bytes(), value)
            })
            .chain([header("origin", &b"\xff\xfe"[..]), header("content-type", &b"application/json\xff"[..])])
            .collect();
        send_raw(cluster, &request("POST", b"/indexes/garbage/search", &headers, b"{}")).await;
    }
    for count in [50, 95, 200, 3000] {
        let headers: Vec<_> = (0..count).map(|n| header(&format!("x-{n}"), "v")).collect();
        send_raw(cluster, &request("POST", b"/indexes/garbage/search", &headers, b"{}")).await;
    }
    let long = header("x-long", "v".repeat(40_000));
    send_raw(cluster, &request("GET", b"/indexes/garbage/search", &[long], b"")).await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00"[..],
        b"GET\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxxxx",
    ] {
        send_raw(cluster, bytes).await;
    }
    check_alive(cluster).await;
    check_untouched(&pair, "garbage").await;
}

/// Clients that go away in the middle of things leave nothing behind that harms.
#[tokio::test]
async fn clients_may_hang_up_at_any_time() {
    let pair = PAIR.get().await;
    prepare(&pair, "hung-up").await;
    let cluster = &pair.miroir;
    let address = cluster.client_url().trim_start_matches("http://").to_owned();
    let json = [header("content-type", "application/json")];
    let whole = request("POST", b"/indexes/hung-up/search", &json, br#"{"q":"book"}"#);
    let write = request("POST", b"/indexes/hung-up-written/documents", &json, br#"[{"id":1},{"id":2}"#);
    for (request, step) in [(&whole, 7), (&write, 9)] {
        for length in (1..=request.len()).step_by(step) {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(&request[..length]).await.unwrap();
        }
    }
    assert_eq!(wasm_failures(cluster).await, BTreeMap::new());
    check_untouched(&pair, "hung-up").await;
}
