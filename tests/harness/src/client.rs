//! A small client of the Meilisearch API.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, stream};
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Body, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::wait::wait_for;

const TASK_PATIENCE: Duration = Duration::from_secs(600);

/// A client of Miroir, or of one node: they speak the same API.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
    headers: HeaderMap,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body, read as JSON.
    ///
    /// # Errors
    /// If it is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).with_context(|| format!("not the JSON expected: {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `code` of an error.
    pub fn code(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        body.get("code")?.as_str().map(str::to_owned)
    }

    /// A header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body of a good answer, read as JSON.
    ///
    /// # Errors
    /// With the whole answer, if the status is not in the two hundreds.
    pub fn ok(&self) -> Result<Value> {
        ensure!((200..300).contains(&self.status), "answered {}: {}", self.status, self.text());
        if self.body.is_empty() { Ok(Value::Null) } else { self.json() }
    }
}

impl Client {
    /// A client of the server at `url` that shows `key`; an empty one shows none.
    pub fn new(url: impl Into<String>, key: &str) -> Client {
        Client {
            // Without the authorities' certificates, which take a while to read and nothing here is signed by.
            http: reqwest::Client::builder().tls_built_in_root_certs(false).build().unwrap_or_default(),
            url: url.into(),
            key: key.to_owned(),
            headers: HeaderMap::new(),
        }
    }

    /// The same client with another key.
    pub fn with_key(&self, key: &str) -> Client {
        Client { key: key.to_owned(), ..self.clone() }
    }

    /// The same client, which sends this header too.
    ///
    /// # Errors
    /// If HTTP doesn't allow it.
    pub fn with_header(&self, name: &'static str, value: &str) -> Result<Client> {
        let mut client = self.clone();
        client.headers.insert(HeaderName::from_static(name), value.parse()?);
        Ok(client)
    }

    /// The server's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends bytes of some content type; an empty body without one.
    ///
    /// # Errors
    /// If no answer came.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Answer> {
        self.send_body(method, path, content_type.map(|content_type| (content_type, body.into()))).await
    }

    /// Sends a body in several pieces, with a pause before each.
    ///
    /// # Errors
    /// If no answer came.
    pub async fn send_pieces(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        pieces: Vec<Vec<u8>>,
        pause: Duration,
    ) -> Result<Answer> {
        let pieces = stream::iter(pieces).then(move |piece| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, Infallible>(piece)
        });
        self.send_body(method, path, Some((content_type, Body::wrap_stream(pieces)))).await
    }

    async fn send_body(&self, method: Method, path: &str, body: Option<(&str, Body)>) -> Result<Answer> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.url));
        request = request.headers(self.headers.clone());
        if !self.key.is_empty() {
            request = request.bearer_auth(&self.key);
        }
        if let Some((content_type, body)) = body {
            request = request.header("content-type", content_type).body(body);
        }
        let response = request.send().await.with_context(|| format!("{method} {path}"))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
    }

    /// Sends JSON.
    ///
    /// # Errors
    /// If no answer came.
    pub async fn request(&self, method: Method, path: &str, body: &impl Serialize) -> Result<Answer> {
        self.send(method, path, Some("application/json"), serde_json::to_vec(body)?).await
    }

    /// `GET`.
    ///
    /// # Errors
    /// If no answer came.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, None, Vec::new()).await
    }

    /// `DELETE` without a body.
    ///
    /// # Errors
    /// If no answer came.
    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.send(Method::DELETE, path, None, Vec::new()).await
    }

    /// `POST` of JSON.
    ///
    /// # Errors
    /// If no answer came.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer> {
        self.request(Method::POST, path, body).await
    }

    /// `PUT` of JSON.
    ///
    /// # Errors
    /// If no answer came.
    pub async fn put(&self, path: &str, body: &impl Serialize) -> Result<Answer> {
        self.request(Method::PUT, path, body).await
    }

    /// `PATCH` of JSON.
    ///
    /// # Errors
    /// If no answer came.
    pub async fn patch(&self, path: &str, body: &impl Serialize) -> Result<Answer> {
        self.request(Method::PATCH, path, body).await
    }

    /// An index, whether it exists or not.
    pub fn index(&self, uid: &str) -> Index {
        Index { client: self.clone(), uid: uid.to_owned() }
    }

    /// Creates an index and waits until it is there.
    ///
    /// # Errors
    /// If it can't be created.
    pub async fn create_index(&self, uid: &str, primary_key: Option<&str>) -> Result<Index> {
        let answer = self.post("/indexes", &json!({ "uid": uid, "primaryKey": primary_key })).await?;
        self.wait_for_success(&answer).await?;
        Ok(self.index(uid))
    }

    /// Waits until a task is over, well or not, and gives it back.
    ///
    /// # Errors
    /// If it can't be asked for, or takes ten minutes.
    pub async fn wait_for_task(&self, uid: u64) -> Result<Value> {
        let path = format!("/tasks/{uid}");
        wait_for(&format!("task {uid}"), TASK_PATIENCE, async || {
            let task = self.get(&path).await?.ok().with_context(|| format!("task {uid}"))?;
            let over = ["succeeded", "failed", "canceled"].iter().any(|status| task["status"] == *status);
            Ok(over.then_some(task))
        })
        .await
    }

    /// Takes the answer to a request that makes a task, and waits until that task has succeeded.
    ///
    /// # Errors
    /// If the answer is an error, or the task fails.
    pub async fn wait_for_success(&self, answer: &Answer) -> Result<Value> {
        let enqueued = answer.ok()?;
        let Some(uid) = enqueued["taskUid"].as_u64() else { bail!("not a task: {enqueued}") };
        let task = self.wait_for_task(uid).await?;
        ensure!(task["status"] == "succeeded", "task {uid}: {task}");
        Ok(task)
    }
}

/// An index of a [`Client`].
#[derive(Clone, Debug)]
pub struct Index {
    client: Client,
    uid: String,
}

impl Index {
    /// Its uid.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The same index of another client.
    pub fn with_client(&self, client: &Client) -> Index {
        Index { client: client.clone(), uid: self.uid.clone() }
    }

    /// The path of something under it, as `/documents`.
    pub fn path(&self, rest: &str) -> String {
        format!("/indexes/{}{rest}", self.uid)
    }

    /// Searches.
    ///
    /// # Errors
    /// If the answer is an error.
    pub async fn search(&self, query: &Value) -> Result<Value> {
        let answer = self.client.post(&self.path("/search"), query).await?;
        answer.ok().with_context(|| format!("search {query}"))
    }

    /// Adds or replaces documents; the answer is the task's summary.
    ///
    /// # Errors
    /// If no answer came.
    pub async fn post_documents(&self, documents: &[impl Serialize]) -> Result<Answer> {
        self.client.post(&self.path("/documents"), &documents).await
    }

    /// Adds or replaces documents and waits until they are found; the answer is the finished task.
    ///
    /// # Errors
    /// If they are refused or their task fails.
    pub async fn add_documents(&self, documents: &[impl Serialize]) -> Result<Value> {
        let answer = self.post_documents(documents).await?;
        self.client.wait_for_success(&answer).await
    }

    /// Changes settings and waits until they hold.
    ///
    /// # Errors
    /// If they are refused or their task fails.
    pub async fn update_settings(&self, settings: &Value) -> Result<Value> {
        let answer = self.client.patch(&self.path("/settings"), settings).await?;
        self.client.wait_for_success(&answer).await
    }

    /// One document.
    ///
    /// # Errors
    /// If no answer came.
    pub async fn document(&self, id: &str) -> Result<Answer> {
        self.client.get(&self.path(&format!("/documents/{id}"))).await
    }

    /// Deletes one document and waits until it is gone.
    ///
    /// # Errors
    /// If that is refused or its task fails.
    pub async fn delete_document(&self, id: &str) -> Result<Value> {
        let answer = self.client.delete(&self.path(&format!("/documents/{id}"))).await?;
        self.client.wait_for_success(&answer).await
    }

    /// How many documents it holds.
    ///
    /// # Errors
    /// If the answer is an error.
    pub async fn count(&self) -> Result<u64> {
        let stats = self.client.get(&self.path("/stats")).await?.ok()?;
        stats["numberOfDocuments"].as_u64().with_context(|| format!("no count in {stats}"))
    }
}
