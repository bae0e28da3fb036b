//! `POST /multi-search` where there are aliases: its queries may name them.
//!
//! An alias of one index is that index, and the answer names it as the client did. An alias of several is, in a federated
//! search, as many queries; else a search of its own, whose answer takes its place among the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::federated::{Names, Origin, index_uid, resolve, set_index_uid, take_queries};
use super::{positions, search};
use crate::error::{ApiError, shard_unavailable};
use crate::exchange::{Answer, BodyBuffer, CallId, Exchange, Reply, Report, RequestHead, Step};
use crate::fan_out::{FanOut, join_degraded};
use crate::json::{self, NotJson, ObjectWriter};
use crate::routing::Routing;
use crate::search::index_search::results;
use crate::search::multi::MultiSearch;

/// Several searches in one request.
pub struct AliasedMultiSearch {
    routing: Arc<Routing>,
    head: RequestHead,
    buffer: BodyBuffer,
    answer: Shape,
    /// What is asked for; none until the body is there.
    parts: Vec<Part>,
}

/// What comes of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// The answer to the only part as it is: no query names an alias.
    AsIs,
    /// The answer to the only part, with the names that the client used.
    Federated,
    /// The results of all parts, in the order of the client's queries.
    Separate,
}

/// Queries that are asked together.
struct Part {
    exchange: Box<dyn Exchange>,
    /// What of them the client named otherwise.
    names: Names,
    /// Whether it is a search of its own, not a `/multi-search`.
    is_alone: bool,
    reply: Option<Reply>,
}

impl AliasedMultiSearch {
    /// The exchange before any of its body.
    pub fn new(routing: Arc<Routing>, head: RequestHead) -> AliasedMultiSearch {
        let buffer = BodyBuffer::new(routing.table.policy.body_limit);
        AliasedMultiSearch { routing, head, buffer, answer: Shape::AsIs, parts: Vec::new() }
    }

    fn begin(&mut self) -> Step {
        let (parts, bodies): (Vec<Part>, Vec<Vec<u8>>) = match self.read() {
            Ok(asked) => asked.into_iter().unzip(),
            Err(error) => return error.into(),
        };
        self.parts = parts;
        let mut step = Step::Wait;
        for (part, body) in bodies.into_iter().enumerate() {
            step = step.and(self.step(part, |exchange| exchange.body(&body, true)));
        }
        self.reply().map_or(step, Step::Reply)
    }

    /// What is to be asked, and with which bodies.
    fn read(&mut self) -> Result<Vec<(Part, Vec<u8>)>, ApiError> {
        let body = self.buffer.take();
        let read = serde_json::from_slice::<Map<String, Value>>(&body).ok();
        let Some(mut read) = read.filter(|read| is_right(read) && self.names_alias(read)) else {
            return Ok(vec![self.several(Names::default(), body)]);
        };
        if read.get("federation").is_none_or(Value::is_null) {
            self.answer = Shape::Separate;
            return Ok(self.separate(read));
        }
        self.answer = Shape::Federated;
        let names = resolve(&self.routing, &mut read)?;
        Ok(vec![self.several(names, Value::Object(read).to_string().into_bytes())])
    }

    fn names_alias(&self, body: &Map<String, Value>) -> bool {
        let queries = body.get("queries").and_then(Value::as_array).into_iter().flatten();
        let facets = body.get("federation").and_then(|federation| federation.get("facetsByIndex"));
        let facets = facets.and_then(Value::as_object).into_iter().flat_map(Map::keys).map(String::as_str);
        queries.map(index_uid).chain(facets).any(|name| self.routing.table.aliases.contains_key(name))
    }

    fn several(&self, names: Names, body: Vec<u8>) -> (Part, Vec<u8>) {
        let exchange = FanOut::<MultiSearch>::new(self.routing.clone(), self.head.clone(), String::new());
        (Part { exchange: Box::new(exchange), names, is_alone: false, reply: None }, body)
    }

    /// One part for all queries of one index each, and one for each query of several indexes.
    fn separate(&self, mut body: Map<String, Value>) -> Vec<(Part, Vec<u8>)> {
        let (mut queries, mut origins, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for (position, mut query) in take_queries(&mut body).into_iter().enumerate() {
            let named = index_uid(&query).to_owned();
            let shown = match self.routing.table.aliases.get(&named).map(Vec::as_slice) {
                None => None,
                Some([index]) => {
                    set_index_uid(&mut query, index);
                    Some(named)
                }
                Some(indexes) => {
                    parts.push(self.alone(position, query, named, indexes));
                    continue;
                }
            };
            origins.push(Origin { position, shown });
            queries.push(query);
        }
        if !queries.is_empty() {
            body.insert("queries".into(), Value::Array(queries));
            parts.push(self.several(Names::of(origins), Value::Object(body).to_string().into_bytes()));
        }
        parts
    }

    fn alone(&self, position: usize, mut query: Value, alias: String, indexes: &[String]) -> (Part, Vec<u8>) {
        if let Some(query) = query.as_object_mut() {
            query.remove("indexUid");
            // Here, and not in a search of its own, null is as good as nothing.
            query.retain(|name, value| !(value.is_null() && ["offset", "limit"].contains(&&**name)));
        }
        let head = RequestHead { target: format!("/indexes/{alias}/search"), ..self.head.clone() };
        let exchange = search(self.routing.clone(), head, &alias, indexes);
        let names = Names::of(vec![Origin { position, shown: Some(alias) }]);
        let part = Part { exchange: Box::new(exchange), names, is_alone: true, reply: None };
        (part, query.to_string().into_bytes())
    }

    /// Lets one part take a step. Its calls get numbers that no other part's have; its reply waits for those of the others.
    fn step(&mut self, part: usize, next: impl FnOnce(&mut dyn Exchange) -> Step) -> Step {
        let count = self.parts.len();
        let Some(taking) = self.parts.get_mut(part).filter(|part| part.reply.is_none()) else {
            return Step::Wait;
        };
        match next(&mut *taking.exchange) {
            Step::Call(calls) => {
                Step::Call(calls.into_iter().map(|(call, what)| (call * count + part, what)).collect())
            }
            Step::Reply(reply) => {
                taking.reply = Some(reply);
                Step::Wait
            }
            Step::Wait => Step::Wait,
        }
    }

    /// The client's answer, once all parts have theirs.
    fn reply(&self) -> Option<Reply> {
        let replies: Option<Vec<(&Part, &Reply)>> =
            self.parts.iter().map(|part| Some((part, part.reply.as_ref()?))).collect();
        let replies = replies?;
        if let (Shape::AsIs, [(_, reply)]) = (self.answer, &replies[..]) {
            return Some((*reply).clone());
        }
        if let Some((part, refusal)) = replies.iter().find(|(_, reply)| reply.status != 200) {
            return Some(part.refusal((*refusal).clone()));
        }
        let body = match (self.answer, &replies[..]) {
            (Shape::Federated, [(part, reply)]) => part.names.put_into(&reply.body),
            _ => together(&replies),
        };
        let Ok(body) = body else { return Some(shard_unavailable("some").into()) };
        let degraded = replies.iter().flat_map(|(_, reply)| &reply.headers);
        let degraded = degraded.filter(|(name, _)| name == "x-miroir-degraded").map(|(_, value)| &**value);
        let reply = Reply::json(200, body);
        Some(match join_degraded(degraded) {
            Some(what) => reply.with_header("x-miroir-degraded", what),
            None => reply,
        })
    }
}

/// Whether aliases can be told apart from what a node would refuse.
fn is_right(body: &Map<String, Value>) -> bool {
    let is_federation = |value: &Value| value.is_null() || value.is_object();
    body.iter().all(|(name, value)| match &**name {
        "queries" => value.as_array().is_some_and(|queries| queries.iter().all(Value::is_object)),
        "federation" => is_federation(value),
        _ => false,
    })
}

impl Part {
    /// A refusal that speaks of the client's own queries.
    fn refusal(&self, refusal: Reply) -> Reply {
        match self.is_alone {
            _ if refusal.status >= 500 => refusal,
            true => positions::put_in(refusal, self.names.position(0)),
            false => positions::moved(refusal, |query| self.names.position(query)),
        }
    }

    /// The results of its queries, with the names that the client used.
    fn results(&self, answer: &[u8]) -> Result<Vec<Vec<u8>>, NotJson> {
        let results = if self.is_alone { vec![answer.to_vec()] } else { results(answer)? };
        let named =
            results.into_iter().zip(&self.names.origins).map(|(result, origin)| match &origin.shown {
                Some(shown) => with_index_uid(&result, shown),
                None => Ok(result),
            });
        named.collect()
    }
}

fn with_index_uid(result: &[u8], uid: &str) -> Result<Vec<u8>, NotJson> {
    let mut named = ObjectWriter::new(Vec::with_capacity(result.len() + uid.len()));
    named.value("indexUid", &uid);
    json::for_each_member(result, |member| {
        if member.key != b"indexUid" {
            named.member(member.text);
        }
    })?;
    Ok(named.finish())
}

fn together(replies: &[(&Part, &Reply)]) -> Result<Vec<u8>, NotJson> {
    let mut by_position = BTreeMap::new();
    for (part, reply) in replies {
        let positions = part.names.origins.iter().map(|origin| origin.position);
        by_position.extend(positions.zip(part.results(&reply.body)?));
    }
    let mut body = ObjectWriter::new(Vec::with_capacity(4096));
    let list = body.key("results");
    list.push(b'[');
    list.extend(by_position.into_values().collect::<Vec<_>>().join(&b','));
    list.push(b']');
    Ok(body.finish())
}

impl Exchange for AliasedMultiSearch {
    fn body(&mut self, piece: &[u8], end: bool) -> Step {
        match self.buffer.push(piece) {
            Err(error) => error.into(),
            Ok(()) if end => self.begin(),
            Ok(()) => Step::Wait,
        }
    }

    fn answered(&mut self, call: CallId, answer: Option<Answer>) -> Step {
        let count = self.parts.len().max(1);
        let step = self.step(call % count, |exchange| exchange.answered(call / count, answer));
        self.reply().map_or(step, Step::Reply)
    }

    fn late(&mut self, call: CallId) -> Step {
        let count = self.parts.len().max(1);
        self.step(call % count, |exchange| exchange.late(call / count))
    }

    fn report(&self) -> Report {
        let reports = self.parts.iter().map(|part| part.exchange.report());
        reports.fold(Report::default(), |sum, report| Report {
            fan_out: sum.fan_out + report.fan_out,
            upstream_failures: sum.upstream_failures + report.upstream_failures,
            hedges: sum.hedges + report.hedges,
            hedges_won: sum.hedges_won + report.hedges_won,
            second_wave: sum.second_wave || report.second_wave,
            degraded: sum.degraded || report.degraded,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::exchange::Call;
    use crate::table::tests::table;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn begin(body: &Value) -> (AliasedMultiSearch, Step) {
        let mut table = table(4, 1, 1, 1);
        table.aliases.insert("films".into(), vec!["films_v2".into()]);
        table.aliases.insert("all".into(), vec!["books".into(), "films_v2".into()]);
        for index in ["books", "films_v2", "other"] {
            table.indexes.insert(index.into(), Default::default());
        }
        let headers = vec![("content-type".into(), "application/json".into())];
        let head = RequestHead { method: "POST".into(), target: "/multi-search".into(), headers };
        let mut search = AliasedMultiSearch::new(Arc::new(Routing::new(table)), head);
        let step = search.body(body.to_string().as_bytes(), true);
        (search, step)
    }

    fn calls(step: Step) -> Vec<(CallId, Call)> {
        match step {
            Step::Call(calls) => calls,
            step => panic!("{step:?}"),
        }
    }

    fn reply(step: Step) -> (u16, Vec<(String, String)>, Value) {
        match step {
            Step::Reply(reply) => (reply.status, reply.headers, serde_json::from_slice(&reply.body).unwrap()),
            step => panic!("{step:?}"),
        }
    }

    fn answer(status: u16, body: Value) -> Option<Answer> {
        Some(Answer { status, headers: Vec::new(), body: body.to_string().into_bytes() })
    }

    fn queries(call: &Call) -> Value {
        serde_json::from_slice::<Value>(&call.body).unwrap()["queries"].clone()
    }

    fn result(index: &str) -> Value {
        json!({"indexUid": index, "hits": [], "query": "", "estimatedTotalHits": 1})
    }

    /// What the node finds in all indexes.
    fn federated(index: &str) -> Value {
        let origin = json!({"indexUid": index, "queriesPosition": 1, "weightedRankingScore": 1.0});
        json!({"hits": [{"id": 7, "_federation": origin}], "processingTimeMs": 1, "limit": 20, "offset": 0, "estimatedTotalHits": 4})
    }

    #[test]
    fn results_come_in_the_order_of_the_queries_under_the_names_that_the_client_used() {
        let body = json!({"queries": [
            {"indexUid": "all", "q": "x", "limit": null}, {"indexUid": "films"}, {"indexUid": "other"}, {"indexUid": "all"},
        ]});
        let (mut search, step) = begin(&body);
        let calls = calls(step);
        assert_eq!(calls.len(), 3);
        for (_, call) in &calls {
            let asked = queries(call);
            let asked: Vec<&str> = asked.as_array().unwrap().iter().map(index_uid).collect();
            assert!(asked == ["books", "films_v2"] || asked == ["films_v2", "other"], "{asked:?}");
        }
        let mut last = Step::Wait;
        for (call, what) in calls.into_iter().rev() {
            let found = match queries(&what)[1]["indexUid"].as_str() {
                Some("other") => json!({"results": [result("films_v2"), result("other")]}),
                _ => federated("films_v2"),
            };
            assert_eq!(last, Step::Wait);
            last = search.answered(call, answer(200, found));
        }
        let (status, _, found) = reply(last);
        assert_eq!(status, 200, "{found}");
        let results = found["results"].as_array().unwrap();
        assert_eq!(results.iter().map(index_uid).collect::<Vec<_>>(), ["all", "films", "other", "all"]);
        assert_eq!((&results[0]["query"], &results[0]["estimatedTotalHits"]), (&json!("x"), &json!(4)));
        assert_eq!(results[3]["hits"][0]["_federation"]["indexUid"], "films_v2");
    }

    #[test]
    fn a_refusal_speaks_of_the_clients_query() {
        let body = json!({"queries": [{"indexUid": "other"}, {"indexUid": "all", "filter": "a = 1"}]});
        let (mut search, step) = begin(&body);
        let mut last = Step::Wait;
        for (call, what) in calls(step) {
            let error = |message: &str| {
                let error = json!({"message": message, "code": "invalid_search_filter", "type": "invalid_request", "link": ""});
                answer(400, error)
            };
            last = match queries(&what).as_array().unwrap().len() {
                1 => search.answered(call, answer(200, json!({"results": [result("other")]}))),
                _ => search.answered(call, error("Inside `.queries[0]`: Index `books`: no")),
            };
        }
        let (status, _, error) = reply(last);
        assert_eq!((status, &error["message"]), (400, &json!("Inside `.queries[1]`: Index `books`: no")));
    }

    #[test]
    fn what_names_no_alias_goes_as_it_came() {
        for body in [json!({"queries": [{"indexUid": "other"}]}), json!({"queries": 1}), json!([])] {
            let (mut search, step) = begin(&body);
            let calls = calls(step);
            let [(call, _)] = &calls[..] else { panic!("{} calls", calls.len()) };
            let answered = answer(400, json!({"message": "Inside `.queries[0]`: x", "code": "c"}));
            let (status, _, error) = reply(search.answered(*call, answered));
            assert_eq!((status, &error), (400, &json!({"message": "Inside `.queries[0]`: x", "code": "c"})));
        }
    }

    #[test]
    fn what_any_answer_lacks_all_of_it_lacks() {
        let values = ["shards=1,3; stale=4", "stale=2,4", "shards=3"];
        assert_eq!(join_degraded(values.into_iter()).as_deref(), Some("shards=1,3; stale=2,4"));
        assert_eq!(join_degraded(std::iter::empty()), None);
    }
}
