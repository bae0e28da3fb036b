//! Documents, and searches of which every total is known.

use miroir_harness::{Answer, Client, Cluster, Index};
use serde_json::{Value, json};

pub const COUNT: u64 = 240;

pub fn film(id: u64, edition: u64) -> Value {
    json!({ "id": id, "title": format!("film {id}"), "genre": format!("g{}", id % 4), "edition": edition })
}

pub fn films(edition: u64) -> Vec<Value> {
    (0..COUNT).map(|id| film(id, edition)).collect()
}

/// An index with all films in their first edition.
pub async fn prepare(cluster: &Cluster) -> Index {
    let index = cluster.client().create_index("films", Some("id")).await.unwrap();
    let settings = json!({ "filterableAttributes": ["genre", "edition"], "sortableAttributes": ["id"] });
    index.update_settings(&settings).await.unwrap();
    index.add_documents(&films(1)).await.unwrap();
    index
}

/// A search that finds all films; the number makes it another query, and so perhaps one for other replicas.
pub async fn search(client: &Client, number: usize) -> Answer {
    let query = json!({
        "q": "film", "facets": ["genre"], "sort": ["id:asc"], "limit": COUNT, "highlightPreTag": format!("<{number}>"),
    });
    client.post("/indexes/films/search", &query).await.unwrap()
}

/// Sees to it that an answer is whole: all films, each once, in order, with the right counts, and fresh.
#[track_caller]
pub fn check_whole(answer: &Answer) {
    let found = answer.ok().unwrap();
    assert_eq!(answer.header("x-miroir-degraded"), None);
    let ids: Vec<u64> =
        found["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (0..COUNT).collect::<Vec<u64>>());
    assert_eq!(found["estimatedTotalHits"], COUNT);
    let each = COUNT / 4;
    assert_eq!(
        found["facetDistribution"]["genre"],
        json!({ "g0": each, "g1": each, "g2": each, "g3": each })
    );
}
