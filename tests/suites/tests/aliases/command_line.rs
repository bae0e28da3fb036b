//! `miroir alias`.

use std::process::{Command, Output};

use miroir_harness::{Cluster, Options, binaries};
use serde_json::{Value, json};

use crate::cluster;

fn run(cluster: &Cluster, arguments: &[&str]) -> Output {
    let mut command = Command::new(binaries::control_plane().unwrap());
    command
        .arg("alias")
        .args(arguments)
        .env("MIROIR_URL", cluster.admin_url())
        .env("MIROIR_ADMIN_KEY", "adminKey");
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sets_shows_rolls_back_and_removes_aliases() {
    let cluster = cluster(Options { nodes: 1, replication_factor: 1, ..Options::default() }).await;
    let client = cluster.client();
    for uid in ["movies_v1", "movies_v2"] {
        client.create_index(uid, Some("id")).await.unwrap();
    }
    said(&run(&cluster, &["set", "movies", "movies_v1"]));
    let flipped = said(&run(&cluster, &["set", "movies", "movies_v2"]));
    assert!(flipped.contains("movies_v1") && flipped.contains("now"), "{flipped}");
    let listed = said(&run(&cluster, &["list"]));
    assert!(listed.contains("movies_v2") && !listed.contains("movies_v1"), "{listed}");
    let rolled_back: Value =
        serde_json::from_str(&said(&run(&cluster, &["rollback", "movies", "--json"]))).unwrap();
    assert_eq!(rolled_back["indexes"], json!(["movies_v1"]));
    let shown: Value = serde_json::from_str(&said(&run(&cluster, &["show", "movies", "--json"]))).unwrap();
    assert_eq!(shown, rolled_back);
    said(&run(&cluster, &["set", "both", "movies_v1", "movies_v2"]));
    let removed = said(&run(&cluster, &["remove", "movies"]));
    assert!(removed.contains("movies_v1"), "{removed}");
    let listed: Value = serde_json::from_str(&said(&run(&cluster, &["list", "--json"]))).unwrap();
    assert_eq!(listed["results"].as_array().unwrap().len(), 1);
    let refused = run(&cluster, &["set", "movies", "nowhere"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Index `nowhere` not found"), "{refused:?}");
}
