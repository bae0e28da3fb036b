//! What the filter leaves to us although it is about documents or search: an alias stands for several indexes, so it is
//! refused, but only to whom may know of it.

use axum::Router;
use axum::extract::{RawPathParams, State};
use axum::http::HeaderMap;
use axum::routing::{MethodFilter, on};
use miroir_core::control::WriteKind;
use miroir_core::error::routing_stale;

use super::{Api, Failure};

/// Paths, each with its methods and the action that a key must allow.
fn refused() -> [(&'static str, MethodFilter, &'static str); 11] {
    use MethodFilter as M;
    let [add, delete, edit] =
        [WriteKind::DocumentAdditionOrUpdate, WriteKind::DocumentDeletion, WriteKind::DocumentEdition]
            .map(WriteKind::action);
    [
        ("/indexes/{uid}/documents", M::GET, "documents.get"),
        ("/indexes/{uid}/documents", M::POST.or(M::PUT), add),
        ("/indexes/{uid}/documents", M::DELETE, delete),
        ("/indexes/{uid}/documents/fetch", M::POST, "documents.get"),
        ("/indexes/{uid}/documents/delete-batch", M::POST, delete),
        ("/indexes/{uid}/documents/delete", M::POST, delete),
        ("/indexes/{uid}/documents/edit", M::POST, edit),
        ("/indexes/{uid}/documents/{id}", M::GET, "documents.get"),
        ("/indexes/{uid}/documents/{id}", M::DELETE, delete),
        ("/indexes/{uid}/facet-search", M::POST, "search"),
        ("/indexes/{uid}/similar", M::GET.or(M::POST), "search"),
    ]
}

pub fn routes() -> Router<Api> {
    refused().into_iter().fold(Router::new(), |router, (path, methods, action)| {
        let refuse = async move |State(api): State<Api>,
                                 parameters: RawPathParams,
                                 headers: HeaderMap|
                    -> Result<(), Failure> {
            let named = parameters.iter().find(|(name, _)| *name == "uid").map_or("", |(_, uid)| uid);
            api.authorize_index(&headers, action, named).await?;
            // By now it stands for one index, and the filter will hear of it in a moment.
            Err(routing_stale().into())
        };
        router.route(path, on(methods, refuse))
    })
}
