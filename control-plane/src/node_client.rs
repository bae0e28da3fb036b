//! A client of one Meilisearch node.

mod documents;
mod instance;

pub use documents::{Document, Documents};

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use indexmap::IndexMap;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::leadership::Term;
use crate::store::{IndexSwap, StoreError, TaskStatus};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_POLL: Duration = Duration::from_millis(5);
const LAST_POLL: Duration = Duration::from_millis(250);

/// Speaks to one node, with the master key.
#[derive(Clone, Debug)]
pub struct NodeClient {
    http: reqwest::Client,
    url: String,
    master_key: String,
    /// By which documents and settings are written, if not by the master key.
    writer: Option<String>,
    term: Term,
}

/// Why a node did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// It could not be reached, or did not answer in time.
    #[error("{url}: {reason}")]
    Unreachable {
        /// The node.
        url: String,
        /// What happened.
        reason: String,
    },
    /// It answered an error.
    #[error("{url} answered {status}: {body}")]
    Refused {
        /// The node.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The body, as Meilisearch's error where it is one.
        body: Value,
    },
    /// It answered something that is not what Meilisearch answers.
    #[error("{url} answered what Meilisearch doesn't: {reason}")]
    Garbage {
        /// The node.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A task of its failed.
    #[error("task {uid} failed on {url}: {error}")]
    TaskFailed {
        /// The node.
        url: String,
        /// The node's task.
        uid: u64,
        /// Meilisearch's error.
        error: Value,
    },
    /// It is brought in step before it is sent anything.
    #[error("node {0} is not in step")]
    OutOfStep(String),
    /// What the control plane wanted to bring the node in step with could not be read.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

impl NodeError {
    /// Whether the request itself is at fault, so that every node would refuse it. The key is Miroir's own.
    pub fn is_client_error(&self) -> bool {
        matches!(self, NodeError::Refused { status: 400 | 402 | 404..=499, .. })
    }

    /// Meilisearch's code of the error, if the node gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            NodeError::Refused { body, .. } => body.get("code")?.as_str(),
            NodeError::TaskFailed { error, .. } => error.get("code")?.as_str(),
            _ => None,
        }
    }
}

/// A node's task.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct NodeTask {
    pub uid: u64,
    #[serde(default)]
    pub index_uid: Option<String>,
    pub status: TaskStatus,
    #[serde(default)]
    pub details: Value,
    #[serde(default)]
    pub error: Value,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
}

/// An index as a node shows it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct NodeIndex {
    #[serde(default)]
    pub primary_key: Option<String>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub created_at: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub updated_at: Option<OffsetDateTime>,
}

/// What a node counts of an index.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct NodeIndexStats {
    pub number_of_documents: u64,
    pub raw_document_db_size: u64,
    pub is_indexing: bool,
    pub number_of_embeddings: Option<u64>,
    pub number_of_embedded_documents: Option<u64>,
    pub field_distribution: IndexMap<String, u64>,
    pub internal_database_sizes: BTreeMap<String, u64>,
}

/// What a node counts in all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct NodeStats {
    pub database_size: u64,
    pub used_database_size: u64,
    pub indexes: IndexMap<String, NodeIndexStats>,
}

#[derive(Deserialize)]
struct Page<T> {
    results: Vec<T>,
    #[serde(default)]
    total: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Enqueued {
    task_uid: u64,
}

fn list(uids: &[u64]) -> String {
    let uids: Vec<String> = uids.iter().map(u64::to_string).collect();
    uids.join(",")
}

impl NodeClient {
    /// A client of the node at `url`. An empty `master_key` stands for none.
    pub fn new(url: &str, master_key: &str) -> NodeClient {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .build()
            .unwrap_or_default();
        let client = NodeClient {
            http,
            url: String::new(),
            master_key: master_key.to_owned(),
            writer: None,
            term: Term::endless(),
        };
        client.at(url)
    }

    /// The same client of another node. It costs little, while a new one reads the certificates of all public authorities.
    pub fn at(&self, url: &str) -> NodeClient {
        NodeClient { url: url.trim_end_matches('/').to_owned(), ..self.clone() }
    }

    /// The same client, which writes documents and settings by this key.
    pub fn writing_by(self, writer: Option<String>) -> NodeClient {
        NodeClient { writer, ..self }
    }

    /// The same client, which changes nothing once the term is over: the control plane that leads then knows nothing of it.
    pub fn within(self, term: Term) -> NodeClient {
        NodeClient { term, ..self }
    }

    /// Whether the node says that it is available.
    ///
    /// # Errors
    /// [`NodeError`] if it isn't.
    pub async fn health(&self) -> Result<(), NodeError> {
        self.get::<Value>("/health").await.map(drop)
    }

    /// Sends a request that enqueues a task, and returns the node's uid of it.
    ///
    /// # Errors
    /// [`NodeError`] if nothing is known to be enqueued.
    pub async fn enqueue(&self, method: Method, path: &str, body: Option<&Value>) -> Result<u64, NodeError> {
        let enqueued: Enqueued = self.call(method, path, body).await?;
        Ok(enqueued.task_uid)
    }

    /// The same for a request that [`writing`](Self::writing) made.
    async fn enqueue_by_writer(&self, request: RequestBuilder) -> Result<u64, NodeError> {
        let body = self.success_of(request).await?;
        Ok(self.read::<Enqueued>(&body)?.task_uid)
    }

    /// Enqueues the creation of an index.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn create_index(&self, uid: &str, primary_key: Option<&str>) -> Result<u64, NodeError> {
        let body = json!({"uid": uid, "primaryKey": primary_key});
        self.enqueue(Method::POST, "/indexes", Some(&body)).await
    }

    /// Enqueues a change of an index's primary key.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn set_primary_key(&self, uid: &str, primary_key: &str) -> Result<u64, NodeError> {
        let body = json!({"primaryKey": primary_key});
        self.enqueue(Method::PATCH, &format!("/indexes/{uid}"), Some(&body)).await
    }

    /// Enqueues the deletion of an index.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn delete_index(&self, uid: &str) -> Result<u64, NodeError> {
        self.enqueue(Method::DELETE, &format!("/indexes/{uid}"), None).await
    }

    /// Enqueues an exchange of indexes' uids.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn swap_indexes(&self, swaps: &[IndexSwap]) -> Result<u64, NodeError> {
        let pairs = swaps.iter().map(|swap| match swap.rename {
            true => json!({"indexes": swap.uids(), "rename": true}),
            false => json!({"indexes": swap.uids()}),
        });
        self.enqueue(Method::POST, "/swap-indexes", Some(&pairs.collect())).await
    }

    /// Enqueues the cancelation of tasks.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn cancel_tasks(&self, uids: &[u64]) -> Result<u64, NodeError> {
        self.enqueue(Method::POST, &format!("/tasks/cancel?uids={}", list(uids)), None).await
    }

    /// Enqueues the deletion of finished tasks.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn delete_tasks(&self, uids: &[u64]) -> Result<u64, NodeError> {
        self.enqueue(Method::DELETE, &format!("/tasks?uids={}", list(uids)), None).await
    }

    /// The newest swaps of indexes that have succeeded.
    ///
    /// # Errors
    /// [`NodeError`] if they could not be read.
    pub async fn succeeded_swaps(&self) -> Result<Vec<NodeTask>, NodeError> {
        let path = "/tasks?limit=1000&types=indexSwap&statuses=succeeded";
        Ok(self.get::<Page<NodeTask>>(path).await?.results)
    }

    /// The fields of an index's documents, with what the settings make of each.
    ///
    /// # Errors
    /// [`NodeError`] if they could not be read.
    pub async fn fields(&self, uid: &str) -> Result<Vec<Value>, NodeError> {
        let body = json!({"limit": u32::MAX});
        let path = format!("/indexes/{uid}/fields");
        Ok(self.call::<Page<Value>>(Method::POST, &path, Some(&body)).await?.results)
    }

    /// The batch that a task is in, if the node has begun with it.
    ///
    /// # Errors
    /// [`NodeError`] if it could not be read.
    pub async fn batch_of(&self, task: u64) -> Result<Option<Value>, NodeError> {
        let path = format!("/batches?limit=1&uids={task}");
        Ok(self.get::<Page<Value>>(&path).await?.results.into_iter().next())
    }

    /// Enqueues a change of an index's settings.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn update_settings(&self, uid: &str, settings: &Value) -> Result<u64, NodeError> {
        self.change_settings(Method::PATCH, &format!("/indexes/{uid}/settings"), settings).await
    }

    /// The same by any of the routes of settings.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn change_settings(&self, method: Method, path: &str, body: &Value) -> Result<u64, NodeError> {
        self.enqueue_by_writer(self.writing(method, path).json(body)).await
    }

    /// All settings of an index.
    ///
    /// # Errors
    /// [`NodeError`] if they could not be read.
    pub async fn settings(&self, uid: &str) -> Result<Value, NodeError> {
        self.get(&format!("/indexes/{uid}/settings")).await
    }

    /// One setting of an index, by its route.
    ///
    /// # Errors
    /// [`NodeError`] if it could not be read.
    pub async fn setting(&self, uid: &str, route: &str) -> Result<Value, NodeError> {
        self.get(&format!("/indexes/{uid}/settings/{route}")).await
    }

    /// An index; `None` if the node doesn't have it.
    ///
    /// # Errors
    /// [`NodeError`] if it could not be read.
    pub async fn index(&self, uid: &str) -> Result<Option<NodeIndex>, NodeError> {
        match self.get(&format!("/indexes/{uid}")).await {
            Ok(index) => Ok(Some(index)),
            Err(error) if error.code() == Some("index_not_found") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the node counts in all its indexes.
    ///
    /// # Errors
    /// [`NodeError`] if it could not be read.
    pub async fn stats(&self) -> Result<NodeStats, NodeError> {
        self.get("/stats?showInternalDatabaseSizes=true").await
    }

    /// What the node counts in one index.
    ///
    /// # Errors
    /// [`NodeError`] if it could not be read.
    pub async fn index_stats(&self, uid: &str) -> Result<NodeIndexStats, NodeError> {
        self.get(&format!("/indexes/{uid}/stats?showInternalDatabaseSizes=true")).await
    }

    /// How many documents of an index match a filter; without one, how many there are.
    ///
    /// # Errors
    /// [`NodeError`] if they could not be counted.
    pub async fn count_documents(&self, uid: &str, filter: Option<&str>) -> Result<u64, NodeError> {
        let path = format!("/indexes/{uid}/documents/fetch");
        let body = json!({"filter": filter, "limit": 0});
        let page: Page<Value> = self.call(Method::POST, &path, Some(&body)).await?;
        Ok(page.total)
    }

    /// Those of the tasks that the node knows.
    ///
    /// # Errors
    /// [`NodeError`] if they could not be read.
    pub async fn tasks(&self, uids: &[u64]) -> Result<Vec<NodeTask>, NodeError> {
        let path = format!("/tasks?limit={}&uids={}", uids.len(), list(uids));
        let page: Page<NodeTask> = self.get(&path).await?;
        Ok(page.results)
    }

    /// The newest task of the node, if it has any.
    ///
    /// # Errors
    /// [`NodeError`] if it could not be read.
    pub async fn newest_task(&self) -> Result<Option<NodeTask>, NodeError> {
        let page: Page<NodeTask> = self.get("/tasks?limit=1").await?;
        Ok(page.results.into_iter().next())
    }

    /// The oldest task of the node that is not finished, if there is one.
    ///
    /// # Errors
    /// [`NodeError`] if it could not be read.
    pub async fn oldest_unfinished_task(&self) -> Result<Option<NodeTask>, NodeError> {
        let page: Page<NodeTask> =
            self.get("/tasks?limit=1&reverse=true&statuses=enqueued,processing").await?;
        Ok(page.results.into_iter().next())
    }

    /// Waits until a task of the node has succeeded.
    ///
    /// # Errors
    /// [`NodeError::TaskFailed`] if it has failed, or why its state could not be read within `timeout`.
    pub async fn wait_for_task(&self, uid: u64, timeout: Duration) -> Result<NodeTask, NodeError> {
        let deadline = Instant::now() + timeout;
        let mut pause = FIRST_POLL;
        loop {
            let task: NodeTask = self.get(&format!("/tasks/{uid}")).await?;
            match task.status {
                TaskStatus::Succeeded => return Ok(task),
                TaskStatus::Failed | TaskStatus::Canceled => {
                    return Err(NodeError::TaskFailed { url: self.url.clone(), uid, error: task.error });
                }
                TaskStatus::Enqueued | TaskStatus::Processing => {}
            }
            if Instant::now() + pause > deadline {
                let reason = format!("task {uid} was not done within {timeout:?}");
                return Err(NodeError::Unreachable { url: self.url.clone(), reason });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_POLL);
        }
    }

    /// Sends a client's request as it came, but with the master key, and returns the status and body of the answer.
    ///
    /// # Errors
    /// [`NodeError::Unreachable`] if there is no answer.
    pub async fn forward(
        &self,
        method: Method,
        path_and_query: &str,
        content_type: Option<&HeaderValue>,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), NodeError> {
        let mut request = self.request(method, path_and_query).body(body);
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        self.send(request).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, NodeError> {
        self.call(Method::GET, path, None).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, NodeError> {
        let body = self.success(method, path, body).await?;
        self.read(&body)
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, NodeError> {
        serde_json::from_slice(body)
            .map_err(|error| NodeError::Garbage { url: self.url.clone(), reason: error.to_string() })
    }

    /// The body of the answer, which is one of success.
    async fn success(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Bytes, NodeError> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.success_of(request).await
    }

    async fn success_of(&self, request: RequestBuilder) -> Result<Bytes, NodeError> {
        let (status, body) = self.send(request).await?;
        match status.is_success() {
            true => Ok(body),
            false => Err(self.refused(status, &body)),
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_by(&self.master_key, method, path)
    }

    /// A request that writes documents or settings of an index.
    fn writing(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_by(self.writer.as_ref().unwrap_or(&self.master_key), method, path)
    }

    fn request_by(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        if key.is_empty() { request } else { request.bearer_auth(key) }
    }

    async fn send(&self, request: RequestBuilder) -> Result<(StatusCode, Bytes), NodeError> {
        if self.term.is_over() {
            return Err(NodeError::Store(StoreError::NotLeader));
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        Ok((status, body))
    }

    fn unreachable(&self, error: &reqwest::Error) -> NodeError {
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            reason = cause.to_string();
            source = cause.source();
        }
        NodeError::Unreachable { url: self.url.clone(), reason }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> NodeError {
        let text = || Value::String(String::from_utf8_lossy(body).into_owned());
        let body = serde_json::from_slice(body).unwrap_or_else(|_| text());
        NodeError::Refused { url: self.url.clone(), status: status.as_u16(), body }
    }
}
