//! Highlighting, cropping, and telling where the words were found, with the engine's own matcher.

use std::collections::{BTreeMap, BTreeSet};

use milli_core::tokenizer::Language;
use milli_core::{
    FieldId, FieldsIdsMap, FormatOptions, LocalizedAttributesRule, MatchBounds, MatcherBuilder, Object,
    PatternMatch, is_faceted_by,
};
use serde_json::Value;

use super::request::SearchRequest;
use crate::documents::pointer;

/// Formats the documents found.
pub struct Formatter<'a> {
    matcher: MatcherBuilder<'a>,
    /// What to do with the fields of `_formatted`; nothing for those that are only there.
    options: BTreeMap<&'a str, FormatOptions>,
    displayed: Vec<&'a str>,
    tells_matches: bool,
    locales: Option<Vec<Language>>,
    localized: Vec<LocalizedAttributesRule>,
}

/// A formatted document.
#[derive(Default)]
pub struct Formatted {
    /// `_formatted`; empty when nothing was to be formatted.
    pub document: Object,
    /// `_matchesPosition`.
    pub matches: Option<BTreeMap<String, Vec<MatchBounds>>>,
}

impl<'a> Formatter<'a> {
    /// Formats as the request asks.
    pub fn new(
        request: &SearchRequest,
        fields: &'a FieldsIdsMap,
        displayed: &BTreeSet<FieldId>,
        retrieved: &BTreeSet<FieldId>,
        matcher: MatcherBuilder<'a>,
        localized: Vec<LocalizedAttributesRule>,
    ) -> Self {
        let displayed: Vec<_> = displayed.iter().filter_map(|id| fields.name(*id)).collect();
        let chosen = |attribute: &str| {
            let attribute = attribute.to_string();
            displayed.iter().copied().filter(move |name| attribute == "*" || attribute == *name)
        };

        let mut options: BTreeMap<&str, FormatOptions> = BTreeMap::new();
        for attribute in request.attributes_to_highlight.iter().flatten() {
            for name in chosen(attribute) {
                options.entry(name).or_default().highlight = true;
            }
        }
        for attribute in request.attributes_to_crop.iter().flatten() {
            let (attribute, length) = match attribute.rsplit_once(':') {
                Some((attribute, length)) => (attribute, length.parse().unwrap_or(request.crop_length)),
                None => (attribute.as_str(), request.crop_length),
            };
            for name in chosen(attribute) {
                options.entry(name).or_default().crop = Some(length);
            }
        }
        if !options.is_empty() {
            for name in retrieved.iter().filter_map(|id| fields.name(*id)) {
                options.entry(name).or_default();
            }
        }
        Self {
            matcher,
            options,
            displayed,
            tells_matches: request.show_matches_position,
            locales: request
                .locales
                .as_ref()
                .map(|locales| locales.iter().map(|locale| locale.language).collect()),
            localized,
        }
    }

    /// Formats a document.
    pub fn format(&self, document: &Object) -> Formatted {
        if self.options.is_empty() && !self.tells_matches {
            return Formatted::default();
        }
        let mut document = document.clone();
        let mut matches = self.tells_matches.then(BTreeMap::new);
        pointer::visit_leaves(&mut document, &self.displayed, &mut |path, positions, value| {
            let bounds = self.format_leaf(path, positions, value);
            if let Some(matches) = &mut matches
                && !bounds.is_empty()
            {
                // Of an array that is matched more than once Meilisearch tells the last match alone.
                matches.insert(path.to_string(), bounds);
            }
        });
        let names: Vec<_> = self.options.keys().copied().collect();
        Formatted { document: pointer::select(&document, &names), matches }
    }

    /// Formats a text or a number, and says where words were found in it.
    fn format_leaf(&self, path: &str, positions: &[usize], value: &mut Value) -> Vec<MatchBounds> {
        let text = match &*value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Vec::new(),
        };
        // The options of the fields around and inside the place count together.
        let options = self
            .options
            .iter()
            .filter(|(name, options)| {
                options.should_format() && (is_faceted_by(name, path) || is_faceted_by(path, name))
            })
            .map(|(_, options)| *options)
            .reduce(FormatOptions::merge);
        let locales = self.locales.as_deref().or_else(|| {
            let rule = self.localized.iter().find(|rule| rule.match_str(path) == PatternMatch::Match);
            rule.map(LocalizedAttributesRule::locales)
        });
        let mut matcher = self.matcher.build(&text, locales);
        let bounds = if self.tells_matches { matcher.matches(positions) } else { Vec::new() };
        let formatted = options.map(|options| matcher.format(options).into_owned());
        *value = formatted.unwrap_or_else(|| text.clone()).into();
        bounds
    }
}
