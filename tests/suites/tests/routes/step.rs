//! A request of a sequence.

use miroir_harness::{Answer, Client, Method};
use serde_json::{Value, json};

use crate::normal::normal;

/// A request of a sequence, and how its answers are compared.
#[derive(Clone, Debug)]
pub struct Step {
    pub method: Method,
    pub path: String,
    content_type: Option<&'static str>,
    body: Vec<u8>,
    /// The uid of the key that it shows instead of the master key.
    key: Option<&'static str>,
    in_any_order: bool,
}

fn step(method: Method, path: impl Into<String>, content_type: Option<&'static str>, body: Vec<u8>) -> Step {
    Step { method, path: path.into(), content_type, body, key: None, in_any_order: false }
}

pub fn get(path: impl Into<String>) -> Step {
    step(Method::GET, path, None, Vec::new())
}

pub fn delete(path: impl Into<String>) -> Step {
    step(Method::DELETE, path, None, Vec::new())
}

/// `POST` without a body.
pub fn order(path: impl Into<String>) -> Step {
    step(Method::POST, path, None, Vec::new())
}

pub fn post(path: impl Into<String>, body: Value) -> Step {
    send(Method::POST, path, body)
}

pub fn put(path: impl Into<String>, body: Value) -> Step {
    send(Method::PUT, path, body)
}

pub fn patch(path: impl Into<String>, body: Value) -> Step {
    send(Method::PATCH, path, body)
}

pub fn send(method: Method, path: impl Into<String>, body: Value) -> Step {
    step(method, path, Some("application/json"), body.to_string().into_bytes())
}

/// `POST` of something that is not JSON.
pub fn upload(path: impl Into<String>, content_type: &'static str, body: &str) -> Step {
    step(Method::POST, path, Some(content_type), body.as_bytes().to_vec())
}

impl Step {
    /// Shows the key of this uid.
    pub fn with_key(self, uid: &'static str) -> Step {
        Step { key: Some(uid), ..self }
    }

    /// The order of what it lists is left open.
    pub fn in_any_order(self) -> Step {
        Step { in_any_order: true, ..self }
    }

    /// What comes of it on one server: the answer and, if it makes a task, what becomes of that.
    pub async fn outcome(&self, client: &Client) -> Value {
        let mut asking = client.clone();
        if let Some(uid) = self.key {
            let key: Value = client.get(&format!("/keys/{uid}")).await.unwrap().json().unwrap();
            asking = client.with_key(key["key"].as_str().unwrap_or("no key"));
        }
        let answer = asking
            .send(self.method.clone(), &self.path, self.content_type, self.body.clone())
            .await
            .unwrap_or_else(|error| panic!("{self:?}: {error:#}"));
        let body = body(&answer);
        let mut outcome = json!({ "status": answer.status, "body": normal(body.clone()) });
        if let Some(uid) = body["taskUid"].as_u64() {
            let task = client.wait_for_task(uid).await.unwrap_or_else(|error| panic!("{self:?}: {error:#}"));
            outcome["task"] = normal(task);
        }
        if self.in_any_order {
            for list in ["hits", "results"] {
                if let Some(values) = outcome["body"][list].as_array_mut() {
                    values.sort_by_key(Value::to_string);
                }
            }
        }
        outcome
    }
}

fn body(answer: &Answer) -> Value {
    match answer.body.is_empty() {
        true => Value::Null,
        false => answer.json().unwrap_or_else(|_| answer.text().into()),
    }
}
