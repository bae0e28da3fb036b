//! `/indexes/{uid}/fields`: what each field is used for.

use milli_core::{AttributePatterns, Criterion, Index, OrderBy, PatternMatch};
use serde_json::{Value, json};

use crate::error::Result;

/// Which fields to tell.
#[derive(Debug, Clone, deserr::Deserr)]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct FieldsRequest {
    #[deserr(default)]
    pub offset: usize,
    #[deserr(default = 20)]
    pub limit: usize,
    #[deserr(default)]
    pub filter: Option<FieldsFilter>,
}

/// What fields have to be used for.
#[derive(Debug, Clone, Default, deserr::Deserr)]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct FieldsFilter {
    #[deserr(default)]
    pub attribute_patterns: Option<AttributePatterns>,
    #[deserr(default)]
    pub displayed: Option<bool>,
    #[deserr(default)]
    pub searchable: Option<bool>,
    #[deserr(default)]
    pub sortable: Option<bool>,
    #[deserr(default)]
    pub distinct: Option<bool>,
    #[deserr(default)]
    pub ranking_rule: Option<bool>,
    #[deserr(default)]
    pub filterable: Option<bool>,
}

impl FieldsFilter {
    fn matches(&self, name: &str, field: &Value) -> bool {
        let matches_pattern = self
            .attribute_patterns
            .as_ref()
            .is_none_or(|patterns| patterns.match_str(name) == PatternMatch::Match);
        let is =
            |use_: &str, wanted: Option<bool>| wanted.is_none_or(|wanted| field[use_]["enabled"] == wanted);
        matches_pattern
            && is("displayed", self.displayed)
            && is("searchable", self.searchable)
            && is("sortable", self.sortable)
            && is("distinct", self.distinct)
            && is("rankingRule", self.ranking_rule)
            && is("filterable", self.filterable)
    }
}

/// The fields of an index.
pub fn list(index: &Index, request: FieldsRequest) -> Result<Value> {
    let rtxn = index.read_txn()?;
    let map = index.fields_ids_map_with_metadata(&rtxn)?;
    let displayed = index.displayed_fields(&rtxn)?;
    let rules = map.metadata_builder().filterable_attributes();
    let localized = map.metadata_builder().localized_attributes_rules();
    let criteria = index.criteria(&rtxn)?;
    let orders = index.sort_facet_values_by(&rtxn)?;
    let filter = request.filter.unwrap_or_default();

    let mut fields = Vec::new();
    for (_, name, metadata) in map.iter() {
        let features = metadata.filterable_attributes_features(rules);
        let (equality, comparison) = (features.is_filterable_equality(), features.is_filterable_comparison());
        let facet_search = features.is_facet_searchable();
        let order = criteria.iter().find_map(|rule| match rule {
            Criterion::Asc(field) if field == name => Some("asc"),
            Criterion::Desc(field) if field == name => Some("desc"),
            _ => None,
        });
        let mut ranking_rule = json!({ "enabled": order.is_some() });
        if let Some(order) = order {
            ranking_rule["order"] = order.into();
        }
        let sort_by = match orders.get(name) {
            OrderBy::Lexicographic => "alpha",
            OrderBy::Count => "count",
        };
        let locales = localized.and_then(|rules| metadata.locales(rules)).unwrap_or_default();
        let locales: Vec<_> = locales.iter().map(|language| language.code()).collect();
        let field = json!({
            "name": name,
            "displayed": { "enabled": displayed.as_ref().is_none_or(|names| names.contains(&name)) },
            "searchable": { "enabled": metadata.is_searchable() },
            "sortable": { "enabled": metadata.is_sortable() },
            "distinct": { "enabled": metadata.is_distinct() },
            "rankingRule": ranking_rule,
            "filterable": {
                "enabled": equality || comparison || facet_search, "sortBy": sort_by,
                "facetSearch": facet_search, "equality": equality, "comparison": comparison,
            },
            "localized": { "locales": locales },
        });
        if filter.matches(name, &field) {
            fields.push((name, field));
        }
    }
    fields.sort_unstable_by_key(|(name, _)| *name);
    let total = fields.len();
    let results: Vec<_> =
        fields.into_iter().map(|(_, field)| field).skip(request.offset).take(request.limit).collect();
    Ok(json!({ "results": results, "offset": request.offset, "limit": request.limit, "total": total }))
}
