//! What Miroir does not do, or not yet: refused, with what to do instead.

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::any;
use miroir_core::error::not_supported;

use super::{Api, Failure};

/// Paths, and what to do instead of a request to them.
const REFUSED: &[(&[&str], &str)] = &[
    (
        &["/network", "/network/{*rest}"],
        "Miroir spreads indexes over nodes itself, see `GET /_miroir/topology` on the admin port.",
    ),
    (
        &["/export"],
        "Miroir can't export. Read the documents page by page from `GET /indexes/{uid}/documents`.",
    ),
    (
        &["/logs/stream", "/logs/stderr"],
        "Miroir has no log routes. Read the logs of Envoy, the control plane and the nodes where they run.",
    ),
    (
        &["/chats", "/chats/{*rest}"],
        "Miroir does not do chat completions. Search with Miroir, and call the language model from your application.",
    ),
    (
        &["/keys", "/keys/{key}"],
        "Miroir can't manage keys yet. Create the key with one `uid` on every node, which makes it the same key everywhere.",
    ),
    (&["/dumps"], "Miroir can't create dumps yet. Read the documents from `GET /indexes/{uid}/documents`."),
    (&["/snapshots"], "Miroir can't create snapshots yet. Create one on every node."),
    (
        &["/tasks/compact"],
        "Miroir can't compact queues of tasks: it needs a restart of the node. Compact and restart node by node.",
    ),
    (&["/tasks/{uid}/documents"], "Miroir does not keep the documents of tasks."),
    (
        &["/experimental-features"],
        "Miroir can't switch experimental features yet. Switch them on every node.",
    ),
    (
        &["/webhooks", "/webhooks/{uuid}"],
        "Miroir has no webhooks yet. Wait for tasks with `GET /tasks/{uid}`.",
    ),
    (&["/dynamic-search-rules", "/dynamic-search-rules/{*rest}"], "Miroir has no dynamic search rules yet."),
    (&["/metrics"], "Metrics are on the admin port: `GET /metrics` there."),
];

pub fn routes() -> Router<Api> {
    let routes = REFUSED.iter().flat_map(|(paths, instead)| paths.iter().map(move |path| (*path, *instead)));
    routes.fold(Router::new(), |router, (path, instead)| {
        router.route(
            path,
            any(async move |State(api): State<Api>, headers: HeaderMap| -> Result<(), Failure> {
                // Whoever may not use Meilisearch need not know what Miroir does.
                api.authorize(&headers, "version", None).await?;
                Err(not_supported(instead).into())
            }),
        )
    })
}
