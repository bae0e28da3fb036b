//! What of the store is about aliases.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::StoreError;

/// So much is remembered of what an alias stood for before.
const HISTORY: usize = 20;

/// The part of [`Store`](super::Store) that is about aliases. Each method is one transaction.
#[async_trait]
pub trait AliasStore {
    /// All aliases, by name.
    async fn aliases(&self) -> Result<BTreeMap<String, AliasRecord>, StoreError>;
    /// Adds or replaces an alias.
    async fn save_alias(&self, alias: &AliasRecord) -> Result<(), StoreError>;
    /// Forgets an alias and its history. Nothing happens if it isn't there.
    async fn delete_alias(&self, name: &str) -> Result<(), StoreError>;
}

/// A name that stands for indexes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Alias)]
pub struct AliasRecord {
    /// The name.
    pub name: String,
    /// The uids of the indexes that it stands for: one, or to be searched several.
    pub indexes: Vec<String>,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub since: OffsetDateTime,
    /// What it stood for before, the latest first.
    pub history: Vec<FormerAlias>,
}

/// What an alias stood for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FormerAlias {
    /// The uids of the indexes.
    pub indexes: Vec<String>,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub since: OffsetDateTime,
    /// Until when.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub until: OffsetDateTime,
}

impl AliasRecord {
    /// An alias that there was not before.
    pub fn new(name: &str, indexes: Vec<String>, now: OffsetDateTime) -> AliasRecord {
        AliasRecord { name: name.to_owned(), indexes, since: now, history: Vec::new() }
    }

    /// The alias from the moment on at which it stands for others.
    pub fn turned_to(self, indexes: Vec<String>, now: OffsetDateTime) -> AliasRecord {
        let former = FormerAlias { indexes: self.indexes, since: self.since, until: now };
        let history = std::iter::once(former).chain(self.history).take(HISTORY).collect();
        AliasRecord { name: self.name, indexes, since: now, history }
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    #[test]
    fn what_it_stood_for_is_remembered_for_a_while() {
        let begin = OffsetDateTime::UNIX_EPOCH;
        let at = |number: usize| begin + Duration::minutes(number as i64);
        let index = |number: usize| vec![format!("v{number}")];
        let first = AliasRecord::new("a", index(0), begin);
        let turned = (1..=30).fold(first, |alias, number| alias.turned_to(index(number), at(number)));
        assert_eq!((turned.indexes, turned.since), (index(30), at(30)));
        assert_eq!(turned.history[0], FormerAlias { indexes: index(29), since: at(29), until: at(30) });
        assert_eq!(turned.history.len(), HISTORY);
        assert_eq!(turned.history[HISTORY - 1].indexes, index(10));
    }
}
