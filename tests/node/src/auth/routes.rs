//! What each route asks of a key.

use axum::http::Method;

/// The action that a request needs; nothing for what is open to all or no route.
pub fn action(method: &Method, route: &str) -> Option<&'static str> {
    let is_get = *method == Method::GET;
    Some(match route {
        "/version" => "version",
        "/stats" | "/indexes/{uid}/stats" => "stats.get",
        "/tasks/cancel" => "tasks.cancel",
        "/tasks" if *method == Method::DELETE => "tasks.delete",
        "/tasks" | "/tasks/{uid}" => "tasks.get",
        "/keys" | "/keys/{key}" => match method.as_str() {
            "POST" => "keys.create",
            "PATCH" => "keys.update",
            "DELETE" => "keys.delete",
            _ => "keys.get",
        },
        "/swap-indexes" => "indexes.swap",
        "/multi-search" => "search",
        "/indexes" | "/indexes/{uid}" => match method.as_str() {
            "POST" => "indexes.create",
            "PATCH" => "indexes.update",
            "DELETE" => "indexes.delete",
            _ => "indexes.get",
        },
        "/indexes/{uid}/search" | "/indexes/{uid}/facet-search" => "search",
        "/indexes/{uid}/documents/fetch" => "documents.get",
        "/indexes/{uid}/documents/delete" | "/indexes/{uid}/documents/delete-batch" => "documents.delete",
        "/indexes/{uid}/documents" | "/indexes/{uid}/documents/{id}" => match method.as_str() {
            "POST" | "PUT" => "documents.add",
            "DELETE" => "documents.delete",
            _ => "documents.get",
        },
        _ if route.starts_with("/indexes/{uid}/settings") && is_get => "settings.get",
        _ if route.starts_with("/indexes/{uid}/settings") => "settings.update",
        _ => return None,
    })
}
