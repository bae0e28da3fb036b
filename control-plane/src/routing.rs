//! The routing table that follows from the topology, the epoch, the indexes and the nodes' health.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::rebalance::{Epoch, Stale};
use miroir_core::shard::ShardId;
use miroir_core::table::{
    ControlPlane, FacetOrder, Group, IndexFacts, Node, NodeIndex, Policy, RoutingTable, StaleReplicas,
};
use serde_json::Value;
use url::Url;

use crate::store::{AliasRecord, IndexRecord, NodeRecord};

/// The Envoy cluster that leads to us: the one static cluster that Envoy's bootstrap must have.
pub const CONTROL_PLANE_CLUSTER: &str = "miroir-control-plane";

/// All that a routing table is made of.
pub struct Inputs<'a> {
    /// The table's version.
    pub version: u64,
    /// The nodes.
    pub nodes: &'a [NodeRecord],
    /// Who owns what.
    pub epoch: &'a Epoch,
    /// Which nodes may be read and written, by id.
    pub up: &'a BTreeSet<String>,
    /// Replicas that missed writes, by node id.
    pub stale: &'a Stale,
    /// The indexes.
    pub indexes: &'a BTreeMap<String, IndexRecord>,
    /// The aliases, by name.
    pub aliases: &'a BTreeMap<String, AliasRecord>,
    /// The dynamic search rules, by uid.
    pub rules: &'a BTreeMap<String, Value>,
    /// What proves to us that a call comes from the filter.
    pub filter_token: &'a str,
    /// The value of the filter's own key; `None` if nodes ask for no key.
    pub node_key: Option<String>,
    /// Limits and policies.
    pub policy: Policy,
}

/// Builds the table.
pub fn build(inputs: Inputs<'_>) -> RoutingTable {
    let nodes = inputs.nodes;
    let place: BTreeMap<&str, NodeIndex> =
        nodes.iter().enumerate().map(|(index, node)| (node.id.as_str(), index)).collect();
    let places = |ids: &Vec<String>| ids.iter().filter_map(|id| place.get(id.as_str()).copied()).collect();
    let epoch = inputs.epoch;
    let readers = |group: &str, owners: &[Vec<String>]| {
        let of_shard = |(shard, joining): (&ShardId, &BTreeSet<String>)| {
            let owners = owners.get(*shard as usize).into_iter().flatten();
            let readers = owners.filter(|node| !joining.contains(*node));
            (*shard, readers.filter_map(|id| place.get(id.as_str()).copied()).collect())
        };
        epoch.joining.get(group).into_iter().flatten().map(of_shard).collect()
    };
    let leftovers = |node: &NodeRecord| epoch.may_hold(&node.id);
    RoutingTable {
        version: inputs.version,
        epoch: inputs.epoch.epoch,
        shards: epoch.shards(),
        retagging: epoch.retagging,
        nodes: nodes
            .iter()
            .map(|node| table_node(node, inputs.up.contains(&node.id), leftovers(node)))
            .collect(),
        groups: inputs
            .epoch
            .owners
            .iter()
            .map(|(id, owners)| Group {
                id: id.clone(),
                owners: owners.iter().map(places).collect(),
                readers: readers(id, owners),
            })
            .collect(),
        stale: inputs
            .stale
            .iter()
            .filter(|(_, shards)| !shards.is_empty())
            .filter_map(|(id, shards)| {
                place
                    .get(id.as_str())
                    .map(|&node| StaleReplicas { node, shards: shards.keys().copied().collect() })
            })
            .collect(),
        indexes: inputs
            .indexes
            .iter()
            .map(|(uid, index)| {
                (uid.clone(), IndexFacts { has_pins: has_pins(uid, inputs.rules), ..facts(index) })
            })
            .collect(),
        aliases: inputs.aliases.iter().map(|(name, alias)| (name.clone(), alias.indexes.clone())).collect(),
        control_plane: ControlPlane {
            cluster: CONTROL_PLANE_CLUSTER.into(),
            authority: CONTROL_PLANE_CLUSTER.into(),
            token: inputs.filter_token.into(),
        },
        node_key: inputs.node_key,
        policy: inputs.policy,
    }
}

/// The Envoy cluster that leads to a node.
pub fn cluster_name(node: &NodeRecord) -> String {
    node.cluster.clone().unwrap_or_else(|| format!("miroir-node-{}", node.id))
}

fn table_node(node: &NodeRecord, up: bool, leftovers: BTreeSet<ShardId>) -> Node {
    Node { id: node.id.clone(), cluster: cluster_name(node), authority: authority(&node.url), up, leftovers }
}

/// What a client of `url` would send as `Host`.
pub fn authority(url: &str) -> String {
    // Only checked URLs are in a topology; `Url::authority` leaves out the scheme's own port, as clients do.
    Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.authority().to_owned())
}

fn facts(index: &IndexRecord) -> IndexFacts {
    let settings = &index.settings;
    let defaults = IndexFacts::default();
    let names = |value: &Value| -> Option<Vec<String>> {
        value.as_array().map(|names| names.iter().filter_map(Value::as_str).map(String::from).collect())
    };
    let number = |value: &Value, default: usize| value.as_u64().map_or(default, |number| number as usize);
    IndexFacts {
        primary_key: index.primary_key.clone(),
        displayed_attributes: names(&settings["displayedAttributes"])
            .filter(|names| !names.iter().any(|name| name == "*")),
        ranking_rules: names(&settings["rankingRules"]).unwrap_or(defaults.ranking_rules),
        distinct_attribute: settings["distinctAttribute"].as_str().map(String::from),
        distinct_is_filterable: names(&settings["filterableAttributes"]).is_some_and(|names| {
            names.iter().any(|name| name == "*" || settings["distinctAttribute"] == name.as_str())
        }),
        has_filterable_attributes: settings["filterableAttributes"]
            .as_array()
            .is_some_and(|attributes| !attributes.is_empty()),
        max_values_per_facet: number(
            &settings["faceting"]["maxValuesPerFacet"],
            defaults.max_values_per_facet,
        ),
        sort_facet_values_by: settings["faceting"]["sortFacetValuesBy"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(facet, order)| {
                let order = if order == "count" { FacetOrder::Count } else { FacetOrder::Alpha };
                (facet.clone(), order)
            })
            .collect(),
        max_total_hits: number(&settings["pagination"]["maxTotalHits"], defaults.max_total_hits),
        settings_version: index.settings_version,
        has_pins: false,
    }
}

/// Whether a dynamic search rule does something with documents of the index.
fn has_pins(index: &str, rules: &BTreeMap<String, Value>) -> bool {
    let actions = rules.values().filter_map(|rule| rule["actions"].as_array()).flatten();
    actions.map(|action| &action["selector"]["indexUid"]).any(|uid| uid.is_null() || uid == index)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::OffsetDateTime;

    use super::*;

    fn index(settings: Value) -> IndexRecord {
        IndexRecord {
            uid: "books".into(),
            primary_key: Some("id".into()),
            created_at: OffsetDateTime::UNIX_EPOCH,
            updated_at: OffsetDateTime::UNIX_EPOCH,
            settings,
            settings_version: 3,
            generation: 0,
            adopting: false,
        }
    }

    #[test]
    fn an_index_without_settings_has_the_defaults() {
        let expected = IndexFacts {
            primary_key: Some("id".into()),
            has_filterable_attributes: false,
            settings_version: 3,
            ..IndexFacts::default()
        };
        assert_eq!(facts(&index(Value::Null)), expected);
        assert_eq!(facts(&index(json!({"displayedAttributes": ["*"], "distinctAttribute": null}))), expected);
    }

    #[test]
    fn settings_that_merging_needs_are_told_to_the_filter() {
        let facts = facts(&index(json!({
            "displayedAttributes": ["title"],
            "rankingRules": ["words", "year:desc"],
            "distinctAttribute": "isbn",
            "filterableAttributes": ["genre", "isbn"],
            "faceting": {"maxValuesPerFacet": 7, "sortFacetValuesBy": {"*": "alpha", "genre": "count"}},
            "pagination": {"maxTotalHits": 50},
        })));
        assert_eq!(facts.displayed_attributes, Some(vec!["title".into()]));
        assert_eq!(facts.ranking_rules, ["words", "year:desc"]);
        assert_eq!((facts.distinct_attribute.as_deref(), facts.distinct_is_filterable), (Some("isbn"), true));
        assert!(facts.has_filterable_attributes);
        assert_eq!(facts.max_values_per_facet, 7);
        assert_eq!(facts.sort_facet_values_by["genre"], FacetOrder::Count);
        assert_eq!(facts.max_total_hits, 50);
    }

    #[test]
    fn the_filter_knows_which_indexes_have_pinned_documents() {
        let rule =
            json!({"actions": [{"selector": {"indexUid": "films", "id": "1"}, "action": {"type": "pin"}}]});
        let rules = BTreeMap::from([("r".to_owned(), rule)]);
        assert!(has_pins("films", &rules) && !has_pins("books", &rules));
        assert!(!has_pins("films", &BTreeMap::new()));
    }

    #[test]
    fn the_authority_is_what_a_client_would_send() {
        assert_eq!(authority("http://a:7700"), "a:7700");
        assert_eq!(authority("https://search.example.com:443/"), "search.example.com");
        assert_eq!(authority("http://[::1]:7700"), "[::1]:7700");
    }
}
