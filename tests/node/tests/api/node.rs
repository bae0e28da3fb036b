//! A node to talk to: inside the test, or as the program that users start.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use miroir_test_node::cli::Cli;
use reqwest::{Client, Response};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The largest payload the nodes of the tests take.
pub const PAYLOAD_LIMIT: usize = 1 << 20;
/// How long a state may take to come about.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node and its client.
pub struct Node {
    pub client: Client,
    base: String,
    inside: Option<Inside>,
}

/// What a node inside the test consists of.
struct Inside {
    cli: Cli,
    folder: TempDir,
    stop: oneshot::Sender<()>,
    served: JoinHandle<anyhow::Result<()>>,
}

impl Node {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(configure: impl FnOnce(&mut Cli)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut cli = Cli::parse_from(["miroir-test-node"]);
        cli.db_path = folder.path().join("data");
        cli.http_payload_size_limit = PAYLOAD_LIMIT;
        configure(&mut cli);
        Self::serve(cli, folder).await
    }

    async fn serve(cli: Cli, folder: TempDir) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("its address"));
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { stopped.await.unwrap_or_default() };
        let served = tokio::spawn(miroir_test_node::serve(cli.clone(), listener, shutdown));
        // Without connections that are kept open, a shutdown has nothing to wait for.
        let client = Client::builder().pool_max_idle_per_host(0).build().expect("a client");
        Self { client, base, inside: Some(Inside { cli, folder, stop, served }) }
    }

    /// Shuts the node down and starts it again on what it left.
    pub async fn restart(mut self) -> Self {
        let inside = self.inside.take().expect("a node inside the test");
        inside.stop.send(()).expect("a node that runs");
        inside.served.await.expect("no panic").expect("a clean end");
        Self::serve(inside.cli, inside.folder).await
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub async fn get(&self, path: &str) -> Value {
        answer(self.client.get(self.url(path)).send().await).await
    }

    pub async fn delete(&self, path: &str) -> Value {
        answer(self.client.delete(self.url(path)).send().await).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        answer(Ok(self.request(path, body).await)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Value {
        answer(self.client.put(self.url(path)).json(&body).send().await).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Value {
        answer(self.client.patch(self.url(path)).json(&body).send().await).await
    }

    /// Posts a payload that is not JSON.
    pub async fn send(&self, path: &str, content_type: &str, payload: &str) -> Value {
        answer(Ok(self.raw(path, Some(content_type), payload).await)).await
    }

    /// Posts JSON, whatever the answer.
    pub async fn request(&self, path: &str, body: Value) -> Response {
        self.client.post(self.url(path)).json(&body).send().await.expect("an answer")
    }

    /// Posts anything, whatever the answer.
    pub async fn raw(&self, path: &str, content_type: Option<&str>, payload: &str) -> Response {
        let mut request = self.client.post(self.url(path)).body(payload.to_string());
        if let Some(content_type) = content_type {
            request = request.header("Content-Type", content_type);
        }
        request.send().await.expect("an answer")
    }

    /// The error of an answer that has to have this status.
    pub async fn refused(&self, response: Response, status: u16) -> Value {
        assert_eq!(response.status(), status);
        response.json().await.expect("an error object")
    }

    /// The task of a write, once it is finished.
    pub async fn finished(&self, summary: Value) -> Value {
        let path = format!("/tasks/{}", summary["taskUid"]);
        let begun = Instant::now();
        loop {
            let task = self.get(&path).await;
            if !matches!(task["status"].as_str(), Some("enqueued" | "processing")) {
                return task;
            }
            assert!(begun.elapsed() < PATIENCE, "{task}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The task of a write, once it has succeeded.
    pub async fn done(&self, summary: Value) -> Value {
        let task = self.finished(summary).await;
        assert_eq!(task["status"], "succeeded", "{task}");
        task
    }

    /// Waits until there is no task to process.
    pub async fn idle(&self) {
        let begun = Instant::now();
        while self.get("/tasks?statuses=enqueued,processing&limit=1").await["total"] != 0 {
            assert!(begun.elapsed() < PATIENCE, "the tasks do not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn answer(response: reqwest::Result<Response>) -> Value {
    let response = response.expect("an answer");
    let status = response.status();
    let body = response.text().await.expect("a whole answer");
    assert!(status.is_success(), "{status}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

/// The program that users start.
pub struct Program {
    pub node: Node,
    child: Child,
}

impl Program {
    pub fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_miroir-test-node"))
            .args(["--http-addr", "127.0.0.1:0", "--db-path"])
            .arg(folder)
            .env("RUST_LOG", "miroir_test_node=info")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut log = BufReader::new(child.stderr.take().expect("its log")).lines();
        let address = log.find_map(|line| {
            let line = line.ok()?;
            Some(line.split("address=").nth(1)?.split_whitespace().next()?.to_string())
        });
        // The log has to be read on, or the program would stop at a full pipe.
        std::thread::spawn(move || log.for_each(drop));
        let base = format!("http://{}", address.expect("the address it listens at"));
        Self { node: Node { client: Client::new(), base, inside: None }, child }
    }

    /// Ends the program without a word of warning.
    pub fn kill(&mut self) {
        self.child.kill().expect("a program that runs");
        self.child.wait().expect("its end");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
