//! A search in one index: how each node is asked, and what its answer is.

use serde_json::{Map, Value};

use crate::fan_out::{Share, Unreadable};
use crate::json::{self, Cursor, NotJson};
use crate::routing::Routing;
use crate::search::answer::NodeAnswer;
use crate::search::hit::Reading;
use crate::search::merge;
use crate::search::query::SearchQuery;
use crate::search::settled;
use crate::table::IndexFacts;

/// A search in one index.
#[derive(Debug)]
pub struct IndexSearch {
    /// The index's uid.
    pub index: String,
    /// What is searched for.
    pub query: SearchQuery,
    /// What is known of the index.
    pub facts: IndexFacts,
}

/// What a node found.
#[derive(Debug)]
pub struct Found {
    /// Its answer to the search.
    pub answer: NodeAnswer,
    /// Of a hybrid search that several nodes answer: its answer to the words alone.
    pub keywords: Option<NodeAnswer>,
}

impl From<NodeAnswer> for Found {
    fn from(answer: NodeAnswer) -> Found {
        Found { answer, keywords: None }
    }
}

impl IndexSearch {
    /// Reads the body of a search.
    ///
    /// # Errors
    /// [`Unreadable`] where a node would refuse it, as far as merging depends on it.
    pub fn parse(
        routing: &Routing,
        index: &str,
        body: Map<String, Value>,
    ) -> Result<IndexSearch, Unreadable> {
        let facts = routing.facts(index);
        let query = SearchQuery::parse(body, &facts)?;
        Ok(IndexSearch { index: index.into(), query, facts })
    }

    /// Whether nodes are asked for more than the client asked for.
    pub fn asks_twice(&self, share: &Share) -> bool {
        !share.alone && self.query.halves().is_some()
    }

    /// What a node is asked for: one search, or of a hybrid one also its half by words.
    pub fn bodies(&self, share: &Share) -> Vec<Map<String, Value>> {
        if share.alone {
            return vec![self.query.body_for_only_node(share.tags())];
        }
        let one_more = share.in_stead_of.is_some();
        let mut bodies = vec![self.query.body_for_node(share.tags(), &self.facts, one_more)];
        if self.asks_twice(share) {
            bodies.push(self.query.keyword_body_for_node(share.tags(), &self.facts));
        }
        bodies
    }

    /// Reads the answers to [`bodies`](IndexSearch::bodies), in their order.
    ///
    /// # Errors
    /// [`NotJson`] if one is missing, or is not what a node answers to a search.
    pub fn read(&self, share: &Share, answers: &mut impl Iterator<Item = Vec<u8>>) -> Result<Found, NotJson> {
        let reading = Reading {
            by_details: self.query.ranks_by_details(),
            by_values: self.query.halves().is_some(),
            distinct: self.query.distinct.clone(),
            ranked: !share.alone,
        };
        let mut next = || NodeAnswer::read(answers.next().ok_or(NotJson)?, &reading);
        let answer = next()?;
        let keywords = self.asks_twice(share).then(next).transpose()?;
        Ok(Found { answer, keywords })
    }

    /// Whether its page can be seen to be the same whichever replicas it was read from.
    pub fn can_be_hedged(&self) -> bool {
        self.query.can_be_hedged(&self.facts)
    }

    /// Whether it is the same with these parts, some of which are in the stead of late ones.
    pub fn is_settled(&self, parts: &[(&Share, &Found)]) -> bool {
        let ranks = self.query.window.ranks(self.facts.max_total_hits);
        ranks.is_empty() || settled::is_settled(ranks, parts)
    }

    /// The client's answer, from those of the nodes, which come in the order in which ties are broken.
    ///
    /// # Errors
    /// [`NotJson`] if there is nothing to merge, or a hit is not what it seemed.
    pub fn merge(&self, found: &[Found]) -> Result<Vec<u8>, NotJson> {
        merge::merge(&self.query, &self.facts, found)
    }
}

/// Whether all of several searches are settled; each part has what was found by each search.
pub fn are_settled<P>(
    searches: &[IndexSearch],
    parts: &[(&Share, &P)],
    found: impl Fn(&P) -> &[Found],
) -> bool {
    searches.iter().enumerate().all(|(place, search)| {
        let of_search: Option<Vec<(&Share, &Found)>> =
            parts.iter().map(|(share, part)| Some((*share, found(part).get(place)?))).collect();
        of_search.is_some_and(|parts| search.is_settled(&parts))
    })
}

/// The body of a `/multi-search` of these searches.
pub fn multi_search_body<'s>(searches: impl IntoIterator<Item = &'s IndexSearch>, share: &Share) -> Vec<u8> {
    let mut queries = Vec::new();
    for search in searches {
        for mut body in search.bodies(share) {
            body.insert("indexUid".into(), search.index.clone().into());
            queries.push(Value::Object(body));
        }
    }
    serde_json::json!({ "queries": queries }).to_string().into_bytes()
}

/// The results in the answer to a `/multi-search`.
///
/// # Errors
/// [`NotJson`] if it is not what a node answers.
pub fn results(answer: &[u8]) -> Result<Vec<Vec<u8>>, NotJson> {
    let mut list = None;
    json::for_each_member(answer, |member| {
        if member.key == b"results" {
            list = Some(member.value);
        }
    })?;
    let mut results = Vec::new();
    Cursor::new(list.ok_or(NotJson)?).array(|cursor| {
        results.push(cursor.skip()?.to_vec());
        Ok(())
    })?;
    Ok(results)
}
