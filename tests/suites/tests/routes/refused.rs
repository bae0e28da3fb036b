//! Routes that Miroir refuses on purpose: it says so, and what to do instead.

use miroir_harness::{Cluster, Method, Options};
use serde_json::{Value, json};

const REFUSED: [(Method, &str); 17] = [
    (Method::GET, "/network"),
    (Method::PATCH, "/network"),
    (Method::POST, "/network/control"),
    (Method::POST, "/export"),
    (Method::POST, "/logs/stream"),
    (Method::DELETE, "/logs/stream"),
    (Method::POST, "/logs/stderr"),
    (Method::GET, "/chats"),
    (Method::GET, "/chats/main"),
    (Method::DELETE, "/chats/main"),
    (Method::POST, "/chats/main/chat/completions"),
    (Method::GET, "/chats/main/settings"),
    (Method::PATCH, "/chats/main/settings"),
    (Method::DELETE, "/chats/main/settings"),
    (Method::GET, "/metrics"),
    (Method::POST, "/tasks/compact"),
    (Method::GET, "/tasks/0/documents"),
];

#[tokio::test]
async fn what_is_refused_says_what_to_do_instead() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    for (method, path) in REFUSED {
        let answer = cluster.client().request(method.clone(), path, &json!({})).await.unwrap();
        let error: Value = answer.json().unwrap();
        let shape = (answer.status, &error["code"], &error["type"]);
        assert_eq!(
            shape,
            (501, &json!("miroir_not_supported"), &json!("invalid_request")),
            "{method} {path}: {error}"
        );
        assert!(
            error["message"].as_str().is_some_and(|message| message.len() > 20),
            "{method} {path}: {error}"
        );
        let stranger = cluster.client().with_key("").request(method.clone(), path, &json!({})).await.unwrap();
        assert_eq!(stranger.status, 401, "{method} {path}");
    }
}
