//! What a user of the Rust client does.

use std::time::Duration;

use meilisearch_sdk::client::Client;
use meilisearch_sdk::documents::DocumentDeletionQuery;
use meilisearch_sdk::errors::{Error, ErrorCode};
use meilisearch_sdk::key::{Action, KeyBuilder};
use meilisearch_sdk::search::Selectors;
use meilisearch_sdk::settings::Settings;
use meilisearch_sdk::task_info::TaskInfo;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Film {
    id: u32,
    title: String,
    genres: Vec<String>,
    year: u32,
}

fn films() -> Vec<Film> {
    let film = |id, title: &str, genres: &[&str], year| Film {
        id,
        title: title.to_owned(),
        genres: genres.iter().map(|genre| genre.to_string()).collect(),
        year,
    };
    vec![
        film(1, "Carol", &["Romance", "Drama"], 2015),
        film(2, "Wonder Woman", &["Action"], 2017),
        film(3, "Life of Pi", &["Drama"], 2012),
    ]
}

async fn done(client: &Client, task: Result<TaskInfo, Error>) {
    let patience = Some(Duration::from_secs(60));
    let task =
        task.unwrap().wait_for_completion(client, Some(Duration::from_millis(20)), patience).await.unwrap();
    assert!(task.is_success(), "{task:?}");
}

pub async fn use_it(url: &str, key: &str) {
    let client = Client::new(url, Some(key)).unwrap();
    assert!(client.is_healthy().await);
    done(&client, client.create_index("rust", Some("id")).await).await;
    let index = client.index("rust");
    let settings =
        Settings::new().with_filterable_attributes(["genres", "year"]).with_sortable_attributes(["year"]);
    done(&client, index.set_settings(&settings).await).await;
    assert_eq!(index.get_sortable_attributes().await.unwrap(), ["year"]);

    done(&client, index.add_documents(&films(), None).await).await;
    assert_eq!(index.get_document::<Film>("1").await.unwrap(), films()[0]);
    assert_eq!(index.get_stats().await.unwrap().number_of_documents, 3);

    let mut query = index.search();
    query.with_query("carol").with_attributes_to_highlight(Selectors::Some(&["title"]));
    let found = query.execute::<Film>().await.unwrap();
    let formatted = found.hits[0].formatted_result.as_ref().unwrap();
    assert_eq!(formatted["title"], "<em>Carol</em>");
    let mut query = index.search();
    query.with_filter("genres = Drama").with_sort(&["year:asc"]).with_facets(Selectors::Some(&["genres"]));
    let found = query.execute::<Film>().await.unwrap();
    assert_eq!(ids(found.hits.iter().map(|hit| &hit.result)), [3, 1]);
    assert_eq!(found.facet_distribution.unwrap()["genres"]["Drama"], 2);

    let (mut carol, mut pi) = (index.search(), index.search());
    let (carol, pi) = (carol.with_query("carol").build(), pi.with_query("pi").build());
    let mut several = client.multi_search();
    let found = several.with_search_query(carol).with_search_query(pi).execute::<Film>().await.unwrap();
    let first = found.results.iter().map(|results| &results.hits[0].result);
    assert_eq!(ids(first), [1, 3]);

    let mut builder = KeyBuilder::new();
    builder.with_action(Action::Search).with_index("rust");
    let key = client.create_key(builder).await.unwrap();
    let rules = json!({ "rust": { "filter": "year > 2013" } });
    let token = client.generate_tenant_token(key.uid.clone(), rules, Some(&key.key), None).unwrap();
    let tenant = Client::new(url, Some(token)).unwrap();
    let found = tenant.index("rust").search().with_sort(&["year:asc"]).execute::<Film>().await.unwrap();
    assert_eq!(ids(found.hits.iter().map(|hit| &hit.result)), [1, 2]);
    match tenant.index("rust").add_documents(&films(), None).await {
        Err(Error::Meilisearch(error)) => assert_eq!(error.error_code, ErrorCode::InvalidApiKey),
        other => panic!("a tenant token may not write: {other:?}"),
    }
    client.delete_key(&key).await.unwrap();

    done(&client, index.delete_document(1).await).await;
    let old = DocumentDeletionQuery::new(&index).with_filter("year < 2013").execute::<Value>().await;
    done(&client, old).await;
    assert_eq!(index.get_stats().await.unwrap().number_of_documents, 1);
    done(&client, index.delete().await).await;
}

fn ids<'a>(films: impl Iterator<Item = &'a Film>) -> Vec<u32> {
    films.map(|film| film.id).collect()
}
