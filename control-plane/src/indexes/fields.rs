//! The fields of an index's documents, and what the settings make of each.

use std::collections::BTreeMap;

use futures::future::join_all;
use miroir_core::error::no_quorum;
use miroir_core::tag::TAG_FIELD;
use serde::Deserialize;
use serde_json::Value;
use tracing::warn;

use crate::api::Failure;
use crate::cluster::Cluster;
use crate::store::IndexRecord;

/// What `POST /indexes/{uid}/fields` can be asked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FieldsQuery {
    /// How many fields to skip.
    #[serde(default)]
    pub offset: usize,
    /// How many to list.
    #[serde(default = "default_limit")]
    pub limit: usize,
    #[serde(default)]
    filter: Option<FieldsFilter>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FieldsFilter {
    #[serde(default)]
    attribute_patterns: Option<Vec<String>>,
    #[serde(default)]
    displayed: Option<bool>,
    #[serde(default)]
    searchable: Option<bool>,
    #[serde(default)]
    sortable: Option<bool>,
    #[serde(default)]
    distinct: Option<bool>,
    #[serde(default)]
    ranking_rule: Option<bool>,
    #[serde(default)]
    filterable: Option<bool>,
}

fn default_limit() -> usize {
    20
}

impl FieldsQuery {
    /// Whether a field is asked for.
    pub fn matches(&self, field: &Value) -> bool {
        let Some(filter) = &self.filter else { return true };
        let name = field["name"].as_str().unwrap_or_default();
        let features = [
            ("displayed", filter.displayed),
            ("searchable", filter.searchable),
            ("sortable", filter.sortable),
            ("distinct", filter.distinct),
            ("rankingRule", filter.ranking_rule),
            ("filterable", filter.filterable),
        ];
        let patterns = filter.attribute_patterns.as_ref();
        patterns.is_none_or(|patterns| patterns.iter().any(|pattern| matches(pattern, name)))
            && features
                .iter()
                .all(|(feature, wanted)| wanted.is_none_or(|wanted| field[feature]["enabled"] == wanted))
    }
}

/// Whether a name matches a pattern, where a star at either end stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        _ if pattern == "*" => true,
        (Some(rest), Some(_)) => name.contains(rest.strip_suffix('*').unwrap_or(rest)),
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => pattern == name,
    }
}

/// All fields of an index, by name, as the user is to see them: nodes display more of them.
///
/// # Errors
/// If no node tells of its fields.
pub async fn of_index(cluster: &Cluster, index: &IndexRecord) -> Result<Vec<Value>, Failure> {
    let table = cluster.table();
    let up = table.nodes.iter().filter(|node| node.up).filter_map(|node| cluster.client(&node.id));
    let answers = join_all(up.map(|client| async move { client.fields(&index.uid).await })).await;
    if let Some(Err(_)) | None = answers.iter().find(|answer| answer.is_ok()).or(answers.first()) {
        return Err(match answers.into_iter().find_map(Result::err) {
            Some(error) => error.into(),
            None => no_quorum("no node could be reached").into(),
        });
    }
    let mut fields = BTreeMap::new();
    for answer in answers {
        match answer {
            Ok(of_node) => fields.extend(
                of_node.into_iter().filter_map(|field| Some((field["name"].as_str()?.to_owned(), field))),
            ),
            Err(error) => warn!(%error, "a node did not tell of its fields"),
        }
    }
    fields.remove(TAG_FIELD);
    for (name, field) in &mut fields {
        field["displayed"]["enabled"] = is_displayed(&index.settings, name).into();
    }
    Ok(fields.into_values().collect())
}

/// By `displayedAttributes` an attribute is displayed with all that is below it.
fn is_displayed(settings: &Value, name: &str) -> bool {
    let Some(displayed) = settings["displayedAttributes"].as_array() else { return true };
    displayed.iter().filter_map(Value::as_str).any(|shown| {
        let below = name.strip_prefix(shown).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        shown == "*" || below
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn query(query: Value) -> FieldsQuery {
        serde_json::from_value(query).expect("a query")
    }

    #[test]
    fn fields_are_chosen_by_pattern_and_feature() {
        let field =
            json!({"name": "author.name", "displayed": {"enabled": true}, "sortable": {"enabled": false}});
        for (filter, expected) in [
            (json!({"attributePatterns": ["author*"]}), true),
            (json!({"attributePatterns": ["title", "*name"]}), true),
            (json!({"attributePatterns": ["*thor.*"]}), true),
            (json!({"attributePatterns": ["author"]}), false),
            (json!({"attributePatterns": []}), false),
            (json!({"displayed": true, "sortable": false}), true),
            (json!({"displayed": true, "sortable": true}), false),
            (json!({}), true),
        ] {
            assert_eq!(query(json!({"filter": filter})).matches(&field), expected, "{filter}");
        }
    }

    #[test]
    fn what_is_displayed_is_what_the_user_set() {
        let settings = json!({"displayedAttributes": ["author", "title"]});
        let shown = |name| is_displayed(&settings, name);
        assert!(shown("author") && shown("author.name") && !shown("authors") && !shown("id"));
        assert!(
            is_displayed(&Value::Null, "id") && is_displayed(&json!({"displayedAttributes": ["*"]}), "id")
        );
    }
}
