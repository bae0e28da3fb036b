//! The settings of an index.

mod apply;
mod read;
pub mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use milli_core::FilterableAttributesRule;
use milli_core::update::Setting;
use milli_core::vector::settings::EmbeddingSettings;
use serde::{Deserialize, Serialize};

pub use self::read::read;
use self::values::{
    FacetValuesOrder, LocalizedAttributesRule, PrefixSearch, ProximityPrecision, RankingRule, WordSizes,
};
use crate::http::invalid::Reason;

/// The settings of an index, or the changes to them: what is not set stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, deserr::Deserr)]
#[serde(rename_all = "camelCase", default)]
#[deserr(rename_all = camelCase, deny_unknown_fields, where_predicate = __Deserr_E: deserr::MergeWithError<Reason>)]
#[allow(missing_docs)]
pub struct Settings {
    #[serde(skip_serializing_if = "Setting::is_not_set", serialize_with = "values::or_all")]
    #[deserr(default)]
    pub displayed_attributes: Setting<Vec<String>>,
    #[serde(skip_serializing_if = "Setting::is_not_set", serialize_with = "values::or_all")]
    #[deserr(default)]
    pub searchable_attributes: Setting<Vec<String>>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub filterable_attributes: Setting<Vec<FilterableAttributesRule>>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub sortable_attributes: Setting<BTreeSet<String>>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub ranking_rules: Setting<Vec<RankingRule>>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub stop_words: Setting<BTreeSet<String>>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub non_separator_tokens: Setting<BTreeSet<String>>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub separator_tokens: Setting<BTreeSet<String>>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub dictionary: Setting<BTreeSet<String>>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub synonyms: Setting<BTreeMap<String, Vec<String>>>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub distinct_attribute: Setting<String>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub proximity_precision: Setting<ProximityPrecision>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub typo_tolerance: Setting<TypoTolerance>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub faceting: Setting<Faceting>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub pagination: Setting<Pagination>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub embedders: Setting<BTreeMap<String, Setting<EmbeddingSettings>>>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub search_cutoff_ms: Setting<u64>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub localized_attributes: Setting<Vec<LocalizedAttributesRule>>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub facet_search: Setting<bool>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub prefix_search: Setting<PrefixSearch>,
}

/// How many mistakes a word may have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, deserr::Deserr)]
#[serde(rename_all = "camelCase", default)]
#[deserr(rename_all = camelCase, deny_unknown_fields, where_predicate = __Deserr_E: deserr::MergeWithError<Reason>)]
#[allow(missing_docs)]
pub struct TypoTolerance {
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub enabled: Setting<bool>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub min_word_size_for_typos: Setting<WordSizes>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub disable_on_words: Setting<BTreeSet<String>>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub disable_on_attributes: Setting<BTreeSet<String>>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub disable_on_numbers: Setting<bool>,
}

/// Which values of a facet are told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, deserr::Deserr)]
#[serde(rename_all = "camelCase", default)]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Faceting {
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub max_values_per_facet: Setting<usize>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub sort_facet_values_by: Setting<BTreeMap<String, FacetValuesOrder>>,
}

/// How far one can page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, deserr::Deserr)]
#[serde(rename_all = "camelCase", default)]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Pagination {
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub max_total_hits: Setting<NonZeroUsize>,
}

impl Settings {
    /// Every setting back to its default.
    pub fn reset() -> Self {
        Self {
            displayed_attributes: Setting::Reset,
            searchable_attributes: Setting::Reset,
            filterable_attributes: Setting::Reset,
            sortable_attributes: Setting::Reset,
            ranking_rules: Setting::Reset,
            stop_words: Setting::Reset,
            non_separator_tokens: Setting::Reset,
            separator_tokens: Setting::Reset,
            dictionary: Setting::Reset,
            synonyms: Setting::Reset,
            distinct_attribute: Setting::Reset,
            proximity_precision: Setting::Reset,
            typo_tolerance: Setting::Reset,
            faceting: Setting::Reset,
            pagination: Setting::Reset,
            embedders: Setting::Reset,
            search_cutoff_ms: Setting::Reset,
            localized_attributes: Setting::Reset,
            facet_search: Setting::Reset,
            prefix_search: Setting::Reset,
        }
    }

    /// The settings once what can be checked without the index is checked.
    pub fn checked(mut self) -> Result<Self, milli_core::Error> {
        if let Setting::Set(embedders) = &mut self.embedders {
            for (name, embedder) in embedders {
                *embedder = milli_core::update::validate_embedding_settings(std::mem::take(embedder), name)?;
            }
        }
        Ok(self)
    }
}
