//! Merging three answers of 1,000 hits.

use std::hint::black_box;

use miroir_core::search::answer::NodeAnswer;
use miroir_core::search::hit::Reading;
use miroir_core::search::index_search::Found;
use miroir_core::search::merge::merge;
use miroir_core::search::query::SearchQuery;
use miroir_core::table::IndexFacts;
use serde_json::json;

use crate::splitting::document;

const NODES: u64 = 3;
/// In each answer.
pub const HITS: u64 = 1_000;

/// Answers of nodes and the search that they answer.
pub struct Merging {
    answers: Vec<Vec<u8>>,
    query: SearchQuery,
    facts: IndexFacts,
}

impl Merging {
    /// A search that returns `limit` hits.
    pub fn new(limit: u64) -> Merging {
        let facts = IndexFacts::default();
        let query = json!({"q": "x", "limit": limit});
        let query = SearchQuery::parse(query.as_object().cloned().unwrap_or_default(), &facts);
        Merging { answers: (0..NODES).map(answer).collect(), query: query.expect("a query"), facts }
    }

    /// The answers, of which a merge takes possession.
    pub fn answers(&self) -> Vec<Vec<u8>> {
        self.answers.clone()
    }

    /// Reads and merges them.
    pub fn run(&self, answers: Vec<Vec<u8>>) {
        let reading = Reading { ranked: true, ..Reading::default() };
        let answers = answers.into_iter().filter_map(|body| NodeAnswer::read(body, &reading).ok());
        let found: Vec<Found> = answers.map(Found::from).collect();
        black_box(merge(&self.query, &self.facts, &found).ok());
    }
}

fn answer(node: u64) -> Vec<u8> {
    let hit = |place: u64| {
        let mut hit = document(place * NODES + node);
        hit["_miroir_shard"] = "⸀⸁".into();
        hit["_rankingScore"] = json!(1.0 - place as f64 / HITS as f64);
        hit
    };
    json!({
        "hits": (0..HITS).map(hit).collect::<Vec<_>>(), "query": "x", "processingTimeMs": 3,
        "limit": HITS, "offset": 0, "estimatedTotalHits": HITS
    })
    .to_string()
    .into_bytes()
}
