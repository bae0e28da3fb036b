//! Requests of browsers, from other origins.

use std::collections::BTreeMap;

use miroir_harness::{Client, Method};
use reqwest::header::HeaderMap;

use crate::PAIR;

const PREFLIGHT: [(&str, &str); 3] = [
    ("origin", "http://shop.example"),
    ("access-control-request-method", "POST"),
    ("access-control-request-headers", "authorization,content-type"),
];

/// The status and those headers of the answer that are about origins.
async fn ask(
    client: &Client,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, BTreeMap<String, String>) {
    let mut request = reqwest::Client::new().request(method, format!("{}{path}", client.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), about_origins(response.headers()))
}

fn about_origins(headers: &HeaderMap) -> BTreeMap<String, String> {
    let shown = headers.iter().filter(|(name, _)| name.as_str().starts_with("access-control"));
    // Meilisearch lists headers and methods in any order.
    let sorted = |value: &str| {
        let mut parts: Vec<&str> = value.split(',').map(str::trim).collect();
        parts.sort_unstable();
        parts.join(", ")
    };
    shown.map(|(name, value)| (name.to_string(), sorted(value.to_str().unwrap()))).collect()
}

/// What Meilisearch 1.50 answers; the embedded node knows nothing of origins.
#[tokio::test]
async fn a_browser_may_ask_from_anywhere() {
    let pair = PAIR.get().await;
    let client = pair.miroir.client();
    let any = [("access-control-allow-origin", "*")];
    let preflight = [
        ("access-control-allow-headers", "authorization, content-type"),
        ("access-control-allow-methods", "CONNECT, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, TRACE"),
        ("access-control-allow-origin", "*"),
        ("access-control-max-age", "86400"),
    ];
    let origin = PREFLIGHT[0];
    let authorized = [origin, ("authorization", "Bearer masterKey")];
    let cases = [
        (Method::OPTIONS, "/indexes/a/search", &PREFLIGHT[..], 200, &preflight[..]),
        (Method::OPTIONS, "/indexes/a/documents", &PREFLIGHT[..], 200, &preflight[..]),
        (Method::OPTIONS, "/tasks", &PREFLIGHT[..], 200, &preflight[..]),
        (Method::OPTIONS, "/nowhere", &PREFLIGHT[..], 200, &preflight[..]),
        (Method::OPTIONS, "/health", &PREFLIGHT[..2], 200, &preflight[1..]),
        (Method::OPTIONS, "/health", &PREFLIGHT[..1], 405, &any[..]),
        (Method::OPTIONS, "/health", &[], 405, &[]),
        (Method::GET, "/health", &[origin], 200, &any[..]),
        (Method::GET, "/version", &authorized[..], 200, &any[..]),
        (Method::GET, "/tasks", &authorized[..], 200, &any[..]),
        (Method::GET, "/indexes/absent/search", &authorized[..], 404, &any[..]),
        (Method::GET, "/tasks", &[origin], 401, &any[..]),
        (Method::GET, "/health", &[], 200, &[]),
    ];
    for (method, path, headers, status, expected) in cases {
        let answer = ask(&client, method.clone(), path, headers).await;
        let expected = expected.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        assert_eq!(answer, (status, expected), "{method} {path} {headers:?}");
    }
}
