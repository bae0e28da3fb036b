//! `GET /indexes/{uid}/documents` and `POST /indexes/{uid}/documents/fetch`.
//!
//! Documents come in the order of the nodes, and on each node in its own: which node has how many is asked first, and
//! then only those that hold the page are asked for it. Where a page is sorted, the nodes tell ids and sort values up
//! to its end, and then the page's documents are asked for by id.

mod page;
mod query;
mod sort;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::documents::filtered::narrowed;
use crate::fan_out::plan::Assignment;
use crate::fan_out::{Conclusion, NodeBody, Question, Request, Share, Unreadable, Wanted};
use crate::json::NotJson;
use crate::routing::Routing;
use crate::shard::shard_of;
use crate::shard_set::ShardSet;
use crate::tag;
use page::{Page, answer, without};
use query::Query;

/// Documents by their places.
#[derive(Debug)]
pub struct Browse {
    index: String,
    query: Query,
    /// The primary key, if the index has one.
    primary_key: String,
    shards: u32,
    from_url: bool,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// How many documents there are on each node; and the first page, if that is asked for.
    Counting,
    /// The nodes' parts of the page.
    Windows { windows: Vec<Window>, total: u64 },
    /// The order of all documents up to the page's end.
    Sorting,
    /// The page's documents.
    Page { ids: Vec<String>, total: u64 },
}

/// What one node has of a page.
#[derive(Clone, Debug)]
struct Window {
    assignment: Assignment,
    offset: u64,
    limit: u64,
}

impl Question for Browse {
    type Part = Page;

    fn parse(request: Request) -> Result<Browse, Unreadable> {
        let from_url = request.head.method == "GET";
        let query =
            if from_url { Query::of_url(request.head.query())? } else { Query::of_body(request.json()?)? };
        Ok(Browse {
            index: request.index.to_owned(),
            primary_key: request.facts().primary_key.unwrap_or_default(),
            shards: request.routing.table.shards,
            from_url,
            phase: if query.sort.is_some() { Phase::Sorting } else { Phase::Counting },
            query,
        })
    }

    fn seed(&self) -> u64 {
        twox_hash::XxHash64::oneshot(0, self.index.as_bytes())
    }

    fn wanted(&self) -> Wanted {
        match (&self.phase, &self.query.ids) {
            (Phase::Windows { windows, .. }, _) => {
                Wanted::Nodes(windows.iter().map(|window| window.assignment.clone()).collect())
            }
            (Phase::Page { ids, .. }, _) => Wanted::Shards(self.shards_of(ids)),
            // Without any id the question is only whether it is a right one.
            (_, Some(ids)) if !ids.is_empty() => Wanted::Shards(self.shards_of(ids)),
            _ => Wanted::All,
        }
    }

    fn is_of_known_indexes(&self, routing: &Routing) -> bool {
        routing.table.indexes.contains_key(&self.index)
    }

    fn is_in_clients_words(&self) -> bool {
        !self.from_url
    }

    fn body_for(&self, share: &Share) -> NodeBody {
        let mut body = self.query.rest.clone();
        let mut fields = self.query.fields.clone();
        let mut ids = self.query.ids.as_ref().map(|ids| self.among(ids, &share.assignment.shards));
        let mut filter = self.query.filter.clone();
        let (offset, limit) = match &self.phase {
            Phase::Counting | Phase::Sorting if share.alone => (self.query.offset, self.query.limit),
            Phase::Counting if self.query.offset == 0 => (0, self.query.limit),
            Phase::Counting => (0, 0),
            Phase::Windows { windows, .. } => {
                // Another node than was counted has its documents in another order: all is counted anew then.
                let window = windows.iter().find(|window| window.assignment == share.assignment);
                window.map_or((0, 0), |window| (window.offset, window.limit))
            }
            Phase::Sorting => {
                fields = Some(self.sort_fields());
                body.remove("retrieveVectors");
                (0, self.query.end())
            }
            Phase::Page { ids: page, .. } => {
                fields = fields.map(|fields| self.with_primary_key(fields));
                ids = Some(self.among(page, &share.assignment.shards));
                filter = None;
                (0, page.len() as u64)
            }
        };
        // Ids are of shards that the node is to count.
        let clause = share.tags().filter(|_| ids.is_none());
        if filter.is_some() || clause.is_some() {
            let clause = clause.map(|tags| tag::filter_clause(tags.iter()));
            body.insert("filter".into(), narrowed(filter.as_ref(), clause));
        }
        if let Some(ids) = ids {
            body.insert("ids".into(), json!(ids));
        }
        if let Some(fields) = fields {
            body.insert("fields".into(), json!(fields));
        }
        if let (Some(sort), Phase::Sorting) = (&self.query.sort, &self.phase) {
            body.insert("sort".into(), json!(sort));
        }
        body.insert("offset".into(), offset.into());
        body.insert("limit".into(), limit.into());
        let target = format!("/indexes/{}/documents/fetch", self.index);
        NodeBody { target, body: Value::Object(body).to_string().into_bytes() }
    }

    fn can_be_hedged(&self) -> bool {
        // In all others documents have an order that is their node's own.
        matches!(self.phase, Phase::Page { .. })
    }

    fn read(&self, _: &Share, body: Vec<u8>) -> Result<Page, NotJson> {
        Page::read(&body)
    }

    fn conclude(self, parts: Vec<(Share, Page)>) -> Result<Conclusion<Browse>, NotJson> {
        if let [(Share { alone: true, .. }, page)] = &parts[..]
            && matches!(self.phase, Phase::Counting | Phase::Sorting)
        {
            return Ok(self.answer(page.documents.iter().map(Vec::as_slice), page.total));
        }
        match &self.phase {
            Phase::Counting => self.counted(parts),
            Phase::Sorting => self.sorted(parts),
            Phase::Windows { windows, total } => {
                let is_counted = |(share, _): &(Share, Page)| {
                    windows.iter().any(|window| window.assignment == share.assignment)
                };
                if !parts.iter().all(is_counted) {
                    return Ok(Conclusion::Ask(Box::new(Browse { phase: Phase::Counting, ..self })));
                }
                let documents = parts.iter().flat_map(|(_, page)| page.documents.iter().map(Vec::as_slice));
                Ok(self.answer(documents, *total))
            }
            Phase::Page { ids, total } => {
                let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
                for document in parts.into_iter().flat_map(|(_, page)| page.documents) {
                    let id = page::id(&document, &self.primary_key)?;
                    found.insert(id, document);
                }
                let added = self.query.fields.as_ref().map(|fields| self.added(fields)).unwrap_or_default();
                // What was deleted meanwhile is not there any more.
                let documents: Vec<Vec<u8>> = ids
                    .iter()
                    .filter_map(|id| found.remove(id))
                    .map(|document| without(&document, &added))
                    .collect();
                Ok(self.answer(documents.iter().map(Vec::as_slice), *total))
            }
        }
    }
}

impl Browse {
    fn answer<'d>(&self, documents: impl Iterator<Item = &'d [u8]>, total: u64) -> Conclusion<Browse> {
        Conclusion::Answer(answer(documents, self.query.offset, self.query.limit, total))
    }

    fn counted(self, parts: Vec<(Share, Page)>) -> Result<Conclusion<Browse>, NotJson> {
        let total = parts.iter().map(|(_, page)| page.total).sum();
        if self.query.offset == 0 {
            let documents = parts.iter().flat_map(|(_, page)| page.documents.iter().map(Vec::as_slice));
            let limit = usize::try_from(self.query.limit).unwrap_or(usize::MAX);
            return Ok(self.answer(documents.take(limit), total));
        }
        let (mut skip, mut left) = (self.query.offset, self.query.limit);
        let mut windows = Vec::new();
        for (share, page) in parts {
            let offset = skip.min(page.total);
            let limit = left.min(page.total - offset);
            skip -= offset;
            left -= limit;
            if limit > 0 {
                windows.push(Window { assignment: share.assignment, offset, limit });
            }
        }
        if windows.is_empty() {
            return Ok(self.answer(std::iter::empty(), total));
        }
        Ok(Conclusion::Ask(Box::new(Browse { phase: Phase::Windows { windows, total }, ..self })))
    }

    fn sorted(self, parts: Vec<(Share, Page)>) -> Result<Conclusion<Browse>, NotJson> {
        let total = parts.iter().map(|(_, page)| page.total).sum();
        let rules = sort::rules(self.query.sort.as_deref().unwrap_or_default());
        let mut documents = Vec::new();
        for document in parts.into_iter().flat_map(|(_, page)| page.documents) {
            let id = page::id(&document, &self.primary_key)?;
            documents.push((sort::key(&rules, &document)?, id));
        }
        // Documents of equal rank stay in the order of the nodes.
        documents.sort_by(|(a, _), (b, _)| a.compare(b));
        let [offset, limit] =
            [self.query.offset, self.query.limit].map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        let ids: Vec<String> = documents.into_iter().skip(offset).take(limit).map(|(_, id)| id).collect();
        if ids.is_empty() {
            return Ok(self.answer(std::iter::empty(), total));
        }
        Ok(Conclusion::Ask(Box::new(Browse { phase: Phase::Page { ids, total }, ..self })))
    }

    fn shards_of(&self, ids: &[String]) -> ShardSet {
        let mut shards = ShardSet::empty(self.shards);
        ids.iter().for_each(|id| shards.insert(shard_of(id, self.shards)));
        shards
    }

    fn among<'i>(&self, ids: &'i [String], shards: &ShardSet) -> Vec<&'i String> {
        ids.iter().filter(|id| shards.contains(shard_of(id, self.shards))).collect()
    }

    /// The fields that tell a document's id and its place in the order.
    fn sort_fields(&self) -> Vec<String> {
        let fields = self.query.sort.iter().flatten().map(|rule| sort::field(rule)).collect();
        self.with_primary_key(fields).iter().flat_map(|field| with_parent(field)).collect()
    }

    fn with_primary_key(&self, mut fields: Vec<String>) -> Vec<String> {
        fields.extend(self.added(&fields));
        fields
    }

    /// The fields that show a document's id, but for these.
    fn added(&self, fields: &[String]) -> Vec<String> {
        let of_id = with_parent(&self.primary_key);
        of_id.filter(|field| !fields.contains(field)).collect()
    }
}

/// A field, and the one at the top of a document that may hold it.
fn with_parent(field: &str) -> impl Iterator<Item = String> {
    let parent = field.split_once('.').map(|(parent, _)| parent.to_owned());
    std::iter::once(field.to_owned()).chain(parent)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::exchange::{Answer, Exchange, RequestHead, Step};
    use crate::fan_out::FanOut;
    use crate::table::IndexFacts;
    use crate::table::tests::table;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Asks three nodes with one shard each, of which node `n` has `10` documents with the ids `n0` to `n9`. What was
    /// asked of them in each round, and the answer.
    fn ask(body: Value, fails: Option<usize>) -> (Vec<Vec<(usize, Value)>>, Value) {
        let mut table = table(3, 3, 3, 1);
        for (shard, owners) in table.groups[0].owners.iter_mut().enumerate() {
            *owners = vec![shard, (shard + 1) % 3];
        }
        let facts = IndexFacts { primary_key: Some("id".into()), ..IndexFacts::default() };
        table.indexes.insert("a".into(), facts);
        let head = RequestHead {
            method: "POST".into(),
            target: "/indexes/a/documents/fetch".into(),
            headers: vec![("content-type".into(), "application/json".into())],
        };
        let mut browse = FanOut::<Browse>::new(Arc::new(Routing::new(table)), head, "a".into());
        let mut rounds = Vec::new();
        let mut step = browse.body(body.to_string().as_bytes(), true);
        loop {
            let calls = match step {
                Step::Call(calls) => calls,
                Step::Reply(reply) => {
                    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
                    return (rounds, serde_json::from_slice(&reply.body).unwrap());
                }
                Step::Wait => panic!("it waits for nothing"),
            };
            let place = |cluster: &str| cluster.trim_start_matches("miroir-node-n").parse().unwrap();
            let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
            rounds.push(calls.iter().map(|(_, call)| (place(&call.cluster), read(&call.body))).collect());
            step = Step::Wait;
            let is_second = rounds.len() == 2;
            for (id, call) in calls {
                let node: usize = place(&call.cluster);
                let answer =
                    (fails != Some(node) || !is_second).then(|| node_answer(node, &read(&call.body)));
                match browse.answered(id, answer) {
                    Step::Wait => {}
                    next => step = next,
                }
            }
        }
    }

    /// The documents of all shards that are asked for, the ones with even numbers first.
    fn node_answer(node: usize, asked: &Value) -> Answer {
        let number = |name: &str| asked[name].as_u64().unwrap() as usize;
        let clause = asked["filter"].to_string();
        let documents = (0..30).filter(|number| {
            let shard = shard_of(&number.to_string(), 3);
            let is_held = [node, (node + 2) % 3].contains(&(shard as usize));
            is_held && (asked["filter"].is_null() || clause.contains(&tag::encode(shard)))
        });
        let is_asked = |number: &usize| {
            asked["ids"].as_array().is_none_or(|ids| ids.contains(&json!(number.to_string())))
        };
        let mut documents: Vec<usize> = documents.filter(is_asked).collect();
        documents.sort_by_key(|number| if asked["sort"].is_null() { number % 2 } else { 100 - number });
        let total = documents.len();
        let shown: Vec<Value> = documents
            .into_iter()
            .skip(number("offset"))
            .take(number("limit"))
            .map(|number| json!({"id": number, "n": number, "_miroir_shard": "x"}))
            .collect();
        let body =
            json!({"results": shown, "offset": asked["offset"], "limit": asked["limit"], "total": total});
        Answer { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    fn ids(answer: &Value) -> Vec<u64> {
        answer["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|document| document["id"].as_u64().unwrap())
            .collect()
    }

    #[test]
    fn pages_join_without_gap_or_repeat_and_are_not_fetched_from_the_start() {
        let (rounds, whole) = ask(json!({"limit": 100}), None);
        assert_eq!((rounds.len(), &whole["total"]), (1, &json!(30)));
        let mut sorted = ids(&whole);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..30).collect::<Vec<u64>>());
        assert!(!whole.to_string().contains("_miroir"));
        let mut joined = Vec::new();
        for page in 0..11 {
            let (rounds, answer) = ask(json!({"offset": page * 3, "limit": 3}), None);
            assert_eq!((&answer["offset"], &answer["limit"]), (&json!(page * 3), &json!(3)));
            for (_, asked) in rounds.iter().skip(1).flatten() {
                assert!(asked["limit"].as_u64().unwrap() <= 3);
            }
            joined.extend(ids(&answer));
        }
        assert_eq!(joined, ids(&whole));
    }

    #[test]
    fn a_node_that_fails_between_counting_and_reading_is_stood_in_for() {
        for fails in 0..3 {
            let (_, answer) = ask(json!({"offset": 5, "limit": 20}), Some(fails));
            let found: std::collections::BTreeSet<u64> = ids(&answer).into_iter().collect();
            assert_eq!((found.len(), &answer["total"]), (20, &json!(30)));
        }
    }

    #[test]
    fn a_sorted_page_is_merged_by_value_and_asked_for_by_id() {
        let (rounds, answer) = ask(json!({"sort": ["n:desc"], "offset": 4, "limit": 5}), None);
        assert_eq!(ids(&answer), [25, 24, 23, 22, 21]);
        assert_eq!(answer["total"], 30);
        assert!(
            rounds[0].iter().all(|(_, asked)| asked["fields"] == json!(["n", "id"]) && asked["limit"] == 9)
        );
        let asked: usize = rounds[1].iter().map(|(_, asked)| asked["ids"].as_array().unwrap().len()).sum();
        assert_eq!(asked, 5);
    }

    #[test]
    fn ids_are_asked_of_their_owners() {
        let (rounds, answer) = ask(json!({"ids": [3, "4", "absent"]}), None);
        let mut found = ids(&answer);
        found.sort_unstable();
        assert_eq!((found, &answer["total"]), (vec![3, 4], &json!(2)));
        assert!(rounds[0].iter().all(|(_, asked)| asked["filter"].is_null()));
        assert_eq!(ask(json!({"ids": []}), None).1["results"], json!([]));
    }
}
