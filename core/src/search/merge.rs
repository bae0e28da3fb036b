//! Merging the answers of several nodes into the one that a single node would give.

use serde_json::Value;

use crate::json::{NotJson, ObjectWriter};
use crate::search::answer::{NodeAnswer, RankedHit};
use crate::search::facets::{self, Distribution, Stats};
use crate::search::hit::HitRank;
use crate::search::index_search::Found;
use crate::search::query::{Halves, SearchQuery, Window};
use crate::search::ranking::{self, Ranked, Repeats};
use crate::search::values::compare_halves;
use crate::table::IndexFacts;

/// Hits of a hybrid search by words alone are good enough from this score on, weighted by their ratio.
const GOOD_ENOUGH: f64 = 0.45;

/// The client's answer from those of the nodes, which come in the order in which ties are broken.
///
/// # Errors
/// [`NotJson`] if there is no answer to merge, or a hit is not what it seemed.
pub fn merge(query: &SearchQuery, facts: &IndexFacts, found: &[Found]) -> Result<Vec<u8>, NotJson> {
    let first = &found.first().ok_or(NotJson)?.answer;
    let is_alone = found.len() == 1 && first.hits().iter().all(|hit| hit.rank.is_none());
    let ranks = query.window.ranks(facts.max_total_hits);
    let mut best = match is_alone {
        true => Best::of_one(first),
        false => Best::of_search(query, found, ranks.end),
    };
    let hits: Vec<Located> = match is_alone {
        true => std::mem::take(&mut best.hits),
        false => best.hits.drain(..).skip(ranks.start).collect(),
    };
    let is_semantic = |hit: &&Located| hit.rank().is_some_and(|rank| rank.key.is_semantic());
    let semantic_hits = match is_alone {
        true => first.semantic_hits.unwrap_or(0),
        false => hits.iter().filter(is_semantic).count() as u64,
    };
    let sum = best.answers.iter().map(|answer| answer.total).sum::<u64>();
    let distributions: Vec<&Distribution> =
        best.answers.iter().filter_map(|answer| answer.facets.as_ref()).collect();
    let repeats = match query.counted_distinct() {
        Some(distinct) if !is_alone => facets::repeats(&distributions, distinct),
        _ => best.repeats,
    };
    let total = sum.saturating_sub(repeats);
    let totals =
        Totals { total, semantic_hits, answers: &best.answers, distributions, is_alone, query, facts };
    let size = hits.iter().map(|Located { answer, hit }| answer.hit_text(hit).len()).sum::<usize>() + 512;
    let mut body = ObjectWriter::new(Vec::with_capacity(size));
    for (key, text) in first.members() {
        match key {
            b"hits" => write_hits(query, facts, &hits, body.key("hits"))?,
            // Meilisearch makes no vector of a query that its words alone answer.
            b"queryVector" if best.by_words_alone => {}
            key => totals.write(key, text, &mut body),
        }
    }
    Ok(body.finish())
}

/// A hit, and the answer that it is in.
#[derive(Clone, Copy)]
struct Located<'a> {
    answer: &'a NodeAnswer,
    hit: &'a RankedHit,
}

impl<'a> Ranked<'a> for Located<'a> {
    fn rank(self) -> Option<&'a HitRank> {
        self.hit.rank.as_ref()
    }
}

/// The best hits over several answers.
struct Best<'a> {
    hits: Vec<Located<'a>>,
    /// Where hits are to be distinct: how many of all hits repeat a value that another node has counted too.
    repeats: u64,
    /// The answers that they are from, and that are to be added up.
    answers: Vec<&'a NodeAnswer>,
    /// Whether a hybrid search came to use its half by words only.
    by_words_alone: bool,
}

impl<'a> Best<'a> {
    fn of_one(answer: &'a NodeAnswer) -> Best<'a> {
        let hits = answer.hits().iter().map(|hit| Located { answer, hit }).collect();
        Best { hits, repeats: 0, answers: vec![answer], by_words_alone: false }
    }

    /// The first `needed` hits of a search.
    fn of_search(query: &SearchQuery, found: &'a [Found], needed: usize) -> Best<'a> {
        let answers: Vec<&NodeAnswer> = found.iter().map(|found| &found.answer).collect();
        let repeats = if query.distinct.is_some() { Repeats::Counted } else { Repeats::Stay };
        let Some(halves) = query.halves() else {
            return Best::new(answers, needed, repeats, precedes);
        };
        let keywords = found.iter().filter_map(|found| found.keywords.as_ref()).collect();
        let by_words = Best::new(keywords, needed, repeats, precedes);
        if by_words.is_good_enough(needed, halves) {
            return Best { by_words_alone: true, ..by_words };
        }
        Best::new(answers, needed, repeats, |a, b| precedes_in_halves(a, b, halves))
    }

    /// The first `needed` hits over all answers.
    fn new(
        answers: Vec<&'a NodeAnswer>,
        needed: usize,
        repeats: Repeats,
        precedes: impl Fn(&HitRank, &HitRank) -> bool,
    ) -> Best<'a> {
        let lists =
            answers.iter().map(|&answer| answer.hits().iter().map(move |hit| Located { answer, hit }));
        let merged =
            ranking::merge(lists, needed, repeats, |a: Located, b: Located| match (a.rank(), b.rank()) {
                (Some(a), Some(b)) => precedes(a, b),
                _ => false,
            });
        Best { hits: merged.hits, repeats: merged.repeats, answers, by_words_alone: false }
    }

    fn is_good_enough(&self, needed: usize, halves: Halves) -> bool {
        let is_good =
            |hit: &Located| hit.rank().is_some_and(|rank| rank.score * halves.keyword >= GOOD_ENOUGH);
        self.hits.len() >= needed && self.hits.iter().all(is_good)
    }
}

/// Whether the first of two hits of one search comes before the second.
pub fn precedes(a: &HitRank, b: &HitRank) -> bool {
    a.key.compare(&b.key).is_lt()
}

/// The same for a hybrid search: of equal hits of both halves the one that its vector found comes first.
pub fn precedes_in_halves(a: &HitRank, b: &HitRank, halves: Halves) -> bool {
    match (a.key.is_semantic(), b.key.is_semantic()) {
        (true, false) => compare_halves((&a.values, halves.semantic), (&b.values, halves.keyword)).is_ge(),
        (false, true) => compare_halves((&a.values, halves.keyword), (&b.values, halves.semantic)).is_gt(),
        _ => precedes(a, b),
    }
}

fn write_hits(
    query: &SearchQuery,
    facts: &IndexFacts,
    hits: &[Located],
    out: &mut Vec<u8>,
) -> Result<(), NotJson> {
    let view = query.hit_view(facts);
    let mut text = std::mem::take(out);
    text.push(b'[');
    for (place, Located { answer, hit }) in hits.iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        text = view.write(answer.hit_text(hit), hit.rank.as_ref(), text)?;
    }
    text.push(b']');
    *out = text;
    Ok(())
}

/// All of the answer but its hits.
struct Totals<'a> {
    total: u64,
    semantic_hits: u64,
    answers: &'a [&'a NodeAnswer],
    distributions: Vec<&'a Distribution>,
    is_alone: bool,
    query: &'a SearchQuery,
    facts: &'a IndexFacts,
}

impl Totals<'_> {
    /// Writes a member of the first answer, with the value that it has over all.
    fn write(&self, key: &[u8], text: &[u8], body: &mut ObjectWriter) {
        match (key, self.query.window) {
            (b"estimatedTotalHits", _) => body.value("estimatedTotalHits", &self.total),
            (b"totalHits", _) => body.value("totalHits", &self.total),
            (b"offset", Window::OffsetLimit { offset, .. }) => body.value("offset", &offset),
            (b"limit", Window::OffsetLimit { limit, .. }) => body.value("limit", &limit),
            (b"page", Window::Page { page, .. }) => body.value("page", &page),
            (b"hitsPerPage", Window::Page { hits_per_page, .. }) => body.value("hitsPerPage", &hits_per_page),
            (b"totalPages", window) => body.value("totalPages", &window.pages(self.total)),
            (b"processingTimeMs", _) => {
                let slowest = self.answers.iter().map(|answer| answer.processing_time_ms).max();
                body.value("processingTimeMs", &slowest.unwrap_or(0));
            }
            (b"semanticHitCount", _) => body.value("semanticHitCount", &self.semantic_hits),
            (b"facetDistribution" | b"facetStats", _) if !self.query.shows_facets() => {}
            (b"facetDistribution", _) => match self.distribution() {
                Some(distribution) => body.value("facetDistribution", &distribution),
                None => body.value("facetDistribution", &Value::Null),
            },
            (b"facetStats", _) => body.value("facetStats", &self.stats()),
            _ => body.member(text),
        }
    }

    fn stats(&self) -> Stats {
        let nodes: Vec<&Stats> = self.answers.iter().filter_map(|answer| answer.stats.as_ref()).collect();
        let mut stats = facets::merge_stats(&nodes);
        stats.retain(|facet, _| self.shows(facet));
        stats
    }

    fn distribution(&self) -> Option<Distribution> {
        let candidates = self.answers.iter().map(|answer| answer.total).sum();
        match self.distributions[..] {
            [] => None,
            [node] if self.is_alone => Some(facets::cut(node, self.facts)),
            _ => {
                let distinct = self.query.distinct_of_counts();
                let mut merged =
                    facets::merge(&self.distributions, &self.stats(), candidates, self.facts, distinct);
                merged.retain(|facet, _| self.shows(facet));
                Some(merged)
            }
        }
    }

    /// Whether the client asked for a facet.
    fn shows(&self, facet: &str) -> bool {
        self.is_alone || self.query.added_facet() != Some(facet)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::search::hit::Reading;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn answer(hits: &[Value], total: u64, query: &SearchQuery) -> NodeAnswer {
        let body = match query.window {
            Window::OffsetLimit { .. } => {
                json!({"hits": hits, "query": "q", "processingTimeMs": total, "limit": 99, "offset": 0, "estimatedTotalHits": total})
            }
            Window::Page { .. } => {
                json!({"hits": hits, "query": "q", "processingTimeMs": 1, "hitsPerPage": 99, "page": 1, "totalPages": 1, "totalHits": total})
            }
        };
        let reading = Reading {
            by_details: query.ranks_by_details(),
            by_values: query.halves().is_some(),
            distinct: query.distinct.clone(),
            ranked: true,
        };
        NodeAnswer::read(body.to_string().into_bytes(), &reading).unwrap()
    }

    fn query(body: Value, facts: &IndexFacts) -> SearchQuery {
        SearchQuery::parse(body.as_object().unwrap().clone(), facts).unwrap()
    }

    fn merged(query: &SearchQuery, facts: &IndexFacts, lists: &[Vec<Value>], totals: &[u64]) -> Value {
        let found: Vec<Found> =
            lists.iter().zip(totals).map(|(hits, total)| answer(hits, *total, query).into()).collect();
        serde_json::from_slice(&merge(query, facts, &found).unwrap()).unwrap()
    }

    fn ids(answer: &Value) -> Vec<u64> {
        answer["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_u64().unwrap()).collect()
    }

    #[test]
    fn hits_come_in_the_order_of_their_scores_and_ties_in_that_of_the_answers() {
        let facts = IndexFacts::default();
        let query = query(json!({"offset": 1, "limit": 3}), &facts);
        let hit = |id: u64, score: f64| json!({"id": id, "_rankingScore": score});
        let lists = [vec![hit(1, 0.9), hit(2, 0.5)], vec![hit(3, 0.9), hit(4, 0.7)]];
        let found = merged(&query, &facts, &lists, &[20, 30]);
        assert_eq!(ids(&found), [3, 4, 2]);
        assert_eq!(found["hits"][0], json!({"id": 3}));
        assert_eq!(found["estimatedTotalHits"], json!(50));
        assert_eq!((&found["offset"], &found["limit"]), (&json!(1), &json!(3)));
        assert_eq!(found["processingTimeMs"], json!(30));
    }

    #[test]
    fn pinned_hits_have_their_place_in_the_whole_list() {
        let facts = IndexFacts { has_pins: true, ..IndexFacts::default() };
        let query = query(json!({"limit": 5}), &facts);
        let hit = |id: u64, score: f64| json!({"id": id, "_rankingScore": score, "_rankingScoreDetails": {"words": {"order": 0, "score": score}}});
        let pinned = |id: u64, place: u64| json!({"id": id, "_rankingScore": 1, "_rankingScoreDetails": {"pin": {"order": 0, "position": place}}});
        let lists =
            [vec![pinned(9, 0), hit(1, 0.9), hit(2, 0.1)], vec![hit(3, 0.8), hit(4, 0.7), pinned(8, 2)]];
        let found = merged(&query, &facts, &lists, &[20, 30]);
        assert_eq!(ids(&found), [9, 1, 8, 3, 4]);
        assert_eq!(found["hits"][0], json!({"id": 9}));
    }

    #[test]
    fn the_cap_hides_hits_but_uncounts_none() {
        let facts = IndexFacts { max_total_hits: 2, ..IndexFacts::default() };
        let query = query(json!({"page": 1, "hitsPerPage": 7}), &facts);
        let hit = |id: u64| json!({"id": id, "_rankingScore": 1});
        let found = merged(&query, &facts, &[vec![hit(1), hit(2)], vec![hit(3), hit(4)]], &[30, 40]);
        assert_eq!(ids(&found), [1, 2]);
        assert_eq!((&found["totalHits"], &found["totalPages"]), (&json!(70), &json!(10)));
    }

    #[test]
    fn a_distinct_value_appears_once_and_is_counted_once() {
        let facts = IndexFacts { distinct_attribute: Some("d".into()), ..IndexFacts::default() };
        let query = query(json!({"hitsPerPage": 2}), &facts);
        let hit = |id: u64, score: f64, d: &str| json!({"id": id, "d": d, "_rankingScore": score});
        let lists = [vec![hit(1, 0.9, "x"), hit(2, 0.5, "y")], vec![hit(3, 0.8, "X"), hit(4, 0.7, "z")]];
        let found = merged(&query, &facts, &lists, &[2, 2]);
        assert_eq!(ids(&found), [1, 4]);
        assert_eq!(found["totalHits"], json!(3));
    }

    #[test]
    fn where_the_total_is_exact_the_distinct_values_are_counted_as_a_facet_that_does_not_show() {
        let facts = IndexFacts { has_filterable_attributes: true, ..IndexFacts::default() };
        let query = query(json!({"hitsPerPage": 1, "distinct": "d", "facets": ["e"]}), &facts);
        let asked = query.body_for_node(None, &facts, false);
        assert_eq!((&asked["hitsPerPage"], &asked["facets"]), (&json!(1), &json!(["e", "d"])));
        let answer = |values: Value| {
            let distribution = json!({"d": values, "e": {"x": 1}});
            let body =
                json!({"hits": [], "totalHits": 3, "facetDistribution": distribution, "facetStats": {}});
            let reading =
                Reading { by_details: false, by_values: false, distinct: Some("d".into()), ranked: true };
            Found::from(NodeAnswer::read(body.to_string().into_bytes(), &reading).unwrap())
        };
        // The third document of each has no value.
        let found = [answer(json!({"a": 1, "b": 1})), answer(json!({"B": 1, "c": 1}))];
        let merged: Value = serde_json::from_slice(&merge(&query, &facts, &found).unwrap()).unwrap();
        assert_eq!(merged["totalHits"], json!(5));
        assert_eq!(merged["facetDistribution"], json!({"e": {"x": 2}}));
    }

    #[test]
    fn distinct_values_are_counted_once_without_pages_too() {
        let facts = IndexFacts::default();
        let query = query(json!({"distinct": "d", "limit": 3}), &facts);
        let hit = |id: u64, d: &str| json!({"id": id, "d": d, "_rankingScore": 1});
        let lists = [vec![hit(1, "x"), hit(2, "y")], vec![hit(3, "x"), hit(4, "z")]];
        assert_eq!(merged(&query, &facts, &lists, &[2, 2])["estimatedTotalHits"], json!(3));
    }

    fn by_words(id: u64, score: f64) -> Value {
        let details = json!({"words": {"order": 0, "maxMatchingWords": 1, "score": score}});
        json!({"id": id, "_rankingScore": score, "_rankingScoreDetails": details})
    }

    fn by_vector(id: u64, similarity: f64) -> Value {
        let details = json!({"vectorSort": {"order": 0, "similarity": similarity}});
        json!({"id": id, "_rankingScore": similarity, "_rankingScoreDetails": details})
    }

    fn hybrid(nodes: &[(Vec<Value>, Vec<Value>)]) -> Value {
        let facts = IndexFacts::default();
        let query = query(json!({"q": "x", "limit": 2, "hybrid": {"embedder": "e"}}), &facts);
        let found: Vec<Found> = nodes
            .iter()
            .map(|(hits, keywords)| Found {
                answer: with_count(answer(hits, 10, &query), &query),
                keywords: Some(answer(keywords, 3, &query)),
            })
            .collect();
        serde_json::from_slice(&merge(&query, &facts, &found).unwrap()).unwrap()
    }

    fn with_count(node: NodeAnswer, query: &SearchQuery) -> NodeAnswer {
        let mut body = json!({"semanticHitCount": 9});
        for (key, text) in node.members() {
            let member: Value = serde_json::from_slice(&[b"{", text, b"}"].concat()).unwrap();
            let key = std::str::from_utf8(key).unwrap();
            body[key] = member[key].clone();
        }
        let reading =
            Reading { by_details: true, by_values: query.halves().is_some(), distinct: None, ranked: true };
        NodeAnswer::read(body.to_string().into_bytes(), &reading).unwrap()
    }

    #[test]
    fn halves_of_a_hybrid_search_are_merged_by_their_weights() {
        let found = hybrid(&[
            (vec![by_words(1, 0.8), by_vector(2, 0.3)], vec![by_words(1, 0.8)]),
            (vec![by_vector(3, 0.8), by_words(4, 0.2)], vec![by_words(4, 0.2)]),
        ]);
        assert_eq!(ids(&found), [3, 1]);
        assert_eq!((&found["semanticHitCount"], &found["estimatedTotalHits"]), (&json!(1), &json!(20)));
    }

    #[test]
    fn words_that_are_found_well_enough_need_no_vectors() {
        let found = hybrid(&[
            (vec![by_vector(2, 0.99), by_words(1, 0.95)], vec![by_words(1, 0.95)]),
            (vec![by_vector(4, 0.98), by_words(3, 1.0)], vec![by_words(3, 1.0)]),
        ]);
        assert_eq!(ids(&found), [3, 1]);
        assert_eq!((&found["semanticHitCount"], &found["estimatedTotalHits"]), (&json!(0), &json!(6)));
    }

    proptest! {
        #[test]
        fn any_split_of_a_ranking_merges_to_the_ranking(
            scored in proptest::collection::vec((0u8..5, 0usize..4), 0..60),
            offset in 0usize..20,
            limit in 0usize..20,
        ) {
            let facts = IndexFacts::default();
            let query = query(json!({"offset": offset, "limit": limit}), &facts);
            let mut hits: Vec<(u64, u8, usize)> =
                scored.iter().enumerate().map(|(id, &(score, node))| (id as u64, score, node)).collect();
            hits.sort_by_key(|&(id, score, node)| (std::cmp::Reverse(score), node, id));
            let lists: Vec<Vec<Value>> = (0..4)
                .map(|of| {
                    let own = hits.iter().filter(|hit| hit.2 == of);
                    own.map(|hit| json!({"id": hit.0, "_rankingScore": f64::from(hit.1)})).collect()
                })
                .collect();
            let totals: Vec<u64> = lists.iter().map(|list| list.len() as u64).collect();
            let found = merged(&query, &facts, &lists, &totals);
            let expected: Vec<u64> = hits.iter().skip(offset).take(limit).map(|hit| hit.0).collect();
            prop_assert_eq!(ids(&found), expected);
            prop_assert_eq!(found["estimatedTotalHits"].as_u64(), Some(hits.len() as u64));
        }
    }
}
