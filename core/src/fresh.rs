//! Reads that must see something: the writes of their session, or a version of the settings. They wait for it, up to a
//! limit, before nodes are asked.
//!
//! The control plane says when all is written, and from which routing table on no copy is read that lacks it. That table may
//! come to this Envoy a moment later than the answer; then it is asked again.

use percent_encoding::percent_decode_str;

use crate::alias;
use crate::control::{AWAIT_PATH, Await, AwaitSettings, Awaited};
use crate::error::{ApiError, ErrorType};
use crate::exchange::{Answer, BodyBuffer, Call, CallId, Exchange, Reply, Report, RequestHead, Step};
use crate::router::{Destination, destination};
use crate::routing::Latest;
use crate::session::session;

/// The header by which a read asks for settings that are not older.
pub const MIN_SETTINGS_VERSION_HEADER: &str = "x-miroir-min-settings-version";
/// The header that tells the version of an index's settings.
pub const SETTINGS_VERSION_HEADER: &str = "x-miroir-settings-version";
/// The header of an answer that may lack what its session has written: the task that is not over, or `unknown`.
pub const SESSION_BEHIND_HEADER: &str = "x-miroir-session-behind";

/// The id of the calls to the control plane. Those of the read itself are counted from 0.
const AWAIT_CALL: CallId = CallId::MAX;

/// What a read must see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    session: Option<String>,
    settings: Option<AwaitSettings>,
}

impl Freshness {
    /// What the headers of a read ask for.
    ///
    /// # Errors
    /// `miroir_invalid_session` or `miroir_invalid_settings_version`.
    pub fn of(head: &RequestHead, latest: &Latest) -> Result<Freshness, ApiError> {
        let is_one = |name: &String| alias::index(&latest.get().table, name).is_some();
        let version = |text: &str| match (min_settings_version(text)?, name_of(head.path()).filter(is_one)) {
            (version, Some(index)) => Ok(AwaitSettings { index, version }),
            (_, None) => Err(invalid_version("belongs to one index, and this request may be about several")),
        };
        let settings = head.header(MIN_SETTINGS_VERSION_HEADER).map(version).transpose()?;
        Ok(Freshness { session: session(head)?.map(str::to_owned), settings })
    }

    /// Whether the table that is here is all it takes.
    pub fn is_given(&self, latest: &Latest) -> bool {
        self.session.is_none() && self.has_settings(latest)
    }

    fn has_settings(&self, latest: &Latest) -> bool {
        let has = |wanted: &AwaitSettings| version_of(latest, wanted) >= wanted.version;
        self.settings.as_ref().is_none_or(has)
    }
}

/// The version that [`MIN_SETTINGS_VERSION_HEADER`] names.
///
/// # Errors
/// `miroir_invalid_settings_version` if it names none.
pub fn min_settings_version(text: &str) -> Result<u64, ApiError> {
    text.trim().parse().map_err(|_| invalid_version("must be a number from 0 on"))
}

/// The name of the index that a path is about.
fn name_of(path: &str) -> Option<String> {
    let index = path.strip_prefix("/indexes/")?.split('/').next()?;
    Some(percent_decode_str(index).decode_utf8_lossy().into_owned())
}

fn version_of(latest: &Latest, wanted: &AwaitSettings) -> u64 {
    let table = &latest.get().table;
    let index = alias::index(table, &wanted.index).and_then(|uid| table.indexes.get(uid));
    index.map_or(0, |facts| facts.settings_version)
}

/// A read that waits before it begins.
pub struct FreshRead {
    latest: Latest,
    head: RequestHead,
    freshness: Freshness,
    buffer: BodyBuffer,
    state: State,
    /// The task that it did not wait for until it was over, or `unknown`.
    behind: Option<String>,
}

enum State {
    Reading,
    Waiting,
    Begun(Box<dyn Exchange>),
    Over,
}

impl FreshRead {
    /// The exchange before any of its body.
    pub fn new(latest: Latest, head: RequestHead, freshness: Freshness) -> FreshRead {
        let buffer = BodyBuffer::new(latest.get().table.policy.body_limit);
        FreshRead { latest, head, freshness, buffer, state: State::Reading, behind: None }
    }

    fn ask(&mut self, left_ms: Option<u64>) -> Step {
        self.state = State::Waiting;
        let Freshness { session, settings } = self.freshness.clone();
        let question = Await { session, settings, left_ms };
        Step::Call(vec![(AWAIT_CALL, self.latest.get().control_call(&self.head, AWAIT_PATH, &question))])
    }

    fn awaited(&mut self, answer: Option<Answer>) -> Step {
        let answer = answer.filter(Answer::is_success);
        let awaited = answer.and_then(|answer| serde_json::from_slice::<Awaited>(&answer.body).ok());
        let Some(awaited) = awaited else {
            self.behind = self.freshness.session.is_some().then(|| "unknown".to_owned());
            return self.begin_if_settings_are_there(None);
        };
        let settings_are_there =
            awaited.settings_version.is_none() || self.freshness.has_settings(&self.latest);
        let table_is_there = self.latest.get().table.version >= awaited.table;
        if !(settings_are_there && table_is_there) && awaited.left_ms > 0 {
            return self.ask(Some(awaited.left_ms));
        }
        let behind = awaited.behind.or(awaited.last_task.filter(|_| !table_is_there));
        self.behind = behind.map(|task| task.to_string());
        match settings_are_there {
            true => self.begin(),
            false => self.begin_if_settings_are_there(awaited.settings_version),
        }
    }

    fn begin_if_settings_are_there(&mut self, version: Option<u64>) -> Step {
        match &self.freshness.settings {
            Some(wanted) if !self.freshness.has_settings(&self.latest) => {
                let here = version_of(&self.latest, wanted);
                let error = settings_version_stale(wanted, version.map_or(here, |version| version.min(here)));
                self.state = State::Over;
                error.into()
            }
            _ => self.begin(),
        }
    }

    fn begin(&mut self) -> Step {
        match destination(self.latest.get(), self.head.clone()).1 {
            Destination::Reply(reply) => self.finish(reply),
            Destination::Exchange(mut exchange) => {
                let step = exchange.body(&self.buffer.take(), true);
                self.state = State::Begun(exchange);
                self.marked(step)
            }
        }
    }

    fn marked(&mut self, step: Step) -> Step {
        match step {
            Step::Reply(reply) => self.finish(reply),
            step => step,
        }
    }

    fn finish(&mut self, reply: Reply) -> Step {
        Step::Reply(match self.behind.take() {
            Some(task) => reply.with_header(SESSION_BEHIND_HEADER, task),
            None => reply,
        })
    }
}

impl Exchange for FreshRead {
    fn body(&mut self, piece: &[u8], end: bool) -> Step {
        if !matches!(self.state, State::Reading) {
            return Step::Wait;
        }
        match self.buffer.push(piece) {
            Err(error) => error.into(),
            Ok(()) if end => self.ask(None),
            Ok(()) => Step::Wait,
        }
    }

    fn answered(&mut self, call: CallId, answer: Option<Answer>) -> Step {
        match &mut self.state {
            State::Waiting if call == AWAIT_CALL => self.awaited(answer),
            State::Begun(exchange) => {
                let step = exchange.answered(call, answer);
                self.marked(step)
            }
            State::Reading | State::Waiting | State::Over => Step::Wait,
        }
    }

    fn late(&mut self, call: CallId) -> Step {
        match &mut self.state {
            State::Begun(exchange) => exchange.late(call),
            State::Reading | State::Waiting | State::Over => Step::Wait,
        }
    }

    fn testament(&mut self) -> Option<Call> {
        match &mut self.state {
            State::Begun(exchange) => exchange.testament(),
            State::Reading | State::Waiting | State::Over => None,
        }
    }

    fn report(&self) -> Report {
        match &self.state {
            State::Begun(exchange) => exchange.report(),
            State::Reading | State::Waiting | State::Over => Report::default(),
        }
    }
}

fn invalid_version(reason: &str) -> ApiError {
    let message = format!("`X-Miroir-Min-Settings-Version` {reason}.");
    ApiError::new(400, "miroir_invalid_settings_version", ErrorType::InvalidRequest, message)
}

/// The settings of an index are older than a read asks for.
pub fn settings_version_stale(wanted: &AwaitSettings, version: u64) -> ApiError {
    let AwaitSettings { index, version: wanted } = wanted;
    let message = format!(
        "The settings of index `{index}` are of version {version}, not {wanted} or later. Retry; if it stays so, see \
         the task of the change for what became of it."
    );
    ApiError::new(503, "miroir_settings_version_stale", ErrorType::System, message)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::router::route;
    use crate::routing::Routing;
    use crate::table::IndexFacts;
    use crate::table::tests::table;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn routing(version: u64, settings_version: u64) -> Arc<Routing> {
        let mut table = table(1, 1, 1, 1);
        table.version = version;
        table.indexes.insert("a".into(), IndexFacts { settings_version, ..IndexFacts::default() });
        Arc::new(Routing::new(table))
    }

    fn head(headers: &[(&str, &str)]) -> RequestHead {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        RequestHead { method: "GET".into(), target: "/indexes/a/documents/1".into(), headers }
    }

    fn read(latest: &Latest, headers: &[(&str, &str)]) -> Box<dyn Exchange> {
        match route(latest, head(headers)).1 {
            Destination::Exchange(exchange) => exchange,
            Destination::Reply(reply) => panic!("{reply:?}"),
        }
    }

    #[track_caller]
    fn call(step: Step) -> (CallId, Call) {
        match step {
            Step::Call(mut calls) if calls.len() == 1 => calls.remove(0),
            step => panic!("{step:?}"),
        }
    }

    #[track_caller]
    fn question(step: Step) -> Await {
        let (id, call) = call(step);
        assert_eq!((id, &*call.target), (AWAIT_CALL, AWAIT_PATH));
        serde_json::from_slice(&call.body).unwrap()
    }

    fn answer(body: &impl serde::Serialize) -> Option<Answer> {
        Some(Answer { status: 200, headers: Vec::new(), body: serde_json::to_vec(body).unwrap() })
    }

    /// What the client gets once the node has answered.
    #[track_caller]
    fn reply(read: &mut dyn Exchange, step: Step) -> Reply {
        let (id, call) = call(step);
        assert_eq!(call.target, "/indexes/a/documents/1");
        match read.answered(id, answer(&serde_json::json!({"id": 1}))) {
            Step::Reply(reply) => reply,
            step => panic!("{step:?}"),
        }
    }

    fn header<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
        reply.headers.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    const SESSION: (&str, &str) = ("x-miroir-session", "s");

    #[test]
    fn a_read_without_a_session_asks_nobody() {
        let latest = Latest::new(routing(1, 3));
        for headers in [&[][..], &[(MIN_SETTINGS_VERSION_HEADER, "3")]] {
            let mut read = read(&latest, headers);
            let step = read.body(&[], true);
            let reply = reply(&mut *read, step);
            assert_eq!(header(&reply, SETTINGS_VERSION_HEADER), Some("3"));
            assert_eq!(header(&reply, SESSION_BEHIND_HEADER), None);
        }
    }

    #[test]
    fn a_read_in_a_session_waits_for_its_writes_and_for_the_table_that_knows_of_them() {
        let latest = Latest::new(routing(1, 0));
        let mut read = read(&latest, &[SESSION]);
        let asked = question(read.body(&[], true));
        assert_eq!(asked, Await { session: Some("s".into()), settings: None, left_ms: None });
        let awaited = Awaited { table: 2, last_task: Some(7), left_ms: 900, ..Awaited::default() };
        let again = question(read.answered(AWAIT_CALL, answer(&awaited)));
        assert_eq!(again.left_ms, Some(900));
        latest.set(routing(2, 0));
        let step = read.answered(AWAIT_CALL, answer(&awaited));
        assert_eq!(header(&reply(&mut *read, step), SESSION_BEHIND_HEADER), None);
    }

    #[test]
    fn a_read_that_could_not_wait_says_so() {
        let late = Awaited { behind: Some(6), last_task: Some(7), ..Awaited::default() };
        let without_table = Awaited { table: 9, last_task: Some(7), ..Awaited::default() };
        for (answer, shown) in [
            (answer(&late), "6"),
            (answer(&without_table), "7"),
            (None, "unknown"),
            (answer(&"?"), "unknown"),
        ] {
            let mut read = read(&Latest::new(routing(1, 0)), &[SESSION]);
            question(read.body(&[], true));
            let step = read.answered(AWAIT_CALL, answer);
            assert_eq!(header(&reply(&mut *read, step), SESSION_BEHIND_HEADER), Some(shown));
        }
    }

    #[test]
    fn settings_that_are_too_old_are_no_answer() {
        let latest = Latest::new(routing(1, 3));
        let wanted = (MIN_SETTINGS_VERSION_HEADER, "5");
        let late = Awaited { settings_version: Some(4), ..Awaited::default() };
        for answer in [answer(&late), None] {
            let mut read = read(&latest, &[wanted]);
            let asked = question(read.body(&[], true)).settings;
            assert_eq!(asked, Some(AwaitSettings { index: "a".into(), version: 5 }));
            let Step::Reply(reply) = read.answered(AWAIT_CALL, answer) else { panic!("no reply") };
            assert_eq!(reply.status, 503);
            assert_eq!(header(&reply, "retry-after"), Some("1"));
        }
        // They may come meanwhile.
        let mut read = read(&latest, &[wanted]);
        question(read.body(&[], true));
        let there = Awaited { settings_version: Some(5), left_ms: 10, ..Awaited::default() };
        question(read.answered(AWAIT_CALL, answer(&there)));
        latest.set(routing(2, 5));
        let step = read.answered(AWAIT_CALL, answer(&there));
        assert_eq!(header(&reply(&mut *read, step), SETTINGS_VERSION_HEADER), Some("5"));
    }

    #[test]
    fn an_index_that_is_not_there_has_no_settings_to_wait_for() {
        let mut read = read(&Latest::new(routing(1, 3)), &[(MIN_SETTINGS_VERSION_HEADER, "5")]);
        question(read.body(&[], true));
        let step = read.answered(AWAIT_CALL, answer(&Awaited { left_ms: 10, ..Awaited::default() }));
        call(step);
    }

    #[test]
    fn an_alias_has_the_version_of_the_index_that_it_stands_for() {
        let mut table = routing(1, 3).table.clone();
        table.aliases.insert("now".into(), vec!["a".into()]);
        table.aliases.insert("all".into(), vec!["a".into(), "b".into()]);
        let latest = Latest::new(Arc::new(Routing::new(table)));
        let of = |name: &str, version: &str| {
            let head = RequestHead {
                target: format!("/indexes/{name}/search"),
                ..head(&[(MIN_SETTINGS_VERSION_HEADER, version)])
            };
            Freshness::of(&head, &latest).map(|freshness| freshness.is_given(&latest))
        };
        assert_eq!((of("now", "3").unwrap(), of("now", "4").unwrap()), (true, false));
        assert_eq!(of("all", "3").unwrap_err().code, "miroir_invalid_settings_version");
    }

    #[test]
    fn what_can_t_be_waited_for_is_refused() {
        let latest = Latest::new(routing(1, 3));
        let refusal = |target: &str, header: (&str, &str)| {
            let method = if target.contains("documents") { "GET" } else { "POST" };
            let head = RequestHead { method: method.into(), target: target.into(), ..head(&[header]) };
            match route(&latest, head).1 {
                Destination::Reply(reply) => serde_json::from_slice::<ApiError>(&reply.body).unwrap().code,
                Destination::Exchange(_) => panic!("it is not refused"),
            }
        };
        for version in ["", "x", "-1", "1.5", "99999999999999999999"] {
            let header = (MIN_SETTINGS_VERSION_HEADER, version);
            assert_eq!(refusal("/indexes/a/search", header), "miroir_invalid_settings_version");
        }
        let header = (MIN_SETTINGS_VERSION_HEADER, "1");
        assert_eq!(refusal("/multi-search", header), "miroir_invalid_settings_version");
        assert_eq!(refusal("/indexes/a/documents", ("x-miroir-session", "a b")), "miroir_invalid_session");
    }
}
