//! A request that something is wrong with, and what comes of it.

use miroir_harness::{Client, Method};
use miroir_suites::pair::Pair;
use miroir_suites::tasks::lasting;
use serde_json::{Value, json};

/// A request.
#[derive(Clone, Debug)]
pub struct Case {
    method: Method,
    path: String,
    content_type: Option<&'static str>,
    body: Vec<u8>,
    key: Option<&'static str>,
    compares_words: bool,
}

impl Case {
    pub fn new(method: Method, path: impl Into<String>) -> Case {
        let (path, body) = (path.into(), Vec::new());
        Case { method, path, content_type: None, body, key: None, compares_words: true }
    }

    pub fn get(path: impl Into<String>) -> Case {
        Case::new(Method::GET, path)
    }

    pub fn post(path: impl Into<String>, body: impl Into<Vec<u8>>) -> Case {
        Case { content_type: Some("application/json"), body: body.into(), ..Case::new(Method::POST, path) }
    }

    pub fn with_method(self, method: Method) -> Case {
        Case { method, ..self }
    }

    pub fn with_type(self, content_type: Option<&'static str>) -> Case {
        Case { content_type, ..self }
    }

    /// Shows this key instead of the master key; an empty one is none.
    pub fn with_key(self, key: &'static str) -> Case {
        Case { key: Some(key), ..self }
    }

    /// Only status, code and type are to be the same.
    pub fn in_other_words(self) -> Case {
        Case { compares_words: false, ..self }
    }

    /// What comes of it: the answer or, if it makes a task, what becomes of that.
    pub async fn outcome(&self, client: Client) -> Value {
        let asking = self.key.map_or_else(|| client.clone(), |key| client.with_key(key));
        // A content type is what makes the client send a body.
        let answer =
            asking.send(self.method.clone(), &self.path, self.content_type, self.body.clone()).await.unwrap();
        let body: Value = answer.json().unwrap_or_else(|_| json!({ "message": answer.text() }));
        let mut outcome = json!({ "status": answer.status, "code": body["code"], "type": body["type"] });
        if self.compares_words {
            outcome["message"] = body["message"].clone();
        }
        if let Some(uid) = body["taskUid"].as_u64() {
            let mut task = lasting(client.wait_for_task(uid).await.unwrap());
            if !self.compares_words
                && let Some(error) = task["error"].as_object_mut()
            {
                error.remove("message");
            }
            outcome["task"] = task;
        }
        outcome
    }
}

/// Sees to it that Miroir and a node alone answer each case alike.
pub async fn check(pair: &Pair, cases: &[Case]) {
    let mut differences = Vec::new();
    for case in cases {
        let (ours, single) = pair.both(async |client| case.outcome(client).await).await;
        // Where a node takes what the client got wrong for a fault of its own, Miroir says better.
        let says_better = single["status"] == 500 && ours["status"] == 400;
        if ours != single && !says_better {
            let body = String::from_utf8_lossy(&case.body).chars().take(120).collect::<String>();
            differences.push(format!(
                "{} {} {:?} {body:?}\n  miroir {ours}\n  node   {single}",
                case.method, case.path, case.content_type
            ));
        }
        assert!(!ours.to_string().contains("_miroir_shard"), "{case:?}: {ours}");
    }
    assert!(
        differences.is_empty(),
        "{} of {} differ:\n{}",
        differences.len(),
        cases.len(),
        differences.join("\n")
    );
}

/// An index of its own for a test, with three documents.
pub async fn prepare(pair: &Pair, uid: &str) {
    pair.both(async |client| {
        let settings = json!({ "filterableAttributes": ["genre"], "sortableAttributes": ["year"] });
        let index = client.create_index(uid, Some("id")).await.unwrap();
        index.update_settings(&settings).await.unwrap();
        let documents: Vec<Value> =
            (1..=3).map(|id| json!({ "id": id, "title": "a book", "genre": "g", "year": id })).collect();
        index.add_documents(&documents).await.unwrap();
    })
    .await;
}

/// Sees to it that an index holds what [`prepare`] put there, and no more.
pub async fn check_untouched(pair: &Pair, uid: &str) {
    let found = pair.same(async |client| {
        let found = client.index(uid).search(&json!({ "sort": ["year:asc"] })).await.unwrap();
        (found["hits"].clone(), client.index(uid).count().await.unwrap())
    });
    let (hits, count) = found.await;
    assert_eq!((hits.as_array().unwrap().len(), count), (3, 3), "{hits}");
}
