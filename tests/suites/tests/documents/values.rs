//! What goes in comes out.

use miroir_harness::{Client, Method};
use miroir_suites::tasks::finished;
use serde_json::{Value, json};

use crate::PAIR;

const DOCUMENTS: [&str; 10] = [
    r#"{"id": "numbers", "max": 18446744073709551615, "min": -9223372036854775808, "zero": 0, "minus": -1}"#,
    r#"{"id": "floats", "a": 0.1, "b": 1.0, "c": 1e300, "d": -2.5e-10, "e": 5e-324, "f": 9007199254740993.0}"#,
    r#"{"id": "unicode", "text": "Grüße 世界 🌍 ﷽ é e\u0301", "escaped": "\u00fc\ud83c\udf0d", "rtl": "שלום"}"#,
    r#"{"id": "escapes", "text": "a\"b\\c\/d\b\f\n\r\t\u0001", "html": "<em>&amp;</em>", "braces": "}]{["}"#,
    r#"{"id": "empty", "null": null, "array": [], "object": {}, "text": "", "nothing": [null, [], {}]}"#,
    r#"{"id": "nested", "a": {"b": {"c": [1, {"d": [true, false, null]}, "x"]}}, "list": [[1, [2, [3]]]]}"#,
    r#"{"id": "keys", "a b": 1, "a.b": 2, "é": 3, "\"": 4, "🌍": 5, "\\": 6, "_geo_": 7, "A": 8, "a": 9}"#,
    r#"{"id": "mixed", "v": [1, "1", 1.5, true, null, {"v": [1]}], "t": "true", "n": "null"}"#,
    r#"{"id": "order", "z": 1, "m": 2, "a": 3, "b": {"z": 1, "a": 2}}"#,
    r#"{"id": "reserved-looking", "_miro": 1, "miroir_shard": 2, "x": {"miroir": 3}}"#,
];

/// Each document by id and by search, as text: every byte counts.
async fn read(client: &Client, index: &str) -> Vec<(Value, Value)> {
    let mut read = Vec::new();
    for document in DOCUMENTS {
        let id = parse(document)["id"].as_str().unwrap().to_owned();
        let one = client.index(index).document(&id).await.unwrap().ok().unwrap();
        let phrase = json!({ "q": format!("\"{id}\""), "attributesToSearchOn": ["id"] });
        let found = client.index(index).search(&phrase).await.unwrap();
        read.push((one, found["hits"][0].clone()));
    }
    read
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn documents_come_back_as_they_went_in() {
    let pair = PAIR.get().await;
    let compact: String = DOCUMENTS.join("\n");
    let pretty: Vec<Value> = DOCUMENTS.iter().map(|document| parse(document)).collect();
    let pretty = serde_json::to_string_pretty(&pretty).unwrap();
    let bodies = [
        ("array", "application/json", format!("[{}]", DOCUMENTS.join(","))),
        ("pretty", "application/json", pretty.clone()),
        ("pretty-crlf", "application/json; charset=utf-8", pretty.replace('\n', "\r\n\t")),
        ("ndjson", "application/x-ndjson", compact.clone()),
        (
            "ndjson-blank-lines",
            "application/x-ndjson",
            format!("\n{}\n\n", compact.replace('\n', "\r\n\r\n")),
        ),
    ];
    for (index, content_type, body) in &bodies {
        let index = format!("values-{index}");
        let read = pair.same(async |client| {
            let path = format!("/indexes/{index}/documents");
            let body = body.clone().into_bytes();
            let task =
                finished(&client, client.send(Method::POST, &path, Some(content_type), body).await).await;
            assert_eq!(task["status"], "succeeded", "{task}");
            read(&client, &index).await
        });
        for (document, (one, hit)) in DOCUMENTS.iter().zip(read.await) {
            assert_eq!(one, parse(document));
            assert_eq!(hit, parse(document));
        }
    }
}

#[tokio::test]
async fn one_document_may_come_alone() {
    let pair = PAIR.get().await;
    for (body, content_type) in [
        (DOCUMENTS[0], "application/json"),
        ("\n\t{\n\"id\"\n:\n1\n}\n", "application/json"),
        (DOCUMENTS[2], "application/x-ndjson"),
    ] {
        pair.same(async |client| {
            let body = body.as_bytes().to_vec();
            let answer =
                client.send(Method::POST, "/indexes/alone/documents", Some(content_type), body).await;
            finished(&client, answer).await
        })
        .await;
    }
    let count = pair.same(async |client| client.index("alone").count().await.unwrap());
    assert_eq!(count.await, 3);
}

#[tokio::test]
async fn an_empty_batch_is_a_task_too() {
    let pair = PAIR.get().await;
    for (body, content_type) in [("[]", "application/json"), ("\n", "application/x-ndjson")] {
        pair.same(async |client| {
            let body = body.as_bytes().to_vec();
            let answer =
                client.send(Method::POST, "/indexes/nothing/documents", Some(content_type), body).await;
            finished(&client, answer).await
        })
        .await;
    }
}
