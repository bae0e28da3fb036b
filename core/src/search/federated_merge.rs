//! Merging the answers of several nodes to a federated search.
//!
//! As Meilisearch does it with the queries of one node: the hits of a query come in the order of their ranks, those of
//! an index in the order of their weighted scores, and so do those of all indexes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use crate::json::{NotJson, ObjectWriter};
use crate::search::facets::{self, Distribution, Stats};
use crate::search::federated::{FederatedAnswer, FederatedHit, IndexFacets};
use crate::search::federation::{Federation, MergeFacets};
use crate::search::hit::HitRank;
use crate::search::merge::{precedes, precedes_in_halves};
use crate::search::query::Window;
use crate::search::ranking::{self, Merged, Ranked, Repeats};
use crate::search::values::Weighted;
use crate::table::{FacetOrder, IndexFacts};

/// A hit, the answer that it is in, and the weight of its query.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    answer: &'a FederatedAnswer,
    hit: &'a FederatedHit,
    weight: f64,
}

impl<'a> Ranked<'a> for Candidate<'a> {
    fn rank(self) -> Option<&'a HitRank> {
        self.hit.rank.as_ref()
    }
}

impl<'a> Candidate<'a> {
    fn weighted(self) -> Option<Weighted<'a>> {
        let values = &self.rank()?.values;
        Some(Weighted { values, weight: self.weight, score: self.hit.weighted_score })
    }

    /// Whether it comes before a hit of another query.
    fn precedes(self, other: Candidate) -> bool {
        let order = match (self.weighted(), other.weighted()) {
            (Some(a), Some(b)) => a.compare(&b),
            _ => Ordering::Equal,
        };
        order.then(other.hit.query.cmp(&self.hit.query)).is_gt()
    }
}

/// The client's answer from those of the nodes; `None` if the indexes order the values of a facet otherwise.
///
/// # Errors
/// [`NotJson`] if there is no answer to merge, or a hit is not what it seemed.
pub fn merge(federation: &Federation, answers: &[FederatedAnswer]) -> Result<Option<Vec<u8>>, NotJson> {
    let first = answers.first().ok_or(NotJson)?;
    let is_alone = answers.len() == 1 && first.hits.iter().all(|hit| hit.rank.is_none());
    let best = match is_alone {
        true => {
            let hits = first.hits.iter().map(|hit| Candidate { answer: first, hit, weight: 1.0 });
            Merged { hits: hits.collect(), repeats: 0 }
        }
        false => best(federation, answers),
    };
    let hits = match is_alone {
        true => &best.hits[..],
        false => best.hits.get(federation.window.ranks(usize::MAX).start..).unwrap_or_default(),
    };
    let total = answers.iter().map(|answer| answer.total).sum::<u64>().saturating_sub(best.repeats);
    let semantic_hits = match is_alone {
        true => first.semantic_hits.unwrap_or(0),
        false => hits.iter().filter(is_semantic).count() as u64,
    };
    let facets = by_index(federation, answers, total, is_alone);
    let merged = match federation.merge_facets {
        Some(merging) => match merge_facets(federation, &facets, merging) {
            Some(merged) => Some(merged),
            None => return Ok(None),
        },
        None => None,
    };
    let mut body = ObjectWriter::new(Vec::with_capacity(4096));
    for (key, text) in first.members() {
        match (key, federation.window) {
            (b"hits", _) => write_hits(federation, hits, body.key("hits"))?,
            (b"estimatedTotalHits", _) => body.value("estimatedTotalHits", &total),
            (b"totalHits", _) => body.value("totalHits", &total),
            (b"offset", Window::OffsetLimit { offset, .. }) => body.value("offset", &offset),
            (b"limit", Window::OffsetLimit { limit, .. }) => body.value("limit", &limit),
            (b"page", Window::Page { page, .. }) => body.value("page", &page),
            (b"hitsPerPage", Window::Page { hits_per_page, .. }) => body.value("hitsPerPage", &hits_per_page),
            (b"totalPages", window) => body.value("totalPages", &window.pages(total)),
            (b"processingTimeMs", _) => {
                let slowest = answers.iter().map(|answer| answer.processing_time_ms).max();
                body.value("processingTimeMs", &slowest.unwrap_or(0));
            }
            (b"semanticHitCount", _) => body.value("semanticHitCount", &semantic_hits),
            (b"facetsByIndex", _) => match &merged {
                Some(merged) => {
                    body.value("facetDistribution", &merged.distribution);
                    body.value("facetStats", &merged.stats);
                }
                None => body.value("facetsByIndex", &facets),
            },
            _ => body.member(text),
        }
    }
    Ok(Some(body.finish()))
}

fn is_semantic(candidate: &&Candidate) -> bool {
    candidate.rank().is_some_and(|rank| rank.key.is_semantic())
}

/// The first hits up to the last one to return, and how many of all repeat a distinct value that another node has
/// counted too.
fn best<'a>(federation: &Federation, answers: &'a [FederatedAnswer]) -> Merged<Candidate<'a>> {
    let needed = federation.window.ranks(usize::MAX).end;
    let mut repeats = 0;
    let mut by_index: BTreeMap<&str, (usize, Vec<Vec<Candidate>>)> = BTreeMap::new();
    for (place, query) in federation.queries.iter().enumerate() {
        let weight = query.weight;
        let of_query = |answer: &'a FederatedAnswer| {
            let hits = answer.hits.iter().filter(move |hit| hit.query == place);
            hits.map(move |hit| Candidate { answer, hit, weight })
        };
        let halves = query.search.query.halves();
        let is_before = |a: Candidate, b: Candidate| match (a.rank(), b.rank()) {
            (Some(a), Some(b)) => match halves {
                Some(halves) => precedes_in_halves(a, b, halves),
                None => precedes(a, b),
            },
            _ => false,
        };
        let is_distinct = query.search.query.distinct.is_some();
        let of_repeats = if is_distinct { Repeats::Counted } else { Repeats::Stay };
        let needed = needed.min(query.search.facts.max_total_hits);
        let merged = ranking::merge(answers.iter().map(of_query), needed, of_repeats, is_before);
        repeats += merged.repeats;
        let index = by_index.entry(&query.search.index).or_default();
        index.0 = needed;
        index.1.push(merged.hits);
    }
    let mut merge = |lists: &[Vec<Candidate<'a>>], needed, of_repeats| {
        let of_repeats = if federation.distinct.is_some() { of_repeats } else { Repeats::Stay };
        let lists = lists.iter().map(|list| list.iter().copied());
        let merged = ranking::merge(lists, needed, of_repeats, Candidate::precedes);
        repeats += merged.repeats;
        merged.hits
    };
    let lists: Vec<_> =
        by_index.into_values().map(|(needed, queries)| merge(&queries, needed, Repeats::LeftOut)).collect();
    let hits = merge(&lists, needed, Repeats::Counted);
    Merged { hits, repeats }
}

fn write_hits(federation: &Federation, hits: &[Candidate], out: &mut Vec<u8>) -> Result<(), NotJson> {
    let views: Vec<_> =
        federation.queries.iter().map(|query| query.search.query.hit_view(&query.search.facts)).collect();
    let mut text = std::mem::take(out);
    text.push(b'[');
    for (place, candidate) in hits.iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        let view = views.get(candidate.hit.query).ok_or(NotJson)?;
        text = view.write(candidate.answer.hit_text(candidate.hit), candidate.hit.rank.as_ref(), text)?;
    }
    text.push(b']');
    *out = text;
    Ok(())
}

fn by_index(
    federation: &Federation,
    answers: &[FederatedAnswer],
    candidates: u64,
    is_alone: bool,
) -> BTreeMap<String, IndexFacets> {
    let indexes = federation.indexes();
    let names: HashSet<&String> = answers.iter().flat_map(|answer| answer.facets.keys()).collect();
    let merged = names.into_iter().map(|name| {
        let nodes: Vec<&IndexFacets> = answers.iter().filter_map(|answer| answer.facets.get(name)).collect();
        let stats = facets::merge_stats(&nodes.iter().map(|node| &node.stats).collect::<Vec<_>>());
        let defaults = IndexFacts::default();
        let facts = indexes.get(&**name).map_or(&defaults, |search| &search.facts);
        let distribution = match nodes[..] {
            [node] if is_alone => facets::cut(&node.distribution, facts),
            _ => {
                let distributions: Vec<&Distribution> = nodes.iter().map(|node| &node.distribution).collect();
                facets::merge(&distributions, &stats, candidates, facts, None)
            }
        };
        (name.clone(), IndexFacets { distribution, stats })
    });
    merged.collect()
}

/// The facets of all indexes as one; `None` if two order the values of one otherwise.
fn merge_facets(
    federation: &Federation,
    by_index: &BTreeMap<String, IndexFacets>,
    merging: MergeFacets,
) -> Option<IndexFacets> {
    let indexes = federation.indexes();
    let mut orders: BTreeMap<&str, FacetOrder> = BTreeMap::new();
    let mut counts: Distribution = Distribution::new();
    for (index, facets) in by_index {
        for (facet, values) in &facets.distribution {
            let order =
                indexes.get(&**index).map(|search| search.facts.facet_order(facet)).unwrap_or_default();
            if *orders.entry(facet).or_insert(order) != order {
                return None;
            }
            let known = counts.entry(facet.clone()).or_default();
            for (value, count) in values {
                let sum = known.get(value).and_then(|count| count.as_u64()).unwrap_or(0);
                known.insert(value.clone(), (sum + count.as_u64().unwrap_or(0)).into());
            }
        }
    }
    let ordered = counts.into_iter().map(|(facet, values)| {
        let mut values: Vec<(String, u64)> =
            values.into_iter().map(|(value, count)| (value, count.as_u64().unwrap_or(0))).collect();
        match orders.get(&*facet).copied().unwrap_or_default() {
            FacetOrder::Alpha => values.sort(),
            FacetOrder::Count => values.sort_by_key(|(_, count)| std::cmp::Reverse(*count)),
        }
        let kept = values.into_iter().take(merging.max_values_per_facet.unwrap_or(usize::MAX));
        (facet, kept.map(|(value, count)| (value, count.into())).collect())
    });
    let stats: Vec<&Stats> = by_index.values().map(|facets| &facets.stats).collect();
    Some(IndexFacets { distribution: ordered.collect(), stats: facets::merge_stats(&stats) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::fan_out::Share;
    use crate::fan_out::plan::Assignment;
    use crate::routing::Routing;
    use crate::shard_set::ShardSet;
    use crate::table::tests::table;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    fn federation(facts: &[(&str, IndexFacts)], options: Value, queries: Value) -> Federation {
        let mut table = table(4, 2, 1, 1);
        table.indexes = facts.iter().map(|(uid, facts)| (uid.to_string(), facts.clone())).collect();
        let queries = queries.as_array().unwrap().iter().cloned().map(object).collect();
        Federation::parse(&Routing::new(table), object(options), queries).unwrap()
    }

    fn share() -> Share {
        let assignment = Assignment { node: 0, shards: ShardSet::all(4), tags: None };
        Share { assignment, alone: false, in_stead_of: None }
    }

    fn answer(federation: &Federation, hits: Vec<Value>, facets: Value) -> FederatedAnswer {
        let total = hits.len();
        let body = json!({
            "hits": hits, "processingTimeMs": 1, "limit": 20, "offset": 0, "estimatedTotalHits": total,
            "facetsByIndex": facets,
        });
        federation.read(&share(), body.to_string().into_bytes()).unwrap()
    }

    fn merged(federation: &Federation, answers: &[FederatedAnswer]) -> Value {
        serde_json::from_slice(&federation.merge(answers).unwrap().unwrap()).unwrap()
    }

    fn hit(id: usize, query: usize, score: f64, weight: f64) -> Value {
        json!({
            "id": id,
            "_federation": {"indexUid": "a", "queriesPosition": query, "weightedRankingScore": score * weight},
            "_rankingScore": score,
            "_rankingScoreDetails": {"words": {"order": 0, "score": score}},
        })
    }

    fn ids(answer: &Value) -> Vec<u64> {
        answer["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_u64().unwrap()).collect()
    }

    fn facets(of_a: Value, of_b: Value) -> Value {
        json!({"a": {"distribution": {"g": of_a}, "stats": {}}, "b": {"distribution": {"g": of_b}, "stats": {}}})
    }

    #[test]
    fn a_value_appears_once_in_all_indexes() {
        let queries = json!([{"indexUid": "a"}, {"indexUid": "b", "attributesToRetrieve": ["id"]}]);
        let federation = federation(&[], json!({"distinct": "d"}), queries);
        let body: Value = serde_json::from_slice(&federation.body(&share())).unwrap();
        assert_eq!(body["queries"][1]["attributesToRetrieve"], json!(["id", "d"]));
        let of = |mut hit: Value, d: &str| {
            hit["d"] = d.into();
            hit
        };
        let first = vec![of(hit(1, 0, 0.9, 1.0), "x"), of(hit(2, 1, 0.5, 1.0), "y")];
        let second = vec![of(hit(3, 1, 0.8, 1.0), "x"), of(hit(4, 0, 0.7, 1.0), "z")];
        let answers = [answer(&federation, first, json!({})), answer(&federation, second, json!({}))];
        let found = merged(&federation, &answers);
        assert_eq!(ids(&found), [1, 4, 2]);
        assert_eq!(found["estimatedTotalHits"], json!(3));
        assert_eq!(found["hits"][2].get("d"), None);
    }

    #[test]
    fn facets_are_cut_by_index_and_then_added_up() {
        let cut = IndexFacts { max_values_per_facet: 2, ..IndexFacts::default() };
        let facts = [("a", cut), ("b", IndexFacts::default())];
        let queries = json!([{"indexUid": "a"}, {"indexUid": "b"}]);
        let options = json!({"mergeFacets": {"maxValuesPerFacet": 2}});
        let federation = federation(&facts, options, queries);
        assert!(!String::from_utf8(federation.body(&share())).unwrap().contains("mergeFacets"));
        let answers = [
            answer(&federation, vec![], facets(json!({"x": 1, "z": 9}), json!({"y": 1}))),
            answer(&federation, vec![], facets(json!({"y": 2}), json!({"z": 5}))),
        ];
        let found = merged(&federation, &answers);
        assert_eq!(found["facetDistribution"], json!({"g": {"x": 1, "y": 3}}));
        assert_eq!(found.get("facetsByIndex"), None);
    }

    #[test]
    fn facets_in_two_orders_are_not_made_one() {
        let mut by_count = IndexFacts::default();
        by_count.sort_facet_values_by.insert("g".into(), FacetOrder::Count);
        let facts = [("a", by_count), ("b", IndexFacts::default())];
        let queries = json!([{"indexUid": "a"}, {"indexUid": "b"}]);
        let federation = federation(&facts, json!({"mergeFacets": {}}), queries);
        let answers = [answer(&federation, vec![], facets(json!({"x": 1}), json!({"x": 1})))];
        assert_eq!(federation.merge(&answers), Ok(None));
    }

    proptest! {
        #[test]
        fn any_split_of_a_list_merges_to_the_list(
            scored in proptest::collection::vec((0u8..6, 0usize..3, 0usize..3), 0..50),
            offset in 0usize..15,
            limit in 0usize..15,
        ) {
            const WEIGHTS: [f64; 3] = [1.0, 0.5, 2.0];
            let query = |place: usize| {
                let index = ["a", "b", "a"][place];
                json!({"indexUid": index, "federationOptions": {"weight": WEIGHTS[place]}})
            };
            let queries = (0..3).map(query).collect();
            let federation = federation(&[], json!({"offset": offset, "limit": limit}), queries);
            let mut hits: Vec<(usize, f64, usize, usize)> = scored
                .iter()
                .enumerate()
                .map(|(id, &(score, query, node))| (id, f64::from(score) / 8.0, query, node))
                .collect();
            hits.sort_by(|a, b| {
                let weighted = |hit: &(usize, f64, usize, usize)| hit.1 * WEIGHTS[hit.2];
                weighted(b).total_cmp(&weighted(a)).then((a.2, a.3, a.0).cmp(&(b.2, b.3, b.0)))
            });
            let answers: Vec<FederatedAnswer> = (0..3)
                .map(|node| {
                    let own = hits.iter().filter(|hit| hit.3 == node);
                    let own = own.map(|&(id, score, query, _)| hit(id, query, score, WEIGHTS[query]));
                    answer(&federation, own.collect(), json!({}))
                })
                .collect();
            let found = merged(&federation, &answers);
            let expected: Vec<u64> = hits.iter().skip(offset).take(limit).map(|hit| hit.0 as u64).collect();
            prop_assert_eq!(ids(&found), expected);
            prop_assert_eq!(found["estimatedTotalHits"].as_u64(), Some(hits.len() as u64));
            prop_assert!(found["hits"].as_array().unwrap().iter().all(|hit| hit.get("_rankingScore").is_none()));
        }
    }
}
