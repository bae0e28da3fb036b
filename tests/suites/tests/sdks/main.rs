//! The official clients of Meilisearch, used as their users use them: nothing but the URL is Miroir's.

mod rust;

use std::process::Stdio;

use miroir_harness::binaries::workspace;
use miroir_harness::{Cluster, Options};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Runs a client's script to its end, which has to be good.
async fn run(mut command: Command, script: &str) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut process = command.spawn().expect("the client: run scripts/install-sdks");
    process.stdin.take().unwrap().write_all(script.as_bytes()).await.unwrap();
    let output = process.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// node.js reading a script from its input, which finds the packages that are installed in this folder of `.tools`.
fn javascript(packages: &str, url: &str, key: &str) -> Command {
    let tools = workspace().join(".tools");
    let own = tools.join("node/bin/node");
    let mut command = Command::new(if own.exists() { own } else { "node".into() });
    command.args(["--input-type=module", "-"]).current_dir(tools.join(packages));
    command.env("MIROIR_URL", url).env("MIROIR_KEY", key);
    command
}

#[tokio::test]
async fn the_python_client_works_unchanged() {
    let options = Options::default();
    let key = options.master_key.clone();
    let cluster = Cluster::start(options).await.unwrap();
    let mut python = Command::new(workspace().join(".tools/python-sdk/bin/python"));
    python.args(["-", &cluster.client_url(), &key]);
    run(python, include_str!("user.py")).await;
}

#[tokio::test]
async fn the_javascript_client_and_instant_search_work_unchanged() {
    let options = Options::default();
    let key = options.master_key.clone();
    let cluster = Cluster::start(options).await.unwrap();
    let url = cluster.client_url();
    run(javascript("javascript-sdk", &url, &key), include_str!("user.mjs")).await;
    run(javascript("instantsearch", &url, &key), include_str!("instant.mjs")).await;
}

#[tokio::test]
async fn the_rust_client_works_unchanged() {
    let options = Options::default();
    let key = options.master_key.clone();
    let cluster = Cluster::start(options).await.unwrap();
    rust::use_it(&cluster.client_url(), &key).await;
}
