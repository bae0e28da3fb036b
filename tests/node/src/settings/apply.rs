//! Handing settings to the engine.

use milli_core::update::{self, Setting};

use super::values::WordSizes;
use super::{Faceting, Pagination, Settings, TypoTolerance};

/// `builder.set(value)`, `builder.reset()` or neither.
macro_rules! hand_over {
    ($builder:ident, $setting:expr, $set:ident($value:ident => $given:expr), $reset:ident) => {
        match $setting {
            Setting::Set($value) => $builder.$set($given),
            Setting::Reset => $builder.$reset(),
            Setting::NotSet => {}
        }
    };
}

impl Settings {
    /// Hands the settings to the engine.
    pub fn apply(&self, builder: &mut update::Settings) {
        let mut settings = self.clone();
        // To the engine `*` is a name like others: all attributes are those that nobody has set. A task's settings
        // are written with it, so it is here that it is understood.
        for attributes in [&mut settings.displayed_attributes, &mut settings.searchable_attributes] {
            if matches!(attributes, Setting::Set(names) if names.iter().any(|name| name == "*")) {
                *attributes = Setting::Reset;
            }
        }
        hand_over!(builder, settings.searchable_attributes, set_searchable_fields(v => v), reset_searchable_fields);
        hand_over!(builder, settings.displayed_attributes, set_displayed_fields(v => v), reset_displayed_fields);
        hand_over!(builder, settings.filterable_attributes, set_filterable_fields(v => v), reset_filterable_fields);
        hand_over!(
            builder,
            settings.sortable_attributes,
            set_sortable_fields(v => v.into_iter().collect()),
            reset_sortable_fields
        );
        hand_over!(
            builder,
            settings.ranking_rules,
            set_criteria(v => v.into_iter().map(|rule| rule.0).collect()),
            reset_criteria
        );
        hand_over!(builder, settings.stop_words, set_stop_words(v => v), reset_stop_words);
        hand_over!(
            builder,
            settings.non_separator_tokens,
            set_non_separator_tokens(v => v),
            reset_non_separator_tokens
        );
        hand_over!(builder, settings.separator_tokens, set_separator_tokens(v => v), reset_separator_tokens);
        hand_over!(builder, settings.dictionary, set_dictionary(v => v), reset_dictionary);
        hand_over!(builder, settings.synonyms, set_synonyms(v => v), reset_synonyms);
        hand_over!(builder, settings.distinct_attribute, set_distinct_field(v => v), reset_distinct_field);
        hand_over!(
            builder,
            settings.proximity_precision,
            set_proximity_precision(v => v.into()),
            reset_proximity_precision
        );
        hand_over!(builder, settings.embedders, set_embedder_settings(v => v), reset_embedder_settings);
        hand_over!(builder, settings.search_cutoff_ms, set_search_cutoff(v => v), reset_search_cutoff);
        hand_over!(
            builder,
            settings.localized_attributes,
            set_localized_attributes_rules(v => v.into_iter().map(Into::into).collect()),
            reset_localized_attributes_rules
        );
        hand_over!(builder, settings.facet_search, set_facet_search(v => v), reset_facet_search);
        hand_over!(builder, settings.prefix_search, set_prefix_search(v => v.into()), reset_prefix_search);
        match settings.typo_tolerance {
            Setting::Set(typo_tolerance) => typo_tolerance.apply(builder),
            Setting::Reset => TypoTolerance::reset().apply(builder),
            Setting::NotSet => {}
        }
        match settings.faceting {
            Setting::Set(faceting) => faceting.apply(builder),
            Setting::Reset => Faceting::reset().apply(builder),
            Setting::NotSet => {}
        }
        match settings.pagination {
            Setting::Set(pagination) => pagination.apply(builder),
            Setting::Reset => Pagination { max_total_hits: Setting::Reset }.apply(builder),
            Setting::NotSet => {}
        }
    }
}

impl TypoTolerance {
    fn reset() -> Self {
        Self {
            enabled: Setting::Reset,
            min_word_size_for_typos: Setting::Reset,
            disable_on_words: Setting::Reset,
            disable_on_attributes: Setting::Reset,
            disable_on_numbers: Setting::Reset,
        }
    }

    fn apply(self, builder: &mut update::Settings) {
        hand_over!(builder, self.enabled, set_autorize_typos(v => v), reset_authorize_typos);
        let reset = WordSizes { one_typo: Setting::Reset, two_typos: Setting::Reset };
        if let Setting::Set(sizes) = self.min_word_size_for_typos.or_reset(reset) {
            hand_over!(builder, sizes.one_typo, set_min_word_len_one_typo(v => v), reset_min_word_len_one_typo);
            hand_over!(builder, sizes.two_typos, set_min_word_len_two_typos(v => v), reset_min_word_len_two_typos);
        }
        hand_over!(builder, self.disable_on_words, set_exact_words(v => v), reset_exact_words);
        hand_over!(
            builder,
            self.disable_on_attributes,
            set_exact_attributes(v => v.into_iter().collect()),
            reset_exact_attributes
        );
        hand_over!(builder, self.disable_on_numbers, set_disable_on_numbers(v => v), reset_disable_on_numbers);
    }
}

impl Faceting {
    fn reset() -> Self {
        Self { max_values_per_facet: Setting::Reset, sort_facet_values_by: Setting::Reset }
    }

    fn apply(self, builder: &mut update::Settings) {
        hand_over!(
            builder,
            self.max_values_per_facet,
            set_max_values_per_facet(v => v),
            reset_max_values_per_facet
        );
        hand_over!(
            builder,
            self.sort_facet_values_by,
            set_sort_facet_values_by(v => v.into_iter().map(|(facet, order)| (facet, order.into())).collect()),
            reset_sort_facet_values_by
        );
    }
}

impl Pagination {
    fn apply(self, builder: &mut update::Settings) {
        hand_over!(
            builder,
            self.max_total_hits,
            set_pagination_max_total_hits(v => v.get()),
            reset_pagination_max_total_hits
        );
    }
}
