//! `POST /multi-search` with federation: several searches with one list of hits.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use twox_hash::XxHash64;

use crate::error::ApiError;
use crate::fan_out::{Share, Unreadable};
use crate::json::NotJson;
use crate::routing::Routing;
use crate::search::facets;
use crate::search::federated::FederatedAnswer;
use crate::search::federated_merge;
use crate::search::hit::Reading;
use crate::search::index_search::IndexSearch;
use crate::search::multi::take_index_uid;
use crate::search::query::{Window, read_window};
use crate::table::IndexFacts;

/// Several searches with one list of hits.
#[derive(Debug)]
pub struct Federation {
    /// The client's own options.
    options: Map<String, Value>,
    /// The part of the list to return.
    pub window: Window,
    /// The attribute of which each value may appear once in the list.
    pub distinct: Option<String>,
    /// How the facets of the indexes are to be made one; `None` if they are to stay apart.
    pub merge_facets: Option<MergeFacets>,
    /// The searches.
    pub queries: Vec<FederatedQuery>,
    /// An index, and a facet of it that Meilisearch refuses and nodes might give.
    unfilterable_facet: Option<(String, String)>,
}

/// `mergeFacets`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct MergeFacets {
    /// How many values of a facet to return at most.
    pub max_values_per_facet: Option<usize>,
}

/// One of the searches.
#[derive(Debug)]
pub struct FederatedQuery {
    /// What is searched, and where.
    pub search: IndexSearch,
    /// How much its hits count.
    pub weight: f64,
    options: Option<Value>,
}

impl FederatedQuery {
    fn parse(routing: &Routing, mut query: Map<String, Value>) -> Result<FederatedQuery, Unreadable> {
        let index = take_index_uid(&mut query)?;
        // Of these Meilisearch lets none be here but null.
        for key in ["offset", "limit", "page", "hitsPerPage"] {
            if query.remove(key).is_some_and(|value| !value.is_null()) {
                return Err(Unreadable);
            }
        }
        let options = query.remove("federationOptions");
        let weight = match options.as_ref().and_then(|options| options.get("weight")) {
            None => 1.0,
            Some(weight) => weight.as_f64().ok_or(Unreadable)?,
        };
        Ok(FederatedQuery { search: IndexSearch::parse(routing, &index, query)?, weight, options })
    }

    fn body(&self, share: &Share, distinct: Option<&String>) -> Value {
        let query = &self.search.query;
        let mut body = match share.alone {
            true => query.body_for_only_node(share.tags()),
            false => query.body_for_federation(share.tags()),
        };
        body.insert("indexUid".into(), json!(self.search.index));
        if let (Some(distinct), false) = (distinct, share.alone) {
            body.insert("distinct".into(), json!(distinct));
        }
        if let Some(options) = &self.options {
            body.insert("federationOptions".into(), options.clone());
        }
        Value::Object(body)
    }

    /// How its hits are to be read.
    pub fn reading(&self, share: &Share) -> Reading {
        Reading {
            by_details: self.search.query.ranks_by_details(),
            by_values: true,
            distinct: self.search.query.distinct.clone(),
            ranked: !share.alone,
        }
    }
}

impl Federation {
    /// Reads the request.
    ///
    /// # Errors
    /// [`Unreadable`] where a node would refuse it, as far as merging depends on it.
    pub fn parse(
        routing: &Routing,
        options: Map<String, Value>,
        queries: Vec<Map<String, Value>>,
    ) -> Result<Federation, Unreadable> {
        let window = read_window(&options)?;
        let distinct = match options.get("distinct") {
            None | Some(Value::Null) => None,
            Some(Value::String(attribute)) => Some(attribute.clone()),
            Some(_) => return Err(Unreadable),
        };
        let merge_facets = match options.get("mergeFacets") {
            None | Some(Value::Null) => None,
            Some(merging) => Some(MergeFacets::deserialize(merging).map_err(|_| Unreadable)?),
        };
        let mut queries = queries
            .into_iter()
            .map(|query| FederatedQuery::parse(routing, query))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(distinct) = &distinct {
            // Of both Meilisearch takes one.
            if queries.iter().any(|query| query.search.query.names_distinct()) {
                return Err(Unreadable);
            }
            queries.iter_mut().for_each(|query| query.search.query.set_distinct(distinct));
        }
        let mut federation =
            Federation { options, window, distinct, merge_facets, queries, unfilterable_facet: None };
        federation.unfilterable_facet = federation.take_unfilterable();
        Ok(federation)
    }

    fn take_unfilterable(&mut self) -> Option<(String, String)> {
        let facts: BTreeMap<String, IndexFacts> =
            self.indexes().into_iter().map(|(index, search)| (index.into(), search.facts.clone())).collect();
        let by_index = self.options.get_mut("facetsByIndex")?;
        let taken = facts.into_iter().filter_map(|(index, facts)| {
            let facet = facets::take_unfilterable(by_index.get_mut(&index), &facts)?;
            Some((index, facet))
        });
        // All are taken.
        taken.collect::<Vec<_>>().into_iter().next()
    }

    /// An index, and a facet of it that Meilisearch refuses and nodes might give.
    pub fn unfilterable_facet(&self) -> Option<(&str, &str)> {
        self.unfilterable_facet.as_ref().map(|(index, facet)| (&**index, &**facet))
    }

    /// What Meilisearch refuses and nodes might not.
    pub fn refusal(&self) -> Option<ApiError> {
        let (index, facet) = self.unfilterable_facet()?;
        let place = self.queries.iter().position(|query| query.search.index == index)?;
        let place = format!("Inside `.queries[{place}]`: Inside `.federation.facetsByIndex.{index}`: ");
        Some(facets::unfilterable(facet, &place))
    }

    /// Chooses replicas: the same for all pages.
    pub fn seed(&self) -> u64 {
        let seeds = self.queries.iter().flat_map(|query| query.search.query.seed().to_le_bytes());
        XxHash64::oneshot(0, &seeds.collect::<Vec<u8>>())
    }

    /// The indexes that are searched.
    pub fn indexes(&self) -> BTreeMap<&str, &IndexSearch> {
        self.queries.iter().map(|query| (&*query.search.index, &query.search)).collect()
    }

    /// What a node is asked for: all hits from rank 0, with what merging needs, and the facets of each index.
    pub fn body(&self, share: &Share) -> Vec<u8> {
        let mut options = self.options.clone();
        // What one of them leaves out over all its indexes may come first over all nodes.
        options.remove("mergeFacets");
        if !share.alone {
            // How many hits repeat a value of another query depends on which are looked at: that is done here.
            options.remove("distinct");
            let hits = self.hits_per_node();
            match self.window {
                Window::OffsetLimit { .. } => options.extend(window("offset", 0, "limit", hits)),
                Window::Page { .. } => options.extend(window("page", 1, "hitsPerPage", hits)),
            }
        }
        let queries: Vec<Value> =
            self.queries.iter().map(|query| query.body(share, self.distinct.as_ref())).collect();
        json!({ "federation": options, "queries": queries }).to_string().into_bytes()
    }

    fn hits_per_node(&self) -> usize {
        let needed = self.window.ranks(usize::MAX).end;
        let is_distinct = self.queries.iter().any(|query| query.search.query.distinct.is_some());
        match self.window {
            // Only the hits tell which values several nodes have in common.
            Window::Page { .. } if is_distinct => {
                let all = self.indexes().values().map(|search| search.facts.max_total_hits).sum();
                needed.max(all)
            }
            _ => needed,
        }
    }

    /// Reads what a node answered.
    ///
    /// # Errors
    /// [`NotJson`] if that is not what a node answers.
    pub fn read(&self, share: &Share, body: Vec<u8>) -> Result<FederatedAnswer, NotJson> {
        let readings: Vec<Reading> = self.queries.iter().map(|query| query.reading(share)).collect();
        FederatedAnswer::read(body, &readings)
    }

    /// The client's answer, from those of the nodes, which come in the order in which ties are broken; `None` if
    /// the indexes order the values of a facet otherwise, so that they can't be made one.
    ///
    /// # Errors
    /// [`NotJson`] if there is nothing to merge, or a hit is not what it seemed.
    pub fn merge(&self, answers: &[FederatedAnswer]) -> Result<Option<Vec<u8>>, NotJson> {
        federated_merge::merge(self, answers)
    }
}

fn window(start: &str, from: usize, length: &str, hits: usize) -> [(String, Value); 2] {
    [(start.into(), json!(from)), (length.into(), json!(hits))]
}
