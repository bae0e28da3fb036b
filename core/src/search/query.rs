//! A search as the client asked for it, and as each node is asked.

use std::cmp::min;

use serde_json::{Map, Value, json};
use twox_hash::XxHash64;

use crate::fan_out::Unreadable;
use crate::search::facets;
use crate::search::hit::HitView;
use crate::shard_set::ShardSet;
use crate::table::IndexFacts;
use crate::tag;

const DEFAULT_LIMIT: usize = 20;

/// Meilisearch's own default.
const DEFAULT_SEMANTIC_RATIO: f32 = 0.5;

/// The parameters that make a search use vectors.
const VECTOR_PARAMETERS: [&str; 3] = ["vector", "hybrid", "media"];

/// Which part of the ranking the client wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// `offset` and `limit`: the total is an estimate.
    OffsetLimit {
        /// Hits to skip.
        offset: usize,
        /// Hits to return.
        limit: usize,
    },
    /// `page` and `hitsPerPage`: the total is exact.
    Page {
        /// Counted from 1; page 0 is empty.
        page: usize,
        /// Hits to return.
        hits_per_page: usize,
    },
}

impl Window {
    /// The ranks of the hits to return, cut at `maxTotalHits`.
    pub fn ranks(self, max_total_hits: usize) -> std::ops::Range<usize> {
        let (start, length) = match self {
            Window::OffsetLimit { offset, limit } => (offset, limit),
            Window::Page { page: 0, .. } => (0, 0),
            Window::Page { page, hits_per_page } => ((page - 1).saturating_mul(hits_per_page), hits_per_page),
        };
        let start = min(start, max_total_hits);
        start..min(start.saturating_add(length), max_total_hits)
    }

    /// How many pages so many hits fill; none if there are no pages.
    pub fn pages(self, hits: u64) -> u64 {
        match self {
            Window::OffsetLimit { .. } | Window::Page { hits_per_page: 0, .. } => 0,
            Window::Page { hits_per_page, .. } => hits.div_ceil(hits_per_page as u64),
        }
    }
}

/// A client's search.
#[derive(Clone, Debug)]
pub struct SearchQuery {
    body: Map<String, Value>,
    /// The part of the ranking to return.
    pub window: Window,
    /// The attribute of which each value may appear once: the request's, else the index's.
    pub distinct: Option<String>,
    /// Whether nodes give the distinct attribute as a facet.
    distinct_is_facet: bool,
    /// A facet that Meilisearch refuses and nodes might give.
    pub unfilterable_facet: Option<String>,
    shows_score: bool,
    shows_details: bool,
    /// Whether the score alone does not order the hits.
    ranks_by_details: bool,
    /// How much the semantic half of a hybrid search counts; `None` for a search that is none.
    semantic_ratio: Option<f32>,
}

impl SearchQuery {
    /// Reads the body of a search.
    ///
    /// # Errors
    /// [`Unreadable`] where a node would refuse it, as far as merging depends on it.
    pub fn parse(mut body: Map<String, Value>, facts: &IndexFacts) -> Result<SearchQuery, Unreadable> {
        if !matches!(body.get("filter"), None | Some(Value::Null | Value::String(_) | Value::Array(_))) {
            return Err(Unreadable);
        }
        let window = read_window(&body)?;
        let distinct = match body.get("distinct") {
            None | Some(Value::Null) => facts.distinct_attribute.clone(),
            Some(Value::String(attribute)) => Some(attribute.clone()),
            Some(_) => return Err(Unreadable),
        };
        // One of the request's own must be filterable, or nodes refuse it.
        let distinct_is_facet = !is_absent(body.get("distinct")) || facts.distinct_is_filterable;
        let sorts = match body.get("sort") {
            None | Some(Value::Null) => false,
            Some(Value::Array(rules)) => !rules.is_empty(),
            Some(_) => return Err(Unreadable),
        };
        let uses_vectors = VECTOR_PARAMETERS.iter().any(|key| !is_absent(body.get(*key)));
        let semantic_ratio = semantic_ratio(&body)?;
        let has_custom_rule = facts.ranking_rules.iter().any(|rule| rule.contains(':'));
        let shows_score = boolean(body.get("showRankingScore"))?;
        let shows_details = boolean(body.get("showRankingScoreDetails"))?;
        if let Some(displayed) = &facts.displayed_attributes {
            limit_to_displayed(&mut body, displayed)?;
        }
        strings(body.get("attributesToRetrieve"))?;
        let unfilterable_facet = facets::take_unfilterable(body.get_mut("facets"), facts);
        Ok(SearchQuery {
            body,
            window,
            distinct,
            distinct_is_facet,
            unfilterable_facet,
            shows_score,
            shows_details,
            ranks_by_details: sorts || uses_vectors || has_custom_rule || facts.has_pins,
            semantic_ratio,
        })
    }

    /// Whether the client has named the distinct attribute.
    pub fn names_distinct(&self) -> bool {
        !is_absent(self.body.get("distinct"))
    }

    /// Lets each value of this attribute appear once, whatever was asked for before.
    pub fn set_distinct(&mut self, attribute: &str) {
        self.distinct = Some(attribute.to_string());
    }

    /// Has the nodes return this attribute too, whether the client may see it or not.
    pub fn retrieve(&mut self, attribute: &str) {
        if let Some(Value::Array(retrieved)) = self.body.get_mut("attributesToRetrieve") {
            retrieved.push(json!(attribute));
        }
    }

    /// The distinct attribute, if it must be added to those that nodes return.
    fn added_distinct(&self) -> Option<&String> {
        let retrieved = strings(self.body.get("attributesToRetrieve")).ok()??;
        let distinct = self.distinct.as_ref()?;
        (!retrieved.iter().any(|attribute| *attribute == "*" || attribute == distinct)).then_some(distinct)
    }

    /// Chooses replicas: the same for all pages of one query.
    pub fn seed(&self) -> u64 {
        let mut body = self.body.clone();
        for key in ["offset", "limit", "page", "hitsPerPage"] {
            body.remove(key);
        }
        XxHash64::oneshot(0, Value::Object(body).to_string().as_bytes())
    }

    /// The body for the one node that answers alone.
    pub fn body_for_only_node(&self, tags: Option<&ShardSet>) -> Map<String, Value> {
        let mut body = self.body.clone();
        add_clause(&mut body, tags);
        body
    }

    /// Whether its page can be seen to be the same whichever replicas it was read from.
    pub fn can_be_hedged(&self, facts: &IndexFacts) -> bool {
        self.distinct.is_none() && self.semantic_ratio.is_none() && !facts.has_pins
    }

    /// The body for one node of several: all hits from rank 0, with what merging needs. `tags` are those to
    /// filter for, if the node holds others too. One hit more shows whether the last has an equal.
    pub fn body_for_node(
        &self,
        tags: Option<&ShardSet>,
        facts: &IndexFacts,
        one_more: bool,
    ) -> Map<String, Value> {
        let mut body = self.body.clone();
        let hits = self.hits_per_node(facts).saturating_add(one_more.into());
        match self.window {
            Window::OffsetLimit { .. } => {
                body.insert("offset".into(), json!(0));
                body.insert("limit".into(), json!(hits));
            }
            Window::Page { .. } => {
                body.insert("page".into(), json!(1));
                body.insert("hitsPerPage".into(), json!(hits));
            }
        }
        self.add_ranks(&mut body, self.ranks_by_details);
        if let Some(facet) = self.added_facet() {
            match body.get_mut("facets") {
                Some(Value::Array(facets)) => facets.push(json!(facet)),
                _ => drop(body.insert("facets".into(), json!([facet]))),
            }
        }
        add_clause(&mut body, tags);
        body
    }

    /// The distinct attribute, where nodes count one document for each of its values: where the total is to be exact.
    pub fn distinct_of_counts(&self) -> Option<&str> {
        self.distinct.as_deref().filter(|_| matches!(self.window, Window::Page { .. }))
    }

    /// The distinct attribute, where its values are counted over all nodes as those of a facet: where the total is to
    /// be exact.
    pub fn counted_distinct(&self) -> Option<&str> {
        self.distinct_of_counts().filter(|_| self.distinct_is_facet)
    }

    /// That facet, if the client did not ask for it.
    pub fn added_facet(&self) -> Option<&str> {
        let asked = strings(self.body.get("facets")).ok().flatten().unwrap_or_default();
        self.counted_distinct().filter(|distinct| !asked.contains(distinct) && !asked.contains(&"*"))
    }

    /// Whether the client asked for facets.
    pub fn shows_facets(&self) -> bool {
        !is_absent(self.body.get("facets"))
    }

    /// The body for one node of several, as one of the queries of a federated search: with what merging needs.
    pub fn body_for_federation(&self, tags: Option<&ShardSet>) -> Map<String, Value> {
        let mut body = self.body.clone();
        self.add_ranks(&mut body, true);
        add_clause(&mut body, tags);
        body
    }

    fn add_ranks(&self, body: &mut Map<String, Value>, with_details: bool) {
        body.insert("showRankingScore".into(), json!(true));
        if with_details {
            body.insert("showRankingScoreDetails".into(), json!(true));
        }
        if let (Some(distinct), Some(Value::Array(retrieved))) =
            (self.added_distinct(), body.get_mut("attributesToRetrieve"))
        {
            retrieved.push(json!(distinct));
        }
    }

    /// The same for the half of a hybrid search that uses words alone: Meilisearch needs no other where its hits are
    /// good enough.
    pub fn keyword_body_for_node(&self, tags: Option<&ShardSet>, facts: &IndexFacts) -> Map<String, Value> {
        let mut body = self.body_for_node(tags, facts, false);
        VECTOR_PARAMETERS.iter().for_each(|key| {
            body.remove(*key);
        });
        body
    }

    /// How much the semantic half of a hybrid search counts, and how much the other half; `None` for a search that is
    /// none.
    pub fn halves(&self) -> Option<Halves> {
        let semantic = self.semantic_ratio?;
        Some(Halves { semantic: semantic.into(), keyword: (1.0 - semantic).into() })
    }

    /// How many hits a node must return so that the merged list is right. With `distinct` and an exact total all of
    /// them where the hits alone tell which values several nodes have in common.
    fn hits_per_node(&self, facts: &IndexFacts) -> usize {
        match (self.window, &self.distinct) {
            (Window::Page { .. }, Some(_)) if !self.distinct_is_facet => facts.max_total_hits,
            _ => self.window.ranks(facts.max_total_hits).end,
        }
    }

    /// Whether hits are ordered by the rules in their score details, not by their score.
    pub fn ranks_by_details(&self) -> bool {
        self.ranks_by_details
    }

    /// What the client may see of a hit.
    pub fn hit_view(&self, facts: &IndexFacts) -> HitView {
        HitView {
            score: self.shows_score,
            details: self.shows_details,
            without: self.added_distinct().cloned(),
            displayed: facts.displayed_attributes.clone(),
        }
    }
}

/// How much the halves of a hybrid search count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Halves {
    /// Hits by their vectors.
    pub semantic: f64,
    /// Hits by their words.
    pub keyword: f64,
}

fn semantic_ratio(body: &Map<String, Value>) -> Result<Option<f32>, Unreadable> {
    let hybrid = match body.get("hybrid") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(hybrid)) => hybrid,
        Some(_) => return Err(Unreadable),
    };
    let ratio = match hybrid.get("semanticRatio") {
        None => DEFAULT_SEMANTIC_RATIO,
        Some(ratio) => ratio.as_f64().ok_or(Unreadable)? as f32,
    };
    let has_words = match body.get("q") {
        None | Some(Value::Null) => false,
        Some(Value::String(words)) => !words.trim().is_empty(),
        Some(_) => return Err(Unreadable),
    };
    Ok(Some(ratio).filter(|&ratio| has_words && ratio != 0.0 && ratio != 1.0))
}

/// Reads the parameters that say which part of a ranking to return.
///
/// # Errors
/// [`Unreadable`] where a node would refuse them.
pub fn read_window(body: &Map<String, Value>) -> Result<Window, Unreadable> {
    let offset = integer(body.get("offset"))?;
    let limit = integer(body.get("limit"))?;
    let page = integer_or_null(body.get("page"))?;
    let hits_per_page = integer_or_null(body.get("hitsPerPage"))?;
    Ok(match (page, hits_per_page) {
        (None, None) => {
            Window::OffsetLimit { offset: offset.unwrap_or(0), limit: limit.unwrap_or(DEFAULT_LIMIT) }
        }
        (page, hits_per_page) => {
            Window::Page { page: page.unwrap_or(1), hits_per_page: hits_per_page.unwrap_or(DEFAULT_LIMIT) }
        }
    })
}

fn is_absent(value: Option<&Value>) -> bool {
    matches!(value, None | Some(Value::Null))
}

fn integer(value: Option<&Value>) -> Result<Option<usize>, Unreadable> {
    let Some(value) = value else { return Ok(None) };
    let integer = value.as_u64().ok_or(Unreadable)?;
    Ok(Some(usize::try_from(integer).unwrap_or(usize::MAX)))
}

fn integer_or_null(value: Option<&Value>) -> Result<Option<usize>, Unreadable> {
    integer(value.filter(|value| !value.is_null()))
}

fn boolean(value: Option<&Value>) -> Result<bool, Unreadable> {
    value.map_or(Ok(false), |value| value.as_bool().ok_or(Unreadable))
}

fn strings(value: Option<&Value>) -> Result<Option<Vec<&str>>, Unreadable> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().ok_or(Unreadable)).collect::<Result<_, _>>().map(Some)
        }
        Some(_) => Err(Unreadable),
    }
}

/// Nodes display every attribute, because they hide the sort values of those they don't. So the user's
/// `displayedAttributes` are put into the query.
fn limit_to_displayed(body: &mut Map<String, Value>, displayed: &[String]) -> Result<(), Unreadable> {
    let is_displayed = |name: &str| displayed.iter().any(|attribute| attribute == name);
    let retrieve: Vec<String> = match strings(body.get("attributesToRetrieve"))? {
        Some(names) if !names.contains(&"*") => {
            names.into_iter().filter(|name| is_displayed(name)).map(String::from).collect()
        }
        _ => displayed.to_vec(),
    };
    let highlight: Option<Vec<String>> = strings(body.get("attributesToHighlight"))?.map(|names| {
        if names.contains(&"*") {
            return displayed.to_vec();
        }
        names.into_iter().filter(|name| is_displayed(name)).map(String::from).collect()
    });
    let crop: Option<Vec<String>> = strings(body.get("attributesToCrop"))?.map(|names| {
        let displayed_crops = |name: &str| {
            let (attribute, length) = match name.rsplit_once(':') {
                Some((attribute, length)) => (attribute, format!(":{length}")),
                None => (name, String::new()),
            };
            match attribute {
                "*" => displayed.iter().map(|attribute| format!("{attribute}{length}")).collect(),
                attribute if is_displayed(attribute) => vec![name.to_string()],
                _ => Vec::new(),
            }
        };
        names.into_iter().flat_map(displayed_crops).collect()
    });
    body.insert("attributesToRetrieve".into(), json!(retrieve));
    if let Some(highlight) = highlight {
        body.insert("attributesToHighlight".into(), json!(highlight));
    }
    if let Some(crop) = crop {
        body.insert("attributesToCrop".into(), json!(crop));
    }
    Ok(())
}

/// Adds to the client's filter that only documents with these tags count.
pub fn add_clause(body: &mut Map<String, Value>, tags: Option<&ShardSet>) {
    let Some(tags) = tags else { return };
    let clause = json!(tag::filter_clause(tags.iter()));
    let filter = match body.remove("filter") {
        None | Some(Value::Null) => clause,
        // The elements of the outer array are joined by AND.
        Some(Value::Array(mut conditions)) => {
            conditions.push(clause);
            Value::Array(conditions)
        }
        Some(condition) => json!([condition, clause]),
    };
    body.insert("filter".into(), filter);
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn query(body: Value, facts: &IndexFacts) -> Result<SearchQuery, Unreadable> {
        SearchQuery::parse(body.as_object().unwrap().clone(), facts)
    }

    fn for_node(body: Value, facts: &IndexFacts) -> Value {
        let shards = ShardSet::all(1);
        Value::Object(query(body, facts).unwrap().body_for_node(Some(&shards), facts, false))
    }

    #[test]
    fn nodes_are_asked_from_rank_0() {
        let facts = IndexFacts::default();
        let body = for_node(json!({"offset": 40, "limit": 10}), &facts);
        assert_eq!((&body["offset"], &body["limit"]), (&json!(0), &json!(50)));
        let body = for_node(json!({"page": 3, "hitsPerPage": 5}), &facts);
        assert_eq!((&body["page"], &body["hitsPerPage"]), (&json!(1), &json!(15)));
        let body = for_node(json!({"offset": 990, "limit": 50}), &facts);
        assert_eq!(body["limit"], json!(1000));
    }

    #[test]
    fn the_clause_joins_the_clients_filter() {
        let facts = IndexFacts::default();
        let clause = json!(r#"_miroir_shard IN ["⸀"]"#);
        assert_eq!(for_node(json!({}), &facts)["filter"], clause);
        assert_eq!(
            for_node(json!({"filter": "a = 1 OR b = 2"}), &facts)["filter"],
            json!(["a = 1 OR b = 2", clause])
        );
        let filter = json!([["a = 1", "b = 2"], "c = 3"]);
        let expected = json!([["a = 1", "b = 2"], "c = 3", clause]);
        assert_eq!(for_node(json!({"filter": filter}), &facts)["filter"], expected);
    }

    #[test]
    fn details_are_asked_for_only_where_the_score_does_not_order() {
        let facts = IndexFacts::default();
        assert!(!query(json!({"q": "x", "filter": "a = 1"}), &facts).unwrap().ranks_by_details());
        assert!(query(json!({"sort": ["a:asc"]}), &facts).unwrap().ranks_by_details());
        let custom = IndexFacts { ranking_rules: vec!["words".into(), "year:desc".into()], ..facts };
        assert!(query(json!({"q": "x"}), &custom).unwrap().ranks_by_details());
    }

    #[test]
    fn a_search_is_hybrid_if_both_words_and_vectors_count() {
        let facts = IndexFacts::default();
        let halves = |q: &str, ratio: f64| {
            let hybrid = json!({"embedder": "e", "semanticRatio": ratio});
            query(json!({"q": q, "hybrid": hybrid}), &facts).unwrap().halves()
        };
        assert_eq!(halves("x", 0.25), Some(Halves { semantic: 0.25, keyword: 0.75 }));
        assert_eq!((halves("x", 0.0), halves("x", 1.0), halves(" ", 0.5)), (None, None, None));
        let query = query(json!({"q": "x", "hybrid": {"embedder": "e"}, "vector": [1]}), &facts).unwrap();
        assert_eq!(query.halves(), Some(Halves { semantic: 0.5, keyword: 0.5 }));
        let keyword = query.keyword_body_for_node(None, &facts);
        assert_eq!(
            (keyword.get("q"), keyword.get("hybrid"), keyword.get("vector")),
            (Some(&json!("x")), None, None)
        );
    }

    #[test]
    fn what_a_node_would_refuse_is_unreadable() {
        let facts = IndexFacts::default();
        for body in [
            json!({"limit": null}),
            json!({"offset": -1}),
            json!({"page": "1"}),
            json!({"sort": "a:asc"}),
            json!({"distinct": 1}),
            json!({"filter": 1}),
            json!({"showRankingScore": 1}),
        ] {
            assert_eq!(query(body.clone(), &facts).err(), Some(Unreadable), "{body}");
        }
    }

    #[test]
    fn only_displayed_attributes_are_asked_for() {
        let facts = IndexFacts {
            displayed_attributes: Some(vec!["title".into(), "year".into()]),
            ..IndexFacts::default()
        };
        let body =
            for_node(json!({"attributesToHighlight": ["*"], "attributesToCrop": ["*:5", "secret"]}), &facts);
        assert_eq!(body["attributesToRetrieve"], json!(["title", "year"]));
        assert_eq!(body["attributesToHighlight"], json!(["title", "year"]));
        assert_eq!(body["attributesToCrop"], json!(["title:5", "year:5"]));
        let body = for_node(json!({"attributesToRetrieve": ["year", "secret"]}), &facts);
        assert_eq!(body["attributesToRetrieve"], json!(["year"]));
    }

    #[test]
    fn pages_of_one_query_share_a_seed() {
        let facts = IndexFacts::default();
        let seed = |body| query(body, &facts).unwrap().seed();
        assert_eq!(seed(json!({"q": "x"})), seed(json!({"q": "x", "offset": 20, "limit": 5})));
        assert_ne!(seed(json!({"q": "x"})), seed(json!({"q": "y"})));
    }
}
