//! The filter's own key.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::KeyRecord;

const UID: Uuid = Uuid::from_u128(0x3a1f_6c0e_5d27_4b8e_9c41_7e62_d0b5_f813);

/// The key by which the filter reads documents for requests whose own key need not allow that (`/similar` needs the
/// vector of a document). Every node has it besides the cluster's keys. It is in no list, and allows no more than it
/// must, since the filter's configuration shows its value.
pub fn reader() -> KeyRecord {
    KeyRecord {
        name: Some("Miroir".into()),
        description: Some("Lets Miroir's filter read documents".into()),
        uid: UID,
        actions: vec!["documents.get".into()],
        indexes: vec!["*".into()],
        expires_at: None,
        created_at: OffsetDateTime::UNIX_EPOCH,
        updated_at: OffsetDateTime::UNIX_EPOCH,
    }
}
