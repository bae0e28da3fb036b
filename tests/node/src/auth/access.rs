//! Which indexes a request may touch.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{ResponseError, Result};
use crate::keys::{IndexPattern, Key};

/// Which indexes a request may touch, by its key and its tenant token.
#[derive(Debug, Clone)]
pub struct Access {
    /// The indexes of the key.
    indexes: Vec<IndexPattern>,
    /// The rules of the tenant token, if there is one.
    rules: Option<SearchRules>,
    /// Whether an index may be created by writing to it.
    may_create: bool,
}

/// The indexes that a tenant token is for, with a filter on each or without.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SearchRules {
    /// Without filters.
    Set(HashSet<IndexPattern>),
    /// With filters.
    Map(HashMap<IndexPattern, Option<IndexSearchRules>>),
}

/// What a tenant token adds to the searches of an index.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct IndexSearchRules {
    /// What documents have to match.
    pub filter: Option<Value>,
}

impl SearchRules {
    fn patterns(&self) -> Vec<&IndexPattern> {
        match self {
            Self::Set(patterns) => patterns.iter().collect(),
            Self::Map(rules) => rules.keys().collect(),
        }
    }

    /// The filter of the narrowest pattern that stands for this index.
    fn filter(&self, index: &str) -> Option<&Value> {
        let Self::Map(rules) = self else { return None };
        let matching = rules.iter().filter(|(pattern, _)| pattern.matches(index));
        let (_, rules) = matching.max_by_key(|(pattern, _)| (!pattern.0.ends_with('*'), pattern.0.len()))?;
        rules.as_ref()?.filter.as_ref()
    }
}

impl Access {
    /// Access to everything.
    pub fn all() -> Self {
        Self { indexes: vec![IndexPattern("*".to_string())], rules: None, may_create: true }
    }

    /// What a key gives access to, with the rules of a tenant token.
    pub fn of(key: &Key, rules: Option<SearchRules>) -> Self {
        Self { indexes: key.indexes.clone(), rules, may_create: key.allows("indexes.create", None) }
    }

    /// Whether the request may touch this index.
    pub fn covers(&self, index: &str) -> bool {
        self.check(index).is_ok()
    }

    /// Whether the request may touch every index.
    pub fn covers_all(&self) -> bool {
        self.indexes.iter().any(IndexPattern::is_all)
            && self.rules.as_ref().is_none_or(|rules| rules.patterns().iter().any(|pattern| pattern.is_all()))
    }

    /// Whether the request may create this index.
    pub fn may_create(&self, index: &str) -> bool {
        self.may_create && self.covers(index)
    }

    /// Says why the request may not touch this index. What the key of a tenant token is for, it keeps to itself.
    pub fn check(&self, index: &str) -> Result<()> {
        let refused = |message| Err(ResponseError::new("invalid_api_key", message));
        if let Some(rules) = &self.rules
            && !rules.patterns().iter().any(|pattern| pattern.matches(index))
        {
            let allowed = sorted(rules.patterns());
            return refused(format!(
                "The provided tenant token cannot acces the index `{index}`, allowed indexes are {allowed:?}."
            ));
        }
        if self.indexes.iter().any(|pattern| pattern.matches(index)) {
            return Ok(());
        }
        if self.rules.is_some() {
            return refused(format!(
                "The API key used to generate this tenant token cannot acces the index `{index}`."
            ));
        }
        let allowed = sorted(self.indexes.iter().collect());
        refused(format!("The API key cannot acces the index `{index}`, authorized indexes are {allowed:?}."))
    }

    /// Adds what the tenant token says about this index to the filter of a search.
    pub fn restrict(&self, index: &str, filter: &mut Option<Value>) {
        let Some(rule) = self.rules.as_ref().and_then(|rules| rules.filter(index)) else { return };
        let listed = |filter: Value| match filter {
            Value::Array(filters) => filters,
            filter => vec![filter],
        };
        *filter = Some(match filter.take() {
            None => rule.clone(),
            Some(asked) => listed(asked).into_iter().chain(listed(rule.clone())).collect(),
        });
    }
}

fn sorted(patterns: Vec<&IndexPattern>) -> Vec<&str> {
    let mut patterns: Vec<_> = patterns.into_iter().map(|pattern| pattern.0.as_str()).collect();
    patterns.sort_unstable();
    patterns
}
