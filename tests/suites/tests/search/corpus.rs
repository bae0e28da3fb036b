//! Documents that tie nowhere: the last ranking rule tells any two apart.

use miroir_harness::Client;
use serde_json::{Value, json};

const WORDS: [&str; 24] = [
    "mirror", "mirrors", "miroir", "silver", "river", "night", "garden", "winter", "summer", "storm",
    "letter", "stranger", "house", "houses", "ocean", "king", "queen", "king's", "train", "station", "glass",
    "shadow", "light", "midnight",
];
const GENRES: [&str; 6] = ["Drama", "comedy", "Thriller", "été", "Etude", "Western"];

fn words(random: &mut fastrand::Rng, count: usize) -> String {
    (0..count).map(|_| WORDS[random.usize(..WORDS.len())]).collect::<Vec<_>>().join(" ")
}

fn films() -> Vec<Value> {
    let mut random = fastrand::Rng::with_seed(7);
    let film = |id: usize| {
        let genres: Vec<&str> =
            (0..=random.usize(..2)).map(|_| GENRES[random.usize(..GENRES.len())]).collect();
        let mut film = json!({
            "id": id,
            "title": words(&mut random, 2),
            "overview": words(&mut random, 12),
            "genres": genres,
            "year": 1950 + random.usize(..60),
            "studio": format!("studio {}", random.usize(..25)),
            "rank": (id * 7919) % 100_003,
            "_geo": { "lat": random.f32() * 60.0, "lng": random.f32() * 60.0 },
        });
        if id.is_multiple_of(10) {
            film["_geo"] = Value::Null;
        }
        film
    };
    (0..240).map(film).collect()
}

/// How long a vector is: the engine finds all that are near, not most of them, where there are no more vectors.
pub const DIMENSIONS: usize = 64;

/// A vector.
pub fn vector(seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..DIMENSIONS).map(|_| f32::from(random.i8(-64..=64)) / 64.0).collect()
}

fn scenes() -> Vec<Value> {
    let mut random = fastrand::Rng::with_seed(13);
    let scene = |id: usize| {
        // Some have no vector.
        let vector = if id.is_multiple_of(10) { Value::Null } else { json!(vector(id as u64)) };
        json!({
            "id": id,
            "title": words(&mut random, 2),
            "overview": words(&mut random, 8),
            "genres": [GENRES[random.usize(..GENRES.len())]],
            "year": 1950 + random.usize(..60),
            "studio": format!("studio {}", random.usize(..12)),
            "rank": (id * 7901 + 2) % 100_003,
            "_vectors": { "v": vector },
        })
    };
    (0..60).map(scene).collect()
}

fn books() -> Vec<Value> {
    let mut random = fastrand::Rng::with_seed(11);
    let book = |id: usize| {
        json!({
            "isbn": format!("b-{id}"),
            "title": words(&mut random, 3),
            "genres": [GENRES[random.usize(..GENRES.len())]],
            "year": 1900 + random.usize(..100),
            "studio": format!("studio {}", random.usize(..25)),
            "secret": random.usize(..1000),
            "rank": (id * 7907 + 1) % 100_003,
        })
    };
    (0..120).map(book).collect()
}

/// Makes the indexes `films`, `scenes`, `books`, and `bare`, which has no documents.
pub async fn index(client: Client) {
    let rules = json!(["words", "typo", "proximity", "attribute", "sort", "exactness", "rank:asc"]);
    let films_settings = json!({
        "rankingRules": rules,
        "filterableAttributes": ["genres", "year", "studio", "_geo"],
        "sortableAttributes": ["year", "studio", "_geo", "rank"],
    });
    let scenes_settings = json!({
        "rankingRules": rules,
        "filterableAttributes": ["genres", "year", "studio"],
        "sortableAttributes": ["year", "rank"],
        "embedders": { "v": { "source": "userProvided", "dimensions": DIMENSIONS } },
    });
    let books_settings = json!({
        "rankingRules": rules,
        "filterableAttributes": ["genres", "year", "studio", "secret"],
        "sortableAttributes": ["year", "secret", "rank"],
        "displayedAttributes": ["title", "genres", "year"],
        "faceting": { "maxValuesPerFacet": 4, "sortFacetValuesBy": { "genres": "count" } },
        "pagination": { "maxTotalHits": 30 },
    });
    for (uid, primary_key, settings, documents) in [
        ("films", "id", films_settings, films()),
        ("scenes", "id", scenes_settings, scenes()),
        ("books", "isbn", books_settings, books()),
        ("bare", "id", json!({}), Vec::new()),
    ] {
        let index = client.create_index(uid, Some(primary_key)).await.unwrap();
        index.update_settings(&settings).await.unwrap();
        if !documents.is_empty() {
            index.add_documents(&documents).await.unwrap();
        }
    }
}
