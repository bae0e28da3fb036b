//! Documents and batches that are none.

use miroir_harness::Method;
use serde_json::{Value, json};

use crate::case::{Case, check, check_untouched, prepare};
use crate::{BODY_LIMIT, PAIR};

#[tokio::test]
async fn malformed_bodies_are_refused() {
    let pair = PAIR.get().await;
    prepare(&pair, "malformed").await;
    let path = "/indexes/malformed/documents";
    let json_bodies: [&[u8]; 21] = [
        b"",
        b" ",
        b"{",
        b"[",
        b"]",
        b"}",
        b"null",
        b"true",
        b"7",
        b"\"text\"",
        b"[1]",
        b"[null]",
        b"[{\"id\":4},",
        b"[{\"id\":4}",
        b"[{\"id\":4},]",
        b"[{\"id\":4} {\"id\":5}]",
        b"{\"id\":4}{\"id\":5}",
        b"{\"id\":}",
        b"{'id':4}",
        b"{\"id\":4,}",
        b"[{\"id\":4},{\"id\":01}]",
    ];
    let ndjson_bodies: [&[u8]; 8] = [
        b"",
        b"{\"id\":4}\n{\"id\":\n",
        b"{\"id\":4}\nnull",
        b"[{\"id\":4}]",
        b"{\"id\":4},{\"id\":5}",
        b"{\"id\":4}\n{",
        b"x",
        b"{\"id\":4}\n\"text\"\n",
    ];
    let mut cases: Vec<Case> = json_bodies.into_iter().map(|body| Case::post(path, body)).collect();
    cases.extend(ndjson_bodies.map(|body| Case::post(path, body).with_type(Some("application/x-ndjson"))));
    cases.push(Case::post(path, &b"{\"id\":\"\xff\xfe\"}"[..]).in_other_words());
    // Deeper than a parser wants to go.
    cases.push(
        Case::post(path, format!("{{\"id\":4,\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000)))
            .in_other_words(),
    );
    check(&pair, &cases).await;
    check_untouched(&pair, "malformed").await;
}

#[tokio::test]
async fn documents_without_a_right_id_fail_their_task() {
    let pair = PAIR.get().await;
    prepare(&pair, "ids").await;
    let ids = [
        json!(null),
        json!(true),
        json!(1.5),
        json!([1]),
        json!({}),
        json!(""),
        json!("a b"),
        json!("ü"),
        json!("a/b"),
        json!("a".repeat(512)),
        json!(1e30),
    ];
    let path = "/indexes/ids/documents";
    let mut cases: Vec<Case> = ids
        .iter()
        .flat_map(|id| [json!([{ "id": id }]), json!([{ "id": 4 }, { "id": id }])])
        .map(|body| Case::post(path, body.to_string()))
        .collect();
    let bodies = [
        json!({}),
        json!([{}]),
        json!([{ "title": "x" }]),
        json!([{ "ID": 4 }]),
        json!([{ "id": 4 }, { "x": 1 }]),
    ];
    cases.extend(bodies.iter().map(|body| Case::post(path, body.to_string())));
    cases.push(Case::post(format!("{path}?primaryKey=title"), json!([{ "title": "x" }]).to_string()));
    cases.push(Case::post(format!("{path}?primaryKey="), json!([{ "id": 4 }]).to_string()));
    check(&pair, &cases).await;
    check_untouched(&pair, "ids").await;
}

/// Miroir's own names are Miroir's: no node knows of them.
#[tokio::test]
async fn reserved_fields_are_refused() {
    let pair = PAIR.get().await;
    prepare(&pair, "reserved").await;
    let client = pair.miroir.client();
    for document in [
        json!({ "id": 4, "_miroir_shard": "⸀" }),
        json!({ "_miroir_x": null, "id": 4 }),
        json!([{ "id": 4 }, { "id": 5, "_miroir_": 1 }]),
    ] {
        let answer = client.post("/indexes/reserved/documents", &document).await.unwrap();
        assert_eq!(
            (answer.status, answer.code().as_deref()),
            (400, Some("miroir_reserved_field")),
            "{document}"
        );
    }
    // An escape hides nothing.
    let escaped = br#"{"id": 4, "\u005fmiroir_shard": 1}"#.to_vec();
    let answer =
        client.send(Method::POST, "/indexes/reserved/documents", Some("application/json"), escaped).await;
    assert_eq!(answer.unwrap().code().as_deref(), Some("miroir_reserved_field"));
    check_untouched(&pair, "reserved").await;
}

#[tokio::test]
async fn other_content_types_are_refused() {
    let pair = PAIR.get().await;
    prepare(&pair, "types").await;
    let mut cases = Vec::new();
    for path in ["/indexes/types/documents", "/indexes/types/documents/delete-batch"] {
        for content_type in
            ["text/plain", "application/xml", "json", "application/json2", "/", "multipart/form-data"]
        {
            cases.push(Case::post(path, "[4]").with_type(Some(content_type)));
        }
        cases.push(Case::new(Method::POST, path));
    }
    cases.push(Case::new(Method::PUT, "/indexes/types/documents"));
    cases.push(Case::post("/indexes/types/documents?csvDelimiter=;", "[]"));
    check(&pair, &cases).await;
    check_untouched(&pair, "types").await;
}

#[tokio::test]
async fn unknown_parameters_are_refused() {
    let pair = PAIR.get().await;
    prepare(&pair, "parameters").await;
    let path = "/indexes/parameters/documents";
    let document = r#"[{"id":4}]"#;
    let cases = [
        Case::post(format!("{path}?nope=1"), document).in_other_words(),
        Case::post(format!("{path}?primarykey=id"), document).in_other_words(),
        Case::get(format!("{path}/1?nope=1")),
        Case::get(format!("{path}/1?fields=title,nope")),
        Case::get(format!("{path}/1?fields=")),
    ];
    check(&pair, &cases).await;
    check_untouched(&pair, "parameters").await;
}

#[tokio::test]
async fn deletions_of_what_is_no_id_are_refused() {
    let pair = PAIR.get().await;
    prepare(&pair, "deletions").await;
    let path = "/indexes/deletions/documents/delete-batch";
    let bodies = [
        "",
        "{}",
        "null",
        "7",
        "[",
        "[1,]",
        "[[1]]",
        "[null]",
        "[{}]",
        "[true]",
        "[1.5]",
        "[\"a b\"]",
        "[\"\"]",
    ];
    let cases: Vec<Case> = bodies.into_iter().map(|body| Case::post(path, body)).collect();
    check(&pair, &cases).await;
    let ids = ["a%20b", "a.b", "*", "ü"];
    let of = |id| format!("/indexes/deletions/documents/{id}");
    let cases: Vec<Case> =
        ids.into_iter().flat_map(|id| [Case::new(Method::DELETE, of(id)), Case::get(of(id))]).collect();
    check(&pair, &cases).await;
    check_untouched(&pair, "deletions").await;
}

#[tokio::test]
async fn an_unknown_index_is_not_found() {
    let pair = PAIR.get().await;
    let cases = [
        Case::post("/indexes/absent/search", "{}"),
        Case::get("/indexes/absent/search?q=x"),
        Case::get("/indexes/absent/documents/1"),
        Case::get("/indexes/absent"),
        Case::get("/indexes/absent/settings"),
        Case::get("/indexes/absent/stats"),
        Case::new(Method::DELETE, "/indexes/absent/documents/1"),
        Case::post("/indexes/absent/documents/delete-batch", "[1]"),
        Case::new(Method::DELETE, "/indexes/absent"),
        Case::new(Method::DELETE, "/indexes/absent/settings/stop-words"),
    ];
    check(&pair, &cases).await;
    let (ours, _) = pair.both(async |client| client.get("/indexes/absent").await.unwrap().status).await;
    assert_eq!(ours, 404);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let pair = PAIR.get().await;
    prepare(&pair, "limit").await;
    let client = pair.miroir.client();
    let long = "x".repeat(BODY_LIMIT);
    let bodies = [
        ("/indexes/limit/documents", json!([{ "id": 4, "text": long }])),
        ("/indexes/limit/documents/delete-batch", json!([long])),
        ("/indexes/limit/search", json!({ "q": long })),
        ("/indexes", json!({ "uid": long })),
    ];
    for (path, body) in &bodies {
        let answer = client.post(path, body).await.unwrap();
        let refusal: Value = answer.json().unwrap();
        assert_eq!(
            (answer.status, &refusal["code"]),
            (413, &json!("payload_too_large")),
            "{path}: {refusal}"
        );
        assert_eq!(refusal["type"], "invalid_request");
        assert!(refusal["message"].as_str().unwrap().contains("256 KiB"), "{refusal}");
    }
    // One byte less than too much is not too much.
    let frame = json!({ "q": "" }).to_string().len();
    let most = json!({ "q": "x".repeat(BODY_LIMIT - frame) });
    assert_eq!(client.post("/indexes/limit/search", &most).await.unwrap().status, 200);
    check_untouched(&pair, "limit").await;
}
