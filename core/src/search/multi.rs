//! `POST /multi-search`: several searches in one request, each with an answer of its own, or federated into one.

use serde_json::{Map, Value};
use twox_hash::XxHash64;

use crate::error::{ApiError, is_index_uid};
use crate::fan_out::{Conclusion, NodeBody, Question, Request, Share, Unreadable};
use crate::json::{NotJson, ObjectWriter};
use crate::routing::Routing;
use crate::search::facets;
use crate::search::federated::FederatedAnswer;
use crate::search::federation::Federation;
use crate::search::index_search::{Found, IndexSearch, are_settled, multi_search_body, results};

/// Several searches, each with an answer of its own.
#[derive(Debug)]
pub struct Separate {
    searches: Vec<IndexSearch>,
}

impl Separate {
    /// Reads the queries of the request.
    ///
    /// # Errors
    /// [`Unreadable`] where a node would refuse one, as far as merging depends on it.
    pub fn parse(routing: &Routing, queries: Vec<Map<String, Value>>) -> Result<Separate, Unreadable> {
        let searches = queries.into_iter().map(|mut query| {
            if query.contains_key("federationOptions") {
                return Err(Unreadable);
            }
            // Here, and not in a search of its own, null is as good as nothing.
            for key in ["offset", "limit"] {
                if query.get(key).is_some_and(Value::is_null) {
                    query.remove(key);
                }
            }
            let index = take_index_uid(&mut query)?;
            IndexSearch::parse(routing, &index, query)
        });
        Ok(Separate { searches: searches.collect::<Result<_, _>>()? })
    }
}

/// Takes the index's uid out of one of the queries of a request.
///
/// # Errors
/// [`Unreadable`] if there is none.
pub fn take_index_uid(query: &mut Map<String, Value>) -> Result<String, Unreadable> {
    match query.remove("indexUid") {
        Some(Value::String(uid)) if is_index_uid(&uid) => Ok(uid),
        _ => Err(Unreadable),
    }
}

impl Separate {
    fn seed(&self) -> u64 {
        let seeds = self.searches.iter().flat_map(|search| search.query.seed().to_le_bytes());
        XxHash64::oneshot(0, &seeds.collect::<Vec<u8>>())
    }

    /// What Meilisearch refuses and nodes might not.
    fn refusal(&self) -> Option<ApiError> {
        let facets = self.searches.iter().map(|search| search.query.unfilterable_facet.as_ref());
        let (place, facet) = facets.enumerate().find_map(|(place, facet)| Some((place, facet?)))?;
        Some(facets::unfilterable(facet, &format!("Inside `.queries[{place}]`: ")))
    }

    fn read(&self, share: &Share, body: &[u8]) -> Result<Vec<Found>, NotJson> {
        let mut answers = results(body)?.into_iter();
        self.searches.iter().map(|search| search.read(share, &mut answers)).collect()
    }

    fn merge(&self, parts: Vec<Vec<Found>>) -> Result<Vec<u8>, NotJson> {
        let mut nodes: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
        let mut body = ObjectWriter::new(Vec::with_capacity(4096));
        let list = body.key("results");
        list.push(b'[');
        for (place, search) in self.searches.iter().enumerate() {
            if place > 0 {
                list.push(b',');
            }
            let found: Vec<Found> = nodes.iter_mut().filter_map(Iterator::next).collect();
            list.extend_from_slice(&search.merge(&found)?);
        }
        list.push(b']');
        Ok(body.finish())
    }
}

/// Several searches in one request.
#[derive(Debug)]
pub enum MultiSearch {
    /// Each with an answer of its own.
    Separate(Separate),
    /// With one list of hits.
    Federated(Federation),
}

/// A node's answer to them.
#[derive(Debug)]
pub enum MultiAnswer {
    /// By search.
    Separate(Vec<Found>),
    /// To all.
    Federated(FederatedAnswer),
}

impl Question for MultiSearch {
    type Part = MultiAnswer;

    fn parse(request: Request) -> Result<MultiSearch, Unreadable> {
        let mut body: Map<String, Value> = request.json()?;
        let queries = body.remove("queries").unwrap_or_default();
        let queries = serde_json::from_value(queries).map_err(|_| Unreadable)?;
        let federation = body.remove("federation");
        if !body.is_empty() {
            return Err(Unreadable);
        }
        match federation {
            None | Some(Value::Null) => Separate::parse(request.routing, queries).map(MultiSearch::Separate),
            Some(Value::Object(options)) => {
                Federation::parse(request.routing, options, queries).map(MultiSearch::Federated)
            }
            Some(_) => Err(Unreadable),
        }
    }

    fn seed(&self) -> u64 {
        match self {
            MultiSearch::Separate(searches) => searches.seed(),
            MultiSearch::Federated(federation) => federation.seed(),
        }
    }

    fn is_of_known_indexes(&self, routing: &Routing) -> bool {
        let is_known = |search: &IndexSearch| routing.table.indexes.contains_key(&search.index);
        match self {
            MultiSearch::Separate(separate) => separate.searches.iter().all(is_known),
            MultiSearch::Federated(federation) => {
                federation.queries.iter().all(|query| is_known(&query.search))
            }
        }
    }

    fn is_in_clients_words(&self) -> bool {
        match self {
            // A hybrid search is asked as two, so that the places of those after it are others.
            MultiSearch::Separate(separate) => {
                separate.searches.iter().all(|search| search.query.halves().is_none())
            }
            // Not all of the client's options go to the nodes.
            MultiSearch::Federated(federation) => federation.merge_facets.is_none(),
        }
    }

    fn body_for(&self, share: &Share) -> NodeBody {
        let body = match self {
            MultiSearch::Separate(separate) => multi_search_body(&separate.searches, share),
            MultiSearch::Federated(federation) => federation.body(share),
        };
        NodeBody { target: "/multi-search".into(), body }
    }

    fn can_be_hedged(&self) -> bool {
        match self {
            MultiSearch::Separate(separate) => separate.searches.iter().all(IndexSearch::can_be_hedged),
            MultiSearch::Federated(_) => false,
        }
    }

    fn is_settled(&self, parts: &[(&Share, &MultiAnswer)]) -> bool {
        let MultiSearch::Separate(separate) = self else { return false };
        are_settled(&separate.searches, parts, |answer| match answer {
            MultiAnswer::Separate(found) => found,
            MultiAnswer::Federated(_) => &[],
        })
    }

    fn read(&self, share: &Share, body: Vec<u8>) -> Result<MultiAnswer, NotJson> {
        match self {
            MultiSearch::Separate(separate) => separate.read(share, &body).map(MultiAnswer::Separate),
            MultiSearch::Federated(federation) => federation.read(share, body).map(MultiAnswer::Federated),
        }
    }

    fn conclude(self, parts: Vec<(Share, MultiAnswer)>) -> Result<Conclusion<MultiSearch>, NotJson> {
        let refusal = match &self {
            MultiSearch::Separate(separate) => separate.refusal(),
            MultiSearch::Federated(federation) => federation.refusal(),
        };
        if let Some(error) = refusal {
            return Ok(Conclusion::Error(error));
        }
        let (mut by_search, mut federated) = (Vec::new(), Vec::new());
        for (_, part) in parts {
            match part {
                MultiAnswer::Separate(found) => by_search.push(found),
                MultiAnswer::Federated(answer) => federated.push(answer),
            }
        }
        match self {
            MultiSearch::Separate(separate) => separate.merge(by_search).map(Conclusion::Answer),
            MultiSearch::Federated(federation) => {
                Ok(federation.merge(&federated)?.map_or(Conclusion::Refuse, Conclusion::Answer))
            }
        }
    }
}
