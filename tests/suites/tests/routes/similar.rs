//! `/indexes/{index_uid}/similar`.

use serde_json::json;

use crate::step::{delete, get, patch, post};
use crate::trio::same;

#[tokio::test]
async fn documents_near_another_are_found() {
    same([
        patch(
            "/indexes/near/settings",
            json!({
                "embedders": { "e": { "source": "userProvided", "dimensions": 2 } }, "filterableAttributes": ["title"],
            }),
        ),
        post(
            "/indexes/near/documents",
            json!([
                { "id": 1, "title": "north", "_vectors": { "e": [0.0, 1.0] } },
                { "id": 2, "title": "east", "_vectors": { "e": [1.0, 0.0] } },
                { "id": 3, "title": "north east", "_vectors": { "e": [0.6, 0.8] } },
                { "id": 4, "title": "west", "_vectors": { "e": [-1.0, 0.1] } },
            ]),
        ),
        post("/indexes/near/similar", json!({ "id": 1, "embedder": "e", "showRankingScore": true })),
        post("/indexes/near/similar", json!({ "id": "1", "embedder": "e", "limit": 1, "offset": 1 })),
        post("/indexes/near/similar", json!({ "id": 1, "embedder": "e", "filter": "title != east" })),
        post("/indexes/near/similar", json!({ "id": 1, "embedder": "e", "attributesToRetrieve": ["title"] })),
        post("/indexes/near/similar", json!({ "id": 1, "embedder": "e", "retrieveVectors": true, "limit": 1 })),
        get("/indexes/near/similar?id=1&embedder=e&rankingScoreThreshold=0.6"),
        get("/indexes/near/similar?id=1"),
        post("/indexes/near/similar", json!({ "id": 99, "embedder": "e" })),
        post("/indexes/near/similar", json!({ "id": 1, "embedder": "nope" })),
        post("/indexes/near/similar", json!({ "id": "a b", "embedder": "e" })),
        post("/indexes/never_near/similar", json!({ "id": 1, "embedder": "e" })),
        delete("/indexes/near"),
    ])
    .await;
}
