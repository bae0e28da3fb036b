//! What Miroir does not do, or not yet: refused, with what to do instead.

use axum::Router;
use axum::extract::{RawPathParams, State};
use axum::http::HeaderMap;
use axum::routing::{MethodFilter, on};
use miroir_core::error::not_supported;

use super::{Api, Failure};

/// Paths; the methods that Meilisearch has for them, each with the action that a key must allow; and what to do
/// instead.
type Refused = (&'static [&'static str], &'static [(MethodFilter, &'static str)], &'static str);

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;
const PATCH: MethodFilter = MethodFilter::PATCH;
const DELETE: MethodFilter = MethodFilter::DELETE;

const REFUSED: &[Refused] = &[
    (
        &["/network"],
        &[(GET, "network.get"), (PATCH, "network.update")],
        "Miroir spreads indexes over nodes itself: see `GET /_miroir/topology` on the control plane's admin port.",
    ),
    (
        &["/network/control"],
        &[(POST, "network.update")],
        "Miroir spreads indexes over nodes itself: see `GET /_miroir/topology` on the control plane's admin port.",
    ),
    (
        &["/export"],
        &[(POST, "export")],
        "Miroir can't export to another server. Read the documents page by page from `GET /indexes/{uid}/documents` \
         and add them there.",
    ),
    (
        &["/logs/stream"],
        &[(POST, "metrics.get"), (DELETE, "metrics.get")],
        "Miroir has no log routes. Read the logs of Envoy, the control plane and the nodes where they run.",
    ),
    (
        &["/logs/stderr"],
        &[(POST, "metrics.get")],
        "Miroir has no log routes. Set what is logged where Envoy, the control plane (`--log`) and the nodes are started.",
    ),
    (
        &["/chats"],
        &[(GET, "chats.get")],
        "Miroir does not do chat completions. Search with Miroir, and call the language model from your application.",
    ),
    (
        &["/chats/{workspace}"],
        &[(GET, "chats.get"), (DELETE, "chats.delete")],
        "Miroir does not do chat completions. Search with Miroir, and call the language model from your application.",
    ),
    (
        &["/chats/{workspace}/chat/completions"],
        &[(POST, "chatCompletions")],
        "Miroir does not do chat completions. Search with Miroir, and call the language model from your application.",
    ),
    (
        &["/chats/{workspace}/settings"],
        &[(GET, "chatsSettings.get"), (PATCH, "chatsSettings.update"), (DELETE, "chatsSettings.update")],
        "Miroir does not do chat completions. Search with Miroir, and call the language model from your application.",
    ),
    (
        &["/metrics"],
        &[(GET, "metrics.get")],
        "Each part has metrics of its own: the control plane at `GET /metrics` on its admin port, Envoy and the \
         filter at `/stats/prometheus` on Envoy's admin interface, each node at its own `/metrics`.",
    ),
    (
        &["/swap-indexes"],
        &[(POST, "indexes.swap")],
        "Miroir can't swap indexes yet. Add the documents to the index that is to serve them.",
    ),
    (
        &["/batches", "/batches/{batch}"],
        &[(GET, "tasks.get")],
        "Miroir has no batches yet. See `GET /tasks`.",
    ),
    (&["/tasks/cancel"], &[(POST, "tasks.cancel")], "Miroir can't cancel tasks yet."),
    (&["/tasks/compact"], &[(POST, "tasks.compact")], "Miroir can't compact the queue of tasks yet."),
    (&["/tasks/{task}/documents"], &[(GET, "tasks.get")], "Miroir does not keep the documents of tasks."),
    (
        &["/indexes/{uid}/compact"],
        &[(POST, "indexes.compact")],
        "Miroir can't compact indexes yet. Compact the index on every node.",
    ),
    (
        &["/indexes/{uid}/fields"],
        &[(POST, "fields.post")],
        "Miroir can't list fields yet. See `fieldDistribution` in `GET /indexes/{uid}/stats`.",
    ),
];

pub fn routes() -> Router<Api> {
    let routes = REFUSED.iter().flat_map(|(paths, methods, instead)| {
        let paths = paths.iter();
        paths.flat_map(move |path| {
            methods.iter().map(move |(method, action)| (*path, *method, *action, *instead))
        })
    });
    routes.fold(Router::new(), |router, (path, method, action, instead)| {
        let refuse = async move |State(api): State<Api>,
                                 parameters: RawPathParams,
                                 headers: HeaderMap|
                    -> Result<(), Failure> {
            // Whoever may not use Meilisearch need not know what Miroir does.
            let index = parameters.iter().find(|(name, _)| *name == "uid").map(|(_, uid)| uid);
            api.authorize(&headers, action, index).await?;
            Err(not_supported(instead).into())
        };
        router.route(path, on(method, refuse))
    })
}
