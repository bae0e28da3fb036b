//! `Idempotency-Key`: who repeats a request gets the answer to the first one.

use std::time::Duration;

use axum::Json;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use miroir_core::idempotency::{REPLAYED_HEADER, key_in_use, key_reused};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::Failure;
use super::settings::version;
use crate::cluster::Cluster;
use crate::store::{KnownAnswer, UsedKey};
use crate::tasks::claims::Claim;
use crate::tasks::{expiry, kind, view};

/// How long a request waits for another with its key to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// What there is of a key when a request with it begins.
pub enum Begun {
    /// Nothing: it is this request's as long as it lasts.
    Claimed(Claim),
    /// An answer.
    Answered(KnownAnswer),
}

/// What a client's key is known by: clients with other keys to the API have other idempotency keys, too. As a digest it
/// has one size and tells nothing.
pub fn id(headers: &HeaderMap, key: &str) -> String {
    let client = headers.get(AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    let digest = Sha256::new().chain_update((client.len() as u64).to_le_bytes());
    hex::encode(digest.chain_update(client).chain_update(key).finalize())
}

/// Begins a request with a key: alone of all with this key, or with the answer to the first.
pub async fn begin(cluster: &Cluster, id: &str) -> Result<Begun, Failure> {
    // Who has begun a write and has died is waited for as long as elsewhere.
    let forget = Duration::from_millis(cluster.config.rebalance.write_patience_ms);
    let patience = cluster.config.wait(PATIENCE);
    let claim = cluster.claims.claim(id, patience, forget).await.ok_or_else(key_in_use)?;
    Ok(match cluster.store.first_answer(id, OffsetDateTime::now_utc()).await? {
        Some(known) => Begun::Answered(known),
        None => Begun::Claimed(claim),
    })
}

/// What is to be saved with the task.
pub fn used_key(cluster: &Cluster, id: String, fingerprint: String) -> UsedKey {
    UsedKey { id, fingerprint, expires_at: expiry::after(cluster.config.idempotency.ttl_ms) }
}

/// The first answer again, if it was one to the same request.
pub fn repeat(known: &KnownAnswer, fingerprint: &str) -> Response {
    if known.fingerprint != fingerprint {
        return Failure::from(key_reused()).into_response();
    }
    let status = match known.task.kind.as_str() {
        kind::TASK_CANCELATION | kind::TASK_DELETION => StatusCode::OK,
        _ => StatusCode::ACCEPTED,
    };
    let version = version(known.task.settings_version);
    (status, [(REPLAYED_HEADER, "true")], version, Json(view::summary(known.task.clone()))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_keys() {
        let headers = |authorization: &str| {
            HeaderMap::from_iter([(AUTHORIZATION, authorization.parse().expect("a header"))])
        };
        let (a, b) = (headers("Bearer a"), headers("Bearer b"));
        assert_eq!(id(&a, "k"), id(&a, "k"));
        let ids = [
            id(&a, "k"),
            id(&a, "l"),
            id(&b, "k"),
            id(&HeaderMap::new(), "k"),
            id(&headers("Bearer ak"), ""),
        ];
        let distinct = std::collections::BTreeSet::from(ids.clone());
        assert_eq!(distinct.len(), ids.len());
        assert!(ids.iter().all(|id| id.len() == 64));
    }
}
