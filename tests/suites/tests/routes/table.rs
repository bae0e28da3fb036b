//! `docs/compatibility.md`: it names every route of Meilisearch 1.50, and for each a test that is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use miroir_harness::binaries::workspace;

/// Meilisearch 1.50's routes, from its own route tables (`crates/meilisearch/src/routes`).
const ROUTES: [&str; 140] = [
    "GET /batches",
    "GET /batches/{batch_id}",
    "GET /chats",
    "DELETE /chats/{workspace_uid}",
    "GET /chats/{workspace_uid}",
    "POST /chats/{workspace_uid}/chat/completions",
    "DELETE /chats/{workspace_uid}/settings",
    "GET /chats/{workspace_uid}/settings",
    "PATCH /chats/{workspace_uid}/settings",
    "POST /dumps",
    "DELETE /dynamic-search-rules",
    "POST /dynamic-search-rules",
    "DELETE /dynamic-search-rules/{uid}",
    "GET /dynamic-search-rules/{uid}",
    "PATCH /dynamic-search-rules/{uid}",
    "GET /experimental-features",
    "PATCH /experimental-features",
    "POST /export",
    "GET /health",
    "GET /indexes",
    "POST /indexes",
    "DELETE /indexes/{index_uid}",
    "GET /indexes/{index_uid}",
    "PATCH /indexes/{index_uid}",
    "POST /indexes/{index_uid}/compact",
    "DELETE /indexes/{index_uid}/documents",
    "GET /indexes/{index_uid}/documents",
    "POST /indexes/{index_uid}/documents",
    "PUT /indexes/{index_uid}/documents",
    "POST /indexes/{index_uid}/documents/delete",
    "POST /indexes/{index_uid}/documents/delete-batch",
    "POST /indexes/{index_uid}/documents/edit",
    "POST /indexes/{index_uid}/documents/fetch",
    "DELETE /indexes/{index_uid}/documents/{document_id}",
    "GET /indexes/{index_uid}/documents/{document_id}",
    "POST /indexes/{index_uid}/facet-search",
    "POST /indexes/{index_uid}/fields",
    "GET /indexes/{index_uid}/search",
    "POST /indexes/{index_uid}/search",
    "DELETE /indexes/{index_uid}/settings",
    "GET /indexes/{index_uid}/settings",
    "PATCH /indexes/{index_uid}/settings",
    "DELETE /indexes/{index_uid}/settings/chat",
    "GET /indexes/{index_uid}/settings/chat",
    "PATCH /indexes/{index_uid}/settings/chat",
    "DELETE /indexes/{index_uid}/settings/dictionary",
    "GET /indexes/{index_uid}/settings/dictionary",
    "PUT /indexes/{index_uid}/settings/dictionary",
    "DELETE /indexes/{index_uid}/settings/displayed-attributes",
    "GET /indexes/{index_uid}/settings/displayed-attributes",
    "PUT /indexes/{index_uid}/settings/displayed-attributes",
    "DELETE /indexes/{index_uid}/settings/distinct-attribute",
    "GET /indexes/{index_uid}/settings/distinct-attribute",
    "PUT /indexes/{index_uid}/settings/distinct-attribute",
    "DELETE /indexes/{index_uid}/settings/embedders",
    "GET /indexes/{index_uid}/settings/embedders",
    "PATCH /indexes/{index_uid}/settings/embedders",
    "DELETE /indexes/{index_uid}/settings/facet-search",
    "GET /indexes/{index_uid}/settings/facet-search",
    "PUT /indexes/{index_uid}/settings/facet-search",
    "DELETE /indexes/{index_uid}/settings/faceting",
    "GET /indexes/{index_uid}/settings/faceting",
    "PATCH /indexes/{index_uid}/settings/faceting",
    "DELETE /indexes/{index_uid}/settings/filterable-attributes",
    "GET /indexes/{index_uid}/settings/filterable-attributes",
    "PUT /indexes/{index_uid}/settings/filterable-attributes",
    "DELETE /indexes/{index_uid}/settings/foreign-keys",
    "GET /indexes/{index_uid}/settings/foreign-keys",
    "PUT /indexes/{index_uid}/settings/foreign-keys",
    "DELETE /indexes/{index_uid}/settings/localized-attributes",
    "GET /indexes/{index_uid}/settings/localized-attributes",
    "PUT /indexes/{index_uid}/settings/localized-attributes",
    "DELETE /indexes/{index_uid}/settings/non-separator-tokens",
    "GET /indexes/{index_uid}/settings/non-separator-tokens",
    "PUT /indexes/{index_uid}/settings/non-separator-tokens",
    "DELETE /indexes/{index_uid}/settings/pagination",
    "GET /indexes/{index_uid}/settings/pagination",
    "PATCH /indexes/{index_uid}/settings/pagination",
    "DELETE /indexes/{index_uid}/settings/prefix-search",
    "GET /indexes/{index_uid}/settings/prefix-search",
    "PUT /indexes/{index_uid}/settings/prefix-search",
    "DELETE /indexes/{index_uid}/settings/proximity-precision",
    "GET /indexes/{index_uid}/settings/proximity-precision",
    "PUT /indexes/{index_uid}/settings/proximity-precision",
    "DELETE /indexes/{index_uid}/settings/ranking-rules",
    "GET /indexes/{index_uid}/settings/ranking-rules",
    "PUT /indexes/{index_uid}/settings/ranking-rules",
    "DELETE /indexes/{index_uid}/settings/search-cutoff-ms",
    "GET /indexes/{index_uid}/settings/search-cutoff-ms",
    "PUT /indexes/{index_uid}/settings/search-cutoff-ms",
    "DELETE /indexes/{index_uid}/settings/searchable-attributes",
    "GET /indexes/{index_uid}/settings/searchable-attributes",
    "PUT /indexes/{index_uid}/settings/searchable-attributes",
    "DELETE /indexes/{index_uid}/settings/separator-tokens",
    "GET /indexes/{index_uid}/settings/separator-tokens",
    "PUT /indexes/{index_uid}/settings/separator-tokens",
    "DELETE /indexes/{index_uid}/settings/sortable-attributes",
    "GET /indexes/{index_uid}/settings/sortable-attributes",
    "PUT /indexes/{index_uid}/settings/sortable-attributes",
    "DELETE /indexes/{index_uid}/settings/stop-words",
    "GET /indexes/{index_uid}/settings/stop-words",
    "PUT /indexes/{index_uid}/settings/stop-words",
    "DELETE /indexes/{index_uid}/settings/synonyms",
    "GET /indexes/{index_uid}/settings/synonyms",
    "PUT /indexes/{index_uid}/settings/synonyms",
    "DELETE /indexes/{index_uid}/settings/typo-tolerance",
    "GET /indexes/{index_uid}/settings/typo-tolerance",
    "PATCH /indexes/{index_uid}/settings/typo-tolerance",
    "GET /indexes/{index_uid}/similar",
    "POST /indexes/{index_uid}/similar",
    "GET /indexes/{index_uid}/stats",
    "GET /keys",
    "POST /keys",
    "DELETE /keys/{key}",
    "GET /keys/{key}",
    "PATCH /keys/{key}",
    "POST /logs/stderr",
    "DELETE /logs/stream",
    "POST /logs/stream",
    "GET /metrics",
    "POST /multi-search",
    "GET /network",
    "PATCH /network",
    "POST /network/control",
    "POST /render-template",
    "POST /snapshots",
    "GET /stats",
    "POST /swap-indexes",
    "DELETE /tasks",
    "GET /tasks",
    "POST /tasks/cancel",
    "POST /tasks/compact",
    "GET /tasks/{task_id}",
    "GET /tasks/{task_id}/documents",
    "GET /version",
    "GET /webhooks",
    "POST /webhooks",
    "DELETE /webhooks/{uuid}",
    "GET /webhooks/{uuid}",
    "PATCH /webhooks/{uuid}",
];

#[test]
fn every_route_is_in_the_table_and_has_a_test() {
    let page = std::fs::read_to_string(workspace().join("docs/compatibility.md")).unwrap();
    let mut listed = BTreeSet::new();
    let mut wrong = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| methods")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [methods, path, how, tests] = cells[..] else { panic!("not four cells: {row}") };
        for method in methods.split(", ") {
            if !listed.insert(format!("{method} {}", path.trim_matches('`'))) {
                wrong.push(format!("twice: {method} {path}"));
            }
        }
        if !["filter", "control plane", "refused: "].iter().any(|way| how.starts_with(way)) {
            wrong.push(format!("served in no known way: {row}"));
        }
        let tests = tests.split(", ").map(|test| test.trim_matches('`'));
        wrong.extend(
            tests.filter(|test| !exists(test)).map(|test| format!("no such test: {test:?} for {path}")),
        );
    }
    let expected: BTreeSet<String> = ROUTES.iter().map(|&route| route.to_owned()).collect();
    wrong.extend(expected.difference(&listed).map(|route| format!("missing: {route}")));
    wrong.extend(listed.difference(&expected).map(|route| format!("no route of Meilisearch: {route}")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether there is a test of this path: `program::module::test`.
fn exists(test: &str) -> bool {
    let parts: Vec<&str> = test.split("::").collect();
    let [modules @ .., name] = &parts[..] else { return false };
    let tests = workspace().join("tests/suites/tests");
    let file = modules.iter().fold(tests, |folder: PathBuf, module| folder.join(module)).with_extension("rs");
    has_test(&file, name)
}

fn has_test(file: &Path, name: &str) -> bool {
    let source = std::fs::read_to_string(file).unwrap_or_default();
    let mut lines = source.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line.starts_with("#[tokio::test") || line == "#[test]" {
            let is_named = |line: &str| {
                let signature = line.strip_prefix("async ").unwrap_or(line);
                signature
                    .strip_prefix("fn ")
                    .and_then(|rest| rest.strip_prefix(name))
                    .is_some_and(|rest| rest.starts_with('('))
            };
            if lines.next().is_some_and(is_named) {
                return true;
            }
        }
    }
    false
}
