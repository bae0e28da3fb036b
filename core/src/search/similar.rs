//! `GET` and `POST /indexes/{uid}/similar`.
//!
//! Only the owners of a document know its vector. One of them says whether the request can be answered at all, in the
//! client's own words; then it is asked for the vector; then all nodes are for what is near to that.

use serde_json::{Map, Value, json};
use twox_hash::XxHash64;

use crate::documents::id::{inspect, is_document_id};
use crate::fan_out::{Conclusion, NodeBody, Question, Request, Share, Unreadable, Wanted};
use crate::json::{self, NotJson};
use crate::routing::Routing;
use crate::search::index_search::{Found, IndexSearch, are_settled, multi_search_body, results};
use crate::search::neighbours;
use crate::search::url;
use crate::shard::shard_of;
use crate::shard_set::ShardSet;
use crate::table::IndexFacts;

const DEFAULT_LIMIT: usize = 20;

/// A request for what is similar to a document.
#[derive(Debug)]
pub struct Similar {
    /// What the client asked for.
    pub wanted: SimilarQuery,
    shard: ShardSet,
    stage: Stage,
}

/// What the client asked for.
#[derive(Debug)]
pub struct SimilarQuery {
    index: String,
    /// What is known of the index.
    pub facts: IndexFacts,
    body: Map<String, Value>,
    /// The document.
    pub id: String,
    /// The field that holds the id.
    pub primary_key: String,
    embedder: String,
    /// Hits to skip.
    pub offset: usize,
    /// Hits to return.
    pub limit: usize,
    /// The least score of a hit.
    pub threshold: Option<f64>,
    /// Whether hits show `_rankingScore`.
    pub shows_score: bool,
    /// Whether hits show `_rankingScoreDetails`.
    pub shows_details: bool,
    /// Whether the primary key must be added to the attributes that nodes return.
    pub adds_primary_key: bool,
}

#[derive(Debug)]
enum Stage {
    /// An owner checks the request.
    Checking,
    /// An owner is asked for the document's vectors. The answer to the check is kept.
    Fetching(Vec<u8>),
    /// All are asked for what is near to them.
    Searching(Vec<u8>, Vec<IndexSearch>),
}

/// A node's answer.
#[derive(Debug)]
pub enum Part {
    /// To the check, or the document.
    Body(Vec<u8>),
    /// By vector.
    Found(Vec<Found>),
}

impl SimilarQuery {
    fn parse(request: Request) -> Result<SimilarQuery, Unreadable> {
        let body = match &*request.head.method {
            "GET" => url::parse_similar(request.head.query())?,
            _ => request.json()?,
        };
        let integer = |name: &str, default: usize| match body.get(name) {
            None => Ok(default),
            Some(value) => value.as_u64().map(|integer| integer as usize).ok_or(Unreadable),
        };
        let flag = |name: &str| body.get(name).map_or(Ok(false), |value| value.as_bool().ok_or(Unreadable));
        let id = match body.get("id") {
            Some(Value::String(id)) => id.trim().to_string(),
            Some(Value::Number(number)) => number.to_string(),
            _ => return Err(Unreadable),
        };
        let (facts, threshold) = (request.facts(), body.get("rankingScoreThreshold"));
        let primary_key = facts.primary_key.clone().ok_or(Unreadable)?;
        let retrieved = match body.get("attributesToRetrieve") {
            None | Some(Value::Null) => None,
            Some(Value::Array(names)) => Some(names),
            Some(_) => return Err(Unreadable),
        };
        let shows_key = |names: &Vec<Value>| names.iter().any(|name| *name == "*" || *name == *primary_key);
        let is_displayed = |names: &Vec<String>| names.contains(&primary_key);
        let adds_primary_key = !(retrieved.is_none_or(shows_key)
            && facts.displayed_attributes.as_ref().is_none_or(is_displayed));
        if !is_document_id(&id)
            || !matches!(body.get("filter"), None | Some(Value::Null | Value::String(_) | Value::Array(_)))
        {
            return Err(Unreadable);
        }
        Ok(SimilarQuery {
            index: request.index.into(),
            id,
            embedder: body.get("embedder").and_then(Value::as_str).ok_or(Unreadable)?.to_string(),
            offset: integer("offset", 0)?,
            limit: integer("limit", DEFAULT_LIMIT)?,
            threshold: match threshold {
                None | Some(Value::Null) => None,
                Some(threshold) => Some(threshold.as_f64().ok_or(Unreadable)?),
            },
            shows_score: flag("showRankingScore")?,
            shows_details: flag("showRankingScoreDetails")?,
            adds_primary_key,
            primary_key,
            facts,
            body,
        })
    }

    /// The searches for what is near to these vectors, without a threshold: the number of candidates doesn't depend
    /// on it. Without a vector there are candidates, but none is near.
    fn searches(&self, vectors: Vec<Value>) -> Result<Vec<IndexSearch>, NotJson> {
        let search = |vector: Option<Value>| {
            let mut body = Map::new();
            for name in ["filter", "attributesToRetrieve", "retrieveVectors"] {
                if let Some(value) = self.body.get(name).filter(|value| !value.is_null()) {
                    body.insert(name.into(), value.clone());
                }
            }
            let hits = match vector {
                Some(_) => self.hits_per_node(),
                // The document itself is looked for.
                None if self.is_filtered() => self.facts.max_total_hits,
                None => 0,
            };
            body.insert("limit".into(), json!(hits));
            if let Some(vector) = vector {
                body.insert("vector".into(), vector);
                body.insert("hybrid".into(), json!({ "embedder": self.embedder, "semanticRatio": 1.0 }));
            }
            // Each of them has to be there whatever others there are.
            let facts = IndexFacts { distinct_attribute: None, ..self.facts.clone() };
            let query = neighbours::query(body, &facts, self.adds_primary_key.then_some(&self.primary_key))?;
            Ok(IndexSearch { index: self.index.clone(), query, facts })
        };
        match vectors.is_empty() {
            true => Ok(vec![search(None)?]),
            false => vectors.into_iter().map(|vector| search(Some(vector))).collect(),
        }
    }

    /// Whether not all documents are candidates.
    pub fn is_filtered(&self) -> bool {
        self.body.get("filter").is_some_and(|filter| !filter.is_null())
    }

    /// One more than is returned, for the document itself.
    fn hits_per_node(&self) -> usize {
        let is_value = |rule: &String| rule.contains(':');
        match self.facts.ranking_rules.first().is_some_and(is_value) {
            // Vectors count only after that rule: the nearest may be anywhere.
            true => self.facts.max_total_hits,
            false => self.offset.saturating_add(self.limit).saturating_add(1),
        }
    }
}

impl Question for Similar {
    type Part = Part;

    fn parse(request: Request) -> Result<Similar, Unreadable> {
        let wanted = SimilarQuery::parse(request)?;
        let shards = request.routing.table.shards;
        let mut shard = ShardSet::empty(shards);
        shard.insert(shard_of(&wanted.id, shards));
        Ok(Similar { wanted, shard, stage: Stage::Checking })
    }

    fn seed(&self) -> u64 {
        let mut body = self.wanted.body.clone();
        body.remove("offset");
        body.remove("limit");
        XxHash64::oneshot(0, Value::Object(body).to_string().as_bytes())
    }

    fn wanted(&self) -> Wanted {
        match self.stage {
            Stage::Searching(..) => Wanted::All,
            _ => Wanted::Shards(self.shard.clone()),
        }
    }

    fn is_of_known_indexes(&self, routing: &Routing) -> bool {
        routing.table.indexes.contains_key(&self.wanted.index)
    }

    fn is_in_clients_words(&self) -> bool {
        matches!(self.stage, Stage::Checking)
    }

    fn key<'r>(&self, routing: &'r Routing) -> Option<&'r str> {
        match self.stage {
            // The check has shown that the client may see what is similar to the document.
            Stage::Fetching(_) => routing.table.node_key.as_deref(),
            _ => None,
        }
    }

    fn body_for(&self, share: &Share) -> NodeBody {
        let SimilarQuery { index, id, body, .. } = &self.wanted;
        match &self.stage {
            Stage::Checking => {
                let mut body = body.clone();
                body.insert("offset".into(), json!(0));
                body.insert("limit".into(), json!(0));
                let body = Value::Object(body).to_string().into_bytes();
                NodeBody { target: format!("/indexes/{index}/similar"), body }
            }
            Stage::Fetching(_) => {
                let body = json!({ "ids": [id], "retrieveVectors": true }).to_string().into_bytes();
                NodeBody { target: format!("/indexes/{index}/documents/fetch"), body }
            }
            Stage::Searching(_, searches) => {
                let share = &Share { alone: false, ..share.clone() };
                NodeBody { target: "/multi-search".into(), body: multi_search_body(searches, share) }
            }
        }
    }

    fn can_be_hedged(&self) -> bool {
        match &self.stage {
            Stage::Checking | Stage::Fetching(_) => true,
            Stage::Searching(_, searches) => searches.iter().all(IndexSearch::can_be_hedged),
        }
    }

    fn is_settled(&self, parts: &[(&Share, &Part)]) -> bool {
        let Stage::Searching(_, searches) = &self.stage else { return true };
        are_settled(searches, parts, |part| match part {
            Part::Found(found) => found,
            Part::Body(_) => &[],
        })
    }

    fn read(&self, share: &Share, body: Vec<u8>) -> Result<Part, NotJson> {
        let Stage::Searching(_, searches) = &self.stage else { return Ok(Part::Body(body)) };
        let share = &Share { alone: false, ..share.clone() };
        let mut answers = results(&body)?.into_iter();
        let found = searches.iter().map(|search| search.read(share, &mut answers));
        found.collect::<Result<_, _>>().map(Part::Found)
    }

    fn conclude(self, parts: Vec<(Share, Part)>) -> Result<Conclusion<Similar>, NotJson> {
        let Similar { wanted, shard, stage } = self;
        let (mut bodies, mut found) = (Vec::new(), Vec::new());
        for (_, part) in parts {
            match part {
                Part::Body(body) => bodies.push(body),
                Part::Found(answers) => found.push(answers),
            }
        }
        let stage = match stage {
            Stage::Checking => Stage::Fetching(bodies.pop().ok_or(NotJson)?),
            Stage::Fetching(checked) => {
                let Some(vectors) = vectors(&bodies.pop().ok_or(NotJson)?, &wanted.embedder)? else {
                    return Ok(Conclusion::Refuse);
                };
                Stage::Searching(checked, wanted.searches(vectors)?)
            }
            Stage::Searching(checked, searches) => {
                return neighbours::merge(&wanted, &checked, &searches, &found).map(Conclusion::Answer);
            }
        };
        Ok(Conclusion::Ask(Box::new(Similar { wanted, shard, stage })))
    }
}

/// The vectors that an embedder made of the one document; `None` if it is not there any more.
fn vectors(documents: &[u8], embedder: &str) -> Result<Option<Vec<Value>>, NotJson> {
    let mut document = None;
    json::for_each_member(&results(documents)?.pop().unwrap_or_else(|| b"{}".to_vec()), |member| {
        if member.key == b"_vectors" {
            document = serde_json::from_slice::<Value>(member.value).ok();
        }
    })?;
    let Some(vectors) = document else { return Ok(None) };
    let embeddings = vectors.get(embedder).map(|of| of.get("embeddings").unwrap_or(of));
    Ok(Some(match embeddings {
        Some(Value::Array(list)) if list.first().is_some_and(Value::is_array) => list.clone(),
        Some(Value::Array(one)) if !one.is_empty() => vec![Value::Array(one.clone())],
        _ => Vec::new(),
    }))
}

/// The id that a document shows; `None` if it shows none.
pub fn id_of(document: &[u8], primary_key: &str) -> Option<String> {
    inspect(std::str::from_utf8(document).ok()?, primary_key).ok()?.id.ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::exchange::{Answer, Call, CallId, Exchange, RequestHead, Step};
    use crate::fan_out::FanOut;
    use crate::table::tests::table;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn vectors_are_one_or_several() {
        let of = |vectors: Value| {
            let documents = json!({"results": [{"id": 1, "_vectors": vectors}]}).to_string();
            super::vectors(documents.as_bytes(), "e").unwrap()
        };
        assert_eq!(of(json!({"e": {"embeddings": [[1.0], [2.0]]}})), Some(vec![json!([1.0]), json!([2.0])]));
        assert_eq!(of(json!({"e": {"embeddings": [1.0, 2.0]}})), Some(vec![json!([1.0, 2.0])]));
        assert_eq!(of(json!({"other": [1.0]})), Some(vec![]));
        assert_eq!(super::vectors(b"{\"results\":[]}", "e"), Ok(None));
    }

    fn calls(step: Step) -> Vec<(CallId, Call)> {
        match step {
            Step::Call(calls) => calls,
            step => panic!("{step:?}"),
        }
    }

    fn json_answer(body: Value) -> Option<Answer> {
        Some(Answer { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() })
    }

    #[test]
    fn an_owner_tells_the_vector_and_all_nodes_what_is_near() {
        let mut table = table(4, 2, 1, 1);
        let facts = IndexFacts { primary_key: Some("id".into()), ..IndexFacts::default() };
        table.indexes.insert("a".into(), facts);
        let headers = [("content-type", "application/json"), ("authorization", "Bearer client's")];
        let head = RequestHead {
            method: "POST".into(),
            target: "/indexes/a/similar".into(),
            headers: headers.map(|(name, value)| (name.to_string(), value.to_string())).to_vec(),
        };
        let mut similar = FanOut::<Similar>::new(Arc::new(Routing::new(table)), head, "a".into());
        let body = json!({"id": 7, "embedder": "e", "limit": 2, "attributesToRetrieve": ["t"]}).to_string();

        let checks = calls(similar.body(body.as_bytes(), true));
        let [(check, call)] = &checks[..] else { panic!("not one call") };
        assert_eq!(call.target, "/indexes/a/similar");
        assert!(call.headers.contains(&("authorization".into(), "Bearer client's".into())));
        let checked = json!({
            "hits": [], "id": "7", "processingTimeMs": 1, "limit": 0, "offset": 0, "estimatedTotalHits": 1
        });

        let fetches = calls(similar.answered(*check, json_answer(checked)));
        let [(fetch, call)] = &fetches[..] else { panic!("not one call") };
        assert_eq!(call.target, "/indexes/a/documents/fetch");
        assert!(call.headers.contains(&("authorization".into(), "Bearer nodes' own".into())));
        let document = json!({"id": 7, "_vectors": {"e": {"embeddings": [[1.0, 0.0]]}}});

        let searches = calls(similar.answered(*fetch, json_answer(json!({"results": [document]}))));
        assert_eq!(searches.len(), 2);
        let asked: Value = serde_json::from_slice(&searches[0].1.body).unwrap();
        assert_eq!(asked["queries"][0]["vector"], json!([1.0, 0.0]));
        assert_eq!(asked["queries"][0]["attributesToRetrieve"], json!(["t", "id"]));
        assert!(searches[0].1.headers.contains(&("authorization".into(), "Bearer client's".into())));
        let found = |hits: &[(u64, f64)]| {
            let hit = |&(id, similarity): &(u64, f64)| {
                let details = json!({"vectorSort": {"order": 0, "similarity": similarity}});
                json!({"id": id, "t": id, "_rankingScore": similarity, "_rankingScoreDetails": details})
            };
            let hits: Vec<Value> = hits.iter().map(hit).collect();
            json_answer(json!({"results": [{
                "indexUid": "a", "hits": hits, "query": "", "processingTimeMs": 1, "limit": 3, "offset": 0,
                "estimatedTotalHits": 10
            }]}))
        };
        assert_eq!(similar.answered(searches[0].0, found(&[(7, 1.0), (1, 0.5)])), Step::Wait);
        let Step::Reply(reply) = similar.answered(searches[1].0, found(&[(2, 0.9), (3, 0.1)])) else {
            panic!("no reply")
        };
        let reply: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(reply["hits"], json!([{"t": 2}, {"t": 1}]));
        assert_eq!((&reply["id"], &reply["estimatedTotalHits"]), (&json!("7"), &json!(19)));
    }
}
