//! Clients that read, and check each answer at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use miroir_harness::{Answer, Method};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::check::{Found, Scope, Violation, Wrong, check, describe, what_is_wrong};
use crate::documents::{BUCKETS, Key, read, word};
use crate::run::{INDEX, Run};
use crate::writer::DOCUMENTS;

/// More than there can be.
const ALL: usize = 5000;

/// Reads until the run stops. Writers are numbered from 0, which is the one whose documents nobody touches.
pub async fn read_on(run: Arc<Run>, writers: u16, mut random: Rng) {
    while !run.is_stopping() {
        let envoy = random.usize(..run.envoys());
        look(&run, Look::choose(writers, &mut random), envoy, false).await;
        sleep(Duration::from_millis(random.u64(2..40))).await;
    }
}

/// One request for documents to be.
#[derive(Clone, Copy, Debug)]
pub enum Look {
    /// Everything in a scope, with facets.
    Search(Scope),
    /// The same, by a word that only they hold.
    Word(Scope),
    /// By `offset` and `limit`.
    Page(Scope, usize, usize),
    /// By `page` and `hitsPerPage`.
    NumberedPage(Scope, usize, usize),
    /// Without a search.
    Fetch(Scope),
    /// One document.
    Document(Key),
}

impl Look {
    fn choose(writers: u16, random: &mut Rng) -> Look {
        let writer = random.u16(..=writers);
        let of_writer = Scope { writer: Some(writer), bucket: None };
        let bucket = random.u16(..BUCKETS);
        match random.u8(..100) {
            0..30 => Look::Search(of_writer),
            30..38 => Look::Search(Scope::default()),
            38..46 => Look::Search(Scope { writer: None, bucket: Some(bucket) }),
            46..56 => Look::Word(Scope { writer: Some(writer), bucket: Some(bucket) }),
            56..66 => Look::Page(of_writer, random.usize(..usize::from(DOCUMENTS)), random.usize(1..20)),
            66..74 => Look::NumberedPage(of_writer, random.usize(1..5), random.usize(1..20)),
            74..82 => Look::Fetch(of_writer),
            _ => Look::Document(Key { writer, number: random.u16(..DOCUMENTS) }),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Look::Search(_) => "search",
            Look::Word(_) => "search by word",
            Look::Page(..) => "search by page",
            Look::NumberedPage(..) => "search by numbered page",
            Look::Fetch(_) => "fetch",
            Look::Document(_) => "get by id",
        }
    }

    fn scope(self) -> Scope {
        match self {
            Look::Search(scope) | Look::Word(scope) | Look::Fetch(scope) => scope,
            Look::Page(scope, ..) | Look::NumberedPage(scope, ..) => scope,
            Look::Document(key) => Scope { writer: Some(key.writer), bucket: Some(key.bucket()) },
        }
    }

    fn window(self) -> (usize, usize) {
        match self {
            Look::Page(_, offset, limit) => (offset, limit),
            Look::NumberedPage(_, page, size) => ((page - 1) * size, size),
            _ => (0, ALL),
        }
    }

    fn request(self) -> (Method, String, Option<Value>) {
        let scope = self.scope();
        let mut conditions: Vec<String> = Vec::new();
        conditions.extend(scope.writer.map(|writer| format!("writer = {writer}")));
        let bucket = scope.bucket.filter(|_| !matches!(self, Look::Word(_)));
        conditions.extend(bucket.map(|bucket| format!("bucket = b{bucket}")));
        let mut body = json!({ "sort": ["writer:asc", "number:asc"] });
        if !conditions.is_empty() {
            body["filter"] = conditions.join(" AND ").into();
        }
        let (offset, limit) = self.window();
        match self {
            Look::NumberedPage(_, page, size) => {
                (body["page"], body["hitsPerPage"]) = (page.into(), size.into())
            }
            _ => (body["offset"], body["limit"]) = (offset.into(), limit.into()),
        }
        match self {
            Look::Document(key) => {
                return (Method::GET, format!("/indexes/{INDEX}/documents/{}", key.id()), None);
            }
            Look::Fetch(_) => {
                return (Method::POST, format!("/indexes/{INDEX}/documents/fetch"), Some(body));
            }
            Look::Word(scope) => body["q"] = word(scope.bucket.unwrap_or(0)).into(),
            _ => {}
        }
        body["facets"] = json!(["bucket"]);
        (Method::POST, format!("/indexes/{INDEX}/search"), Some(body))
    }
}

/// Asks, counts and checks. Where all is well with the cluster, the answer must be good and whole.
pub async fn look(run: &Run, look: Look, envoy: usize, all_is_well: bool) {
    let (method, path, body) = look.request();
    let behind_before = run.is_behind(envoy);
    let from = run.now();
    let answer = run.send(envoy, method, &path, body.as_ref()).await;
    let to = run.now();
    let is_behind = behind_before || run.is_behind(envoy);
    let count = |what: &str| run.tally().count("reads", format!("{} {what}", look.name()));
    let request =
        || format!("{look:?} of envoy {envoy} from {:.3} to {:.3}", from as f64 / 1e6, to as f64 / 1e6);
    let unavailable = |what: String| {
        run.tally().count("unserved", what.clone());
        if all_is_well {
            run.found(vec![Violation::new(Wrong::Unavailable, None, what)], &request());
        }
    };

    let answer = match answer {
        Ok(answer) => answer,
        Err(_) => {
            count("unanswered");
            return unavailable("no answer".into());
        }
    };
    let is_missing = answer.status == 404 && answer.code().as_deref() == Some("document_not_found");
    if answer.status != 200 && !is_missing {
        count("refused");
        if answer.status < 500 && !is_behind {
            run.found(vec![Violation::new(Wrong::Refused, None, answer.text())], &request());
        }
        return unavailable(format!("{} {}", answer.status, answer.code().unwrap_or_default()));
    }
    if let Some(shards) = answer.header("x-miroir-degraded") {
        count("degraded");
        if all_is_well {
            unavailable(format!("degraded: {shards}"));
        }
        return;
    }
    let verdict = match look {
        Look::Document(key) => check_document(run, key, &answer, from, to),
        look => {
            let found = found(look, &answer, from, to);
            let verdict = check(&run.history(), &found);
            run.tally().add("documents", "seen in answers", found.hits.len() as u64);
            run.tally().add("documents", "certain in answers", verdict.certain);
            run.tally().add("documents", "overtaken by a late request", verdict.overtaken);
            verdict.violations
        }
    };
    if is_behind {
        // What it sees was true when it was cut off.
        count("by an envoy that is cut off");
        run.tally().add("behind", "old in answers of an envoy that is cut off", verdict.len() as u64);
        return;
    }
    count("checked");
    run.found(verdict, &request());
}

fn check_document(run: &Run, key: Key, answer: &Answer, from: u64, to: u64) -> Vec<Violation> {
    let state = match answer.status {
        404 => None,
        _ => match read(&answer.json().unwrap_or_default()) {
            Some((read, content)) if read == key => Some(content),
            _ => return vec![Violation::new(Wrong::Foreign, Some(key), answer.text())],
        },
    };
    let possible = run.history().possible(key, from, to);
    let wrong = what_is_wrong(&possible, state);
    wrong.into_iter().map(|wrong| Violation::new(wrong, Some(key), describe(state, &possible))).collect()
}

fn found(look: Look, answer: &Answer, from: u64, to: u64) -> Found {
    let body: Value = answer.json().unwrap_or_default();
    let list = if matches!(look, Look::Fetch(_)) { &body["results"] } else { &body["hits"] };
    let hits = list.as_array().into_iter().flatten();
    let total = ["estimatedTotalHits", "totalHits", "total"].iter().find_map(|name| body[*name].as_u64());
    let facets = body["facetDistribution"]["bucket"].as_object();
    let (offset, limit) = look.window();
    Found {
        from,
        to,
        scope: look.scope(),
        hits: hits.map(|hit| read(hit).ok_or_else(|| hit.to_string())).collect(),
        offset,
        limit,
        total,
        facets: facets.map(|facets| {
            let counts = facets.iter().filter_map(|(name, count)| Some((name.clone(), count.as_u64()?)));
            counts.collect::<BTreeMap<String, u64>>()
        }),
    }
}

/// Everything there is, in all ways, by each Envoy.
pub async fn look_at_everything(run: &Run, writers: u16) {
    for envoy in 0..run.envoys() {
        let mut looks = vec![Look::Search(Scope::default()), Look::Fetch(Scope::default())];
        for writer in 0..=writers {
            let scope = Scope { writer: Some(writer), bucket: None };
            looks.extend([Look::Search(scope), Look::NumberedPage(scope, 2, 7)]);
            looks.extend((0..BUCKETS).map(|bucket| Look::Word(Scope { bucket: Some(bucket), ..scope })));
        }
        let keys: Vec<Key> = run.history().keys().collect();
        looks.extend(keys.into_iter().map(Look::Document));
        for one in looks {
            look(run, one, envoy, true).await;
        }
    }
}
