//! `GET` and `POST /indexes/{uid}/search`, as it is asked of the nodes.

use crate::fan_out::{Conclusion, NodeBody, Question, Request, Share, Unreadable};
use crate::json::NotJson;
use crate::routing::Routing;
use crate::search::answer::{NodeAnswer, Reading};
use crate::search::merge;
use crate::search::query::SearchQuery;
use crate::search::url;
use crate::table::IndexFacts;

/// A search in one index.
#[derive(Debug)]
pub struct Search {
    index: String,
    query: SearchQuery,
    facts: IndexFacts,
    /// Whether its parameters come from the query string: a node speaks of those in other words than of a body's.
    from_url: bool,
}

impl Question for Search {
    type Part = NodeAnswer;

    fn parse(request: Request) -> Result<Search, Unreadable> {
        let facts = request.facts();
        let from_url = request.head.method == "GET";
        let body = if from_url { url::parse(request.head.query())? } else { request.json()? };
        let query = SearchQuery::parse(body, &facts)?;
        Ok(Search { index: request.index.into(), query, facts, from_url })
    }

    fn seed(&self) -> u64 {
        self.query.seed()
    }

    fn is_of_known_indexes(&self, routing: &Routing) -> bool {
        routing.table.indexes.contains_key(&self.index)
    }

    fn is_in_clients_words(&self) -> bool {
        !self.from_url
    }

    fn body_for(&self, share: &Share) -> NodeBody {
        let body = match share.alone {
            true => self.query.body_for_only_node(share.clause()),
            false => self.query.body_for_node(share.clause(), &self.facts),
        };
        NodeBody { target: format!("/indexes/{}/search", self.index), body }
    }

    fn read(&self, share: &Share, body: Vec<u8>) -> Result<NodeAnswer, NotJson> {
        let reading = Reading {
            by_details: self.query.ranks_by_details(),
            distinct: self.query.distinct.clone(),
            ranked: !share.alone,
        };
        NodeAnswer::read(body, &reading)
    }

    fn conclude(self, parts: Vec<(Share, NodeAnswer)>) -> Result<Conclusion<Search>, NotJson> {
        let answers: Vec<NodeAnswer> = parts.into_iter().map(|(_, answer)| answer).collect();
        merge::merge(&self.query, &self.facts, &answers).map(Conclusion::Answer)
    }
}
