//! Aliases in SQLite.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{SqliteStore, json};
use crate::store::{AliasRecord, AliasStore, StoreError};

#[async_trait]
impl AliasStore for SqliteStore {
    async fn aliases(&self) -> Result<BTreeMap<String, AliasRecord>, StoreError> {
        let aliases: Vec<AliasRecord> = self.bodies("SELECT body FROM aliases", []).await?;
        Ok(aliases.into_iter().map(|alias| (alias.name.clone(), alias)).collect())
    }

    async fn save_alias(&self, alias: &AliasRecord) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO aliases (name, body) VALUES (?1, ?2)";
        self.execute(sql, (alias.name.clone(), json(alias)?)).await
    }

    async fn delete_alias(&self, name: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM aliases WHERE name = ?1", [name.to_owned()]).await
    }
}
