//! Webhooks: addresses that are told of finished tasks. They are the cluster's own, unknown to the nodes: a client
//! is told of each of its tasks once, by the uid that it knows, and not of what each node does for it.

pub mod notify;

use std::collections::BTreeMap;

use axum::http::{HeaderName, HeaderValue};
use miroir_core::error::{ApiError, ErrorType};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use crate::api::Failure;
use crate::cluster::Cluster;
use crate::store::Webhook;

/// Meilisearch's own limits.
const MOST_WEBHOOKS: usize = 20;
const MOST_HEADERS: usize = 200;

/// A change of a webhook: `None` leaves a part as it is, `Some(None)` removes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The address.
    pub url: Option<Option<String>>,
    /// The headers, which are changed one by one.
    pub headers: Option<Option<BTreeMap<String, Option<String>>>>,
}

impl Change {
    /// Reads the body of a request; `None` if it is not one that Meilisearch takes.
    pub fn read(body: &Value) -> Option<Change> {
        let mut change = Change::default();
        for (name, value) in body.as_object()? {
            match name.as_str() {
                "url" => change.url = Some(serde_json::from_value(value.clone()).ok()?),
                "headers" => change.headers = Some(serde_json::from_value(value.clone()).ok()?),
                _ => return None,
            }
        }
        Some(change)
    }

    fn apply(self, uuid: Uuid, webhook: Webhook) -> Result<Webhook, ApiError> {
        let Webhook { mut url, mut headers } = webhook;
        match self.url {
            Some(Some(new)) => url = new,
            Some(None) => return Err(missing_url(uuid)),
            None => {}
        }
        match self.headers {
            Some(Some(changes)) => {
                for (name, value) in changes {
                    match value {
                        Some(value) => drop(headers.insert(name, value)),
                        None => drop(headers.remove(&name)),
                    }
                }
            }
            Some(None) => headers.clear(),
            None => {}
        }
        let webhook = Webhook { url, headers };
        check(uuid, &webhook)?;
        Ok(webhook)
    }
}

/// A webhook as Meilisearch shows it: what authorizes requests is hidden.
pub fn shown(uuid: Uuid, webhook: &Webhook) -> Value {
    let headers: BTreeMap<&str, String> = webhook
        .headers
        .iter()
        .map(|(name, value)| match name.eq_ignore_ascii_case("authorization") {
            true => (name.as_str(), redacted(value)),
            false => (name.as_str(), value.clone()),
        })
        .collect();
    json!({"uuid": uuid, "isEditable": true, "url": webhook.url, "headers": headers})
}

/// A secret's first characters, the fewer the shorter it is.
fn redacted(secret: &str) -> String {
    let start = if secret.starts_with("Bearer ") { "Bearer ".len() } else { 0 };
    let (shown, mask) = match secret.len() - start {
        ..10 => (0, "XXX..."),
        10..20 => (2, "XXXX..."),
        20..30 => (3, "XXXXX..."),
        _ => (5, "XXXXXX..."),
    };
    let end = (start + shown..).find(|&end| secret.is_char_boundary(end)).unwrap_or(start);
    format!("{}{mask}", &secret[..end])
}

/// Registers a webhook.
///
/// # Errors
/// Meilisearch's own for one that it does not take or that is one too many, or if the store fails.
pub async fn create(cluster: &Cluster, change: Change) -> Result<(Uuid, Webhook), Failure> {
    let _one_at_a_time = cluster.instance.lock().await;
    let uuid = Uuid::new_v4();
    if change.headers.iter().flatten().any(|headers| headers.len() > MOST_HEADERS) {
        return Err(too_many_headers(uuid).into());
    }
    if cluster.store.webhooks().await?.len() >= MOST_WEBHOOKS {
        return Err(too_many_webhooks().into());
    }
    let Some(Some(url)) = change.url else { return Err(missing_url(uuid).into()) };
    let headers = change.headers.flatten().unwrap_or_default();
    let headers = headers.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
    let webhook = Webhook { url, headers };
    check(uuid, &webhook)?;
    cluster.store.save_webhook(uuid, &webhook).await?;
    Ok((uuid, webhook))
}

/// A webhook.
///
/// # Errors
/// Meilisearch's `webhook_not_found` if there is none, or if the store fails.
pub async fn find(cluster: &Cluster, uuid: Uuid) -> Result<Webhook, Failure> {
    cluster.store.webhooks().await?.remove(&uuid).ok_or_else(|| {
        let message = format!("Webhook `{uuid}` not found.");
        ApiError::new(404, "webhook_not_found", ErrorType::InvalidRequest, message).into()
    })
}

/// Changes a webhook.
///
/// # Errors
/// Meilisearch's own if there is none or it would not take it, or if the store fails.
pub async fn update(cluster: &Cluster, uuid: Uuid, change: Change) -> Result<Webhook, Failure> {
    check_editable(uuid)?;
    let _one_at_a_time = cluster.instance.lock().await;
    let webhook = change.apply(uuid, find(cluster, uuid).await?)?;
    cluster.store.save_webhook(uuid, &webhook).await?;
    Ok(webhook)
}

/// Removes a webhook.
///
/// # Errors
/// Meilisearch's own if there is none, or if the store fails.
pub async fn delete(cluster: &Cluster, uuid: Uuid) -> Result<(), Failure> {
    check_editable(uuid)?;
    let _one_at_a_time = cluster.instance.lock().await;
    find(cluster, uuid).await?;
    Ok(cluster.store.delete_webhook(uuid).await?)
}

/// The uuid in a path.
///
/// # Errors
/// Meilisearch's `invalid_webhook_uuid` if it is none.
pub fn parse_uuid(uuid: &str) -> Result<Uuid, ApiError> {
    uuid.parse()
        .map_err(|error: uuid::Error| refused("invalid_webhook_uuid", format!("Invalid UUID: {error}")))
}

fn check(uuid: Uuid, webhook: &Webhook) -> Result<(), ApiError> {
    if webhook.url.is_empty() {
        return Err(missing_url(uuid));
    }
    if webhook.headers.len() > MOST_HEADERS {
        return Err(too_many_headers(uuid));
    }
    for (name, value) in &webhook.headers {
        let refuse = |message| refused("invalid_webhook_headers", message);
        HeaderName::from_bytes(name.as_bytes())
            .map_err(|error| refuse(format!("Invalid header name `{name}`: {error}")))?;
        HeaderValue::from_str(value)
            .map_err(|error| refuse(format!("Invalid header value `{name}`: {error}")))?;
    }
    match Url::parse(&webhook.url) {
        Ok(_) => Ok(()),
        Err(error) => Err(refused("invalid_webhook_url", format!("Invalid URL `{}`: {error}", webhook.url))),
    }
}

/// Meilisearch gives the nil uuid to the webhook of its command line, which is none of the API's.
fn check_editable(uuid: Uuid) -> Result<(), ApiError> {
    match uuid.is_nil() {
        false => Ok(()),
        true => {
            let message = format!(
                "Webhook `{uuid}` is immutable. The webhook defined from the command line cannot be modified using the API."
            );
            Err(refused("immutable_webhook", message))
        }
    }
}

fn missing_url(uuid: Uuid) -> ApiError {
    refused("invalid_webhook_url", format!("The URL for the webhook `{uuid}` is missing."))
}

fn too_many_webhooks() -> ApiError {
    let message = "Defining too many webhooks would crush the server. Please limit the number of webhooks to 20. \
                   You may use a third-party proxy server to dispatch events to more than 20 endpoints.";
    refused("invalid_webhooks", message.to_owned())
}

fn too_many_headers(uuid: Uuid) -> ApiError {
    let message = format!(
        "Too many headers for the webhook `{uuid}`. Please limit the number of headers to 200. \
         Hint: To remove an already defined header set its value to `null`"
    );
    refused("invalid_webhook_headers", message)
}

fn refused(code: &'static str, message: String) -> ApiError {
    ApiError::new(400, code, ErrorType::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(body: Value) -> Result<Webhook, String> {
        let headers = [("a", "1"), ("b", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let webhook = Webhook { url: "http://before".to_owned(), headers: headers.into() };
        let change = Change::read(&body).ok_or("unreadable")?;
        change.apply(Uuid::from_u128(1), webhook).map_err(|error| error.message)
    }

    #[test]
    fn only_what_is_named_changes() {
        let changed = change(json!({"headers": {"a": null, "c": "3"}})).unwrap();
        assert_eq!(changed.url, "http://before");
        assert_eq!(
            changed.headers.into_iter().collect::<Vec<_>>(),
            [("b".to_owned(), "2".to_owned()), ("c".to_owned(), "3".to_owned())]
        );
        assert_eq!(change(json!({"url": "http://after"})).unwrap().url, "http://after");
        assert!(change(json!({"headers": null})).unwrap().headers.is_empty());
    }

    #[test]
    fn what_meilisearch_does_not_take_is_refused_in_its_words() {
        let refusal = |body| change(body).unwrap_err();
        assert_eq!(
            refusal(json!({"url": null})),
            "The URL for the webhook `00000000-0000-0000-0000-000000000001` is missing."
        );
        assert_eq!(refusal(json!({"url": "a"})), "Invalid URL `a`: relative URL without a base");
        assert_eq!(
            refusal(json!({"headers": {"é": "1"}})),
            "Invalid header name `é`: invalid HTTP header name"
        );
        assert_eq!(
            refusal(json!({"headers": {"a": "\n"}})),
            "Invalid header value `a`: failed to parse header value"
        );
        let many: BTreeMap<String, &str> = (0..200).map(|number| (format!("h{number}"), "")).collect();
        assert!(refusal(json!({"headers": many})).starts_with("Too many headers"));
        for body in [json!([]), json!({"uuid": "x"}), json!({"url": 1}), json!({"headers": {"a": 1}})] {
            assert_eq!(refusal(body), "unreadable");
        }
    }

    #[test]
    fn secrets_are_hidden() {
        for (secret, shown) in [
            ("short", "XXX..."),
            ("0123456789", "01XXXX..."),
            ("01234567890123456789", "012XXXXX..."),
            ("012345678901234567890123456789", "01234XXXXXX..."),
            ("Bearer 0123456789", "Bearer 01XXXX..."),
            ("Bearer ", "Bearer XXX..."),
            ("ééééé", "éXXXX..."),
        ] {
            assert_eq!(redacted(secret), shown);
        }
        let headers = BTreeMap::from([("AUTHORIZATION".to_owned(), "a secret".to_owned())]);
        let webhook = Webhook { url: "http://a".to_owned(), headers };
        assert_eq!(shown(Uuid::nil(), &webhook)["headers"]["AUTHORIZATION"], "XXX...");
    }
}
