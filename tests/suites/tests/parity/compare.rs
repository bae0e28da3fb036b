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

    /// The same answers without what is highlighted, cropped or pointed out in the hits.
    fn bare(&self) -> Answers {
        let bare = |answer: &Value| {
            let mut answer = answer.clone();
            let hits = answer["hits"].as_array_mut().into_iter().flatten();
            for hit in hits.filter_map(Value::as_object_mut) {
                hit.retain(|member, _| !["_formatted", "_matchesPosition"].contains(&&**member));
            }
            answer
        };
        Answers { plain: bare(&self.plain), ranked: bare(&self.ranked) }
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
    /// What is highlighted, cropped or pointed out in them, where they are equal themselves.
    pub highlights: bool,
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
    let (bare_query, bare_ours, bare_theirs) = (query.bare(), ours.bare(), theirs.bare());
    let hits = !ranks && !same_hits(&bare_query, &bare_ours, &bare_theirs, node).await?;
    let highlights = !ranks && !hits && !same_hits(query, ours, theirs, node).await?;
    let mut difference = Difference {
        ranks,
        totals: pairs.iter().any(|(ours, theirs)| totals(query, ours) != totals(query, theirs)),
        facets: pairs.iter().any(|(ours, theirs)| facets(query, ours) != facets(query, theirs)),
        hits,
        highlights,
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
/// and any may be cut off.
fn facets(query: &Query, answer: &Value) -> String {
    if query.counts_are_guesses(hits(answer).len()) {
        return String::new();
    }
    let mut distribution = answer["facetDistribution"].as_object().cloned().unwrap_or_default();
    for (facet, values) in &mut distribution {
        if corpus::counts_order(query.index, facet) {
            *values = by_count(values.as_object().cloned().unwrap_or_default());
        }
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

/// Whether the hits are equal as sets wherever their rank keys are equal, which they are place by place.
async fn same_hits(query: &Query, ours: &Answers, theirs: &Answers, node: &Client) -> Result<bool> {
    let is_distinct = query.body.contains_key("distinct");
    let mut strangers = Vec::new();
    if hits(&ours.plain).len() != hits(&theirs.plain).len() {
        return Ok(false);
    }
    for group in groups(query, &keys(&theirs.ranked)) {
        // Of equal documents with one distinct value, too, either may be shown.
        let is_open = group.is_open || is_distinct;
        let extra = |ours: &Value, theirs: &Value| {
            without(&hits(ours)[group.places.clone()], &hits(theirs)[group.places.clone()])
        };
        if !is_open && !extra(&ours.plain, &theirs.plain).is_empty() {
            return Ok(false);
        }
        let extra = extra(&ours.ranked, &theirs.ranked);
        if !is_open && !extra.is_empty() {
            return Ok(false);
        }
        strangers.extend(extra);
    }
    if strangers.is_empty() {
        return Ok(true);
    }
    let ids: Vec<String> = strangers.iter().filter_map(|hit| hit["id"].as_str().map(String::from)).collect();
    let known = query.ranked().of_documents(&ids).send(node).await?;
    Ok(ids.len() == strangers.len() && without(&strangers, hits(&known)).is_empty())
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
