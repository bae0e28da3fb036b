//! What is asked of a node about documents, to copy and to compare them.

use std::time::Duration;

use miroir_core::documents::id::inspect;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Bytes, NodeClient, NodeError, Page};

/// A list of ids may be tens of megabytes, and a chunk of documents has to be read from disk.
const TIMEOUT: Duration = Duration::from_secs(300);
/// More than an index can hold.
const ALL: u32 = u32::MAX;

/// A document as a node shows it.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its id as text.
    pub id: String,
    /// All of it, the tag and the vectors included.
    pub json: Box<RawValue>,
}

/// Documents, and how long the node's answer was that held them.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    /// The documents, in the node's order.
    pub documents: Vec<Document>,
    /// The length of the answer.
    pub bytes: usize,
}

impl NodeClient {
    /// The ids of all documents that match a filter, at one moment.
    ///
    /// # Errors
    /// [`NodeError`] if they could not be read.
    pub async fn ids_where(
        &self,
        uid: &str,
        primary_key: &str,
        filter: &str,
    ) -> Result<Vec<String>, NodeError> {
        let body = json!({"filter": filter, "fields": [primary_key], "limit": ALL});
        let answer = self.fetch(uid, &body).await?;
        let primary_key = primary_key.to_owned();
        // A million of them keep a thread busy for a while.
        let ids = tokio::task::spawn_blocking(move || {
            let page: Page<&RawValue> = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
            page.results
                .into_iter()
                .map(|document| id_of(document, &primary_key))
                .collect::<Result<Vec<_>, _>>()
        });
        let ids = ids.await.map_err(|error| self.garbage(error.to_string()))?;
        ids.map_err(|reason| self.garbage(reason))
    }

    /// Those of the documents with these ids that the node has, with their vectors.
    ///
    /// # Errors
    /// [`NodeError`] if they could not be read.
    pub async fn documents(
        &self,
        uid: &str,
        primary_key: &str,
        ids: &[String],
    ) -> Result<Documents, NodeError> {
        if ids.is_empty() {
            return Ok(Documents::default());
        }
        let body = json!({"ids": ids, "limit": ids.len(), "retrieveVectors": true});
        self.documents_by(uid, primary_key, &body).await
    }

    /// Some fields of those of the documents with these ids that the node has.
    ///
    /// # Errors
    /// [`NodeError`] if they could not be read.
    pub async fn document_fields(
        &self,
        uid: &str,
        primary_key: &str,
        ids: &[String],
        fields: &[&str],
    ) -> Result<Documents, NodeError> {
        if ids.is_empty() {
            return Ok(Documents::default());
        }
        let body = json!({"ids": ids, "limit": ids.len(), "fields": fields});
        self.documents_by(uid, primary_key, &body).await
    }

    async fn documents_by(&self, uid: &str, primary_key: &str, body: &Value) -> Result<Documents, NodeError> {
        let answer = self.fetch(uid, body).await?;
        let page: Page<Box<RawValue>> =
            serde_json::from_slice(&answer).map_err(|error| self.garbage(error.to_string()))?;
        let documents =
            page.results.into_iter().map(|json| Ok(Document { id: id_of(&json, primary_key)?, json }));
        let documents = documents.collect::<Result<_, String>>().map_err(|reason| self.garbage(reason))?;
        Ok(Documents { documents, bytes: answer.len() })
    }

    /// Enqueues the addition of documents as they are; they replace those with the same ids.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn add_documents<'d>(
        &self,
        uid: &str,
        primary_key: &str,
        documents: impl IntoIterator<Item = &'d RawValue>,
    ) -> Result<u64, NodeError> {
        self.send_documents(Method::POST, uid, primary_key, documents).await
    }

    /// Enqueues the change of documents: fields that are not given stay as they are.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn update_documents<'d>(
        &self,
        uid: &str,
        primary_key: &str,
        documents: impl IntoIterator<Item = &'d RawValue>,
    ) -> Result<u64, NodeError> {
        self.send_documents(Method::PUT, uid, primary_key, documents).await
    }

    async fn send_documents<'d>(
        &self,
        method: Method,
        uid: &str,
        primary_key: &str,
        documents: impl IntoIterator<Item = &'d RawValue>,
    ) -> Result<u64, NodeError> {
        let mut lines = Vec::new();
        for document in documents {
            lines.extend_from_slice(document.get().as_bytes());
            lines.push(b'\n');
        }
        let request = self
            .writing(method, &format!("/indexes/{uid}/documents"))
            .query(&[("primaryKey", primary_key)])
            .header(CONTENT_TYPE, "application/x-ndjson")
            .timeout(TIMEOUT)
            .body(lines);
        self.enqueue_by_writer(request).await
    }

    /// Enqueues the deletion of documents by their ids. It is no error if some are not there.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn delete_documents(&self, uid: &str, ids: &[String]) -> Result<u64, NodeError> {
        let path = format!("/indexes/{uid}/documents/delete-batch");
        self.enqueue(Method::POST, &path, Some(&json!(ids))).await
    }

    /// Enqueues the deletion of the documents that match a filter.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn delete_documents_where(&self, uid: &str, filter: &str) -> Result<u64, NodeError> {
        let path = format!("/indexes/{uid}/documents/delete");
        self.enqueue(Method::POST, &path, Some(&json!({"filter": filter}))).await
    }

    async fn fetch(&self, uid: &str, body: &Value) -> Result<Bytes, NodeError> {
        let request = self.request(Method::POST, &format!("/indexes/{uid}/documents/fetch"));
        self.success_of(request.timeout(TIMEOUT).json(body)).await
    }

    fn garbage(&self, reason: String) -> NodeError {
        NodeError::Garbage { url: self.url.clone(), reason }
    }
}

fn id_of(document: &RawValue, primary_key: &str) -> Result<String, String> {
    let inspected = inspect(document.get(), primary_key).map_err(|error| error.to_string())?;
    inspected.id.map_err(|_| format!("a document has no id at `{primary_key}`"))
}
