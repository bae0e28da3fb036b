//! The tags of documents.

use indexmap::IndexMap;
use miroir_core::shard::ShardId;
use miroir_core::tag::{TAG_FIELD, encode};
use serde_json::value::{RawValue, to_raw_value};

type Members = IndexMap<String, Box<RawValue>>;

/// The tag of a document, if it has one.
pub(super) fn tag_of(document: &RawValue) -> Option<String> {
    let members: Members = serde_json::from_str(document.get()).ok()?;
    serde_json::from_str(members.get(TAG_FIELD)?.get()).ok()
}

/// The document with the tag of a shard.
pub(super) fn with_tag(document: &RawValue, shard: ShardId) -> serde_json::Result<Box<RawValue>> {
    let mut members: Members = serde_json::from_str(document.get())?;
    members.insert(TAG_FIELD.to_owned(), to_raw_value(&encode(shard))?);
    to_raw_value(&members)
}

/// What changes nothing of a document but its tag. A field that holds the id deep inside is replaced as a whole, so it is
/// given as a whole.
pub(super) fn change_of_tag(
    document: &RawValue,
    primary_key: &str,
    shard: ShardId,
) -> serde_json::Result<Box<RawValue>> {
    let mut members: Members = serde_json::from_str(document.get())?;
    let leads_to_id = |field: &str| {
        primary_key.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    members.retain(|field, _| leads_to_id(field));
    members.insert(TAG_FIELD.to_owned(), to_raw_value(&encode(shard))?);
    to_raw_value(&members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_document_gets_its_tag_and_stays_as_it_is() {
        let document = raw(r#"{"id":7,"_miroir_shard":"⸀","n":1.50}"#);
        assert_eq!(tag_of(&document).unwrap(), "⸀");
        assert_eq!(with_tag(&document, 1).unwrap().get(), r#"{"id":7,"_miroir_shard":"⸁","n":1.50}"#);
        assert_eq!(tag_of(&raw(r#"{"id":7}"#)), None);
        assert_eq!(tag_of(&raw(r#"{"id":7,"_miroir_shard":["⸀"]}"#)), None);
    }

    #[test]
    fn a_change_of_the_tag_names_the_document_alone() {
        let change = |document: &str, primary_key: &str| {
            change_of_tag(&raw(document), primary_key, 1).unwrap().get().to_owned()
        };
        assert_eq!(change(r#"{"n":1,"id":7}"#, "id"), r#"{"id":7,"_miroir_shard":"⸁"}"#);
        assert_eq!(
            change(r#"{"a":{"b":7,"c":1},"ab":1,"d":2}"#, "a.b"),
            r#"{"a":{"b":7,"c":1},"_miroir_shard":"⸁"}"#
        );
        assert_eq!(change(r#"{"a.b":7,"b":1}"#, "a.b"), r#"{"a.b":7,"_miroir_shard":"⸁"}"#);
    }
}
