//! Paths and methods that lead nowhere, and uids that are none.

use miroir_harness::Method;

use crate::PAIR;
use crate::case::{Case, check};

#[tokio::test]
async fn unknown_routes_are_refused() {
    let pair = PAIR.get().await;
    let cases = [
        Case::get("/nowhere"),
        Case::get("/indexes/a/nowhere"),
        Case::get("/indexes/a/search/more"),
        Case::post("/nowhere", "{}"),
        Case::new(Method::DELETE, "/nowhere"),
        Case::get("/Indexes"),
        Case::get("/tasks/1/2"),
        Case::get("/indexes/a/settings/nowhere"),
    ];
    check(&pair, &cases).await;
}

/// As Meilisearch 1.50 reads them; the embedded node is not that forgiving.
#[tokio::test]
async fn paths_are_read_with_indulgence() {
    let pair = PAIR.get().await;
    let client = pair.miroir.client();
    let invalid = Some("invalid_index_uid");
    for (path, status, code) in [
        ("/health/", 200, None),
        ("//health", 200, None),
        ("/tasks/", 200, None),
        ("//indexes///nowhere//search/", 404, Some("index_not_found")),
        ("/indexes/%ff/search", 400, invalid),
        ("/indexes/%ff/settings", 400, invalid),
        ("/indexes/%ff", 400, invalid),
    ] {
        let answer = client.get(path).await.unwrap();
        assert_eq!((answer.status, answer.code().as_deref()), (status, code), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn other_methods_are_refused() {
    let pair = PAIR.get().await;
    let cases = [
        Case::new(Method::PATCH, "/indexes/a/search"),
        Case::new(Method::DELETE, "/indexes/a/search"),
        Case::new(Method::PUT, "/indexes/a/documents/1"),
        Case::new(Method::POST, "/health"),
        Case::new(Method::PATCH, "/indexes"),
        Case::new(Method::PUT, "/indexes/a/documents/delete-batch").with_type(Some("application/json")),
        Case::new(Method::POST, "/version"),
        Case::new(Method::POST, "/stats"),
    ];
    check(&pair, &cases).await;
}

#[tokio::test]
async fn what_is_no_index_uid_is_refused() {
    let pair = PAIR.get().await;
    let long = "a".repeat(513);
    let mut cases = Vec::new();
    for uid in ["a%20b", "a.b", "%C3%BC", "a%2Fb", "*", &long] {
        let of = |rest: &str| format!("/indexes/{uid}{rest}");
        cases.extend([
            Case::post(of("/search"), "{}"),
            Case::get(of("/search")),
            Case::post(of("/documents"), r#"[{"id":1}]"#),
            Case::get(of("/documents/1")),
            Case::new(Method::DELETE, of("/documents/1")),
            Case::post(of("/documents/delete-batch"), "[1]"),
            Case::get(of("")),
            Case::get(of("/settings")),
            Case::new(Method::DELETE, of("")),
        ]);
    }
    for body in
        [r#"{"uid":"a b"}"#, r#"{"uid":""}"#, r#"{"uid":7}"#, "{}", r#"{"uid":"a","nope":1}"#, "[", "", "7"]
    {
        cases.push(Case::post("/indexes", body));
    }
    check(&pair, &cases).await;
}

#[tokio::test]
async fn bad_lists_and_settings_are_refused() {
    let pair = PAIR.get().await;
    crate::case::prepare(&pair, "lists").await;
    let patch = |path: &str, body: &str| {
        let case = Case::post(path, body);
        case.with_method(Method::PATCH)
    };
    let cases = [
        Case::get("/tasks?nope=1"),
        Case::get("/tasks?limit=x"),
        Case::get("/tasks?statuses=nope"),
        Case::get("/tasks?types=nope"),
        Case::get("/tasks?uids=x"),
        Case::get("/tasks?from=x"),
        Case::get("/tasks?reverse=x"),
        Case::get("/tasks/x"),
        Case::get("/indexes?limit=x"),
        Case::get("/indexes?offset=-1"),
        Case::get("/indexes?nope=1"),
        patch("/indexes/lists/settings", r#"{"nope":1}"#),
        patch("/indexes/lists/settings", r#"{"rankingRules":["nope"]}"#),
        patch("/indexes/lists/settings", r#"{"rankingRules":"words"}"#),
        patch("/indexes/lists/settings", r#"{"stopWords":[1]}"#),
        patch("/indexes/lists/settings", "[]"),
        patch("/indexes/lists/settings", "{"),
        patch("/indexes/lists/settings/pagination", r#"{"maxTotalHits":"x"}"#),
        patch("/indexes/lists/settings/faceting", r#"{"nope":1}"#),
        patch("/indexes/lists", r#"{"nope":1}"#),
        patch("/indexes/lists", r#"{"primaryKey":1}"#),
    ];
    check(&pair, &cases).await;
    crate::case::check_untouched(&pair, "lists").await;
}
