//! What is asked of a node about its keys, its experimental features and its dynamic search rules.

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Bytes, NodeClient, NodeError, Page, StatusCode};
use crate::store::KeyRecord;

/// More than anyone has keys or rules.
const ALL: u32 = 1_000_000;

impl NodeClient {
    /// The version of Meilisearch that it runs.
    ///
    /// # Errors
    /// [`NodeError`] if it could not be read.
    pub async fn version(&self) -> Result<String, NodeError> {
        let version: Value = self.get("/version").await?;
        Ok(version["pkgVersion"].as_str().unwrap_or_default().to_owned())
    }

    /// The uids of all its indexes.
    ///
    /// # Errors
    /// [`NodeError`] if they could not be read.
    pub async fn index_uids(&self) -> Result<Vec<String>, NodeError> {
        let page: Page<Value> = self.get(&format!("/indexes?limit={ALL}")).await?;
        Ok(page.results.iter().filter_map(|index| index["uid"].as_str()).map(str::to_owned).collect())
    }

    /// All keys of the node.
    ///
    /// # Errors
    /// [`NodeError`] if they could not be read.
    pub async fn keys(&self) -> Result<Vec<KeyRecord>, NodeError> {
        let page: Page<KeyRecord> = self.get(&format!("/keys?limit={ALL}")).await?;
        Ok(page.results)
    }

    /// Creates a key from the body of a request, and returns it as the node understood it.
    ///
    /// # Errors
    /// [`NodeError`] if it was not created.
    pub async fn create_key(&self, body: &Value) -> Result<KeyRecord, NodeError> {
        self.call(Method::POST, "/keys", Some(body)).await
    }

    /// Changes a key's name and description.
    ///
    /// # Errors
    /// [`NodeError`] if they were not changed.
    pub async fn describe_key(&self, key: &KeyRecord) -> Result<(), NodeError> {
        let body = json!({"name": key.name, "description": key.description});
        self.success(Method::PATCH, &format!("/keys/{}", key.uid), Some(&body)).await.map(drop)
    }

    /// Deletes a key. It is no error if it isn't there.
    ///
    /// # Errors
    /// [`NodeError`] if it may still be there.
    pub async fn delete_key(&self, uid: Uuid) -> Result<(), NodeError> {
        match self.success(Method::DELETE, &format!("/keys/{uid}"), None).await {
            Err(error) if error.code() == Some("api_key_not_found") => Ok(()),
            result => result.map(drop),
        }
    }

    /// The experimental features.
    ///
    /// # Errors
    /// [`NodeError`] if they could not be read.
    pub async fn experimental_features(&self) -> Result<Map<String, Value>, NodeError> {
        self.get("/experimental-features").await
    }

    /// Changes experimental features and returns all of them.
    ///
    /// # Errors
    /// [`NodeError`] if they were not changed.
    pub async fn set_experimental_features(&self, changes: &Value) -> Result<Map<String, Value>, NodeError> {
        self.call(Method::PATCH, "/experimental-features", Some(changes)).await
    }

    /// All dynamic search rules; none if the node does not have that feature on.
    ///
    /// # Errors
    /// [`NodeError`] if they could not be read.
    pub async fn search_rules(&self) -> Result<Vec<Value>, NodeError> {
        let body = json!({"limit": ALL});
        match self.call::<Page<Value>>(Method::POST, "/dynamic-search-rules", Some(&body)).await {
            Ok(page) => Ok(page.results),
            Err(error) if error.code() == Some("feature_not_enabled") => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Reads one or more dynamic search rules.
    ///
    /// # Errors
    /// [`NodeError`] if they could not be read.
    pub async fn read_rules(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, NodeError> {
        self.call(method, path, body).await
    }

    /// Sends a client's request as it came, its key included, and returns the status and body of the answer.
    ///
    /// # Errors
    /// [`NodeError::Unreachable`] if there is no answer.
    pub async fn pass_on(
        &self,
        method: Method,
        path_and_query: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), NodeError> {
        let mut request = self.http.request(method, format!("{}{path_and_query}", self.url)).body(body);
        for name in [AUTHORIZATION, CONTENT_TYPE] {
            if let Some(value) = headers.get(&name) {
                request = request.header(name, value);
            }
        }
        self.send(request).await
    }
}
