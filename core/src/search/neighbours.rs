//! The documents that are near to one, of all that nodes found near to its vectors.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::json::{self, NotJson, ObjectWriter};
use crate::search::answer::{NodeAnswer, RankedHit};
use crate::search::hit::HitView;
use crate::search::index_search::{Found, IndexSearch};
use crate::search::query::SearchQuery;
use crate::search::rank::{RankKey, Rule};
use crate::search::similar::{SimilarQuery, id_of};
use crate::table::IndexFacts;

/// A search whose hits show their ids.
///
/// # Errors
/// [`NotJson`] if it is none.
pub fn query(
    body: Map<String, Value>,
    facts: &IndexFacts,
    primary_key: Option<&String>,
) -> Result<SearchQuery, NotJson> {
    let mut query = SearchQuery::parse(body, facts).map_err(|_| NotJson)?;
    if let Some(primary_key) = primary_key {
        query.retrieve(primary_key);
    }
    Ok(query)
}

struct Neighbour<'a> {
    similarity: f64,
    id: String,
    answer: &'a NodeAnswer,
    hit: &'a RankedHit,
}

/// The client's answer. `checked` is what an owner answered to the same request; `found` is by node, and for each by
/// vector.
///
/// # Errors
/// [`NotJson`] if an answer is not what it seemed.
pub fn merge(
    wanted: &SimilarQuery,
    checked: &[u8],
    searches: &[IndexSearch],
    found: &[Vec<Found>],
) -> Result<Vec<u8>, NotJson> {
    let mut neighbours = Vec::new();
    // Without a filter all documents are candidates, itself too.
    let mut is_candidate = !wanted.is_filtered();
    for found in found.iter().flatten() {
        for hit in found.answer.hits() {
            let id = id_of(found.answer.hit_text(hit), &wanted.primary_key).ok_or(NotJson)?;
            if id == wanted.id {
                is_candidate = true;
            } else if let Some(similarity) = similarity(hit) {
                neighbours.push(Neighbour { similarity, id, answer: &found.answer, hit });
            }
        }
    }
    neighbours.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
    let mut seen = HashSet::new();
    neighbours.retain(|neighbour| seen.insert(neighbour.id.clone()));

    let candidates = found.iter().filter_map(|answers| answers.first()).map(|found| found.answer.total);
    let mut total = candidates.sum::<u64>().saturating_sub(is_candidate.into());
    let mut kept = Vec::new();
    for neighbour in neighbours.iter().skip(wanted.offset).take(wanted.limit) {
        if wanted.threshold.is_some_and(|threshold| neighbour.similarity < threshold) {
            // So is none after it.
            total = (wanted.offset + kept.len()) as u64;
            break;
        }
        kept.push(neighbour);
    }
    let total = total.min(wanted.facts.max_total_hits as u64);
    let times = found.iter().flatten().map(|found| found.answer.processing_time_ms);
    let slowest = times.max().unwrap_or(0);
    let facts = searches.first().map(|search| &search.facts).ok_or(NotJson)?;

    let mut body = ObjectWriter::new(Vec::with_capacity(4096));
    let mut written = Ok(());
    json::for_each_member(checked, |member| match member.key {
        b"hits" => written = write(wanted, facts, &kept, body.key("hits")),
        b"processingTimeMs" => body.value("processingTimeMs", &slowest),
        b"offset" => body.value("offset", &wanted.offset),
        b"limit" => body.value("limit", &wanted.limit),
        b"estimatedTotalHits" => body.value("estimatedTotalHits", &total),
        _ => body.member(member.text),
    })?;
    written.map(|()| body.finish())
}

/// How near a hit is; `None` for a document without a vector.
fn similarity(hit: &RankedHit) -> Option<f64> {
    let rank = hit.rank.as_ref()?;
    let RankKey::Rules(rules) = &rank.key else { return None };
    rules.iter().any(|rule| matches!(rule, Rule::Similarity(Some(_)))).then_some(rank.score)
}

/// Adds a member to the object that a text ends with.
fn with_member(mut text: Vec<u8>, key: &str, value: &Value) -> Vec<u8> {
    text.pop();
    if !text.ends_with(b"{") {
        text.push(b',');
    }
    text.extend_from_slice(format!("\"{key}\":{value}}}").as_bytes());
    text
}

fn write(
    wanted: &SimilarQuery,
    facts: &IndexFacts,
    hits: &[&Neighbour],
    out: &mut Vec<u8>,
) -> Result<(), NotJson> {
    let view = HitView {
        score: wanted.shows_score,
        // Those of the search tell of custom ranking rules too.
        details: false,
        without: wanted.adds_primary_key.then(|| wanted.primary_key.clone()),
        displayed: facts.displayed_attributes.clone(),
    };
    let mut text = std::mem::take(out);
    text.push(b'[');
    for (place, neighbour) in hits.iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        text = view.write(neighbour.answer.hit_text(neighbour.hit), neighbour.hit.rank.as_ref(), text)?;
        if wanted.shows_details {
            let details = json!({ "vectorSort": { "order": 0, "similarity": neighbour.similarity } });
            text = with_member(text, "_rankingScoreDetails", &details);
        }
    }
    text.push(b']');
    *out = text;
    Ok(())
}
