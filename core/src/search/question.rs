//! `GET` and `POST /indexes/{uid}/search`, as it is asked of the nodes.

use serde_json::Value;

use crate::fan_out::{Conclusion, NodeBody, Question, Request, Share, Unreadable};
use crate::json::NotJson;
use crate::routing::Routing;
use crate::search::facets;
use crate::search::index_search::{Found, IndexSearch, multi_search_body, results};
use crate::search::url;

/// A search in one index.
#[derive(Debug)]
pub struct Search {
    search: IndexSearch,
    /// Whether its parameters come from the query string: a node speaks of those in other words than of a body's.
    from_url: bool,
}

impl Question for Search {
    type Part = Found;

    fn parse(request: Request) -> Result<Search, Unreadable> {
        let from_url = request.head.method == "GET";
        let body = if from_url { url::parse(request.head.query())? } else { request.json()? };
        let search = IndexSearch::parse(request.routing, request.index, body)?;
        Ok(Search { search, from_url })
    }

    fn seed(&self) -> u64 {
        self.search.query.seed()
    }

    fn is_of_known_indexes(&self, routing: &Routing) -> bool {
        routing.table.indexes.contains_key(&self.search.index)
    }

    fn is_in_clients_words(&self) -> bool {
        !self.from_url && self.search.query.halves().is_none()
    }

    fn body_for(&self, share: &Share) -> NodeBody {
        if self.search.asks_twice(share) {
            let body = multi_search_body([&self.search], share);
            return NodeBody { target: "/multi-search".into(), body };
        }
        let body = self.search.bodies(share).pop().map(Value::Object).unwrap_or_default();
        let target = format!("/indexes/{}/search", self.search.index);
        NodeBody { target, body: body.to_string().into_bytes() }
    }

    fn can_be_hedged(&self) -> bool {
        self.search.can_be_hedged()
    }

    fn is_settled(&self, parts: &[(&Share, &Found)]) -> bool {
        self.search.is_settled(parts)
    }

    fn read(&self, share: &Share, body: Vec<u8>) -> Result<Found, NotJson> {
        if !self.search.asks_twice(share) {
            return self.search.read(share, &mut std::iter::once(body));
        }
        let mut found = self.search.read(share, &mut results(&body)?.into_iter())?;
        // The client didn't ask as we did.
        found.answer.remove(b"indexUid");
        Ok(found)
    }

    fn conclude(self, parts: Vec<(Share, Found)>) -> Result<Conclusion<Search>, NotJson> {
        if let Some(facet) = &self.search.query.unfilterable_facet {
            return Ok(Conclusion::Error(facets::unfilterable(facet, "")));
        }
        let found: Vec<Found> = parts.into_iter().map(|(_, found)| found).collect();
        self.search.merge(&found).map(Conclusion::Answer)
    }
}
