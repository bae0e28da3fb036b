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

/// The status and those headers of the answer that are about origins; `None` if no answer came.
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

#[tokio::test]
async fn a_browser_may_ask_from_anywhere() {
    let pair = PAIR.get().await;
    let origin = PREFLIGHT[0];
    let authorized = [origin, ("authorization", "Bearer masterKey")];
    let asked = [
        (Method::OPTIONS, "/indexes/a/search", &PREFLIGHT[..]),
        (Method::OPTIONS, "/indexes/a/documents", &PREFLIGHT[..]),
        (Method::OPTIONS, "/nowhere", &PREFLIGHT[..]),
        (Method::OPTIONS, "/health", &PREFLIGHT[..2]),
        (Method::OPTIONS, "/health", &PREFLIGHT[..1]),
        (Method::OPTIONS, "/health", &[]),
        (Method::GET, "/health", &[origin]),
        (Method::GET, "/version", &authorized[..]),
        (Method::GET, "/tasks", &authorized[..]),
        (Method::GET, "/indexes/absent/search", &authorized[..]),
        (Method::GET, "/tasks", &[origin]),
        (Method::GET, "/health", &[]),
    ];
    for (method, path, headers) in asked {
        let both = pair.both(async |client| ask(&client, method.clone(), path, headers).await).await;
        assert_eq!(both.0, both.1, "{method} {path} {headers:?}");
    }
}
