//! The documents found, as the answer shows them.

use std::collections::BTreeSet;

use milli_core::heed::RoTxn;
use milli_core::score_details::{Rank, ScoreDetails};
use milli_core::tokenizer::TokenizerBuilder;
use milli_core::{
    AscDesc, FieldId, FieldsIdsMap, Index, MatcherBuilder, MatchingWords, Member, all_obkv_to_json,
    distance_between_two_points,
};
use serde_json::{Map, Value};

use super::embedders;
use super::format::Formatter;
use super::request::SearchRequest;
use crate::documents::pointer;
use crate::error::Result;

/// The documents found, with what the request wants to know about them.
pub fn make(
    index: &Index,
    rtxn: &RoTxn,
    request: &SearchRequest,
    matching_words: MatchingWords,
    documents: &[u32],
    scores: &[Vec<ScoreDetails>],
) -> Result<Vec<Map<String, Value>>> {
    let fields = index.fields_ids_map(rtxn)?;
    let displayed: BTreeSet<FieldId> = match index.displayed_fields_ids(rtxn)? {
        Some(displayed) => displayed.into_iter().collect(),
        None => fields.ids().collect(),
    };
    let shows_vectors = index.displayed_fields(rtxn)?.is_none_or(|displayed| displayed.contains(&"_vectors"));
    let retrieved = retrieved(request, &fields, &displayed);
    let retrieved_names: Vec<_> = retrieved.iter().filter_map(|id| fields.name(*id)).collect();
    let geo_point = request.sort.as_deref().and_then(geo_point);

    let dictionary = index.dictionary(rtxn)?.unwrap_or_default();
    let dictionary: Vec<_> = dictionary.iter().map(String::as_str).collect();
    let separators = index.allowed_separators(rtxn)?;
    let separators: Option<Vec<_>> =
        separators.as_ref().map(|separators| separators.iter().map(String::as_str).collect());
    let mut tokenizer = TokenizerBuilder::default();
    tokenizer.create_char_map(true);
    if let Some(separators) = &separators {
        tokenizer.separators(separators);
    }
    if !dictionary.is_empty() {
        tokenizer.words_dict(&dictionary);
    }
    let mut matcher = MatcherBuilder::new(matching_words, tokenizer.into_tokenizer());
    matcher.crop_marker(request.crop_marker.clone());
    matcher.highlight_prefix(request.highlight_pre_tag.clone());
    matcher.highlight_suffix(request.highlight_post_tag.clone());
    let localized = index.localized_attributes_rules(rtxn)?.unwrap_or_default();
    let formatter = Formatter::new(request, &fields, &displayed, &retrieved, matcher, localized);

    let mut hits = Vec::with_capacity(documents.len());
    for (position, id) in documents.iter().enumerate() {
        let stored = all_obkv_to_json(index.document(rtxn, *id)?, &fields)?;
        let mut hit = pointer::select(&stored, &retrieved_names);
        let stored_vectors = hit.remove("_vectors");
        if request.retrieve_vectors && shows_vectors {
            let stored_vectors = stored_vectors.or_else(|| stored.get("_vectors").cloned());
            hit.insert("_vectors".to_string(), embedders::vectors(index, rtxn, *id, stored_vectors)?);
        }
        if let Some(distance) = geo_point.and_then(|point| distance(point, &hit)) {
            hit.insert("_geoDistance".to_string(), distance.into());
        }
        let formatted = formatter.format(&stored);
        if !formatted.document.is_empty() {
            hit.insert("_formatted".to_string(), formatted.document.into());
        }
        if let Some(matches) = formatted.matches {
            hit.insert("_matchesPosition".to_string(), serde_json::to_value(matches)?);
        }
        let score = scores.get(position).map(Vec::as_slice).unwrap_or_default();
        if request.show_ranking_score {
            hit.insert("_rankingScore".to_string(), ranking_score(score).into());
        }
        if request.show_ranking_score_details {
            hit.insert("_rankingScoreDetails".to_string(), ScoreDetails::to_json_map(score.iter()).into());
        }
        hits.push(hit);
    }
    Ok(hits)
}

/// The score as Meilisearch 1.50 has it: the similarity of the vectors if there are any, else all the ranks
/// together, whatever is sorted by between them. (The engine's own score ends where a sort begins.)
pub fn ranking_score(details: &[ScoreDetails]) -> f64 {
    let similarity = details.iter().rev().find_map(|details| match details {
        ScoreDetails::Vector(vector) => Some(vector.similarity.map_or(0.0, f64::from)),
        _ => None,
    });
    similarity.unwrap_or_else(|| Rank::global_score(details.iter().filter_map(ScoreDetails::rank)))
}

/// The fields to show, of those that may be shown.
fn retrieved(
    request: &SearchRequest,
    fields: &FieldsIdsMap,
    displayed: &BTreeSet<FieldId>,
) -> BTreeSet<FieldId> {
    match &request.attributes_to_retrieve {
        Some(attributes) if !attributes.contains("*") => {
            let ids = attributes.iter().filter_map(|attribute| fields.id(attribute));
            ids.filter(|id| displayed.contains(id)).collect()
        }
        _ => displayed.clone(),
    }
}

/// The point that the hits are sorted by their distance from.
fn geo_point(sort: &[String]) -> Option<[f64; 2]> {
    sort.iter().find_map(|expression| match expression.parse::<AscDesc>() {
        Ok(AscDesc::Asc(Member::Geo(point)) | AscDesc::Desc(Member::Geo(point))) => Some(point),
        _ => None,
    })
}

fn distance(from: [f64; 2], hit: &Map<String, Value>) -> Option<u64> {
    let coordinate = |name: &str| {
        let value = hit.get("_geo")?.get(name)?;
        value.as_f64().or_else(|| value.as_str()?.parse().ok())
    };
    let to = [coordinate("lat")?, coordinate("lng")?];
    Some(distance_between_two_points(&from, &to).round() as u64)
}
