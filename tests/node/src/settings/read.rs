//! Reading the settings of an index.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use milli_core::heed::RoTxn;
use milli_core::update::Setting;
use milli_core::{DEFAULT_VALUES_PER_FACET, Index};

use super::values::{RankingRule, WordSizes};
use super::{Faceting, Pagination, Settings, TypoTolerance};
use crate::error::{ResponseError, Result};
use crate::search::query::DEFAULT_MAX_TOTAL_HITS;

/// The settings of an index, its defaults included.
pub fn read(index: &Index, rtxn: &RoTxn) -> Result<Settings> {
    let max_total_hits =
        index.pagination_max_total_hits(rtxn)?.map_or(DEFAULT_MAX_TOTAL_HITS, |max| max as usize);
    let embedders = index.embedding_configs(rtxn)?.into_iter();
    let localized_attributes = index.localized_attributes_rules(rtxn)?;

    Ok(Settings {
        displayed_attributes: set_or_reset(index.displayed_fields(rtxn)?.map(owned)),
        searchable_attributes: set_or_reset(index.user_defined_searchable_fields(rtxn)?.map(owned)),
        filterable_attributes: Setting::Set(index.filterable_attributes_rules(rtxn)?),
        sortable_attributes: Setting::Set(index.sortable_fields(rtxn)?.into_iter().collect()),
        ranking_rules: Setting::Set(index.criteria(rtxn)?.into_iter().map(RankingRule).collect()),
        stop_words: Setting::Set(match index.stop_words(rtxn)? {
            Some(words) => words.stream().into_strs().map_err(ResponseError::internal)?.into_iter().collect(),
            None => BTreeSet::new(),
        }),
        non_separator_tokens: Setting::Set(index.non_separator_tokens(rtxn)?.unwrap_or_default()),
        separator_tokens: Setting::Set(index.separator_tokens(rtxn)?.unwrap_or_default()),
        dictionary: Setting::Set(index.dictionary(rtxn)?.unwrap_or_default()),
        synonyms: Setting::Set(index.user_defined_synonyms(rtxn)?),
        distinct_attribute: set_or_reset(index.distinct_field(rtxn)?.map(String::from)),
        proximity_precision: Setting::Set(
            index.proximity_precision(rtxn)?.map(Into::into).unwrap_or_default(),
        ),
        typo_tolerance: Setting::Set(TypoTolerance {
            enabled: Setting::Set(index.authorize_typos(rtxn)?),
            min_word_size_for_typos: Setting::Set(WordSizes {
                one_typo: Setting::Set(index.min_word_len_one_typo(rtxn)?),
                two_typos: Setting::Set(index.min_word_len_two_typos(rtxn)?),
            }),
            disable_on_words: Setting::Set(match index.exact_words(rtxn)? {
                Some(words) => {
                    words.stream().into_strs().map_err(ResponseError::internal)?.into_iter().collect()
                }
                None => BTreeSet::new(),
            }),
            disable_on_attributes: Setting::Set(
                index.exact_attributes(rtxn)?.into_iter().map(String::from).collect(),
            ),
            disable_on_numbers: Setting::Set(index.disabled_typos_terms(rtxn)?.disable_on_numbers),
        }),
        faceting: Setting::Set(Faceting {
            max_values_per_facet: Setting::Set(
                index.max_values_per_facet(rtxn)?.map_or(DEFAULT_VALUES_PER_FACET, |max| max as usize),
            ),
            sort_facet_values_by: Setting::Set(
                index
                    .sort_facet_values_by(rtxn)?
                    .into_iter()
                    .map(|(facet, order)| (facet, order.into()))
                    .collect(),
            ),
        }),
        pagination: Setting::Set(Pagination {
            max_total_hits: set_or_reset(NonZeroUsize::new(max_total_hits)),
        }),
        embedders: Setting::Set(
            embedders.map(|embedder| (embedder.name, Setting::Set(embedder.config.into()))).collect(),
        ),
        search_cutoff_ms: set_or_reset(index.search_cutoff(rtxn)?),
        localized_attributes: set_or_reset(
            localized_attributes.map(|rules| rules.into_iter().map(Into::into).collect()),
        ),
        facet_search: Setting::Set(index.facet_search(rtxn)?),
        prefix_search: Setting::Set(index.prefix_search(rtxn)?.map(Into::into).unwrap_or_default()),
    })
}

fn set_or_reset<T>(value: Option<T>) -> Setting<T> {
    value.map_or(Setting::Reset, Setting::Set)
}

fn owned<T: Into<String>>(names: Vec<T>) -> Vec<String> {
    names.into_iter().map(Into::into).collect()
}
