//! Aliases in Redis.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{RedisStore, Transaction, keys};
use crate::store::{AliasRecord, AliasStore, StoreError};

#[async_trait]
impl AliasStore for RedisStore {
    async fn aliases(&self) -> Result<BTreeMap<String, AliasRecord>, StoreError> {
        self.fields(keys::ALIASES).await
    }

    async fn save_alias(&self, alias: &AliasRecord) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        transaction.set_field(keys::ALIASES, &alias.name, alias)?;
        transaction.commit().await
    }

    async fn delete_alias(&self, name: &str) -> Result<(), StoreError> {
        let mut transaction = Transaction::begin(self).await?;
        transaction.command("HDEL", keys::ALIASES, &[&name]);
        transaction.commit().await
    }
}
