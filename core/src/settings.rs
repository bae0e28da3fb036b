//! How the settings that nodes hold differ from those that the user set and sees:
//!
//! - `filterableAttributes`: nodes have the [shard tag](crate::tag) besides;
//! - `displayedAttributes`: nodes display all, because the score details of a sort by an attribute that isn't
//!   displayed hide its value; the filter keeps to the user's list;
//! - `faceting.maxValuesPerFacet`: nodes return more values of a facet, because those that come first on each node
//!   need not be those that come first over all: neither where the largest counts come first, nor among numbers, which
//!   Meilisearch lists in the order of their text where [few documents](FEW_CANDIDATES) match and by value else;
//! - `embedders`: where the user leaves `documentTemplate` to Meilisearch, nodes have [one](NODE_TEMPLATE) that shows all
//!   that the [default](DEFAULT_TEMPLATE) does but the shard tag.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::tag::TAG_FIELD;

/// Up to so many matching documents Meilisearch lists a facet's numbers in the order of their text, above by value.
pub const FEW_CANDIDATES: u64 = 3_000;

/// How many values of a facet nodes return at least, where facets are sorted by count.
pub const COUNTED_FACET_VALUES: u64 = 10_000;

/// Meilisearch's default `documentTemplate`, as it shows it.
pub const DEFAULT_TEMPLATE: &str = "{% for field in fields %}{% if field.is_searchable and field.value != nil %}\
                                    {{ field.name }}: {{ field.value }}\n{% endif %}{% endfor %}";

/// The same without the shard tag.
pub const NODE_TEMPLATE: &str = "{% for field in fields %}{% if field.name != \"_miroir_shard\" \
                                 and field.is_searchable and field.value != nil %}\
                                 {{ field.name }}: {{ field.value }}\n{% endif %}{% endfor %}";

const EMBEDDERS: &str = "embedders";
const INDEXING_EMBEDDER: &str = "indexingEmbedder";
const TEMPLATE: &str = "documentTemplate";
const DISPLAYED: &str = "displayedAttributes";
const FILTERABLE: &str = "filterableAttributes";
const FACETING: &str = "faceting";
const MAX_VALUES: &str = "maxValuesPerFacet";
const SORT_VALUES: &str = "sortFacetValuesBy";
const DEFAULT_MAX_VALUES: u64 = 100;

/// The user's values of the settings that nodes hold otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct UserValues {
    displayed_attributes: Value,
    max_values_per_facet: u64,
    sorts_by_count: bool,
    embedders: BTreeMap<String, Embedder>,
}

/// An embedder, as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
struct Embedder {
    source: String,
    has_default_template: bool,
    indexing: Option<Box<Embedder>>,
}

impl Embedder {
    /// What a change makes of an embedder, or of none; another source makes it anew.
    fn after(before: Option<&Embedder>, change: &Value) -> Embedder {
        let source = match (change.get("source").and_then(Value::as_str), before) {
            (Some(source), _) => source,
            (None, Some(before)) => &before.source,
            (None, None) => "openAi",
        };
        let before = before.filter(|before| before.source == source);
        let indexing = before.and_then(|before| before.indexing.as_deref());
        Embedder {
            source: source.to_owned(),
            has_default_template: match change.get(TEMPLATE) {
                Some(template) => template.is_null() || template == DEFAULT_TEMPLATE,
                None => before.is_none_or(|before| before.has_default_template),
            },
            indexing: match change.get(INDEXING_EMBEDDER) {
                Some(change) => Some(Box::new(Embedder::after(indexing, change))),
                None => indexing.cloned().map(Box::new),
            },
        }
    }

    /// The change for a node.
    fn node_change(&self, change: &Value) -> Value {
        let Some(change) = change.as_object() else { return change.clone() };
        let mut change = change.clone();
        let uses_templates = ["openAi", "huggingFace", "ollama", "rest"].contains(&&*self.source);
        if uses_templates && self.has_default_template {
            change.insert(TEMPLATE.into(), NODE_TEMPLATE.into());
        }
        if let (Some(indexing), Some(nested)) = (&self.indexing, change.get_mut(INDEXING_EMBEDDER)) {
            *nested = indexing.node_change(nested);
        }
        change.into()
    }
}

impl UserValues {
    /// Those of a user's whole settings; null stands for the defaults.
    pub fn of(settings: &Value) -> UserValues {
        let defaults = UserValues {
            displayed_attributes: json!(["*"]),
            max_values_per_facet: DEFAULT_MAX_VALUES,
            sorts_by_count: false,
            embedders: BTreeMap::new(),
        };
        defaults.after(settings)
    }

    /// Those after the user's change of the settings, where what is absent stays and null is the default.
    pub fn after(mut self, change: &Value) -> UserValues {
        match change.get(DISPLAYED) {
            Some(Value::Null) => self.displayed_attributes = json!(["*"]),
            Some(attributes) => self.displayed_attributes = attributes.clone(),
            None => {}
        }
        match change.get(EMBEDDERS) {
            Some(Value::Null) => self.embedders.clear(),
            Some(Value::Object(embedders)) => {
                for (name, change) in embedders {
                    match self.embedders.remove(name) {
                        _ if change.is_null() => {}
                        before => {
                            let after = Embedder::after(before.as_ref(), change);
                            self.embedders.insert(name.clone(), after);
                        }
                    }
                }
            }
            _ => {}
        }
        let Some(faceting) = change.get(FACETING) else { return self };
        let reset = faceting.is_null().then_some(&Value::Null);
        if let Some(max) = reset.or_else(|| faceting.get(MAX_VALUES)) {
            self.max_values_per_facet = max.as_u64().unwrap_or(DEFAULT_MAX_VALUES);
        }
        if let Some(orders) = reset.or_else(|| faceting.get(SORT_VALUES)) {
            let mut orders = orders.as_object().into_iter().flat_map(Map::values);
            self.sorts_by_count = orders.any(|order| order == "count");
        }
        self
    }

    fn node_max_values(&self) -> u64 {
        // Where a node lists numbers by their text, it has no more of them than these.
        let least = if self.sorts_by_count { COUNTED_FACET_VALUES } else { FEW_CANDIDATES };
        self.max_values_per_facet.max(least)
    }
}

/// What to send to a node for a user's change of the settings. `after` are the user's values after it.
///
/// What Meilisearch would refuse is left as it is, so that the node refuses it.
pub fn node_change(change: &Value, after: &UserValues) -> Value {
    let Some(change) = change.as_object() else { return change.clone() };
    change.iter().map(|(name, value)| (name.clone(), node_value(name, value, after))).collect()
}

fn node_value(name: &str, value: &Value, after: &UserValues) -> Value {
    match (name, value) {
        (DISPLAYED, Value::Array(attributes)) if attributes.iter().all(Value::is_string) => json!(["*"]),
        (FILTERABLE, Value::Null) => json!([TAG_FIELD]),
        // First, because the first rule that matches an attribute decides, and the user's may match all.
        (FILTERABLE, Value::Array(rules)) => {
            [Value::from(TAG_FIELD)].into_iter().chain(rules.iter().cloned()).collect()
        }
        (FACETING, Value::Null) => json!({ MAX_VALUES: after.node_max_values(), SORT_VALUES: null }),
        (FACETING, Value::Object(faceting)) => {
            let mut faceting = faceting.clone();
            if faceting.get(MAX_VALUES).is_none_or(|max| max.is_null() || max.is_u64()) {
                faceting.insert(MAX_VALUES.into(), after.node_max_values().into());
            }
            faceting.into()
        }
        (EMBEDDERS, Value::Object(embedders)) => {
            let embedders = embedders.iter().map(|(name, change)| {
                let of_node = after.embedders.get(name).map(|embedder| embedder.node_change(change));
                (name.clone(), of_node.unwrap_or_else(|| change.clone()))
            });
            embedders.collect::<Map<_, _>>().into()
        }
        _ => value.clone(),
    }
}

/// The whole settings for a node, from the user's; null stands for the defaults.
pub fn node_settings(user: &Value) -> Value {
    let mut settings = user.as_object().cloned().unwrap_or_default();
    for name in [FILTERABLE, FACETING] {
        settings.entry(name).or_insert(Value::Null);
    }
    node_change(&Value::Object(settings), &UserValues::of(user))
}

/// The whole settings for the user, from a node's and the user's own values.
pub fn user_settings(node: &Value, user: &UserValues) -> Value {
    let mut settings = node.clone();
    if let Some(displayed) = settings.get_mut(DISPLAYED) {
        *displayed = user.displayed_attributes.clone();
    }
    if let Some(rules) = settings.get_mut(FILTERABLE).and_then(Value::as_array_mut) {
        rules.retain(|rule| rule != TAG_FIELD);
    }
    if let Some(max) = settings.get_mut(FACETING).and_then(|faceting| faceting.get_mut(MAX_VALUES)) {
        *max = user.max_values_per_facet.into();
    }
    let embedders = settings.get_mut(EMBEDDERS).and_then(Value::as_object_mut);
    embedders.into_iter().flat_map(Map::values_mut).for_each(show_default_template);
    settings
}

fn show_default_template(embedder: &mut Value) {
    if let Some(template) = embedder.get_mut(TEMPLATE)
        && *template == NODE_TEMPLATE
    {
        *template = DEFAULT_TEMPLATE.into();
    }
    if let Some(indexing) = embedder.get_mut(INDEXING_EMBEDDER) {
        show_default_template(indexing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn defaults() -> Value {
        json!({
            "displayedAttributes": ["*"],
            "filterableAttributes": [],
            "faceting": {"maxValuesPerFacet": 100, "sortFacetValuesBy": {"*": "alpha"}},
            "stopWords": [],
        })
    }

    /// What a node sent these changes would hold, and what the user would then see.
    fn roundtrip(changes: &[Value]) -> (Value, Value) {
        let mut node = defaults();
        let mut user = UserValues::of(&Value::Null);
        for change in [json!({"filterableAttributes": null, "faceting": null})].iter().chain(changes) {
            user = user.after(change);
            let change = node_change(change, &user);
            for (name, value) in change.as_object().unwrap() {
                match (value, node.get_mut(name)) {
                    (Value::Object(parts), Some(Value::Object(old))) => {
                        for (part, value) in parts {
                            let reset = value.is_null().then(|| defaults()[name][part].clone());
                            old.insert(part.clone(), reset.unwrap_or_else(|| value.clone()));
                        }
                    }
                    (Value::Null, _) => node[name] = defaults()[name].clone(),
                    _ => node[name] = value.clone(),
                }
            }
        }
        (node.clone(), user_settings(&node, &user))
    }

    #[test]
    fn a_new_index_is_filterable_by_the_tag_and_the_user_does_not_see_it() {
        let expected = json!({
            "filterableAttributes": ["_miroir_shard"],
            "faceting": {"maxValuesPerFacet": 3_000, "sortFacetValuesBy": null},
        });
        assert_eq!(node_settings(&Value::Null), expected);
        let (node, user) = roundtrip(&[]);
        assert_eq!(node["filterableAttributes"], json!(["_miroir_shard"]));
        assert_eq!(user, defaults());
    }

    #[test]
    fn the_tag_comes_before_rules_that_match_all() {
        let everything = json!({"attributePatterns": ["*"], "features": {"filter": {"equality": false}}});
        let (node, user) = roundtrip(&[json!({"filterableAttributes": [everything]})]);
        assert_eq!(node["filterableAttributes"], json!(["_miroir_shard", everything]));
        assert_eq!(user["filterableAttributes"], json!([everything]));
    }

    #[test]
    fn nodes_display_all() {
        let (node, user) = roundtrip(&[json!({"displayedAttributes": ["title"]})]);
        assert_eq!(node["displayedAttributes"], json!(["*"]));
        assert_eq!(user["displayedAttributes"], json!(["title"]));

        let (_, user) = roundtrip(&[
            json!({"displayedAttributes": ["title"]}),
            json!({"stopWords": ["the"]}),
            json!({"displayedAttributes": null}),
        ]);
        assert_eq!(user["displayedAttributes"], json!(["*"]));
    }

    #[test]
    fn nodes_return_more_values_of_facets() {
        let by_count = json!({"faceting": {"sortFacetValuesBy": {"genre": "count"}}});
        let (node, user) = roundtrip(std::slice::from_ref(&by_count));
        assert_eq!(node["faceting"]["maxValuesPerFacet"], 10_000);
        assert_eq!(
            user["faceting"],
            json!({"maxValuesPerFacet": 100, "sortFacetValuesBy": {"genre": "count"}})
        );

        let more = json!({"faceting": {"maxValuesPerFacet": 20_000}});
        let (node, user) = roundtrip(&[by_count.clone(), more]);
        assert_eq!(node["faceting"]["maxValuesPerFacet"], 20_000);
        assert_eq!(user["faceting"]["maxValuesPerFacet"], 20_000);

        let few = json!({"faceting": {"maxValuesPerFacet": 5}});
        let by_value = json!({"faceting": {"sortFacetValuesBy": {"*": "alpha"}}});
        let (node, user) = roundtrip(&[by_count, few, by_value]);
        assert_eq!(node["faceting"]["maxValuesPerFacet"], 3_000);
        assert_eq!(user["faceting"]["maxValuesPerFacet"], 5);
    }

    #[test]
    fn what_the_user_sees_makes_the_same_node_again() {
        let (node, user) = roundtrip(&[json!({
            "filterableAttributes": ["a"],
            "displayedAttributes": ["b"],
            "faceting": {"sortFacetValuesBy": {"a": "count"}},
        })]);
        assert_eq!(node_settings(&user), node);
    }

    #[test]
    fn a_default_template_does_not_show_the_tag() {
        assert!(NODE_TEMPLATE.contains(TAG_FIELD));
        let shown = |node: &Value| user_settings(node, &UserValues::of(&Value::Null));
        let mut user = UserValues::of(&Value::Null);
        let mut send = |embedder: Value| {
            let change = json!({"embedders": {"e": embedder}});
            user = user.clone().after(&change);
            node_change(&change, &user)["embedders"]["e"].clone()
        };
        let made = send(json!({"source": "openAi", "apiKey": "k"}));
        assert_eq!(made, json!({"source": "openAi", "apiKey": "k", "documentTemplate": NODE_TEMPLATE}));
        let held = shown(&json!({"embedders": {"e": made}}));
        assert_eq!(held["embedders"]["e"]["documentTemplate"], DEFAULT_TEMPLATE);
        assert_eq!(node_settings(&held)["embedders"]["e"]["documentTemplate"], NODE_TEMPLATE);

        let own = json!({"documentTemplate": "{{ doc.title }}"});
        assert_eq!(send(own.clone()), own, "the user's own template stays");
        assert_eq!(send(json!({"apiKey": "l"})), json!({"apiKey": "l"}), "and is not lost");
        assert_eq!(send(json!({"documentTemplate": null})), json!({"documentTemplate": NODE_TEMPLATE}));
        send(own.clone());
        let other_source = send(json!({"source": "ollama", "model": "m"}));
        assert_eq!(other_source["documentTemplate"], NODE_TEMPLATE);
        let without = json!({"source": "userProvided", "dimensions": 3});
        assert_eq!(send(without.clone()), without, "a source without templates gets none");
        assert_eq!(send(Value::Null), Value::Null);
        let composite = json!({"source": "composite", "searchEmbedder": {"source": "ollama"},
                               "indexingEmbedder": {"source": "ollama"}});
        let made = send(composite);
        assert_eq!(made["indexingEmbedder"]["documentTemplate"], NODE_TEMPLATE);
        assert_eq!(made["searchEmbedder"], json!({"source": "ollama"}));
        assert_eq!(made.get("documentTemplate"), None);
    }

    #[test]
    fn what_is_wrong_is_left_for_the_node_to_refuse() {
        for change in [
            json!({"displayedAttributes": "title"}),
            json!({"displayedAttributes": [1]}),
            json!({"filterableAttributes": {"a": 1}}),
            json!({"faceting": 7}),
            json!({"faceting": {"maxValuesPerFacet": -1}}),
            json!({"embedders": [1]}),
            json!({"embedders": {"e": 7}}),
            json!({"embedders": {"e": {"source": "no such"}}}),
            json!({"embedders": {"e": {"source": "openAi", "documentTemplate": 7}}}),
            json!([1]),
        ] {
            let after = UserValues::of(&Value::Null).after(&change);
            assert_eq!(node_change(&change, &after), change);
        }
    }
}
