//! Any of the control planes can be asked anything.

use miroir_harness::Client;
use serde_json::json;

use crate::{cluster, leader};

#[tokio::test]
async fn who_stands_by_answers_as_the_leader_does() {
    let mut cluster = cluster(1).await;
    let leads = leader(&mut cluster).await;
    let of_leader = cluster.control_plane(leads).client();
    let of_standby = cluster.control_plane(1 - leads).client();

    let ready = of_standby.get("/_miroir/ready").await.unwrap().ok().unwrap();
    assert_eq!(ready["ready"], true);
    assert!(of_leader.url().ends_with(ready["leader"].as_str().unwrap()), "{ready}");
    for path in ["/_miroir/topology", "/_miroir/openapi.json", "/_miroir/nothing"] {
        let (theirs, ours) = (of_standby.get(path).await.unwrap(), of_leader.get(path).await.unwrap());
        assert_eq!((theirs.status, theirs.text()), (ours.status, ours.text()), "{path}");
    }
    assert_eq!(of_standby.with_key("wrong").get("/_miroir/topology").await.unwrap().status, 403);
    assert!(of_standby.get("/metrics").await.unwrap().text().contains("\nmiroir_leader 0"));

    // What changes something, too.
    assert_eq!(of_leader.get("/_miroir/anti-entropy").await.unwrap().status, 404);
    let begun = of_standby.post("/_miroir/anti-entropy", &json!({ "repair": false })).await.unwrap();
    assert_eq!(begun.status, 202, "{}", begun.text());
    assert_eq!(of_leader.get("/_miroir/anti-entropy").await.unwrap().status, 200);
    // And the Meilisearch API, on the port for Envoys.
    let port = cluster.control_plane(1 - leads).envoy_port;
    let direct = Client::new(format!("http://127.0.0.1:{port}"), "masterKey");
    direct.create_index("notes", Some("id")).await.unwrap();
    let index = cluster.client().get("/indexes/notes").await.unwrap().ok().unwrap();
    assert_eq!(index["primaryKey"], "id");
}
