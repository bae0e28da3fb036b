//! Keys.

use miroir_harness::Method;

use crate::PAIR;
use crate::case::{Case, check, check_untouched, prepare};

#[tokio::test]
async fn a_wrong_key_or_none_is_refused() {
    let pair = PAIR.get().await;
    prepare(&pair, "locked").await;
    let json = "application/json";
    let requests = [
        Case::post("/indexes/locked/search", "{}"),
        Case::post("/indexes/locked/search", "{malformed"),
        Case::post("/indexes/locked/search", r#"{"nope":1}"#),
        Case::get("/indexes/locked/search?nope=1"),
        Case::get("/indexes/locked/documents/1"),
        Case::post("/indexes/locked/documents", r#"[{"id":4}]"#),
        Case::post("/indexes/locked/documents", r#"[{"id":"#),
        Case::post("/indexes/locked/documents", r#"[{"id":"a b"}]"#),
        Case::post("/indexes/locked/documents", "x").with_type(Some("text/plain")),
        Case::post("/indexes/locked/documents?nope=1", "[]"),
        Case::new(Method::PUT, "/indexes/locked/documents").with_type(Some(json)),
        Case::new(Method::DELETE, "/indexes/locked/documents/1"),
        Case::post("/indexes/locked/documents/delete-batch", "[1]"),
        Case::post("/indexes/locked/documents/delete-batch", "{"),
        Case::post("/indexes/locked-absent/search", "{}"),
        Case::post("/indexes", r#"{"uid":"locked-new"}"#),
        Case::get("/indexes"),
        Case::get("/indexes/locked"),
        Case::get("/indexes/locked/settings"),
        Case::new(Method::DELETE, "/indexes/locked/settings"),
        Case::new(Method::DELETE, "/indexes/locked"),
        Case::get("/tasks"),
        Case::get("/tasks/0"),
        Case::get("/stats"),
        Case::get("/indexes/locked/stats"),
        Case::get("/version"),
        Case::get("/health"),
        Case::get("/nowhere"),
    ];
    let cases: Vec<Case> = requests
        .iter()
        .flat_map(|request| ["", "wrongKey"].map(|key| request.clone().with_key(key)))
        .collect();
    check(&pair, &cases).await;
    check_untouched(&pair, "locked").await;
}
