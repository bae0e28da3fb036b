//! What the harness starts, ends.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use miroir_harness::running::{Running, RunningProcess};
use miroir_harness::{Cluster, Options, SingleNode, wait_until};
use serde_json::json;

/// How the killed program says which process its node is.
const NODE: &str = "node: ";

const PATIENCE: Duration = Duration::from_secs(60);

fn processes(cluster: &Cluster) -> Vec<RunningProcess> {
    let nodes = cluster.nodes().iter().map(|node| (node.id(), node.pid(), node.port()));
    let envoy = ("envoy", cluster.envoy_pid(), 0);
    nodes.chain([envoy]).filter_map(|(name, pid, port)| RunningProcess::new(name, pid?, port)).collect()
}

#[tokio::test]
async fn parts_can_be_stopped_and_started_and_end_with_the_cluster() {
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let index = cluster.client().index("books");
    index.add_documents(&[json!({ "id": 1, "title": "Ficciones" })]).await.unwrap();

    cluster.stop_node(0);
    assert!(cluster.node(0).client().get("/health").await.is_err());
    cluster.start_node(0).await.unwrap();
    assert_eq!(cluster.node(0).client().get("/health").await.unwrap().status, 200);

    cluster.stop_control_plane();
    assert_eq!(index.search(&json!({})).await.unwrap()["hits"].as_array().unwrap().len(), 1);
    cluster.start_control_plane().await.unwrap();
    cluster.restart_envoy().await.unwrap();
    assert_eq!(index.document("1").await.unwrap().status, 200);

    let started = processes(&cluster);
    assert_eq!(started.len(), 4);
    cluster.pause_node(1).unwrap();
    drop(cluster);
    assert!(!started.iter().any(RunningProcess::is_alive));
}

#[tokio::test]
#[ignore = "the program that the next test kills"]
async fn start_a_node_and_wait() {
    let node = SingleNode::start().await.unwrap();
    println!("\n{NODE}{}", node.pid().unwrap());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_node_ends_with_the_program_that_started_it() {
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "start_a_node_and_wait", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines().map(Result::unwrap);
    let pid = lines.find_map(|line| line.strip_prefix(NODE)?.parse().ok()).unwrap();
    let node = RunningProcess::new("node", pid, 0).unwrap();

    program.kill().unwrap();
    program.wait().unwrap();
    wait_until("the node to end", PATIENCE, async || Ok(!node.is_alive())).await.unwrap();
}

#[tokio::test]
async fn what_a_killed_up_left_behind_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut up = Command::new(env!("CARGO_BIN_EXE_miroir-harness"))
        .args(["up", "--port", "0", "--control-port", "0", "--data-dir"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let written_down = async || Ok(Running::load(folder.path())?.is_some());
    wait_until("the first processes to be written down", PATIENCE, written_down).await.unwrap();
    up.kill().unwrap();
    up.wait().unwrap();

    let running = Running::load(folder.path()).unwrap().unwrap();
    assert_eq!(running.missing(), [""; 0]);
    running.stop(folder.path()).await.unwrap();
    assert!(!running.processes.iter().any(RunningProcess::is_alive));
    assert!(Running::load(folder.path()).unwrap().is_none());
}
