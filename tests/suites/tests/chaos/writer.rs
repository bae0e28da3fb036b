//! Clients that write. Each owns its documents, and does one thing after the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use miroir_harness::{Answer, Method};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::documents::{BUCKETS, Key, partial, whole};
use crate::history::{Effect, Kind, Outcome};
use crate::run::{INDEX, Run};

/// How many documents a writer has.
pub const DOCUMENTS: u16 = 60;

/// Writes until the run stops.
pub async fn write(run: Arc<Run>, writer: u16, mut random: Rng) {
    while !run.is_stopping() {
        let intent = Intent::choose(writer, &mut random);
        let envoy = random.usize(..run.envoys());
        let outcome = carry_out(&run, intent, envoy).await;
        match outcome {
            // As `Retry-After` asks for, but sooner.
            Outcome::Refused | Outcome::Unknown => sleep(Duration::from_millis(random.u64(20..150))).await,
            _ if random.u8(..100) < 35 => rest(&run, writer, &mut random).await,
            _ => {}
        }
    }
}

/// Lets all that this writer began come to its end and stays away for a while: then a search knows all of its documents.
async fn rest(run: &Run, writer: u16, random: &mut Rng) {
    let is_busy = || run.history().is_busy(writer);
    while is_busy() && !run.is_stopping() {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_millis(random.u64(20..300))).await;
}

/// One request to be.
#[derive(Clone, Debug)]
pub struct Intent {
    pub kind: Kind,
    pub writer: u16,
    pub keys: Vec<Key>,
    /// As lines, in so many pieces, instead of a list.
    pub lines: Option<Pieces>,
    /// How long an answer is waited for. Who gives up early leaves a request behind that was begun.
    pub patience: Duration,
}

/// How a body comes.
#[derive(Clone, Copy, Debug)]
pub struct Pieces {
    pub count: usize,
    /// The pause before each.
    pub pause: Duration,
}

impl Pieces {
    fn of(self, body: &str) -> Vec<Vec<u8>> {
        let size = body.len().div_ceil(self.count).max(1);
        body.as_bytes().chunks(size).map(<[u8]>::to_vec).collect()
    }
}

/// How long a client waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(15);

impl Intent {
    fn choose(writer: u16, random: &mut Rng) -> Intent {
        let (kind, most) = match random.u8(..100) {
            0..43 => (Kind::Add, 12),
            43..63 => (Kind::Update, 12),
            63..72 => (Kind::Edit, 12),
            72..82 => (Kind::Delete, 1),
            82..93 => (Kind::DeleteBatch, 8),
            _ => (Kind::DeleteByFilter, 0),
        };
        let number = |random: &mut Rng| random.u16(..DOCUMENTS);
        let numbers: Vec<u16> = match (kind, random.u8(..20)) {
            (Kind::DeleteByFilter, _) => {
                let bucket = random.u16(..BUCKETS);
                (0..DOCUMENTS).filter(|number| number % BUCKETS == bucket).collect()
            }
            (Kind::Add | Kind::Update, 0) => (0..DOCUMENTS).collect(),
            _ => {
                let mut numbers: Vec<u16> = (0..random.usize(1..=most)).map(|_| number(random)).collect();
                numbers.sort_unstable();
                numbers.dedup();
                numbers
            }
        };
        let keys = numbers.into_iter().map(|number| Key { writer, number }).collect();
        let is_patient = random.u8(..100) < 95;
        let patience = if is_patient { PATIENCE } else { Duration::from_millis(random.u64(1..40)) };
        let pieces = Pieces { count: random.usize(1..6), pause: Duration::from_millis(random.u64(..40)) };
        Intent { kind, writer, keys, lines: random.bool().then_some(pieces), patience }
    }

    fn effect(&self) -> Effect {
        match self.kind {
            Kind::Add => Effect::Replace,
            Kind::Update => Effect::Update,
            Kind::Edit => Effect::Edit,
            Kind::Delete | Kind::DeleteBatch | Kind::DeleteByFilter => Effect::Delete,
        }
    }

    fn request(&self, versions: &[u64]) -> (Method, String, Option<Value>) {
        let path = |rest: &str| format!("/indexes/{INDEX}/documents{rest}");
        let documents = |one: fn(Key, u64) -> Value| -> Value {
            self.keys.iter().zip(versions).map(|(key, version)| one(*key, *version)).collect()
        };
        match self.kind {
            Kind::Add => (Method::POST, path(""), Some(documents(whole))),
            Kind::Update => (Method::PUT, path(""), Some(documents(partial))),
            Kind::Edit => {
                let numbers: Vec<u16> = self.keys.iter().map(|key| key.number).collect();
                let versions =
                    self.keys.iter().map(|key| key.id()).zip(versions.iter().copied().map(Value::from));
                let body = json!({
                    "filter": format!("writer = {} AND number IN {numbers:?}", self.writer),
                    "function": "doc.version = context.versions[doc.id]",
                    "context": { "versions": Value::Object(versions.collect()) },
                });
                (Method::POST, path("/edit"), Some(body))
            }
            Kind::Delete => (Method::DELETE, path(&format!("/{}", self.keys[0].id())), None),
            Kind::DeleteBatch => {
                let ids = self.keys.iter().map(|key| Value::from(key.id()));
                (Method::POST, path("/delete-batch"), Some(ids.collect()))
            }
            Kind::DeleteByFilter => {
                let filter = format!("writer = {} AND bucket = b{}", self.writer, self.keys[0].bucket());
                (Method::POST, path("/delete"), Some(json!({ "filter": filter })))
            }
        }
    }
}

/// Writes down what is attempted, does it, and writes down what was answered.
pub async fn carry_out(run: &Run, intent: Intent, envoy: usize) -> Outcome {
    let (operation, versions) =
        run.history().begin(intent.kind, intent.effect(), &intent.keys, envoy, run.now());
    let (method, path, body) = intent.request(&versions);
    let send = async {
        match (body, intent.lines) {
            (Some(Value::Array(documents)), Some(pieces)) if intent.kind != Kind::DeleteBatch => {
                let lines = documents.iter().map(|document| format!("{document}\n")).collect::<String>();
                run.send_lines(envoy, method, &path, pieces.of(&lines), pieces.pause).await
            }
            (body, _) => run.send(envoy, method, &path, body.as_ref()).await,
        }
    };
    let answer = match timeout(intent.patience, send).await {
        Ok(answer) => answer,
        Err(gave_up) => Err(gave_up.into()),
    };
    let (outcome, task, note) = outcome(answer);
    run.history().end(operation, outcome, task, note, run.now());
    outcome
}

fn outcome(answer: Result<Answer>) -> (Outcome, Option<u64>, String) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let never_sent = error
                .chain()
                .any(|cause| cause.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect));
            let outcome = if never_sent { Outcome::Refused } else { Outcome::Unknown };
            return (outcome, None, if never_sent { "no connection".into() } else { format!("{error:#}") });
        }
    };
    let summary: Value = answer.json().unwrap_or_default();
    match (answer.status, summary["taskUid"].as_u64()) {
        (202, Some(task)) => (Outcome::Acknowledged, Some(task), String::new()),
        (status, _) => {
            let code = answer.code().unwrap_or_else(|| answer.text().chars().take(80).collect());
            (Outcome::Refused, None, format!("{status} {code}"))
        }
    }
}

/// Finds out what becomes of the tasks, for ever.
pub async fn watch_tasks(run: Arc<Run>) {
    loop {
        let pending = run.history().pending_tasks();
        for envoy in 0..run.envoys() {
            if look_at_tasks(&run, envoy, &pending).await {
                break;
            }
        }
        sleep(Duration::from_millis(25)).await;
    }
}

/// Whether it was told of them.
async fn look_at_tasks(run: &Run, envoy: usize, pending: &BTreeMap<u64, usize>) -> bool {
    const AT_ONCE: usize = 50;
    if pending.is_empty() {
        return true;
    }
    let uids: Vec<String> = pending.keys().take(AT_ONCE).map(u64::to_string).collect();
    let path = format!("/tasks?limit={AT_ONCE}&uids={}", uids.join(","));
    let Ok(answer) = run.send(envoy, Method::GET, &path, None).await else { return false };
    let Ok(page) = answer.ok() else { return false };
    for task in page["results"].as_array().into_iter().flatten() {
        let Some(operation) = task["uid"].as_u64().and_then(|uid| pending.get(&uid)) else { continue };
        let error = task["error"]["message"].as_str().unwrap_or_default();
        match task["status"].as_str() {
            Some("succeeded") => run.history().finish(*operation, Outcome::Succeeded(run.now()), ""),
            Some("failed" | "canceled") => run.history().finish(*operation, Outcome::Failed, error),
            _ => {}
        }
    }
    true
}
