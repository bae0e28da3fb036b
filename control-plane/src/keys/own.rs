//! The keys that every node has besides the cluster's: Miroir's own. They are in no list, and each allows no more than it must.

use time::OffsetDateTime;
use uuid::Uuid;

use super::value;
use crate::config::Config;
use crate::store::KeyRecord;

const READER: Uuid = Uuid::from_u128(0x3a1f_6c0e_5d27_4b8e_9c41_7e62_d0b5_f813);
const WRITER: Uuid = Uuid::from_u128(0x8f52_d7a4_1c3b_4e09_b6d8_2a90_c4e7_5b61);

/// By which the filter reads documents for requests whose own key need not allow that (`/similar` needs the
/// vector of a document). The filter's configuration shows its value.
pub fn reader() -> KeyRecord {
    own(READER, "Lets Miroir's filter read documents", &["documents.get"])
}

/// By which documents and settings are written to nodes. It makes no index: a node that has lost its disk does not
/// know it, while by the master key any write would make the index anew on it, without settings and almost without documents.
///
/// It can't edit documents by a function: Meilisearch lets only keys do that which allow everything. Nor does that make an index.
pub fn writer() -> KeyRecord {
    own(
        WRITER,
        "Lets Miroir write to the indexes that there are",
        &["documents.add", "documents.delete", "settings.update"],
    )
}

fn own(uid: Uuid, description: &str, actions: &[&str]) -> KeyRecord {
    KeyRecord {
        name: Some("Miroir".into()),
        description: Some(description.into()),
        uid,
        actions: actions.iter().map(|action| (*action).into()).collect(),
        indexes: vec!["*".into()],
        expires_at: None,
        created_at: OffsetDateTime::UNIX_EPOCH,
        updated_at: OffsetDateTime::UNIX_EPOCH,
    }
}

/// What nodes take for one of these keys; `None` if they ask for no key.
pub fn value_on_nodes(config: &Config, key: &KeyRecord) -> Option<String> {
    let master_key = Some(config.master_key.expose()).filter(|master_key| !master_key.is_empty())?;
    Some(value(master_key, key.uid))
}
