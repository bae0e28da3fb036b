//! Whether two answers to a query are the same to its asker.
//!
//! Documents of equal rank may come in another order. So hits are compared by their rank keys, place by place, and as
//! sets where the keys are equal; where the page cuts through such a set, either part of it may be on the page.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;
use miroir_harness::Client;
use serde_json::{Map, Value, json};

use crate::corpus;
use crate::query::Query;

/// The answers to a query as it is, and to the same query with all that the ranking goes by.
#[derive(Debug)]
pub struct Answers {
    pub plain: Value,
    pub ranked: Value,
}

impl Answers {
    /// Asks both.
    pub async fn to(query: &Query, client: &Client) -> Result<Answers> {
        Ok(Answers { plain: query.send(client).await?, ranked: query.ranked().send(client).await? })
    }
}

/// What differs between the answers to a query.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// The rank keys of the hits, in their order.
    pub ranks: bool,
    /// The totals, and all else that is no hit, no facet and no time.
    pub totals: bool,
    /// The facets: counts, their order, ranges.
    pub facets: bool,
    /// The documents found, where the rank keys are equal.
    pub hits: bool,
    /// What is highlighted, cropped, pointed out or explained in them, where they are equal themselves.
    pub highlights: bool,
    /// The ids of all hits of both.
    pub found: Vec<String>,
    /// Whether the engine itself is the cause.
    pub of_the_engine: bool,
    /// The query and both answers, for a person.
    pub text: String,
}

impl Difference {
    /// Whether anything differs.
    pub fn any(&self) -> bool {
        self.ranks || self.totals || self.facets || self.hits || self.highlights
    }
}

/// Compares Miroir's answers with those of one node.
///
/// # Errors
/// If the node does not answer when it is asked about single documents.
pub async fn compare(query: &Query, ours: &Answers, theirs: &Answers, node: &Client) -> Result<Difference> {
    let pairs = [(&ours.plain, &theirs.plain), (&ours.ranked, &theirs.ranked)];
    let ranks = keys(&ours.ranked) != keys(&theirs.ranked);
    let differing = if ranks { None } else { differing_hits(query, ours, theirs, node).await? };
    let mut difference = Difference {
        ranks: ranks || differing == Some(Part::Rank),
        totals: pairs.iter().any(|(ours, theirs)| totals(query, ours) != totals(query, theirs)),
        facets: pairs.iter().any(|(ours, theirs)| facets(query, ours) != facets(query, theirs)),
        hits: differing == Some(Part::Document),
        highlights: differing == Some(Part::Highlights),
        found: ids(&[hits(&ours.ranked), hits(&theirs.ranked)].concat()),
        of_the_engine: false,
        text: String::new(),
    };
    if difference.any() {
        difference.text = describe(query, &difference, ours, theirs);
    }
    Ok(difference)
}

/// The hits of an answer.
pub fn hits(answer: &Value) -> &[Value] {
    answer["hits"].as_array().map_or(&[], Vec::as_slice)
}

/// The rank keys of the hits of an answer with scores and details.
pub fn keys(answer: &Value) -> Vec<Value> {
    hits(answer).iter().map(key).collect()
}

/// What a hit's rank goes by: its score, and the values that it is sorted by.
fn key(hit: &Value) -> Value {
    let mut rules: Vec<&Value> =
        hit["_rankingScoreDetails"].as_object().into_iter().flat_map(|details| details.values()).collect();
    rules.sort_by_key(|rule| rule["order"].as_u64());
    let sorted: Vec<&Value> = rules.iter().filter_map(|rule| rule.get("value")).collect();
    json!([hit["_rankingScore"], sorted])
}

fn totals(query: &Query, answer: &Value) -> Value {
    let mut rest = answer.as_object().cloned().unwrap_or_default();
    let passing = ["hits", "facetDistribution", "facetStats", "processingTimeMs", "requestUid"];
    rest.retain(|member, _| !passing.contains(&&**member));
    if query.counts_are_guesses(hits(answer).len()) {
        rest.retain(|member, _| !["estimatedTotalHits", "totalHits", "totalPages"].contains(&&**member));
    }
    rest.into()
}

/// What the facets tell, in their order. Of values with equal counts any may come first where the counts order them,
/// and any may be cut off; of values that are one to the engine, as they differ in case or outer space alone, any may be
/// shown.
fn facets(query: &Query, answer: &Value) -> String {
    if query.counts_are_guesses(hits(answer).len()) {
        return String::new();
    }
    let mut distribution = answer["facetDistribution"].as_object().cloned().unwrap_or_default();
    for (facet, values) in &mut distribution {
        let counts = values.as_object().cloned().unwrap_or_default();
        let counts = counts.into_iter().map(|(value, count)| (value.trim().to_lowercase(), count)).collect();
        *values = match corpus::counts_order(query.index, facet) {
            true => by_count(counts),
            false => counts.into(),
        };
    }
    json!([distribution, answer.get("facetStats")]).to_string()
}

fn by_count(values: Map<String, Value>) -> Value {
    let counts: Vec<Value> = values.values().cloned().collect();
    let least = match values.len() < corpus::MAX_FACET_VALUES {
        true => 0,
        false => counts.iter().filter_map(Value::as_u64).min().unwrap_or(0),
    };
    let sure = values.into_iter().filter(|(_, count)| count.as_u64() > Some(least));
    json!([counts, sure.collect::<BTreeMap<_, _>>()])
}

/// A part of a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Document,
    Rank,
    /// And the places of matches, and the details of the score.
    Highlights,
}

/// In what the hits differ. Their rank keys are equal place by place; where they are equal among each other, the hits
/// are to be equal as sets.
async fn differing_hits(
    query: &Query,
    ours: &Answers,
    theirs: &Answers,
    node: &Client,
) -> Result<Option<Part>> {
    if hits(&ours.plain).len() != hits(&theirs.plain).len() {
        return Ok(Some(Part::Document));
    }
    let mut differing = None;
    let mut strangers = Vec::new();
    for group in groups(query, &keys(&theirs.ranked)) {
        let of_group = |answer| &hits(answer)[group.places.clone()];
        // Of equal documents with one distinct value, too, either may be shown.
        if group.is_open || query.body.contains_key("distinct") {
            strangers.extend(without(of_group(&ours.ranked), of_group(&theirs.ranked)));
            continue;
        }
        for (ours, theirs) in [(&ours.plain, &theirs.plain), (&ours.ranked, &theirs.ranked)] {
            let (ours, theirs) = (of_group(ours), of_group(theirs));
            if !without(&documents(ours), &documents(theirs)).is_empty() {
                return Ok(Some(Part::Document));
            }
            if !without(ours, theirs).is_empty() {
                differing = Some(Part::Highlights);
            }
        }
    }
    if strangers.is_empty() {
        return Ok(differing);
    }
    let known = query.ranked().of_documents(&ids(&strangers)).send(node).await?;
    let known = hits(&known);
    let ranks = |hits: &[Value]| hits.iter().map(|hit| json!([hit["id"], key(hit)])).collect::<Vec<_>>();
    Ok(if !without(&documents(&strangers), &documents(known)).is_empty() {
        Some(Part::Document)
    } else if !without(&ranks(&strangers), &ranks(known)).is_empty() {
        Some(Part::Rank)
    } else if !without(&strangers, known).is_empty() {
        Some(Part::Highlights)
    } else {
        differing
    })
}

fn ids(hits: &[Value]) -> Vec<String> {
    hits.iter().filter_map(|hit| hit["id"].as_str().map(String::from)).collect()
}

/// The documents of hits.
fn documents(hits: &[Value]) -> Vec<Value> {
    let added = ["_formatted", "_matchesPosition", "_rankingScore", "_rankingScoreDetails"];
    let mut documents = hits.to_vec();
    for document in documents.iter_mut().filter_map(Value::as_object_mut) {
        document.retain(|member, _| !added.contains(&&**member));
    }
    documents
}

/// Places of one rank.
struct Group {
    places: std::ops::Range<usize>,
    /// Whether the page may have cut it.
    is_open: bool,
}

fn groups(query: &Query, keys: &[Value]) -> Vec<Group> {
    let number = |name, default| query.body.get(name).and_then(Value::as_u64).unwrap_or(default);
    let (cut_before, length) = match query.is_paged() {
        true => (number("page", 1) > 1, number("hitsPerPage", 20)),
        false => (number("offset", 0) > 0, number("limit", 20)),
    };
    let cut_after = keys.len() as u64 >= length;
    let mut groups: Vec<Group> = Vec::new();
    for chunk in keys.chunk_by(|a, b| a == b) {
        let start = groups.last().map_or(0, |group| group.places.end);
        let places = start..start + chunk.len();
        let is_open = (start == 0 && cut_before) || (places.end == keys.len() && cut_after);
        groups.push(Group { places, is_open });
    }
    groups
}

/// Those of `hits` that are not among `others`, each of which counts once.
fn without(hits: &[Value], others: &[Value]) -> Vec<Value> {
    let mut others: Vec<&Value> = others.iter().collect();
    let is_extra = |hit: &&Value| match others.iter().position(|other| other == hit) {
        Some(place) => {
            others.swap_remove(place);
            false
        }
        None => true,
    };
    hits.iter().filter(is_extra).cloned().collect()
}

fn describe(query: &Query, difference: &Difference, ours: &Answers, theirs: &Answers) -> String {
    let what = [
        ("rank keys", difference.ranks),
        ("totals", difference.totals),
        ("facets", difference.facets),
        ("hits", difference.hits),
        ("highlights", difference.highlights),
    ];
    let what: Vec<&str> = what.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
    let mut text = format!("{query}\ndiffers in {}:\n", what.join(", "));
    for (who, answers) in [("Miroir", ours), ("one node", theirs)] {
        let _ = writeln!(text, "  {who}: {}", totals(query, &answers.plain));
        if difference.facets {
            let _ = writeln!(text, "    {}", facets(query, &answers.plain));
        }
        for (place, hit) in hits(&answers.ranked).iter().enumerate() {
            let _ = writeln!(text, "    {place:2}. {} {}", hit["id"], key(hit));
        }
    }
    if difference.ranks {
        let differs = |(one, other): &(&Value, &Value)| key(one) != key(other);
        let first = hits(&ours.ranked).iter().zip(hits(&theirs.ranked)).find(differs);
        for (who, hit) in first.into_iter().flat_map(|(one, other)| [("Miroir", one), ("one node", other)]) {
            let _ = writeln!(text, "  {who} ranks {} by {}", hit["id"], hit["_rankingScoreDetails"]);
        }
    }
    if difference.hits || difference.highlights {
        for (what, ours, theirs) in
            [("as asked", &ours.plain, &theirs.plain), ("with details", &ours.ranked, &theirs.ranked)]
        {
            for (who, one, other) in [("Miroir", ours, theirs), ("one node", theirs, ours)] {
                for hit in without(hits(one), hits(other)) {
                    let _ = writeln!(text, "  {what}, shown by {who} only: {hit}");
                }
            }
        }
    }
    text
}
