//! A request whose body is sent bit by bit.

use std::time::Duration;

use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use miroir_harness::{Cluster, Index};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Documents of some ten kilobytes each.
pub const DOCUMENT: usize = 10_000;

/// A document.
pub fn document(id: u64, edition: u64) -> Value {
    json!({ "id": id, "edition": edition, "text": "x".repeat(DOCUMENT - 40) })
}

/// Documents as NDJSON.
pub fn lines(ids: impl Iterator<Item = u64>, edition: u64) -> Vec<u8> {
    ids.flat_map(|id| format!("{}\n", document(id, edition)).into_bytes()).collect()
}

/// An index that is quick to fill: only ids are searched for.
pub async fn prepare(cluster: &Cluster, uid: &str) -> Index {
    let index = cluster.client().create_index(uid, Some("id")).await.unwrap();
    let settings = json!({ "searchableAttributes": ["id"], "filterableAttributes": ["edition"] });
    index.update_settings(&settings).await.unwrap();
    index
}

/// A write of NDJSON under way.
pub struct Upload {
    body: Option<mpsc::Sender<Result<Vec<u8>, std::io::Error>>>,
    answer: JoinHandle<reqwest::Result<(u16, Value)>>,
}

impl Upload {
    /// Begins to add documents to an index.
    pub fn begin(cluster: &Cluster, index: &Index) -> Upload {
        let (sender, receiver) = mpsc::channel(1);
        let request = reqwest::Client::new()
            .post(format!("{}{}", cluster.client_url(), index.path("/documents")))
            .bearer_auth("masterKey")
            .header("content-type", "application/x-ndjson")
            .body(reqwest::Body::wrap_stream(receiver.map(|piece| piece)));
        let answer = tokio::spawn(async move {
            let response = request.send().await?;
            Ok((response.status().as_u16(), response.json().await?))
        });
        Upload { body: Some(sender), answer }
    }

    /// Sends more of the body; whether it was taken.
    pub async fn send(&mut self, piece: Vec<u8>) -> bool {
        let Some(body) = &mut self.body else { return false };
        body.send(Ok(piece)).await.is_ok()
    }

    /// Sends more of the body, which has to be taken.
    pub async fn push(&mut self, piece: Vec<u8>) {
        if !self.send(piece).await {
            panic!("the write was answered before its end: {:?}", (&mut self.answer).await);
        }
    }

    /// Ends the body, and gives the answer.
    pub async fn finish(mut self) -> (u16, Value) {
        self.body = None;
        let patience = Duration::from_secs(300);
        tokio::time::timeout(patience, self.answer).await.unwrap().unwrap().unwrap()
    }

    /// Goes away without ending it. (To let go of the sender would end the body as if it were whole.)
    pub async fn abort(mut self) {
        let Some(mut body) = self.body.take() else { return };
        let gone = std::io::Error::other("the client goes away");
        let _ = body.send(Err(gone)).await;
        let answer = self.answer.await.unwrap();
        assert!(answer.is_err(), "the write was answered: {answer:?}");
    }
}
