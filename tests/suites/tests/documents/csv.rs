//! Documents as CSV.

use miroir_harness::{Client, Method};
use miroir_suites::tasks::finished;
use serde_json::{Value, json};

use crate::PAIR;

async fn send(client: &Client, path: &str, body: &str) -> anyhow::Result<miroir_harness::Answer> {
    client.send(Method::POST, path, Some("text/csv"), body.into()).await
}

async fn contents(client: &Client, index: &str) -> Vec<Value> {
    let page =
        client.post(&format!("/indexes/{index}/documents/fetch"), &json!({ "limit": 1000 })).await.unwrap();
    let mut documents = page.ok().unwrap()["results"].as_array().cloned().unwrap();
    documents.sort_by_key(|document| document["id"].to_string());
    documents
}

#[tokio::test]
async fn fields_have_the_types_that_the_header_gives_them() {
    let pair = PAIR.get().await;
    let body = "id:number,name:string,price:number,free:boolean,note,a:b\n\
                1,\"The \"\"mirror\"\", again\",1.5,true,,x\n\
                2,plain, 7 ,false,\"two\nlines\",\n\
                3,,,,last,é\n";
    let documents = pair.same(async |client| {
        let task = finished(&client, send(&client, "/indexes/csv/documents", body).await).await;
        (task, contents(&client, "csv").await)
    });
    let (task, documents) = documents.await;
    assert_eq!(task["details"], json!({ "receivedDocuments": 3, "indexedDocuments": 3 }));
    assert_eq!(
        documents[1],
        json!({ "id": 2, "name": "plain", "price": 7, "free": false, "note": "two\nlines", "a:b": null })
    );
}

#[tokio::test]
async fn fields_may_be_separated_by_another_character() {
    let pair = PAIR.get().await;
    pair.same(async |client| {
        let path = "/indexes/csv-delimiter/documents?csvDelimiter=%3B&primaryKey=key";
        let task = finished(&client, send(&client, path, "key;id\n1;a,b\n2;\"c;d\"").await).await;
        let document = client.index("csv-delimiter").document("2").await.unwrap().ok().unwrap();
        (task, document)
    })
    .await;
}

#[tokio::test]
async fn malformed_csv_is_refused() {
    let pair = PAIR.get().await;
    let path = "/indexes/csv-malformed/documents";
    for body in [
        "",
        "id,x\n1,2\n3\n",
        "id,x\n1,2,3\n",
        "id:number,x\na,2\n",
        "id:number,x:boolean\n1,yes\n",
        "id,x:number\n1,\n2,1e400\n3,-\n",
    ] {
        pair.same(async |client| {
            let answer = send(&client, path, body).await.unwrap();
            (answer.status, answer.json::<Value>().unwrap())
        })
        .await;
    }
    for parameters in ["csvDelimiter=", "csvDelimiter=ab", "csvDelimiter=%C3%A9"] {
        pair.same(async |client| {
            let answer = send(&client, &format!("{path}?{parameters}"), "id\n1").await.unwrap();
            (answer.status, answer.code())
        })
        .await;
    }
}
