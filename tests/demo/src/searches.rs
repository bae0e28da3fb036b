//! The searches that are shown.

use serde_json::{Value, json};

/// A search and how it is shown.
pub struct Search {
    /// What it shows, for a person.
    pub title: String,
    /// The body of `POST /indexes/packages/search`.
    pub query: Value,
    /// The facet to show instead of hits.
    pub facet: Option<&'static str>,
}

impl Search {
    /// Of an answer, what must not depend on which nodes gave it.
    pub fn counts(answer: &Value) -> Value {
        json!({ "totalHits": answer["totalHits"], "facetDistribution": answer["facetDistribution"] })
    }
}

/// The settings of the index.
pub fn settings() -> Value {
    json!({
        "searchableAttributes": ["name", "description", "tags"],
        "filterableAttributes": ["section", "size", "tags", "maintainer"],
        "sortableAttributes": ["size", "name"],
    })
}

/// All of them.
pub fn all() -> Vec<Search> {
    let search = |title: &str, facet, query: Value| {
        let mut whole = json!({
            "page": 1,
            "hitsPerPage": 5,
            "attributesToHighlight": ["name", "description"],
            "highlightPreTag": if console::colors_enabled() { "\u{1b}[1m" } else { "" },
            "highlightPostTag": if console::colors_enabled() { "\u{1b}[0m" } else { "" },
        });
        if let (Some(whole), Some(query)) = (whole.as_object_mut(), query.as_object()) {
            whole.extend(query.clone());
        }
        Search { title: title.to_owned(), query: whole, facet }
    };
    vec![
        search("With two typos: “postgers databse”", None, json!({ "q": "postgers databse" })),
        search(
            "With a filter: “chess” in section games, below a megabyte",
            None,
            json!({ "q": "chess", "filter": "section = games AND size < 1000000" }),
        ),
        search("Sorted: the largest “font” packages", None, json!({ "q": "font", "sort": ["size:desc"] })),
        search(
            "With facets: the sections in which “editor” is found",
            Some("section"),
            json!({ "q": "editor", "facets": ["section"] }),
        ),
    ]
}
