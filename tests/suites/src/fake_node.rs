//! Something that listens where a node should, and answers what no node would.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Answers everything with the same, but says that it is well when asked for its health. Ends when dropped.
pub struct FakeNode {
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

/// What it answers.
#[derive(Clone, Copy, Debug)]
pub struct Nonsense {
    /// The status.
    pub status: u16,
    /// The content type.
    pub content_type: &'static str,
    /// The body.
    pub body: &'static str,
}

const WELL: Nonsense =
    Nonsense { status: 200, content_type: "application/json", body: r#"{"status":"available"}"# };

struct State {
    answer: Nonsense,
    asked: usize,
}

impl FakeNode {
    /// Starts one on a port of the loopback interface.
    ///
    /// # Errors
    /// If the port is taken.
    pub async fn start(port: u16) -> Result<FakeNode> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let state = Arc::new(Mutex::new(State { answer: WELL, asked: 0 }));
        let shared = state.clone();
        let answer = move |request: Request<Body>| {
            let answer = if request.uri().path() == "/health" { WELL } else { ask(&shared) };
            async move { response(answer) }
        };
        let router = Router::new().fallback(answer);
        let server = tokio::spawn(async move {
            // It ends by being aborted.
            let _ = axum::serve(listener, router).await;
        });
        Ok(FakeNode { state, server })
    }

    /// From now on it answers this.
    pub fn answer(&self, answer: Nonsense) {
        *locked(&self.state) = State { answer, asked: 0 };
    }

    /// How often it has given that answer.
    pub fn asked(&self) -> usize {
        locked(&self.state).asked
    }
}

/// Nothing panics while it holds the lock.
fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ask(state: &Mutex<State>) -> Nonsense {
    let mut state = locked(state);
    state.asked += 1;
    state.answer
}

fn response(answer: Nonsense) -> Response<Body> {
    let response = Response::builder().status(answer.status).header("content-type", answer.content_type);
    response.body(Body::from(answer.body)).expect("a status and a content type that HTTP allows")
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.server.abort();
    }
}
