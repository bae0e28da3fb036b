//! Asking a cluster and a node alone the same.

use miroir_harness::{Client, Method};
use miroir_suites::pair::first_difference;
use serde_json::{Map, Value, json};

/// A request, and what a node must be able to do to serve it.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    path: String,
    body: Option<Value>,
    with_metadata: bool,
    is_for_a_real_server: bool,
}

pub fn get(path: impl Into<String>) -> Request {
    Request {
        method: Method::GET,
        path: path.into(),
        body: None,
        with_metadata: false,
        is_for_a_real_server: false,
    }
}

pub fn post(path: impl Into<String>, body: Value) -> Request {
    Request {
        method: Method::POST,
        path: path.into(),
        body: Some(body),
        with_metadata: false,
        is_for_a_real_server: false,
    }
}

impl Request {
    pub fn with_metadata(self) -> Request {
        Request { with_metadata: true, ..self }
    }

    /// The embedded node serves it otherwise than Meilisearch 1.50 does.
    pub fn for_a_real_server(self) -> Request {
        Request { is_for_a_real_server: true, ..self }
    }

    async fn send(&self, client: &Client) -> (u16, Value) {
        let client = match self.with_metadata {
            true => client.with_header("meili-include-metadata", "true").unwrap(),
            false => client.clone(),
        };
        let answer = match &self.body {
            Some(body) => client.request(self.method.clone(), &self.path, body).await,
            None => client.send(self.method.clone(), &self.path, None, Vec::new()).await,
        };
        let answer = answer.unwrap();
        let body = answer.json().unwrap_or_else(|_| json!(answer.text()));
        (answer.status, body)
    }
}

/// What of an answer differs from call to call.
const PASSING: [&str; 4] = ["processingTimeMs", "requestUid", "queryUid", "performanceDetails"];

fn lasting(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(name, _)| !PASSING.contains(&&**name));
            Value::Object(kept.map(|(name, value)| (name, lasting(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(lasting).collect(),
        value => value,
    }
}

/// Which members an answer has, at its top.
fn members(answer: &Value) -> Vec<String> {
    let mut members: Vec<String> = answer.as_object().into_iter().flat_map(Map::keys).cloned().collect();
    members.sort();
    members
}

/// Asks both, and says where they differ.
pub async fn check(area: &str, requests: &[Request], miroir: &Client, single: &Client) -> Vec<String> {
    let mut failures = Vec::new();
    let mut left_out = 0;
    let is_real = std::env::var_os("MEILISEARCH_BIN").is_some();
    for request in requests {
        if request.is_for_a_real_server && !is_real {
            left_out += 1;
            continue;
        }
        let ((status, ours), (expected, theirs)) = tokio::join!(request.send(miroir), request.send(single));
        if is_not_served(expected, &theirs) {
            assert!(!is_real, "{request:?}: {theirs}");
            left_out += 1;
            continue;
        }
        let shows = ours.to_string();
        let [ours, theirs] = [(status, ours), (expected, theirs)].map(|(status, answer)| {
            json!({ "status": status, "members": members(&answer), "answer": lasting(answer) })
        });
        if let Some(difference) = first_difference(&ours, &theirs) {
            failures.push(format!("{area}: {request:?}\n{difference}"));
        }
        if shows.contains("_miroir") {
            failures.push(format!("{area}: {request:?} shows {shows}"));
        }
    }
    let asked = requests.len() - left_out;
    println!("{area}: {asked} of {} requests, {} differ", requests.len(), failures.len());
    if left_out > 0 {
        println!(
            "{area}: {left_out} run only with MEILISEARCH_BIN: the embedded node doesn't serve them as Meilisearch does"
        );
    }
    failures
}

fn is_not_served(status: u16, answer: &Value) -> bool {
    let message = answer["message"].as_str().unwrap_or_default();
    matches!(status, 404 | 405) && answer.get("code").is_none()
        || message.starts_with("This node does not serve")
}
