//! What a user of the node sees, over HTTP.

mod faults;
mod keys;
mod node;

use serde_json::{Value, json};

use crate::node::{Node, Program};

fn films() -> Value {
    json!([
        { "id": 1, "title": "Carol", "genres": ["Romance", "Drama"], "year": 2015 },
        { "id": 2, "title": "Wonder Woman", "genres": ["Action"], "year": 2017 },
        { "id": 3, "title": "Life of Pi", "genres": ["Drama"], "year": 2012 },
        { "id": 4, "title": "A Christmas Carol", "genres": ["Drama"], "year": 2009 },
    ])
}

async fn node_with_films() -> Node {
    let node = Node::start().await;
    let settings = json!({ "filterableAttributes": ["genres", "year"], "sortableAttributes": ["year"] });
    node.done(node.patch("/indexes/films/settings", settings).await).await;
    node.done(node.post("/indexes/films/documents", films()).await).await;
    node
}

fn ids(answer: &Value) -> Vec<&Value> {
    let hits = answer.get("hits").or(answer.get("results")).and_then(Value::as_array);
    hits.expect("an answer with documents").iter().map(|hit| &hit["id"]).collect()
}

#[tokio::test]
async fn documents_are_found_by_words_filtered_sorted_and_counted() {
    let node = node_with_films().await;

    let found = node.post("/indexes/films/search", json!({ "q": "carol", "showRankingScore": true })).await;
    assert_eq!(ids(&found), [1, 4]);
    assert_eq!(found["hits"][0]["_rankingScore"], 1.0);
    assert_eq!(found["estimatedTotalHits"], 2);

    let request = json!({ "filter": "genres = Drama", "sort": ["year:desc"], "facets": ["*"] });
    let found = node.post("/indexes/films/search", request).await;
    assert_eq!(ids(&found), [1, 3, 4]);
    assert_eq!(found["facetDistribution"]["genres"], json!({ "Drama": 3, "Romance": 1 }));
    assert_eq!(found["facetStats"]["year"], json!({ "min": 2009.0, "max": 2015.0 }));

    let found = node.get("/indexes/films/search?q=&sort=year:asc&hitsPerPage=3&page=2").await;
    assert_eq!(ids(&found), [2]);
    assert_eq!((&found["totalPages"], &found["totalHits"]), (&json!(2), &json!(4)));

    let found =
        node.post("/indexes/films/facet-search", json!({ "facetName": "genres", "facetQuery": "dr" })).await;
    assert_eq!(found["facetHits"], json!([{ "value": "Drama", "count": 3 }]));
}

#[tokio::test]
async fn hits_are_highlighted_cropped_and_explained() {
    let node = node_with_films().await;
    let request = json!({
        "q": "carol", "limit": 2, "attributesToRetrieve": ["id"], "attributesToHighlight": ["title"],
        "attributesToCrop": ["title:1"], "showMatchesPosition": true, "showRankingScoreDetails": true,
    });
    let found = node.post("/indexes/films/search", request).await;
    let hit = &found["hits"][1];
    assert_eq!(hit["_formatted"], json!({ "id": "4", "title": "…<em>Carol</em>" }));
    assert_eq!(hit["_matchesPosition"], json!({ "title": [{ "start": 12, "length": 5 }] }));
    assert_eq!(hit["_rankingScoreDetails"]["words"]["matchingWords"], 1);
}

#[tokio::test]
async fn a_score_counts_the_rules_after_the_sort() {
    let node = node_with_films().await;
    let request = json!({ "q": "carol", "sort": ["year:asc"], "showRankingScore": true });
    let found = node.post("/indexes/films/search", request.clone()).await;
    let unsorted =
        node.post("/indexes/films/search", json!({ "q": "carol", "showRankingScore": true })).await;
    assert_eq!(found["hits"][1]["_rankingScore"], unsorted["hits"][1]["_rankingScore"]);
}

#[tokio::test]
async fn documents_are_replaced_updated_and_deleted() {
    let node = node_with_films().await;
    node.done(node.put("/indexes/films/documents", json!({ "id": 1, "seen": true })).await).await;
    let film = node.get("/indexes/films/documents/1?fields=title,seen").await;
    assert_eq!(film, json!({ "title": "Carol", "seen": true }));

    node.done(node.post("/indexes/films/documents", json!([{ "id": 1, "title": "Karol" }])).await).await;
    assert_eq!(node.get("/indexes/films/documents/1").await, json!({ "id": 1, "title": "Karol" }));

    let task = node.done(node.post("/indexes/films/documents/delete-batch", json!([1, "2", 99])).await).await;
    assert_eq!(task["details"], json!({ "providedIds": 3, "deletedDocuments": 2, "originalFilter": null }));
    let filter = json!({ "filter": "year < 2010" });
    node.done(node.post("/indexes/films/documents/delete", filter).await).await;
    assert_eq!(ids(&node.get("/indexes/films/documents").await), [3]);

    node.done(node.delete("/indexes/films/documents").await).await;
    assert_eq!(node.get("/indexes/films/stats").await["numberOfDocuments"], 0);
}

#[tokio::test]
async fn documents_come_as_lines_of_json_and_as_csv() {
    let node = Node::start().await;
    let lines = "{\"id\":1,\"n\":1}\n{\"id\":2}\n";
    node.done(node.send("/indexes/a/documents", "application/x-ndjson", lines).await).await;
    let table = "id;n:number;ok:boolean\n3;1.5;true\n4;;\n";
    node.done(node.send("/indexes/a/documents?csvDelimiter=%3B", "text/csv", table).await).await;

    let documents = node.post("/indexes/a/documents/fetch", json!({})).await;
    assert_eq!(documents["results"][2], json!({ "id": "3", "n": 1.5, "ok": true }));
    assert_eq!(documents["results"][3], json!({ "id": "4", "n": null, "ok": null }));
    assert_eq!(documents["total"], 4);
}

#[tokio::test]
async fn each_task_of_a_batch_has_its_own_outcome() {
    let node = node_with_films().await;
    let tasks = [
        node.post("/indexes/films/documents", json!([{ "id": 10 }])).await,
        node.post("/indexes/films/documents", json!([{ "id": 11 }, { "name": "no id" }])).await,
        node.post("/indexes/films/documents", json!([{ "id": "not an id" }])).await,
        node.post("/indexes/films/documents", json!([{ "id": 12 }])).await,
    ];
    let mut outcomes = Vec::new();
    for task in tasks {
        let task = node.finished(task).await;
        outcomes.push((
            task["status"].clone(),
            task["error"]["code"].clone(),
            task["details"]["indexedDocuments"].clone(),
        ));
    }
    let expected = [
        (json!("succeeded"), json!(null), json!(1)),
        (json!("failed"), json!("missing_document_id"), json!(0)),
        (json!("failed"), json!("invalid_document_id"), json!(0)),
        (json!("succeeded"), json!(null), json!(1)),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(node.get("/indexes/films/stats").await["numberOfDocuments"], 6);
}

#[tokio::test]
async fn the_primary_key_is_found_or_the_task_says_why_not() {
    let node = Node::start().await;
    for (document, code) in [
        (json!({ "name": "x" }), "index_primary_key_no_candidate_found"),
        (json!({ "a_id": 1, "b_id": 2 }), "index_primary_key_multiple_candidates_found"),
    ] {
        let task = node.finished(node.post("/indexes/a/documents", document).await).await;
        assert_eq!(task["error"]["code"], code);
    }
    node.done(node.post("/indexes/a/documents?primaryKey=author.id", json!({ "author": { "id": 7 } })).await)
        .await;
    assert_eq!(node.get("/indexes/a").await["primaryKey"], "author.id");
    assert_eq!(node.get("/indexes/a/documents/7").await, json!({ "author": { "id": 7 } }));
}

#[tokio::test]
async fn every_setting_is_changed_and_reset_by_its_own_route() {
    let node = Node::start().await;
    node.done(node.post("/indexes", json!({ "uid": "a", "primaryKey": "id" })).await).await;
    let defaults = node.get("/indexes/a/settings").await;
    let changes = [
        ("displayed-attributes", "displayedAttributes", json!(["a"])),
        ("searchable-attributes", "searchableAttributes", json!(["a"])),
        ("filterable-attributes", "filterableAttributes", json!(["a"])),
        ("sortable-attributes", "sortableAttributes", json!(["a"])),
        ("ranking-rules", "rankingRules", json!(["words", "a:desc"])),
        ("stop-words", "stopWords", json!(["the"])),
        ("non-separator-tokens", "nonSeparatorTokens", json!(["#"])),
        ("separator-tokens", "separatorTokens", json!(["|"])),
        ("dictionary", "dictionary", json!(["J. R."])),
        ("synonyms", "synonyms", json!({ "a": ["b"] })),
        ("distinct-attribute", "distinctAttribute", json!("a")),
        ("proximity-precision", "proximityPrecision", json!("byAttribute")),
        ("search-cutoff-ms", "searchCutoffMs", json!(150)),
        (
            "localized-attributes",
            "localizedAttributes",
            json!([{ "attributePatterns": ["*_ja"], "locales": ["jpn"] }]),
        ),
        ("facet-search", "facetSearch", json!(false)),
        ("prefix-search", "prefixSearch", json!("disabled")),
    ];
    for (route, setting, value) in changes {
        let path = format!("/indexes/a/settings/{route}");
        node.done(node.put(&path, value.clone()).await).await;
        assert_eq!(node.get(&path).await, value, "{route}");
        node.done(node.delete(&path).await).await;
        assert_eq!(node.get(&path).await, defaults[setting], "{route}");
    }

    let pagination = "/indexes/a/settings/pagination";
    node.done(node.patch(pagination, json!({ "maxTotalHits": 7 })).await).await;
    assert_eq!(node.get(pagination).await, json!({ "maxTotalHits": 7 }));
    node.done(node.delete("/indexes/a/settings").await).await;
    assert_eq!(node.get("/indexes/a/settings").await, defaults);
}

#[tokio::test]
async fn a_star_among_attributes_is_all_of_them() {
    let node = Node::start().await;
    let all = json!({ "displayedAttributes": ["*"], "searchableAttributes": ["*", "b"] });
    node.done(node.patch("/indexes/a/settings", all).await).await;
    node.done(node.post("/indexes/a/documents", json!([{ "id": 1, "a": "fish" }])).await).await;
    let found = node.get("/indexes/a/search?q=fish").await;
    assert_eq!(found["hits"], json!([{ "id": 1, "a": "fish" }]));
    assert_eq!(node.get("/indexes/a/settings/displayed-attributes").await, json!(["*"]));
}

#[tokio::test]
async fn vectors_given_with_the_documents_are_compared() {
    let node = Node::start().await;
    let embedders = json!({ "embedders": { "e": { "source": "userProvided", "dimensions": 2 } } });
    node.done(node.patch("/indexes/a/settings", embedders).await).await;
    let documents = json!([
        { "id": 1, "_vectors": { "e": [1.0, 0.0] } },
        { "id": 2, "_vectors": { "e": [0.0, 1.0] } },
    ]);
    node.done(node.post("/indexes/a/documents", documents).await).await;
    let request = json!({ "vector": [0.0, 1.0], "hybrid": { "embedder": "e" }, "retrieveVectors": true });
    let found = node.post("/indexes/a/search", request).await;
    assert_eq!(ids(&found), [2, 1]);
    assert_eq!(found["hits"][0]["_vectors"]["e"], json!({ "embeddings": [[0.0, 1.0]], "regenerate": false }));
}

#[tokio::test]
async fn errors_have_the_shape_and_the_codes_of_meilisearch() {
    let node = node_with_films().await;
    let search = "/indexes/films/search";
    for (request, code, message) in [
        (
            json!({ "q": 1 }),
            "invalid_search_q",
            "Invalid value type at `.q`: expected a string, but found a positive integer: `1`",
        ),
        (
            json!({ "limit": -1 }),
            "invalid_search_limit",
            "Invalid value type at `.limit`: expected a positive integer, but found a negative integer: `-1`",
        ),
        (
            json!({ "sort": ["title:asc"] }),
            "invalid_search_sort",
            "Index `films`: Attribute `title` is not sortable. Available sortable attributes are: `year`.",
        ),
    ] {
        let error = node.refused(node.request(search, request).await, 400).await;
        let link = format!("https://docs.meilisearch.com/errors#{code}");
        let expected = json!({ "message": message, "code": code, "type": "invalid_request", "link": link });
        assert_eq!(error, expected);
    }
    for (response, status, code) in [
        (node.request(search, json!({ "limti": 1 })).await, 400, "bad_request"),
        (node.request("/indexes/none/search", json!({})).await, 404, "index_not_found"),
        (node.request("/indexes/a.b/search", json!({})).await, 400, "invalid_index_uid"),
        (node.raw(search, Some("application/json"), "{\"q\":").await, 400, "malformed_payload"),
        (node.raw(search, Some("application/json"), "").await, 400, "missing_payload"),
        (node.raw(search, Some("text/plain"), "{}").await, 415, "invalid_content_type"),
        (node.raw(search, None, "{}").await, 415, "missing_content_type"),
        (node.raw("/indexes/films/documents", Some("text/plain"), "{}").await, 415, "invalid_content_type"),
        (
            node.raw("/indexes/films/documents", Some("application/json"), "[{]").await,
            400,
            "malformed_payload",
        ),
    ] {
        assert_eq!(node.refused(response, status).await["code"], code);
    }
    let too_much = "x".repeat(node::PAYLOAD_LIMIT + 1);
    let response = node.raw("/indexes/films/documents", Some("application/json"), &too_much).await;
    assert_eq!(node.refused(response, 413).await["code"], "payload_too_large");
}

#[tokio::test]
async fn the_master_key_guards_everything_but_the_health() {
    let node = Node::start_with(|cli| cli.master_key = Some("secret".to_string())).await;
    assert_eq!(node.get("/health").await, json!({ "status": "available" }));
    let response = node.client.get(node.url("/version")).send().await.expect("an answer");
    assert_eq!(node.refused(response, 401).await["code"], "missing_authorization_header");
    let response =
        node.client.get(node.url("/version")).bearer_auth("wrong").send().await.expect("an answer");
    assert_eq!(node.refused(response, 403).await["code"], "invalid_api_key");
    let response =
        node.client.get(node.url("/version")).bearer_auth("secret").send().await.expect("an answer");
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn tasks_are_listed_filtered_and_paged() {
    let node = Node::start().await;
    for uid in ["a", "b", "c"] {
        node.done(node.post("/indexes", json!({ "uid": uid })).await).await;
    }
    node.finished(node.post("/indexes", json!({ "uid": "a" })).await).await;

    let tasks = node.get("/tasks?limit=2").await;
    assert_eq!((&tasks["total"], &tasks["from"], &tasks["next"]), (&json!(4), &json!(3), &json!(1)));
    let tasks = node.get("/tasks?statuses=failed&indexUids=a,b&types=indexCreation").await;
    assert_eq!(tasks["results"][0]["error"]["code"], "index_already_exists");
    assert_eq!(tasks["total"], 1);
    let response = node.client.get(node.url("/tasks/77")).send().await.expect("an answer");
    assert_eq!(node.refused(response, 404).await["code"], "task_not_found");
}

#[tokio::test]
async fn indexes_are_renamed_swapped_and_deleted() {
    let node = node_with_films().await;
    node.done(node.patch("/indexes/films", json!({ "uid": "movies" })).await).await;
    assert_eq!(node.get("/indexes/movies/documents/2").await["title"], "Wonder Woman");
    node.done(node.post("/indexes", json!({ "uid": "films" })).await).await;
    node.done(node.post("/swap-indexes", json!([{ "indexes": ["films", "movies"] }])).await).await;
    assert_eq!(node.get("/indexes/films/stats").await["numberOfDocuments"], 4);
    node.done(node.delete("/indexes/films").await).await;
    assert_eq!(node.get("/indexes").await["total"], 1);
}

#[tokio::test]
async fn several_searches_come_back_from_one_request() {
    let node = node_with_films().await;
    let queries =
        json!({ "queries": [{ "indexUid": "films", "q": "pi" }, { "indexUid": "films", "limit": 1 }] });
    let found = node.post("/multi-search", queries).await;
    assert_eq!(found["results"][0]["indexUid"], "films");
    assert_eq!(ids(&found["results"][0]), [3]);

    let response = node.request("/multi-search", json!({ "queries": [{ "indexUid": "none" }] })).await;
    let error = node.refused(response, 400).await;
    assert_eq!(error["message"], "Inside `.queries[0]`: Index `none` not found.");
}

#[tokio::test]
async fn the_hits_of_several_searches_are_merged() {
    let node = node_with_films().await;
    let queries = json!([
        { "indexUid": "films", "q": "carol" },
        { "indexUid": "films", "q": "pi", "federationOptions": { "weight": 0.5 } },
    ]);
    let federation =
        json!({ "facetsByIndex": { "films": ["genres"] }, "mergeFacets": { "maxValuesPerFacet": 1 } });
    let found = node.post("/multi-search", json!({ "federation": federation, "queries": queries })).await;
    assert_eq!(ids(&found), [1, 4, 3]);
    assert_eq!(found["hits"][2]["_federation"]["queriesPosition"], 1);
    assert_eq!(found["estimatedTotalHits"], 3);
    assert_eq!(found["facetDistribution"], json!({ "genres": { "Drama": 3 } }));

    let bad = json!({ "federation": {}, "queries": [{ "indexUid": "films", "limit": 1 }] });
    let error = node.refused(node.request("/multi-search", bad).await, 400).await;
    assert_eq!(error["code"], "invalid_multi_search_query_pagination");
}

#[tokio::test]
async fn documents_near_another_are_found() {
    let node = Node::start().await;
    let embedders = json!({ "embedders": { "e": { "source": "userProvided", "dimensions": 2 } } });
    node.done(node.patch("/indexes/a/settings", embedders).await).await;
    let documents = json!([
        { "id": 1, "_vectors": { "e": [1.0, 0.0] } },
        { "id": 2, "_vectors": { "e": [0.0, 1.0] } },
        { "id": 3, "_vectors": { "e": [0.8, 0.6] } },
    ]);
    node.done(node.post("/indexes/a/documents", documents).await).await;
    let found = node.get("/indexes/a/similar?id=1&embedder=e").await;
    assert_eq!(
        (ids(&found), &found["id"], &found["estimatedTotalHits"]),
        (vec![&json!(3), &json!(2)], &json!("1"), &json!(2))
    );
    let response = node.request("/indexes/a/similar", json!({ "id": 9, "embedder": "e" })).await;
    assert_eq!(node.refused(response, 400).await["code"], "not_found_similar_id");
}

#[tokio::test]
async fn documents_are_edited_by_a_function_once_that_is_switched_on() {
    let node = node_with_films().await;
    let edition = json!({ "function": "doc.year += context.years", "context": { "years": 1 }, "filter": "year > 2014" });
    let response = node.request("/indexes/films/documents/edit", edition.clone()).await;
    assert_eq!(node.refused(response, 400).await["code"], "feature_not_enabled");
    node.patch("/experimental-features", json!({ "editDocumentsByFunction": true })).await;
    let task = node.done(node.post("/indexes/films/documents/edit", edition).await).await;
    assert_eq!(task["details"]["editedDocuments"], 2);
    assert_eq!(node.get("/indexes/films/documents/1?fields=year").await, json!({ "year": 2016 }));
}

#[tokio::test]
async fn batches_tell_of_their_tasks_and_fields_of_their_use() {
    let node = node_with_films().await;
    let batches = node.get("/batches?types=documentAdditionOrUpdate").await;
    let stats = json!({
        "totalNbTasks": 1, "status": { "succeeded": 1 }, "types": { "documentAdditionOrUpdate": 1 },
        "indexUids": { "films": 1 },
    });
    assert_eq!((&batches["total"], &batches["results"][0]["stats"]), (&json!(1), &stats));
    let path = format!("/batches/{}", batches["results"][0]["uid"]);
    assert_eq!(node.get(&path).await, batches["results"][0]);

    let fields = node.post("/indexes/films/fields", json!({ "filter": { "filterable": true } })).await;
    let names: Vec<_> =
        fields["results"].as_array().expect("fields").iter().map(|field| &field["name"]).collect();
    assert_eq!(names, ["genres", "year"]);
    assert_eq!(fields["results"][1]["sortable"], json!({ "enabled": true }));
}

#[tokio::test]
async fn a_restart_keeps_documents_settings_and_tasks() {
    let node = node_with_films().await;
    let settings = node.get("/indexes/films/settings").await;
    let tasks = node.get("/tasks").await;

    let node = node.restart().await;
    assert_eq!(ids(&node.get("/indexes/films/documents").await), [1, 2, 3, 4]);
    assert_eq!(node.get("/indexes/films/settings").await, settings);
    assert_eq!(node.get("/tasks").await, tasks);
}

#[tokio::test]
async fn what_was_accepted_before_a_crash_is_done_after_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut program = Program::start(folder.path());
    let mut accepted = 0;
    for batch in 0..40 {
        let documents: Vec<_> = (0..100).map(|number| json!({ "id": batch * 100 + number })).collect();
        let task = program.node.post("/indexes/a/documents", documents.into()).await;
        assert_eq!(task["status"], "enqueued");
        accepted += 100;
    }
    program.kill();

    let program = Program::start(folder.path());
    program.node.idle().await;
    assert_eq!(program.node.get("/indexes/a/stats").await["numberOfDocuments"], accepted);
    assert_eq!(program.node.get("/tasks?statuses=succeeded").await["total"], 40);
}
