//! `GET` and `POST /indexes/{uid}/search`, where the uid is an alias of several indexes: the same search in each of them,
//! federated into one list of hits.
//!
//! The answer has the shape of a plain search. As in every federated search each hit tells by `_federation` where it is from.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::alias;
use crate::error::{ApiError, ErrorType};
use crate::exchange::{Reply, RequestHead};
use crate::fan_out::{Conclusion, FanOut, NodeBody, Question, Request, Share, Unreadable};
use crate::json::{self, NotJson, ObjectWriter};
use crate::routing::Routing;
use crate::search::alias::positions;
use crate::search::facets;
use crate::search::federated::FederatedAnswer;
use crate::search::federation::Federation;
use crate::search::url;

/// Parameters of a search that are the federation's as a whole.
const OF_THE_WHOLE: [&str; 7] =
    ["offset", "limit", "page", "hitsPerPage", "distinct", "showPerformanceDetails", "personalize"];

/// A search in several indexes.
#[derive(Debug)]
pub struct AliasSearch {
    alias: String,
    /// `q`
    words: String,
    federation: Federation,
}

/// The exchange before any of its body. What only a node can refuse, the first index is asked for.
pub fn exchange(
    routing: Arc<Routing>,
    head: RequestHead,
    alias: &str,
    indexes: &[String],
) -> FanOut<AliasSearch> {
    let head = alias::about(head, indexes.first().map_or(alias, String::as_str));
    FanOut::new(routing, head, alias.to_owned())
}

impl Question for AliasSearch {
    type Part = FederatedAnswer;

    fn parse(request: Request) -> Result<AliasSearch, Unreadable> {
        let mut query: Map<String, Value> =
            if request.head.method == "GET" { url::parse(request.head.query())? } else { request.json()? };
        let indexes = request.routing.table.aliases.get(request.index).ok_or(Unreadable)?;
        let facts = || indexes.iter().map(|index| request.routing.facts(index));
        let mut options = Map::new();
        for name in OF_THE_WHOLE {
            if let Some(value) = query.remove(name) {
                options.insert(name.into(), value);
            }
        }
        if let Some(asked) = query.remove("facets").filter(|asked| !asked.is_null()) {
            let by_index = indexes.iter().map(|index| (index.clone(), asked.clone()));
            options.insert("facetsByIndex".into(), Value::Object(by_index.collect()));
            let most = facts().map(|facts| facts.max_values_per_facet).max();
            options.insert("mergeFacets".into(), json!({ "maxValuesPerFacet": most }));
        }
        let words = query.get("q").and_then(Value::as_str).unwrap_or_default().to_owned();
        let queries = indexes.iter().map(|index| {
            let mut query = query.clone();
            query.insert("indexUid".into(), json!(index));
            query
        });
        let mut federation = Federation::parse(request.routing, options, queries.collect())?;
        // Values are cut when those of all indexes are added up: by count, another order may come of that.
        for query in &mut federation.queries {
            query.search.facts.max_values_per_facet = usize::MAX;
        }
        Ok(AliasSearch { alias: request.index.to_owned(), words, federation })
    }

    fn seed(&self) -> u64 {
        self.federation.seed()
    }

    fn is_of_known_indexes(&self, routing: &Routing) -> bool {
        self.federation.indexes().keys().all(|index| routing.table.indexes.contains_key(*index))
    }

    fn reworded(&self, refusal: Reply) -> Reply {
        positions::left_out(refusal)
    }

    fn body_for(&self, share: &Share) -> NodeBody {
        NodeBody { target: "/multi-search".into(), body: self.federation.body(share) }
    }

    fn read(&self, share: &Share, body: Vec<u8>) -> Result<FederatedAnswer, NotJson> {
        self.federation.read(share, body)
    }

    fn conclude(self, parts: Vec<(Share, FederatedAnswer)>) -> Result<Conclusion<AliasSearch>, NotJson> {
        if let Some((_, facet)) = self.federation.unfilterable_facet() {
            return Ok(Conclusion::Error(facets::unfilterable(facet, "")));
        }
        let answers: Vec<FederatedAnswer> = parts.into_iter().map(|(_, answer)| answer).collect();
        Ok(match self.federation.merge(&answers)? {
            Some(answer) => Conclusion::Answer(self.as_plain(&answer)?),
            None => Conclusion::Error(unlike_facets(&self.alias)),
        })
    }
}

impl AliasSearch {
    /// A federated answer in the shape of a plain search's.
    fn as_plain(&self, answer: &[u8]) -> Result<Vec<u8>, NotJson> {
        let mut body = ObjectWriter::new(Vec::with_capacity(answer.len()));
        json::for_each_member(answer, |member| match member.key {
            b"hits" => {
                body.member(member.text);
                body.value("query", &self.words);
            }
            b"queryVectors" => {
                let vectors: Map<String, Value> = serde_json::from_slice(member.value).unwrap_or_default();
                if let Some((_, vector)) = vectors.into_iter().next() {
                    body.value("queryVector", &vector);
                }
            }
            b"metadata" => {
                let queries: Vec<Value> = serde_json::from_slice(member.value).unwrap_or_default();
                if let Some(first) = queries.first() {
                    body.value("metadata", first);
                }
            }
            _ => body.member(member.text),
        })?;
        Ok(body.finish())
    }
}

fn unlike_facets(alias: &str) -> ApiError {
    let message = format!(
        "The indexes of alias `{alias}` order the values of a facet in different ways, so they can't be merged: give them the \
         same `faceting.sortFacetValuesBy`, or search them one by one."
    );
    ApiError::new(400, "invalid_multi_search_facet_order", ErrorType::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Answer, CallId, Exchange, Step};
    use crate::table::IndexFacts;
    use crate::table::tests::table;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Asks two nodes, and gives back the first one's body and the answer.
    fn ask(body: Value, answers: [Value; 2]) -> (Value, u16, Value) {
        let mut table = table(4, 2, 1, 1);
        table.aliases.insert("all".into(), vec!["a".into(), "b".into()]);
        for (index, max_values_per_facet) in [("a", 2), ("b", 1)] {
            let facts = IndexFacts { max_values_per_facet, ..IndexFacts::default() };
            table.indexes.insert(index.into(), facts);
        }
        let indexes = table.aliases["all"].clone();
        let head = RequestHead {
            method: "POST".into(),
            target: "/indexes/all/search".into(),
            headers: vec![("content-type".into(), "application/json".into())],
        };
        let mut search = exchange(Arc::new(Routing::new(table)), head, "all", &indexes);
        let Step::Call(calls) = search.body(body.to_string().as_bytes(), true) else { panic!("no calls") };
        let asked = serde_json::from_slice(&calls[0].1.body).unwrap();
        let mut last = Step::Wait;
        for ((call, _), answer) in calls.into_iter().zip(answers) {
            last = search.answered(call, answered(answer));
            if matches!(last, Step::Reply(_)) {
                break;
            }
        }
        let Step::Reply(reply) = last else { panic!("{last:?}") };
        (asked, reply.status, serde_json::from_slice(&reply.body).unwrap())
    }

    fn answered(body: Value) -> Option<Answer> {
        let status = if body.get("code").is_some() { 400 } else { 200 };
        Some(Answer { status, headers: Vec::new(), body: body.to_string().into_bytes() })
    }

    fn found(ids: &[(u64, usize, f64)], facets: Value) -> Value {
        let hit = |&(id, query, score): &(u64, usize, f64)| {
            json!({
                "id": id,
                "_federation": {"indexUid": if query == 0 { "a" } else { "b" }, "queriesPosition": query, "weightedRankingScore": score},
                "_rankingScore": score,
                "_rankingScoreDetails": {"words": {"order": 0, "score": score}},
            })
        };
        let hits: Vec<Value> = ids.iter().map(hit).collect();
        json!({
            "hits": hits, "processingTimeMs": 1, "limit": 3, "offset": 0, "estimatedTotalHits": ids.len(),
            "facetsByIndex": facets,
        })
    }

    #[test]
    fn all_indexes_answer_as_one() {
        let facets = |of_a: Value, of_b: Value| json!({"a": {"distribution": {"g": of_a}, "stats": {}}, "b": {"distribution": {"g": of_b}, "stats": {}}});
        let body = json!({"q": "x", "offset": 1, "limit": 2, "facets": ["g"], "distinct": "d"});
        let answers = [
            found(&[(1, 0, 0.9), (2, 1, 0.5)], facets(json!({"x": 1, "y": 1, "z": 1}), json!({"y": 2}))),
            found(&[(3, 1, 0.8)], facets(json!({}), json!({"x": 1, "z": 3}))),
        ];
        let (asked, status, answer) = ask(body, answers);
        assert_eq!(asked["queries"][1]["indexUid"], "b");
        assert_eq!(asked["federation"]["facetsByIndex"], json!({"a": ["g"], "b": ["g"]}));
        assert_eq!(status, 200, "{answer}");
        let ids: Vec<u64> =
            answer["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, [3, 2]);
        assert_eq!(answer["hits"][0]["_federation"]["indexUid"], "b");
        assert_eq!(
            (&answer["query"], &answer["offset"], &answer["estimatedTotalHits"]),
            (&json!("x"), &json!(1), &json!(3))
        );
        // No index's own cut loses a value that comes first over all.
        assert_eq!(answer["facetDistribution"], json!({"g": {"x": 2, "y": 3}}));
        assert_eq!(answer.get("facetsByIndex"), None);
    }

    #[test]
    fn a_refusal_names_no_query() {
        let refused = |message: &str| json!({"message": message, "code": "invalid_search_filter", "type": "invalid_request", "link": ""});
        let words = "Inside `.queries[1]`: Index `b`: Attribute `x` is not filterable.";
        let (_, status, error) = ask(json!({"filter": "x = 1"}), [refused(words), refused(words)]);
        assert_eq!((status, &error["message"]), (400, &json!("Index `b`: Attribute `x` is not filterable.")));
    }

    #[test]
    fn what_no_search_is_an_index_refuses_in_its_own_words() {
        let mut table = table(4, 1, 1, 1);
        let indexes = vec!["a".to_owned(), "b".to_owned()];
        table.aliases.insert("all".into(), indexes.clone());
        let head = RequestHead {
            method: "GET".into(),
            target: "/indexes/all/search?limit=x".into(),
            headers: Vec::new(),
        };
        let mut search = exchange(Arc::new(Routing::new(table)), head, "all", &indexes);
        let Step::Call(calls) = search.body(&[], true) else { panic!("no call") };
        let targets: Vec<(CallId, &str)> = calls.iter().map(|(id, call)| (*id, &*call.target)).collect();
        assert_eq!(targets, [(0, "/indexes/a/search?limit=x")]);
    }
}
