//! Merging the answers of several nodes to a federated search.
//!
//! As Meilisearch does it with the queries of one node: the hits of a query come in the order of their ranks, those of
//! an index in the order of their weighted scores, and so do those of all indexes.

use std::collections::{BTreeMap, HashSet};

use crate::json::{NotJson, ObjectWriter};
use crate::search::facets::{self, Distribution, Stats};
use crate::search::federated::{FederatedAnswer, FederatedHit, IndexFacets};
use crate::search::federation::{Federation, MergeFacets};
use crate::search::hit::DistinctValue;
use crate::search::merge::{precedes, precedes_in_halves};
use crate::search::query::Window;
use crate::search::values::Weighted;
use crate::table::{FacetOrder, IndexFacts};

/// A hit, and the answer that it is in.
#[derive(Clone)]
struct Candidate<'a> {
    answer: &'a FederatedAnswer,
    hit: &'a FederatedHit,
    weighted: Option<Weighted>,
}

impl<'a> Candidate<'a> {
    fn new(answer: &'a FederatedAnswer, hit: &'a FederatedHit, weight: f64) -> Candidate<'a> {
        let weighted = hit.rank.as_ref().map(|rank| Weighted {
            values: rank.values.clone(),
            weight,
            score: hit.weighted_score,
        });
        Candidate { answer, hit, weighted }
    }

    fn distinct(&self) -> &'a [DistinctValue] {
        self.hit.rank.as_ref().map_or(&[], |rank| &rank.distinct)
    }

    fn precedes(&self, other: &Candidate) -> bool {
        let order = match (&self.weighted, &other.weighted) {
            (Some(a), Some(b)) => a.compare(b),
            _ => std::cmp::Ordering::Equal,
        };
        order.is_gt() || order.is_eq() && self.hit.query < other.hit.query
    }
}

/// The client's answer from those of the nodes; `None` if the indexes order the values of a facet otherwise.
///
/// # Errors
/// [`NotJson`] if there is no answer to merge, or a hit is not what it seemed.
pub fn merge(federation: &Federation, answers: &[FederatedAnswer]) -> Result<Option<Vec<u8>>, NotJson> {
    let first = answers.first().ok_or(NotJson)?;
    let is_alone = answers.len() == 1 && first.hits.iter().all(|hit| hit.rank.is_none());
    let (hits, repeats) = match is_alone {
        true => (first.hits.iter().map(|hit| Candidate::new(first, hit, 1.0)).collect(), 0),
        false => best(federation, answers),
    };
    let total = answers.iter().map(|answer| answer.total).sum::<u64>().saturating_sub(repeats);
    let semantic_hits = match is_alone {
        true => first.semantic_hits.unwrap_or(0),
        false => hits.iter().filter(|candidate| is_semantic(candidate.hit)).count() as u64,
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
            (b"hits", _) => write_hits(federation, &hits, body.key("hits"))?,
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

fn is_semantic(hit: &FederatedHit) -> bool {
    hit.rank.as_ref().is_some_and(|rank| rank.key.is_semantic())
}

/// The hits to return, and how many of all repeat a distinct value that another node has counted too.
fn best<'a>(federation: &Federation, answers: &'a [FederatedAnswer]) -> (Vec<Candidate<'a>>, u64) {
    let ranks = federation.window.ranks(usize::MAX);
    let mut repeats = 0;
    let mut by_index: BTreeMap<&str, (usize, Vec<Vec<Candidate>>)> = BTreeMap::new();
    for (place, query) in federation.queries.iter().enumerate() {
        let of_query = |answer: &'a FederatedAnswer| {
            let hits = answer.hits.iter().filter(|hit| hit.query == place);
            hits.map(|hit| Candidate::new(answer, hit, query.weight)).collect::<Vec<_>>()
        };
        let halves = query.search.query.halves();
        let merged =
            merged(answers.iter().map(of_query).collect(), |a, b| match (&a.hit.rank, &b.hit.rank) {
                (Some(a), Some(b)) => match halves {
                    Some(halves) => precedes_in_halves(a, b, halves),
                    None => precedes(a, b),
                },
                _ => false,
            });
        let mut distinct = Distinct::default();
        let hits = match query.search.query.distinct {
            Some(_) => merged.filter(|candidate| distinct.lets_through(candidate)).collect(),
            None => merged.collect(),
        };
        repeats += distinct.repeats;
        let index = by_index.entry(&query.search.index).or_default();
        index.0 = query.search.facts.max_total_hits;
        index.1.push(hits);
    }
    let mut lists = Vec::with_capacity(by_index.len());
    for (max_total_hits, queries) in by_index.into_values() {
        let mut distinct = Distinct::default();
        let hits = merged(queries, |a, b| a.precedes(b));
        let hits = hits.filter(|candidate| federation.distinct.is_none() || distinct.lets_through(candidate));
        lists.push(hits.take(ranks.end.min(max_total_hits)).collect());
        repeats += distinct.repeats;
    }
    let mut distinct = Distinct::default();
    let hits = merged(lists, |a, b| a.precedes(b));
    let hits: Vec<Candidate> =
        hits.filter(|candidate| federation.distinct.is_none() || distinct.lets_through(candidate)).collect();
    let window = hits.into_iter().skip(ranks.start).take(ranks.len()).collect();
    (window, repeats + distinct.repeats)
}

/// Lets each value through once.
#[derive(Default)]
struct Distinct<'a> {
    seen: HashSet<&'a DistinctValue>,
    repeats: u64,
}

impl<'a> Distinct<'a> {
    fn lets_through(&mut self, candidate: &Candidate<'a>) -> bool {
        let values = candidate.distinct();
        if values.iter().any(|value| self.seen.contains(value)) {
            self.repeats += 1;
            return false;
        }
        self.seen.extend(values);
        true
    }
}

/// One list of several that are in order; of equal hits those of the first list come first.
fn merged<'a>(
    lists: Vec<Vec<Candidate<'a>>>,
    precedes: impl Fn(&Candidate, &Candidate) -> bool,
) -> impl Iterator<Item = Candidate<'a>> {
    let mut queues: Vec<_> = lists.into_iter().map(|list| list.into_iter().peekable()).collect();
    std::iter::from_fn(move || {
        let heads = queues.iter_mut().enumerate();
        let heads = heads.filter_map(|(place, queue)| queue.peek().map(|head| (place, head)));
        let best = heads.reduce(|best, next| if precedes(next.1, best.1) { next } else { best });
        let place = best.map(|(place, _)| place)?;
        queues.get_mut(place).and_then(Iterator::next)
    })
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
        text = view.write(candidate.answer.hit_text(candidate.hit), text)?;
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
                facets::merge(&distributions, &stats, candidates, facts)
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
