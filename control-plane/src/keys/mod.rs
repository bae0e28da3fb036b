//! API keys: the same on every node, by uid. Meilisearch derives a key's value from its uid and the master key, so
//! it is the same everywhere too.
//!
//! The store is right about which keys there are and when they were made; nodes are brought in step with it.

mod nodes;
mod own;

pub use nodes::{are_lost, bring_in_step};
pub use own::{reader, value_on_nodes, writer};

use hmac::{Hmac, KeyInit, Mac};
use miroir_core::error::{ApiError, ErrorType, no_quorum};
use serde_json::Value;
use sha2::Sha256;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::api::Failure;
use crate::cluster::Cluster;
use crate::indexes::settings::ask_any;
use crate::instance::converge;
use crate::store::{KeyRecord, StoreError};

/// The value of a key: what a client sends as its bearer token.
pub fn value(master_key: &str, uid: Uuid) -> String {
    hex::encode(mac(master_key, uid).finalize().into_bytes())
}

/// The uid of the key with this value, if there is one.
///
/// # Errors
/// If the store fails.
pub async fn uid_of_value(cluster: &Cluster, value: &str) -> Result<Option<Uuid>, StoreError> {
    let Ok(value) = hex::decode(value) else { return Ok(None) };
    let master_key = cluster.config.master_key.expose();
    let keys = cluster.store.keys().await?;
    let is_its = |key: &&KeyRecord| mac(master_key, key.uid).verify_slice(&value).is_ok();
    Ok(keys.iter().find(is_its).map(|key| key.uid))
}

fn mac(master_key: &str, uid: Uuid) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(master_key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(uid.hyphenated().to_string().as_bytes());
    mac
}

/// The key with this uid or value.
///
/// # Errors
/// Meilisearch's `api_key_not_found` if there is none, or if the store fails.
pub async fn find(cluster: &Cluster, uid_or_value: &str) -> Result<KeyRecord, Failure> {
    let (uid, name) = match Uuid::parse_str(uid_or_value) {
        Ok(uid) => (Some(uid), uid.to_string()),
        Err(_) => (uid_of_value(cluster, uid_or_value).await?, uid_or_value.to_owned()),
    };
    let key = match uid {
        Some(uid) => cluster.store.key(uid).await?,
        None => None,
    };
    key.ok_or_else(|| {
        let message = format!("API key `{name}` not found.");
        ApiError::new(404, "api_key_not_found", ErrorType::InvalidRequest, message).into()
    })
}

/// Creates a key from the body of a request: a node judges it, and all get the same.
///
/// # Errors
/// A node's own where it refuses the body; if no node can be reached; if the store fails.
pub async fn create(cluster: &Cluster, mut body: Value) -> Result<KeyRecord, Failure> {
    if let Some(fields) = body.as_object_mut() {
        // Else each node would choose its own.
        fields.entry("uid").or_insert_with(|| Uuid::new_v4().to_string().into());
    }
    let body = &body;
    let _one_at_a_time = cluster.instance.lock().await;
    let (_, key) = ask_any(cluster, |client| async move { client.create_key(body).await }).await?;
    if cluster.store.key(key.uid).await?.is_some() {
        // The node had lost it.
        converge(cluster, |node, client| async move { bring_in_step(cluster, &node, &client).await }).await;
        let message = format!("`uid` field value `{}` is already an existing API key.", key.uid);
        return Err(ApiError::new(409, "api_key_already_exists", ErrorType::InvalidRequest, message).into());
    }
    cluster.store.save_key(&key).await?;
    converge(cluster, |node, client| async move { bring_in_step(cluster, &node, &client).await }).await;
    Ok(key)
}

/// A change of a key's name and description: `None` leaves them, `Some(None)` removes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// What its users call it.
    pub name: Option<Option<String>>,
    /// What it is for.
    pub description: Option<Option<String>>,
}

/// Changes a key's name and description.
///
/// # Errors
/// If there is no such key, no node is up, or the store fails.
pub async fn describe(
    cluster: &Cluster,
    uid_or_value: &str,
    change: Description,
) -> Result<KeyRecord, Failure> {
    let _one_at_a_time = cluster.instance.lock().await;
    let mut key = find(cluster, uid_or_value).await?;
    check_some_up(cluster).await?;
    if let Some(name) = change.name {
        key.name = name;
    }
    if let Some(description) = change.description {
        key.description = description;
    }
    key.updated_at = OffsetDateTime::now_utc();
    cluster.store.save_key(&key).await?;
    converge(cluster, |node, client| async move { bring_in_step(cluster, &node, &client).await }).await;
    Ok(key)
}

/// Deletes a key.
///
/// # Errors
/// If there is no such key, no node is up, or the store fails.
pub async fn delete(cluster: &Cluster, uid_or_value: &str) -> Result<(), Failure> {
    let _one_at_a_time = cluster.instance.lock().await;
    let key = find(cluster, uid_or_value).await?;
    check_some_up(cluster).await?;
    cluster.store.delete_key(key.uid).await?;
    converge(cluster, |node, client| async move { bring_in_step(cluster, &node, &client).await }).await;
    Ok(())
}

async fn check_some_up(cluster: &Cluster) -> Result<(), ApiError> {
    match cluster.up_clients().await.is_empty() {
        true => Err(no_quorum("no node could be reached")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_meilisearch() {
        // printf %s 6062abda-a5aa-4414-ac91-ecd7944c0f8d | openssl dgst -sha256 -hmac masterKey
        let uid = Uuid::parse_str("6062abda-a5aa-4414-ac91-ecd7944c0f8d").unwrap();
        assert_eq!(
            value("masterKey", uid),
            "0d030b69eea2dde1af6e6b714146c4dc942d4b2725c173e5d132c60aad9782f5"
        );
    }
}
