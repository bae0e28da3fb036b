//! Several searches whose hits are merged into one list.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use indexmap::IndexMap;
use milli_core::score_details::{ScoreDetails, ScoringStrategy, WeightedScoreValue, compare_sort_values};
use milli_core::{AttributePatterns, Index, OrderBy, all_obkv_to_json};
use roaring::RoaringBitmap;
use serde_json::{Map, Value, json};

use super::facets::{self, FacetStats, Facets};
use super::hits;
use super::query::{self, Context, Window};
use super::request::{SearchRequest, network_is_disabled};
use crate::documents::pointer;
use crate::error::{ResponseError, Result};
use crate::http::invalid::Reason;
use crate::tasks::queue::Queue;

/// How the hits of the searches become one list.
#[derive(Debug, Clone, deserr::Deserr)]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Federation {
    #[deserr(default = 20)]
    pub limit: usize,
    #[deserr(default)]
    pub offset: usize,
    #[deserr(default)]
    pub page: Option<usize>,
    #[deserr(default)]
    pub hits_per_page: Option<usize>,
    #[deserr(default)]
    pub facets_by_index: BTreeMap<String, Option<AttributePatterns>>,
    #[deserr(default)]
    pub merge_facets: Option<MergeFacets>,
    #[deserr(default)]
    pub distinct: Option<String>,
    /// Taken and not served: the engine does not measure its steps.
    #[deserr(default)]
    pub show_performance_details: bool,
    /// Taken and not served: it asks for a service outside.
    #[deserr(default)]
    pub personalize: Option<Value>,
}

/// Facets of all indexes together.
#[derive(Debug, Clone, deserr::Deserr)]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct MergeFacets {
    #[deserr(default)]
    pub max_values_per_facet: Option<usize>,
}

/// What one search counts in the list.
#[derive(Debug, Clone, Default, deserr::Deserr)]
#[deserr(rename_all = camelCase, deny_unknown_fields, where_predicate = __Deserr_E: deserr::MergeWithError<Reason>)]
#[allow(missing_docs)]
pub struct FederationOptions {
    #[deserr(default)]
    pub weight: Weight,
    #[deserr(default)]
    pub remote: Option<String>,
    #[deserr(default)]
    pub query_position: Option<usize>,
}

/// What the scores of a search are multiplied with.
#[derive(Debug, Clone, Copy, deserr::Deserr)]
#[deserr(try_from(f64) = Weight::new -> Reason)]
pub struct Weight(f64);

impl Weight {
    fn new(weight: f64) -> Result<Self, Reason> {
        if weight < 0.0 {
            let reason = "the value of `weight` is invalid, expected a positive float (>= 0.0).";
            return Err(Reason(reason.to_string()));
        }
        Ok(Self(weight))
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(1.0)
    }
}

/// One of the searches.
#[derive(Debug)]
pub struct Query {
    /// Its index.
    pub index_uid: String,
    /// What it asks.
    pub request: SearchRequest,
    /// What it counts.
    pub options: FederationOptions,
}

/// A hit and what it is ordered by.
struct Ranked {
    query: usize,
    weight: f64,
    score: Vec<ScoreDetails>,
    hit: Map<String, Value>,
    document: u32,
    distinct: Vec<String>,
}

impl Ranked {
    fn global_score(&self) -> f64 {
        hits::ranking_score(&self.score) * self.weight
    }

    /// Whether it goes before another, as Meilisearch compares hits of different searches.
    fn goes_before(&self, other: &Self) -> bool {
        let values = |ranked: &Self| {
            ScoreDetails::weighted_score_values(ranked.score.iter(), ranked.weight).collect::<Vec<_>>()
        };
        let order = compare(&values(self), &values(other))
            .unwrap_or_else(|| self.global_score().total_cmp(&other.global_score()));
        match order {
            Ordering::Equal => self.query < other.query,
            order => order == Ordering::Greater,
        }
    }
}

/// Nothing when the two are ranked by different things.
fn compare(left: &[WeightedScoreValue], right: &[WeightedScoreValue]) -> Option<Ordering> {
    for (position, (left_value, right_value)) in left.iter().zip(right).enumerate() {
        match compare_values(left_value, right_value) {
            Some(Ordering::Equal) => {}
            Some(order) => return Some(order),
            None => {
                let rest = (left.len() - position).cmp(&(right.len() - position));
                return rest.is_ne().then_some(rest);
            }
        }
    }
    Some(left.len().cmp(&right.len()))
}

fn compare_values(left: &WeightedScoreValue, right: &WeightedScoreValue) -> Option<Ordering> {
    use WeightedScoreValue::{GeoSort, Sort, VectorSort, WeightedScore};

    let numbers = |left: f64, right: f64| {
        if (left - right).abs() <= f64::EPSILON { Ordering::Equal } else { left.total_cmp(&right) }
    };
    match (left, right) {
        (WeightedScore(left) | VectorSort(left), WeightedScore(right) | VectorSort(right)) => {
            Some(numbers(*left, *right))
        }
        (Sort { asc, value: left }, Sort { asc: other, value: right }) if asc == other => {
            Some(compare_sort_values(*asc, left, right))
        }
        (GeoSort { asc, distance: left }, GeoSort { asc: other, distance: right }) if asc == other => {
            Some(match (left, right) {
                (Some(left), Some(right)) if *asc => numbers(*left, *right).reverse(),
                (Some(left), Some(right)) => numbers(*left, *right),
                (left, right) => left.is_some().cmp(&right.is_some()),
            })
        }
        _ => None,
    }
}

/// Merges lists that are in order.
fn merge(lists: Vec<Vec<Ranked>>) -> Vec<Ranked> {
    let mut lists: Vec<_> = lists.into_iter().map(|list| list.into_iter().peekable()).collect();
    let mut merged = Vec::new();
    loop {
        let mut best: Option<usize> = None;
        for place in 0..lists.len() {
            let Some((head, so_far)) = (match best {
                None => {
                    best = lists[place].peek().map(|_| place);
                    continue;
                }
                Some(best) => {
                    let (before, after) = lists.split_at_mut(place);
                    after[0].peek().zip(before[best].peek())
                }
            }) else {
                continue;
            };
            if head.goes_before(so_far) {
                best = Some(place);
            }
        }
        match best.and_then(|best| lists[best].next()) {
            Some(ranked) => merged.push(ranked),
            None => return merged,
        }
    }
}

/// Carries the searches out and merges what they find.
pub fn search(queue: &Queue, queries: Vec<Query>, federation: Federation, context: Context) -> Result<Value> {
    let begun = Instant::now();
    for (number, query) in queries.iter().enumerate() {
        check(query, &federation).map_err(|error| inside(number, error))?;
    }
    let is_paged = federation.page.is_some() || federation.hits_per_page.is_some();
    let (offset, limit) = if is_paged {
        let per_page = federation.hits_per_page.unwrap_or(20);
        let before = federation.page.unwrap_or(1).checked_sub(1);
        before.map_or((0, 0), |before| (per_page.saturating_mul(before), per_page))
    } else {
        (federation.offset, federation.limit)
    };

    let mut by_index: BTreeMap<&str, Vec<(usize, &Query)>> = BTreeMap::new();
    for (number, query) in queries.iter().enumerate() {
        by_index.entry(&query.index_uid).or_default().push((number, query));
    }
    let mut total = 0;
    let mut lists = Vec::new();
    let mut facets_of = BTreeMap::new();
    let mut orders = BTreeMap::new();
    let mut is_semantic = false;
    let mut keys = BTreeMap::new();
    for (uid, queries) in by_index {
        let first = queries.first().map_or(0, |(number, _)| *number);
        let index = queue.index(uid).map_err(|error| inside(first, error))?;
        keys.insert(uid.to_string(), index.primary_key(&*index.read_txn()?)?.map(String::from));
        let mut candidates = RoaringBitmap::new();
        let mut of_index = Vec::new();
        for (number, query) in queries {
            let limit = offset.saturating_add(limit);
            let (ranked, found, semantic) = of_query(&index, number, query, limit, is_paged, &federation)
                .map_err(|error| inside(number, error))?;
            candidates |= found;
            is_semantic |= semantic;
            of_index.push(ranked);
        }
        total += candidates.len() as usize;
        let mut seen = HashSet::new();
        let merged = merge(of_index).into_iter().filter(|ranked| seen.insert(ranked.document));
        lists.push(merged.take(offset.saturating_add(limit)).collect());
        if let Some(Some(patterns)) = federation.facets_by_index.get(uid) {
            let rtxn = index.read_txn()?;
            let of_index = facets::count(&index, &rtxn, patterns, candidates)
                .map_err(|error| inside(first, error.inside(&format!(".federation.facetsByIndex.{uid}"))))?;
            let order = index.sort_facet_values_by(&rtxn)?;
            orders.extend(of_index.distribution.keys().map(|facet| (facet.clone(), order.get(facet))));
            facets_of.insert(uid.to_string(), of_index);
        }
    }

    let mut merged = merge(lists);
    if federation.distinct.is_some() {
        let mut seen = HashSet::new();
        let before = merged.len();
        merged.retain(|ranked| {
            let is_new = ranked.distinct.iter().all(|value| !seen.contains(value));
            if is_new {
                seen.extend(ranked.distinct.iter().cloned());
            }
            is_new
        });
        total -= before - merged.len();
    }
    let page: Vec<_> = merged.into_iter().skip(offset).take(limit).collect();
    let semantic = page
        .iter()
        .filter(|ranked| ranked.score.iter().any(|details| matches!(details, ScoreDetails::Vector(_))))
        .count();
    let hits: Vec<_> = page.into_iter().map(|ranked| ranked.hit).collect();

    let mut answer = json!({ "hits": hits, "processingTimeMs": begun.elapsed().as_millis() });
    if queries.iter().any(|query| query.request.retrieve_vectors) {
        let vectors = queries.iter().enumerate().filter_map(|(number, query)| {
            let asked = query.request.retrieve_vectors.then_some(query.request.vector.clone()).flatten()?;
            Some((number.to_string(), json!(asked)))
        });
        answer["queryVectors"] = Value::Object(vectors.collect());
    }
    if is_paged {
        let per_page = federation.hits_per_page.unwrap_or(20);
        answer["hitsPerPage"] = per_page.into();
        answer["page"] = federation.page.unwrap_or(1).into();
        answer["totalPages"] = if per_page == 0 { 0 } else { total.div_ceil(per_page) }.into();
        answer["totalHits"] = total.into();
    } else {
        answer["limit"] = federation.limit.into();
        answer["offset"] = federation.offset.into();
        answer["estimatedTotalHits"] = total.into();
    }
    match &federation.merge_facets {
        Some(_) if facets_of.is_empty() => {}
        Some(options) => {
            let Facets { distribution, stats } = merge_facets(facets_of, &orders, options);
            answer["facetDistribution"] = json!(distribution);
            answer["facetStats"] = json!(stats);
        }
        None if facets_of.is_empty() => {}
        None => answer["facetsByIndex"] = json!(facets_of),
    }
    answer["requestUid"] = json!(context.request_uid);
    if context.with_metadata {
        let metadata = queries.iter().map(|query| {
            let key = keys.get(&query.index_uid).cloned().flatten();
            query::Metadata::new(&query.request, &query.index_uid, key)
        });
        answer["metadata"] = json!(metadata.collect::<Vec<_>>());
    }
    if is_semantic {
        answer["semanticHitCount"] = semantic.into();
    }
    Ok(answer)
}

fn inside(number: usize, error: ResponseError) -> ResponseError {
    error.inside(&format!(".queries[{number}]"))
}

/// Refuses what a search must leave to the federation.
fn check(query: &Query, federation: &Federation) -> Result<()> {
    let request = &query.request;
    if query.options.remote.is_some() || query.options.query_position.is_some() {
        return Err(network_is_disabled());
    }
    for (name, is_set) in [
        ("limit", request.limit != 20),
        ("offset", request.offset != 0),
        ("page", request.page.is_some()),
        ("hitsPerPage", request.hits_per_page.is_some()),
    ] {
        if is_set {
            let message = format!(
                "Using pagination options is not allowed in federated queries.\n - Hint: remove `{name}` from the query \
                 or remove `federation` from the request\n - Hint: pass `federation.limit` and `federation.offset` for \
                 pagination in federated search"
            );
            return Err(ResponseError::new("invalid_multi_search_query_pagination", message));
        }
    }
    if let Some(facets) = &request.facets {
        let (uid, facets) = (&query.index_uid, &facets.patterns);
        let message = format!(
            "Using facet options is not allowed in federated queries.\n - Hint: remove `facets` from the query or remove \
             `federation` from the request\n - Hint: pass `federation.facetsByIndex.{uid}: {facets:?}` for facets in \
             federated search"
        );
        return Err(ResponseError::new("invalid_multi_search_query_facets", message));
    }
    if request.personalize.is_some() {
        let message = "Using `.personalize` is not allowed in federated queries.\n - Hint: remove `personalize` from the \
                       query or remove `federation` from the request\n - Hint: pass `federation.personalize` for \
                       personalization in federated search";
        return Err(ResponseError::new("invalid_multi_search_query_personalization", message));
    }
    if request.show_performance_details {
        let message = "Using `.showPerformanceDetails` is not allowed in federated queries.\n - Hint: remove \
                       `showPerformanceDetails` from the query or remove `federation` from the request";
        let code = "invalid_multi_search_query_show_performance_details";
        return Err(ResponseError::new(code, message));
    }
    if request.distinct.is_some() && federation.distinct.is_some() {
        let message = "Using `distinct` options is not allowed in federated queries when it also appears in \
                       `.federation.distinct`.\n - Hint: remove `distinct` from the query or remove `federation` from \
                       the request\n  - Note: `distinct` at the query level is discouraged in federated search.";
        return Err(ResponseError::new("invalid_multi_search_distinct", message));
    }
    Ok(())
}

/// The hits of one search in their order, all that it found, and whether vectors took part.
fn of_query(
    index: &Index,
    number: usize,
    query: &Query,
    limit: usize,
    is_paged: bool,
    federation: &Federation,
) -> Result<(Vec<Ranked>, RoaringBitmap, bool)> {
    let rtxn = index.read_txn()?;
    let mut request = query.request.clone();
    request.distinct = federation.distinct.clone().or(request.distinct);
    let limit = limit.min(query::max_total_hits(index, &rtxn)?);
    let window = Window { offset: 0, limit, is_exhaustive: is_paged };
    let (found, semantic) =
        query::find(&query.index_uid, index, &rtxn, &request, window, ScoringStrategy::Detailed)?;
    let hits = hits::make(
        index,
        &rtxn,
        &request,
        found.matching_words,
        &found.documents_ids,
        &found.document_scores,
    )?;
    let fields = index.fields_ids_map(&rtxn)?;
    let weight = query.options.weight.0;
    let mut ranked = Vec::with_capacity(hits.len());
    for ((document, score), mut hit) in found.documents_ids.into_iter().zip(found.document_scores).zip(hits) {
        let mut distinct = Vec::new();
        if let Some(attribute) = &federation.distinct {
            let mut stored = all_obkv_to_json(index.document(&rtxn, document)?, &fields)?;
            pointer::visit_leaves(&mut stored, &[attribute], &mut |_, _, value| {
                distinct.push(value.to_string().to_lowercase());
            });
        }
        let score_in_list = hits::ranking_score(&score) * weight;
        hit.insert(
            "_federation".to_string(),
            json!({
                "indexUid": query.index_uid, "queriesPosition": number, "weightedRankingScore": score_in_list,
            }),
        );
        ranked.push(Ranked { query: number, weight, score, hit, document, distinct });
    }
    Ok((ranked, found.candidates, semantic.is_some()))
}

fn merge_facets(
    facets_of: BTreeMap<String, Facets>,
    orders: &BTreeMap<String, OrderBy>,
    options: &MergeFacets,
) -> Facets {
    let mut distribution: BTreeMap<String, IndexMap<String, u64>> = BTreeMap::new();
    let mut stats: BTreeMap<String, FacetStats> = BTreeMap::new();
    for facets in facets_of.into_values() {
        for (facet, values) in facets.distribution {
            let merged = distribution.entry(facet).or_default();
            for (value, count) in values {
                *merged.entry(value).or_default() += count;
            }
        }
        for (facet, FacetStats { min, max }) in facets.stats {
            let merged = stats.entry(facet).or_insert(FacetStats { min, max });
            *merged = FacetStats { min: merged.min.min(min), max: merged.max.max(max) };
        }
    }
    for (facet, values) in &mut distribution {
        match orders.get(facet) {
            Some(OrderBy::Count) => values.sort_by(|_, left, _, right| right.cmp(left)),
            _ => values.sort_keys(),
        }
        if let Some(max) = options.max_values_per_facet {
            values.truncate(max);
        }
    }
    Facets { distribution, stats }
}
