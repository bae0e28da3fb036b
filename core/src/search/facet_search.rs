//! `POST /indexes/{uid}/facet-search`: which values a facet has, each with its count over all nodes.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use twox_hash::XxHash64;

use crate::fan_out::{Conclusion, NodeBody, Question, Request, Share, Unreadable};
use crate::json::{self, NotJson, ObjectWriter};
use crate::routing::Routing;
use crate::search::facets::{fold, normalize};
use crate::search::query::add_clause;
use crate::table::{FacetOrder, IndexFacts};
use crate::tag::TAG_FIELD;

/// A search for the values of a facet.
#[derive(Debug)]
pub struct FacetSearch {
    index: String,
    facts: IndexFacts,
    body: Map<String, Value>,
    facet: String,
}

/// What a node found.
#[derive(Debug)]
pub struct FacetAnswer {
    body: Vec<u8>,
    hits: Vec<FacetHit>,
    processing_time_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct FacetHit {
    value: String,
    count: u64,
}

impl FacetAnswer {
    fn read(body: Vec<u8>) -> Result<FacetAnswer, NotJson> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            facet_hits: Vec<FacetHit>,
            #[serde(default)]
            processing_time_ms: u64,
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| NotJson)?;
        Ok(FacetAnswer { hits: answer.facet_hits, processing_time_ms: answer.processing_time_ms, body })
    }
}

impl Question for FacetSearch {
    type Part = FacetAnswer;

    fn parse(request: Request) -> Result<FacetSearch, Unreadable> {
        let body: Map<String, Value> = request.json()?;
        if !matches!(body.get("filter"), None | Some(Value::Null | Value::String(_) | Value::Array(_))) {
            return Err(Unreadable);
        }
        match body.get("facetName") {
            Some(Value::String(facet)) if facet != TAG_FIELD => {
                let facet = facet.clone();
                Ok(FacetSearch { index: request.index.into(), facts: request.facts(), body, facet })
            }
            _ => Err(Unreadable),
        }
    }

    fn seed(&self) -> u64 {
        XxHash64::oneshot(0, Value::Object(self.body.clone()).to_string().as_bytes())
    }

    fn is_of_known_indexes(&self, routing: &Routing) -> bool {
        routing.table.indexes.contains_key(&self.index)
    }

    fn body_for(&self, share: &Share) -> NodeBody {
        let mut body = self.body.clone();
        add_clause(&mut body, share.tags());
        let target = format!("/indexes/{}/facet-search", self.index);
        NodeBody { target, body: Value::Object(body).to_string().into_bytes() }
    }

    fn can_be_hedged(&self) -> bool {
        true
    }

    fn read(&self, _: &Share, body: Vec<u8>) -> Result<FacetAnswer, NotJson> {
        FacetAnswer::read(body)
    }

    fn conclude(self, parts: Vec<(Share, FacetAnswer)>) -> Result<Conclusion<FacetSearch>, NotJson> {
        let answers: Vec<FacetAnswer> = parts.into_iter().map(|(_, answer)| answer).collect();
        let first = answers.first().ok_or(NotJson)?;
        let hits = self.merge(&answers);
        let slowest = answers.iter().map(|answer| answer.processing_time_ms).max().unwrap_or(0);
        let mut body = ObjectWriter::new(Vec::with_capacity(1024));
        json::for_each_member(&first.body, |member| match member.key {
            b"facetHits" => body.value("facetHits", &hits),
            b"processingTimeMs" => body.value("processingTimeMs", &slowest),
            _ => body.member(member.text),
        })?;
        Ok(Conclusion::Answer(body.finish()))
    }
}

impl FacetSearch {
    fn merge(&self, answers: &[FacetAnswer]) -> Vec<FacetHit> {
        let mut counts: HashMap<Cow<str>, FacetHit> = HashMap::new();
        let mut order: Vec<Cow<str>> = Vec::new();
        for hit in answers.iter().flat_map(|answer| &answer.hits) {
            let key = normalize(&hit.value);
            // Of values that differ in case alone the engine shows one; so do we: the first node's.
            let known = counts.entry(key.clone()).or_insert_with(|| {
                order.push(key);
                FacetHit { value: hit.value.clone(), count: 0 }
            });
            known.count += hit.count;
        }
        let is_alone = answers.len() == 1;
        match self.facts.facet_order(&self.facet) {
            _ if is_alone => {}
            FacetOrder::Count => {
                let rank =
                    |key: &Cow<str>| counts.get(key).map(|hit| Reverse((hit.count, hit.value.clone())));
                order.sort_by_cached_key(rank);
            }
            // Where the values are searched, they come in the order of their letters without accents.
            FacetOrder::Alpha if self.is_searched() => {
                order.sort_by_cached_key(|key| (fold(key).into_owned(), key.clone()));
            }
            FacetOrder::Alpha => order.sort(),
        }
        let kept = order.into_iter().take(self.facts.max_values_per_facet);
        kept.filter_map(|key| counts.remove(&key)).collect()
    }

    fn is_searched(&self) -> bool {
        self.body.get("facetQuery").is_some_and(Value::is_string)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn answer(hits: &[(&str, u64)]) -> FacetAnswer {
        let hits: Vec<Value> =
            hits.iter().map(|(value, count)| json!({"value": value, "count": count})).collect();
        let body = json!({"facetHits": hits, "facetQuery": "x", "processingTimeMs": 1});
        FacetAnswer::read(body.to_string().into_bytes()).unwrap()
    }

    fn merged(facts: IndexFacts, query: Value, answers: &[FacetAnswer]) -> Vec<(String, u64)> {
        let body = json!({"facetName": "g", "facetQuery": query}).as_object().cloned().unwrap();
        let search = FacetSearch { index: "a".into(), facts, body, facet: "g".into() };
        search.merge(answers).into_iter().map(|hit| (hit.value, hit.count)).collect()
    }

    #[test]
    fn counts_add_up_in_alphabetical_order() {
        let facts = IndexFacts { max_values_per_facet: 3, ..IndexFacts::default() };
        let answers = [answer(&[("Action", 2), ("éa", 1), ("f", 1)]), answer(&[("action", 1), ("eb", 4)])];
        let expected = [("Action".into(), 3), ("éa".into(), 1), ("eb".into(), 4)];
        assert_eq!(merged(facts, json!("x"), &answers), expected);
    }

    #[test]
    fn the_most_frequent_survive_the_cut() {
        let mut facts = IndexFacts { max_values_per_facet: 2, ..IndexFacts::default() };
        facts.sort_facet_values_by.insert("*".into(), FacetOrder::Count);
        let answers = [answer(&[("a", 3), ("b", 2), ("c", 2)]), answer(&[("c", 2), ("d", 3)])];
        assert_eq!(merged(facts, Value::Null, &answers), [("c".into(), 4), ("d".into(), 3)]);
    }
}
