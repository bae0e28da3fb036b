//! `GET /_miroir/openapi.json`.

use axum::Json;
use serde::Serialize;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

/// An error, in Meilisearch's shape.
#[derive(Serialize, ToSchema)]
pub struct Error {
    /// What went wrong and what to do, for a person.
    message: String,
    /// The stable name of the error.
    code: String,
    /// The kind of the error.
    #[serde(rename = "type")]
    kind: String,
    /// Where the code is explained.
    link: String,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Miroir", description = "The REST API of Miroir's control plane."),
    paths(
        super::topology::topology,
        super::changes::update_topology,
        super::changes::add_node,
        super::changes::update_node,
        super::changes::remove_node,
        super::changes::drain_node,
        super::changes::replace_node,
        super::changes::trust_node,
        super::changes::add_group,
        super::changes::remove_group,
        super::changes::rebalance,
        super::rebalance::status,
        super::rebalance::pause,
        super::rebalance::resume,
        super::rebalance::cancel,
        super::adopt::one,
        super::adopt::all,
        super::aliases::list,
        super::aliases::one,
        super::aliases::set,
        super::aliases::roll_back,
        super::aliases::remove,
        super::anti_entropy::begin,
        super::anti_entropy::report,
        super::shards::shards,
        super::tasks::task,
        super::ready::ready,
        super::metrics::metrics,
        openapi,
    ),
    components(schemas(Error)),
    tags(
        (name = "cluster", description = "What the cluster is made of and how it is."),
        (name = "topology", description = "What the cluster is made of, changed while it runs."),
        (name = "rebalance", description = "How shards get to where the topology wants them."),
        (name = "aliases", description = "Names that stand for indexes."),
        (name = "tasks", description = "What nodes do for tasks."),
    ),
    modifiers(&AdminKey),
)]
struct Api;

struct AdminKey;

impl Modify for AdminKey {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("The admin key.")).build();
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("adminKey", SecurityScheme::Http(scheme));
    }
}

/// Tells what this API is.
#[utoipa::path(
    get, path = "/_miroir/openapi.json", tag = "cluster", operation_id = "getOpenApi",
    responses((status = 200, description = "This document, as OpenAPI 3.1", body = Object))
)]
pub async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Api::openapi())
}
