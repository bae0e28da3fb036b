//! The keys on disk.

use std::path::Path;
use std::sync::Arc;

use milli_core::heed::types::{Bytes, SerdeJson};
use milli_core::heed::{Database, Env, EnvOpenOptions, WithoutTls};
use uuid::Uuid;

use super::{Key, KeyCreation, KeyUpdate, is_value};
use crate::error::{ResponseError, Result};

const MAP_SIZE: usize = 1 << 30;

/// The keys on disk, and the master key that their values follow from.
#[derive(Clone)]
pub struct Keys {
    master_key: Option<Arc<str>>,
    env: Env<WithoutTls>,
    keys: Database<Bytes, SerdeJson<Key>>,
}

impl Keys {
    /// Opens the keys in this folder, and makes the default ones if there are none.
    pub fn open(folder: &Path, master_key: Option<String>) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.max_dbs(1).map_size(MAP_SIZE).max_readers(1024);
        // SAFETY: nothing but this process touches the folder, and it opens it once.
        #[allow(unsafe_code)]
        let env = unsafe { options.open(folder) }?;
        let mut wtxn = env.write_txn()?;
        let keys: Database<Bytes, SerdeJson<Key>> = env.create_database(&mut wtxn, Some("keys"))?;
        if keys.is_empty(&wtxn)? {
            for key in Key::defaults() {
                keys.put(&mut wtxn, key.uid.as_bytes(), &key)?;
            }
        }
        wtxn.commit()?;
        let master_key = master_key.filter(|key| !key.is_empty()).map(Into::into);
        Ok(Self { master_key, env, keys })
    }

    /// The master key. Without one every route is open but those of the keys.
    pub fn master_key(&self) -> Option<&str> {
        self.master_key.as_deref()
    }

    /// All keys, the newest first.
    pub fn list(&self) -> Result<Vec<Key>> {
        let rtxn = self.env.read_txn()?;
        let mut keys = self.keys.iter(&rtxn)?.map(|entry| Ok(entry?.1)).collect::<Result<Vec<_>>>()?;
        keys.sort_unstable_by_key(|key| std::cmp::Reverse(key.created_at));
        Ok(keys)
    }

    /// The key of this uid.
    pub fn get(&self, uid: Uuid) -> Result<Option<Key>> {
        Ok(self.keys.get(&*self.env.read_txn()?, uid.as_bytes())?)
    }

    /// The key of this value.
    pub fn with_value(&self, value: &str) -> Result<Option<Key>> {
        let Some(master_key) = self.master_key() else { return Ok(None) };
        Ok(self.list()?.into_iter().find(|key| is_value(key.uid, master_key, value)))
    }

    /// The key of this uid or value.
    pub fn find(&self, uid_or_value: &str) -> Result<Key> {
        match uid_or_value.parse::<Uuid>() {
            Ok(uid) => self.get(uid)?.ok_or_else(|| not_found(&uid.to_string())),
            Err(_) => self.with_value(uid_or_value)?.ok_or_else(|| not_found(uid_or_value)),
        }
    }

    /// Makes a key.
    pub fn create(&self, creation: KeyCreation) -> Result<Key> {
        let key = Key::create(creation)?;
        if self.get(key.uid)?.is_some() {
            let message = format!("`uid` field value `{}` is already an existing API key.", key.uid);
            return Err(ResponseError::new("api_key_already_exists", message));
        }
        self.put(key)
    }

    /// Changes the key of this uid or value.
    pub fn update(&self, uid_or_value: &str, update: KeyUpdate) -> Result<Key> {
        let mut key = self.find(uid_or_value)?;
        key.update(update);
        self.put(key)
    }

    /// Deletes the key of this uid or value.
    pub fn delete(&self, uid_or_value: &str) -> Result<()> {
        let key = self.find(uid_or_value)?;
        let mut wtxn = self.env.write_txn()?;
        self.keys.delete(&mut wtxn, key.uid.as_bytes())?;
        Ok(wtxn.commit()?)
    }

    fn put(&self, key: Key) -> Result<Key> {
        let mut wtxn = self.env.write_txn()?;
        self.keys.put(&mut wtxn, key.uid.as_bytes(), &key)?;
        wtxn.commit()?;
        Ok(key)
    }
}

fn not_found(key: &str) -> ResponseError {
    ResponseError::new("api_key_not_found", format!("API key `{key}` not found."))
}
